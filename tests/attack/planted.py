"""Leaks made at random: a value of a patient, spelt and encoded in some way, put in some place."""

from __future__ import annotations

import base64
import bz2
import datetime as dt
import gzip
import io
import json
import lzma
import random
import sqlite3
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from isohash.sources.identity.needles import needles_of
from isohash.sources.identity.own_words import is_own_quote
from isohash.sources.identity.spellings import folded
from isohash.sources.phi_scan import search

GROUP = 500  # patients of one source

FAMILY = [
    "Ng", "Li", "Bo", "Lee", "Amy", "Müller", "Jörg", "Nowicka", "Zielińska", "Kowalczyk",
    "Brandt", "Hollister", "O'Neill", "Åström", "Schäfer", "Straße", "Gruber", "Novák", "García",
    "Nguyễn", "Özdemir", "Quimby", "Ratchett", "Weiß", "Lefèvre", "Dvořák", "Ström", "Hernández",
    "Peeters", "Bianchi", "Rossi", "Yılmaz", "Haugen", "Łukasz", "Popescu", "Ivanova", "Takahashi",
]  # fmt: skip
GIVEN = [
    "Jo", "Bo", "Amy", "Ewa", "Marianne", "Jürgen", "Gertrud", "Wiesława", "Åke", "José", "Xiao",
    "Josephine", "Søren", "Zoë",
]  # fmt: skip
DOCTORS = ["Drummond", "Pettersson", "Kwiatkowski", "Eisenhardt"]


def patient(chance: random.Random) -> dict[str, str]:
    """One patient's values by kind."""
    born = dt.date(1930, 1, 1) + dt.timedelta(days=chance.randrange(27000))
    digits = str(chance.randrange(10**6, 10**8))
    dashed = f"{chance.randrange(10, 99)}-{chance.randrange(10, 99)}-{chance.randrange(100, 999)}"
    return {
        "family": chance.choice(FAMILY),
        "given": chance.choice(GIVEN),
        "doctor": chance.choice(DOCTORS),
        "digits": digits,
        "dashed": dashed,
        "mrn": f"MRN-{chance.randrange(10**5, 10**7)}",
        "phone": f"0{chance.randrange(100, 999)} {chance.randrange(10**6, 10**7)}",
        "born": f"{born:%Y%m%d}",
        "uid": f"1.2.840.{chance.randrange(10**5)}.{chance.randrange(10**9)}.7",
        "hospital": f"St. {chance.choice(FAMILY)} General {chance.randrange(100)}",
        "comment": f"second opinion for cousin {chance.choice(GIVEN)} on {chance.randrange(9)}B",
        "typed": f"{chance.choice(FAMILY)} boost {chance.randrange(10)}",
    }


def values(found: dict[str, str]) -> list[tuple[str, str, str]]:
    """The patient's values as (kind, element, text) as files give them."""
    return [
        ("person", "PatientName", f"{found['family']}^{found['given']}"),
        ("person", "ReferringPhysicianName", found["doctor"]),
        ("number", "PatientID", found["digits"]),
        ("number", "OtherPatientIDs", found["dashed"]),
        ("number", "AccessionNumber", found["mrn"]),
        ("number", "PatientTelephoneNumbers", found["phone"]),
        ("date", "PatientBirthDate", found["born"]),
        ("uid", "SOPInstanceUID", found["uid"]),
        ("text", "InstitutionName", found["hospital"]),
        ("text", "PatientComments", found["comment"]),
        ("name", "ROIName", found["typed"]),
    ]


def umlauts(text: str) -> str:
    for letter, two in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("Å", "Aa")):
        text = text.replace(letter, two)
    return text


def spelt(kind: str, text: str, chance: random.Random) -> str:
    """The value as somebody may write it."""
    day = dt.datetime.strptime(text, "%Y%m%d").date() if kind == "born" else None
    if day is not None:
        forms = ("%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%b %d, %Y", "%B %d %Y",
                 "%d-%b-%Y", "%Y/%m/%d", "%Y%b%d", "%d/%m/%Y", "%d. %B %Y")  # fmt: skip
        return day.strftime(chance.choice(forms))
    if kind in ("digits", "dashed", "phone"):
        bare = text.replace("-", "").replace(" ", "")
        cut = chance.randrange(2, len(bare) - 1)
        return chance.choice(
            [text, bare, f"{bare[:cut]}-{bare[cut:]}", f"{bare[:cut]} {bare[cut:]}"]
        )
    if kind in ("family", "given", "doctor"):
        beside = [f"{text} PTV", f"{text}PTV", f"GTV{text}", f"{text}_ring", f"for {text}, please"]
        return chance.choice([text, text.upper(), text.lower(), umlauts(text), *beside])
    return chance.choice([text, text.upper(), text.lower(), text.replace(" ", "_")])


def zipped(text: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("note.txt", text)
    return target.getvalue()


def npz(text: str) -> bytes:
    target = io.BytesIO()
    np.savez_compressed(target, ids=np.array([text, "b"]), x=np.arange(3))
    return target.getvalue()


def picture(text: str, chunk: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    if chunk == "itxt":
        info.add_itxt("Comment", text, zip=True)
    else:
        info.add_text("Comment", text, zip=chunk == "ztxt")
    target = io.BytesIO()
    Image.new("L", (8, 8)).save(target, "PNG", pnginfo=info)
    return target.getvalue()


def quoted(text: str) -> bytes:
    return "".join(
        c if c.isascii() and c != "=" else "".join(f"={b:02X}" for b in c.encode()) for c in text
    ).encode()


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-16-le": lambda t: t.encode("utf-16-le"),
    "utf-16-be": lambda t: t.encode("utf-16-be"),
    "latin-1": lambda t: t.encode("latin-1", "ignore"),
    "json": lambda t: json.dumps(t).encode(),
    "html": lambda t: t.encode("ascii", "xmlcharrefreplace"),
    "percent": lambda t: urllib.parse.quote(t).encode(),
    "quoted-printable": quoted,
    "base64": lambda t: base64.b64encode(f"name: {t} end".encode()),
    "base64 url": lambda t: base64.urlsafe_b64encode(f"<{t}>".encode()),
    "base64 of utf-16": lambda t: base64.b64encode(f"name: {t} end".encode("utf-16-le")),
    "base64 lines": lambda t: base64.encodebytes(f"{'x' * 80} {t} {'y' * 40}".encode()),
    "hex": lambda t: t.encode().hex().encode(),
    "HEX": lambda t: t.encode().hex(" ").upper().encode(),
    "zlib": lambda t: zlib.compress(f"drawn for {t} by hand".encode()),
    "zlib small window": lambda t: _small_window(f"drawn for {t} by hand"),
    "gzip": lambda t: gzip.compress(f"drawn for {t} by hand".encode()),
    "bz2": lambda t: bz2.compress(f"drawn for {t} by hand".encode()),
    "xz": lambda t: lzma.compress(f"drawn for {t} by hand".encode()),
    "zip": zipped,
    "npz": npz,
    "png text": lambda t: picture(t, "text"),
    "png ztxt": lambda t: picture(t, "ztxt"),
    "png itxt": lambda t: picture(t, "itxt"),
    "base64 of zlib": lambda t: base64.b64encode(zlib.compress(f"drawn for {t} by hand".encode())),
    "data uri": lambda t: b"data:image/png;base64," + base64.b64encode(picture(t, "ztxt")),
    "zlib of json": lambda t: zlib.compress(json.dumps({"note": t, "n": 1}).encode()),
}  # fmt: skip


def _small_window(text: str) -> bytes:
    packer = zlib.compressobj(wbits=9)
    return packer.compress(text.encode()) + packer.flush()


def amid(data: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(5000) + data + chance.randbytes(5000)


def amid_zeros(data: bytes, chance: random.Random) -> bytes:
    return bytes(600) + data + bytes(600)


def in_database(data: bytes, chance: random.Random) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE cases (id TEXT, metadata)")
        filler = " ".join(
            chance.choice(["dose", "plan", "slice"]) for _ in range(chance.randrange(3000))
        )
        value = filler.encode() + b" " + data + b" "
        connection.execute("INSERT INTO cases VALUES (?, ?)", ("x", value))
        connection.commit()
        return connection.serialize()


def in_json(data: bytes, chance: random.Random) -> bytes:
    text = data.decode("latin-1") if not _is_utf8(data) else data.decode()
    return json.dumps({"kind": "cases", "near": {"ct": 1.5}, "note": text}, indent=1).encode()


def in_page(data: bytes, chance: random.Random) -> bytes:
    return b"<html><body><p>distance in Gy</p><p title='" + data + b"'>x</p></body></html>"


PLACES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "alone": lambda data, chance: data,
    "amid random bytes": amid,
    "amid zeros": amid_zeros,
    "in a database": in_database,
    "in JSON": in_json,
    "in a page": in_page,
}


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


PACKED = ("zlib", "gzip", "bz2", "xz", "zip", "npz", "png", "base64 of zlib", "data uri")


def is_seen(kind: str, text: str, encoding: str, place: str, data: bytes) -> bool:
    """Whether this leak is one that the search promises to find (see `phi_scan.CANNOT`)."""
    packed = encoding.startswith(PACKED)
    if ("json" in encoding or place == "in JSON") and is_own_quote(folded(text)):
        return False  # a word of isohash itself, alone in quotes: counted in what cannot be seen
    if (
        place in ("in JSON", "in a page")
        and packed
        and "base64" not in encoding
        and encoding != "data uri"
    ):
        return False  # binary data in a text are no longer what they were
    if encoding == "latin-1" and text.encode("latin-1", "ignore").decode("latin-1") != text:
        return False
    if encoding.startswith("utf-16") and place in ("in JSON", "in a page"):
        return False
    short = kind in ("family", "given") and len(text) <= 4
    if short and encoding == "npz":
        return False  # letters of four bytes, amid binary data
    encoded = encoding in ("utf-16-le", "utf-16-be", "hex", "HEX") or encoding.startswith("base64")
    in_bytes = place in ("amid random bytes", "amid zeros", "in a database")
    return not (short and (in_bytes or encoded) and not packed)


def plant(
    folder: Path, number: int, chance: random.Random, found: dict[str, str]
) -> tuple[str, ...] | None:
    """Write one leak below the folder; what it is, or None where it would be none."""
    kind = chance.choice(sorted(found))
    encoding, place = chance.choice(sorted(ENCODINGS)), chance.choice(sorted(PLACES))
    text = spelt(kind, found[kind], chance)
    data = ENCODINGS[encoding](text)
    if not is_seen(kind, found[kind], encoding, place, data):
        return None
    (folder / f"{number}.bin").write_bytes(PLACES[place](data, chance))
    return kind, text, encoding, place


def hunt(folder: Path, tries: int, seed: int) -> list[tuple[str, ...]]:
    """Plant so many leaks, one a file, and look for them; those that were not found."""
    chance = random.Random(seed)
    patients = [patient(chance) for _ in range(20)]
    named = [(*value, "file.dcm") for found in patients for value in values(found)]
    planted: dict[int, tuple[str, ...]] = {}
    while len(planted) < tries:
        what = plant(folder, len(planted), chance, chance.choice(patients))
        if what is not None:
            planted[len(planted)] = what
    told = {leak.file for leak in search(folder, needles_of(named)).leaks}
    return [what for n, what in planted.items() if f"{n}.bin" not in told]


def strangers_told(archive: Path, n: int, seed: int, group: int = GROUP) -> int:
    """Of so many patients of whom the archive has nothing, how many values are told to be in it.

    `group` of them are sought at once, by what the command itself runs.
    """
    chance, told = random.Random(seed), set()
    for first in range(0, n, group):
        several = [patient(chance) for _ in range(min(group, n - first))]
        named = [(*v, str(first + i)) for i, one in enumerate(several) for v in values(one)]
        found = search(archive, needles_of(named)).leaks
        told.update((leak.element, leak.source) for leak in found)
    return len(told)
