"""What a plan says of fractions, technique and approval, and that nothing else of it gets out."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_sets import part
from isohash.retrieval.where import parse_where
from isohash.sources.dicom.writer import write_dicom
from isohash.sources.reading import read_case


def control_point(weight, angle=None, turn=None, leaves=None):
    point = Dataset()
    point.CumulativeMetersetWeight = f"{weight:.6f}"
    if angle is not None:
        point.GantryAngle = f"{angle % 360:.4f}"
    if turn is not None:
        point.GantryRotationDirection = turn
    if leaves is not None:
        device = Dataset()
        device.RTBeamLimitingDeviceType, device.LeafJawPositions = "MLCX", leaves
        point.BeamLimitingDevicePositionSequence = Sequence([device])
    return point


def beam(number, points, radiation="PHOTON", delivery="TREATMENT"):
    item = Dataset()
    item.BeamNumber, item.RadiationType, item.TreatmentDeliveryType = number, radiation, delivery
    item.ControlPointSequence = Sequence(points)
    return item


def still(n, moving):
    leaves = [[-10 - k * moving, 10] for k in range(n)]
    return [control_point(k / (n - 1), 90 if k == 0 else None, None, leaves[k]) for k in range(n)]


def arc(n, moving, weights, turn="CW"):
    return [
        control_point(
            weights[k], 181 + 3 * k, turn if k < n - 1 else "NONE", [-10 - k * moving, 10]
        )
        for k in range(n)
    ]


EVEN = np.linspace(0, 1, 40)
BEAMS = {
    "3DCRT": beam(1, still(2, moving=0)),
    "field in field": beam(1, still(6, moving=1)),
    "IMRT": beam(1, still(24, moving=1)),
    "VMAT": beam(1, arc(40, 1, EVEN**1.5)),
    "DCAT": beam(1, arc(40, 1, EVEN, "CC")),
    "ARC": beam(1, arc(40, 0, EVEN)),
    "ELECTRON": beam(1, still(2, moving=0), "ELECTRON"),
    "PROTON": beam(1, still(2, moving=0), "PROTON"),
    "ION": beam(1, still(2, moving=0), "ION"),
}


def write_plan(folder, case, beams, keyword="BeamSequence", **values):
    write_dicom(case, folder)
    plan = pydicom.dcmread(part(folder, "RP"))
    setattr(plan, keyword, Sequence(beams))
    group = Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, 30
    group.ReferencedBeamSequence = Sequence([])
    for one in beams:
        item = Dataset()
        item.ReferencedBeamNumber = one.BeamNumber
        if one.TreatmentDeliveryType == "TREATMENT":
            item.BeamMeterset = "100"
        group.ReferencedBeamSequence.append(item)
    plan.FractionGroupSequence = Sequence([group])
    for name, value in values.items():
        setattr(plan, name, value)
    plan.save_as(part(folder, "RP"))
    return read_case(folder)


@pytest.mark.parametrize("name", BEAMS)
def test_the_technique_is_told_from_the_control_points(tmp_path, case, name):
    keyword = "IonBeamSequence" if name in ("PROTON", "ION") else "BeamSequence"
    technique = "3DCRT" if name == "field in field" else name
    assert write_plan(tmp_path, case, [BEAMS[name]], keyword).facts["technique"] == technique


def test_facts_of_a_plan_can_be_asked_for(tmp_path, case):
    beams = [BEAMS["VMAT"], beam(2, still(2, 0)), beam(3, still(2, 0), delivery="SETUP")]
    values = {"ApprovalStatus": "APPROVED", "PlanIntent": "CURATIVE", "RTPlanDate": "20210304"}
    facts = write_plan(tmp_path, case, beams, **values).facts
    assert facts["technique"] == "3DCRT+VMAT"
    assert facts["n_beams"] == 2
    assert parse_where("n_fractions >= 25 and 'VMAT' in technique")(facts)
    assert parse_where("approval == 'APPROVED' and intent == 'CURATIVE'")(facts)
    assert not parse_where("n_fractions < 25 or technique == 'IMRT'")(facts)
    assert facts["planned_on"] < "1900"


def test_free_text_in_place_of_a_code_stays_inside(tmp_path, case):
    odd = beam(1, still(2, 0), "BY DR SMITH")
    facts = write_plan(tmp_path, case, [odd], ApprovalStatus="SMITH OK", PlanIntent="SMITH").facts
    assert "smith" not in str(facts).lower()


@pytest.mark.parametrize("keyword", ["GantryAngle", "CumulativeMetersetWeight"])
def test_a_plan_without_numbers_is_still_a_plan(tmp_path, case, keyword):
    points = arc(40, 1, EVEN)
    delattr(points[7], keyword)
    assert write_plan(tmp_path, case, [beam(1, points)]).facts["technique"] == "VMAT"


def test_a_prescription_in_cgy_is_passed_over_and_told(tmp_path, case):
    write_dicom(case, tmp_path)
    plan = pydicom.dcmread(part(tmp_path, "RP"))
    plan.DoseReferenceSequence[0].TargetPrescriptionDose = "6000"
    plan.save_as(part(tmp_path, "RP"))
    read = read_case(tmp_path)
    assert read.prescription_gy == 60  # from PTV60
    assert any("6000 Gy, which is passed over" in warning for warning in read.warnings)
