"""Studies on a node, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isohash.sources.pacs import fetching
from pacs_nodes import Fake, Orthanc, serving, start_orthanc, write_studies


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def fake(studies: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A node of our own with these studies; a second try comes at once."""
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    with serving(Fake()) as node:
        for folder in studies:
            node.add(folder)
        yield node


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, studies: list[Path]) -> Iterator[Orthanc]:
    node = start_orthanc(tmp_path_factory.mktemp("orthanc") / "db")
    try:
        for folder in studies:
            node.store(folder)
        yield node
    finally:
        node.kill()
