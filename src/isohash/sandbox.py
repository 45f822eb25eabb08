"""Untrusted files and networks in child processes with a cap on memory and on processor time.

What makes a parser crash, hang or swell takes down its child only: the parent says what happened,
starts another child and goes on. Time is the processor's, so that a busy machine loses no valid
file; by the clock on the wall a child may take `WALL_FACTOR` times as long. Children speak JSON and
raw array bytes over pipes (no pickle), live as long as this process and end when it ends, whatever
ends it: each holds the reading end of a pipe that nobody writes to, and the system ends it when the
writing end is gone. Should even that fail, it has no more processor time than its request.

Message: 8 bytes of length, a JSON object of that length, then the blobs that its "blobs" announces.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import queue
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from isohash.errors import InputError

WALL_FACTOR = 10.0  # a child that waits for a core or a slow disk is not at fault
POLL_S = 0.2  # between two looks at the processor time of a child at work
MEMORY_BYTES = 6 << 30  # address space of a child; a case of 500 slices of 512 x 512 needs 2 GiB
MAX_CHILDREN = max(1, min(4, os.cpu_count() or 1))

SPARE_S = 5  # processor time beyond a request's, after which the system itself ends a child

Message = tuple[dict[str, Any], list[bytearray]]
Answer = tuple[dict[str, Any], list[Any]]


class ChildFailed(Exception):
    """The child crashed, ran out of memory or of time; the message says which."""


class TooSlow(ChildFailed):
    """The child used up its processor time: it would again."""


def send(stream: IO[bytes], header: dict[str, Any], blobs: list[Any] | None = None) -> None:
    """Write one message; blobs are anything with a buffer."""
    views = [memoryview(blob).cast("B") for blob in blobs or []]
    text = json.dumps({**header, "blobs": [len(view) for view in views]}).encode()
    stream.write(len(text).to_bytes(8, "little") + text)
    for view in views:
        stream.write(view)
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Read one message; None at the end of the stream."""
    size = stream.read(8)
    if len(size) < 8:
        return None
    text = stream.read(int.from_bytes(size, "little"))
    header = json.loads(text)
    return header, [_read(stream, length) for length in header.pop("blobs")]


def _read(stream: IO[bytes], length: int) -> bytearray:
    """So many bytes, without a second copy of what may be a whole CT."""
    blob = bytearray(length)
    view, done = memoryview(blob), 0
    while done < length:
        got = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise OSError("the message is cut short")
        done += got
    return blob


def serve(answer: Callable[[dict[str, Any], list[bytearray]], Answer]) -> None:
    """Be a child: answer the requests of standard input until it ends. Its arguments are limits."""
    memory, lifeline = map(int, sys.argv[1:3])
    _end_with(lifeline)
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    while (message := receive(sys.stdin.buffer)) is not None:
        _limit(resource.RLIMIT_CPU, int(time.process_time() + message[0].pop("seconds")) + SPARE_S)
        send(answers, *answer(*message))
        del message  # one case is freed before the next


def _end_with(lifeline: int) -> None:
    """End when the pipe's other end is gone, even within code that holds Python's lock."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    gone = select.poll()
    gone.register(lifeline, 0)
    if gone.poll(0):  # before the system was asked to tell
        os._exit(1)


def _limit(what: int, most: int) -> None:
    """Lower a limit of this process, or raise it again as far as it may."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


class Child:
    """One child process, started when first needed and again after a failure."""

    def __init__(self, module: str, memory_bytes: int = MEMORY_BYTES) -> None:
        self.module = module
        self.memory_bytes = memory_bytes
        self._lifeline = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[Message | None] = queue.Queue()

    def call(
        self, header: dict[str, Any], timeout_s: float, blobs: list[Any] | None = None
    ) -> Message:
        """Send a request and wait for its answer; ChildFailed if there is none in time.

        `timeout_s` is processor time of the child where the system tells it; see `WALL_FACTOR`.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            send(process.stdin, {**header, "seconds": timeout_s}, blobs)
            answer = self._answer(process.pid, timeout_s)
        except ChildFailed:
            self.stop()
            raise
        except OSError:
            answer = None
        if answer is None:
            self.stop()
            raise ChildFailed("crashes the reader")
        return answer

    def _answer(self, pid: int, timeout_s: float) -> Message | None:
        """The next message; ChildFailed once the child has used up its time."""
        begun, end = processor_seconds(pid) or 0.0, time.monotonic() + WALL_FACTOR * timeout_s
        while True:
            with suppress(queue.Empty):
                return self._answers.get(timeout=POLL_S)
            if (processor_seconds(pid) or begun) - begun > timeout_s:
                raise TooSlow(f"takes longer than {timeout_s:g} s of processor time to read")
            if time.monotonic() > end:
                raise ChildFailed(f"takes longer than {WALL_FACTOR * timeout_s:g} s to read")

    def stop(self) -> None:
        """End the child at once."""
        if self._process is not None:
            with suppress(OSError):  # it is gone
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(OSError):  # unsent data for a child that is gone
                        stream.close()
            os.close(self._lifeline)
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [path for path in sys.path if path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        environment["OPENBLAS_NUM_THREADS"] = "1"
        theirs, self._lifeline = os.pipe()
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.module, str(self.memory_bytes), str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs],
                process_group=0,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(theirs)
        self._answers = queue.Queue()
        threading.Thread(target=_pump, args=(process, self._answers), daemon=True).start()
        return process


def processor_seconds(pid: int) -> float | None:
    """Processor time that a process has used so far; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return None


def _pump(process: subprocess.Popen[bytes], answers: queue.Queue[Message | None]) -> None:
    """Move answers from the pipe to the queue; None says that there will be no more."""
    assert process.stdout is not None
    try:
        while _pass_on(process.stdout, answers):
            pass
    except (OSError, ValueError):
        pass  # the pipe was closed under us, or cut within a message
    answers.put(None)


def _pass_on(stream: IO[bytes], answers: queue.Queue[Message | None]) -> bool:
    """One message; no name of it is left here, for while we wait its case may be freed."""
    if (message := receive(stream)) is None:
        return False
    answers.put(message)
    return True


class Pool:
    """Up to `MAX_CHILDREN` children of one module, shared by threads."""

    def __init__(self, module: str, memory_bytes: int = MEMORY_BYTES) -> None:
        self._all = [Child(module, memory_bytes) for _ in range(MAX_CHILDREN)]
        self._free: queue.LifoQueue[Child] = queue.LifoQueue()
        for child in self._all:
            self._free.put(child)
        atexit.register(self.stop)

    @contextmanager
    def child(self) -> Iterator[Child]:
        """A child for the use of this thread alone."""
        child = self._free.get()
        try:
            yield child
        except BaseException:
            child.stop()  # whatever it was doing, its next answer must not be taken for another's
            raise
        finally:
            self._free.put(child)

    def call(
        self, header: dict[str, Any], timeout_s: float, blobs: list[Any] | None = None
    ) -> Message:
        """One request to any free child; what goes wrong there is an InputError here."""
        with self.child() as child:
            answer, found = child.call(header, timeout_s, blobs)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer, found

    def stop(self) -> None:
        """End all children."""
        for child in self._all:
            child.stop()
