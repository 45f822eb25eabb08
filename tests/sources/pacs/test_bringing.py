"""A study that is brought is the study that was stored, and only what a case needs is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from isohash.errors import InputError
from isohash.sources.pacs import dicomweb, one_study
from isohash.sources.pacs.address import opened, parse
from isohash.sources.pacs.node import Local, PacsError, Wanted
from isohash.sources.pacs.sending import send
from pacs_nodes import (
    USER,
    Fake,
    Orthanc,
    assert_same_case,
    brought,
    empty,
    start_orthanc,
    uid_of,
    write_studies,
)


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


@pytest.mark.parametrize("way", ["web", "dimse"])
def test_what_is_sent_is_there(way: str, tmp_path: Path) -> None:
    node = start_orthanc(tmp_path / "db")
    try:
        (folder,) = write_studies(tmp_path / "new", 1)
        done = send(folder, getattr(node, way), None, None, USER)
        assert (len(done.sent), done.refused) == (11, {})
        assert send(folder, getattr(node, way), None, None, USER).refused == {}  # changes nothing
        brought(getattr(node, way), uid_of(folder), tmp_path / "back")
        assert_same_case(tmp_path / "back", folder)
    finally:
        node.kill()


def test_what_a_node_does_not_take_is_told(fake: Fake, studies: list[Path]) -> None:
    done = send(studies[0], fake.address)  # it has no POST
    assert len(done.refused) == 11
    assert all("HTTP status 501" in why for why in done.refused.values())
    with pytest.raises(InputError, match="no such file"):
        send(studies[0] / "none", fake.address)


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


def test_a_study_that_is_asked_with_comes_once_until_it_changes(
    fake: Fake, studies: list[Path]
) -> None:
    study = uid_of(studies[0])

    def objects_asked() -> int:
        n_before = len(fake.asked)
        _, folder = one_study.brought(f"{fake.address}#{study}")
        assert_same_case(folder, studies[0])
        return sum("/series/" in path for path in fake.asked[n_before:])

    n_series = len(fake.objects[study])
    assert [objects_asked(), objects_asked()] == [n_series, 0]
    (plan,) = [s for s in fake.objects[study] if fake.modality[s] == "RTPLAN"]
    fake.objects[study][plan] *= 2  # it has grown
    assert [objects_asked(), objects_asked()] == [n_series, 0]
    fake.objects[study][plan].pop()
    one_study.forget()
    assert objects_asked() == n_series
    one_study.forget()
