"""Cases added from the page: `isohash index` as a process of its own, below allowed folders.

The process is the command's own, so that ending it (by an interrupt, as Ctrl-C) loses no finished
case, and a crash of it is none of the server's.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from isohash.apps.web.api import plain
from isohash.apps.web.forms import TheForm
from isohash.apps.web.rendering import page
from isohash.errors import InputError

router = APIRouter()
MOST_FOLDERS = 1000  # shown of one folder
# A server that was started in the background ignores interrupts, and so would what it starts.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from isohash.apps.cli.main import main
main()
"""
INTERRUPTED = 130


@dataclass(frozen=True)
class Roots:
    """The folders below which cases may be taken from; each is called by its number."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, folders: tuple[Path, ...]) -> Roots:
        """InputError where one is no folder."""
        for one in folders:
            if not one.is_dir():
                raise InputError(f"--root {one}: no such folder; check the spelling")
        return cls(tuple(one.resolve() for one in folders))

    def find(self, root: int, below: str) -> Path:
        """A folder below a root; InputError for anything else, whatever links lead to."""
        refused = InputError("this is no folder below those that --root allows; choose one")
        if not 0 <= root < len(self.folders) or "\0" in below:
            raise refused
        try:
            found = (self.folders[root] / below).resolve()
            allowed = found.is_relative_to(self.folders[root]) and found.is_dir()
        except (OSError, RuntimeError):  # names that are too long, links in a circle
            raise refused from None
        if not allowed:
            raise refused
        return found

    def inside(self, root: int, below: str) -> list[str]:
        """The folders in a folder, as paths below the root; links that lead out are left out."""
        place = self.find(root, below)
        there = sorted(one for one in place.iterdir() if one.is_dir())
        within = [one for one in there if one.resolve().is_relative_to(self.folders[root])]
        return [str(one.relative_to(self.folders[root])) for one in within[:MOST_FOLDERS]]


@dataclass
class Job:
    """The one run at a time, and what became of the last."""

    archive: Path
    roots: Roots
    told: str = ""  # what it does
    result: dict[str, Any] | None = None
    source: str = ""
    _process: subprocess.Popen[str] | None = None
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._process is not None

    def begin(self, root: int, below: str) -> None:
        """Start on a folder; InputError while another runs."""
        folder = self.roots.find(root, below)
        with self._mutex:
            if self.running:
                raise InputError("cases are being added already; wait, or cancel that")
            command = [sys.executable, "-c", PROGRAM, "-v", "index", str(folder)]
            self._process = subprocess.Popen(
                [*command, str(self.archive), "--json"], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            self.result, self.told, self.source = None, "starting", f"{folder.name}"
        for follow in (self._follow, self._finish):
            threading.Thread(target=follow, args=(self._process,), daemon=True).start()

    def cancel(self) -> None:
        """Interrupt it, as Ctrl-C does: finished cases stay."""
        with self._mutex:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Interrupt it and wait for its end."""
        process = self._process
        self.cancel()
        if process is not None:
            process.wait()

    def to_json(self) -> dict[str, Any]:
        """How it stands."""
        return {"running": self.running, "told": self.told, "source": self.source,
                "result": self.result}  # fmt: skip

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self.told = line.strip()

    def _finish(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            lines = stream.read().splitlines()
        status = process.wait()
        self.result = _result(status, lines, self.roots)
        self._process = None


def _result(status: int, lines: list[str], roots: Roots) -> dict[str, Any]:
    """What the command told, with places as they are below the roots."""
    text = lines[-1] if lines else "{}"
    for root in roots.folders:
        text = text.replace(json.dumps(f"{root}/")[1:-1], "")
    try:
        facts = json.loads(text)
    except ValueError:
        facts = {}
    if status == INTERRUPTED:
        return {"cancelled": True}
    if "error" in facts or not isinstance(facts, dict) or not facts:
        return {"error": facts.get("error") or f"it ended with status {status}"}
    return facts


def job_of(request: Request) -> Job:
    """The run of this server."""
    return request.app.state.job


TheJob = Annotated[Job, Depends(job_of)]
Root = Annotated[int, Query(description="Number of an allowed folder.")]
Below = Annotated[str, Query(description="A folder below it.")]


@router.get("/indexing")
async def indexing_page(job: TheJob, root: Root = 0, below: Below = "") -> Response:
    """Choose a folder, and see how it goes."""
    roots = job.roots
    inside = roots.inside(root, below) if roots.folders else []
    return page("indexing.html", job=job, roots=roots, root=root, below=below, inside=inside)


@router.get("/api/indexing", summary="Whether cases are being added, and what became of it")
async def indexing_facts(job: TheJob) -> Response:
    """How the run stands: what it does, or found, indexed and skipped with reasons."""
    return plain(job.to_json())


@router.post("/indexing")
async def begin(job: TheJob, form: TheForm) -> Response:
    """Add the cases of a folder."""
    root = form.text("root")
    job.begin(int(root) if root.isdecimal() and root.isascii() else -1, form.text("below"))
    return RedirectResponse("/indexing", 303)


@router.post("/indexing/cancel")
async def cancel(job: TheJob) -> Response:
    """Stop; finished cases stay."""
    job.cancel()
    return RedirectResponse("/indexing", 303)
