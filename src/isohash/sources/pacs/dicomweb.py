"""A PACS by DICOMweb: studies and series by QIDO-RS, objects by WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry as Again

from isohash.sources.pacs.credentials import Credentials
from isohash.sources.pacs.multipart import message, receive
from isohash.sources.pacs.node import Inbox, PacsError, Retry, Series, Study, Wanted, uid_in

PAGE = 200  # studies asked for at once
MOST_ANSWER = 1 << 26  # bytes of a list
CONNECT_SECONDS, SILENT_SECONDS = 10.0, 60.0
SLOW_SECONDS, SLOWEST = 60.0, 4096.0  # bytes a second that a peer must keep up after so long
CHUNK = 1 << 18
TRIES = 3
OBJECTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
STUDY_UID, SERIES_UID, MODALITY, BODY_PART = "0020000D", "0020000E", "00080060", "00180015"
PATIENT, STUDY_OBJECTS, SERIES_OBJECTS = "00100020", "00201208", "00201209"
WHY = {
    401: "asks for other credentials; see --credentials",
    202: "does not take all of it",
    409: "does not take it",
    403: "does not allow this user to do so; see its settings",
    404: "has nothing at this address; check the URL and the study",
}


LINK_LOST = (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)


class DicomWeb:
    """A node at a URL such as https://pacs.example/dicom-web; see `Node`."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._url = url
        self._session = _session(url, credentials)

    def studies(self, wanted: Wanted) -> Iterator[Study]:
        """Page by page, each study once however the node cuts its pages."""
        asked = {"ModalitiesInStudy": wanted.modality, "StudyDate": wanted.days()}
        seen: set[str] = set()
        while True:
            page = self._search("studies", {**asked, "limit": str(PAGE), "offset": str(len(seen))})
            new = [one for row in page if (one := _study(row)).uid and one.uid not in seen]
            if not new:
                return
            seen.update(one.uid for one in new)
            yield from new

    def study(self, uid: str) -> Study:
        """See `Node`."""
        found = [_study(row) for row in self._search("studies", {"StudyInstanceUID": uid})]
        found = [one for one in found if one.uid == uid]
        if not found:
            raise PacsError(f"dicomweb:{self._url}: has no such study; check the UID")
        return found[0]

    def series(self, study_uid: str) -> list[Series]:
        """See `Node`."""
        rows = self._search(f"studies/{study_uid}/series", {})
        return [one for row in rows if (one := _series(row, study_uid)).uid]

    def series_elsewhere(self, uids: frozenset[str], study: Study) -> list[Series]:
        """See `Node`."""
        rows = [
            r for uid in sorted(uids) for r in self._search("series", {"SeriesInstanceUID": uid})
        ]
        found = {one.uid: one for row in rows if (one := _series(row, "")).study_uid}
        return [one for uid, one in sorted(found.items()) if uid in uids]

    def fetch(self, series: Series, inbox: Inbox) -> None:
        """See `Node`."""
        path = f"studies/{series.study_uid}/series/{series.uid}"
        with self._answer(path, {}, OBJECTS) as answer:
            receive(answer.headers.get("Content-Type", ""), _pieces(answer), inbox)

    def store(self, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """See `Node`."""
        for file in files:
            try:
                self._store(file)
                yield file, ""
            except PacsError as error:
                yield file, str(error)

    def _store(self, file: Path) -> None:
        boundary = secrets.token_hex(16)  # no object holds it, but by a chance of 2 to the -128
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        try:
            with self._session.post(
                f"{self._url}/studies",
                data=message(file, boundary),
                headers={"Content-Type": kind, "Accept": "application/dicom+json"},
                timeout=(CONNECT_SECONDS, SILENT_SECONDS),
                stream=True,
                allow_redirects=False,
            ) as answer:
                if answer.status_code != 200:
                    raise _refused(answer.status_code, self._url)
        except requests.exceptions.RequestException as error:
            raise Retry(f"dicomweb:{self._url}: {_reason(error)}") from error

    def close(self) -> None:
        """See `Node`."""
        self._session.close()

    def _search(self, path: str, asked: Mapping[str, str]) -> list[Mapping[str, Any]]:
        fields = [STUDY_OBJECTS, SERIES_OBJECTS, BODY_PART, PATIENT]
        query: Any = {**{k: v for k, v in asked.items() if v}, "includefield": fields}
        with self._answer(path, query, "application/dicom+json") as answer:
            if answer.status_code == 204:  # nothing matches
                return []
            text = bytearray()
            for piece in _pieces(answer):
                text += piece
                if len(text) > MOST_ANSWER:
                    raise PacsError(
                        f"dicomweb:{self._url}: a list of more than {MOST_ANSWER >> 20} MB"
                    )
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PacsError(
                f"dicomweb:{self._url}: answers {path.split('/')[-1]} without JSON"
            ) from error
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    @contextmanager
    def _answer(
        self, path: str, query: Mapping[str, Any], accept: str
    ) -> Iterator[requests.Response]:
        """An answer whose body is still to come; errors name the node, not what was asked."""
        try:
            with self._session.get(
                f"{self._url}/{path}",
                params=query,
                headers={"Accept": accept},
                timeout=(CONNECT_SECONDS, SILENT_SECONDS),
                stream=True,
                allow_redirects=False,
            ) as answer:
                if answer.status_code not in (200, 204, 206):
                    raise _refused(answer.status_code, self._url)
                yield answer
        except requests.exceptions.RequestException as error:
            raise Retry(f"dicomweb:{self._url}: {_reason(error)}") from error
        except PacsError as error:
            if str(error).startswith("dicomweb:"):
                raise
            raise type(error)(f"dicomweb:{self._url}: {error}") from error


def _session(url: str, credentials: Credentials) -> requests.Session:
    """Tries again what a busy node refuses; nothing of the machine's own settings is sent."""
    session = requests.Session()
    session.trust_env = False
    again = Again(
        total=TRIES, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET",), raise_on_status=False, respect_retry_after_header=False,
    )  # fmt: skip
    session.mount("http://", HTTPAdapter(max_retries=again))
    session.mount("https://", HTTPAdapter(max_retries=again))
    session.headers["Accept-Encoding"] = "identity"  # a small answer stays a small answer
    if credentials.user:
        session.auth = (credentials.user, credentials.password)
    if credentials.token:
        session.headers["Authorization"] = f"Bearer {credentials.token}"
    if credentials.ca:
        session.verify = credentials.ca
    if credentials.certificate:
        session.cert = (credentials.certificate, credentials.key or credentials.certificate)
    return session


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The body as it comes; Retry if the node is slower than any network should be."""
    begun, total = time.monotonic(), 0
    for piece in answer.iter_content(CHUNK):
        total += len(piece)
        yield piece
        seconds = time.monotonic() - begun
        if seconds > SLOW_SECONDS and total < SLOWEST * seconds:
            raise Retry(f"sends less than {SLOWEST / 1024:g} kB a second")


def _refused(status: int, url: str) -> PacsError:
    why = WHY.get(status, f"answers with HTTP status {status}")
    kind = Retry if status >= 500 or status == 429 else PacsError
    return kind(f"dicomweb:{url}: {why}")


def _reason(error: requests.exceptions.RequestException) -> str:
    """One line without what was asked, which may identify."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted (see ca in --credentials)"
    if isinstance(error, requests.exceptions.Timeout):
        return f"is silent for {SILENT_SECONDS:g} s"
    if isinstance(error, LINK_LOST):
        return "cannot be reached, or cut the connection"
    return f"cannot be asked ({type(error).__name__})"


def _study(row: Mapping[str, Any]) -> Study:
    return Study(uid_in(_text(row, STUDY_UID)), _text(row, PATIENT), _number(row, STUDY_OBJECTS))


def _series(row: Mapping[str, Any], study_uid: str) -> Series:
    return Series(
        study_uid or uid_in(_text(row, STUDY_UID)),
        uid_in(_text(row, SERIES_UID)),
        _text(row, MODALITY),
        _number(row, SERIES_OBJECTS),
        _text(row, BODY_PART),
    )


def _value(row: Mapping[str, Any], tag: str) -> Any:
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _text(row: Mapping[str, Any], tag: str) -> str:
    value = _value(row, tag)
    return value.strip() if isinstance(value, str) else ""


def _number(row: Mapping[str, Any], tag: str) -> int | None:
    try:
        return int(_value(row, tag))
    except (TypeError, ValueError, OverflowError):
        return None
