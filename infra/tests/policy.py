"""A small evaluator of IAM policies, for the rendered templates.

It knows what these templates use: identity policies, trust, bucket, topic and
key policies of one account, wildcards, and the condition operators below. An
operator that it does not know is an error, never a guess.
"""
import copy
import functools
import ipaddress
import json
import re
from dataclasses import dataclass, field

import emulator

ALLOW, DENY, NEITHER = "allow", "deny", "neither"


def as_list(x):
    return [] if x is None else x if isinstance(x, list) else [x]


def like(pattern, value, fold=False):
    """IAM wildcards: * and ?."""
    return _expression(pattern, fold).fullmatch(value) is not None


@functools.cache
def _expression(pattern, fold):
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.compile(expression, re.S | (re.I if fold else 0))


# ---- conditions -------------------------------------------------------------

def _ip(want, got):
    return ipaddress.ip_address(got) in ipaddress.ip_network(want, strict=False)


OPERATORS = {
    "StringEquals": lambda want, got: want == got,
    "StringLike": like,
    "ArnLike": like,
    "ArnEquals": like,
    "Bool": lambda want, got: str(want).lower() == str(got).lower(),
    "IpAddress": _ip,
    "NumericLessThan": lambda want, got: float(got) < float(want),
}
NEGATED = {"StringNotEquals": "StringEquals", "StringNotLike": "StringLike", "NotIpAddress": "IpAddress", "ArnNotLike": "ArnLike"}


def holds(condition, context):
    """Whether every operator and key of a Condition block holds."""
    return all(_one(op, key, as_list(want), context) for op, block in (condition or {}).items() for key, want in block.items())


def _one(operator, key, wanted, context):
    optional = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    got = next((v for k, v in context.items() if k.lower() == key.lower()), None)
    if operator in NEGATED:
        return got is None or not any(OPERATORS[NEGATED[operator]](w, got) for w in wanted)
    test = OPERATORS[operator]
    if got is None:
        return optional
    return any(test(w, got) for w in wanted)


# ---- statements -------------------------------------------------------------

@dataclass
class Request:
    action: str
    resource: str = "*"
    context: dict = field(default_factory=dict)
    service: str = ""           # a service principal, for resource policies
    account: str = emulator.ACCOUNT


def matches(statement, request, with_principal=False):
    if with_principal and not _principal(statement, request):
        return False
    if "NotAction" in statement or "NotResource" in statement or "NotPrincipal" in statement:
        raise NotImplementedError("NotAction, NotResource, NotPrincipal")
    if not any(like(a, request.action, fold=True) for a in as_list(statement["Action"])):
        return False
    if "Resource" in statement and not any(like(r, request.resource) for r in as_list(statement["Resource"])):
        return False
    return holds(statement.get("Condition"), request.context)


def _principal(statement, request):
    p = statement["Principal"]
    if p == "*":
        return True
    if request.service:
        return request.service in as_list(p.get("Service"))
    return any(a in ("*", f"arn:aws:iam::{request.account}:root") for a in as_list(p.get("AWS")))


def decide(statements, request, with_principal=False):
    hit = [s["Effect"] for s in statements if matches(s, request, with_principal)]
    return DENY if "Deny" in hit else ALLOW if "Allow" in hit else NEITHER


# ---- the world: every policy that the stacks made ---------------------------

class World:
    """All policies of one environment, copied, so that a test may break one."""

    def __init__(self, env):
        self.env = env
        self.policies = {}      # (kind, owner) -> {policy name: document}
        for r in emulator.DEPLOYED.values():
            if r.stack.startswith(f"ses-migration-{env}-"):
                self._take(r)

    def _take(self, r):
        p = copy.deepcopy(r.properties)
        if r.type == "AWS::IAM::Role":
            arn = r.attribute("Arn")
            self.policies["trust", arn] = {"trust": p["AssumeRolePolicyDocument"]}
            self.policies["identity", arn] = {q["PolicyName"]: q["PolicyDocument"] for q in p.get("Policies", [])}
            self._attached(arn, p)
        elif r.type == "AWS::IAM::Group":
            self.policies["identity", r.name] = {}
            self._attached(r.name, p)
        elif r.type == "AWS::IAM::ManagedPolicy":
            arn = f"arn:aws:iam::{emulator.ACCOUNT}:policy/{p['ManagedPolicyName']}"
            self.policies["managed", arn] = {"managed": p["PolicyDocument"]}
        elif r.type == "AWS::S3::BucketPolicy":
            self.policies["resource", f"arn:aws:s3:::{p['Bucket']}"] = {"bucket": p["PolicyDocument"]}
        elif r.type == "AWS::KMS::Key":
            self.policies["resource", r.attribute("Arn")] = {"key": p["KeyPolicy"]}
        elif r.type == "AWS::SNS::TopicPolicy":
            # one document for several topics: shared, so that a mutation breaks it for all
            for topic in p["Topics"]:
                self.policies["resource", topic] = {"topic": p["PolicyDocument"]}

    def _attached(self, owner, p):
        self.policies.setdefault(("attached", owner), {})["list"] = list(p.get("ManagedPolicyArns", []))

    def statements(self, kind, owner):
        return [s for d in self.policies.get((kind, owner), {}).values() for s in as_list(d["Statement"])]

    def identity(self, owner):
        own = self.statements("identity", owner)
        for arn in self.policies.get(("attached", owner), {}).get("list", []):
            own = own + self.statements("managed", arn)
        return own

    # -- questions

    def assumes(self, service, role_arn, **context):
        return decide(self.statements("trust", role_arn), Request("sts:AssumeRole", context=context, service=service), True) == ALLOW

    def may(self, owner, action, resource="*", also=(), **context):
        """Whether a role or group may call action on resource; resource policies may deny, and keys must delegate.
        also: statements of policies that somebody attached on top."""
        context = {"aws:SecureTransport": "true", "aws:ViaAWSService": "false", "s3:TlsVersion": "1.3", **context}
        request = Request(action, resource, context)
        if decide(self.identity(owner) + list(also), request) != ALLOW:
            return False
        home = resource.split("/")[0] if resource.startswith("arn:aws:s3:::") else resource
        policy = self.statements("resource", home)
        if resource.startswith("arn:aws:kms:"):
            return decide(policy, request, True) == ALLOW
        return decide(policy, request, True) != DENY

    def service_may(self, service, action, resource, **context):
        """Whether a service principal may, by the resource's own policy alone."""
        home = resource.split("/")[0] if resource.startswith("arn:aws:s3:::") else resource
        request = Request(action, resource, {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", **context}, service=service)
        return decide(self.statements("resource", home), request, True) == ALLOW

    # -- mutations

    def mutants(self):
        """(what, world) for every allowed action, every condition and every denial taken away."""
        seen = set()
        for (kind, owner), documents in self.policies.items():
            if kind == "attached":
                for i, arn in enumerate(documents["list"]):
                    yield f"{owner}: {arn} is not attached", self._without(lambda w, k=(kind, owner), i=i: w.policies[k]["list"].pop(i))
                continue
            for name, document in documents.items():
                if id(document) in seen:
                    continue
                seen.add(id(document))
                for i, s in enumerate(as_list(document["Statement"])):
                    label = f"{kind} {owner.split(':')[-1]} {s.get('Sid', i)}"
                    at = ((kind, owner), name, i)
                    if s["Effect"] == "Deny":
                        yield f"{label}: the denial is gone", self._without(lambda w, at=at: _statement(w, at).update(Effect="Allow", Action="none:Nothing"))
                    else:
                        for a in as_list(s["Action"]):
                            yield f"{label}: {a} is gone", self._without(lambda w, at=at, a=a: _drop_action(w, at, a))
                    if s["Effect"] == "Allow" and s.get("Condition"):
                        yield f"{label}: the condition is gone", self._without(lambda w, at=at: _statement(w, at).pop("Condition"))
                    for op, block in (s.get("Condition") or {}).items() if s["Effect"] == "Deny" else ():
                        yield f"{label}: {op} is gone", self._without(lambda w, at=at, op=op: _statement(w, at)["Condition"].pop(op))

    def _without(self, change):
        w = copy.deepcopy(self)
        change(w)
        return w


def _statement(world, at):
    key, name, i = at
    return as_list(world.policies[key][name]["Statement"])[i]


def _drop_action(world, at, action):
    s = _statement(world, at)
    s["Action"] = [a for a in as_list(s["Action"]) if a != action] or ["none:Nothing"]


def show(document):
    return json.dumps(document, indent=1)
