"""AWS's policy language (cfn-guard) over the templates; tests/rules has the rules."""
import copy
import json
import re

import pytest
from cfn_guard_rs.cfn_guard_rs import run_checks_rs

import emulator
import template
from conftest import INFRA

RULES = {p.stem: p.read_text() for p in sorted((INFRA / "tests" / "rules").glob("*.guard"))}
NAMES = {name: file for file, text in RULES.items() for name in re.findall(r"^rule (\w+)", text, re.M)}


def failures(data, rules):
    """The names of the rules that data breaks. The binding loses the head of a
    long report, never its end, which lists the rules that hold or do not apply."""
    raw = run_checks_rs(json.dumps(data), rules, False)
    end = json.loads("{" + raw[raw.rindex('"not_applicable": ['):])
    return set(re.findall(r"^rule (\w+)", rules, re.M)) - set(end["not_applicable"]) - set(end["compliant"])


@pytest.fixture(scope="module")
def rendered(stacks):
    """Every deployed stack as CloudFormation sees it: all intrinsics resolved."""
    out = {}
    for r in emulator.DEPLOYED.values():
        resource = {"Type": r.type, "Properties": copy.deepcopy(r.properties)}
        for k in ("DeletionPolicy", "UpdateReplacePolicy", "Metadata"):
            if k in r.template:
                resource[k] = r.template[k]
        out.setdefault(r.stack, {"Resources": {}})["Resources"][r.logical_id] = resource
    assert len(out) == 14
    return out


@pytest.mark.parametrize("file", RULES)
def test_rules_hold(rendered, file):
    found = {name: failures(t, RULES[file]) for name, t in rendered.items()}
    assert not {n: f for n, f in found.items() if f}
    assert not failures(template.load("ses-dev.yaml"), RULES[file])


def test_every_exception_has_a_reason_and_is_needed(rendered):
    excused = 0
    for name, t in rendered.items():
        for logical_id, r in t["Resources"].items():
            g = (r.get("Metadata") or {}).get("guard")
            if not g:
                continue
            assert len(g["Reason"]) > 20, f"{name} {logical_id}"
            for rule in g["SuppressedRules"]:
                without = copy.deepcopy(t)
                without["Resources"][logical_id]["Metadata"]["guard"]["SuppressedRules"] = [x for x in g["SuppressedRules"] if x != rule] or ["none"]
                assert failures(without, RULES[NAMES[rule]]) == {rule}, f"{name} {logical_id} needs no {rule}"
                excused += 1
    assert excused == 6 * 2     # in both environments


#: rule -> (template, resource, path, a value that breaks it; None takes it away)
BROKEN = {
    "BUCKET_ENCRYPTED": ("base.yaml", "RawBucket", "BucketEncryption", None),
    "BUCKET_OWN_KEY": ("base.yaml", "RawBucket", "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.KMSMasterKeyID", None),
    "BUCKET_VERSIONED": ("base.yaml", "RawBucket", "VersioningConfiguration.Status", "Suspended"),
    "BUCKET_PRIVATE": ("base.yaml", "RawBucket", "PublicAccessBlockConfiguration.BlockPublicPolicy", False),
    "BUCKET_LIFE_CYCLE": ("base.yaml", "RawBucket", "LifecycleConfiguration", None),
    "BUCKET_ACCESS_LOG": ("base.yaml", "RawBucket", "LoggingConfiguration", None),
    "DATA_KEPT": ("base.yaml", "RawBucket", "/DeletionPolicy", "Delete"),
    "KEY_ROTATES": ("base.yaml", "RawKey", "EnableKeyRotation", False),
    "LOG_GROUP_KEPT_AND_ENCRYPTED": ("monitoring.yaml", "EventLogGroup", "KmsKeyId", None),
    "TOPIC_ENCRYPTED": ("monitoring.yaml", "CriticalTopic", "KmsMasterKeyId", None),
    "SECRET_GENERATED": ("base.yaml", "TokensSecret", "SecretString", "hunter2"),
    "STREAM_ENCRYPTED_AND_LOGGED": ("enhanced-kinesis.yaml", "RawStream", "ExtendedS3DestinationConfiguration.CustomTimeZone", "UTC"),
    "TRAIL_COMPLETE": ("security.yaml", "AuditTrail", "EnableLogFileValidation", False),
    "CACHE_ENCRYPTED_AND_DOUBLE": ("relay.yaml", "Valkey", "TransitEncryptionMode", "preferred"),
    "NO_WHOLE_SERVICES": ("ses.yaml", "SendingPolicy", "PolicyDocument.Statement.0.Action", ["ses:*"]),
    "ROLES_NAME_THEIR_RESOURCES": ("enhanced-kinesis.yaml", "RawStreamRole", "Policies.0.PolicyDocument.Statement.1.Resource", "*"),
    "ROLES_ARE_ASSUMED_BY_SERVICES": ("enhanced-kinesis.yaml", "RawStreamRole", "AssumeRolePolicyDocument.Statement.0.Principal", {"AWS": "*"}),
    "NO_CONFUSED_DEPUTY": ("enhanced-kinesis.yaml", "EventRole", "AssumeRolePolicyDocument.Statement.0.Condition", None),
    "USERS_BY_GROUP": ("ses.yaml", "SendingUser", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AmazonSESFullAccess"]),
    "NOT_OPEN_TO_THE_WORLD": ("relay.yaml", "BalancerGroup", "SecurityGroupIngress.0.CidrIp", "0.0.0.0/0"),
    "TASKS_ARE_CONFINED": ("relay.yaml", "Task", "ContainerDefinitions.1.User", "0"),
    "SERVICES_ARE_INSIDE": ("relay.yaml", "Service", "NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp", "ENABLED"),
    "BALANCERS_ARE_INSIDE": ("relay.yaml", "Balancer", "Scheme", "internet-facing"),
    "IMAGES_STAY_WHAT_THEY_ARE": ("base.yaml", "RelayRepository", "ImageTagMutability", "MUTABLE"),
    "MAIL_BY_TLS": ("ses.yaml", "ConfigurationSet", "DeliveryOptions.TlsPolicy", "OPTIONAL"),
}


def test_every_rule_is_broken_once():
    assert set(BROKEN) == set(NAMES)


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_template_is_noticed(rendered, rule):
    name, logical_id, path, value = BROKEN[rule]
    t = copy.deepcopy(rendered[f"ses-migration-prod-{name.removesuffix('.yaml')}"])
    at = t["Resources"][logical_id] if path.startswith("/") else t["Resources"][logical_id]["Properties"]
    *parents, last = path.lstrip("/").split(".")
    for p in parents:
        at = at[int(p) if p.isdigit() else p]
    if value is None:
        del at[last]
    else:
        at[last] = value
    assert rule in failures(t, RULES[NAMES[rule]])
