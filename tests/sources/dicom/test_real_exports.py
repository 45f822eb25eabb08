"""One study for each way in which real exports were once read wrong, and its right values.

Each was seen in a real set or a public bug report; variations of each kind are tested elsewhere.
"""

import copy

import numpy as np
import pytest

import rt_studies as rt
from isohash.dosimetry.dvh import dvh
from isohash.sources.reading import find

NO_CT = ("RS", "RP", "RD")
BODY, PTV, HEART = ("BODY", rt.BODY_CC), ("PTV", rt.PTV_CC), ("Heart", rt.HEART_CC)
ALL = (BODY, PTV, HEART)


def organs_wider_than_the_dose_grid(folder):
    rt.write_study(folder, keep=NO_CT, grid=(-30.0, -30.0, -18.0, 2.0, 3.0, 24, 31, 12))


def contour_given_twice(folder):
    twice = [rt.circle(z, 20.0) for z in rt.PLANES for _ in range(2)]
    heart = rt.cylinder(10.0, 30.0) + rt.cylinder(10.0, 30.0, planes=rt.PLANES[3:6])
    rt.write_study(folder, rois={**rt.organs(), "PTV": twice, "Heart": heart})


def contour_data_longer_than_64_kb(folder):
    rt.write_study(folder, rois={**rt.organs(), "PTV": rt.cylinder(20.0, n=4000)})


def thin_structures_without_ct(folder):
    rt.write_study(
        folder,
        rois={
            "PTV": rt.cylinder(12.0),
            "OpticNrv_L": rt.cylinder(2.0, 16.0),
            "Bladder": [rt.circle(z, r) for z in rt.PLANES for r in (15.0, 12.0)],
        },
        keep=NO_CT,
        gy=lambda x, y, z: 60 / (1 + np.exp((np.hypot(x, y) - 12) / 1.2)),
        grid=(-62.0, -62.0, -31.0, 4.0, 4.0, 32, 32, 16),
    )


def one_of_three_fraction_groups(folder):
    made = rt.write_study(folder, keep=("CT", "RS"), prescribed=None)
    made["RP"].FractionGroupSequence = rt.Sequence(
        rt.fraction_group(n + 1, fractions, (2 * n + 1, 2 * n + 2), 1.0)
        for n, fractions in enumerate((25, 7, 3))
    )
    rt.save(made["RP"], folder / "RP.dcm")
    dose = rt.dose(gy=lambda x, y, z: 50 + 0 * x, summation="FRACTION")
    dose.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = rt.items(
        rt.item(ReferencedFractionGroupNumber=1)
    )
    rt.save(dose, folder / "RD.dcm")


def two_patients_on_one_phantom_frame(folder):
    made = rt.write_study(folder, keep=())
    for who in ("QA1", "QA2"):
        parts = {kind: copy.deepcopy(made[kind]) for kind in NO_CT}
        for kind, part in parts.items():
            part.PatientID = part.PatientName = who
            part.SOPInstanceUID = rt.uid(kind + who)
        parts["RP"].ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rt.uid("RS" + who))
        parts["RD"].ReferencedRTPlanSequence = rt.refer("RTPLAN", rt.uid("RP" + who))
        for kind, part in parts.items():
            rt.save(part, folder / f"{kind}_{who}.dcm")


def seed_implant_above_1000_gy(folder):
    def implant(x, y, z):
        return 145 * (20 / np.maximum(1, np.hypot(x, y))) ** 1.2

    rt.write_study(folder, prescribed=145.0, fractions=1, gy=implant)


def bad_dose_takes_the_ct_along(folder):
    made = rt.write_study(folder)
    del made["RD"].DoseGridScaling
    rt.save(made["RD"], folder / "RD.dcm")


def brachy_summation_type(folder):
    rt.write_study(folder, summation="BRACHY")


def plan_dose_exported_twice(folder):
    rt.write_study(folder)
    rt.save(rt.dose("again"), folder / "RD2.dcm")


def contours_wider_than_the_ct(folder):
    rt.write_study(folder, rois={**rt.organs(), "PTV": rt.cylinder(40.0, 50.0)})


def every_slice_twice_without_references(folder):
    made = rt.write_study(folder)
    for k, one in enumerate(made["CT"]):
        again = copy.deepcopy(one)
        again.SOPInstanceUID = rt.uid(f"copy{k}")
        rt.save(again, folder / f"COPY{k:02d}.dcm")
    study = made["RS"].ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    del study.RTReferencedSeriesSequence[0].ContourImageSequence
    rt.save(made["RS"], folder / "RS.dcm")


def plan_of_an_older_structure_set(folder):
    made = rt.write_study(folder, keep=("CT", "RS"))
    made["RP"].ReferencedStructureSetSequence = rt.refer("RTSTRUCT", rt.uid("older"))
    rt.save(made["RP"], folder / "RP.dcm")


def patient_id_blank_in_rt_objects(folder):
    made = rt.write_study(folder)
    for kind in NO_CT:
        made[kind].PatientID = made[kind].PatientName = ""
        rt.save(made[kind], folder / f"{kind}.dcm")


def brachy_dose_of_one_fraction(folder):
    def hdr(x, y, z):
        return np.clip(5 * (20 / np.maximum(2, np.hypot(x, y))) ** 1.5, 0, 40)

    made = rt.write_study(folder, gy=hdr)
    plan = made["RP"]
    del plan.BeamSequence
    plan.DoseReferenceSequence = rt.items(
        rt.item(
            DoseReferenceNumber=1,
            DoseReferenceStructureType="COORDINATES",
            DoseReferencePointCoordinates=[20.0, 0, 0],
            DoseReferenceType="UNSPECIFIED",
            TargetPrescriptionDose=5.0,
        )
    )
    setup = rt.item(ReferencedBrachyApplicationSetupNumber=1, BrachyApplicationSetupDose=5.0)
    plan.FractionGroupSequence = rt.items(
        rt.item(
            FractionGroupNumber=1,
            NumberOfFractionsPlanned=5,
            NumberOfBeams=0,
            NumberOfBrachyApplicationSetups=1,
            ReferencedBrachyApplicationSetupSequence=rt.items(setup),
        )
    )
    plan.ApplicationSetupSequence = rt.items(rt.item(ApplicationSetupNumber=1))
    rt.save(plan, folder / "RP.dcm")


def truncated_copy_beside_the_original(folder):
    rt.write_study(folder)
    for name in ("RS.dcm", "CT07.dcm", "RD.dcm", "RP.dcm"):
        whole = (folder / name).read_bytes()
        (folder / f"A_cut_{name}").write_bytes(whole[: len(whole) * 6 // 10])


# Study; cases; volumes in cc; mean Gy of a structure; prescription; what is told of case or files.
STUDIES = [
    (organs_wider_than_the_dose_grid, 1, ALL, None, 60,
     ["81 % of BODY lies outside the dose grid", "5 % of PTV lies outside the dose grid"]),
    (contour_given_twice, 1, ALL, ("Heart", 67.5), 60, ["PTV: 12 contour(s) that are given twice"]),
    (contour_data_longer_than_64_kb, 1, ALL, ("Heart", 67.5), 60, []),
    (thin_structures_without_ct, 1, [("OpticNrv_L", 0.45), ("Bladder", 9.15), ("PTV", 16.26)],
     ("OpticNrv_L", 4.6), 60, []),
    (one_of_three_fraction_groups, 1, ALL, None, 70,
     ["the dose of fraction group 2, 3 is missing: the dose is incomplete"]),
    (two_patients_on_one_phantom_frame, 2, ALL, ("Heart", 67.5), 60, []),
    (seed_implant_above_1000_gy, 1, ALL, None, 145, ["dose reaches 3483 Gy, as at sources"]),
    (bad_dose_takes_the_ct_along, 1, ALL, None, 60, ["cannot be used: DoseGridScaling is missing"]),
    (brachy_summation_type, 1, ALL, ("Heart", 67.5), 60, ["dose is the only BRACHY dose"]),
    (plan_dose_exported_twice, 1, ALL, ("Heart", 67.5), 60, ["exported again with equal values"]),
    (contours_wider_than_the_ct, 1, [("PTV", 180.7), HEART], None, 60,
     ["28 % of PTV lies outside the CT"]),
    (every_slice_twice_without_references, 1, ALL, ("Heart", 67.5), 60, ["20 image(s)", "a copy"]),
    (plan_of_an_older_structure_set, 1, ALL, None, 60, ["a structure set that is not here"]),
    (patient_id_blank_in_rt_objects, 1, ALL, ("Heart", 67.5), 60, ["PatientID is blank in dose"]),
    (brachy_dose_of_one_fraction, 1, ALL, None, 25, ["the dose of one of 5 fractions"]),
    (truncated_copy_beside_the_original, 1, ALL, ("Heart", 67.5), 60, ["cut short"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("study", "n_cases", "volumes", "mean", "prescribed", "told"),
    STUDIES,
    ids=[row[0].__name__ for row in STUDIES],
)
def test_what_was_once_read_wrong(tmp_path, study, n_cases, volumes, mean, prescribed, told):
    study(tmp_path)
    findings = find(tmp_path)
    cases = [found.read() for found in findings.found]
    assert len(cases) == len({case.patient for case in cases}) == n_cases
    for case in cases:
        assert case.prescription_gy == prescribed
        for name, cc in volumes:
            assert case.structures[name].volume_cc == pytest.approx(cc, rel=0.01), name
        if mean is not None:
            name, gy = mean
            assert dvh(case.dose, case.structures[name]).mean_gy == pytest.approx(gy, abs=0.3)
    every = [*(skip.reason for skip in findings.skipped), *cases[0].warnings]
    assert all(any(words in one for one in every) for words in told), every
    if not told:
        assert all("no CT volume" in one for one in every)
