"""Settings that deploy whatever their value, and that only an incident would tell apart."""
import re

import pytest

import alarms
import emulator
import template
from conftest import ENVIRONMENTS
from test_alarms import found
from test_deploy import matches
from test_refusals import create, deployed
from test_relay import Alone, configuration

BOTH = pytest.mark.parametrize("env,long", ENVIRONMENTS.items())


def slow(alarm):
    """Seconds that a condition lasts before the alarm rings."""
    periods = [m["MetricStat"]["Period"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm["Period"]]
    assert len(set(map(int, periods))) == 1, f"{alarm['AlarmName']} mixes periods"
    return int(periods[0]) * int(alarm["EvaluationPeriods"])


# ---- base, ses --------------------------------------------------------------

@BOTH
def test_how_long_data_are_kept(stacks, env, long):
    def rules(name):
        return {r["Id"]: r for r in stacks.record(env, "base", name).properties["LifecycleConfiguration"]["Rules"]}
    assert int(rules("MaskedBucket")["errors-soon-gone"]["ExpirationInDays"]) <= 30      # may hold raw data
    days = {n: int(rules(n)[r]["ExpirationInDays"]) for n, r in (("RawBucket", "cheaper-then-gone"), ("MaskedBucket", "cheaper-then-gone"), ("ErrorBucket", "gone"))}
    assert days == {"RawBucket": 365, "MaskedBucket": 731, "ErrorBucket": 90}
    bounced, = rules("SuppressionBucket").values()      # what an import left behind
    assert int(bounced["ExpirationInDays"]) <= 7 and "Prefix" not in bounced
    prefixes = [stacks.record(env, "base", n).properties["LoggingConfiguration"]["LogFilePrefix"] for n in ("RawBucket", "MaskedBucket", "ErrorBucket", "ArtifactBucket", "SuppressionBucket")]
    assert len(set(prefixes)) == 5
    images = stacks.record(env, "base", "RelayRepository").properties["LifecyclePolicy"]["LifecyclePolicyText"]
    assert int(re.search(r'"countNumber":(\d+)', images)[1]) >= 10      # a rollback finds its image
    retention = {r.name: int(r.properties["RetentionInDays"]) for r in stacks.of_type(env, "AWS::Logs::LogGroup")}
    assert set(retention.values()) <= {90, 365}, retention


@BOTH
def test_identity_signs_and_never_holds_mail_back(stacks, env, long):
    r, = stacks.of_type(env, "AWS::SES::EmailIdentity")
    assert r.properties["MailFromAttributes"]["BehaviorOnMxFailure"] == "USE_DEFAULT_VALUE"      # the other value refuses all mail when DNS fails
    assert r.properties["DkimSigningAttributes"] == {"NextSigningKeyLength": "RSA_2048_BIT"}
    assert r.properties["ConfigurationSetAttributes"] == {"ConfigurationSetName": f"ses-migration-{long}-config-set"}
    raw = template.load("ses.yaml")["Resources"]["Identity"]
    assert (raw["DeletionPolicy"], raw["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


@BOTH
def test_the_filter_knows_every_way_of_sending(stacks, env, long):
    statement, = stacks.record(env, "ses", "SendingFilter").properties["PolicyDocument"]["Statement"]
    assert set(statement["Action"]) == {f"ses:Send{a}" for a in ("Email", "RawEmail", "BulkEmail", "TemplatedEmail", "BulkTemplatedEmail", "CustomVerificationEmail", "Bounce")}


# ---- enhanced-kinesis -------------------------------------------------------

@BOTH
def test_both_streams_get_every_event(stacks, env, long):
    seen = {}
    for r in stacks.of_type(env, "AWS::SES::ConfigurationSetEventDestination"):
        d = r.properties["EventDestination"]
        if "KinesisFirehoseDestination" in d:
            assert d["Enabled"] is True
            seen[d["KinesisFirehoseDestination"]["DeliveryStreamARN"].split("/")[1]] = set(d["MatchingEventTypes"])
    every = {"send", "delivery", "bounce", "complaint", "reject", "renderingFailure", "deliveryDelay", "subscription"}
    assert seen == {f"ses-migration-{env}-{k}-logs-stream": every for k in ("raw", "masked")}


@BOTH
def test_objects_are_what_their_names_say(stacks, env, long):
    for kind in ("Raw", "Masked"):
        p = stacks.record(env, "enhanced-kinesis", f"{kind}Stream").properties["ExtendedS3DestinationConfiguration"]
        assert (p["CompressionFormat"], p["FileExtension"]) == ("GZIP", ".json.gz")
        assert p["ErrorOutputPrefix"] == "errors/!{firehose:error-output-type}/" + p["Prefix"]


@BOTH
def test_the_function_has_time_and_firehose_patience(stacks, env, long):
    assert 60 <= int(stacks.record(env, "enhanced-kinesis", "Function").properties["Timeout"]) <= 300
    processor, = stacks.record(env, "enhanced-kinesis", "MaskedStream").properties["ExtendedS3DestinationConfiguration"]["ProcessingConfiguration"]["Processors"]
    # a call that fails for good leaves the untouched records in errors/ (X-37)
    assert {p["ParameterName"]: p["ParameterValue"] for p in processor["Parameters"]}["NumberOfRetries"] == "300"


# ---- monitoring -------------------------------------------------------------

@BOTH
def test_alarms_ring_when_their_text_says(stacks, env, long):
    said = 0
    for slug, a in found(stacks, env).items():
        if m := re.search(r"for (?:longer than )?(\d+) minutes", a["AlarmDescription"]):
            assert slow(a) == 60 * int(m[1]), slug
            said += 1
    assert said >= 12
    late = {s: slow(a) for s, a in found(stacks, env).items() if s in ("success-rate-critical", "bounce-rate-critical", "complaint-rate-critical", "delivery-delay-critical",
                                                                      "masking-failures-critical", "masking-critical", "throughput-critical", "relay-not-ready-critical")}
    assert len(late) == 8 and max(late.values()) <= 600, late


@BOTH
def test_one_is_enough_where_none_is_right(stacks, env, long):
    a = found(stacks, env)
    metrics = {"masking-failures-critical": "MaskingFailures", "log-lines-failed-warning": "LogLinesFailed", "masking-errors-warning": "Errors", "masking-throttled-warning": "Throttles"}
    function = [{"Name": "FunctionName", "Value": f"ses-migration-{long}-data-masking-lambda"}]
    for slug, metric in metrics.items():
        assert (a[slug]["MetricName"], a[slug]["Dimensions"], a[slug]["Statistic"]) == (metric, function, "Sum")
    for slug in [*metrics, "raw-delivery-throttled-warning", "masked-delivery-throttled-warning", "relay-unhealthy-warning"] + (["privilege-changes-warning"] if env == "prod" else []):
        assert a[slug]["ComparisonOperator"] == "GreaterThanThreshold" and float(a[slug]["Threshold"]) == 0, slug
    assert a["relay-not-ready-critical"]["TreatMissingData"] == "breaching" and float(a["relay-not-ready-critical"]["Threshold"]) == 1
    assert 50 <= float(a["valkey-memory-warning"]["Threshold"]) <= 80
    for slug, p in a.items():
        if slug not in ("denied-calls-warning", "privilege-changes-warning", "sign-ins-warning"):      # calls that were made stay made
            assert p["OKActions"] == p["AlarmActions"], slug


@BOTH
def test_alarms_look_at_this_relay_and_this_set(stacks, env, long):
    a = found(stacks, env)
    service = [{"Name": n, "Value": f"ses-migration-{long}-relay"} for n in ("ClusterName", "ServiceName")]
    for slug in ("cpu-warning", "cpu-critical", "memory-warning", "memory-critical"):
        assert a[slug]["Dimensions"] == service and a[slug]["Namespace"] == "AWS/ECS"
    sent = ("AWS/SES", "Send", {"ses:configuration-set": f"ses-migration-{long}-config-set"}, "Sum")
    for kind, period in (("throughput", 60), ("daily-volume", 86400)):
        for level in ("warning", "critical"):
            assert alarms.sources(a[f"{kind}-{level}"]) == {"sent": sent}
            assert {int(m["MetricStat"]["Period"]) for m in a[f"{kind}-{level}"]["Metrics"] if "MetricStat" in m} == {period}


@BOTH
def test_errors_of_the_system_are_counted(stacks, env, long):
    pattern = stacks.record(env, "monitoring", "SystemErrors").properties["FilterPattern"]
    assert matches(pattern, {"level": "ERROR"}) and matches(pattern, {"level": "error"}) and not matches(pattern, {"level": "INFO"})


@BOTH
def test_masked_queries_read_masked_events(stacks, env, long):
    masked = stacks.record(env, "enhanced-kinesis", "MaskedLogGroup").properties["LogGroupName"]
    queries = [r.properties for r in stacks.of_type(env, "AWS::Logs::QueryDefinition") if "-masked-" in r.properties["Name"]]
    assert len(queries) == 3 and all(q["LogGroupNames"] == [masked] for q in queries)


def test_each_topic_tells_its_own_address():
    resources = template.load("monitoring.yaml")["Resources"]
    for level, condition in (("Warning", "MailWarnings"), ("Critical", "MailCritical")):
        s = resources[f"{level}Subscription"]
        assert s["Condition"] == condition and s["Properties"] == {"TopicArn": {"Ref": f"{level}Topic"}, "Protocol": "email", "Endpoint": {"Ref": f"{level}Email"}}


# ---- security ---------------------------------------------------------------

def test_what_the_audit_trail_records_and_tells(stacks):
    trail = stacks.record("prod", "security", "AuditTrail").properties
    assert trail["IsLogging"] is True
    data = {f["Field"]: f for s in trail["AdvancedEventSelectors"] for f in s["FieldSelectors"] if s["Name"] != "management events"}
    assert set(data["eventName"]["Equals"]) == {"GetObject", "DeleteObject", "DeleteObjects"}
    assert set(data["resources.ARN"]["StartsWith"]) == {f"arn:aws:s3:::ses-migration-prod-{k}-logs/" for k in ("raw", "error")}
    kept = stacks.record("prod", "security", "TrailBucket").properties["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"]
    assert int(kept) >= 7 * 365
    filters = {n: stacks.record("prod", "security", n).properties["FilterPattern"] for n in ("DeniedFilter", "PrivilegeFilter", "SignInFilter")}
    for code in ("AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"):
        assert matches(filters["DeniedFilter"], {"errorCode": code})
    assert not matches(filters["DeniedFilter"], {"errorCode": "NoSuchBucket"})
    for name in ("AttachGroupPolicy", "DetachRolePolicy", "PutUserPolicy", "DeleteGroupPolicy", "CreatePolicyVersion", "SetDefaultPolicyVersion", "AddUserToGroup",
                 "RemoveUserFromGroup", "CreateAccessKey", "UpdateAssumeRolePolicy"):
        assert matches(filters["PrivilegeFilter"], {"eventSource": "iam.amazonaws.com", "eventName": name}), name
    assert not matches(filters["PrivilegeFilter"], {"eventSource": "iam.amazonaws.com", "eventName": "ListUsers"})
    assert matches(filters["SignInFilter"], {"userIdentity": {"type": "Root"}, "eventName": "x"})
    assert matches(filters["SignInFilter"], {"userIdentity": {"type": "IAMUser"}, "eventName": "ConsoleLogin", "errorMessage": "Failed authentication"})
    assert not matches(filters["SignInFilter"], {"userIdentity": {"type": "IAMUser"}, "eventName": "ConsoleLogin"})


# ---- relay, network ---------------------------------------------------------

@BOTH
def test_a_deployment_takes_no_mail_away(stacks, env, long):
    service = stacks.record(env, "relay", "Service")
    how = service.properties["DeploymentConfiguration"]
    assert int(how["MinimumHealthyPercent"]) == 100 and int(how["MaximumPercent"]) >= 150 and how["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert 30 <= int(service.properties["HealthCheckGracePeriodSeconds"]) <= 120
    # ECS refuses target groups that no listener uses yet
    assert set(template.load("relay.yaml")["Resources"]["Service"]["DependsOn"]) == {"SmtpListener", "SubmissionListener", "AdminListener"}
    for name in ("SmtpTargets", "SubmissionTargets", "AdminTargets"):
        p = stacks.record(env, "relay", name).properties
        assert int(p["HealthCheckIntervalSeconds"]) * int(p["UnhealthyThresholdCount"]) <= 30
    attributes = {x["Key"]: x["Value"] for x in stacks.record(env, "relay", "Balancer").properties["LoadBalancerAttributes"]}
    assert attributes == {"load_balancing.cross_zone.enabled": "true", "deletion_protection.enabled": {"dev": "false", "prod": "true"}[env]}
    for p in (r.properties["TargetTrackingScalingPolicyConfiguration"] for r in stacks.of_type(env, "AWS::ApplicationAutoScaling::ScalingPolicy")):
        assert int(p["ScaleOutCooldown"]) <= 60 and int(p["ScaleInCooldown"]) >= 300


@BOTH
def test_each_port_leads_to_its_own_targets(stacks, env, long):
    listeners, services = template.load("relay.yaml")["Resources"], {c["ContainerPort"] for c in stacks.record(env, "relay", "Service").properties["LoadBalancers"]}
    ways = {listeners[n]["Properties"]["Port"]: listeners[n]["Properties"]["DefaultActions"][0]["TargetGroupArn"]["Ref"] for n in ("SmtpListener", "SubmissionListener", "AdminListener")}
    assert ways == {25: "SmtpTargets", 587: "SubmissionTargets", 8025: "AdminTargets"} and services == {2525, 2587, 8025}


@BOTH
def test_nothing_goes_round_the_load_balancer(stacks, env, long):
    """A PROXY header is believed from its subnets: nobody else may reach the ports."""
    balancer = stacks.record(env, "relay", "BalancerGroup").resource.physical_resource_id
    rules = stacks.record(env, "relay", "TaskGroup").properties["SecurityGroupIngress"]
    assert {(r["FromPort"], r["ToPort"], r.get("SourceSecurityGroupId")) for r in rules} == {(p, p, balancer) for p in (2525, 2587, 8025)}
    assert all(r.properties.get("PrivateDnsEnabled") is True for r in stacks.of_type(env, "AWS::EC2::VPCEndpoint") if r.properties["VpcEndpointType"] == "Interface")


@BOTH
def test_the_log_has_no_addresses_and_memory_has_an_end(stacks, env, long):
    _, got = configuration(stacks, env)
    assert got["log"]["addresses"] == "masked" and got["log"]["format"] == "json"
    task = stacks.record(env, "relay", "Task").properties
    relay, = [c for c in task["ContainerDefinitions"] if c["Name"] == "relay"]
    limit = int({e["Name"]: e["Value"] for e in relay["Environment"]}["GOMEMLIMIT"].removesuffix("MiB"))
    assert limit == int(task["Memory"]) * 7 / 8       # the collector works harder before the kernel kills
    for memory, row in template.load("relay.yaml")["Mappings"]["Memory"].items():
        assert int(row["Go"].removesuffix("MiB")) == int(memory) * 7 / 8


def test_with_a_certificate_submission_needs_tls(stacks):
    secret = "arn:aws:secretsmanager:ap-northeast-1:" + emulator.ACCOUNT + ":secret:tls-AbCdEf"
    create("relay.yaml", {**deployed("dev", "relay"), "ProjectCode": "secure", "SharedState": "none", "TlsSecretArn": secret, "UsersSecretArn": secret, "CuenoteUsername": "relay"}, name="secure")
    made = {name: r for (stack, name), r in emulator.DEPLOYED.items() if stack == "secure"}
    emulator.client("cloudformation").delete_stack(StackName="secure")
    _, got = configuration(Alone(made), "dev")
    assert [x["tls"] for x in got["listeners"]] == ["starttls", "required"]
    assert got["tls"] == {"certificate_file": "/etc/relay/tls.crt", "key_file": "/etc/relay/tls.key"}
    assert got["access"]["users_file"] == "/etc/relay/users" and got["cuenote"]["password_file"] == "/etc/relay/cuenote-password"
    configure, = [c for c in made["Task"].properties["ContainerDefinitions"] if c["Name"] == "configure"]
    assert {s["Name"] for s in configure["Secrets"]} == {"TOKENS", "MASK_KEY", "CUENOTE_PASSWORD", "USERS", "TLS_CERTIFICATE", "TLS_KEY"}
    readable = [s for p in made["ExecutionRole"].properties["Policies"] for s in p["PolicyDocument"]["Statement"] if s["Sid"] == "ReadTheSecrets"][0]["Resource"]
    assert secret in readable and deployed("dev", "relay")["CuenotePasswordSecretArn"] in readable


@BOTH
def test_each_zone_has_its_own_way_out(stacks, env, long):
    of = {n: stacks.record(env, "network", n) for n in ("NatA", "NatB", "PrivateDefaultA", "PrivateDefaultB", "PrivateSubnetA", "PrivateSubnetB", "FlowLog")}
    assert of["NatA"].properties["AllocationId"] != of["NatB"].properties["AllocationId"]
    assert all(of[f"PrivateDefault{z}"].properties["NatGatewayId"] == of[f"Nat{z}"].resource.physical_resource_id for z in "AB")
    assert of["PrivateSubnetA"].properties["AvailabilityZone"] != of["PrivateSubnetB"].properties["AvailabilityZone"]
    assert of["FlowLog"].properties["TrafficType"] == "REJECT"
    kept = template.load("network.yaml")["Resources"]
    assert all((kept[f"Address{z}"]["DeletionPolicy"], kept[f"Address{z}"]["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain") for z in "AB")


def test_how_many_flows_a_task_carries(stacks):
    policy = stacks.record("prod", "relay", "ScaleOnConnections").properties["TargetTrackingScalingPolicyConfiguration"]
    assert float(policy["TargetValue"]) == 500
    each, = [m["Expression"] for m in policy["CustomizedMetricSpecification"]["Metrics"] if m["ReturnData"]]
    assert alarms.value(each, {"flows": 1000, "tasks": 4}) == 250
