"""What leaves a reader of a name that was typed: a name of the tables, or a number and a kind."""

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dicom_sets import rewrite
from isohash.dosimetry.names import KNOWN, canonical_name, is_target, spelling
from isohash.errors import InputError
from isohash.records import Case, Volume
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.identity.aliases import Aliases
from isohash.sources.identity.naming import UNNAMED, Naming, Personal, Typed, is_unnamed, known_name
from isohash.sources.reading import find, read_case, read_cases

NOBODY = Personal()
WHO = Personal(frozenset({"herz", "li", "quimby", "j"}), frozenset({"4711", "771203", "1948"}))


@pytest.mark.parametrize(
    "typed",
    ["Heart", "Parotid_R", "RT PAROTID", "PTV_7000", "PTV 50.4", "ptv 70 Gy", "Rückenmark", "GTV"],
)
def test_a_name_that_the_tables_know_leaves_as_it_was_typed(typed):
    assert known_name(typed, NOBODY) == typed


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("Li Herz", "Heart_L"),  # a patient called Li Herz
        ("PTV 4711", None),  # the patient's number as cGy
        ("PTV 47.11", None),
        ("PTV 1948", None),  # the year of birth
        ("PTV 0212", None),  # a day written like a dose
        ("CTV 60", "CTV 60"),
    ],
)
def test_a_known_spelling_that_is_a_persons_too_leaves_in_the_tables_words(typed, left):
    assert known_name(typed, WHO) == left


PLANTED = [
    "Mueller PTV", "Muller ring", "Jorg", "Ng PTV", "Bo ring", "LeePTV", "AmyGTV", "77-12-3 ring",
    "MRN 555-01-23", "contact 617 555 0199", "Zielinska CTV", "Ewa ring", "Feb 15 1948 ring",
    "PTV1950Jan03", "born 1950", "PTV DrBrandt ask Hollister", "wife Gertrud 0171 555 019",
    "ward 7B bed 3", "王 小東 GTV", "Heart of Quimby", "Parotid_R_JQ", "", "\x1b[31mHeart2",
]  # fmt: skip


@pytest.mark.parametrize("typed", PLANTED)
def test_any_other_name_leaves_as_a_number_and_a_kind_and_is_noted_for_the_owner(typed):
    naming = Naming()
    (left,) = naming.names("case", [Typed(typed, 7)])
    assert UNNAMED.fullmatch(left)
    assert left.startswith("ROI 7 (")
    assert naming.unknown == {"case": {left: typed}}


WORDS = sorted({word for name in KNOWN for word in spelling(name).split()} | {"ptv", "70", "left"})
NAMES = st.one_of(
    st.text(alphabet="abcdLMÖß 0123_-.^", max_size=12),
    st.lists(st.sampled_from([*WORDS, "Quimby", "Li", "Herz", "4711"]), max_size=3).map(" ".join),
    st.sampled_from(["ROI 1 (organ)", "Heart", "Heart (2)", "HEART", "PTV70", "PTV 70"]),
)


@given(st.lists(NAMES, max_size=6), st.lists(st.integers(-1, 1200), min_size=6, max_size=6))
@example(["ROI 1 (organ)", "ROI 1 (organ)"], [0] * 6)
def test_names_that_leave_are_unique_stable_and_made_of_the_tables_words(typed, numbers):
    several = [Typed(*pair) for pair in zip(typed, numbers, strict=False)]
    left = Naming().names("c", several, WHO)
    assert len(set(left)) == len(left) == len(typed)
    assert left == Naming().names("c", several, WHO)
    for name in left:
        base = name[:-4] if name.endswith(")") and not is_unnamed(name) else name
        assert is_unnamed(name) or canonical_name(base.rstrip(" (")) is not None
        assert not {"quimby", "herz", "4711"} & set(spelling(name).split())
    masks = {name: Volume(np.ones((1, 1, 1), bool), np.eye(4)) for name in left}
    case = Case("c", structures=masks)
    assert Naming().let_out(case) is case


@pytest.mark.parametrize(
    ("typed", "interpreted", "kind"),
    [
        ("Mueller boost", "PTV", "target"), ("PTV_Upper", "", "target"), ("PTV ring", "", "helper"),
        ("Mueller", "ORGAN", "organ"), ("Mueller", "", "organ"), ("z_avoid", "", "helper"),
        ("Mueller", "SUPPORT", "helper"), ("PTV Mueller", "ORGAN", "target"),
    ],
)  # fmt: skip
def test_what_a_structure_is_survives_its_name(typed, interpreted, kind):
    (left,) = Naming().names("c", [Typed(typed, 3, interpreted)])
    assert left == f"ROI 3 ({kind})"
    assert is_target(left) == (kind == "target")


def test_the_sites_table_has_the_first_word_and_holds_no_spelling(key_file):
    aliases = Aliases.of({"Müller's cord": "SpinalCord_PRV05", "undecided": ""})
    assert "ller" not in json.dumps(dict(aliases.table))
    assert Naming(aliases).names("c", [Typed("MULLER S CORD")]) == ["SpinalCord_PRV05"]
    assert Naming(aliases).names("c", [Typed("undecided")]) == ["ROI 1 (organ)"]
    assert Aliases.of(aliases.table).table == aliases.table


@pytest.mark.parametrize("name", ["a" * 65, "two\nlines", 7])
def test_a_table_that_gives_what_can_be_no_name_is_refused(key_file, name):
    with pytest.raises(InputError, match="printable text"):
        Aliases.of({"cord": name})


@pytest.fixture
def laden(tmp_path, case):
    """A set whose structures are called after people, by several headers."""
    folder = tmp_path / "source"
    for path in write_dicom(case, folder, WriteOptions(identity="MRN 9")):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == "CT":
            dataset.PatientName = "Rectum^Zielinska"  # named in the CT only
        if dataset.Modality == "RTSTRUCT":
            dataset.StructureSetROISequence[0].ROIName = "Zielinska CTV"
            dataset.StructureSetROISequence[1].ROIName = "RECTUM"
            dataset.RTROIObservationsSequence[0].RTROIInterpretedType = "CTV"
        dataset.save_as(path)
    return folder


def test_public_reading_lets_out_only_known_names_and_takes_the_sites_table(laden):
    assert list(read_case(laden).structures) == ["ROI 1 (target)", "Rectum", "PTV60"]
    (case,) = read_cases(laden, aliases={"zielinska ctv": "CTV_50"})
    assert list(case.structures) == ["CTV_50", "Rectum", "PTV60"]


def test_warnings_call_structures_by_the_names_that_leave(laden):
    dataset = pydicom.dcmread(laden / "RS.0000.dcm")
    del dataset.ROIContourSequence[0].ContourSequence
    dataset.save_as(laden / "RS.0000.dcm")
    case = read_case(laden)
    assert any("ROI 1 (target)" in warning for warning in case.warnings)
    assert "ielinska" not in str(case.warnings)


def test_a_reader_of_any_kind_is_named_at_the_border(laden):
    findings = find(laden)
    case = findings.found[0].read()
    typed = replace(findings.found[0], reader=lambda _: replace(case, structures={"Bo Ng": 1}))
    assert list(typed.read().structures) == ["ROI 1 (organ)"]


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        ("CT", "RescaleType"), ("CT", "PhotometricInterpretation"), ("RD", "DoseUnits"),
        ("RD", "DoseType"), ("RD", "DoseSummationType"),
    ],
)  # fmt: skip
def test_reasons_of_refusals_repeat_no_word_of_the_file(laden, kind, keyword):
    rewrite(laden, lambda dataset: setattr(dataset, keyword, "NOWICKA"), (kind,))
    told = []
    for found in (findings := find(laden)).found:
        try:
            told += found.read().warnings
        except InputError as error:
            told.append(str(error))
    told += [skip.reason for skip in findings.skipped]
    assert "NOWICKA" not in str(told)
    assert "a value that DICOM does not define" in str(told)


def test_the_owner_gets_a_table_to_fill_in_and_json_holds_no_name(laden, tmp_path, isohash):
    table = tmp_path / "our-names.json"
    told = isohash("names", laden, "--add-to", table)
    assert "Zielinska CTV" in told.out
    assert json.loads(table.read_text()) == {"Zielinska CTV": ""}
    assert table.stat().st_mode & 0o777 == 0o600
    table.write_text('{"Zielinska CTV": "CTV_50"}')
    assert "know all names" in isohash("names", laden, "--add-to", table).out
    assert "know all names" in isohash("names", laden, "--aliases", table).out
    assert json.loads(table.read_text()) == {"Zielinska CTV": "CTV_50"}
    assert json.loads(isohash("names", laden, "--json").out) == [
        {"kind": "target", "n_cases": 1, "suggestions": []}
    ]
