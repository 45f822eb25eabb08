"""Of what fails nothing is left; what fails once is tried again; a hostile node gains nothing."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path

import pytest

from isohash.errors import InputError
from isohash.sources.pacs import dicomweb
from isohash.sources.pacs.address import opened, parse
from isohash.sources.pacs.node import PacsError, Wanted
from pacs_nodes import Fake, assert_same_case, brought, empty, uid_of


def failing(fake: Fake, what: str, times: int, act) -> None:
    """Have the first `times` answers to what holds `what` made by `act`."""
    left = [times]

    def react(handler, body: bytes) -> bool:
        if what not in handler.path or not left[0]:
            return False
        left[0] -= 1
        act(handler, body)
        return True

    fake.react = react


def status(number: int):
    return lambda handler, body: (handler.send_error(number), None)[1]


def cut(handler, body: bytes) -> None:
    """The connection ends in the middle of the answer that was promised."""
    handler.send_response(200)
    handler.send_header("Content-Type", "multipart/related; boundary=a-boundary")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def ended(handler, body: bytes) -> None:
    """The answer is well-formed HTTP, and the message in it lacks its end."""
    handler.send_response(200)
    handler.send_header("Content-Type", "multipart/related; boundary=a-boundary")
    handler.send_header("Content-Length", str(len(body) // 2))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])


@pytest.mark.parametrize(
    ("what", "act"),
    [
        ("/series/", status(500)),
        ("/series/", status(503)),
        ("/series/", cut),
        ("/series/", ended),
        ("/series?", status(500)),
        ("/series?", cut),
    ],
)
def test_what_fails_once_is_tried_again(
    what: str, act, fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    failing(fake, what, 1, act)
    brought(fake.address, uid_of(studies[0]), tmp_path / "a")
    assert_same_case(tmp_path / "a", studies[0])


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (status(404), "nothing at this address"),
        (status(403), "does not allow"),
        (cut, "cut the connection.*tried 3 times"),
        (ended, "ended too early.*tried 3 times"),
        (lambda h, body: (h.send_response(200), h.end_headers())[1], "not DICOM objects"),
    ],
)
def test_what_keeps_failing_leaves_nothing(
    act, why: str, fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    failing(fake, "/series/", 99, act)
    with pytest.raises(PacsError, match=why) as error:
        brought(fake.address, uid_of(studies[0]), tmp_path / "a")
    assert uid_of(studies[0]) not in str(error.value)
    assert empty(tmp_path)


def test_a_study_that_grows_is_brought_whole(
    fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    study = uid_of(studies[0])
    (ct,) = [s for s in fake.objects[study] if fake.modality[s] == "CT"]
    last = fake.objects[study][ct].pop()
    fake.react = lambda handler, body: (
        fake.objects[study][ct].append(last)
        if f"/series/{ct}" in handler.path and last not in fake.objects[study][ct]
        else None
    )
    brought(fake.address, study, tmp_path / "a")
    assert_same_case(tmp_path / "a", studies[0])


def test_fewer_objects_than_listed_are_not_taken(
    fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    study, full = uid_of(studies[0]), fake.answer

    def short(path: str, query):
        kind, body = full(path, query)
        if len(path.strip("/").split("/")) == 5:  # an object of the series is never sent
            first = body.index(b"\r\n--a-boundary", 10)
            body = body[first:]
        return kind, body

    fake.answer = short
    with pytest.raises(PacsError, match="0 of 1 objects of a series came"):
        brought(fake.address, study, tmp_path / "a")
    assert empty(tmp_path)


def test_a_slow_peer_is_given_up(
    fake: Fake, studies: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicomweb, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(dicomweb, "SLOWEST", 1e12)
    with pytest.raises(PacsError, match="kB a second"):
        brought(fake.address, uid_of(studies[0]), tmp_path / "a")
    assert empty(tmp_path)


def test_a_flood_ends_at_the_limit(
    fake: Fake, studies: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isohash.sources.pacs import node

    for limit, value, why in (
        ("MOST_OBJECTS", 3, "more than 3 objects"),
        ("MOST_BYTES", 999, "GiB"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(node, limit, value)
            with pytest.raises(PacsError, match=why):
                brought(fake.address, uid_of(studies[0]), tmp_path / "a")
        assert empty(tmp_path)


def test_a_list_without_end_is_not_read(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "MOST_ANSWER", 100)
    with pytest.raises(PacsError, match="a list of more than"):
        list(opened(parse(fake.address)).studies(Wanted()))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("[", False),
        ("[" * 99_999, False),
        ('{"a": 1}', True),
        ("null", True),
        ('[1, {"0020000D": 3}]', True),
        ('[{"0020000D": {"Value": [["1.2"]]}, "00201208": {"Value": [1e999]}}]', True),
    ],
)
def test_a_senseless_list_is_no_list(text: str, valid: bool, fake: Fake) -> None:
    def react(handler, body: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text.encode())
        return True

    fake.react = react
    listing = opened(parse(fake.address)).studies(Wanted())
    if valid:
        assert not list(listing)
    else:
        with pytest.raises(PacsError, match="without JSON"):
            list(listing)


def test_uids_become_no_paths(fake: Fake, studies: list[Path], tmp_path: Path) -> None:
    study = uid_of(studies[0])
    evil = "../../evil"
    fake.objects[evil] = fake.objects.pop(study)
    fake.patient[evil] = fake.patient[study]
    node = opened(parse(fake.address))
    assert evil not in {one.uid for one in node.studies(Wanted())}
    assert len(list(node.studies(Wanted()))) == 2


def test_a_redirect_is_not_followed(fake: Fake) -> None:
    def away(handler, body: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", "http://127.0.0.1:9/elsewhere")
        handler.end_headers()

    failing(fake, "/studies", 9, away)
    with pytest.raises(PacsError, match="HTTP status 302"):
        list(opened(parse(fake.address)).studies(Wanted()))


@pytest.mark.parametrize("address", ["dicomweb:http://127.0.0.1:9/x", "dimse:A@127.0.0.1:9"])
def test_an_absent_node_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "TRIES", 0)
    with closing(opened(parse(address))) as node, pytest.raises(InputError, match="be reached"):
        list(node.studies(Wanted()))
    gc.collect()  # a connection that was left open would be told here
