"""Files twice, and files cut short: nothing silently wrong or lost."""

import copy

import pytest
from pydicom.dataset import Dataset

import rt_studies as rt
from dicom_sets import reasons, told
from isohash.errors import InputError
from isohash.sources.dicom.whole import cut_short
from isohash.sources.reading import find, read_case


def test_every_slice_twice_counts_once(tmp_path):
    """Without references to images; of copies that structures name, those stay."""
    made = rt.write_study(tmp_path)
    for k, one in enumerate(made["CT"]):
        again = copy.deepcopy(one)
        again.SOPInstanceUID = rt.uid(f"copy{k}")
        rt.save(again, tmp_path / f"A_copy{k:02d}.dcm")
    series = made["RS"].ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    del series.RTReferencedSeriesSequence[0].ContourImageSequence
    rt.save(made["RS"], tmp_path / "RS.dcm")
    findings = find(tmp_path)
    assert sum("with equal pixels" in reason for reason in reasons(findings)) == 20
    case = findings.found[0].read()
    assert case.ct.array.shape == (20, 64, 64)
    assert case.structures["PTV"].volume_cc == pytest.approx(rt.PTV_CC, rel=2e-3)
    assert told(case, "20 image(s)", "equal pixels")


def test_copies_of_slices_may_be_rounded_otherwise(tmp_path):
    made = rt.write_study(tmp_path, keep=("CT",))
    for k, one in enumerate(made["CT"]):
        for name, off in ((f"CT{k:02d}", 0.004), (f"copy{k:02d}", 0.006)):
            one.SOPInstanceUID = rt.uid(name)
            one.ImagePositionPatient = [rt.X0, rt.Y0, rt.Z0 + rt.DZ * k + off]
            rt.save(one, tmp_path / f"{name}.dcm")
    assert read_case(tmp_path).ct.array.shape == (20, 64, 64)


def test_a_ct_exported_twice_as_two_series_is_one(tmp_path):
    made = rt.write_study(tmp_path, keep=("CT", "RP", "RD"))
    for k, one in enumerate(made["CT"]):
        again = copy.deepcopy(one)
        again.SOPInstanceUID, again.SeriesInstanceUID = rt.uid(f"copy{k}"), rt.uid("copies")
        rt.save(again, tmp_path / f"copy{k:02d}.dcm")
    case = read_case(tmp_path)
    assert case.dose is not None
    assert told(case, "2 times with equal pixels")


@pytest.mark.parametrize("what", ["values", "grid"])
def test_another_dose_under_the_same_uid_is_told(tmp_path, what):
    rt.write_study(tmp_path)
    other = {"gy": lambda x, y, z: 50 + 0 * x} if what == "values" else {
        "grid": (rt.X0, rt.Y0, rt.Z0, rt.PX, rt.DZ, rt.NX, rt.NY, rt.NZ - 2)
    }  # fmt: skip
    rt.save(rt.dose(**other), tmp_path / "other.dcm")
    findings = find(tmp_path)
    assert any("has the SOPInstanceUID of, but differs from" in r for r in reasons(findings))
    assert told(findings.found[0].read(), "SOPInstanceUID of the dose", "holds something else")


def test_copies_of_any_kind_change_nothing(tmp_path):
    made = rt.write_study(tmp_path)
    for kind in ("RS", "RP", "RD"):
        rt.save(made[kind], tmp_path / f"A_copy_{kind}.dcm")
    findings = find(tmp_path)
    assert all("a copy of" in reason for reason in reasons(findings))
    assert findings.found[0].read().warnings == ()


@pytest.fixture
def cut(tmp_path):
    """Writes the first part of a file under a name that sorts first."""
    rt.write_study(tmp_path)

    def write(name, share):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / "A_cut.dcm").write_bytes(whole[: int(share * len(whole))])
        return tmp_path

    return write


@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
@pytest.mark.parametrize("name", ["RS.dcm", "CT07.dcm", "RD.dcm", "RP.dcm"])
def test_a_file_cut_short_beside_its_original_changes_nothing(cut, name, share):
    folder = cut(name, share)
    findings = find(folder)
    (reason,) = reasons(findings)
    assert "cut short" in reason
    case = findings.found[0].read()
    assert set(case.structures) == {"BODY", "PTV", "Heart"}
    assert case.warnings == ()
    assert (case.dose.array.max(), case.prescription_gy) == (pytest.approx(75.75), 60)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RS.dcm", "1 structure set(s) beside it left out: cut short"),
        ("RD.dcm", "the dose beside this CT cannot be used: cut short"),
        ("RP.dcm", "1 plan(s) beside it left out: cut short"),
        ("CT19.dcm", "1 image(s) beside it left out: cut short"),
    ],
)
def test_a_lone_file_cut_short_is_never_used_as_if_whole(cut, name, said):
    folder = cut(name, 0.75)
    (folder / name).unlink()
    findings = find(folder)
    assert any(reason.startswith("cut short") for reason in reasons(findings))
    case = findings.found[0].read()
    assert any(warning.startswith(said) for warning in case.warnings)
    if name == "RS.dcm":
        assert case.structures == {}


def test_a_slice_cut_short_within_the_volume_refuses_the_series(cut):
    folder = cut("CT07.dcm", 0.7)
    (folder / "CT07.dcm").unlink()
    with pytest.raises(InputError, match=r"cut short|missing or uneven"):
        find(folder)


@pytest.mark.parametrize("first", ["A_part.dcm", "Z_part.dcm"])
@pytest.mark.parametrize(
    ("name", "element"),
    [("RS.dcm", b"\x06\x30\x39\x00SQ"), ("RS.dcm", b"\x06\x30\x80\x00SQ"),
     ("RP.dcm", b"\x0a\x30\xb0\x00SQ")],
)  # fmt: skip
def test_a_file_cut_between_two_elements_beside_its_original_changes_nothing(
    tmp_path, name, element, first
):
    rt.write_study(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / first).write_bytes(whole[: whole.index(element)])
    findings = find(tmp_path)
    assert reasons(findings) == [
        f"cut short: another file goes on where it ends; {name} holds all of it and is used"
    ]
    case = findings.found[0].read()
    assert (len(case.structures), case.facts["technique"], case.warnings) == (3, "3DCRT", ())


def test_a_structure_set_that_lost_its_contours_says_so_once(tmp_path):
    rt.write_study(tmp_path)
    whole = (tmp_path / "RS.dcm").read_bytes()
    (tmp_path / "RS.dcm").write_bytes(whole[: whole.index(b"\x06\x30\x39\x00SQ")])
    (warning,) = read_case(tmp_path).warnings
    assert warning == "the structure set names structures and has no contours (cut short?)"


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("name", ["RS.dcm", "RP.dcm", "CT07.dcm", "RD.dcm"])
def test_a_copy_whose_end_is_zeros_is_cut_short(tmp_path, name, undefined):
    """As where a program lays out the space of a file before it fills it."""
    made = rt.write_study(tmp_path)
    if undefined and name == "RS.dcm":
        of_undefined_length(made["RS"])
        rt.save(made["RS"], tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    half = whole[: len(whole) * 6 // 10]
    (tmp_path / "A_part.dcm").write_bytes(half + bytes(len(whole) - len(half)))
    findings = find(tmp_path)
    (reason,) = reasons(findings)
    assert reason.startswith("cut short")
    assert findings.found[0].read().warnings == ()
    if name in ("RS.dcm", "RP.dcm"):  # of pixels nobody can tell zeros from what was never written
        (tmp_path / name).unlink()
        findings = find(tmp_path)
        assert [reason.partition(":")[0] for reason in reasons(findings)] == ["cut short"]
        case = findings.found[0].read()
        assert name == "RP.dcm" or case.structures == {}


def of_undefined_length(dataset):
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for part in element.value:
                part.is_undefined_length_sequence_item = True
                of_undefined_length(part)


def test_padding_behind_a_whole_file_is_no_cut(tmp_path):
    rt.write_study(tmp_path)
    for name in ("RS.dcm", "RP.dcm", "RD.dcm"):
        file = tmp_path / name
        file.write_bytes(file.read_bytes() + bytes(2048))
        assert cut_short(file) == ""
    assert read_case(tmp_path).warnings == ()


@pytest.mark.parametrize("beside", [(), ("CT", "RS", "RD")])
@pytest.mark.parametrize("end", ["RTPlanGeometry", "DoseReferenceSequence", "PatientID"])
def test_a_plan_cut_before_its_fraction_groups_is_named_as_cut_short(tmp_path, beside, end):
    plan = rt.write_study(tmp_path, keep=beside)["RP"]
    cut = Dataset()
    cut.update({element.tag: element for element in plan if element.tag <= plan[end].tag})
    if end == "PatientID":
        cut.StudyInstanceUID, cut.SeriesInstanceUID = plan.StudyInstanceUID, rt.uid("rpseries")
    rt.save(cut, tmp_path / "RP.dcm")
    if not beside:
        with pytest.raises(InputError, match="cut short: it ends before its fraction groups"):
            find(tmp_path)
        return
    findings = find(tmp_path)
    assert "cut short" in reasons(findings)[0]
    case = findings.found[0].read()
    assert case.dose is not None
    assert any("plan(s) beside it left out: cut short" in note for note in case.warnings)


@pytest.mark.parametrize("length", [0, 1, 100, 131, 132, 140, 200, 330, 600])
@pytest.mark.parametrize("name", ["RS.dcm", "CT07.dcm", "RD.dcm"])
def test_what_little_is_left_of_a_file_is_named_as_cut_short(tmp_path, name, length):
    rt.write_study(tmp_path)
    (tmp_path / "part").write_bytes((tmp_path / name).read_bytes()[:length])
    findings = find(tmp_path)
    (reason,) = reasons(findings)
    assert "cut short" in reason
    assert findings.found[0].read().warnings == ()


@pytest.mark.parametrize("name", ["RS.dcm", "CT07.dcm", "RD.dcm", "RP.dcm"])
def test_whole_files_are_whole_and_their_beginnings_are_not(tmp_path, rng, name):
    rt.write_study(tmp_path)
    whole = (tmp_path / name).read_bytes()
    assert cut_short(tmp_path / name) == ""
    (tmp_path / "padded").write_bytes(whole + bytes(6))
    assert cut_short(tmp_path / "padded") == ""
    missed = 0
    for length in rng.integers(200, len(whole), 60):
        (tmp_path / "part").write_bytes(whole[:length])
        missed += not cut_short(tmp_path / "part")
    assert missed <= 3  # a cut just between two elements cannot be told
