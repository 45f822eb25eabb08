"""Forks writers that kill -9 ends at random moments or at a given step, and says what they did.

Run as a program: crash_host.py ARCHIVE SEED. It reads one line per round from standard input
("random N MILLISECONDS", "step K" or "create K"), forks a writer that does random operations, each
announced before and acknowledged after on a pipe, kills it, and prints the announcements and
acknowledgements as one line of JSON. Forking from here, where nothing else runs, costs
milliseconds where starting an interpreter costs a second.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from itertools import islice

from store_model import RECIPE, FailAt, perform

from isohash.archive.store import CaseStore
from isohash.whole_files import failpoints


def random_operation(rng: random.Random, store: CaseStore) -> list:
    ids = store.ids()
    kind = rng.choices(
        ["put", "update", "delete", "file", "recipe", "compact"], [6, 4, 3, 1, 1, 2]
    )[0]
    if kind == "put" and len(ids) < 12:
        return ["put", f"case {rng.randrange(40)}", rng.randrange(1, 10**6)]
    if kind in ("put", "update") and ids:
        return ["put", rng.choice(ids), rng.randrange(1, 10**6)]
    if kind == "delete" and ids:
        return ["delete", rng.choice(ids)]
    if kind == "file":
        return ["file", f"file {rng.randrange(2)}", rng.randrange(1000)]
    if kind == "recipe":
        return ["recipe", rng.randrange(1000)]
    return ["compact"]


def write(archive: str, rng: random.Random, pipe: int) -> None:
    """Open, do random operations, now and then close and open again, until killed."""
    while True:
        with CaseStore.open(archive, writable=True) as store:
            os.write(pipe, b'"open"\n')
            for _ in range(rng.randrange(1, 12)):
                operation = random_operation(rng, store)
                os.write(pipe, json.dumps(["start", operation]).encode() + b"\n")
                perform(store, operation)
                os.write(pipe, b'"done"\n')


def one_round(archive: str, rng: random.Random, how: str, amount: int, wait_ms: float) -> list:
    """What one writer announced and acknowledged before it was killed.

    A random kill comes `wait_ms` after the writer has said `amount` things, so that it hits
    writes on a slow machine as on a fast one.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            with failpoints(FailAt(-9 if how == "random" else amount, kill=True)):
                if how == "create":
                    CaseStore.create(archive, RECIPE, {"weights": b"1"}).close()
                else:
                    write(archive, rng, writer)
        except Exception as error:  # noqa: BLE001 - reported to the test, which fails
            os.write(writer, json.dumps(["error", repr(error)]).encode() + b"\n")
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader) as lines:
        events = [json.loads(line) for line in islice(lines, amount if how == "random" else None)]
        if how == "random":
            time.sleep(wait_ms / 1000)
            os.kill(child, signal.SIGKILL)
            events += [json.loads(line) for line in lines]
    os.waitpid(child, 0)
    return events


def main() -> None:
    archive, seed = sys.argv[1], int(sys.argv[2])
    for number, line in enumerate(sys.stdin):
        how, amount, wait_ms = line.split()
        rng = random.Random(f"{seed} {number}")
        events = one_round(archive, rng, how, int(amount), float(wait_ms))
        sys.stdout.write(json.dumps(events) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
