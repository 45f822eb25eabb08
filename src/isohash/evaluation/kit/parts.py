"""Finished parts of a long experiment, kept on disk so that an interrupted one goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isohash.whole_files import digest, private_folder, write_whole

Row = dict[str, Any]


def work_folder(out: str | Path, work: str | Path | None = None) -> Path:
    """Where a run keeps embeddings, trained encoders and finished parts, so that it can go on.

    By default the folder beside `out` with `.work` at the end of its name: what lies in `out` are
    results, to be kept.
    """
    if work is not None:
        return Path(work)
    whole = Path(out).resolve()
    return whole.with_name(f"{whole.name}.work")


@dataclass(frozen=True)
class Parts:
    """One JSON file per part in `folder`; `about` (settings, data digests) must match to reuse."""

    folder: Path
    about: Mapping[str, Any]

    def get(self, name: str, measure: Callable[[], list[Row]]) -> list[Row]:
        """The rows of a part: read if it was finished before, otherwise measured and kept."""
        key, path = digest(settings=self.about), self.folder / f"{name}.json"
        rows = _read(path, key)
        if rows is None:
            rows = measure()
            private_folder(self.folder)
            content = json.dumps({"digest": key, "rows": rows}).encode()
            write_whole(path, content, kept_up=True)
        return rows


def _read(path: Path, key: str) -> list[Row] | None:
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text())
    except json.JSONDecodeError:
        return None  # damaged: measured again
    return kept["rows"] if kept.get("digest") == key else None
