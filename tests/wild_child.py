"""A child of `isohash.sandbox` that answers, hangs, dies or eats memory as it is told."""

from __future__ import annotations

import os
import re
import resource
import time
from typing import Any

from isohash.sandbox import Answer, serve


def answer(request: dict[str, Any], blobs: list[bytearray]) -> Answer:
    task = request["task"]
    if task == "hang":
        time.sleep(60)
    if task == "spin":
        while True:
            pass
    if task == "spin in C":  # never gives Python's lock back
        re.match("(a+)+$", "a" * 60 + "b")
    if task == "wait":
        time.sleep(1.5)
    if task == "die":
        os._exit(3)
    if task == "limits":
        kinds = ("AS", "CPU", "CORE")
        found = {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind}"))[0] for kind in kinds}
        return {**found, "pid": os.getpid(), "group": os.getpgid(0)}, []
    if task == "swell":
        try:
            bytearray(1 << 36)
        except MemoryError:
            return {"error": "too big"}, []
    return {"echo": task}, [b"abc", *blobs]


if __name__ == "__main__":
    serve(answer)
