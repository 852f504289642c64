"""Both environments, deployed in order by Sceptre into the strict emulator."""
import fnmatch
import json
import operator
import re

import pytest

import emulator
from conftest import ENVIRONMENTS, INFRA, ORDER

BOTH = pytest.mark.parametrize("env,long", ENVIRONMENTS.items())


@BOTH
def test_every_stack_is_complete_and_tagged(stacks, env, long):
    found = {s["StackName"]: s for s in emulator.client("cloudformation").describe_stacks()["Stacks"]}
    for name in ORDER:
        if not (INFRA / "config" / env / f"{name}.yaml").exists():
            continue
        stack = found[f"ses-migration-{env}-{name}"]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")     # launch visits base a second time
        tags = {t["Key"]: t["Value"] for t in stack["Tags"]}
        assert tags["Environment"] == long
        assert tags["ProjectCode"] == "ses-migration"
        assert tags["Purpose"]


@BOTH
def test_the_order_is_that_of_the_plan(stacks, env, long):
    done = [line.split(" - ")[1].split(" ")[0] for line in stacks.log[env].splitlines() if "CloudFormation::Stack CREATE_COMPLETE" in line]
    position = {n: done.index(f"{env}/{n}") for n in ORDER if f"{env}/{n}" in done}
    chain = [n for n in ("base", "ses", "enhanced-kinesis", "monitoring", "security") if n in position]
    assert [position[n] for n in chain] == sorted(position[n] for n in chain)


# ---- base -------------------------------------------------------------------

@BOTH
def test_buckets(stacks, env, long):
    s3 = emulator.client("s3")
    for kind in ("raw", "masked", "error"):
        name = f"ses-migration-{env}-{kind}-logs"
        assert stacks.outputs(env, "base")[f"{kind.capitalize()}BucketName"] == name
        rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
        assert s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        assert any(s["Effect"] == "Deny" and s["Condition"].get("Bool") == {"aws:SecureTransport": "false"} for s in policy["Statement"])


@BOTH
def test_the_bucket_of_the_suppression_import(stacks, env, long):
    """What relay suppression import writes lies there encrypted and private, and is really gone when it is removed."""
    s3, name = emulator.client("s3"), f"ses-migration-{env}-suppression"
    out = stacks.outputs(env, "base")
    assert out["SuppressionBucketName"] == name and out["SuppressionBucketArn"] == f"arn:aws:s3:::{name}"
    rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}     # a default key of KMS is one that SES cannot use
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)
    s3.put_object(Bucket=name, Key="suppression-import/x", Body=b"{}", ServerSideEncryption="AES256")
    s3.delete_object(Bucket=name, Key="suppression-import/x")
    left = s3.list_object_versions(Bucket=name)
    assert not left.get("Versions") and not left.get("DeleteMarkers")
    policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    reads = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
    assert {s["Resource"] for s in reads} == {f"arn:aws:s3:::{name}/suppression-import/*"}   # the command's default --prefix
    assert {s["Action"] for s in reads} == {"s3:GetObject"}


@BOTH
def test_raw_and_masked_data_have_keys_of_their_own(stacks, env, long):
    out = stacks.outputs(env, "base")
    assert out["RawKeyArn"] != out["MaskedKeyArn"]
    kms = emulator.client("kms")
    for key in (out["RawKeyArn"], out["MaskedKeyArn"]):
        assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    aliases = {a["AliasName"] for a in kms.list_aliases()["Aliases"]}
    assert {f"alias/ses-migration-{long}-raw", f"alias/ses-migration-{long}-masked"} <= aliases


# ---- ses --------------------------------------------------------------------

DOMAIN = {"dev": "dev.goo.ne.jp", "prod": "goo.ne.jp"}
ADDRESSES = {"dev": ["202.217.75.88/32", "202.217.75.81/32"], "prod": ["202.217.75.98/32", "202.217.75.91/32"]}


@BOTH
def test_identity(stacks, env, long):
    ses = emulator.client("sesv2")
    assert ses.get_email_identity(EmailIdentity=DOMAIN[env])["IdentityType"] == "DOMAIN"
    r = next(r for r in stacks.of_type(env, "AWS::SES::EmailIdentity"))
    p = r.properties
    assert p["DkimAttributes"]["SigningEnabled"] is True
    assert p["FeedbackAttributes"]["EmailForwardingEnabled"] is True
    assert {"Key": "Environment", "Value": long} in p["Tags"]
    assert p["MailFromAttributes"]["MailFromDomain"] == f"ses-bounce.{DOMAIN[env]}"
    out = stacks.outputs(env, "ses")
    for i in "123":
        assert out[f"DkimRecordName{i}"].endswith(f"._domainkey.{DOMAIN[env]}")
        assert out[f"DkimRecordValue{i}"]
    assert out["MailFromMxRecord"] == f"ses-bounce.{DOMAIN[env]} MX 10 feedback-smtp.ap-northeast-1.amazonses.com"
    assert out["MailFromSpfRecord"].endswith('"v=spf1 include:amazonses.com ~all"')
    assert "aspf=r" in out["DmarcRecord"] and "adkim=r" in out["DmarcRecord"]


@BOTH
def test_configuration_set(stacks, env, long):
    name = f"ses-migration-{long}-config-set"
    got = emulator.client("sesv2").get_configuration_set(ConfigurationSetName=name)
    assert got["DeliveryOptions"]["TlsPolicy"] == "REQUIRE"
    assert got["ReputationOptions"]["ReputationMetricsEnabled"] is True
    asked = stacks.record(env, "ses", "ConfigurationSet").properties
    assert asked["SendingOptions"] == {"SendingEnabled": True}      # moto answers false whatever was asked
    assert asked["SuppressionOptions"] == {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}
    assert "TrackingOptions" not in asked      # no redirect domain
    dimensions, counted = {}, {}
    for r in stacks.of_type(env, "AWS::SES::ConfigurationSetEventDestination"):
        d = r.properties["EventDestination"]
        assert r.properties["ConfigurationSetName"] == name and d["Enabled"] is True
        if "CloudWatchDestination" in d:
            dimensions[d["Name"]] = {x["DimensionName"]: (x["DimensionValueSource"], x["DefaultDimensionValue"]) for x in d["CloudWatchDestination"]["DimensionConfigurations"]}
            counted[d["Name"]] = set(d["MatchingEventTypes"])
    by_set = {"ses:configuration-set": ("messageTag", name)}
    # the step that sent a mail stands in its tag; a mail of somebody else has none
    assert dimensions == {"cloudwatch-set": by_set, "cloudwatch-step": {**by_set, "relay-step": ("messageTag", "none")}}
    assert set(map(frozenset, counted.values())) == {frozenset({"send", "delivery", "bounce", "complaint", "reject", "renderingFailure", "deliveryDelay"})}


def test_the_steps_tag_is_the_relays():
    """internal/ses gives this tag, and its own tests hold it there."""
    assert '"relay-step"' in "".join(p.read_text() for p in (INFRA.parent / "internal" / "ses").glob("*.go") if not p.name.endswith("_test.go"))


@BOTH
def test_development_stands_alone(stacks, env, long):
    """X-4: nothing in dev names anything of production, and the other way round."""
    other = "production" if long == "development" else "development"
    for (stack, logical_id), r in emulator.DEPLOYED.items():
        if stack.startswith(f"ses-migration-{env}-"):
            assert f"ses-migration-{other}" not in json.dumps(r.properties), f"{stack} {logical_id}"


# ---- enhanced-kinesis -------------------------------------------------------

SUFFIX = {"dev": "-development", "prod": ""}


@BOTH
def test_streams(stacks, env, long):
    firehose = emulator.client("firehose")
    for kind in ("raw", "masked"):
        name = f"ses-migration-{env}-{kind}-logs-stream"
        d = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
        to = d["Destinations"][0]["ExtendedS3DestinationDescription"]
        assert to["BucketARN"] == f"arn:aws:s3:::ses-migration-{env}-{kind}-logs"
        asked = stacks.record(env, "enhanced-kinesis", f"{kind.capitalize()}Stream").properties["ExtendedS3DestinationConfiguration"]
        assert asked["Prefix"] == "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"      # S-82
        assert asked["CustomTimeZone"] == "Asia/Tokyo"
        assert asked["ErrorOutputPrefix"].startswith("errors/")
        kinds = [p["Type"] for p in asked["ProcessingConfiguration"]["Processors"]]
        assert kinds == (["Lambda"] if kind == "masked" else ["AppendDelimiterToRecord"])


@BOTH
def test_masking_function(stacks, env, long):
    name = f"ses-migration-{long}-data-masking-lambda"
    f = emulator.client("lambda").get_function(FunctionName=name)["Configuration"]
    wanted = stacks.record(env, "enhanced-kinesis", "Function").properties      # moto answers x86_64 whatever was asked
    assert (f["Runtime"], wanted["Architectures"], f["Handler"]) == ("provided.al2023", ["arm64"], "bootstrap")
    assert f["Timeout"] <= 300      # Firehose waits five minutes
    env_ = f["Environment"]["Variables"]
    assert env_["EVENT_LOG_GROUP"] == f"/aws/ses/email-events{SUFFIX[env]}"
    assert env_["MASKED_LOG_GROUP"] == f"/aws/kinesisfirehose/ses-masked-logs{SUFFIX[env]}"
    assert env_["ERROR_BUCKET"] == f"ses-migration-{env}-error-logs"
    assert env_["TIME_ZONE"] == "Asia/Tokyo"                          # its folders in the error bucket are days in Japan too
    assert env_["RAW_LOG_GROUP"] == ""                                # LogRawEvents is off
    assert env_["METRICS_NAMESPACE"] == f"ses-migration/{long}/SES"
    assert (env_["ERROR_KMS_KEY"], env_["MASK_KEY_SECRET"]) == (stacks.outputs(env, "base")["RawKeyArn"], stacks.outputs(env, "base")["MaskKeySecretArn"])
    asked = stacks.record(env, "enhanced-kinesis", "Function").properties["Code"]
    assert asked["S3Bucket"] == f"ses-migration-{env}-artifacts-{emulator.ACCOUNT}" and asked["S3Key"].startswith("mask-events/")
    documented = (INFRA / "lambda" / "mask-events" / "README.md").read_text()
    for variable in env_:
        assert f"`{variable}`" in documented, f"{variable} is no setting of the function"


@BOTH
def test_processor_stays_within_6_mb(stacks, env, long):
    d = stacks.record(env, "enhanced-kinesis", "MaskedStream").properties["ExtendedS3DestinationConfiguration"]
    p = {x["ParameterName"]: x["ParameterValue"] for x in d["ProcessingConfiguration"]["Processors"][0]["Parameters"]}
    assert float(p["BufferSizeInMBs"]) * 4 / 3 * 2 < 6      # base64, and an answer as large as the request and half again


@BOTH
def test_log_groups(stacks, env, long):
    groups = {g["logGroupName"]: g for g in emulator.client("logs").describe_log_groups()["logGroups"]}
    base = stacks.outputs(env, "base")
    raw, masked = base["RawKeyArn"], base["MaskedKeyArn"]
    for name, key in {f"/aws/ses/email-events{SUFFIX[env]}": raw, f"/aws/kinesisfirehose/ses-raw-logs{SUFFIX[env]}": raw,
                      f"/aws/kinesisfirehose/ses-masked-logs{SUFFIX[env]}": masked, f"/aws/lambda/ses-migration-{long}-data-masking-lambda": raw,
                      f"ses-migration-{long}-ses": masked}.items():
        assert groups[name]["retentionInDays"] and groups[name]["kmsKeyId"] == key, name


@BOTH
def test_no_event_rewrites_the_mail(stacks, env, long):
    """Open and click events make SES add a pixel and rewrite links: not by default."""
    kinds = set()
    for r in stacks.of_type(env, "AWS::SES::ConfigurationSetEventDestination"):
        kinds |= set(r.properties["EventDestination"]["MatchingEventTypes"])
    assert kinds == {"send", "delivery", "bounce", "complaint", "reject", "renderingFailure", "deliveryDelay", "subscription"}


# ---- monitoring -------------------------------------------------------------

#: chapter 14: slug -> (warning, critical)
LEVELS = {"success-rate": (99.5, 95), "bounce-rate": (0.5, 5), "complaint-rate": (0.1, 0.5), "delivery-delay": (95, 95), "throughput": (80, 100),
          "daily-volume": (80, 95), "cpu": (80, 90), "memory": (80, 90)}


def alarms(long):
    return {a["AlarmName"]: a for a in emulator.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"ses-migration-{long}-")["MetricAlarms"]}


@BOTH
def test_every_row_of_chapter_14_has_two_levels(stacks, env, long):
    found = alarms(long)
    mon = stacks.outputs(env, "monitoring")
    for slug, thresholds in LEVELS.items():
        for level, threshold in zip(("warning", "critical"), thresholds):
            a = found[f"ses-migration-{long}-{slug}-{level}"]
            assert a["Threshold"] == threshold
            assert a["AlarmActions"] == [mon[f"{level.capitalize()}TopicArn"]]
            assert a["TreatMissingData"] == "notBreaching", "no data is neither success nor failure"


COMPARE = {"LessThanThreshold": operator.lt, "LessThanOrEqualToThreshold": operator.le, "GreaterThanThreshold": operator.gt, "GreaterThanOrEqualToThreshold": operator.ge}

#: slug -> the metric, what few events count as, and values: (good, warned of), (warned of, rolled back at)
EDGES = {"success-rate": ("SendSuccessRate", 100, (99.5, 99.49), (95.01, 95)), "bounce-rate": ("BounceRate", 0, (0.5, 0.51), (4.99, 5)),
         "complaint-rate": ("ComplaintRate", 0, (0.09, 0.1), (0.49, 0.5)), "delivery-delay": (None, 100, (95, 94.9), (95, 94.9)),
         "cpu": ("CPUUtilization", None, (80, 80.1), (90, 90.1)), "memory": ("MemoryUtilization", None, (80, 80.1), (90, 90.1)),
         "throughput": ("Send", None, (79, 80), (99, 100)), "daily-volume": ("Send", None, (79, 80), (94, 95))}


@BOTH
def test_alarms_turn_at_the_edge_of_chapter_14(stacks, env, long):
    found = {r.properties["AlarmName"]: r.properties for r in stacks.of_type(env, "AWS::CloudWatch::Alarm")}
    for slug, (metric, neutral, *edges) in EDGES.items():
        for level, (quiet, loud) in zip(("warning", "critical"), edges):
            a = found[f"ses-migration-{long}-{slug}-{level}"]
            rings = COMPARE[a["ComparisonOperator"]]
            assert rings(loud, float(a["Threshold"])) and not rings(quiet, float(a["Threshold"])), (slug, level)
            want = metric or {"warning": "DeliveredWithinOneMinute", "critical": "DeliveredWithinFiveMinutes"}[level]
            read = {m["MetricStat"]["Metric"]["MetricName"] for m in a.get("Metrics", []) if "MetricStat" in m} or {a["MetricName"]}
            assert read == {want}, (slug, level)
            if neutral is not None:
                assert a["Metrics"][0]["Expression"].endswith(f", value, {neutral})") and not rings(neutral, float(a["Threshold"]))
                assert {m["Id"]: m["MetricStat"]["Stat"] for m in a["Metrics"][1:]} == {"value": "Average", "n": "SampleCount"}


def matches(pattern, event):
    """CloudWatch Logs' filter pattern over an event, as far as the templates use it."""
    def one(m):
        value = event
        for part in m[1].split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return "False"
        if m[3].startswith('"'):
            return str(fnmatch.fnmatchcase(str(value), m[3].strip('"')) is (m[2] == "="))
        return str({"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[m[2]](value, float(m[3])))
    text = re.sub(r'\$\.([\w.]+) (!=|<=|>=|=|<|>) ("[^"]*"|[0-9]+)', one, pattern.strip().strip("{}"))
    return eval(text.replace("&&", "and").replace("||", "or").strip(), {"__builtins__": {}})


def delivered(ms):
    return {"eventType": "delivery", "delivery": {"processingTimeMillis": ms}}


@BOTH
def test_events_count_as_what_they_are(stacks, env, long):
    filters = [r.properties for r in stacks.of_type(env, "AWS::Logs::MetricFilter") if r.properties["LogGroupName"].startswith("/aws/ses/")]

    def counted(event):
        got = [(t["MetricName"], t["MetricValue"]) for f in filters if matches(f["FilterPattern"], event) for t in f["MetricTransformations"]]
        assert len(dict(got)) == len(got), f"counted twice: {got}"
        return dict(got)

    fine = {"SendSuccessRate": "100", "BounceRate": "0", "ComplaintRate": "0", "DeliveryDelay": "$.delivery.processingTimeMillis"}
    for ms, one, five in ((60000, "100", "100"), (60001, "0", "100"), (299999, "0", "100"), (300000, "0", "0")):      # <= 1 min, >= 5 min
        assert counted(delivered(ms)) == {**fine, "DeliveredWithinOneMinute": one, "DeliveredWithinFiveMinutes": five}
    assert counted({"eventType": "bounce", "bounce": {"bounceSubType": "General"}}) == {"SendSuccessRate": "0", "BounceRate": "100"}
    assert counted({"eventType": "bounce", "bounce": {"bounceSubType": "OnAccountSuppressionList"}}) == {"SendSuccessRate": "0"}
    for kind in ("reject", "rendering failure", "renderingfailure"):
        assert counted({"eventType": kind}) == {"SendSuccessRate": "0", "BounceRate": "0"}
    assert counted({"eventType": "complaint"}) == {"ComplaintRate": "100"}
    assert counted({"eventType": "send"}) == {"SendEvents": "1"}
    for kind in ("deliverydelay", "subscription", "open", "click"):
        assert counted({"eventType": kind}) == {}


@BOTH
def test_rates_have_a_minimum_sample(stacks, env, long):
    sample = {"dev": 20, "prod": 200}[env]
    for slug in ("success-rate", "bounce-rate", "complaint-rate", "delivery-delay"):
        for level in ("warning", "critical"):
            r = next(r for r in stacks.of_type(env, "AWS::CloudWatch::Alarm") if r.name == f"ses-migration-{long}-{slug}-{level}")
            expression = next(m["Expression"] for m in r.properties["Metrics"] if "Expression" in m)
            assert expression.startswith(f"IF(n >= {sample}, value, ")


@BOTH
def test_metrics_that_alarms_read_are_made(stacks, env, long):
    """In the namespace of S-102: by a metric filter here, by the masking function or by the relay."""
    namespace = f"ses-migration/{long}/SES"
    made = {t["MetricName"] for r in stacks.of_type(env, "AWS::Logs::MetricFilter") for t in r.properties["MetricTransformations"]
            if t["MetricNamespace"] == namespace}
    assert "SendSuccessRate" in made
    by_function = {w for w in (INFRA / "lambda" / "mask-events" / "README.md").read_text().split("`") if w.isidentifier()}
    read = set()
    for r in stacks.of_type(env, "AWS::CloudWatch::Alarm"):
        p = r.properties
        if p.get("Namespace") == namespace:
            read.add(p["MetricName"])
        read |= {m["MetricStat"]["Metric"]["MetricName"] for m in p.get("Metrics", []) if m.get("MetricStat", {}).get("Metric", {}).get("Namespace") == namespace}
    by_relay = {w for w in (INFRA.parent / "docs" / "cloudwatch.md").read_text().split("`") if w.isidentifier()}
    assert read and read <= made | by_function | by_relay, read - made - by_function - by_relay


@BOTH
def test_rollback_alarm(stacks, env, long):
    """S-89: success, delay, bounce; monitoring, log collection, masking not working."""
    p = stacks.record(env, "monitoring", "Rollback").properties
    assert p["AlarmName"] == f"ses-migration-{long}-rollback"
    found = alarms(long)
    for slug in ("success-rate-critical", "bounce-rate-critical", "delivery-delay-critical", "complaint-rate-critical", "ses-counters-silent-critical",
                 "event-log-silent-critical", "masked-log-silent-critical", "masking-critical", "masking-failures-critical",
                 "raw-delivery-critical", "masked-delivery-critical"):
        assert f'ALARM("ses-migration-{long}-{slug}")' in p["AlarmRule"]
        assert f"ses-migration-{long}-{slug}" in found
    assert p["AlarmActions"] == [stacks.outputs(env, "monitoring")["CriticalTopicArn"]]


@BOTH
def test_saved_queries(stacks, env, long):
    queries = {r.properties["Name"]: r.properties for r in stacks.of_type(env, "AWS::Logs::QueryDefinition")}
    assert queries and all(n.startswith(f"ses-migration-{long}") for n in queries)
    bounces = queries[f"ses-migration-{long}-bounces"]
    assert bounces["LogGroupNames"] == [f"/aws/ses/email-events{SUFFIX[env]}"]
    assert 'filter eventType = "bounce"' in bounces["QueryString"]
    existing = {g["logGroupName"] for g in emulator.client("logs").describe_log_groups()["logGroups"]}
    for q in queries.values():
        assert set(q["LogGroupNames"]) <= existing


@BOTH
def test_dashboard(stacks, env, long):
    body = json.loads(emulator.client("cloudwatch").get_dashboard(DashboardName=f"ses-migration-{long}")["DashboardBody"])
    text = json.dumps(body)
    assert "${" not in text
    for metric in ("SendSuccessRate", "BounceRate", "ComplaintRate", "DeliveredWithinOneMinute", "CPUUtilization", "MemoryUtilization", "ThrottledRecords"):
        assert metric in text
    occupied = set()
    for w in body["widgets"]:
        cells = {(x, y) for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])}
        assert not cells & occupied and all(x < 24 for x, _ in cells)
        occupied |= cells


# ---- security ---------------------------------------------------------------

@BOTH
def test_groups_and_policies(stacks, env, long):
    iam = emulator.client("iam")
    for kind in ("admin", "readonly", "monitoring"):
        group = f"ses-migration-{long}-{kind}-group"
        attached = {p["PolicyName"] for p in iam.list_attached_group_policies(GroupName=group)["AttachedPolicies"]}
        assert f"ses-migration-{long}-ip-restriction" in attached
    arn = f"arn:aws:iam::{emulator.ACCOUNT}:policy/ses-migration-{long}-ip-restriction"
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    statement = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]["Statement"][0]
    assert statement["Condition"]["NotIpAddress"]["aws:SourceIp"] == ["202.217.75.98/32", "202.217.75.91/32", "202.217.75.88/32", "202.217.75.81/32"]
    assert iam.get_policy(PolicyArn=arn.replace("ip-restriction", "ses-access"))


@BOTH
def test_sending_filter_takes_the_environments_own_addresses(stacks, env, long):
    """X-10: two for sending, all four for people."""
    p = stacks.record(env, "ses", "SendingFilter").properties["PolicyDocument"]["Statement"][0]
    assert set(p["Condition"]["NotIpAddress"]["aws:SourceIp"]) == set(ADDRESSES[env])


def test_one_trail_and_one_analyzer_in_the_account(stacks):
    assert [t["Name"] for t in emulator.client("cloudtrail").describe_trails()["trailList"]] == ["ses-migration-production-trail"]
    assert emulator.client("cloudtrail").get_trail_status(Name="ses-migration-production-trail")["IsLogging"]
    asked = stacks.record("prod", "security", "AuditTrail").properties
    assert asked["IsMultiRegionTrail"] is True and asked["IncludeGlobalServiceEvents"] is True      # IAM and sign-ins are recorded in another region
    assert asked["EnableLogFileValidation"] is True
    selected = {tuple(sorted((f["Field"], *map(str, next(v for k, v in f.items() if k != "Field"))) for f in s["FieldSelectors"]))[0][1] for s in asked["AdvancedEventSelectors"]}
    assert selected == {"Management", "Data"}
    assert [r.name for e in ENVIRONMENTS for r in stacks.of_type(e, "AWS::AccessAnalyzer::Analyzer")] == ["ses-migration-production-analyzer"]


# ---- everything -------------------------------------------------------------

@BOTH
def test_every_type_was_created_or_recorded_with_a_reason(stacks, env, long):
    from moto.cloudformation import parsing

    from emulator.backing import BACK, RECORDED
    for r in emulator.DEPLOYED.values():
        assert r.type in BACK or r.type in RECORDED or r.type in parsing.get_model_map(), r.type
        assert r.resource is not None


@BOTH
def test_what_can_be_tagged_is_tagged(stacks, env, long):
    """In the template too, for what does not take the stack's tags over."""
    from emulator.strict import schema
    for r in emulator.DEPLOYED.values():
        if not r.stack.startswith(f"ses-migration-{env}-") or "Tags" not in schema(r.type)["properties"]:
            continue
        if r.type in ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::IAM::Role", "AWS::Lambda::Function", "AWS::KinesisFirehose::DeliveryStream", "AWS::Logs::LogGroup",
                      "AWS::SES::EmailIdentity", "AWS::SES::ConfigurationSet", "AWS::ECS::Service", "AWS::SNS::Topic", "AWS::SecretsManager::Secret"):
            if r.stack.endswith("-network"):
                continue
            assert {"Key": "Environment", "Value": long} in r.properties["Tags"], f"{r.stack} {r.logical_id}"


def test_network_with_a_transit_gateway(stacks):
    """The way to the Postfix servers, made only when it is named."""
    from test_refusals import ARN_KEY, create
    gateway = emulator.client("ec2").create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    create("network.yaml", {"Environment": "development", "ProjectCode": "gateway", "VpcCidr": "172.30.0.0/20", "TransitGatewayId": gateway,
                            "MaskedKeyArn": ARN_KEY}, name="gateway")
    routes = {r.logical_id: r.properties for r in emulator.DEPLOYED.values() if r.stack == "gateway" and r.type == "AWS::EC2::Route"}
    assert {routes[f"OnPremises{n}{z}"]["DestinationCidrBlock"] for n in "12" for z in "AB"} == {"10.0.0.0/8", "192.168.1.0/24"}
    assert all(r.get("TransitGatewayId") == gateway for n, r in routes.items() if n.startswith("OnPremises"))
    emulator.client("cloudformation").delete_stack(StackName="gateway")
