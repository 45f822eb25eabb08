"""The store against a dict: any sequence of operations, closings, compactions and readers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_model import RECIPE, Model, assert_equal, perform

from isohash.archive.store import CaseStore
from isohash.archive.verify import verify

IDS = st.sampled_from(["a", "b", "c", "ä/../ö", "x" * 300, "\x00"])
VERSIONS = st.integers(1, 30)


class StoreMachine(RuleBasedStateMachine):
    """One writer, readers with the state they were opened with, and the model of each."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.folder = self.root / "archive"
        self.store = CaseStore.create(self.folder, RECIPE)
        self.model = Model()
        self.readers: list[tuple[CaseStore, Model]] = []

    def do(self, *operation: object) -> None:
        perform(self.store, list(operation))
        self.model.apply(list(operation))

    @rule(case_id=IDS, version=VERSIONS)
    def put(self, case_id: str, version: int) -> None:
        self.do("put", case_id, version)

    @precondition(lambda self: self.model.cases)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.do("delete", data.draw(st.sampled_from(sorted(self.model.cases))))

    @rule(name=st.sampled_from(["weights", "../escape"]), version=VERSIONS)
    def put_file(self, name: str, version: int) -> None:
        self.do("file", name, version)

    @rule(version=VERSIONS)
    def set_recipe(self, version: int) -> None:
        self.do("recipe", version)

    @rule()
    def compact(self) -> None:
        self.do("compact")

    @rule()
    def reopen(self) -> None:
        self.store.close()
        assert verify(self.folder).ok
        self.store = CaseStore.open(self.folder, writable=True)

    @rule()
    def open_reader(self) -> None:
        if len(self.readers) < 3:
            self.readers.append((CaseStore.open(self.folder), self.model.copy()))

    @precondition(lambda self: self.readers)
    @rule()
    def close_reader(self) -> None:
        self.readers.pop(0)[0].close()

    @invariant()
    def the_writer_and_every_reader_say_what_their_model_says(self) -> None:
        assert_equal(self.store, self.model)
        for reader, model in self.readers:
            assert_equal(reader, model)

    def teardown(self) -> None:
        for reader, _ in self.readers:
            reader.close()
        self.store.close()
        report = verify(self.folder)
        assert report.ok, report
        with CaseStore.open(self.folder, writable=True) as store:
            assert_equal(store, self.model)
        with CaseStore.open(self.folder) as store:
            assert_equal(store, self.model)
        assert verify(self.folder).notes == ()
        assert sorted(path.name for path in self.root.iterdir()) == ["archive"]
        shutil.rmtree(self.root)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(1200)
class TestStoreAtLength(StoreMachine.TestCase):
    settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
