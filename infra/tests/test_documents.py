"""What the READMEs and the runbook tell operators to type exists."""
import re
import subprocess

import pytest

import emulator
from conftest import ENVIRONMENTS, INFRA, run_sceptre

PAGES = [INFRA / "README.md", *(INFRA / "config" / e / "README.md" for e in ENVIRONMENTS)]
TEXT = {p: p.read_text() for p in PAGES}
ALL = "\n".join(TEXT.values())
RUNBOOKS = [INFRA.parent / "docs" / n for n in ("operations.md", "operations.ja.md")]
EVERYWHERE = "\n".join([ALL, *(p.read_text() for p in RUNBOOKS)])


def test_sceptre_commands_and_paths():
    commands = set(re.findall(r"uv run sceptre (list \w+|\w+)", ALL))
    assert {"create", "launch", "status", "list outputs", "delete"} <= commands
    for command in sorted(commands):
        assert "Usage:" in run_sceptre(*command.split(), "--help").stdout, command
    for path in set(re.findall(r"\b((?:dev|prod)/[a-z-]+\.yaml)", ALL)) - {"prod/x.yaml"}:
        assert (INFRA / "config" / path).exists(), path


def test_links_lead_somewhere():
    for page, text in TEXT.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_names_are_those_of_the_stacks(stacks):
    """Log groups, streams, buckets, functions, groups and alarms that the pages name."""
    logs = {g["logGroupName"] for g in emulator.client("logs").describe_log_groups()["logGroups"]}
    for name in set(re.findall(r"--log-group-name (/\S+)", EVERYWHERE)) | set(re.findall(r"aws logs tail (\S+?)[;`\s]", EVERYWHERE)):
        assert name.strip("`;") in logs, name
    for name in set(re.findall(r"--function-name (\S+)", ALL)):
        assert emulator.client("lambda").get_function(FunctionName=name)
    names = {r.name for r in emulator.DEPLOYED.values()} | {r.properties.get("AlarmName") for r in emulator.DEPLOYED.values()}
    for pattern in (r"--alarm-name (\S+)", r"--user-name (ses-\S+?)`", r"--configuration-set-name (ses-[a-z-]+)", r"--group-name (ses-[a-z-]+)(?=\s--user)",
                    r"--cluster (ses-[a-z-]+)", r"--secret-id (ses-[a-z-]+/[a-z-]+)"):
        found = {n.strip("`") for n in re.findall(pattern, EVERYWHERE)}
        assert found, pattern
        assert found <= names, found - names
    buckets = set(re.findall(r"--bucket (ses-\S+?)[`\s]", EVERYWHERE)) | set(re.findall(r"arn:aws:s3:::(ses-[a-z-]+)", EVERYWHERE))
    assert "ses-migration-prod-suppression" in buckets and buckets <= {b["Name"] for b in emulator.client("s3").list_buckets()["Buckets"]}
    outputs = {k for e in ENVIRONMENTS for s in ("base", "ses", "network", "relay") for k in stacks.outputs(e, s)}
    assert {"SuppressionBucketName"} <= outputs
    for name in ("BalancerDnsName", "NatGatewayIPs", "RelayRepositoryUri", "MailFromMxRecord", "MailFromSpfRecord", "DmarcRecord", "DkimRecordName1", "DkimRecordValue1"):
        assert name in ALL and name in outputs


def test_shell_blocks_parse():
    """Indented blocks are what people paste: the shell must read them."""
    for page, text in TEXT.items():
        for block in re.findall(r"(?:^ {4,}\S.*\n)+", text, re.M):
            if not re.match(r"\s+(uv|aws|pip|cd|make|printf|q=|arn=|account=)", block):
                continue
            script = re.sub(r"<[a-z]+>", "x", block)
            indent = min(len(line) - len(line.lstrip()) for line in script.splitlines())
            script = "\n".join(line[indent:] for line in script.splitlines())
            done = subprocess.run(["bash", "-n"], input=script + "\n", text=True, capture_output=True)
            assert done.returncode == 0, f"{page}:\n{block}\n{done.stderr}"


#: the CLI's own commands and options, which no service model knows
CUSTOM = {("s3", "cp"), ("s3", "ls"), ("s3", "rm"), ("logs", "tail"), ("s3api", "head-bucket")}
GLOBAL = {"--query", "--output", "--region", "--max-items", "--cli-binary-format", "--endpoint-url"}


def aws_commands():
    """(page, service, operation, its options) of every aws command in the documents."""
    pages = [*PAGES, INFRA / "lambda" / "mask-events" / "README.md", INFRA.parent / "docs" / "on-premises.md", *RUNBOOKS]
    for page in pages:
        for m in re.finditer(r"\baws ([a-z0-9]+) ([a-z][a-z0-9-]+)((?:\\\n|[^`\n])*)", page.read_text()):
            if not m[0].startswith("aws commands"):
                nested = m[3].split("aws ")[0]        # another command may follow in $( ) or behind a pipe
                yield page, m[1], m[2], re.findall(r"(?<!\S)(--[a-z][a-z0-9-]+)", nested.split(" | ")[0])


def test_aws_commands_exist():
    """Each is an operation that AWS has, with options that are its parameters."""
    import botocore.session
    from botocore import xform_name
    session = botocore.session.get_session()
    seen = 0
    for page, service, operation, options in aws_commands():
        if (service, operation) in CUSTOM or service in ("rolesanywhere",):
            continue
        model = session.get_service_model({"s3api": "s3"}.get(service, service))
        operations = {xform_name(n, "-"): n for n in model.operation_names}
        assert operation in operations, f"{page}: aws {service} {operation}"
        shape = model.operation_model(operations[operation]).input_shape
        known = {}
        for name, member in (shape.members if shape else {}).items():
            flag = "--" + xform_name(name, "-")
            known[flag] = name
            if member.type_name == "boolean":
                known["--no-" + flag[2:]] = name
        unknown = set(options) - set(known) - GLOBAL
        assert not unknown, f"{page}: aws {service} {operation}: {unknown}"
        missing = {xform_name(r, "-") for r in (shape.required_members if shape else [])} - {o[2:] for o in options} - {known[o] for o in options if o in known}
        complete = options and "..." not in page.read_text().split(f"aws {service} {operation}", 1)[1].split("\n")[0]
        assert not complete or not missing, f"{page}: aws {service} {operation} lacks {missing}"
        seen += 1
    assert seen > 40


def test_the_cost_table_adds_up():
    """Each row is its quantity times its price, and the sum is the sum."""
    table = (INFRA / "README.md").read_text().split("## Cost a month")[1].split("## Tests")[0]
    rows = [[c.strip().replace(",", "") for c in line.strip("|").split("|")] for line in table.splitlines() if re.match(r"\| .* \| [0-9,]+ \|$", line)]
    assert len(rows) > 20
    for what, _, quantity, each, dollars in rows:
        assert re.fullmatch(r"[0-9. x+/()]+", quantity), what
        assert round(eval(quantity.replace("x", "*")) * float(each)) == int(dollars), what
    together = sum(int(r[-1]) for r in rows)
    said = float(re.search(r"about ([0-9,]+)\*\*", table)[1].replace(",", ""))
    assert said == round(together, -2)
    assert f"SES is {round(100 * int(rows[0][-1]) / together)} % of it" in table
    assert f"About {said:,.0f} dollars" in TEXT[INFRA / "config" / "prod" / "README.md"]
    dev = TEXT[INFRA / "config" / "dev" / "README.md"].split("## Costs")[1]
    sums = re.findall(r"([0-9]+(?: \+ [0-9]+)+) = ([0-9]+)", dev)
    assert len(sums) == 2 and all(eval(parts) == int(whole) for parts, whole in sums)


def test_the_cost_tables_counts(stacks):
    """What the table counts is what the stacks make in production."""
    table = (INFRA / "README.md").read_text().split("## Cost a month")[1]
    alarms = [r.properties for r in stacks.of_type("prod", "AWS::CloudWatch::Alarm")]
    read = sum(sum("MetricStat" in m for m in a["Metrics"]) if "Metrics" in a else 1 for a in alarms)
    filters = {t["MetricName"] for r in stacks.of_type("prod", "AWS::Logs::MetricFilter") for t in r.properties["MetricTransformations"]}
    for what, n in (("Alarms, ", read), ("KMS keys", len(stacks.of_type("prod", "AWS::KMS::Key"))), ("Secrets", len(stacks.of_type("prod", "AWS::SecretsManager::Secret"))),
                    ("Composite", len(stacks.of_type("prod", "AWS::CloudWatch::CompositeAlarm"))), ("Metrics", len(filters))):
        row, = re.findall(rf"^\| {what}.*$", table, re.M)
        assert row.split("|")[3].split("+")[0].strip() == str(n), row


@pytest.mark.parametrize("words,value", [("100,000 a minute = 1,667/s", 100000 / 60), ("1,667 / 0.9 = 1,852/s", 100000 / 60 / 0.9), ("61/s on average", 5300000 / 86400)])
def test_the_rates_are_reckoned_right(words, value):
    assert words in ALL
    number = float(re.findall(r"([0-9,]+)/s", words)[-1].replace(",", ""))
    assert abs(number - value) < 1
