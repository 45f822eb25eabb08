"""The one table of who may do what, and of what is written into the audit log.

What reads is a viewer's unless the table says otherwise; what changes and is not in it is an
admin's.
"""

from __future__ import annotations

from isohash.apps.web.who import Rank

OPEN: Rank = "nobody"
SAFE = ("GET", "HEAD")

RIGHTS: dict[tuple[str, str], Rank] = {
    ("GET", "/login"): OPEN,
    ("POST", "/login"): OPEN,
    ("GET", "/static/*"): OPEN,
    ("GET", "/audit"): "admin",
    ("GET", "/indexing"): "curator",
    ("GET", "/api/indexing"): "curator",
    ("POST", "/indexing"): "curator",
    ("POST", "/indexing/cancel"): "curator",
    ("POST", "/logout"): "viewer",
    ("POST", "/api/uploads"): "viewer",
    ("PUT", "/api/uploads/{upload}"): "viewer",
    ("POST", "/api/uploads/{upload}"): "viewer",
    ("POST", "/kept/query"): "viewer",
    ("POST", "/kept/cohort"): "viewer",
    ("POST", "/kept/cases"): "viewer",
    ("POST", "/kept/{kept}"): "viewer",
    ("POST", "/kept/{kept}/note"): "viewer",
    ("POST", "/kept/{kept}/take"): "viewer",
    ("POST", "/kept/{kept}/drop"): "viewer",
}

AUDITED = {
    ("GET", "/query"): "query",
    ("GET", "/query/answer"): "query",
    ("GET", "/query.json"): "query",
    ("GET", "/api/query"): "query",
    ("POST", "/kept/query"): "query",
    ("GET", "/query.csv"): "export",
    ("GET", "/cases.csv"): "export",
    ("GET", "/cases.json"): "export",
    ("GET", "/api/cases"): "export",
    ("GET", "/compare.csv"): "export",
    ("GET", "/report"): "export",
    ("GET", "/kept/{kept}.csv"): "export",
    ("POST", "/api/uploads/{upload}"): "upload",
    ("GET", "/audit"): "audit",
    ("POST", "/indexing"): "index",  # without the folder, whose name may be a patient's
    ("POST", "/indexing/cancel"): "index cancelled",
}


def needed(method: str, path: str) -> Rank:
    """The least rank that may send such a request."""
    asked = "GET" if method in SAFE else method
    found = next((rank for key, rank in RIGHTS.items() if _matches(key, asked, path)), None)
    return found or ("viewer" if method in SAFE else "admin")


def audited(method: str, path: str) -> str | None:
    """What the audit log calls such a request; None where it is not logged."""
    return next((did for key, did in AUDITED.items() if _matches(key, method, path)), None)


def _matches(key: tuple[str, str], method: str, path: str) -> bool:
    if key[0] != method:
        return False
    if key[1].endswith("/*"):
        return path.startswith(key[1][:-1])
    wanted, given = key[1].split("/"), path.split("/")
    return len(wanted) == len(given) and all(map(_fits, wanted, given))


def _fits(wanted: str, given: str) -> bool:
    """Whether a part of a path is what the table says; "{name}.csv" stands for any name."""
    if not wanted.startswith("{"):
        return wanted == given
    ending = wanted.partition("}")[2]
    return given.endswith(ending) and len(given) > len(ending)
