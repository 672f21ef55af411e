"""A signal stops `up` even if it arrives while `up` waits for one."""

import subprocess
import sys

from config.tests.support import ROOT, SECONDS

# A signal every 50 microseconds of processor time, also during the wait.
PROGRAM = """
import signal, time
from config.runtime.stop_request import StopRequest

request, count = StopRequest(), 0

def handle(number, frame):
    global count
    count += 1
    request.make()

signal.signal(signal.SIGPROF, handle)
signal.setitimer(signal.ITIMER_PROF, 0.00005, 0.00005)
while count < 200:
    request.wait(0)
signal.setitimer(signal.ITIMER_PROF, 0)
assert request.wait(60)
"""


def test_signal_may_arrive_at_any_moment_of_the_wait() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True, timeout=SECONDS)
