"""Twenty people at once: nobody gets an error, or another's answer, and memory stays bounded."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from workbench import served

PEOPLE, QUESTIONS = 20, 30
MOST_MB = 150  # that memory may grow by once every question has been asked


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.slow
def test_twenty_people_at_once_are_answered_as_each_alone(archive_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    with served(archive_path) as (address, pid):
        base, _, token = address.partition("/?token=")

        def ask(at: int) -> list[tuple[str, float]]:
            case = f"phantom-0{at % 3}-0{at % 5}"
            options = {"case": case, "by": "joint", "alpha": at % 11 / 10, "k": 4, "token": token}
            with urlopen(f"{base}/api/query?{urlencode(options)}", timeout=60) as found:
                assert found.status == 200
                answer = json.load(found)
            assert answer["query"] == case
            return [(one["id"], one["distance"]) for one in answer["matches"]]

        n = 3 * 5 * 11
        alone = [ask(at) for at in range(n)]
        before = resident_mb(pid)
        wanted = [at % n for at in range(PEOPLE * QUESTIONS)]
        with ThreadPoolExecutor(PEOPLE) as people:
            found = list(people.map(ask, wanted))
        assert found == [alone[at] for at in wanted]
        assert resident_mb(pid) - before < MOST_MB
