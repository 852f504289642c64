"""A strict CloudFormation in one process.

moto 5.2 silently skips a resource type that it has no model for (the stack
still says CREATE_COMPLETE), keeps AWS::NoValue in lists, accepts wrong
parameter values and ignores unknown properties. This package keeps moto's
services and replaces what is lenient:

* strict.py     intrinsics, parameters, capabilities, sizes, and every
                resource's resolved properties against its registry schema
* generated.py  a model for every type that moto lacks, made from that schema
* backing.py    what creates and deletes those in moto's services
* builtin.py    repairs of moto's own models

A type is created in a moto service, or it stands in backing.RECORDED with the
reason; anything else fails the stack.
"""
from dataclasses import dataclass, field

import boto3
from botocore.config import Config

REGION = "ap-northeast-1"
ACCOUNT = "123456789012"


@dataclass
class Record:
    """One deployed resource: what the template said after all intrinsics."""

    stack: str
    logical_id: str
    type: str
    properties: dict
    name: str = ""
    resource: object = None
    template: dict = field(default_factory=dict)

    def attribute(self, name):
        return self.resource.get_cfn_attribute(name)


#: (stack name, logical id) -> Record, as long as the stack exists
DEPLOYED: dict[tuple[str, str], Record] = {}
ENDPOINT = {"url": ""}


def client(service, region=REGION):
    """A client of the emulator; it never retries and never reads credentials."""
    return boto3.client(
        service,
        endpoint_url=ENDPOINT["url"],
        region_name=region,
        aws_access_key_id="emulator",
        aws_secret_access_key="emulator",
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


def start():
    """Starts the emulator on a free loopback port and answers its URL."""
    import logging

    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    from . import builtin, generated, strict

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    generated.install()
    builtin.install()
    strict.install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    ENDPOINT["url"] = "http://%s:%d" % server.get_host_and_port()
    return server
