"""What the alarms say in given situations: silence of the pipeline, resources, rollback."""
import json
import re

import pytest

import alarms
import emulator
import template
from conftest import ENVIRONMENTS, INFRA
from test_refusals import deployed

BOTH = pytest.mark.parametrize("env,long", ENVIRONMENTS.items())
SCHEMA = INFRA.parent / "docs" / "configuration.schema.json"


def found(stacks, env):
    return {r.properties["AlarmName"].split(f"ses-migration-{ENVIRONMENTS[env]}-")[1]: r.properties for r in stacks.of_type(env, "AWS::CloudWatch::Alarm")}


# ---- the evaluator itself ----------------------------------------------------

@pytest.mark.parametrize("expression,metrics,want", [
    ("IF(n >= 20, value, 100)", {"n": 19, "value": 3}, 100),
    ("IF(n >= 20, value, 100)", {"n": 20, "value": 3}, 3),
    ("IF(n >= 20, value, 100)", {"n": None, "value": None}, None),
    ("IF(FILL(a, 0) >= 2 OR FILL(b, 0) >= 2, 1, 0)", {"a": None, "b": 2}, 1),
    ("IF((FILL(a, 0) >= 2 OR FILL(b, 0) >= 2) AND FILL(c, 0) == 0, 1, 0)", {"a": 2, "b": None, "c": None}, 1),
    ("IF((FILL(a, 0) >= 2 OR FILL(b, 0) >= 2) AND FILL(c, 0) == 0, 1, 0)", {"a": 2, "b": None, "c": 1}, 0),
    ("100 * used / reserved", {"used": 5, "reserved": 20}, 25),
    ("100 * used / reserved", {"used": None, "reserved": 20}, None),
    ("RATE(a) + RATE(b)", {"a": 60, "b": 120}, 3),
])
def test_metric_math(expression, metrics, want):
    assert alarms.value(expression, metrics) == want


def test_composite_rules():
    rule = 'ALARM("a") OR ALARM("b")\nOR ALARM("c")'
    assert alarms.composite(rule, {"c"}) and not alarms.composite(rule, set())
    assert not alarms.composite(rule.replace("OR", "AND"), {"c"})


# ---- silence (S-89, issue: an independent source) -----------------------------

#: what the relay writes for mails that SES took
RELAY_SENT = ("SentSES", {"Source": "relay"})


@BOTH
def test_silence_is_measured_against_what_goes_out(stacks, env, long):
    """Each alarm compares with the relay's own count, which no event destination carries."""
    for slug in ("ses-counters-silent-critical", "event-log-silent-critical", "masked-log-silent-critical", "events-missing-warning"):
        namespace, metric, dimensions, stat = alarms.sources(found(stacks, env)[slug])["sent"]
        assert (namespace, metric, dimensions, stat) == (f"ses-migration/{long}/SES", *RELAY_SENT, "Sum")
        filters = {t["MetricName"] for r in stacks.of_type(env, "AWS::Logs::MetricFilter") for t in r.properties["MetricTransformations"]}
        assert metric not in filters, "a metric made from the events would fall silent with them"


@BOTH
def test_silence(stacks, env, long):
    a, n = found(stacks, env), {"dev": 20, "prod": 200}[env]
    counters, events, masked = a["ses-counters-silent-critical"], a["event-log-silent-critical"], a["masked-log-silent-critical"]
    # everything silent but the relay: the configuration set lost its event destinations
    assert alarms.rings(counters, sent=n, ended=None, counted=None)
    assert alarms.rings(events, sent=n, counted=None, logged=None)
    assert alarms.rings(masked, sent=n, logged=None, masked=None)
    # the relay's metrics are missing: the ends of the pipeline still watch each other
    assert alarms.rings(counters, sent=None, ended=n, counted=0)
    assert alarms.rings(events, sent=None, counted=n, logged=0)
    assert alarms.rings(masked, sent=None, logged=n, masked=None)
    # all is well, or nothing goes out, or too little to tell
    for x, y in ((n, 1), (None, None), (0, 0), (n - 1, None)):
        assert not alarms.rings(counters, sent=x, ended=x, counted=y)
        assert not alarms.rings(events, sent=x, counted=x, logged=y)
        assert not alarms.rings(masked, sent=x, logged=x, masked=y)
    for alarm in (counters, events, masked):
        assert alarm["EvaluationPeriods"] in (3, "3") and alarm["TreatMissingData"] == "notBreaching"
        assert {m["MetricStat"]["Period"] for m in alarm["Metrics"] if "MetricStat" in m} <= {300, "300"}


@BOTH
def test_what_the_silence_alarms_read(stacks, env, long):
    suffix = {"dev": "-development", "prod": ""}[env]
    of_set = {"ses:configuration-set": f"ses-migration-{long}-config-set"}
    counted = ("AWS/SES", "Send", of_set, "Sum")
    logged = ("AWS/Logs", "IncomingLogEvents", {"LogGroupName": f"/aws/ses/email-events{suffix}"}, "Sum")
    a = {slug: {k: v for k, v in alarms.sources(p).items() if k != "sent"} for slug, p in found(stacks, env).items() if "Metrics" in p}
    assert a["ses-counters-silent-critical"] == {"counted": counted, "ended": (f"ses-migration/{long}/SES", "SendSuccessRate", {}, "SampleCount")}
    assert a["event-log-silent-critical"] == {"counted": counted, "logged": logged}
    assert a["masked-log-silent-critical"] == {"logged": logged, "masked": ("AWS/Logs", "IncomingLogEvents", {"LogGroupName": f"/aws/kinesisfirehose/ses-masked-logs{suffix}"}, "Sum")}
    assert a["events-missing-warning"] == {"reported": (f"ses-migration/{long}/SES", "SendEvents", {}, "Sum")}
    assert a["relay-metrics-silent-warning"] == {"counted": counted}


@BOTH
def test_events_that_go_missing_one_by_one(stacks, env, long):
    alarm, n = found(stacks, env)["events-missing-warning"], {"dev": 20, "prod": 200}[env] * 12
    assert alarms.rings(alarm, sent=n, reported=0.89 * n) and alarms.rings(alarm, sent=n, reported=None)
    assert not alarms.rings(alarm, sent=n, reported=0.9 * n)
    assert not alarms.rings(alarm, sent=n - 1, reported=None) and not alarms.rings(alarm, sent=None, reported=None)
    assert {str(m["MetricStat"]["Period"]) for m in alarm["Metrics"] if "MetricStat" in m} == {"3600"}     # 12 of the sample's five minutes


@BOTH
def test_the_relays_own_metrics_are_watched_too(stacks, env, long):
    alarm, n = found(stacks, env)["relay-metrics-silent-warning"], {"dev": 20, "prod": 200}[env]
    assert alarms.rings(alarm, counted=n, sent=None)
    assert not alarms.rings(alarm, counted=n, sent=1) and not alarms.rings(alarm, counted=n - 1, sent=None) and not alarms.rings(alarm, counted=None, sent=None)


def test_the_relays_metric_is_written():
    """docs/cloudwatch.md has the names and dimensions; the relay's own tests compare it with what is written."""
    text = (INFRA.parent / "docs" / "cloudwatch.md").read_text()
    metric, dimensions = RELAY_SENT
    row, = re.findall(rf"^\| .*`{metric}`.*$", text, re.M)
    assert "| Sum |" in row and "accepted" in row
    assert "| `" + ", ".join(f"{k}={v}" for k, v in dimensions.items()) + "` |" in text


def test_without_a_relay_that_reports_the_account_is_the_measure(stacks):
    """SentSource: account, for a relay on premises whose metrics stay there. Only
    the alarms are made: the log groups' names are production's already."""
    t = template.load("monitoring.yaml")
    t["Resources"] = {k: v for k, v in t["Resources"].items() if k in ("CountersSilent", "EventsSilent", "MaskedSilent", "EventsMissing", "RelaySilent")}
    for part in ("Metadata", "Outputs"):
        t.pop(part)
    body = json.dumps(t)
    for made in ("EventLogGroup", "WarningTopic", "CriticalTopic"):
        body = body.replace(json.dumps({"Ref": made}), '"elsewhere"')
    parameters = {**deployed("dev", "monitoring"), "ProjectCode": "by-account", "SentSource": "account"}
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(StackName="by-account", TemplateBody=body, Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()])
    made = {name: r.properties for (stack, name), r in emulator.DEPLOYED.items() if stack == "by-account"}
    cloudformation.delete_stack(StackName="by-account")
    assert set(made) == {"CountersSilent", "EventsSilent", "MaskedSilent", "EventsMissing"}
    for alarm in made.values():
        assert alarms.sources(alarm)["sent"] == ("AWS/SES", "Send", {}, "Sum")     # no dimension: SES's own count, whatever the set's destinations


# ---- streams, function --------------------------------------------------------

@BOTH
def test_streams_that_stand_still(stacks, env, long):
    a = found(stacks, env)
    for kind in ("raw", "masked"):
        dimensions = [{"Name": "DeliveryStreamName", "Value": f"ses-migration-{env}-{kind}-logs-stream"}]
        stale = a[f"{kind}-delivery-critical"]
        assert (stale["Namespace"], stale["MetricName"], stale["Statistic"]) == ("AWS/Firehose", "DeliveryToS3.DataFreshness", "Maximum")
        assert stale["Dimensions"] == dimensions
        hints = stacks.record(env, "enhanced-kinesis", f"{kind.capitalize()}Stream").properties["ExtendedS3DestinationConfiguration"]["BufferingHints"]
        assert float(stale["Threshold"]) >= 2 * float(hints["IntervalInSeconds"])       # what waits for its buffer is not stale
        throttled = a[f"{kind}-delivery-throttled-warning"]
        assert (throttled["Namespace"], throttled["MetricName"], throttled["Statistic"], throttled["Dimensions"]) == ("AWS/Firehose", "ThrottledRecords", "Sum", dimensions)
    failing = a["masking-critical"]
    assert (failing["MetricName"], failing["ComparisonOperator"], float(failing["Threshold"])) == ("ExecuteProcessing.Success", "LessThanThreshold", 1)
    assert failing["Dimensions"] == [{"Name": "DeliveryStreamName", "Value": f"ses-migration-{env}-masked-logs-stream"}]


# ---- resources (S-86) ---------------------------------------------------------

@BOTH
def test_disk_network_and_logs_in_their_normal_range(stacks, env, long):
    a = found(stacks, env)
    relay = {"ClusterName": f"ses-migration-{long}-relay", "ServiceName": f"ses-migration-{long}-relay"}
    disk = a["relay-disk-warning"]
    assert alarms.rings(disk, used=16.1, reserved=20) and not alarms.rings(disk, used=16, reserved=20) and not alarms.rings(disk, used=None, reserved=None)
    io = a["relay-disk-io-warning"]
    assert alarms.rings(io, read=60 * 6e6, written=60 * 5e6) and not alarms.rings(io, read=0, written=60 * 1e6)
    peak = {"dev": 1000, "prod": 100000}[env] * 20000 / 60 * 7 / 3
    network = a["relay-network-warning"]
    assert alarms.rings(network, received=peak * 0.5, sent=peak * 0.31) and not alarms.rings(network, received=peak * 0.4, sent=peak * 0.39)
    for alarm, names in ((disk, {"EphemeralStorageUtilized", "EphemeralStorageReserved"}), (io, {"StorageReadBytes", "StorageWriteBytes"}), (network, {"NetworkRxBytes", "NetworkTxBytes"})):
        got = alarms.sources(alarm).values()
        assert {m for _, m, _, _ in got} == names and all((n, d) == ("ECS/ContainerInsights", relay) for n, _, d, _ in got)
    assert stacks.record(env, "relay", "Cluster").properties["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enabled"}]      # who makes these metrics
    size, day = a["log-size-warning"], {"dev": 1000, "prod": 5500000}[env] * 20000
    assert alarms.rings(size, events=0.5 * day, masked=0.51 * day, system=None, function=None)
    assert not alarms.rings(size, events=0.3 * day, masked=0.3 * day, system=0.2 * day, function=0.1 * day)
    suffix = {"dev": "-development", "prod": ""}[env]
    assert {d["LogGroupName"] for _, _, d, _ in alarms.sources(size).values()} == {
        f"/aws/ses/email-events{suffix}", f"/aws/kinesisfirehose/ses-masked-logs{suffix}", f"ses-migration-{long}-ses", f"/aws/lambda/ses-migration-{long}-data-masking-lambda"}
    assert {(n, m, s) for n, m, _, s in alarms.sources(size).values()} == {("AWS/Logs", "IncomingBytes", "Sum")}


@BOTH
def test_every_expression_is_understood(stacks, env, long):
    """Every alarm on an expression has a value where all its metrics have one."""
    seen = 0
    for slug, p in found(stacks, env).items():
        if "Metrics" in p:
            assert alarms.value(alarms.expression(p), {i: 1000 for i in alarms.sources(p)}) is not None, slug
            seen += 1
    assert seen >= 20


# ---- rollback (D-5, S-89) -----------------------------------------------------

@BOTH
def test_one_condition_is_enough_for_the_rollback(stacks, env, long):
    rule = stacks.record(env, "monitoring", "Rollback").properties["AlarmRule"]
    named = re.findall(r'ALARM\("([^"]+)"\)', rule)
    assert len(named) == len(set(named)) == 11
    assert not alarms.composite(rule, set())
    for name in named:
        assert alarms.composite(rule, {name}), f"{name} alone rolls nothing back"
    assert len(rule) < 10240        # CloudWatch's limit


# ---- the guard of the relay (chapter 14) --------------------------------------

def defaults():
    """The relay's own rollout.gate and rollout.guard: the schema is made from its code, and its tests compare the two."""
    rollout = json.loads(SCHEMA.read_text())["properties"]["rollout"]["properties"]
    return ({k: v.get("default") for k, v in rollout[part]["properties"].items()} for part in ("gate", "guard"))


def milliseconds(duration):
    number, unit = re.fullmatch(r"(\d+)(s|m)0?s?", duration).groups()
    return int(number) * {"s": 1000, "m": 60000}[unit]


@BOTH
def test_alarms_and_guard_say_the_same(stacks, env, long):
    """A gate that passes is no warning, and where the guard goes back the alarm rings."""
    gate, guard = defaults()
    a = found(stacks, env)

    def threshold(slug, level):
        return float(a[f"{slug}-{level}"]["Threshold"]), a[f"{slug}-{level}"]["ComparisonOperator"]

    assert threshold("success-rate", "warning") == (float(gate["success_min"]), "LessThanThreshold")
    assert threshold("success-rate", "critical") == (float(guard["success_min"]), "LessThanOrEqualToThreshold")
    assert threshold("bounce-rate", "warning") == (float(gate["bounce_max"]), "GreaterThanThreshold")
    assert threshold("bounce-rate", "critical") == (float(guard["bounce_max"]), "GreaterThanOrEqualToThreshold")
    assert threshold("complaint-rate", "critical") == (float(guard["complaint_max"]), "GreaterThanOrEqualToThreshold")
    assert threshold("complaint-rate", "warning") == (0.1, "GreaterThanOrEqualToThreshold")        # chapter 14; the gates have none
    filters = {r.logical_id: r.properties["FilterPattern"] for r in stacks.of_type(env, "AWS::Logs::MetricFilter")}
    assert f"processingTimeMillis <= {milliseconds(gate['delay_max'])})" in filters["WithinOneMinuteYes"]
    assert f"processingTimeMillis < {milliseconds(guard['delay_max'])})" in filters["WithinFiveMinutesYes"]
    if env == "prod":       # development has too little mail for the guard's sample
        parameters = template.parse((INFRA / "config" / env / "monitoring.yaml").read_text())["parameters"]
        assert parameters["MinimumSample"] == str(guard["min_messages"])
    periods = {str(m["MetricStat"]["Period"]) for m in a["success-rate-critical"]["Metrics"] if "MetricStat" in m}
    assert periods == {str(milliseconds(guard["window"]) // 1000)}
