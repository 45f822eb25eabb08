"""The commands by name: the module of one is loaded when it is called, not to start another.

Heavy parts are imported inside the commands, so that a query from a cold start stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

PLACES = {
    "index": "index:index",
    "pull": "hospital:pull",
    "query": "query:query",
    "propose": "planning:propose",
    "check": "planning:check",
    "compare": "planning:compare",
    "serve": "serve:serve",
    "names": "names:names",
    "list": "archives:list_",
    "show": "archives:show",
    "facts": "archives:facts",
    "remove": "archives:remove",
    "merge": "archives:merge",
    "export": "archives:export",
    "replay": "replay:replay",
    "resolve": "archives:resolve",
    "backup": "archives:backup",
    "verify": "upkeep:verify",
    "info": "upkeep:info",
    "phi-scan": "upkeep:phi_scan",
    "doctor": "upkeep:doctor",
    "demo": "upkeep:demo",
    "plan-bits": "plan_bits:plan_bits",
    "train": "train:train",
    "evaluate": "encoders:evaluate",  # which adds to those of evaluate.py
    "bench": "bench:bench",
}


class Loaded(Mapping[str, Any]):
    """Commands of typer's parser, each made at its first use."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, PLACES[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


class Commands(TyperGroup):
    """The program as a group of these."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Loaded()


def _command(name: str, place: str) -> Any:
    module, attribute = place.split(":")
    found = getattr(import_module(f"isohash.apps.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(found)
        found = alone
    return typer.main.get_command(found)
