"""Last, because it takes everything down: S-91, S-98, X-44, X-45."""
import pytest
from botocore.exceptions import ClientError

import emulator
from conftest import run_sceptre


def names():
    return {s["StackName"] for s in emulator.client("cloudformation").describe_stacks()["Stacks"]}


def created(log):
    return [line.split(" - ")[1].split(" ")[0] for line in log.splitlines() if "CloudFormation::Stack CREATE_COMPLETE" in line]


@pytest.fixture(scope="module")
def down(stacks):
    """Development: one stack deleted and made again, then everything deleted; production deleted."""
    out = {}
    run_sceptre("delete", "-y", "dev/relay.yaml")
    run_sceptre("delete", "-y", "dev/enhanced-kinesis.yaml")     # and what depends on it
    out["after one"] = names()
    out["again"] = run_sceptre("launch", "-y", "dev")
    out["complete"] = names()

    out["protected"] = run_sceptre("delete", "-y", "prod/relay.yaml", check=False)
    out["still there"] = names()
    balancer = emulator.DEPLOYED["ses-migration-prod-relay", "Balancer"].resource.about["arn"]
    emulator.client("elbv2").modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}])
    for env in ("dev", "prod"):
        done = run_sceptre("delete", "-y", env)
        out[env] = done.stdout + done.stderr
    return out


def test_deleting_one_takes_its_dependents_and_it_can_be_made_again(down):
    gone = {f"ses-migration-dev-{n}" for n in ("relay", "enhanced-kinesis", "monitoring", "security")}
    assert not gone & down["after one"]
    assert {"ses-migration-dev-base", "ses-migration-dev-ses", "ses-migration-dev-network"} <= down["after one"]
    log = down["again"].stdout + down["again"].stderr
    assert created(log) == ["dev/enhanced-kinesis", "dev/monitoring", "dev/security"]
    assert {f"ses-migration-dev-{n}" for n in ("base", "ses", "enhanced-kinesis", "monitoring", "security")} <= down["complete"]


def test_a_protected_load_balancer_stops_the_deletion(down):
    assert down["protected"].returncode != 0
    assert "deletion protection is enabled" in down["protected"].stdout + down["protected"].stderr
    assert "ses-migration-prod-relay" in down["still there"]


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_reverse_order(down, env):
    gone = [line.split(" - ")[1].split(" ")[0] for line in down[env].splitlines() if line.endswith("delete complete") or "DELETE_COMPLETE" in line or "has been deleted" in line]
    gone = [g.split("/")[1] for g in gone if g.startswith(env + "/")]
    order = list(dict.fromkeys(gone))
    chain = [n for n in order if n in ("security", "monitoring", "enhanced-kinesis", "ses", "base")]
    assert chain == ["security", "monitoring", "enhanced-kinesis", "ses", "base"]
    assert not [n for n in names() if n.startswith(f"ses-migration-{env}-")]


def test_what_stays(down):
    """Buckets, keys, secrets and the production identity outlive their stacks; nothing else does."""
    s3 = {b["Name"] for b in emulator.client("s3").list_buckets()["Buckets"]}
    for env in ("dev", "prod"):
        for kind in ("raw", "masked", "error"):
            assert f"ses-migration-{env}-{kind}-logs" in s3
        assert f"ses-migration-{env}-suppression" in s3
    ses = emulator.client("sesv2")
    assert ses.get_email_identity(EmailIdentity="goo.ne.jp")       # its DKIM tokens live on
    with pytest.raises(ClientError):
        ses.get_email_identity(EmailIdentity="dev.goo.ne.jp")      # S-24: it can be made anew
    assert not emulator.client("logs").describe_log_groups()["logGroups"]
    assert not emulator.client("firehose").list_delivery_streams()["DeliveryStreamNames"]
    assert not emulator.client("lambda").list_functions()["Functions"]
    iam = emulator.client("iam")
    assert not iam.list_groups()["Groups"] and not iam.list_users()["Users"]
    assert not iam.list_policies(Scope="Local")["Policies"]
    assert not [r for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("ses-migration")]
    assert not emulator.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert not emulator.client("sns").list_topics()["Topics"]
    ecs = emulator.client("ecs")
    assert {c["status"] for c in ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"])["clusters"]} <= {"INACTIVE"}
    assert not emulator.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert {g["Status"] for g in emulator.client("elasticache").describe_replication_groups()["ReplicationGroups"]} <= {"deleting"}
    assert not emulator.DEPLOYED


def test_a_bucket_with_data_would_not_have_gone_anyway(down):
    """Why they are retained: X-44."""
    s3 = emulator.client("s3")
    name = "ses-migration-dev-raw-logs"
    s3.put_object(Bucket=name, Key="year=2026/x", Body=b"x")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket=name)
