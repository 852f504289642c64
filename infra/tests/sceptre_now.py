"""Sceptre's own command line, but it polls every 0.1 s: the emulator is done at once."""
import sys
import time

from sceptre.cli import cli

_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.1))
sys.argv[0] = "sceptre"
cli()
