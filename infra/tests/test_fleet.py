"""Two tasks of the deployed service, run here: the configuration that the stack
renders, laid out by its own script, against a Redis with the stack's user,
TLS and eviction policy."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from test_relay import configuration, containers

BINARY = os.environ.get("RELAY_BINARY")
needs = [pytest.mark.skipif(not BINARY, reason="RELAY_BINARY is not set and bin/relay is not built: no relay to run"),
         pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is missing: apt-get install redis-server")]
pytestmark = needs
PASSWORD, SECRET = "p" * 64, "f" * 64


def eventually(what, holds, seconds=60):
    """Waits until holds() is true, however slow the machine is."""
    end = time.monotonic() + seconds
    while not (got := holds()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return got


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Valkey:
    """A Redis server as the stack's replication group: TLS, its users, its parameters."""

    def __init__(self, stacks, root):
        self.root, self.port = root, free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=valkey",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", root / "key.pem", "-out", root / "cert.pem"], check=True, capture_output=True)
        users = {stacks.record("prod", "relay", u).properties["UserName"]: stacks.record("prod", "relay", u).properties["AccessString"] for u in ("ValkeyUser", "ValkeyNobody")}
        assert set(users) == {"relay", "default"}
        parameters = stacks.record("prod", "relay", "ValkeyParameters").properties["Properties"]
        lines = ["port 0", f"tls-port {self.port}", "bind 127.0.0.1", f"tls-cert-file {root}/cert.pem", f"tls-key-file {root}/key.pem", "tls-auth-clients no",
                 f"tls-ca-cert-file {root}/cert.pem", "save ''", f"dir {root}", "maxmemory 64mb", *(f"{k} {v}" for k, v in parameters.items()),
                 *(f"user {name} {access} >{PASSWORD if name == 'relay' else 'nobody'}" for name, access in users.items())]
        (root / "redis.conf").write_text("\n".join(lines) + "\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", self.root / "redis.conf"], stdout=(self.root / "redis.log").open("a"), stderr=subprocess.STDOUT)
        eventually("redis listens", lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Task:
    """One task: the first container's script, then the relay on a loopback address of its own."""

    def __init__(self, stacks, root, address, valkey, token_line):
        self.root, self.address = root, address
        for d in ("etc", "lib", "bin"):
            (root / d).mkdir(parents=True)
        name = f"ip-{address.replace('.', '-')}"
        (root / "bin" / "hostname").write_text(f"#!/bin/sh\necho {name}.ap-northeast-1.compute.internal\n")      # as Fargate answers
        (root / "bin" / "hostname").chmod(0o755)
        c = containers(stacks, "prod")["configure"]
        script = c["Command"][2].replace("/etc/relay", f"{root}/etc").replace("/var/lib/relay", f"{root}/lib").replace("chown -R 65532:65532", "ls -d")
        text, _ = configuration(stacks, "prod")
        subprocess.run([*c["Command"][:2], script], check=True, capture_output=True, env={
            "PATH": f"{root}/bin:{os.environ['PATH']}", "RELAY_YAML": text, "TOKENS": token_line, "MASK_KEY": "k" * 64, "FLEET_SECRET": SECRET})
        self.file = root / "etc" / "relay.yaml"
        self.file.write_text(self.placed(self.file.read_text(), valkey))
        self.log = root / "log"
        self.process = None

    def placed(self, text, valkey):
        """The task's text on this machine: addresses, folders, no AWS."""
        text, n = re.subn(r"@master\.ses-migration-production\.[a-z0-9.]+:6379", f"@127.0.0.1:{valkey.port}?ca_file={valkey.root}/cert.pem", text)
        assert n == 1
        for a, b in (("/etc/relay/", f"{self.root}/etc/"), ("/var/lib/relay", f"{self.root}/lib"), ('"0.0.0.0:', f'"{self.address}:'), ("networks: {admin: [", "networks: {admin: [127.0.0.0/8, "),
                     ("region: ap-northeast-1", "region: ap-northeast-1\n  endpoint: http://127.0.0.1:9"), ("smtp.cuenote.invalid:587", "127.0.0.1:9"), ("tls: starttls\n", "tls: none\n")):
            assert a in text, a
            text = text.replace(a, b)
        return text

    def env(self):
        return {"PATH": os.environ["PATH"], "HOME": str(self.root), "REDIS_PASSWORD": PASSWORD, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}

    def start(self):
        self.process = subprocess.Popen([BINARY, "serve", "--config", self.file], stdout=self.log.open("a"), stderr=subprocess.STDOUT, env=self.env())

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def get(self, path, token):
        request = urllib.request.Request(f"http://{self.address}:8025{path}", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as r:
                return json.load(r)
        except OSError:
            return None

    def cli(self, token, *args):
        return subprocess.run([BINARY, *args, "--api", f"http://{self.address}:8025"], capture_output=True, text=True, env={**self.env(), "RELAY_TOKEN": token}, timeout=120)


@pytest.fixture(scope="module")
def fleet(stacks, tmp_path_factory):
    made = json.loads(subprocess.run([BINARY, "token", "new", "admin", "ops", "--json"], check=True, capture_output=True, text=True).stdout)
    root = tmp_path_factory.mktemp("fleet")
    (root / "valkey").mkdir()
    valkey = Valkey(stacks, root / "valkey")
    tasks = [Task(stacks, root / a, a, valkey, made["line"]) for a in ("127.0.0.2", "127.0.0.3")]
    for t in tasks:
        t.start()
    yield valkey, tasks, made["token"]
    for t in tasks:
        t.stop()
    valkey.stop()


def split(task, token):
    return task.get("/v1/split", token) or {}


def test_two_tasks_are_one_fleet(fleet):
    valkey, (a, b), token = fleet
    check = subprocess.run([BINARY, "check", "--config", a.file], capture_output=True, text=True, env=a.env())
    assert check.returncode == 0, check.stdout + check.stderr
    for t in (a, b):
        names = eventually(f"{t.address} sees both", lambda: len(split(t, token).get("instances", [])) == 2 and {i["id"] for i in split(t, token)["instances"]})
        assert names == {"ip-127-0-0-2.relay.goo.ne.jp", "ip-127-0-0-3.relay.goo.ne.jp"}
    done = a.cli(token, "split", "set", "10", "--reason", "week 1", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    eventually("the other task applies it", lambda: split(b, token).get("ses_percent") == 10 and all(i["version"] == split(b, token)["version"] for i in split(b, token)["instances"]))
    assert "NOPERM" not in a.log.read_text() + b.log.read_text(), "the user of Valkey lacks a permission"


def test_the_brake_goes_from_task_to_task_without_valkey(fleet):
    """By the port that the tasks' security group opens among themselves, signed with the fleet's secret."""
    valkey, (a, b), token = fleet
    eventually("both apply 10 %", lambda: all(split(t, token).get("ses_percent") == 10 for t in (a, b)))
    valkey.stop()
    done = a.cli(token, "brake", "--reason", "test")
    eventually("the other task brakes", lambda: split(b, token).get("requested") == 10 and split(b, token).get("ceiling", 0) == 0 and "told by another instance" in b.log.read_text())
    assert "not reached" not in done.stdout + done.stderr
    valkey.start()


def test_the_user_of_valkey_may_no_more(stacks, fleet):
    """Other prefixes, administration and the default user are closed."""
    valkey, _, _ = fleet

    def redis(user, password, *command):
        done = subprocess.run(["redis-cli", "--tls", "--cacert", valkey.root / "cert.pem", "-p", str(valkey.port), "--user", user, "--pass", password, "--no-auth-warning", *command],
                              capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    assert "PONG" in redis("relay", PASSWORD, "PING")
    for command in (("GET", "other:x"), ("SET", "{relay}x", "1"), ("PUBLISH", "other", "x"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "LIST"), ("SHUTDOWN",)):
        assert "NOPERM" in redis("relay", PASSWORD, *command), command
    assert "OK" in redis("relay", PASSWORD, "SET", "{relay:}test", "1", "EX", "1")
    assert "WRONGPASS" in redis("default", "nobody", "PING")
    assert "noeviction" in redis("relay", PASSWORD, "INFO", "memory")
