"""A study that is brought is the study that was stored; of what fails, nothing is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from isohash.errors import InputError
from isohash.sources.pacs import dicomweb, fetching
from isohash.sources.pacs.address import opened, parse
from isohash.sources.pacs.fetching import bring
from isohash.sources.pacs.node import Local, PacsError, Wanted
from isohash.sources.reading import read_case
from pacs_nodes import USER, Fake, Orthanc, empty


def brought(address: str, study: str, folder: Path, wanted: Wanted | None = None, local=None):
    node = opened(parse(address), local, USER)
    try:
        return bring(node, node.study(study), wanted or Wanted(), folder)
    finally:
        node.close()


def assert_same_case(a: Path, b: Path) -> None:
    one, other = read_case(a), read_case(b)
    for name in ("id", "patient", "prescription_gy", "warnings", "label", "facts"):
        assert getattr(one, name) == getattr(other, name)
    pairs = [(one.ct, other.ct), (one.dose, other.dose)]
    pairs += [(one.structures[name], other.structures[name]) for name in one.structures]
    assert list(one.structures) == list(other.structures)
    for mine, theirs in pairs:
        assert np.array_equal(mine.array, theirs.array)
        assert np.array_equal(mine.affine, theirs.affine)


def uid_of(folder: Path) -> str:
    return str(pydicom.dcmread(next(folder.glob("*.dcm"))).StudyInstanceUID)


@pytest.mark.parametrize("way", ["web", "get", "move"])
def test_a_study_of_a_real_pacs_is_the_one_that_was_stored(
    way: str, orthanc: Orthanc, studies: list[Path], tmp_path: Path
) -> None:
    address = orthanc.web if way == "web" else orthanc.dimse
    local = Local("ISOHASH", orthanc.ours if way == "move" else None)
    for n, folder in enumerate(studies):
        one = brought(address, uid_of(folder), tmp_path / str(n), local=local)
        assert len(one.files) == len(list(folder.glob("*.dcm")))
        assert_same_case(tmp_path / str(n), folder)


@pytest.mark.parametrize("way", ["web", "dimse"])
def test_a_real_pacs_lists_what_is_asked_for(
    way: str, orthanc: Orthanc, studies: list[Path]
) -> None:
    node = opened(parse(getattr(orthanc, way)), None, USER)
    known = {uid_of(folder) for folder in studies}
    assert {one.uid for one in node.studies(Wanted())} == known
    assert not list(node.studies(Wanted(modality="MR")))
    days = {"since": pydicom.valuerep.DA("20000101"), "until": pydicom.valuerep.DA("20000101")}
    assert {one.uid for one in node.studies(Wanted(**days))} == known
    assert not list(node.studies(Wanted(since=pydicom.valuerep.DA("20000102"))))
    node.close()


def test_wrong_credentials_are_told_as_such(orthanc: Orthanc) -> None:
    node = opened(parse(orthanc.web), None, replace(USER, password="wrong"))
    with pytest.raises(PacsError, match="other credentials; see --credentials"):
        list(node.studies(Wanted()))
    node.close()


def test_only_images_that_the_plan_refers_to_are_asked_for(
    fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    study = uid_of(studies[0])
    other = [
        s for s, kind in fake.modality.items() if kind == "CT" and s not in fake.objects[study]
    ]
    scan = fake.objects[uid_of(studies[1])][other[0]]
    fake.objects[study]["1.2.3"], fake.modality["1.2.3"] = scan, "CT"
    brought(fake.address, study, tmp_path / "a")
    assert not any("1.2.3" in path for path in fake.asked)
    assert_same_case(tmp_path / "a", studies[0])


def test_images_are_found_in_another_study(fake: Fake, studies: list[Path], tmp_path: Path) -> None:
    study = uid_of(studies[0])
    (ct,) = [s for s in fake.objects[study] if fake.modality[s] == "CT"]
    fake.objects["1.2.9"] = {ct: fake.objects[study].pop(ct)}
    fake.patient["1.2.9"] = fake.patient[study]
    brought(fake.address, study, tmp_path / "a")
    assert_same_case(tmp_path / "a", studies[0])


def test_a_label_or_a_part_of_the_body_chooses_studies(
    fake: Fake, studies: list[Path], tmp_path: Path
) -> None:
    study = uid_of(studies[0])
    plan = next(file for file in studies[0].glob("*.dcm") if file.name.startswith("RP"))
    label = str(pydicom.dcmread(plan).RTPlanLabel)
    for n, (wanted, comes) in enumerate(
        [
            (Wanted(plan_label=label.upper()), True),
            (Wanted(plan_label="another"), False),
            (Wanted(body_part="pelvis"), True),
            (Wanted(body_part="HEAD"), False),
        ]
    ):
        one = brought(fake.address, study, tmp_path / str(n), wanted)
        assert (bool(one.files), bool(one.why_not)) == (comes, not comes)
        assert comes or empty(tmp_path / str(n))


def test_studies_are_listed_page_by_page(fake: Fake) -> None:
    fake.pages = 1  # a node may cut pages shorter than asked for
    assert len(list(opened(parse(fake.address)).studies(Wanted()))) == 3


def test_five_thousand_studies_are_listed(fake: Fake) -> None:
    (series,) = [s for s, kind in fake.modality.items() if kind == "RTDOSE"][:1]
    for n in range(5000):
        fake.objects[f"1.2.{n}"], fake.patient[f"1.2.{n}"] = {series: [b""]}, "p"
    node = opened(parse(fake.address))
    assert len({one.uid for one in node.studies(Wanted())}) == 5003
    assert len(fake.asked) <= 5003 / dicomweb.PAGE + 2


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


# pynetdicom leaves a socket to the garbage collector when nobody answers
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_absent_node_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(dicomweb, "TRIES", 0)
    for address in ("dicomweb:http://127.0.0.1:9/x", "dimse:A@127.0.0.1:9"):
        with pytest.raises(InputError, match="cannot be reached"):
            list(opened(parse(address)).studies(Wanted()))
