"""Each arrow between services: who may do what on which ARN, under which conditions.

What an arrow needs is written down here from the services' documentation, not
read from the templates. The last tests take every permission, condition and
denial away, one at a time: each must be missed by some arrow, so nothing
needed is absent and nothing present is unneeded.
"""
import pytest

import emulator
from conftest import ENVIRONMENTS
from policy import World

A, R = emulator.ACCOUNT, emulator.REGION
ELSEWHERE = "198.51.100.7"
ENVS = pytest.mark.parametrize("env", ENVIRONMENTS)


class Facts:
    """The ARNs and names of one environment, from the deployed resources."""

    def __init__(self, stacks, env):
        self.env, self.long = env, ENVIRONMENTS[env]
        base, kinesis, mon = stacks.outputs(env, "base"), stacks.outputs(env, "enhanced-kinesis"), stacks.outputs(env, "monitoring")
        self.raw, self.masked, self.error = base["RawBucketArn"], base["MaskedBucketArn"], base["ErrorBucketArn"]
        self.suppression = base["SuppressionBucketArn"]
        self.raw_key, self.masked_key = base["RawKeyArn"], base["MaskedKeyArn"]
        self.base, self.kinesis, self.mon = base, kinesis, mon
        self.set_arn = f"arn:aws:ses:{R}:{A}:configuration-set/ses-migration-{self.long}-config-set"
        domain = "goo.ne.jp" if env == "prod" else "dev.goo.ne.jp"
        self.identity = f"arn:aws:ses:{R}:{A}:identity/{domain}"
        suffix = "" if env == "prod" else "-development"
        self.events_log = self.log(f"/aws/ses/email-events{suffix}")
        self.raw_log = self.log(f"/aws/kinesisfirehose/ses-raw-logs{suffix}")
        self.masked_log = self.log(f"/aws/kinesisfirehose/ses-masked-logs{suffix}")
        self.system_log = self.log(f"ses-migration-{self.long}-ses")
        self.function = kinesis["FunctionArn"]
        self.function_log = self.log(f"/aws/lambda/ses-migration-{self.long}-data-masking-lambda")
        self.stacks = stacks
        self.allowed = "202.217.75.98" if env == "prod" else "202.217.75.88"

    def log(self, name):
        return f"arn:aws:logs:{R}:{A}:log-group:{name}"

    def record(self, stack, logical_id):
        return self.stacks.record(self.env, stack, logical_id)

    def of_type(self, t):
        return self.stacks.of_type(self.env, t)

    def role(self, name):
        return f"arn:aws:iam::{A}:role/ses-migration-{self.long}-{name}"


def via(service):
    return {"kms:ViaService": f"{service}.{R}.amazonaws.com"}


# Every arrow yields (what, whether it holds).

def ses_to_firehose(w, f):
    for r in f.of_type("AWS::SES::ConfigurationSetEventDestination"):
        d = r.properties["EventDestination"].get("KinesisFirehoseDestination")
        if not d:
            continue
        name, role = r.logical_id, d["IAMRoleARN"]
        source = {"aws:SourceAccount": A, "aws:SourceArn": f.set_arn}
        yield f"{name}: SES assumes", w.assumes("ses.amazonaws.com", role, **source)
        yield f"{name}: not for another account", not w.assumes("ses.amazonaws.com", role, **{**source, "aws:SourceAccount": "999999999999"})
        yield f"{name}: not for another set", not w.assumes("ses.amazonaws.com", role, **{**source, "aws:SourceArn": f.set_arn + "-2"})
        yield f"{name}: puts", w.may(role, "firehose:PutRecordBatch", d["DeliveryStreamARN"])
        yield f"{name}: only there", not w.may(role, "firehose:PutRecordBatch", d["DeliveryStreamARN"] + "x")
    streams = {f.kinesis["RawStreamArn"], f.kinesis["MaskedStreamArn"]}
    reached = {r.properties["EventDestination"]["KinesisFirehoseDestination"]["DeliveryStreamARN"]
               for r in f.of_type("AWS::SES::ConfigurationSetEventDestination") if "KinesisFirehoseDestination" in r.properties["EventDestination"]}
    yield "both streams are reached", streams == reached


def firehose_to_s3(w, f):
    for r in f.of_type("AWS::KinesisFirehose::DeliveryStream"):
        d, n = r.properties["ExtendedS3DestinationConfiguration"], r.logical_id
        role, bucket, key = d["RoleARN"], d["BucketARN"], d["EncryptionConfiguration"]["KMSEncryptionConfig"]["AWSKMSKeyARN"]
        yield f"{n}: Firehose assumes", w.assumes("firehose.amazonaws.com", role, **{"sts:ExternalId": A})
        yield f"{n}: not for another account", not w.assumes("firehose.amazonaws.com", role, **{"sts:ExternalId": "999999999999"})
        for action in ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"):
            yield f"{n}: {action}", w.may(role, action, bucket)
        for action in ("s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"):
            yield f"{n}: {action}", w.may(role, action, f"{bucket}/year=2026/month=11/day=23/x.json.gz")
        yield f"{n}: errors", w.may(role, "s3:PutObject", f"{bucket}/errors/processing-failed/x")
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            yield f"{n}: {action}", w.may(role, action, key, **via("s3"))
            yield f"{n}: {action} for S3 only", not w.may(role, action, key, **via("secretsmanager"))
        log = d["CloudWatchLoggingOptions"]
        yield f"{n}: logs", w.may(role, "logs:PutLogEvents", f.log(log["LogGroupName"]) + ":log-stream:" + log["LogStreamName"])
        other = f.raw if bucket == f.masked else f.masked
        yield f"{n}: not the other bucket", not w.may(role, "s3:PutObject", f"{other}/x")
        yield f"{n}: TLS only", not w.may(role, "s3:PutObject", f"{bucket}/year=x", **{"aws:SecureTransport": "false"})
        yield f"{n}: no old TLS", not w.may(role, "s3:PutObject", f"{bucket}/year=x", **{"s3:TlsVersion": "1.1"})


def firehose_to_function(w, f):
    d = f.record("enhanced-kinesis", "MaskedStream").properties["ExtendedS3DestinationConfiguration"]
    processor, = d["ProcessingConfiguration"]["Processors"]
    p = {x["ParameterName"]: x["ParameterValue"] for x in processor["Parameters"]}
    yield "the stream calls this function", p["LambdaArn"].startswith(f.function)
    yield "with its own role", p["RoleArn"] == d["RoleARN"]
    for action in ("lambda:InvokeFunction", "lambda:GetFunctionConfiguration"):
        yield action, w.may(d["RoleARN"], action, p["LambdaArn"])
        yield f"{action} unqualified", w.may(d["RoleARN"], action, f.function)
        yield f"{action} no other", not w.may(d["RoleARN"], action, f.function[:-1])


def function(w, f):
    fn = f.record("enhanced-kinesis", "Function").properties
    role = fn["Role"]
    yield "Lambda assumes", w.assumes("lambda.amazonaws.com", role)
    yield "nobody else", not w.assumes("ecs-tasks.amazonaws.com", role)
    env = fn["Environment"]["Variables"]
    groups = [env["EVENT_LOG_GROUP"], env["MASKED_LOG_GROUP"], f"/aws/lambda/{fn['FunctionName']}", f.raw_log.split("log-group:")[1]]
    for g in groups:
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield f"{action} {g}", w.may(role, action, f.log(g) + ":log-stream:2026/11/23/0")
    yield "no other log", not w.may(role, "logs:PutLogEvents", f.log("other") + ":log-stream:x")
    for prefix in ("masking-failed", "logs-failed"):
        yield f"error bucket {prefix}", w.may(role, "s3:PutObject", f"arn:aws:s3:::{env['ERROR_BUCKET']}/{prefix}/2026/x")
    yield "key of the error bucket", w.may(role, "kms:GenerateDataKey", env["ERROR_KMS_KEY"], **via("s3"))
    yield "secret", w.may(role, "secretsmanager:GetSecretValue", env["MASK_KEY_SECRET"])
    yield "key of the secret", w.may(role, "kms:Decrypt", f.raw_key, **via("secretsmanager"))
    yield "TLS only to the error bucket", not w.may(role, "s3:PutObject", f"{f.error}/masking-failed/x", **{"aws:SecureTransport": "false"})
    yield "no old TLS to the error bucket", not w.may(role, "s3:PutObject", f"{f.error}/masking-failed/x", **{"s3:TlsVersion": "1.0"})
    yield "does not decrypt what lies in S3", not w.may(role, "kms:Decrypt", f.raw_key, **via("s3"))
    yield "does not write data keys for secrets", not w.may(role, "kms:GenerateDataKey", f.raw_key, **via("secretsmanager"))
    yield "does not read the raw bucket", not w.may(role, "s3:GetObject", f"{f.raw}/year=2026/x")


def logs_to_keys(w, f):
    for r in f.of_type("AWS::Logs::LogGroup"):
        key = r.properties.get("KmsKeyId")
        yield f"{r.logical_id} is encrypted", bool(key)
        name = r.properties["LogGroupName"]
        for action in ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey", "kms:DescribeKey"):
            service = f"logs.{R}.amazonaws.com"
            yield f"{name}: {action}", w.service_may(service, action, key, **{"kms:EncryptionContext:aws:logs:arn": f.log(name)})
            yield f"{name}: {action} for this account only", not w.service_may(
                service, action, key, **{"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{R}:999999999999:log-group:{name}"})


def alarms_to_topics(w, f):
    topics = {f.mon["WarningTopicArn"], f.mon["CriticalTopicArn"]}
    for r in f.of_type("AWS::CloudWatch::Alarm") + f.of_type("AWS::CloudWatch::CompositeAlarm"):
        yield f"{r.logical_id} tells somebody", set(r.properties["AlarmActions"]) <= topics and bool(r.properties["AlarmActions"])
    for t in sorted(topics):
        yield f"publish {t}", w.service_may("cloudwatch.amazonaws.com", "sns:Publish", t, **{"aws:SourceAccount": A})
        yield f"publish {t} from this account only", not w.service_may("cloudwatch.amazonaws.com", "sns:Publish", t, **{"aws:SourceAccount": "999999999999"})
        yield f"publish {t} by TLS only", not w.service_may("cloudwatch.amazonaws.com", "sns:Publish", t, **{"aws:SourceAccount": A, "aws:SecureTransport": "false"})
    keys = {r.properties["KmsMasterKeyId"] for r in f.of_type("AWS::SNS::Topic")}
    yield "topics have the masked key", keys == {f.masked_key}
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        yield f"alarms {action}", w.service_may("cloudwatch.amazonaws.com", action, f.masked_key)


def task(w, f):
    role = f.record("relay", "Task").properties["TaskRoleArn"]
    source = {"aws:SourceAccount": A, "aws:SourceArn": f"arn:aws:ecs:{R}:{A}:cluster/x"}
    yield "ECS assumes", w.assumes("ecs-tasks.amazonaws.com", role, **source)
    yield "not another account's ECS", not w.assumes("ecs-tasks.amazonaws.com", role, **{**source, "aws:SourceAccount": "999999999999"})
    yield "not another account's cluster", not w.assumes("ecs-tasks.amazonaws.com", role, **{**source, "aws:SourceArn": f"arn:aws:ecs:{R}:999999999999:cluster/x"})
    nat = f.stacks.outputs(f.env, "network")["NatGatewayIPs"].split(",")[0].split("/")[0]
    endpoint = f.stacks.outputs(f.env, "relay")["SesEndpointId"]
    for action in ("ses:SendEmail", "ses:SendRawEmail"):       # raw content checks both
        for target in (f.identity, f.set_arn):
            yield f"{action} {target} by NAT", w.may(role, action, target, **{"aws:SourceIp": nat})
            yield f"{action} {target} by the endpoint", w.may(role, action, target, **{"aws:SourceVpce": endpoint})
            yield f"{action} {target} not from elsewhere", not w.may(role, action, target, **{"aws:SourceIp": ELSEWHERE})
            yield f"{action} {target} not by another endpoint", not w.may(role, action, target, **{"aws:SourceVpce": "vpce-00000000"})
        yield f"{action} no other identity", not w.may(role, action, f"arn:aws:ses:{R}:{A}:identity/example.com", **{"aws:SourceIp": nat})
    for action in ("ses:GetAccount", "ses:ListEmailIdentities", "cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms"):
        yield action, w.may(role, action)
    yield "ses:GetEmailIdentity", w.may(role, "ses:GetEmailIdentity", f.identity)
    yield "ses:GetConfigurationSet", w.may(role, "ses:GetConfigurationSet", f.set_arn)
    yield "ses:GetConfigurationSetEventDestinations", w.may(role, "ses:GetConfigurationSetEventDestinations", f.set_arn)
    yield "tells of rollbacks", w.may(role, "sns:Publish", f.mon["CriticalTopicArn"])
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        yield f"{action} for the topic", w.may(role, action, f.masked_key, **via("sns"))
        yield f"{action} for nothing else", not w.may(role, action, f.masked_key, **via("s3"))
    yield "no secrets of its own", not w.may(role, "secretsmanager:GetSecretValue", f.base["TokensSecretArn"])
    yield "does not change SES", not w.may(role, "ses:DeleteEmailIdentity", f.identity)


def task_start(w, f):
    p = f.record("relay", "Task").properties
    role = p["ExecutionRoleArn"]
    source = {"aws:SourceAccount": A, "aws:SourceArn": f"arn:aws:ecs:{R}:{A}:cluster/x"}
    yield "ECS assumes", w.assumes("ecs-tasks.amazonaws.com", role, **source)
    yield "not another account's ECS", not w.assumes("ecs-tasks.amazonaws.com", role, **{**source, "aws:SourceAccount": "999999999999"})
    yield "not another account's cluster", not w.assumes("ecs-tasks.amazonaws.com", role, **{**source, "aws:SourceArn": f"arn:aws:ecs:{R}:999999999999:cluster/x"})
    yield "registry", w.may(role, "ecr:GetAuthorizationToken")
    for action in ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"):
        yield action, w.may(role, action, f.base["RelayRepositoryArn"])
    for c in p["ContainerDefinitions"]:
        log = c["LogConfiguration"]["Options"]
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield f"{c['Name']} {action}", w.may(role, action, f.log(log["awslogs-group"]) + f":log-stream:{log['awslogs-stream-prefix']}/x/y")
        for s in c.get("Secrets") or []:
            arn = ":".join(s["ValueFrom"].split(":")[:7])
            yield f"{c['Name']} reads {s['Name']}", w.may(role, "secretsmanager:GetSecretValue", arn)
    yield "key of the secrets", w.may(role, "kms:Decrypt", f.raw_key, **via("secretsmanager"))
    yield "the key for nothing else", not w.may(role, "kms:Decrypt", f.raw_key, **via("s3"))
    yield "no other secret", not w.may(role, "secretsmanager:GetSecretValue", f.base["CuenotePasswordSecretArn"])      # read only with a CuenoteUsername


def sender(w, f):
    """The user of the sending group: the relay on premises, or SMTP credentials (X-29, X-30)."""
    group = f"ses-migration-{f.long}-sending-group"
    for action in ("ses:SendEmail", "ses:SendRawEmail"):
        for target in (f.identity, f.set_arn):
            yield f"{action} from the listed address", w.may(group, action, target, **{"aws:SourceIp": f.allowed})
            yield f"{action} not from elsewhere", not w.may(group, action, target, **{"aws:SourceIp": ELSEWHERE})
            yield f"{action} through an unlisted endpoint", not w.may(group, action, target, **{"aws:SourceVpce": "vpce-00000000"})
    other = "202.217.75.88" if f.env == "prod" else "202.217.75.98"
    yield "not from the other environment's address (X-10)", not w.may(group, "ses:SendRawEmail", f.identity, **{"aws:SourceIp": other})


PEOPLE = ("202.217.75.98", "202.217.75.91", "202.217.75.88", "202.217.75.81")


def suppression_import(w, f):
    """The parts of relay suppression import: an admin puts and removes them, SES reads them, nobody else does."""
    part, g, ip = f"{f.suppression}/suppression-import/0123456789ab-001.json", f"ses-migration-{f.long}-admin-group", {"aws:SourceIp": PEOPLE[0]}
    for action in ("ses:GetAccount", "ses:GetConfigurationSet", "ses:CreateImportJob", "ses:GetImportJob", "ses:PutSuppressedDestination"):
        yield f"import: {action}", w.may(g, action, **ip)
    for action in ("s3:PutObject", "s3:DeleteObject"):
        yield f"import: {action}", w.may(g, action, part, **ip)
        yield f"import: {action} by TLS only", not w.may(g, action, part, **ip, **{"aws:SecureTransport": "false"})
        yield f"import: {action} by no old TLS", not w.may(g, action, part, **ip, **{"s3:TlsVersion": "1.1"})
    for key in ("aws:Referer", "aws:SourceAccount"):
        yield f"SES reads ({key})", w.service_may("ses.amazonaws.com", "s3:GetObject", part, **{key: A})
        yield f"SES for this account only ({key})", not w.service_may("ses.amazonaws.com", "s3:GetObject", part, **{key: "999999999999"})
        yield f"SES writes nothing ({key})", not w.service_may("ses.amazonaws.com", "s3:PutObject", part, **{key: A})
        yield f"SES reads nothing else ({key})", not w.service_may("ses.amazonaws.com", "s3:GetObject", f"{f.suppression}/x", **{key: A})
        yield f"SES reads by TLS only ({key})", not w.service_may("ses.amazonaws.com", "s3:GetObject", part, **{key: A, "aws:SecureTransport": "false"})
    yield "no other service reads", not w.service_may("firehose.amazonaws.com", "s3:GetObject", part, **{"aws:SourceAccount": A})


def groups(w, f):
    for kind in ("admin", "readonly", "monitoring"):
        group = f"ses-migration-{f.long}-{kind}-group"
        for ip in PEOPLE:
            yield f"{kind} from {ip}", w.may(group, "cloudwatch:DescribeAlarms", **{"aws:SourceIp": ip})
        yield f"{kind} not from elsewhere", not w.may(group, "cloudwatch:DescribeAlarms", **{"aws:SourceIp": ELSEWHERE})
        yield f"{kind} by a service on its behalf", w.may(group, "cloudwatch:DescribeAlarms", **{"aws:SourceIp": ELSEWHERE, "aws:ViaAWSService": "true"})
        yield f"{kind} looks at the quota", w.may(group, "ses:GetAccount", **{"aws:SourceIp": PEOPLE[0]})
        yield f"{kind} looks at the identity", w.may(group, "ses:GetEmailIdentity", f.identity, **{"aws:SourceIp": PEOPLE[0]})


EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def denials(w, f):
    """What stays denied to a user of the group who has administrator's rights on top."""
    ip = {"aws:SourceIp": PEOPLE[0]}

    def never(kind, action, resource="*", **context):
        group = f"ses-migration-{f.long}-{kind}-group"
        return f"{kind} never {action} {resource}", not w.may(group, action, resource, also=[EVERYTHING], **{**ip, **context})

    for kind in ("admin", "readonly", "monitoring"):
        yield never(kind, "s3:GetObject", f"{f.masked}/year=2026/x", **{"aws:SourceIp": ELSEWHERE})
    for kind in ("readonly", "monitoring"):
        yield never(kind, "ses:ListSuppressedDestinations")
        for bucket in (f.raw, f.error):
            yield never(kind, "s3:GetObject", f"{bucket}/year=2026/x")
        yield never(kind, "s3:GetObject", f"{f.suppression}/suppression-import/x")
        for group in (f.events_log, f.raw_log, f.function_log):
            for action in ("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery", "logs:StartLiveTail"):
                yield never(kind, action, group + ":log-stream:x")
        yield never(kind, "kms:Decrypt", f.raw_key, **via("s3"))
        yield never(kind, "secretsmanager:GetSecretValue", f.base["MaskKeySecretArn"])
    yield never("monitoring", "logs:GetLogEvents", f.masked_log + ":log-stream:x")


#: the commands of chapters 5, 6, 9 and 10, as actions, for those who run them
COMMANDS = {
    "readonly": ["logs:DescribeLogGroups", "logs:DescribeQueryDefinitions", "logs:GetQueryResults", "logs:StopQuery", "cloudwatch:GetMetricStatistics",
                 "cloudwatch:ListMetrics", "cloudwatch:DescribeAlarms", "firehose:DescribeDeliveryStream", "firehose:ListDeliveryStreams",
                 "cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents", "cloudformation:ListStackResources", "ecs:DescribeServices",
                 "ses:GetAccount", "ses:GetSendQuota", "ses:GetSendStatistics", "ses:ListEmailIdentities", "ses:ListConfigurationSets",
                 "ses:GetIdentityVerificationAttributes", "ses:GetIdentityDkimAttributes"],
    "monitoring": ["logs:DescribeLogGroups", "cloudwatch:GetMetricStatistics", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "cloudwatch:DescribeAlarms",
                   "cloudwatch:DescribeAlarmHistory", "cloudwatch:GetDashboard", "firehose:DescribeDeliveryStream", "ecs:DescribeServices",
                   "elasticloadbalancing:DescribeTargetHealth", "ses:GetAccount", "ses:GetSendStatistics"],
    "admin": ["cloudformation:ListStacks", "cloudformation:DescribeStacks", "cloudformation:ValidateTemplate", "logs:DescribeLogGroups", "logs:GetQueryResults",
              "logs:DescribeQueryDefinitions", "lambda:ListFunctions", "firehose:ListDeliveryStreams", "s3:ListAllMyBuckets", "iam:ListGroups",
              "iam:ListAttachedGroupPolicies", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions", "ses:ListConfigurationSets",
              "ses:PutAccountSuppressionAttributes", "cloudtrail:LookupEvents", "servicequotas:GetServiceQuota", "support:CreateCase"],
}


def commands(w, f):
    for kind, actions in COMMANDS.items():
        for action in actions:
            yield f"{kind} {action}", w.may(f"ses-migration-{f.long}-{kind}-group", action, **{"aws:SourceIp": PEOPLE[0]})
    g, ip = f"ses-migration-{f.long}-admin-group", {"aws:SourceIp": PEOPLE[0]}
    yield "admin lists objects", w.may(g, "s3:ListBucket", f.raw, **ip)
    yield "admin looks at a stream", w.may(g, "firehose:DescribeDeliveryStream", f.kinesis["RawStreamArn"], **ip)
    yield "admin looks at the function", w.may(g, "lambda:GetFunction", f.function, **ip)


def readonly(w, f):
    g, ip = f"ses-migration-{f.long}-readonly-group", {"aws:SourceIp": PEOPLE[0]}
    day = "year=2026/month=11/day=23/x.json.gz"
    yield "lists masked", w.may(g, "s3:ListBucket", f.masked, **ip)
    yield "reads masked", w.may(g, "s3:GetObject", f"{f.masked}/{day}", **ip)
    yield "decrypts masked", w.may(g, "kms:Decrypt", f.masked_key, **ip, **via("s3"))
    yield "decrypts objects only", not w.may(g, "kms:Decrypt", f.masked_key, **ip, **via("sns"))
    for group in (f.masked_log, f.system_log):
        for action in ("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery"):
            yield f"{action} {group}", w.may(g, action, group + ":log-stream:x", **ip)
    yield "query results", w.may(g, "logs:GetQueryResults", **ip)
    for bucket in (f.raw, f.error):
        yield f"never {bucket}", not w.may(g, "s3:GetObject", f"{bucket}/{day}", **ip)
        yield f"never lists {bucket}", not w.may(g, "s3:ListBucket", bucket, **ip)
    yield "never what could not be masked", not w.may(g, "s3:GetObject", f"{f.masked}/errors/processing-failed/x", **ip)
    yield "never the raw key", not w.may(g, "kms:Decrypt", f.raw_key, **ip, **via("s3"))
    yield "never secrets", not w.may(g, "secretsmanager:GetSecretValue", f.base["MaskKeySecretArn"], **ip)
    for group in (f.events_log, f.raw_log, f.function_log):
        for action in ("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery", "logs:StartLiveTail"):
            yield f"never {action} {group}", not w.may(g, action, group + ":log-stream:x", **ip)
    yield "no addresses from the suppression list", not w.may(g, "ses:ListSuppressedDestinations", **ip)
    for action in ("s3:PutObject", "s3:DeleteObject"):
        yield f"no {action}", not w.may(g, action, f"{f.masked}/{day}", **ip)
    yield "stops no sending", not w.may(g, "ses:PutConfigurationSetSendingOptions", f.set_arn, **ip)


def monitoring(w, f):
    g, ip = f"ses-migration-{f.long}-monitoring-group", {"aws:SourceIp": PEOPLE[0]}
    for action in ("cloudwatch:GetMetricData", "cloudwatch:GetDashboard", "cloudwatch:ListMetrics", "firehose:DescribeDeliveryStream"):
        yield action, w.may(g, action, f.kinesis["RawStreamArn"], **ip)
    for group in (f.masked_log, f.system_log, f.events_log):
        yield f"no events of {group}", not w.may(g, "logs:GetLogEvents", group + ":log-stream:x", **ip)
    yield "no objects", not w.may(g, "s3:GetObject", f"{f.masked}/year=2026/x", **ip)
    yield "changes no alarm", not w.may(g, "cloudwatch:DeleteAlarms", **ip)


def admin(w, f):
    g, ip = f"ses-migration-{f.long}-admin-group", {"aws:SourceIp": PEOPLE[0]}
    for bucket in (f.raw, f.masked, f.error):
        yield f"reads {bucket}", w.may(g, "s3:GetObject", f"{bucket}/year=2026/x", **ip)
    for key in (f.raw_key, f.masked_key):
        yield f"decrypts {key}", w.may(g, "kms:Decrypt", key, **ip, **via("s3"))
    for group in (f.events_log, f.raw_log, f.masked_log, f.system_log, f.function_log):
        for action in ("logs:DescribeLogStreams", "logs:StartQuery", "logs:GetLogEvents"):
            yield f"{action} {group}", w.may(g, action, group + ":log-stream:x", **ip)
    yield "invokes the function by hand (S-83)", w.may(g, "lambda:InvokeFunction", f.function, **ip)
    yield "pauses sending", w.may(g, "ses:PutConfigurationSetSendingOptions", f.set_arn, **ip)
    yield "sees policy versions (S-99)", w.may(g, "iam:GetPolicyVersion", **ip)
    yield "sees stack events", w.may(g, "cloudformation:DescribeStackEvents", f"arn:aws:cloudformation:{R}:{A}:stack/ses-migration-{f.env}-ses/1", **ip)
    yield "puts the relay's secrets", w.may(g, "secretsmanager:PutSecretValue", f.base["TokensSecretArn"], **ip)
    yield "uploads the function", w.may(g, "s3:PutObject", f"arn:aws:s3:::{f.base['ArtifactBucketName']}/mask-events/1/x.zip", **ip)
    yield "cannot loosen the restriction", not w.may(g, "iam:CreatePolicyVersion", f"arn:aws:iam::{A}:policy/ses-migration-{f.long}-ip-restriction", **ip)
    yield "cannot read what could not be masked", not w.may(g, "s3:GetObject", f"{f.masked}/errors/processing-failed/x", **ip)
    yield "nor an old version of it", not w.may(g, "s3:GetObjectVersion", f"{f.masked}/errors/processing-failed/x", **ip)
    yield "TLS only to the artifacts", not w.may(g, "s3:GetObject", f"arn:aws:s3:::{f.base['ArtifactBucketName']}/x", **ip, **{"aws:SecureTransport": "false"})
    yield "TLS only to the access logs", not w.may(g, "s3:GetObject", f"arn:aws:s3:::{f.base['AccessLogBucketName']}/x", **ip, **{"aws:SecureTransport": "false"})
    for bucket in (f.raw, f.masked, f.error):
        yield f"TLS only to {bucket}", not w.may(g, "s3:GetObject", f"{bucket}/year=x", **ip, **{"aws:SecureTransport": "false"})
        yield f"no old TLS to {bucket}", not w.may(g, "s3:GetObject", f"{bucket}/year=x", **ip, **{"s3:TlsVersion": "1.1"})


def audit(w, f):
    """CloudTrail, S3 server access logs, VPC flow logs."""
    for r in f.of_type("AWS::CloudTrail::Trail"):
        p = r.properties
        bucket, arn = f"arn:aws:s3:::{p['S3BucketName']}", f"arn:aws:cloudtrail:{R}:{A}:trail/{p['TrailName']}"
        acl = {"s3:x-amz-acl": "bucket-owner-full-control"}
        yield "trail asks", w.service_may("cloudtrail.amazonaws.com", "s3:GetBucketAcl", bucket, **{"aws:SourceArn": arn})
        yield "trail writes", w.service_may("cloudtrail.amazonaws.com", "s3:PutObject", f"{bucket}/AWSLogs/{A}/x", **{"aws:SourceArn": arn}, **acl)
        other = {"aws:SourceArn": arn.replace(A, "999999999999")}
        yield "no other trail asks", not w.service_may("cloudtrail.amazonaws.com", "s3:GetBucketAcl", bucket, **other)
        yield "no other trail writes", not w.service_may("cloudtrail.amazonaws.com", "s3:PutObject", f"{bucket}/AWSLogs/{A}/x", **other, **acl)
        yield "the key", w.service_may("cloudtrail.amazonaws.com", "kms:GenerateDataKey", f.raw_key, **{"kms:EncryptionContext:aws:cloudtrail:arn": arn})
        yield "the key of this account only", not w.service_may("cloudtrail.amazonaws.com", "kms:GenerateDataKey", f.raw_key, **{"kms:EncryptionContext:aws:cloudtrail:arn": other["aws:SourceArn"]})
        yield "the key is found", w.service_may("cloudtrail.amazonaws.com", "kms:DescribeKey", f.raw_key)
        role = p["CloudWatchLogsRoleArn"]
        yield "trail assumes", w.assumes("cloudtrail.amazonaws.com", role, **{"aws:SourceArn": arn})
        yield "no other trail assumes", not w.assumes("cloudtrail.amazonaws.com", role, **other)
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield f"trail {action}", w.may(role, action, p["CloudWatchLogsLogGroupArn"].removesuffix(":*") + f":log-stream:{A}_CloudTrail_{R}")
        yield "TLS only to the trail", not w.service_may("cloudtrail.amazonaws.com", "s3:PutObject", f"{bucket}/AWSLogs/{A}/x", **{"aws:SourceArn": arn, "aws:SecureTransport": "false"}, **acl)
        # a break-glass policy that allows everything still deletes nothing there
        broken = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{A}:root"}, "Action": "s3:*", "Resource": "*"}
        from policy import Request, decide
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
            yield f"nobody {action}", decide(w.statements("resource", bucket) + [broken], Request(action, f"{bucket}/AWSLogs/x", {"aws:SecureTransport": "true"}), True) == "deny"
    logs_bucket = f"arn:aws:s3:::{f.base['AccessLogBucketName']}"
    yield "access logs", w.service_may("logging.s3.amazonaws.com", "s3:PutObject", f"{logs_bucket}/raw/x", **{"aws:SourceAccount": A})
    yield "access logs of this account", not w.service_may("logging.s3.amazonaws.com", "s3:PutObject", f"{logs_bucket}/raw/x", **{"aws:SourceAccount": "999999999999"})
    flow = f.record("network", "FlowLog").properties
    yield "flow logs assume", w.assumes("vpc-flow-logs.amazonaws.com", flow["DeliverLogsPermissionArn"], **{"aws:SourceAccount": A})
    yield "flow logs of this account", not w.assumes("vpc-flow-logs.amazonaws.com", flow["DeliverLogsPermissionArn"], **{"aws:SourceAccount": "999999999999"})
    for action in ("logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"):
        yield f"flow logs {action}", w.may(flow["DeliverLogsPermissionArn"], action, f.log(flow["LogGroupName"]) + ":log-stream:eni-1-all")


ARROWS = [suppression_import, ses_to_firehose, firehose_to_s3, firehose_to_function, function, logs_to_keys, alarms_to_topics, task, task_start, sender, groups,
          readonly, monitoring, admin, denials, commands, audit]


@ENVS
@pytest.mark.parametrize("arrow", ARROWS, ids=lambda a: a.__name__)
def test_arrow(stacks, env, arrow):
    world, facts = World(env), Facts(stacks, env)
    checks = list(arrow(world, facts))
    assert len(checks) >= 5
    assert not [what for what, holds in checks if not holds]


def test_a_mutation_is_noticed(stacks):
    """Takes away one permission, condition or denial at a time, in production."""
    world, facts = World("prod"), Facts(stacks, "prod")
    mutants, missed = 0, []
    for what, broken in world.mutants():
        mutants += 1
        if all(holds for arrow in ARROWS for _, holds in _guarded(arrow, broken, facts)):
            missed.append(what)
    assert mutants > 200
    # What people may look at is a convenience: of their own policies only the
    # commands above, the conditions and the denials must be missed.
    unexpected = [m for m in missed if not (m.startswith(PEOPLES) and m.endswith(" is gone") and ":" in m.rsplit(": ", 1)[1])]
    assert not unexpected, f"{len(unexpected)} of {mutants} mutants live:\n" + "\n".join(unexpected)


PEOPLES = tuple(f"managed policy/ses-migration-production-{n} " for n in ("admin", "readonly", "monitoring", "ses-access"))


def _guarded(arrow, world, facts):
    try:
        yield from arrow(world, facts)
    except (KeyError, StopIteration):
        yield "broken", False
