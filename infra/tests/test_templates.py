"""The files themselves: encoding, size, lint, and what YAML allows but CloudFormation does not."""
import json
import pathlib
import subprocess
import sys

import pytest
import yaml

import template
from conftest import ENVIRONMENTS, INFRA, TEMPLATES

REQUIRED = ["base.yaml", "ses.yaml", "ses-dev.yaml", "enhanced-kinesis.yaml", "monitoring.yaml", "security.yaml"]
OWN_FILES = sorted(p for p in INFRA.rglob("*") if p.is_file() and p.suffix in (".yaml", ".yml", ".sh", ".guard")
                   and not {".venv", "node_modules"} & set(p.parts))


def test_the_six_templates_of_the_plan_exist():
    assert set(REQUIRED) <= set(TEMPLATES)


@pytest.mark.parametrize("path", OWN_FILES, ids=lambda p: str(p.relative_to(INFRA)))
def test_is_ascii_with_lf(path):
    data = path.read_bytes()
    data.decode("ascii")
    assert b"\r" not in data
    assert data.endswith(b"\n")
    trailing = [i for i, line in enumerate(data.split(b"\n"), 1) if line != line.rstrip()]
    assert not trailing, f"trailing blanks in lines {trailing}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_fits_into_a_request(name):
    assert (INFRA / "templates" / name).stat().st_size < 51200


@pytest.mark.parametrize("name", TEMPLATES)
def test_uses_no_yaml_aliases(name):
    """CloudFormation documents that it takes neither aliases nor merges."""
    tokens = yaml.scan((INFRA / "templates" / name).read_text())
    assert not [t for t in tokens if isinstance(t, (yaml.AnchorToken, yaml.AliasToken))]


def test_lint_is_clean():
    files = [str(INFRA / "templates" / n) for n in TEMPLATES]
    done = subprocess.run([str(pathlib.Path(sys.executable).with_name("cfn-lint")), "--regions", "ap-northeast-1", "--include-checks", "W", "--format", "json", *files],
                          capture_output=True, text=True, timeout=240)
    found = [f"{m['Filename'].rsplit('/', 1)[-1]}:{m['Location']['Start']['LineNumber']} {m['Rule']['Id']} {m['Message']}" for m in json.loads(done.stdout or "[]")]
    assert not found, "\n".join(found)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", TEMPLATES)
def test_says_what_it_is_and_what_every_parameter_takes(name):
    t = template.load(name)
    assert t["AWSTemplateFormatVersion"] == "2010-09-09"
    assert t["Description"].startswith("ses-migration ")
    for p, d in t["Parameters"].items():
        typed = d["Type"] not in ("String", "CommaDelimitedList")
        assert typed or d.get("AllowedValues") or d.get("AllowedPattern"), f"{p} takes anything"
        if d.get("AllowedPattern"):
            assert d.get("ConstraintDescription"), f"{p}: a refusal must say what to type"


@pytest.mark.parametrize("name", TEMPLATES)
def test_derives_the_short_form_of_the_environment(name):
    """X-5: nobody types prod and production apart."""
    t = template.load(name)
    assert "production" in t["Parameters"]["Environment"]["AllowedValues"] or name == "ses-dev.yaml"
    for p, d in t["Parameters"].items():
        assert "prod" not in (d.get("AllowedValues") or []), p


@pytest.mark.parametrize("name", TEMPLATES)
def test_holds_no_secret(name):
    """D-11: dynamic references and generated secrets only."""
    t = template.load(name)
    for p, d in t["Parameters"].items():
        if any(w in p.lower() for w in ("password", "token", "secret")):
            assert p.endswith(("Arn", "ArnPattern", "Name")) or d.get("NoEcho"), f"{p} would hold a secret"
    assert "AWS::IAM::AccessKey" not in {r["Type"] for r in t["Resources"].values()}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_seven_files_of_an_environment_exist(env):
    names = {p.name for p in (INFRA / "config" / env).iterdir()}
    assert {"config.yaml", "base.yaml", "ses.yaml", "enhanced-kinesis.yaml", "monitoring.yaml", "security.yaml", "README.md"} <= names


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_configs_use_keys_that_sceptre_4_reads(env):
    """X-6: it ignores depends_on and tags silently."""
    known = {"template", "dependencies", "parameters", "stack_tags", "ignore", "stack_name", "protect", "notifications", "on_failure", "role_arn",
             "cloudformation_service_role", "stack_timeout", "hooks", "sceptre_user_data", "disable_rollback", "obsolete"}
    for path in (INFRA / "config" / env).glob("*.yaml"):
        if path.name == "config.yaml":
            continue
        c = yaml.load(path.read_text(), Loader=_Any)
        assert not set(c) - known, f"{path.name}: {set(c) - known}"
        assert c["template"]["path"] in TEMPLATES
        assert c["stack_tags"]["Environment"] == ENVIRONMENTS[env]
        assert c["stack_tags"]["ProjectCode"] == "ses-migration"
        assert c["stack_tags"]["Purpose"]
        assert c["parameters"]["Environment"] == ENVIRONMENTS[env]
        for d in c.get("dependencies", []):
            assert d.startswith(f"{env}/"), f"{path.name} depends on another environment: {d}"
            assert (INFRA / "config" / d).exists()


class _Any(yaml.SafeLoader):
    pass


_Any.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix} {getattr(node, 'value', '')}")


def test_the_pipeline_of_the_stacks_is_in_order():
    """base <- ses <- enhanced-kinesis <- monitoring <- security, chapter 13."""
    for env in ENVIRONMENTS:
        def needs(name):
            return yaml.load((INFRA / "config" / env / f"{name}.yaml").read_text(), Loader=_Any).get("dependencies", [])
        chain = ["base", "ses", "enhanced-kinesis", "monitoring", "security"]
        assert needs("base") == []
        for before, after in zip(chain, chain[1:]):
            assert f"{env}/{before}.yaml" in needs(after)


def test_editor_settings():
    """X-42: ASCII is enforced above; VS Code knows no encoding of that name."""
    settings = json.loads((INFRA.parent / ".vscode" / "settings.json").read_text())
    for s in (settings, settings["[yaml]"], settings["[json]"]):
        assert s["files.encoding"] == "utf8" and s["files.eol"] == "\n"
    assert settings["files.trimTrailingWhitespace"] is True
    assert settings["files.insertFinalNewline"] is True
    assert settings["files.autoGuessEncoding"] is False
