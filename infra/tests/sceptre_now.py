"""Sceptre's own command line, but it polls every 0.1 s: the emulator is done at once."""
import sys
import time

from botocore.config import Config
from sceptre.cli import cli

# A call that is sent again because a busy machine answers late makes its stack a second time.
Config.OPTION_DEFAULTS["read_timeout"] = 600

_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.1))
sys.argv[0] = "sceptre"
cli()
