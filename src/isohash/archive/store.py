"""`CaseStore`: cases (metadata and arrays) and named files in one folder that survives anything.

A put is durable when it returns, and all or nothing if it does not. There is one writer at a time
and any number of readers, each with the state of the moment at which it was opened. A damaged
byte is an error that names the file, never a wrong answer. How: log.py, docs/archive-format.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isohash.archive import catalogue, columns, folder
from isohash.archive.columns import Places, Rows
from isohash.archive.log import Log
from isohash.archive.picking import picked
from isohash.archive.putting import Put, check_text, checked, joined
from isohash.archive.state import Change, Record, encode_records, parsed_metadata, row_ranges
from isohash.errors import InputError
from isohash.progress import Progress

if TYPE_CHECKING:
    from isohash.archive.repair import Repair
    from isohash.archive.verify import Report


class CaseStore:
    """An archive of cases; made by `create` or `open`, usable as a context manager."""

    def __init__(self, log: Log) -> None:
        self.path = log.path
        self._log = log
        self._columns: dict[str, tuple[int, tuple[Any, ...]]] = {}  # with the state's sequence
        self._places_of: tuple[int, Places | None] = (-1, None)

    @classmethod
    def create(
        cls, path: str | Path, recipe: Mapping[str, Any], files: Mapping[str, bytes] | None = None
    ) -> CaseStore:
        """Make a new archive in a new or empty folder and open it for writing.

        All or nothing: until the last step the folder is no archive, and creating again takes
        over what a killed creation left.
        """
        store = cls(Log.begin(Path(path), _as_recipe(recipe)))
        try:
            for name, data in (files or {}).items():
                store.put_file(name, data)
            store._log.finish()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, path: str | Path, writable: bool = False) -> CaseStore:
        """Open an archive; InputError if there is none, it is newer, damaged or locked."""
        return cls(Log.open_to_write(Path(path)) if writable else Log.open_to_read(Path(path)))

    def close(self) -> None:
        """Release the locks; a writer seals the catalogue. Arrays handed out stay valid."""
        self._log.close()

    def __enter__(self) -> CaseStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def writable(self) -> bool:
        """Whether this store may write."""
        return self._log.writable

    # -- reading ---------------------------------------------------------------------------------

    @property
    def recipe(self) -> dict[str, Any]:
        """How the archive was made: a fresh copy of its JSON."""
        copy: dict[str, Any] = json.loads(folder.dump(self._log.recipe))
        return copy

    def __len__(self) -> int:
        return len(self._log.state.cases)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._log.state.cases

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids())

    def ids(self) -> tuple[str, ...]:
        """The case ids in the order of their first put; an upsert keeps a case's place."""
        return tuple(self._log.state.cases)

    @property
    def sequence(self) -> int:
        """The number of the last change."""
        return self._log.state.sequence

    def places(self) -> Iterator[tuple[int, str, str]]:
        """Of every case the number of the change that first brought it, its id and fingerprint."""
        return ((c.position, c.id, c.fingerprint) for c in self._log.state.cases.values())

    def metadata(self, case_id: str) -> dict[str, Any]:
        """The metadata of a case, a fresh copy."""
        with catalogue.guard(self.path):
            return parsed_metadata(self._record(case_id))

    def column(self, name: str) -> tuple[Any, ...]:
        """The metadata value `name` of every case in the order of ids(), None where it is absent.

        Nothing else of the metadata is parsed, and a column is read once: filters over many cases
        look at columns, not at `metadata`.
        """
        sequence, column = self._columns.get(name, (-1, ()))
        if sequence != self._log.state.sequence:
            sequence, cases = self._log.state.sequence, self._log.state.cases.values()
            with catalogue.guard(self.path):
                column = tuple(picked((record.metadata for record in cases), name))
            self._columns[name] = sequence, column
        return column

    def fingerprint(self, case_id: str) -> str:
        """What `put` was given to tell whether the case's source has changed."""
        return self._record(case_id).fingerprint

    def array_names(self, case_id: str) -> tuple[str, ...]:
        """The names of a case's arrays, in the order they were put."""
        return tuple(self._ranges(self._record(case_id)))

    def arrays(self, case_id: str, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """The arrays of a case (or those named), read-only, not copied, their bytes checked."""
        record = self._record(case_id)
        ranges = self._ranges(record)
        for name in names or ():
            if name not in ranges:
                raise InputError(
                    f"case {case_id!r} has no array {name!r}; it has {', '.join(ranges) or 'none'}"
                )
        segment = self._log.segment(record.segment)
        wanted = ranges if names is None else {name: ranges[name] for name in names}
        return {n: segment.rows(b, first, first + k) for n, (b, first, k) in wanted.items()}

    def rows(self, case_id: str, name: str, rows: Sequence[int]) -> NDArray[Any]:
        """Some rows of one array of a case, copied; only the chunks they lie in are checked."""
        record = self._record(case_id)
        block, first, count = self._ranges(record)[name]
        segment = self._log.segment(record.segment)
        if not all(0 <= row < count for row in rows):
            raise InputError(f"array {name!r} of case {case_id!r} has {count} rows, not {rows}")
        return np.concatenate([segment.rows(block, first + r, first + r + 1) for r in rows])

    def gather(self, name: str) -> Rows:
        """One array of all cases, joined along its first axis in the order of ids().

        Not copied where one compacted segment holds it all. InputError if no case has it, or if
        its dtype or row shape differs between cases.
        """
        return columns.gather(name, self._places(), self._log.segment)

    def chunks(self, name: str, max_bytes: int = 1 << 26) -> Iterator[Rows]:
        """`gather` in pieces of whole cases of at most `max_bytes`, for what exceeds memory."""
        return columns.chunks(name, self._places(), self._log.segment, max_bytes)

    def check_mapped(self) -> None:
        """DamagedArchive if a file that arrays in use are mapped from has become shorter.

        To touch such an array would end the process: look before a long use of arrays held.
        """
        self._log.check_mapped()

    def file_names(self) -> tuple[str, ...]:
        """The names of the files kept beside the cases."""
        return tuple(self._log.state.files())

    def read_file(self, name: str) -> bytes:
        """The content of a file put by `put_file`, checked."""
        sequence = self._log.state.files().get(name)
        if sequence is None:
            known = ", ".join(self.file_names()) or "none"
            raise InputError(f"archive {self.path} has no file {name!r}; it has {known}")
        return self._log.segment(sequence).content()

    def segments(self) -> frozenset[int]:
        """The numbers of the segments that this state lives in."""
        return frozenset(self._log.state.segments)

    def info(self) -> dict[str, Any]:
        """Counts, sizes and versions."""
        entries = self._log.state.segments.values()
        return {
            "path": str(self.path),
            "format": folder.FORMAT,
            "cases": len(self),
            "segments": len(entries),
            "bytes": sum(entry.size for entry in entries),
            "arrays": list(self._places().names),
            "files": {
                n: self._log.state.segments[s].size for n, s in self._log.state.files().items()
            },
            "sequence": self._log.state.sequence,
        }

    def _places(self) -> Places:
        """Where all rows lie; read once for each state."""
        sequence, places = self._places_of
        if places is None or sequence != self._log.state.sequence:
            sequence = self._log.state.sequence
            with catalogue.guard(self.path):
                places = Places(tuple(self._log.state.cases.values()))
            self._places_of = sequence, places
        return places

    def _ranges(self, record: Record) -> dict[str, tuple[int, int, int]]:
        with catalogue.guard(self.path):
            return row_ranges(record)

    def _record(self, case_id: str) -> Record:
        record = self._log.state.cases.get(case_id)
        if record is None:
            raise InputError(f"archive {self.path} has no case {case_id!r}; see its ids")
        return record

    # -- writing ---------------------------------------------------------------------------------

    def put(
        self,
        case_id: str,
        metadata: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        fingerprint: str = "",
    ) -> None:
        """Add a case, or replace it in its place; durable when it returns."""
        self.put_all([Put(case_id, metadata, arrays, fingerprint)])

    def put_all(self, cases: Sequence[Put]) -> None:
        """Add or replace several cases as one: all of them are there when it returns, or none.

        One segment holds them, so many small cases cost one write to the disk and not one each.
        InputError if two of them have one id.
        """
        if not cases:
            return
        sound = [checked(one) for one in cases]
        if len({one.id for one in sound}) < len(sound):
            raise InputError("two cases of one put have the same id")
        blocks = joined([one.arrays for one in sound])
        with self._log.writing() as log:
            sequence, position = log.state.sequence + 1, log.state.next_position
            records = []
            for one, rows in zip(sound, blocks.rows, strict=True):
                known = log.state.cases.get(one.id)
                place, position = (known.position, position) if known else (position, position + 1)
                text = folder.dump(one.metadata)
                records.append(
                    Record(place, one.id, one.fingerprint, sequence, folder.dump(rows), text)
                )
            content = encode_records(records)
            entry = log.publish("case", content, blocks.shapes, [[content], *blocks.sources])
            log.commit(Change(entry, tuple(records)))

    def delete(self, case_id: str) -> None:
        """Remove a case; its rows leave the disk at the next `compact`."""
        with self._log.writing() as log:
            self._record(case_id)
            content = folder.dump([case_id]).encode()
            entry = log.publish("delete", content, [], [[content]])
            log.commit(Change(entry, deleted=(case_id,)))

    def put_file(self, name: str, data: bytes) -> None:
        """Keep a small named file (weights, hash parameters), or replace it at once."""
        check_text(name, "a file name", empty=False)
        with self._log.writing() as log:
            entry = log.publish("file", data, [], [[data]], name=name)
            log.commit(Change(entry))

    def set_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Replace the recipe at once."""
        content = _as_recipe(recipe)
        with self._log.writing() as log:
            log.set_recipe(content)

    def compact(self, progress: Progress | None = None) -> None:
        """Merge all segments into one and drop deleted and overwritten rows.

        Needs free space for all live rows. Readers keep what they have opened: what they may need
        is removed by a later writer. Does nothing if there is nothing to merge or drop.
        """
        with self._log.writing() as log:
            log.compact(progress)

    def rewrite(
        self, changes: Mapping[str, tuple[Mapping[str, Any], str]], progress: Progress | None = None
    ) -> None:
        """Give cases other metadata and fingerprints, all at once; their arrays stay.

        Compacts, so that what is replaced leaves the disk (once no reader holds it). Durable when
        it returns, and all or nothing if it does not.
        """
        with self._log.writing() as log:
            changed = {}
            for case_id, (metadata, fingerprint) in changes.items():
                meta = folder.dump(folder.normalised(dict(metadata), f"metadata of {case_id!r}"))
                record = self._record(case_id)
                changed[case_id] = record._replace(metadata=meta, fingerprint=fingerprint)
            log.compact(progress, changed)

    # -- integrity -------------------------------------------------------------------------------

    def verify(self, progress: Progress | None = None) -> Report:
        """Read and check every byte of the archive's folder; `verify` in verify.py says what."""
        from isohash.archive.verify import verify

        return verify(self.path, progress)

    @staticmethod
    def repair(path: str | Path, progress: Progress | None = None) -> Repair:
        """Make a damaged archive usable again; see repair.py for what is kept."""
        from isohash.archive.repair import repair

        return repair(path, progress)


def _as_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = folder.normalised(dict(recipe), "the recipe")
    return content
