"""Shared fixtures: one seeded generator per test, and where the real data lie, if anywhere."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# machines may be busy, and a failure must come back when it is looked for
settings.register_profile("isohash", deadline=None, derandomize=True)
settings.load_profile("isohash")

pytest_plugins = ["chain_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="seed of the rng fixture")


@pytest.fixture(scope="session", autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Never touch the user's own key of pseudonyms; the same pseudonyms in every run.

    Other ones would hold other letters by chance, which a search for identity may come upon.
    """
    key = tmp_path_factory.mktemp("key") / "pseudonym.key"
    key.touch(0o600)
    key.write_bytes(bytes(range(32)))
    os.environ["ISOHASH_KEY_FILE"] = str(key)


FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says what a long test has counted; told at the end of a run in which all is well, too."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = terminalreporter.config.stash.get(FIGURES, [])
    if told:
        terminalreporter.section("figures")
        terminalreporter.write("".join(f"{line}\n" for line in told))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by --seed and the test's own name."""
    name = zlib.crc32(request.node.nodeid.encode())
    return np.random.default_rng([request.config.getoption("--seed"), name])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout (or $ISOHASH_DATA); skips where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ISOHASH_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set ISOHASH_DATA")
    return folder
