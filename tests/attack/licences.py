"""The licences of all that isohash installs, run by `make lint`: none may be one that binds it.

    python tests/attack/licences.py

Follows the requirements of isohash and of its optional parts through what is installed here. Only
licences of the list pass; what declares none that can be told fails as well.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

ALLOWED = {
    "MIT", "MIT-0", "MIT-CMU", "HPND", "BSD", "0BSD", "BSD-2-CLAUSE", "BSD-3-CLAUSE", "APACHE-2.0",
    "ISC", "ISCL", "PSF-2.0", "PYTHON-2.0", "ZLIB", "CC0-1.0", "UNLICENSE", "BSL-1.0", "MPL-2.0",
    "BLUEOAK-1.0.0", "NCSA", "LLVM-EXCEPTION", "GCC-EXCEPTION-3.1",
}  # fmt: skip
RUNTIME = re.compile(r"GPL-3\.0-or-later +WITH +GCC-exception-3\.1", re.IGNORECASE)  # binds nobody
SPOKEN = {  # how classifiers and old metadata say it
    "MIT": r"\bMIT\b|Expat",
    "BSD": r"\bBSD\b",
    "APACHE-2.0": r"\bApache\b",
    "ISC": r"\bISCL?\b",
    "PSF-2.0": r"Python Software Foundation|\bPSF",
    "MPL-2.0": r"Mozilla Public License 2\.0|MPL[- ]2",
    "HPND": r"\bHPND\b|Historical Permission",
}
OPTIONAL = ("train", "figures", "kernels", "compressed", "nifti", "parquet", "serve", "bench")


def installed(root: str, extras: tuple[str, ...]) -> dict[str, Distribution]:
    """What `root` with its extras needs, as far as it is installed here, itself included."""
    found: dict[str, Distribution] = {}
    waiting = [(root, extras)]
    while waiting:
        name, wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        if key in found and not wanted:
            continue
        found[key] = package
        for line in package.requires or ():
            need = Requirement(line)
            places = [{"extra": extra} for extra in ("", *wanted)]
            if need.marker is None or any(need.marker.evaluate(place) for place in places):
                waiting.append((need.name, tuple(need.extras)))
    return found


def licence_of(package: Distribution) -> str:
    """What the metadata say: an expression of SPDX, or classifiers, or a line of free text."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or ()
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    first = (about.get("License") or "").strip().splitlines()[:1]
    return " AND ".join(classifiers or first)


def is_allowed(licence: str) -> bool:
    """Whether every licence in the text is one of the list; of alternatives one is enough."""
    plain = RUNTIME.sub("GCC-exception-3.1", licence)
    return bool(plain) and any(
        all(_is_known(part) for part in re.split(r"\s+(?:AND|WITH)\s+|[()]", one) if part.strip())
        for one in re.split(r"\s+OR\s+", plain)
    )


def _is_known(part: str) -> bool:
    part = part.strip()
    if re.search(r"GPL|General Public", part):
        return False
    return part.upper() in ALLOWED or any(
        re.search(form, part, re.IGNORECASE) for form in SPOKEN.values()
    )


def main() -> int:
    """Print what does not pass; the number of it is the exit status."""
    packages = installed("isohash", OPTIONAL)
    wrong = {n: licence_of(p) for n, p in packages.items() if not is_allowed(licence_of(p))}
    for name, licence in sorted(wrong.items()):
        print(f"{name}: licence {licence or 'not told'!r} is not one of tests/attack/licences.py")
    print(f"licences of {len(packages)} packages checked, {len(wrong)} not allowed")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
