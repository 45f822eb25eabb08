"""Doses that are parts of a plan, and brachytherapy: nothing silently wrong or lost."""

import numpy as np
import pytest

import rt_studies as rt
from dicom_sets import told
from isohash.dosimetry.dvh import dvh
from isohash.errors import InputError
from isohash.sources.reading import read_case


def assert_dose_is_incomplete(case, *words):
    assert case.dose is None
    assert case.ct is not None
    assert len(case.structures) == 3
    assert told(case, "the dose beside this CT cannot be used", *words)


# Parts of a plan


def groups(*fractions):
    """Fraction groups of two beams each."""
    return rt.Sequence(
        rt.fraction_group(n + 1, planned, (2 * n + 1, 2 * n + 2), 1.0)
        for n, planned in enumerate(fractions)
    )


def of_groups(dose, *numbers):
    dose.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = rt.Sequence(
        rt.item(ReferencedFractionGroupNumber=number) for number in numbers
    )
    return dose


@pytest.fixture
def three_groups(tmp_path):
    """CT, structures and a plan of 25, 7 and 3 fractions; doses are added by the test."""
    made = rt.write_study(tmp_path, keep=("CT", "RS"))
    made["RP"].FractionGroupSequence = groups(25, 7, 3)
    rt.save(made["RP"], tmp_path / "RP.dcm")
    return tmp_path


def save_dose(folder, name, gy, summation, *numbers):
    dose = rt.dose(name, lambda x, y, z: gy + 0 * x, summation=summation)
    rt.save(of_groups(dose, *numbers) if numbers else dose, folder / f"{name}.dcm")


def test_a_dose_of_one_of_three_fraction_groups_is_incomplete(three_groups):
    save_dose(three_groups, "first", 50, "FRACTION", 1)
    case = read_case(three_groups)
    assert_dose_is_incomplete(case, "fraction group 2, 3 is missing")
    assert (case.prescription_gy, case.facts["n_fractions"]) == (60, 35)


def test_doses_of_all_fraction_groups_are_added(three_groups):
    for number, gy in ((1, 50), (2, 14), (3, 6)):
        save_dose(three_groups, f"group{number}", gy, "FRACTION", number)
    case = read_case(three_groups)
    np.testing.assert_allclose(case.dose.array, 70, rtol=1e-5)
    assert case.warnings == ("dose is the sum of 3 FRACTION doses",)


def test_fraction_doses_that_name_no_group_must_be_as_many_as_there_are(three_groups):
    save_dose(three_groups, "one", 50, "FRACTION")
    assert_dose_is_incomplete(read_case(three_groups), "1 FRACTION dose(s)", "of a plan of 3")
    save_dose(three_groups, "two", 14, "FRACTION")
    save_dose(three_groups, "three", 6, "FRACTION")
    case = read_case(three_groups)
    np.testing.assert_allclose(case.dose.array, 70, rtol=1e-5)
    assert told(case, "name no fraction group")


@pytest.mark.parametrize("n", [1, 5, 6, 7])
def test_beam_doses_that_name_no_beam_must_be_as_many_as_there_are(three_groups, n):
    for number in range(n):
        save_dose(three_groups, f"beam{number}", 10 + number, "BEAM")
    case = read_case(three_groups)
    if n == 6:
        np.testing.assert_allclose(case.dose.array, 75, rtol=1e-5)
        assert told(case, "name no beam")
    else:
        assert_dose_is_incomplete(case, f"{n} BEAM dose(s)", "of a plan of 6")


@pytest.mark.parametrize("of_groups", [(1,), (1, 2)])
def test_a_beam_of_two_fraction_groups_has_a_dose_in_each(tmp_path, of_groups):
    made = rt.write_study(tmp_path, keep=("CT", "RS"))
    made["RP"].FractionGroupSequence = rt.Sequence(
        rt.fraction_group(n, fractions, (1, 2), 1.0) for n, fractions in ((1, 25), (2, 5))
    )
    rt.save(made["RP"], tmp_path / "RP.dcm")
    for group in of_groups:
        for beam in (1, 2):
            save_dose_of_beam(tmp_path, f"dose{group}{beam}", 10 * group + beam, group, beam)
    case = read_case(tmp_path)
    if len(of_groups) == 2:
        np.testing.assert_allclose(case.dose.array, 11 + 12 + 21 + 22, rtol=1e-5)
    else:
        assert_dose_is_incomplete(case, "beam 1 of fraction group 2, 2 of fraction group 2")


def save_dose_of_beam(folder, name, gy, group, beam):
    dose = of_groups(rt.dose(name, lambda x, y, z: gy + 0 * x, summation="BEAM"), group)
    of_group = dose.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence[0]
    of_group.ReferencedBeamSequence = rt.items(rt.item(ReferencedBeamNumber=beam))
    rt.save(dose, folder / f"{name}.dcm")


def test_a_part_exported_twice_counts_once_where_it_says_what_it_is(tmp_path):
    rt.write_study(tmp_path, keep=("CT", "RS", "RP"))
    for beam in (1, 2):
        for again in ("", "again"):
            save_dose_of_beam(tmp_path, f"dose{beam}{again}", 30 + beam, 1, beam)
    case = read_case(tmp_path)
    np.testing.assert_allclose(case.dose.array, 31 + 32, rtol=1e-5)
    assert told(case, "2 dose(s) were exported again with equal values")
    for file in tmp_path.glob("dose*"):
        file.unlink()
    for name in ("one", "two"):
        save_dose(tmp_path, name, 30, "BEAM")
    assert_dose_is_incomplete(read_case(tmp_path), "two BEAM doses are equal and name no beam")


WIDE = (-60.0, -60.0, -30.0, 3.0, 3.0, 41, 41, 20)


NARROW = (-46.0, -46.0, -27.0, 2.0, 3.0, 47, 47, 18)


BESIDE = (-20.0, -60.0, -30.0, 3.0, 3.0, 41, 41, 20)


@pytest.mark.parametrize("other", [NARROW, BESIDE])
def test_doses_of_beams_on_different_grids_are_added_without_ct(tmp_path, other):
    rt.write_study(tmp_path, keep=("RS", "RP"))
    for n, grid in ((1, WIDE), (2, other)):
        beam = rt.dose(f"b{n}", lambda x, y, z: 30 + 0.125 * x, grid, summation="BEAM")
        (plan,) = beam.ReferencedRTPlanSequence
        plan.ReferencedFractionGroupSequence = rt.items(
            rt.item(
                ReferencedFractionGroupNumber=1,
                ReferencedBeamSequence=rt.items(rt.item(ReferencedBeamNumber=n)),
            )
        )
        rt.save(beam, tmp_path / f"b{n}.dcm")
    if other is BESIDE:
        with pytest.raises(InputError, match="on different grids, of which none holds all"):
            read_case(tmp_path)
        return
    case = read_case(tmp_path)
    assert any("lie on different grids" in note for note in case.warnings)
    assert dvh(case.dose, case.structures["Heart"]).mean_gy == pytest.approx(67.5, abs=0.1)
    assert dvh(case.dose, case.structures["PTV"]).mean_gy == pytest.approx(60.0, abs=0.1)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("summation", ["plan", "Plan "])
def test_defined_terms_in_small_letters(tmp_path, summation):
    rt.write_study(tmp_path, summation=summation)
    assert read_case(tmp_path).facts["dose_of"] == "PLAN"


def test_a_plan_dose_that_names_one_group_of_three_is_told(three_groups):
    save_dose(three_groups, "plan", 60, "PLAN", 2)
    assert told(read_case(three_groups), "names fraction group 2 of 3 only")


# Brachytherapy


def brachy_plan(made, one_gy=5.0, fractions=5, target=None, at=(20.0, 0.0, 0.0), setups=1):
    plan = made["RP"]
    del plan.BeamSequence, plan.DoseReferenceSequence
    reference = rt.item(
        DoseReferenceNumber=1,
        DoseReferenceStructureType="COORDINATES",
        DoseReferenceType="TARGET" if target else "UNSPECIFIED",
        TargetPrescriptionDose=target or one_gy,
    )
    if at is not None and setups == 1:
        reference.DoseReferencePointCoordinates = list(at)
    plan.DoseReferenceSequence = rt.items(reference)
    plan.FractionGroupSequence = rt.items(
        rt.item(
            FractionGroupNumber=1,
            NumberOfFractionsPlanned=fractions,
            NumberOfBeams=0,
            NumberOfBrachyApplicationSetups=setups,
            ReferencedBrachyApplicationSetupSequence=rt.Sequence(
                rt.item(
                    ReferencedBrachyApplicationSetupNumber=n + 1,
                    BrachyApplicationSetupDose=one_gy / setups,
                    BrachyApplicationSetupDoseSpecificationPoint=list(at or ()) or None,
                )
                for n in range(setups)
            ),
        )
    )
    plan.ApplicationSetupSequence = rt.Sequence(
        rt.item(ApplicationSetupType="VAGINAL_CYLINDER", ApplicationSetupNumber=n + 1)
        for n in range(setups)
    )
    return plan


def around_a_source(gy):
    """Gy at 20 mm from the z axis, falling off as r^-1.5."""
    return lambda x, y, z: np.clip(gy * (20 / np.maximum(2, np.hypot(x, y))) ** 1.5, 0, 800)


def brachy(folder, gy, summation="PLAN", **plan):
    made = rt.write_study(folder, gy=around_a_source(gy), summation=summation)
    rt.save(brachy_plan(made, **plan), folder / "RP.dcm")
    return read_case(folder)


@pytest.mark.parametrize("target", [None, 5.0, 25.0])
def test_a_brachy_dose_of_one_fraction_is_told(tmp_path, target):
    """Whatever the plan states at its reference point: the dose of one fraction or of all."""
    case = brachy(tmp_path, gy=5.0, target=target)
    assert case.prescription_gy == 25
    assert told(case, "it seems to be the dose of one of 5 fractions")
    assert case.facts["dose_fractions"] == 1


def test_setups_that_give_parts_of_a_dose_at_one_point_give_it_together(tmp_path):
    case = brachy(tmp_path, gy=6.0, one_gy=6.0, setups=2)
    assert case.prescription_gy == 30
    assert told(case, "where the plan states 6 Gy a fraction: it seems")


def test_a_brachy_dose_of_all_fractions_is_not(tmp_path):
    case = brachy(tmp_path, gy=25.0, target=25.0)
    assert case.warnings == ()
    assert "dose_fractions" not in case.facts


def test_a_brachy_dose_that_nothing_tells_is_told_as_such(tmp_path):
    case = brachy(tmp_path, gy=5.0, at=None)
    assert told(case, "whether the dose is that of one of 5 fractions or of all is not said")
    between = brachy(tmp_path / "between", gy=12.0)
    assert told(between, "the dose is 12", "5 Gy a fraction of 5")
    silent = brachy(tmp_path / "silent", gy=5.0, one_gy=0.0, target=5.0)
    assert told(silent, "one of 5 fractions or of all is not said: the plan states no one dose")


def test_a_dose_of_summation_type_brachy_is_read(tmp_path):
    case = brachy(tmp_path, gy=25.0, summation="BRACHY")
    assert case.dose is not None
    assert case.facts["dose_of"] == "BRACHY"
    external = rt.write_study(tmp_path / "external", summation="BRACHY")
    assert external
    assert read_case(tmp_path / "external").dose.array.max() == pytest.approx(75.75)


def test_seeds_of_thousands_of_gy_are_read_with_a_warning(tmp_path):
    def implant(x, y, z):
        return np.clip(145 * (20 / np.maximum(1, np.hypot(x, y))) ** 1.2, 0, None)

    rt.write_study(tmp_path, prescribed=145.0, fractions=1, gy=implant)
    case = read_case(tmp_path)
    assert case.dose.array.max() > 3000
    assert told(case, "dose reaches 3483 Gy, as at sources")
    part = next(iter(case.structures.values()))
    assert part.volume_cc > 1


@pytest.mark.parametrize("prescribed", [60.0, None])
def test_a_target_of_thousands_of_gy_is_a_wrong_scaling(tmp_path, prescribed):
    def in_cgy(x, y, z):
        return 6000 / (1 + np.exp((np.hypot(x, y) - 20) / 3))

    rt.write_study(tmp_path, prescribed=prescribed, gy=in_cgy, scaling=1e-2)
    assert_dose_is_incomplete(read_case(tmp_path), "check DoseGridScaling")
