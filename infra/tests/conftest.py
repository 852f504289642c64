"""One emulator for the whole run; the stacks are deployed into it by the real Sceptre."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import emulator

TESTS = pathlib.Path(__file__).resolve().parent
INFRA = TESTS.parent
ENVIRONMENTS = {"dev": "development", "prod": "production"}
TEMPLATES = sorted(p.name for p in (INFRA / "templates").glob("*.yaml"))


@pytest.fixture(scope="session")
def server():
    s = emulator.start()
    yield s
    s.stop()


def run_sceptre(*args, check=True, project=INFRA, **env):
    """Runs the operator's own command, from the operator's own lock file."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "VIRTUAL_ENV"}
    full.update(AWS_ENDPOINT_URL=emulator.ENDPOINT["url"] or "http://127.0.0.1:9", AWS_ACCESS_KEY_ID="emulator", AWS_SECRET_ACCESS_KEY="emulator",
                AWS_DEFAULT_REGION=emulator.REGION, AWS_EC2_METADATA_DISABLED="true", **env)
    done = subprocess.run(["uv", "run", "--frozen", "-q", "--project", str(INFRA), "python", str(TESTS / "sceptre_now.py"), "--dir", str(project), *args],
                          capture_output=True, text=True, env=full, stdin=subprocess.DEVNULL, timeout=900)
    if check and done.returncode:
        raise AssertionError(f"sceptre {' '.join(args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session")
def sceptre(server):
    return run_sceptre


ORDER = ["base", "ses", "enhanced-kinesis", "monitoring", "security", "network", "relay"]


class Stacks:
    """What was deployed, and how it can be looked at."""

    def __init__(self):
        self.log = {}

    def outputs(self, env, name):
        stack = emulator.client("cloudformation").describe_stacks(StackName=f"ses-migration-{env}-{name}")["Stacks"][0]
        return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}

    def record(self, env, name, logical_id):
        return emulator.DEPLOYED[f"ses-migration-{env}-{name}", logical_id]

    def of_type(self, env, resource_type):
        return [r for r in emulator.DEPLOYED.values() if r.type == resource_type and r.stack.startswith(f"ses-migration-{env}-")]


def deploy(env, project=INFRA):
    """The operator's order: base first, then the function's code, then the rest."""
    out = [run_sceptre("create", "-y", f"{env}/base.yaml", project=project)]
    put_code(env)
    out.append(run_sceptre("launch", "-y", env, project=project))
    for optional in ("network", "relay"):
        out.append(run_sceptre("create", "-y", f"{env}/{optional}.yaml", project=project))
    return "".join(d.stdout + d.stderr for d in out)


def put_code(env):
    import io
    import zipfile
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        z.writestr("bootstrap", b"#!/bin/true\n")
    bucket = f"ses-migration-{env}-artifacts-{emulator.ACCOUNT}"
    emulator.client("s3").put_object(Bucket=bucket, Key=CODE_KEY, Body=data.getvalue())


CODE_KEY = "mask-events/0000000000000000.zip"      # as it stands in config, until it is filled in


@pytest.fixture(scope="session")
def stacks(server):
    """Both environments, in one account (X-13)."""
    s = Stacks()
    for env in ENVIRONMENTS:
        s.log[env] = deploy(env)
    return s
