"""How Sphinx builds the site of `make docs`."""

import re

import isohash

project = "isohash"
version = release = isohash.__version__
root_doc = "README"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "isohash"
html_show_copyright = False
html_show_sourcelink = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"
nitpicky = False
suppress_warnings = ["myst.header", "myst.xref_missing"]  # files of the repository that are no page


def _plainly(app, what, name, obj, options, lines) -> None:  # type: ignore[no-untyped-def]
    """Docstrings are text: bars are no substitutions, stars no emphasis."""
    lines[:] = [re.sub(r"\||(?<=\S)\*|\*(?=\S)", r"\\\g<0>", line) for line in lines]


def _skipped(app, what, name, obj, skip, options) -> bool | None:  # type: ignore[no-untyped-def]
    """What scikit-learn makes for its own routing is told there."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app) -> None:  # type: ignore[no-untyped-def]
    """Before napoleon, which reads the sections of a docstring."""
    app.connect("autodoc-process-docstring", _plainly, priority=400)
    app.connect("autodoc-skip-member", _skipped)
