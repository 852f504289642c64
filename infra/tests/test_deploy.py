"""Both environments, deployed in order by Sceptre into the strict emulator."""
import json

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
    assert "TrackingOptions" not in asked      # no redirect domain
    dimensions = {}
    for r in stacks.of_type(env, "AWS::SES::ConfigurationSetEventDestination"):
        d = r.properties["EventDestination"]
        assert r.properties["ConfigurationSetName"] == name and d["Enabled"] is True
        if "CloudWatchDestination" in d:
            dimensions[d["Name"]] = [x["DimensionName"] for x in d["CloudWatchDestination"]["DimensionConfigurations"]]
    assert dimensions == {"cloudwatch-set": ["ses:configuration-set"], "cloudwatch-step": ["ses:configuration-set", "relay-step"]}


@BOTH
def test_development_stands_alone(stacks, env, long):
    """X-4: nothing in dev names anything of production, and the other way round."""
    other = "production" if long == "development" else "development"
    for (stack, logical_id), r in emulator.DEPLOYED.items():
        if stack.startswith(f"ses-migration-{env}-"):
            assert f"ses-migration-{other}" not in json.dumps(r.properties), f"{stack} {logical_id}"
