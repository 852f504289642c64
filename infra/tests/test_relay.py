"""The relay's task: its configuration, its drain, its ports, its shared state."""
import json
import os
import re
import subprocess

import jsonschema
import pytest
import yaml

import emulator
from conftest import ENVIRONMENTS, INFRA
from test_refusals import create, deployed

BOTH = pytest.mark.parametrize("env,long", ENVIRONMENTS.items())
DOCS = INFRA.parent / "docs"
SCHEMA = DOCS / "configuration.schema.json"


def containers(stacks, env):
    return {c["Name"]: c for c in stacks.record(env, "relay", "Task").properties["ContainerDefinitions"]}


def configuration(stacks, env):
    text, = [e["Value"] for e in containers(stacks, env)["configure"]["Environment"] if e["Name"] == "RELAY_YAML"]
    return text, yaml.safe_load(text)


def targets(stacks, env, name):
    arn = stacks.record(env, "relay", name).resource.about["arn"]
    elb = emulator.client("elbv2")
    group = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
    attributes = {a["Key"]: a["Value"] for a in elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]}
    return group, attributes


@BOTH
def test_configuration_is_what_the_relay_reads(stacks, env, long):
    text, got = configuration(stacks, env)
    jsonschema.validate(got, json.loads(SCHEMA.read_text()))
    assert got["ses"]["configuration_set"] == f"ses-migration-{long}-config-set"
    assert got["ses"]["region"] == "ap-northeast-1"
    assert got["split"]["ses_percent"] == 0
    assert "password" not in text.replace("password_file", "").replace("${REDIS_PASSWORD}", "").lower()


@pytest.fixture(scope="module")
def alone(stacks):
    """The same service with SharedState: none, as {logical id: record}."""
    create("relay.yaml", {**deployed("dev", "relay"), "ProjectCode": "alone", "SharedState": "none"}, name="alone")
    made = {name: r for (stack, name), r in emulator.DEPLOYED.items() if stack == "alone"}
    emulator.client("cloudformation").delete_stack(StackName="alone")
    return made


class Alone:
    """What test functions ask of stacks, for that service."""

    def __init__(self, made):
        self.made = made

    def record(self, env, stack, name):
        return self.made[name]


@pytest.mark.parametrize("shared", [True, False])
def test_the_relay_itself_takes_it(stacks, alone, shared, tmp_path):
    """A built relay checks the file of one task as an operator would."""
    binary = os.environ.get("RELAY_BINARY")
    if not binary:
        pytest.skip("RELAY_BINARY is not set and bin/relay is not built: no relay to ask")
    text, got = configuration(stacks if shared else Alone(alone), "prod")
    assert ("redis" in got["state"]) == shared
    (tmp_path / "tokens").write_text("admin:ops:" + "0" * 64 + "\n")
    for name in ("log-key", "fleet-secret"):
        (tmp_path / name).write_text("k" * 32 + "\n")
    for name in ("tokens", "log-key", "fleet-secret"):
        (tmp_path / name).chmod(0o600)
    text = text.replace("/etc/relay/", f"{tmp_path}/").replace("/var/lib/relay", str(tmp_path))
    (tmp_path / "relay.yaml").write_text(text)
    done = subprocess.run([binary, "check", "--config", str(tmp_path / "relay.yaml")], capture_output=True, text=True, env={**os.environ, "REDIS_PASSWORD": "p" * 64})
    assert done.returncode == 0, done.stdout + done.stderr


@BOTH
def test_a_fleet_shares_its_state(stacks, env, long):
    _, got = configuration(stacks, env)
    assert re.fullmatch(r"rediss://relay:\$\{REDIS_PASSWORD\}@master\.[a-z0-9.-]+:6379", got["state"]["redis"])
    assert got["state"]["prefix"] == "relay:" and got["state"]["secret_file"] == "/etc/relay/fleet-secret" and got["state"]["file"] == "/var/lib/relay/split.json"
    assert got["rollout"] == {"events": "cloudwatch", "notify": {"sns_topic": stacks.outputs(env, "monitoring")["CriticalTopicArn"]}}
    secrets = {s["Name"]: s["ValueFrom"] for c in containers(stacks, env).values() for s in c.get("Secrets") or []}
    assert [s["Name"] for s in containers(stacks, env)["relay"]["Secrets"]] == ["REDIS_PASSWORD"]
    user = stacks.record(env, "relay", "ValkeyUser").properties
    assert user["Passwords"] == ["{{resolve:secretsmanager:" + secrets["REDIS_PASSWORD"] + "}}"]       # one secret on both ends
    assert len(set(secrets.values())) == len(secrets)
    service = stacks.record(env, "relay", "Service").properties
    assert service["DesiredCount"] == {"dev": 2, "prod": 4}[env] and service["AvailabilityZoneRebalancing"] == "ENABLED"
    assert len(service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]) == 2 and got["hostname"].startswith("relay.")


@BOTH
def test_metrics_reach_cloudwatch(stacks, alone, env, long):
    """The monitoring stack's silence alarms read them (SentSource: relay)."""
    for which in (stacks, Alone(alone)):
        _, got = configuration(which, env)
        assert got["cloudwatch_metrics"]["enabled"] is True
    _, got = configuration(stacks, env)
    assert f"{got['cloudwatch_metrics']['project']}/{got['cloudwatch_metrics']['environment']}/SES" == stacks.outputs(env, "monitoring")["MetricsNamespace"]


@BOTH
def test_tasks_reach_each_other_and_valkey_only(stacks, env, long):
    """The brake goes to the others' admin.address, by the address that Valkey is reached from."""
    _, got = configuration(stacks, env)
    tasks, valkey = (stacks.record(env, "relay", g).resource.physical_resource_id for g in ("TaskGroup", "ValkeyGroup"))
    groups = {g["GroupId"]: g for g in emulator.client("ec2").describe_security_groups(GroupIds=[tasks, valkey])["SecurityGroups"]}

    def ports(group, direction, other):
        return {(r["FromPort"], r["ToPort"]) for r in groups[group][direction] for p in r["UserIdGroupPairs"] if p["GroupId"] == other}

    admin = int(got["admin"]["address"].rsplit(":", 1)[1])
    assert got["admin"]["address"].startswith("0.0.0.0:") and "advertise" not in got["admin"]
    assert ports(tasks, "IpPermissions", tasks) == ports(tasks, "IpPermissionsEgress", tasks) == {(admin, admin)}
    assert ports(valkey, "IpPermissions", tasks) == {(6379, 6379)}
    out = stacks.record(env, "relay", "TaskGroup").properties["SecurityGroupEgress"]      # moto leaves a group's own rules to groups out
    assert [(r["FromPort"], r["ToPort"]) for r in out if r.get("DestinationSecurityGroupId") == valkey] == [(6379, 6379)]
    assert all(not r["IpRanges"] for r in groups[valkey]["IpPermissions"])


def test_one_task_alone(alone):
    _, got = configuration(Alone(alone), "prod")
    assert "redis" not in got["state"] and "secret_file" not in got["state"]
    assert alone["Service"].properties["DesiredCount"] == 1
    assert not [r for r in alone.values() if r.type.startswith(("AWS::ElastiCache::", "AWS::ApplicationAutoScaling::"))] and "PeersFrom" not in alone
    relay, = [c for c in alone["Task"].properties["ContainerDefinitions"] if c["Name"] == "relay"]
    assert "Secrets" not in relay


def seconds(text):
    return int(text.removesuffix("s"))


@BOTH
def test_drain_fits(stacks, env, long):
    _, got = configuration(stacks, env)
    relay = containers(stacks, env)["relay"]
    assert seconds(got["drain"]["grace"]) < seconds(got["drain"]["deadline"]) < relay["StopTimeout"] <= 120      # Fargate's most
    for name in ("SmtpTargets", "SubmissionTargets"):
        _, a = targets(stacks, env, name)
        assert int(a["deregistration_delay.timeout_seconds"]) >= seconds(got["drain"]["deadline"])
        assert a["deregistration_delay.connection_termination.enabled"] == "false"      # the relay ends its sessions itself


@BOTH
def test_proxy_protocol_and_health_checks(stacks, env, long):
    _, got = configuration(stacks, env)
    cidrs = stacks.outputs(env, "network")["PrivateSubnetCidrs"].split(",")
    for name, port in (("SmtpTargets", 2525), ("SubmissionTargets", 2587)):
        group, a = targets(stacks, env, name)
        assert (group["Port"], group["TargetType"], group["HealthCheckProtocol"]) == (port, "ip", "TCP")
        assert a["proxy_protocol_v2.enabled"] == "true" and a["preserve_client_ip.enabled"] == "false"
        listener, = [x for x in got["listeners"] if x["address"].endswith(f":{port}")]
        assert listener["proxy_protocol_from"] == cidrs      # exactly the load balancer's subnets
    group, a = targets(stacks, env, "AdminTargets")
    assert (group["Port"], group["HealthCheckProtocol"], group["HealthCheckPath"]) == (8025, "HTTP", "/readyz")
    assert a["proxy_protocol_v2.enabled"] == "false"         # no HTTP server understands the header
    assert set(cidrs) <= set(got["admin"]["networks"]["monitoring"])      # where the checks come from
    assert got["admin"]["address"].endswith(":8025") and got["admin"]["tokens_file"]


@BOTH
def test_listeners_and_networks(stacks, env, long):
    elb = emulator.client("elbv2")
    arn = stacks.record(env, "relay", "Balancer").resource.about["arn"]
    b = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    assert (b["Type"], b["Scheme"]) == ("network", "internal")
    assert len({s["AvailabilityZone"] if "AvailabilityZone" in s else s["ZoneName"] for s in b["AvailabilityZones"]}) >= 2
    assert {x["Port"] for x in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]} == {25, 587, 8025}
    _, got = configuration(stacks, env)
    rules = {}
    for r in stacks.record(env, "relay", "BalancerGroup").properties["SecurityGroupIngress"]:
        rules.setdefault(r["FromPort"], set()).add(r["CidrIp"])
    assert rules[25] == rules[587] == set(got["access"]["networks"]) == {"10.0.0.0/8", "192.168.1.0/24"}       # S-68, S-69
    assert rules[8025] == set(got["admin"]["networks"]["admin"])


@BOTH
def test_task(stacks, env, long):
    relay, configure = containers(stacks, env)["relay"], containers(stacks, env)["configure"]
    assert relay["EntryPoint"] + relay["Command"] == ["/relay", "serve", "--config", "/etc/relay/relay.yaml"]
    for built in (INFRA.parent / "scripts" / "image").glob("main.go"):      # what make image makes
        assert '"/relay"' in built.read_text() and "65532" in built.read_text()
    assert relay["User"] == "65532:65532" and relay["ReadonlyRootFilesystem"] is True and configure["ReadonlyRootFilesystem"] is True
    assert relay["DependsOn"] == [{"ContainerName": "configure", "Condition": "SUCCESS"}]
    assert relay["LogConfiguration"]["Options"]["awslogs-group"] == f"ses-migration-{long}-ses"
    assert relay["LogConfiguration"]["Options"]["mode"] == "non-blocking"
    assert {p["ContainerPort"] for p in relay["PortMappings"]} == {2525, 2587, 8025}
    assert [s["Name"] for s in configure["Secrets"]] == ["TOKENS", "MASK_KEY", "FLEET_SECRET"]
    key, = [s["ValueFrom"] for s in configure["Secrets"] if s["Name"] == "MASK_KEY"]
    function = stacks.record(env, "enhanced-kinesis", "Function").properties["Environment"]["Variables"]
    assert key == function["MASK_KEY_SECRET"] and configuration(stacks, env)[1]["log"]["key_file"] == "/etc/relay/log-key"      # one mailbox, one pseudonym
    mounted = {m["ContainerPath"]: m["ReadOnly"] for m in relay["MountPoints"]}
    assert mounted == {"/etc/relay": True, "/var/lib/relay": False}


@BOTH
def test_the_first_container_lays_the_files(stacks, env, long, tmp_path):
    """Its script, run by a real shell (dash here, ash there)."""
    c = containers(stacks, env)["configure"]
    script = c["Command"][2].replace("/etc/relay", str(tmp_path / "etc")).replace("/var/lib/relay", str(tmp_path / "lib"))
    script = script.replace("chown -R 65532:65532", "ls -d")
    for d in ("etc", "lib", "bin"):
        (tmp_path / d).mkdir()
    (tmp_path / "bin" / "hostname").write_text("#!/bin/sh\necho ip-172-28-8-5.ap-northeast-1.compute.internal\n")
    (tmp_path / "bin" / "hostname").chmod(0o755)
    text, got = configuration(stacks, env)
    pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
    subprocess.run([*c["Command"][:2], script], check=True, env={
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "RELAY_YAML": text, "TOKENS": "admin:a:0\nreadonly:b:1", "MASK_KEY": "k" * 64, "FLEET_SECRET": "f" * 64, "TLS_CERTIFICATE": pem})
    files = {p.name: p.read_text() for p in (tmp_path / "etc").iterdir()}
    own = text.replace(f"hostname: {got['hostname']}\n", f"hostname: ip-172-28-8-5.{got['hostname']}\n", 1)
    assert own != text and files == {"relay.yaml": own, "tokens": "admin:a:0\nreadonly:b:1\n", "log-key": "k" * 64 + "\n", "fleet-secret": "f" * 64 + "\n", "tls.crt": pem + "\n"}
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "etc").iterdir())


@BOTH
def test_valkey(stacks, env, long):
    p = stacks.record(env, "relay", "Valkey").properties
    assert p["Engine"] == "valkey" and p["MultiAZEnabled"] is True and p["AutomaticFailoverEnabled"] is True and int(p["NumCacheClusters"]) == 2
    assert p["TransitEncryptionMode"] == "required" and p["AtRestEncryptionEnabled"] is True
    assert stacks.record(env, "relay", "ValkeyParameters").properties["Properties"] == {"maxmemory-policy": "noeviction"}
    users = [stacks.record(env, "relay", u).properties for u in ("ValkeyUser", "ValkeyNobody")]
    assert stacks.record(env, "relay", "ValkeyUsers").properties["UserIds"] == [u["UserId"] for u in users]
    _, got = configuration(stacks, env)
    assert f"~{{{got['state']['prefix']}}}*" in users[0]["AccessString"]
    rules, = re.findall(r"ACL SETUSER relay on >PASSWORD resetkeys resetchannels (.*)", (DOCS / "operations.md").read_text())      # the relay's own tests run with these
    assert users[0]["AccessString"] == f"on {rules}"
    assert f"    user relay on {rules} >RELAY-PASSWORD\n" in (DOCS / "on-premises.md").read_text()
    assert users[1]["UserName"] == "default" and users[1]["AccessString"] == "off -@all"
    assert all(u["Passwords"][0].startswith("{{resolve:secretsmanager:arn:") for u in users)       # D-11
    assert emulator.client("elasticache").describe_replication_groups(ReplicationGroupId=f"ses-migration-{long}")["ReplicationGroups"]


def test_scaling(stacks):
    got = emulator.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert {t["ResourceId"]: (t["MinCapacity"], t["MaxCapacity"]) for t in got} == {
        f"service/ses-migration-{long}-relay/ses-migration-{long}-relay": sizes for long, sizes in (("production", (4, 12)), ("development", (2, 2)))}
    policies = {r.properties["PolicyName"]: r.properties["TargetTrackingScalingPolicyConfiguration"] for r in stacks.of_type("prod", "AWS::ApplicationAutoScaling::ScalingPolicy")}
    assert set(policies) == {"ses-migration-production-relay-cpu", "ses-migration-production-relay-connections"}
    assert policies["ses-migration-production-relay-cpu"]["TargetValue"] < 80       # scales before the alarm
    each = {m["Id"]: m for m in policies["ses-migration-production-relay-connections"]["CustomizedMetricSpecification"]["Metrics"]}
    assert each["each"]["Expression"] == "flows / tasks" and each["flows"]["MetricStat"]["Metric"]["MetricName"] == "ActiveFlowCount"


@BOTH
def test_endpoints(stacks, env, long):
    services = {r.properties["ServiceName"] for r in stacks.of_type(env, "AWS::EC2::VPCEndpoint")}
    assert {f"com.amazonaws.ap-northeast-1.{s}" for s in ("email", "logs", "secretsmanager", "s3")} == services
    assert stacks.outputs(env, "relay")["SesEndpointId"].startswith("vpce-")


@BOTH
def test_addresses_for_the_allow_lists(stacks, env, long):
    ips = stacks.outputs(env, "network")["NatGatewayIPs"].split(",")
    assert len(ips) == 2 and all(ip.endswith("/32") for ip in ips)
