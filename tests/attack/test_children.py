"""Children that read untrusted files end with their parent, and have limits of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isohash.sandbox import MEMORY_BYTES, SPARE_S, Child, send

TESTS = Path(__file__).resolve().parents[1]
PARENT = """
import sys
from isohash.sandbox import Child
child = Child("wild_child")
print(child.call({"task": "limits"}, 60)[0]["pid"], flush=True)
child.call({"task": sys.argv[1]}, 60)
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux ends children by a signal")


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie that only waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def ended(pid: int) -> bool:
    """Whether a process ends soon; a loaded machine may take its time."""
    end = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(pid)


@on_linux
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("task", ["spin", "spin in C", "hang"])
def test_a_child_ends_with_its_parent_whatever_ends_it_and_whatever_the_child_does(
    task: str, how: signal.Signals
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", PARENT, task]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            assert is_running(child)
            parent.send_signal(how)
            parent.wait()
            assert ended(child)
        finally:
            parent.kill()


@on_linux
def test_a_child_whose_parent_is_gone_before_it_has_begun_ends_at_once() -> None:
    theirs, ours = os.pipe()
    command = [sys.executable, "-m", "wild_child", "1000000000", str(theirs)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    os.close(ours)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=[theirs], env=environment
    ) as child:
        os.close(theirs)
        assert child.wait(30) == 1


def test_a_child_has_limits_and_a_group_of_its_own() -> None:
    child = Child("wild_child")
    first, _ = child.call({"task": "limits"}, 20)
    later, _ = child.call({"task": "limits"}, 100)
    child.stop()
    assert first["AS"] == MEMORY_BYTES
    assert first["CORE"] == 0
    assert first["group"] == first["pid"] != os.getpgid(0)
    assert 20 + SPARE_S <= first["CPU"] <= 20 + SPARE_S + 2  # of which it has used a little
    assert later["pid"] == first["pid"]
    assert 100 + SPARE_S <= later["CPU"] <= 100 + SPARE_S + 2


def test_the_system_ends_a_child_that_its_parent_forgets() -> None:
    """A parent that is stopped, or does not look: the limit of a request holds all the same."""
    child = Child("wild_child")
    pid = child.call({"task": "limits"}, 20)[0]["pid"]
    process = child._process
    assert process is not None
    assert process.stdin is not None
    send(process.stdin, {"task": "spin", "seconds": 0.5 - SPARE_S})
    assert process.wait(60) == -signal.SIGXCPU
    assert not is_running(pid)
    child.stop()
