"""Files that half-done exports no longer join: what still belongs together is put together."""

import copy

import pytest

import rt_studies as rt
from dicom_sets import reasons, told
from isohash.sources.dicom.link import ELSEWHERE, STRANGER
from isohash.sources.reading import find, read_case
from rt_studies import assert_whole

# Who


@pytest.mark.parametrize("blank", [("RD", "RS", "RP"), ("RD",), ("RS", "RP"), ("CT",)])
def test_objects_without_patient_are_joined_to_the_one_that_their_uids_lead_to(tmp_path, blank):
    made = rt.write_study(tmp_path)
    for kind in blank:
        for k, dataset in enumerate(made["CT"] if kind == "CT" else [made[kind]]):
            dataset.PatientID = dataset.PatientName = ""
            rt.save(dataset, tmp_path / (f"CT{k:02d}.dcm" if kind == "CT" else f"{kind}.dcm"))
    findings = find(tmp_path)
    assert reasons(findings) == []
    (found,) = findings.found
    case = found.read()
    assert_whole(case)
    assert told(case, "PatientID is blank in", "joined by their UIDs")


@pytest.mark.parametrize("blank", [("RD", "RS", "RP"), ("RD",), ("CT",)])
@pytest.mark.parametrize("name", ["Test^Phantom", "PHANTOM, TEST"])
def test_a_name_that_stayed_where_the_number_went_does_not_part_the_files(tmp_path, blank, name):
    made = rt.write_study(tmp_path)
    for kind in blank:
        for k, dataset in enumerate(made["CT"] if kind == "CT" else [made[kind]]):
            dataset.PatientID, dataset.PatientName = "", name
            rt.save(dataset, tmp_path / (f"CT{k:02d}.dcm" if kind == "CT" else f"{kind}.dcm"))
    findings = find(tmp_path)
    assert reasons(findings) == []
    case = findings.found[0].read()
    assert_whole(case)
    assert told(case, "PatientID is blank in", "joined by their UIDs")


def test_a_file_of_another_name_is_not_joined_for_want_of_a_number(tmp_path):
    made = rt.write_study(tmp_path)
    made["RD"].PatientID, made["RD"].PatientName = "", "Somebody^Else"
    rt.save(made["RD"], tmp_path / "RD.dcm")
    case = read_case(tmp_path)
    assert case.dose is None
    assert STRANGER in case.warnings


def of(patient, made):
    """Plan, structures and dose of a patient of that name, in the same frame of reference."""
    rs, rp, rd = (copy.deepcopy(made[kind]) for kind in ("RS", "RP", "RD"))
    for dataset, name in ((rs, "rs"), (rp, "rp"), (rd, "rd")):
        dataset.PatientID = dataset.PatientName = patient
        dataset.SOPInstanceUID = rt.uid(name + patient)
        dataset.StudyInstanceUID = rt.uid("study" + patient)
    rp.ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rs.SOPInstanceUID)
    rd.ReferencedRTPlanSequence = rt.refer("RTPLAN", rp.SOPInstanceUID)
    return {"RS": rs, "RP": rp, "RD": rd}


def test_two_patients_in_the_frame_of_one_phantom_are_two_cases(tmp_path):
    made = rt.write_study(tmp_path, keep=())
    for patient in ("QA1", "QA2"):
        for kind, dataset in of(patient, made).items():
            rt.save(dataset, tmp_path / f"{kind}_{patient}.dcm")
    findings = find(tmp_path)
    assert reasons(findings) == []
    cases = [found.read() for found in findings.found]
    assert len({case.patient for case in cases}) == 2
    for case in cases:
        assert (len(case.structures), case.prescription_gy) == (3, 60)
        assert case.dose is not None


def test_a_blank_object_that_may_be_of_two_patients_is_of_neither(tmp_path):
    """Both patients lie in one frame of reference, and nothing nearer joins the structure set."""
    made = rt.write_study(tmp_path, keep=())
    for patient in ("QA1", "QA2"):
        rt.save(of(patient, made)["RD"], tmp_path / f"RD_{patient}.dcm")
    blank = made["RS"]
    blank.PatientID = blank.PatientName = ""
    blank.StudyInstanceUID = rt.uid("elsewhere")
    rt.save(blank, tmp_path / "RS.dcm")
    findings = find(tmp_path)
    assert len(findings.found) == 2
    assert "RTSTRUCT without PatientID, and its UIDs lead to no one patient" in reasons(findings)


def test_a_dose_of_another_patient_than_its_ct_is_still_refused(tmp_path):
    made = rt.write_study(tmp_path)
    made["RD"].PatientID = "OTHER"
    rt.save(made["RD"], tmp_path / "RD.dcm")
    assert "the CT of this dose carries another PatientID" in reasons(find(tmp_path))


# Which plan


def test_the_plan_of_an_older_structure_set_gives_its_prescription(tmp_path):
    made = rt.write_study(tmp_path, keep=("CT", "RS"))
    made["RP"].ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rt.uid("old"))
    rt.save(made["RP"], tmp_path / "RP.dcm")
    findings = find(tmp_path)
    assert reasons(findings) == []
    case = findings.found[0].read()
    assert (case.prescription_gy, case.facts["n_fractions"]) == (60, 30)
    assert told(case, "made on a structure set that is not here")
    assert len(case.structures) == 3


def test_two_plans_of_older_structure_sets_are_told_and_none_is_taken(tmp_path):
    made = rt.write_study(tmp_path, keep=("CT", "RS"))
    for name in ("one", "two"):
        plan = copy.deepcopy(made["RP"])
        plan.SOPInstanceUID = rt.uid(name)
        plan.ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rt.uid("old"))
        rt.save(plan, tmp_path / f"{name}.dcm")
    case = read_case(tmp_path)
    assert case.prescription_gy is None
    assert told(case, "2 plan(s) without dose: none was taken")


def elsewhere(plan):
    """A plan in a study of its own, without a frame of reference."""
    plan.StudyInstanceUID = rt.uid("another study")
    del plan.FrameOfReferenceUID
    return plan


@pytest.mark.parametrize("how", ["structures", "older structures", "dose", "dose to plan"])
def test_a_plan_of_another_study_without_a_frame_is_joined_by_its_references(tmp_path, how):
    with_dose = how.startswith("dose")
    made = rt.write_study(tmp_path, keep=("CT", "RS", "RD") if with_dose else ("CT", "RS"))
    plan = elsewhere(made["RP"])
    if how == "older structures":
        old = copy.deepcopy(made["RS"])
        old.SOPInstanceUID, old.StructureSetDate = rt.uid("old"), "20200101"
        rt.save(old, tmp_path / "OLD.dcm")
        plan.ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rt.uid("old"))
    if how == "dose":
        del plan.ReferencedStructureSetSequence, made["RD"].ReferencedRTPlanSequence
        plan.ReferencedDoseSequence = rt.refer("RTDOSE", made["RD"].SOPInstanceUID)
        rt.save(made["RD"], tmp_path / "RD.dcm")
    rt.save(plan, tmp_path / "RP.dcm")
    findings = find(tmp_path)
    case = findings.found[0].read()
    assert (case.prescription_gy, case.facts["n_fractions"]) == (60, 30)
    assert not [reason for reason in reasons(findings) if "RTPLAN" in reason]
    assert told(case, "made on another structure set") == (how == "older structures")
    assert told(case, "the dose names no plan") == (how == "dose")


@pytest.mark.parametrize("keep", [("CT", "RS"), ("CT", "RS", "RD")])
def test_a_plan_of_another_study_that_names_nothing_here_is_told(tmp_path, keep):
    made = rt.write_study(tmp_path, keep=keep)
    del made["RD"].ReferencedRTPlanSequence
    if "RD" in keep:
        rt.save(made["RD"], tmp_path / "RD.dcm")
    plan = elsewhere(made["RP"])
    plan.ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rt.uid("unknown"))
    rt.save(plan, tmp_path / "RP.dcm")
    findings = find(tmp_path)
    (reason,) = reasons(findings)
    assert reason == "RTPLAN of another study that names no frame of reference, and nothing here"
    assert findings.found[0].read().facts.get("n_fractions") is None


def test_a_dose_whose_plan_was_made_on_other_structures_says_so(tmp_path):
    made = rt.write_study(tmp_path)
    made["RP"].ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rt.uid("old"))
    rt.save(made["RP"], tmp_path / "RP.dcm")
    case = read_case(tmp_path)
    assert_whole(case)
    assert told(case, "made on another structure set")


@pytest.mark.parametrize("with_ct", [True, False])
def test_a_dose_that_names_no_plan_beside_the_only_plan_is_its_dose(tmp_path, with_ct):
    made = rt.write_study(tmp_path, keep=("CT", "RS", "RP", "RD") if with_ct else ("RS", "RP"))
    del made["RD"].ReferencedRTPlanSequence
    rt.save(made["RD"], tmp_path / "RD.dcm")
    findings = find(tmp_path)
    assert reasons(findings) == []
    case = findings.found[0].read()
    assert (case.prescription_gy, case.facts["n_fractions"]) == (60, 30)
    assert told(case, "the dose names no plan")


def test_a_dose_that_names_a_plan_which_is_not_here_says_so(tmp_path):
    made = rt.write_study(tmp_path)
    made["RD"].ReferencedRTPlanSequence = rt.refer("RTPLAN", rt.uid("another"))
    rt.save(made["RD"], tmp_path / "RD.dcm")
    findings = find(tmp_path)
    assert reasons(findings) == ["RTPLAN that belongs to no CT or dose found here"]
    assert told(findings.found[0].read(), "the plan that the dose names is not here")


def test_a_dose_that_names_no_plan_and_equals_one_that_does_is_a_copy(tmp_path):
    rt.write_study(tmp_path)
    rt.save(rt.dose("again", of_plan=None), tmp_path / "A.dcm")
    findings = find(tmp_path)
    (found,) = findings.found
    assert reasons(findings) == ["the same dose as RD.dcm, exported again"]
    case = found.read()
    assert_whole(case)
    assert case.warnings == ("1 dose(s) were exported again with equal values: counted once",)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagePositionPatient", "Rows"])
def test_a_dose_without_a_place_is_told_on_the_case_of_its_ct(tmp_path, keyword):
    made = rt.write_study(tmp_path)
    delattr(made["RD"], keyword)
    rt.save(made["RD"], tmp_path / "RD.dcm")
    case = read_case(tmp_path)
    assert (case.dose, len(case.structures)) == (None, 3)
    assert told(case, "the dose beside this CT cannot be used", f"{keyword} is missing")


def test_what_is_said_of_a_plan_fits_what_is_here(tmp_path):
    made = rt.write_study(tmp_path, keep=("CT", "RP"))
    assert told(read_case(tmp_path), "the structure set that the plan was made on is not here")
    rt.save(made["RS"], tmp_path / "RS.dcm")
    del made["RP"].ReferencedStructureSetSequence
    rt.save(made["RP"], tmp_path / "RP.dcm")
    case = read_case(tmp_path)
    assert told(case, "the plan names no structure set and is the only one that can be meant")
    assert case.prescription_gy == 60


def test_two_equal_doses_without_plans_are_one_case(tmp_path):
    rt.write_study(tmp_path, keep=("CT", "RS"))
    for name in ("one", "two"):
        rt.save(rt.dose(name, of_plan=None), tmp_path / f"{name}.dcm")
    findings = find(tmp_path)
    assert reasons(findings) == ["the same dose as one.dcm, exported again"]
    assert len(findings.found) == 1


def test_a_dose_in_another_frame_leaves_a_note_on_the_case_of_the_ct(tmp_path):
    made = rt.write_study(tmp_path)
    made["RD"].FrameOfReferenceUID = rt.uid("another frame")
    rt.save(made["RD"], tmp_path / "RD.dcm")
    cases = [found.read() for found in find(tmp_path).found]
    (of_ct,) = (case for case in cases if case.ct is not None)
    assert of_ct.dose is None
    assert ELSEWHERE in of_ct.warnings
