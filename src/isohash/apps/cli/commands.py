"""The commands by name: the module of one is loaded when it is called, not to start another.

Heavy parts are imported inside the commands, so that a query from a cold start stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from isohash.apps.cli.whole import also_after

PLACES = {
    "index": "index:index",
    "pull": "hospital:pull",
    "listen": "hospital:listen",
    "send": "hospital:send",
    "query": "query:query",
    "propose": "planning:propose",
    "check": "planning:check",
    "compare": "planning:compare",
    "serve": "serve:serve",
    "users": "people:users",
    "audit": "people:audit",
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

    def __getitem__(self, name: str) -> Any:
        return _command(name, PLACES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


class Commands(TyperGroup):
    """The program as a group of these."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Loaded()


@cache
def _command(name: str, place: str) -> Any:
    module, attribute = place.split(":")
    found = getattr(import_module(f"isohash.apps.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(found)
        found = alone
    for one in found.registered_commands:
        if one.callback is not None:
            one.callback = also_after(one.callback)
    return typer.main.get_command(found)
