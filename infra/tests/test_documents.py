"""What the READMEs tell operators to type exists."""
import re
import subprocess

import pytest

import emulator
from conftest import ENVIRONMENTS, INFRA, run_sceptre

PAGES = [INFRA / "README.md", *(INFRA / "config" / e / "README.md" for e in ENVIRONMENTS)]
TEXT = {p: p.read_text() for p in PAGES}
ALL = "\n".join(TEXT.values())


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
    for name in set(re.findall(r"--log-group-name (/\S+)", ALL)) | set(re.findall(r"aws logs tail (\S+?)[;`\s]", ALL)):
        assert name.strip("`;") in logs, name
    for name in set(re.findall(r"--function-name (\S+)", ALL)):
        assert emulator.client("lambda").get_function(FunctionName=name)
    names = {r.name for r in emulator.DEPLOYED.values()} | {r.properties.get("AlarmName") for r in emulator.DEPLOYED.values()}
    for pattern in (r"--alarm-name (\S+)", r"--user-name (ses-\S+?)`", r"--configuration-set-name (ses-[a-z-]+)", r"--group-name (ses-[a-z-]+)(?=\s--user)",
                    r"--cluster (ses-[a-z-]+)", r"--secret-id (ses-[a-z-]+/[a-z-]+)"):
        found = set(re.findall(pattern, ALL))
        assert found, pattern
        assert found <= names, found - names
    outputs = {k for e in ENVIRONMENTS for s in ("base", "ses", "network", "relay") for k in stacks.outputs(e, s)}
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


def test_the_cost_table_adds_up():
    table = (INFRA / "README.md").read_text().split("## Cost a month")[1]
    rows = [line for line in table.splitlines() if line.startswith("|") and not line.startswith(("| what", "|---", "| **together"))]
    figures = [row.rstrip("|").rsplit("|", 1)[1].strip().replace(",", "") for row in rows]
    low = sum(float(f.split(" to ")[0]) for f in figures)
    high = sum(float(f.split(" to ")[-1]) for f in figures)
    said = float(re.search(r"about ([0-9,]+)\*\*", table).group(1).replace(",", ""))
    assert low - 50 <= said <= high + 50, (low, said, high)


@pytest.mark.parametrize("words,value", [("100,000 a minute = 1,667/s", 100000 / 60), ("1,667 / 0.9 = 1,852/s", 100000 / 60 / 0.9), ("61/s on average", 5300000 / 86400)])
def test_the_rates_are_reckoned_right(words, value):
    assert words in ALL
    number = float(re.findall(r"([0-9,]+)/s", words)[-1].replace(",", ""))
    assert abs(number - value) < 1
