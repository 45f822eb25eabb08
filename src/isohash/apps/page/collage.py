"""A collage as in the literature: the query framed, its nearest slices around it, as one PNG."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from isohash.apps.page.charts import Pane, common_crop, cropped
from isohash.apps.page.gallery import is_wrong
from isohash.apps.page.report import chosen_pairs, isodose_colours, pane_of
from isohash.dosimetry.isodose import isodose_lines
from isohash.errors import InputError
from isohash.retrieval.answer import Answer, Match
from isohash.retrieval.engine import Session
from isohash.retrieval.strangers import understanding
from isohash.whole_files import OWNER_ONLY, write_whole

ZOOM = 4
IMAGE = 192  # pixels of a side, of an image that is no slice
GAP = 6
CAPTION = 16
FRAME = (213, 94, 0)
WRONG = (160, 0, 0)
PAPER, INK = (255, 255, 255), (30, 30, 30)


def write_collage(session: Session, answer: Answer, path: str | Path, columns: int = 4) -> None:
    """Write the query's and the results' middle matched slices as one PNG.

    The query is framed. Where both have a known class, results of another class are shaded.
    """
    with understanding(session.archive.store.path, "what a collage shows of it"):
        panes = _panes(session, answer)
    colours = isodose_colours(session.query)
    tiles = [_drawn(pane, colours) for pane in _fitting(panes)]
    _frame(tiles[0])
    tiles[1:] = [
        _shaded(tile, session, m) for tile, m in zip(tiles[1:], answer.matches, strict=True)
    ]
    height, width = tiles[0].height, tiles[0].width
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), PAPER)
    for at, tile in enumerate(tiles):
        row, column = divmod(at, columns)
        sheet.paste(tile, (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    picture = BytesIO()
    sheet.save(picture, "PNG")
    try:
        write_whole(path, picture.getvalue(), OWNER_ONLY)
    except OSError as error:
        raise InputError(f"--collage {path}: cannot be written ({error})") from error


def _panes(session: Session, answer: Answer) -> list[Pane]:
    """The query's middle matched slice, then the slice of every result matched there."""
    if not answer.matches:
        raise InputError("there is no result to make a collage of")
    if any(not match.pairs for match in answer.matches):
        raise InputError("--collage needs matched slices; the query shows none of what they share")
    middle = [chosen_pairs(match.pairs, 1)[0] for match in answer.matches]
    query = session.query
    panes = [pane_of(query, middle[0].query_slice, f"query {query.id}")]
    for match, pair in zip(answer.matches, middle, strict=True):
        title = f"{match.rank}  {match.id}  {match.distance:.3f}"
        panes.append(pane_of(session.archive.entry(match.id), pair.slice, title))
    return panes


def _fitting(panes: list[Pane]) -> list[Pane]:
    """Slices at one scale, bodies filling them; images that are no slices stay whole."""
    if panes[0].grey.ndim == 3:
        return panes
    crop = common_crop(panes)
    return [cropped(pane, crop) for pane in panes]


def _frame(tile: Image.Image) -> None:
    ImageDraw.Draw(tile).rectangle((0, 0, tile.width - 1, tile.height - 1), outline=FRAME, width=4)


def _shaded(tile: Image.Image, session: Session, match: Match) -> Image.Image:
    if not is_wrong(session.query, match):
        return tile
    return Image.blend(tile, Image.new("RGB", tile.size, WRONG), 0.35)


def _drawn(pane: Pane, colours: Mapping[float, str]) -> Image.Image:
    whole = pane.grey.ndim == 3
    height, width = (IMAGE, IMAGE) if whole else (ZOOM * side for side in pane.grey.shape)
    tile = Image.new("RGB", (width, height + CAPTION), PAPER)
    grey = Image.fromarray(pane.grey).resize((width, height), Image.Resampling.BILINEAR)
    tile.paste(grey.convert("RGB"), (0, 0))
    draw = ImageDraw.Draw(tile)
    if pane.dose_gy is not None:
        for level, lines in isodose_lines(pane.dose_gy, list(colours)).items():
            for line in lines:
                points = [tuple(p) for p in (ZOOM * (np.asarray(line) + 0.5)).tolist()]
                draw.line(points, fill=colours[level], width=3)
    draw.text((6, height + 1), pane.title, fill=INK)
    return tile
