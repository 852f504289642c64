"""The operator's own commands: sceptre generate and validate, and validate.sh."""
import os
import shutil
import stat
import subprocess

import pytest
import yaml

import emulator
import template
from conftest import ENVIRONMENTS, INFRA, run_sceptre

STACKS = ["base", "ses", "enhanced-kinesis", "monitoring", "security", "network", "relay"]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_generate_renders_every_stack(env):
    """Without a network: the emulator need not run."""
    done = run_sceptre("generate", env)
    rendered = [template.parse(text) for text in yaml.safe_load_all(done.stdout)]
    assert sorted(t["Description"] for t in rendered) == sorted(template.load(f"{n}.yaml")["Description"] for n in STACKS)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_validate(server, env):
    done = run_sceptre("validate", env)
    assert (done.stdout + done.stderr).count("is valid") >= len(STACKS) or (done.stdout + done.stderr).count("Parameters") >= len(STACKS)


@pytest.mark.parametrize("args,text", [
    (["list", "stacks", "prod"], "prod/enhanced-kinesis"),
    (["status", "prod"], "COMPLETE"),
    (["status", "prod/monitoring.yaml"], "COMPLETE"),
    (["list", "outputs", "prod/ses.yaml"], "DkimRecordValue3"),
    (["list", "resources", "prod/enhanced-kinesis.yaml"], "ses-migration-production-data-masking-lambda"),
], ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_commands_that_look(stacks, args, text):
    """S-41 by the names that Sceptre 4 has (X-8)."""
    done = run_sceptre(*args)
    assert text in done.stdout


def test_the_old_way_of_development_deploys(server):
    """ses-dev.yaml is valid though no configuration uses it (X-4)."""
    from test_refusals import create
    create("ses-dev.yaml", {"ProjectCode": "shared"}, name="shared-identity")
    cloudformation = emulator.client("cloudformation")
    out = {o["OutputKey"]: o["OutputValue"] for o in cloudformation.describe_stacks(StackName="shared-identity")["Stacks"][0]["Outputs"]}
    assert out["SharedIdentityArn"].endswith(":identity/goo.ne.jp")
    assert out["ConfigurationSetName"] == "shared-development-config-set"
    cloudformation.delete_stack(StackName="shared-identity")
    for env in ENVIRONMENTS:
        assert "ses-dev" not in (INFRA / "config" / env / "ses.yaml").read_text()


# ---- validate.sh, with uv and aws replaced by scripts that note how they were called

RECORDER = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$*" in *"${FAIL:-nothing-fails}"*) echo "no good: $*" >&2; exit 1;; esac
exit 0
"""


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "infra"
    root.mkdir()
    shutil.copytree(INFRA / "templates", root / "templates")
    shutil.copy(INFRA / "validate.sh", root)
    (tmp_path / "bin").mkdir()
    for name in ("uv", "aws"):
        f = tmp_path / "bin" / name
        f.write_text(RECORDER)
        f.chmod(f.stat().st_mode | stat.S_IXUSR)

    def run(*args, **env):
        calls = tmp_path / "calls"
        calls.write_text("")
        done = subprocess.run([str(root / "validate.sh"), *args], capture_output=True, text=True, cwd="/",
                              env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls), **env})
        return done, calls.read_text().splitlines()
    run.root = root
    return run


def test_validate_sh_in_order(tree):
    done, calls = tree()
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "== template validation: start" and "== template validation: end" in lines
    six = ["base", "ses", "ses-dev", "enhanced-kinesis", "monitoring", "security"]
    assert [x for x in lines if x.startswith("validating templates/")][:6] == [f"validating templates/{n}.yaml" for n in six]
    asked = [c.split("/")[-1].split(".")[0] for c in calls if c.startswith("aws ")]
    assert asked[:6] == six
    assert all("--region ap-northeast-1" in c for c in calls if c.startswith("aws "))
    by_sceptre = [c.split("sceptre validate ")[1] for c in calls if "sceptre validate" in c]
    assert by_sceptre == [f"{env}/{s}.yaml" for env in ("prod", "dev") for s in STACKS]


def test_validate_sh_asks_nobody_offline(tree):
    done, calls = tree("--offline")
    assert done.returncode == 0
    assert not [c for c in calls if c.startswith("aws ") or "sceptre validate" in c]
    assert len([c for c in calls if "sceptre generate" in c]) == 2


def test_validate_sh_repeats_a_refused_call(tree):
    done, calls = tree(FAIL="templates/ses.yaml --region")
    assert done.returncode == 1
    assert "no good" in done.stderr and "AWS refuses templates/ses.yaml" in done.stdout
    assert len([c for c in calls if "templates/ses.yaml --region" in c]) == 2
    assert "not valid" in done.stdout


@pytest.mark.parametrize("what,bad", [("ASCII", "# caf\u00e9\n".encode()), ("CR", b"# x\r\n"), ("51,200", b"#" * 52000 + b"\n")])
def test_validate_sh_sees_files_that_aws_would_refuse(tree, what, bad):
    path = tree.root / "templates" / "base.yaml"
    path.write_bytes(path.read_bytes() + bad)
    done, _ = tree("--offline")
    assert done.returncode == 1 and what in done.stdout
    assert "  OK" in done.stdout       # the others


def test_validate_sh_refuses_what_it_does_not_know(tree):
    done, _ = tree("--fast")
    assert done.returncode == 2
