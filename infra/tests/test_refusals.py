"""Wrong parameter values are refused, and the emulator refuses what CloudFormation does."""
import re

import pytest
from botocore.exceptions import ClientError

import emulator
import template
from conftest import INFRA

ARN_KEY = f"arn:aws:kms:{emulator.REGION}:{emulator.ACCOUNT}:key/12345678-1234-1234-1234-123456789012"



def deployed(env, stack):
    """The parameters of a stack as they are; moto answers a list as Python writes it."""
    now = emulator.client("cloudformation").describe_stacks(StackName=f"ses-migration-{env}-{stack}")["Stacks"][0]
    return {p["ParameterKey"]: re.sub(r"[\[\]' ]", "", p["ParameterValue"]) if p["ParameterValue"].startswith("[") else p["ParameterValue"] for p in now["Parameters"]}


GOOD = {
    "base.yaml": {"Environment": "development"},
    "ses.yaml": {"Environment": "development", "DomainName": "refuse.example.jp", "SESAllowedIPs": "202.217.75.88/32"},
    "ses-dev.yaml": {},
    "network.yaml": {"Environment": "development", "MaskedKeyArn": ARN_KEY},
}

WRONG = [
    ("base.yaml", {"Environment": "prod"}),
    ("base.yaml", {"Environment": ""}),
    ("base.yaml", {"ProjectCode": "SES"}),
    ("base.yaml", {"RawBucketName": "Upper_Case"}),
    ("base.yaml", {"RawRetentionDays": "30"}),
    ("base.yaml", {"RawRetentionDays": "soon"}),
    ("base.yaml", {"Unknown": "x"}),
    ("ses.yaml", {"Environment": "dev"}),
    ("ses.yaml", {"DomainName": "goo.ne.jp."}),
    ("ses.yaml", {"DomainName": "Goo.ne.jp"}),
    ("ses.yaml", {"DomainName": "dev@goo.ne.jp"}),
    ("ses.yaml", {"EnableDKIM": "yes"}),
    ("ses.yaml", {"EnableSESIPFiltering": "True"}),
    ("ses.yaml", {"SESAllowedIPs": "0.0.0.0/0"}),
    ("ses.yaml", {"SESAllowedIPs": "202.217.75.88"}),
    ("ses.yaml", {"SESAllowedIPs": "202.217.75.88/32,300.1.1.1/32"}),
    ("ses.yaml", {"SESAllowedIPs": ""}),
    ("ses.yaml", {"SESIPAllowedRanges": "202.217.75.88/32"}),         # the old name
    ("ses.yaml", {"NatGatewayIPs": "10.0.0.0/8"}),
    ("ses.yaml", {"VpcEndpointIds": "vpc-12345678"}),
    ("ses.yaml", {"MailFromSubdomain": "a.b"}),
    ("ses-dev.yaml", {"Environment": "production"}),
    ("network.yaml", {"VpcCidr": "172.28.0.0/28"}),
    ("network.yaml", {"TransitGatewayId": "vgw-12345678"}),
    ("network.yaml", {"MaskedKeyArn": "alias/x"}),
]


def create(template, parameters, name="refused", **kw):
    kw.setdefault("Capabilities", ["CAPABILITY_NAMED_IAM"])
    emulator.client("cloudformation").create_stack(
        StackName=name, TemplateBody=(INFRA / "templates" / template).read_text(),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()], **kw)


@pytest.mark.parametrize("template,wrong", WRONG, ids=lambda x: str(x))
def test_wrong_value(server, template, wrong):
    with pytest.raises(ClientError) as e:
        create(template, {**GOOD[template], **wrong})
    assert e.value.response["Error"]["Code"] == "ValidationError"
    name, = wrong
    assert name in str(e.value)


@pytest.mark.parametrize("env", ["dev", "prod"])
@pytest.mark.parametrize("stack,name,value", [
    ("enhanced-kinesis", "RawBucketArn", "ses-migration-prod-raw-logs"),
    ("enhanced-kinesis", "LambdaCodeKey", "mask-events"),
    ("enhanced-kinesis", "LambdaMemory", "64"),
    ("enhanced-kinesis", "LogRetentionDays", "91"),
    ("monitoring", "DailyQuota", "0"),
    ("monitoring", "WarningEmail", "nobody"),
    ("security", "AllowedIPs", "0.0.0.0/0"),
    ("security", "EnableTrail", "1"),
    ("relay", "VpcId", "vpc"),
    ("relay", "SubnetCidrs", "0.0.0.0/0"),
    ("relay", "AdminNetwork1", "0.0.0.0/0"),
    ("relay", "ClientNetwork1", "0.0.0.0/0"),
    ("relay", "ImageTag", "a b"),
    ("relay", "TaskMemory", "3000"),
    ("relay", "CuenoteAddress", "smtp.example.jp"),
    ("relay", "SharedState", "redis"),
    ("relay", "TokensSecretArn", "hunter2"),
])
def test_wrong_value_in_an_update(stacks, env, stack, name, value):
    parameters = deployed(env, stack)
    assert name in parameters
    with pytest.raises(ClientError) as e:
        create(f"{stack}.yaml", {**parameters, name: value}, name="refused")
    assert name in str(e.value)


def test_good_values_are_taken(server):
    """So that the refusals above are about the wrong value; two of them have a twin elsewhere in this file."""
    for template in ("ses.yaml", "ses-dev.yaml"):
        create(template, GOOD[template] | ({"ProjectCode": "other"}), name="taken")
        emulator.client("cloudformation").delete_stack(StackName="taken")


def test_named_iam_needs_its_capability(server):
    with pytest.raises(ClientError, match="Requires capabilities"):
        create("ses.yaml", GOOD["ses.yaml"], Capabilities=["CAPABILITY_IAM"])


#: Fargate's table: CPU units -> MiB in steps of a GiB (AWS documents it; ECS alone refuses the rest)
FARGATE = {512: range(1024, 4096 + 1, 1024), 1024: range(2048, 8192 + 1, 1024), 2048: range(4096, 16384 + 1, 1024), 4096: range(8192, 30720 + 1, 1024)}


@pytest.mark.parametrize("cpu", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("memory", [1024, 2048, 4096, 8192])
def test_task_sizes_that_fargate_has(stacks, cpu, memory):
    from emulator import strict
    t = template.load("relay.yaml")
    assert str(cpu) in map(str, t["Parameters"]["TaskCpu"]["AllowedValues"]) and str(memory) in map(str, t["Parameters"]["TaskMemory"]["AllowedValues"])
    try:
        strict.check_rules(t["Rules"], {"TaskCpu": cpu, "TaskMemory": memory})
        taken = True
    except strict.ValidationError as e:
        taken = False
        assert f"with TaskCpu {cpu}, TaskMemory is" in str(e)
    assert taken == (memory in FARGATE[cpu])


def test_a_task_size_is_refused_before_anything_is_made(stacks):
    with pytest.raises(ClientError, match="with TaskCpu 4096, TaskMemory is 8192"):
        create("relay.yaml", {**deployed("dev", "relay"), "TaskCpu": "4096", "TaskMemory": "1024"}, name="refused")


# ---- the emulator itself: what plain moto lets through -----------------------

def tiny(resources, **more):
    import json
    return json.dumps({"Resources": resources, **more})


@pytest.mark.parametrize("why,body,text", [
    ("an unknown type", tiny({"A": {"Type": "AWS::SES::Nothing"}}), "Unrecognized resource types"),
    ("a type that nothing emulates", tiny({"A": {"Type": "AWS::Amplify::App", "Properties": {"Name": "x"}}}), "neither creates nor records"),
    ("an unknown property", tiny({"A": {"Type": "AWS::S3::Bucket", "Properties": {"Bucket": "x"}}}), "Additional properties"),
    ("a wrong enumeration", tiny({"A": {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "On"}}}}), "is not one of"),
    ("a missing property", tiny({"A": {"Type": "AWS::SES::EmailIdentity", "Properties": {}}}), "required"),
    ("a read-only property", tiny({"A": {"Type": "AWS::S3::Bucket", "Properties": {"Arn": "arn:aws:s3:::x"}}}), "read-only"),
    ("an unknown reference", tiny({"A": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "Nobody"}}}}), "Unresolved resource dependencies"),
    ("an unknown attribute", tiny({"A": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "refused-x"}},
                                   "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::GetAtt": ["A", "Nothing"]}}}}), "does not support attribute"),
    ("a list in Fn::Sub", tiny({"A": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": "${P}"}}}},
                               Parameters={"P": {"Type": "CommaDelimitedList", "Default": "a,b"}}), "cannot use the list"),
    ("a resource that its condition left out", tiny(
        {"A": {"Type": "AWS::SNS::Topic", "Condition": "Never"}, "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "A"}}}},
        Conditions={"Never": {"Fn::Equals": ["a", "b"]}}), "not created under these conditions"),
    ("a circle", tiny({"A": {"Type": "AWS::S3::Bucket", "DependsOn": "B"}, "B": {"Type": "AWS::S3::Bucket", "DependsOn": "A"}}), "Circular"),
    ("a rule that does not hold", tiny({"A": {"Type": "AWS::S3::Bucket"}}, Parameters={"P": {"Type": "String", "Default": "a"}}, Rules={
        "R": {"RuleCondition": {"Fn::Equals": [{"Ref": "P"}, "a"]}, "Assertions": [{"Assert": {"Fn::Contains": [["b"], {"Ref": "P"}]}, "AssertDescription": "P is b"}]}}), "P is b"),
    ("an unknown function in a rule", tiny({"A": {"Type": "AWS::S3::Bucket"}}, Rules={"R": {"Assertions": [{"Assert": {"Fn::Sub": "a"}}]}}), "not supported in Rules"),
    ("a big template", tiny({"A": {"Type": "AWS::S3::Bucket"}}, Description="x" * 60000), "51200"),
], ids=lambda x: x if isinstance(x, str) and len(x) < 50 and "{" not in x else "")
def test_the_emulator_refuses(server, why, body, text):
    with pytest.raises(ClientError) as e:
        emulator.client("cloudformation").create_stack(StackName="refused", TemplateBody=body)
    assert text in str(e.value)
    names = [s["StackName"] for s in emulator.client("cloudformation").describe_stacks()["Stacks"]]
    assert "refused" not in names
