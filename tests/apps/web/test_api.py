"""The workbench answers as the command line does, and reads nothing but its archive."""

from __future__ import annotations

import io
import json
import math
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

import isohash
from isohash.apps.web.doses import dose_table
from isohash.archive.store import CaseStore
from isohash.features.cases.planes import unpacked
from isohash.retrieval.engine import Archive
from isohash.retrieval.facets import facets
from small_cases import phantom, write_openkbp
from workbench import client_of, serving

WAYS = [{}, {"by": "ct"}, {"by": "dose"}, {"level": "slice", "by": "ct", "slice": 7}]
WAYS += [
    {"by": "ct", "span": "5 12"},
    {"by": "joint", "good": ["phantom-00-02"], "bad": ["phantom-01-02"]},
]
WAYS += [{"by": "joint", "alpha": round(0.1 * i, 1)} for i in range(11)]
FILTERS = [None, "label == 'family-00'", "'Larynx' in structures", "prescription_gy >= 66",
           "not label == 'family-01'"]  # fmt: skip


@pytest.fixture
def client(archive_path: Path):
    with client_of(archive_path) as found:
        yield found


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("where", FILTERS)
def test_answers_are_those_of_the_command_line(client, archive_path: Path, options, where) -> None:
    asked = {"k": 4, **options} | ({"where": where} if where else {})
    with Archive.open(archive_path) as archive:
        session = archive.session("phantom-00-01", pictures=True)
        expected = session.ask(**asked | ({"span": (5, 12)} if "span" in asked else {})).to_json()
    for page in ("/api/query", "/query.json"):
        found = client.get(page, params={"case": "phantom-00-01", **asked})
        assert found.status_code == 200
        assert found.json() == json.loads(json.dumps(expected))


def test_every_page_opens_and_has_its_json(client) -> None:
    pages = ["/cases", "/cases?where=label == 'family-00'", "/case?case=phantom-00-01"]
    pages += [f"/{page}?case=phantom-00-01&by=joint&alpha=0" for page in ("query", "query/answer")]
    for page in pages:
        found = client.get(page)
        assert found.status_code == 200, page
        assert "phantom-00-" in found.text
    for page in ("/cases.json", "/case.json?case=phantom-00-01"):
        assert client.get(page).headers["content-type"] == "application/json"
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/query", "/api/cases", "/api/case", "/api/pictures", "/api/dvh"} <= set(paths)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("/api/query?case=phantom-00-1", "the archive holds no case phantom-00-1"),
        ("/api/query?case=/etc/passwd", "the archive holds no case /etc/passwd"),
        ("/api/query?case=phantom-00-01&by=nonsense", "--by must be"),
        ("/api/query?case=phantom-00-01&by=joint&alpha=7", "--alpha is the weight"),
        ("/api/query?case=phantom-00-01&by=joint&alpha=x", "alpha must be a number"),
        ("/api/query?case=phantom-00-01&k=0", "k: "),
        ("/api/query", "case: "),
        ("/api/cases?where=import os", "--where"),
        ("/api/case?case=nobody", "nobody"),
        ("/api/pictures?case=upload-0", "upload it again"),
    ],
)
def test_nonsense_gets_one_clear_error(client, page: str, told: str) -> None:
    found = client.get(page)
    assert found.status_code == 400
    assert told in found.json()["error"] + str(found.json()["next"])
    as_page = client.get(page.replace("/api/query", "/query").replace("/api/case", "/case"))
    assert as_page.status_code == 400


def test_pictures_are_those_that_the_archive_keeps(client, archive_path: Path) -> None:
    head, data = opened(client, "phantom-00-01")
    with Archive.open(archive_path) as archive:
        entry = archive.entry("phantom-00-01")
        fine = entry.fine
        shape = (head["rows"], head["columns"])
        assert shape == fine.place.shape
        for row in range(len(head["index"])):
            np.testing.assert_array_equal(shown(data, head["ct"], row, shape), fine.hu(row))
            steps = shown(data, head["dose"], row, shape)
            gy = fine.dose_gy(row)
            assert (steps is None) == (gy is None)
            if gy is not None:
                np.testing.assert_allclose(steps.view(np.uint16) * head["dose_step_gy"], gy, 1e-6)
        assert [one["name"] for one in head["structures"]] == entry.facts["outlined"]
        some = head["outlines"][len(head["outlines"]) // 2]
        assert len(zlib.decompress(data[some[2] : some[3]])) == -(-shape[0] * shape[1] // 4)
        assert head["note"] == ""


def test_an_archive_of_before_shows_its_small_pictures_and_says_how_to_have_others(
    archive_path: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(archive_path, tmp_path / "A"))
    name = "phantom-00-01"
    with CaseStore.open(path, writable=True) as store:
        arrays = {n: np.array(a) for n, a in store.arrays(name).items() if "picture." not in n}
        store.put(name, store.metadata(name), arrays, store.fingerprint(name))
    with client_of(path) as client, Archive.open(path) as archive:
        head, data = opened(client, name)
        assert "isohash index SOURCE ARCHIVE --pictures" in head["note"]
        for row, index in enumerate(head["index"]):
            grey, gy = archive.entry(name).picture(index)
            hu = shown(data, head["ct"], row, grey.shape)
            np.testing.assert_allclose(hu, grey * (400 / 255) - 160, atol=0.5)
            steps = shown(data, head["dose"], row, grey.shape)
            assert (steps is None) == (gy is None)
            if gy is not None:
                np.testing.assert_allclose(steps * head["dose_step_gy"], gy, atol=0.006)


def opened(client, case: str) -> tuple[dict, bytes]:
    """The head of the pictures of a case, and the bytes that follow it."""
    block = client.get("/api/pictures", params={"case": case}).content
    (length,) = struct.unpack("<I", block[:4])
    return json.loads(block[4 : 4 + length]), block[4 + length :]


def shown(data: bytes, offset: list[int], row: int, shape: tuple[int, int]):
    """The plane of a slice; None where it has no bytes."""
    part = data[offset[row] : offset[row + 1]]
    return unpacked(np.frombuffer(part, np.uint8), shape) if part else None


def test_histograms_are_those_of_the_archive(client, archive_path: Path) -> None:
    cases = ["phantom-00-01", "phantom-01-02"]
    found = client.get("/api/dvh", params={"case": cases}).json()
    with Archive.open(archive_path) as archive:
        kept = [archive.entry(name).dvhs() for name in cases]
    assert found["cases"] == cases
    for structure in found["structures"]:
        for curves, percent in zip(kept, structure["percent"], strict=True):
            assert (percent is None) == (structure["name"] not in curves)
            if percent is not None:
                curve = 100 * curves[structure["name"]][: len(percent)]
                assert percent == pytest.approx(curve.tolist(), abs=0.006)


def test_histograms_that_an_anatomy_would_get_are_those_of_the_engine(dosed_path: Path) -> None:
    with Archive.open(dosed_path) as archive:
        name = next(iter(archive))
        foretold = archive.session(name).foretold
    with client_of(dosed_path) as client:
        found = client.get("/api/dvh", params={"case": name, "foreseen": True}).json()
    told = dict(zip(foretold.structures, foretold.doses, strict=True))
    shares, seen = np.array(foretold.settings.dose_volumes), 0
    for structure in found["structures"]:
        doses = told.get(structure["name"])
        if doses is None or np.isnan(doses[0]):
            assert structure["foreseen"] is None
            continue
        for dose, share in zip(doses, shares, strict=True):
            below, above = max(0, math.ceil(dose / 0.5) - 1), math.floor(dose / 0.5) + 1
            if above < len(structure["foreseen"]):  # a share lies between those of both steps
                seen += 1
                assert structure["foreseen"][below] >= share - 0.006
                assert structure["foreseen"][above] <= share + 0.006
    assert seen > 10


def test_the_result_that_differs_most_is_the_one_farthest_in_dose(
    client, archive_path: Path
) -> None:
    with Archive.open(archive_path) as archive:
        session = archive.session("phantom-00-01")
        found = [match.id for match in session.ask(k=10).matches[:5]]
        own, entries = session.query, [archive.entry(name) for name in found]
    rows = {row.structure: row for row in dose_table(own, entries)}
    mine = own.doses()["Larynx"]["mean_gy"]
    apart = [entry.doses()["Larynx"]["mean_gy"] - mine for entry in entries]
    at = int(np.argmax(np.abs(apart)))
    assert rows["Larynx"].most == (at, "mean", apart[at])
    page = client.get("/query", params={"case": "phantom-00-01"}).text
    assert f"{at + 1}. {found[at]}: mean {apart[at]:+.1f}" in page


def test_an_uploaded_patient_is_asked_with_and_not_kept(client, tmp_path: Path) -> None:
    place = client.app.app.state.uploads.place
    file = tmp_path / "pt_1.npz"
    write_openkbp(phantom(0, 8), file)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as bundle:
        bundle.write(file, "some folder/pt_1.npz")
    for name, body in (("../../pt_1.npz", file.read_bytes()), ("a.zip", packed.getvalue())):
        upload = client.post("/api/uploads").json()["upload"]
        put = client.put(f"/api/uploads/{upload}", params={"name": name}, content=body)
        assert put.json() == {"files": 1, "bytes": len(body)}
        told = client.post(f"/api/uploads/{upload}").json()
        assert list(place.iterdir()) == []
        answer = client.get("/api/query", params={"case": told["case"], "k": 3, "by": "ct"}).json()
        assert [match["id"][:10] for match in answer["matches"]] == ["phantom-00"] * 3
        assert client.get("/query", params={"case": told["case"]}).status_code == 200


def test_an_upload_of_nothing_or_of_nonsense_is_refused_and_removed(client) -> None:
    place = client.app.app.state.uploads.place
    upload = client.post("/api/uploads").json()["upload"]
    assert "nothing was uploaded" in client.post(f"/api/uploads/{upload}").json()["error"]
    upload = client.post("/api/uploads").json()["upload"]
    client.put(f"/api/uploads/{upload}", params={"name": "x.dcm"}, content=b"no DICOM at all")
    error = client.post(f"/api/uploads/{upload}").json()["error"]
    assert str(place) not in error
    assert list(place.iterdir()) == []
    assert client.post(f"/api/uploads/{upload}").status_code == 400


def test_uploads_beyond_the_limits_are_refused(client, monkeypatch) -> None:
    from isohash.apps.web import uploads

    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    monkeypatch.setattr(uploads, "MOST_FILES", 2)
    upload = client.post("/api/uploads").json()["upload"]
    found = client.put(f"/api/uploads/{upload}", content=b"x" * 1001)
    assert "at most" in found.json()["error"]
    upload = client.post("/api/uploads").json()["upload"]
    told = [client.put(f"/api/uploads/{upload}", content=b"x").status_code for _ in range(3)]
    assert told == [200, 200, 400]
    names = [client.post("/api/uploads").json()["upload"] for _ in range(uploads.MOST_AT_ONCE + 1)]
    assert client.put(f"/api/uploads/{names[0]}", content=b"x").status_code == 400
    assert len(list(client.app.app.state.uploads.place.iterdir())) == uploads.MOST_AT_ONCE


def test_facets_count_and_their_filters_keep_what_they_count(archive_path: Path) -> None:
    from isohash.retrieval.inventory import rows_of

    with Archive.open(archive_path) as archive:
        contents = archive.contents
        for where in (None, "label != 'family-02'"):
            rows = rows_of(contents, contents.facts.passing(where).nonzero()[0].tolist())
            found = facets(rows, where)
            assert {"label", "structures"} <= {facet.name for facet in found}
            for facet in found:
                for choice in facet.choices:
                    assert contents.facts.passing(choice.where).sum() == choice.n


def test_an_archive_that_grows_is_seen(archive_path: Path, tmp_path: Path) -> None:
    import shutil

    from isohash.retrieval.building.removal import remove

    copy = tmp_path / "archive"
    shutil.copytree(archive_path, copy)
    with client_of(copy) as client:
        before = client.get("/api/cases").json()["total"]
        remove(copy, ["phantom-00-02"])
        assert client.get("/api/cases").json()["total"] == before - 1
        assert client.get("/api/query", params={"case": "phantom-00-02"}).status_code == 400


def test_vectors_are_asked_and_listed_without_pictures(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((80, 16))
    isohash.build_archive(rows, tmp_path / "archive", bits=64)
    with client_of(tmp_path / "archive") as client:
        for page in (
            "/cases",
            "/case?case=array:7",
            "/query?case=array:7",
            "/query/answer?case=array:7",
        ):
            found = client.get(page)
            assert found.status_code == 200, page
            assert "array:7" in found.text
        answer = client.get("/query.json?case=array:7&k=3").json()
        with Archive.open(tmp_path / "archive") as archive:
            assert answer == json.loads(json.dumps(archive.query("array:7", k=3).to_json()))
        for page in ("/api/pictures?case=array:7", "/api/dvh?case=array:7"):
            assert client.get(page).status_code == 400


def test_the_first_line_is_the_address_and_it_answers(archive_path: Path) -> None:
    with serving(archive_path) as address:
        base, _, token = address.partition("/?token=")
        page = f"{base}/api/query?case=phantom-00-01&k=2&token={token}"
        with urlopen(page) as found:
            assert len(json.load(found)["matches"]) == 2
        bearer = Request(f"{base}/api/cases", headers={"Authorization": f"Bearer {token}"})
        with urlopen(bearer) as found:
            assert json.load(found)["total"] > 0


def test_only_this_machine_is_served(isohash, archive_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.1.2", "example.org"):
        done = isohash("serve", archive_path, "--host", host)
        assert done.status == 1
        assert "--tls-cert and --tls-key" in done.err
