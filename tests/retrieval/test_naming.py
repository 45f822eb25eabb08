"""The user's table of structure names: kept in the archive, editable, and what it leaves open."""

import json
from dataclasses import replace

import pytest

from isohash.errors import InputError
from isohash.retrieval.building.indexing import index_found
from isohash.retrieval.engine import Archive
from isohash.retrieval.naming import patient_notes
from small_cases import OPTIONS, as_findings, phantom

QUICK = {**OPTIONS, "encoder": "pca"}


def oddly_named(member):
    case = phantom(0, member)
    first, *others = case.structures
    masks = {"Our own thing": case.structures[first]} | {n: case.structures[n] for n in others}
    return replace(case, structures=masks)


@pytest.fixture
def findings():
    return as_findings({f"case{m}": lambda m=m: oddly_named(m) for m in range(3)})


def test_unknown_names_are_told_and_an_edited_table_is_followed(tmp_path, findings):
    archive = tmp_path / "archive"
    first = index_found(findings, archive, QUICK)
    (row,) = first.unmapped
    assert (row.typed, row.kind, row.n_cases) == ("Our own thing", "organ", 3)
    again = index_found(findings, archive, {})
    assert len(again.unchanged) == 3
    named = index_found(findings, archive, {"aliases": {"our OWN thing": "Parotid_L"}})
    assert len(named.indexed) == 3
    assert not named.unmapped
    kept = index_found(findings, archive, {})
    assert len(kept.unchanged) == 3
    with Archive.open(archive) as opened:
        assert "Parotid_L" in opened.entry("case0").facts["structures"]
        session = opened.session(oddly_named(0))
        assert "Parotid_L" in session.query.facts["structures"]


def test_many_cases_of_one_patient_are_worth_a_note():
    assert not patient_notes([{"patient": "a"}] * 4)
    assert not patient_notes([{"patient": "a"}] * 9 + [{"patient": "b"}])
    (note,) = patient_notes([{"patient": "a"}] * 5)
    assert "--same-patient" in note


def test_near_names_and_warnings_reach_the_command_line(tmp_path, capsys, monkeypatch):
    from isohash.apps.cli.main import main
    from isohash.sources.dicom.writer import write_dicom

    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "key"))
    for member in range(2):
        case = phantom(0, member)
        masks = {"parotidd left": next(iter(case.structures.values()))}
        write_dicom(replace(case, structures=masks, prescription_gy=None), tmp_path / f"in{member}")
    source = tmp_path / "dicom"
    source.mkdir()
    for member in range(2):
        (tmp_path / f"in{member}").rename(source / str(member))
    names = tmp_path / "names.json"
    names.write_text("{}")
    run(
        monkeypatch,
        main,
        "index",
        source,
        tmp_path / "a",
        "--aliases",
        names,
        "--encoder",
        "pca",
        "--json",
    )
    told = json.loads(capsys.readouterr().out)
    assert told["unmapped"] == [{"kind": "organ", "n_cases": 2, "suggestions": ["Parotid"]}]
    assert all("no plan file" in " ".join(notes) for notes in told["warnings"].values())
    names.write_text('{"parotidd left": "Parotid_L"}')
    run(
        monkeypatch,
        main,
        "index",
        source,
        tmp_path / "a",
        "--aliases",
        names,
        "--encoder",
        "pca",
        "--json",
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["unmapped"], len(told["indexed"])) == ([], 2)


def test_another_key_is_refused_for_indexing_and_where_the_own_patient_would_come_back(
    tmp_path, monkeypatch
):
    from isohash.retrieval.building.indexing import build_archive
    from isohash.sources.dicom.writer import write_dicom

    for member in range(2):
        write_dicom(phantom(0, member), tmp_path / "in" / str(member))
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "key"))
    build_archive(tmp_path / "in", tmp_path / "a", **QUICK)
    with Archive.open(tmp_path / "a") as archive:
        assert "another key" not in str(archive.query(tmp_path / "in" / "0", k=1).warnings)
    monkeypatch.setenv("ISOHASH_KEY_FILE", str(tmp_path / "other"))
    with pytest.raises(InputError, match="made with another key"):
        build_archive(tmp_path / "in", tmp_path / "a")
    with Archive.open(tmp_path / "a") as archive:
        session = archive.session(tmp_path / "in" / "0")
        with pytest.raises(InputError, match=r"another key.*ISOHASH_KEY_FILE.*--same-patient"):
            session.ask(1)
        answer = session.ask(2, same_patient=True)
        assert len(answer) == 2
        assert any("another key" in warning for warning in answer.warnings)
        own = archive.query(next(iter(archive)), k=2)  # what is stored is known by its pseudonym
        assert (len(own), own.n_excluded) == (1, 1)


def run(monkeypatch, main, *arguments):
    monkeypatch.setattr("sys.argv", ["isohash", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
