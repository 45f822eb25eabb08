"""Write the tables of docs/encoders.md and of the model card from docs/figures/encoders.

python benchmarks/encoder_tables.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isohash.evaluation.kit.results import read_results

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ROOT / "docs" / "figures" / "encoders"
PAGES = (ROOT / "docs" / "encoders.md", ROOT / "src/isohash/features/encoders/weights/README.md")

Row = dict[str, Any]


def encoders(found: Row) -> str:
    lines = []
    for row in found["rows"]:
        budget = [_known(row[key], "g") for key in ("epochs", "seconds_per_epoch")]
        lines.append(
            [f"{row['view']} `{row['encoder']}`", str(row["dim"]), _small(row["mse"]),
             f"{_small(row['mse_low'])}–{_small(row['mse_high'])}",
             f"{row['error']:g} {row['unit']}", *(_short(row[f"dice_{b}"]) for b in _bits(found)),
             f"{_short(row['dice_low'])}–{_short(row['dice_high'])}",
             _short(row["dice_adaptive"]), *budget]
        )  # fmt: skip
    lengths = [f"Dice {b}" for b in _bits(found)]
    head = ["encoder", "dim", "error", "95 %", "", *lengths, "95 %", "adaptive", "epochs",
            "s an epoch"]  # fmt: skip
    command = "isohash evaluate encoders DATA/train DATA/validation --out docs/figures/encoders"
    return f"{_table(head, lines)}\n\n{_origin(command, found, found['validation_digest'])}"


def losses(found: Row) -> str:
    parts = []
    for name in dict.fromkeys(row["encoder"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["encoder"] == name]
        head = [f"`{name}`", *(str(row["epoch"]) for row in rows)]
        lines = [
            [told, *(_small(row[key]) for row in rows)]
            for told, key in (("training", "training_loss"), ("held out", "validation_loss"))
        ]
        parts.append(_table(head, lines))
    return "\n\n".join(parts)


def small_archives(found: Row) -> str:
    rows, sizes = found["rows"], found["settings"]["n_cases"]
    shown = (
        ("ct", "mse", "CT: error of reconstruction", _small),
        ("ct", "structures", "CT: structures in common with the nearest slice", _short),
        ("ct", "dose_gy", "CT: dose difference to the nearest slice, Gy", _plain),
        ("dose", "mse", "dose: error of reconstruction", _small),
        ("dose", "structures", "dose: structures in common with the nearest slice", _short),
        ("dose", "dose_gy", "dose: dose difference to the nearest slice, Gy", _plain),
    )
    lines = []
    for view, score, title, form in shown:
        lines.append([f"**{title}**", *[""] * len(sizes)])
        for encoder in ("deep", "pca", "downsampled"):
            cells = {
                row["cases"]: f"{form(row[score])} ± {form(row[f'{score}_error'])}"
                for row in rows
                if (row["view"], row["encoder"]) == (view, encoder)
            }
            lines.append([f"`{encoder}`", *(cells[size] for size in sizes)])
    command = "isohash evaluate small-archives DATA/validation --out docs/figures/encoders"
    table = _table(["cases in the archive", *map(str, sizes)], lines)
    return f"{table}\n\n{_origin(command, found, found['data_digest'])}"


def domain(found: Row) -> str:
    lines = [
        [f"`{row['source']}`, {row['cases']} cases", row["view"], _plain(row["relative"]),
         f"{_plain(row['lowest'])}–{_plain(row['highest'])}", _small(row["shipped"]),
         _small(row["fitted"]), f"`{row['taken']}`"]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["slices of", "view", "relative error", "lowest to highest case", "shipped",
            "components", "taken"]  # fmt: skip
    command = "isohash evaluate domain DATA/validation LUNG --out docs/figures/encoders"
    return f"{_table(head, lines)}\n\nCommand: `{command}`."


def volumes(found: Row) -> str:
    lines = [
        [f"`{row['encoder']}`", str(row["dim"]), _small(row["mse"]),
         _short(row["spearman"]), _plain(row["nearest_gy"]), _short(row["dice"]),
         _known(row["epochs"], "g")]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["volumes", "dim", "error", "rank correlation", "nearest, Gy", "Dice of the top 5",
            "epochs"]  # fmt: skip
    command = "isohash evaluate volumes DATA/train DATA/validation --out docs/figures/encoders"
    return f"{_table(head, lines)}\n\n{_origin(command, found, found['validation_digest'])}"


def surfaces(found: Row) -> str:
    lines = [
        [row["encoder"], row["level"], f"{row['volume_ml']:g} ml", f"{row['volume_after_ml']:g} ml",
         _short(row["dice"])]
        for row in found["rows"]
    ]  # fmt: skip
    return _table(["encoder", "isodose", "volume", "remembered", "Dice"], lines)


def _bits(found: Row) -> Sequence[int]:
    return found["settings"]["bits"]


def _known(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def _small(value: float | None) -> str:
    return _known(value, ".5f").lstrip("0")


def _short(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _plain(value: float) -> str:
    return f"{value:.2f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _origin(command: str, found: Row, digest: str) -> str:
    where, settings = found["machine"], found.get("settings", found.get("training", {}))
    seed = settings.get("seed", settings.get("random_state", 0))
    return (
        f"Command: `{command}`; seed {seed}; data digest {digest[:12]}; {where['processor']}, "
        f"{where['cores']} cores, Python {where['python']}."
    )


TABLES: dict[str, Callable[[Row], str]] = {
    "encoders": encoders,
    "encoders-losses": losses,
    "small-archives": small_archives,
    "domain": domain,
    "volumes": volumes,
    "surfaces": surfaces,
}


def filled(text: str) -> str:
    """A page's text with every table for which there are numbers written anew."""
    for name, table in TABLES.items():
        source = NUMBERS / f"{name}.json"
        if source.is_file():
            body = f"<!-- {name} -->\n{table(read_results(NUMBERS, name))}\n<!-- /{name} -->"
            pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
            text = re.sub(pattern, lambda _, body=body: body, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))
