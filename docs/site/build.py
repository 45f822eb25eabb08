"""The documentation as a site: all pages, every command and every public name.

    python docs/site/build.py OUT

Pages keep their places, so their links hold; README is the first. The pages of commands and names
are made from the command line and from docstrings, so they cannot tell of what is not there.
Warnings of Sphinx are errors.
"""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import isohash

ROOT = Path(__file__).resolve().parents[2]
ABOUT = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
CONTENTS = """
```{toctree}
:hidden:
:caption: Use
commands
names
docs/python
tutorials
```
```{toctree}
:hidden:
:caption: Pages
:glob:
docs/[!p]*
docs/planning
```
```{toctree}
:hidden:
:caption: About
SECURITY
CONTRIBUTING
CHANGELOG
```
"""


def commands() -> str:
    """A page with the help of every command, groups and what is in them."""
    from typer.main import get_command

    from isohash.apps.cli.main import app

    told = [
        f"## {name}\n\n```text\n{text}\n```\n" for name, text in _helps(get_command(app), "isohash")
    ]
    return "# Commands\n\n" + "\n".join(told)


def _helps(command: Any, name: str) -> Iterator[tuple[str, str]]:
    context = command.make_context(name, ["--help"], resilient_parsing=True)
    yield name, command.get_help(context)
    for part in sorted(getattr(command, "commands", {})):
        yield from _helps(command.commands[part], f"{name} {part}")


def names() -> str:
    """A page with the docstring of every public name."""
    told = []
    for name in (one for one in isohash.__all__ if one != "__version__"):
        is_class = inspect.isclass(getattr(isohash, name))
        kind, more = ("autoclass", "\n   :members:") if is_class else ("autofunction", "")
        told.append(f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: isohash.{name}{more}\n```\n")
    return "# Public names\n\n" + "\n".join(told)


def tutorials() -> str:
    """A page with the cells of each notebook, which `make test-slow` runs."""
    import json

    told = []
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            text = "".join(cell["source"])
            told.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    told = [one.replace("# ", "## ", 1) if one.startswith("# ") else one for one in told]
    return "# Tutorials\n\nNotebooks in docs/tutorials, run by `make test-slow`.\n\n" + "\n\n".join(
        told
    )


def lay_out(source: Path) -> None:
    """All pages in their places, with those that are generated."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in (*ABOUT, "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "docs", source / "docs", ignore=shutil.ignore_patterns("site", "tutorials")
    )
    first = source / "README.md"
    first.write_text(first.read_text() + CONTENTS)
    for name, text in (("commands", commands()), ("names", names()), ("tutorials", tutorials())):
        (source / f"{name}.md").write_text(text)
    shutil.copy(Path(__file__).with_name("conf.py"), source)


def main(out: Path) -> None:
    """Lay out the pages beside OUT and build them."""
    source = out.with_name(f"{out.name}.source")
    lay_out(source)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    sys.exit(subprocess.run([*command, source, out], check=False).returncode)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
