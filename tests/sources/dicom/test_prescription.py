"""The prescription of plans that do not plainly state it, by rules in a stated order."""

import pytest

from isohash.sources.dicom.plan import FractionGroup, Plan, Reference
from isohash.sources.dicom.prescription import RULES, amounts, prescribe, target_levels


def beams(fractions, *doses):
    return FractionGroup(1, fractions, dict(enumerate(doses, start=1)))


def setups(fractions, *doses, at=(0.0, 0.0, 0.0)):
    stated = {n: Reference(gy, at) for n, gy in enumerate(doses, start=1)}
    return FractionGroup(1, fractions, setups=stated)


def test_a_target_dose_of_the_plan_comes_first_and_needs_no_warning():
    plan = Plan(target_gy=70.0, groups=(beams(35, 1.0),), labels=("60Gy",))
    assert prescribe(plan, ["PTV_66", "rx: 50Gy"]) == (70.0, [])


def test_beam_doses_times_fractions_are_added_over_groups():
    """25 x 2 Gy, then 7 x 1.8 Gy of two beams, then 3 x 2 Gy: the groups of a real plan."""
    plan = Plan(groups=(beams(25, 2.0), beams(7, 0.9, 0.9), beams(3, 2.0)))
    gy, (warning,) = prescribe(plan, ["PTV_50"])
    assert gy == 68.6
    assert "beams times the fractions" in warning


@pytest.mark.parametrize(
    "groups", [(beams(25, 2.0, None),), (beams(None, 2.0),), (beams(25, 2.0), FractionGroup(2, 5))]
)
def test_beam_doses_that_are_not_all_stated_do_not_count(groups):
    assert prescribe(Plan(groups=groups), ["PTV_50"])[0] == 50


@pytest.mark.parametrize(
    ("target", "groups", "gy"),
    [
        (None, (setups(5, 5.0),), 25.0),
        (5.0, (setups(5, 5.0),), 25.0),  # stated for one fraction
        (25.0, (setups(5, 5.0),), 25.0),
        (None, (setups(2, 7.0), setups(3, 6.0)), 32.0),
        (None, (setups(1, 145.0),), 145.0),
        (145.0, (setups(1, 145.0),), 145.0),
    ],
)
def test_application_setups_times_fractions(target, groups, gy):
    assert prescribe(Plan(target_gy=target, groups=groups, technique="BRACHY"), [])[0] == gy


@pytest.mark.parametrize(
    ("name", "gy"),
    [
        ("rx: 70Gy", 70),
        ("Rx 60 Gy", 60),
        ("RX1: nodes: 180 cGy x 25 to 100%: isodose", 45),
        ("rx2: boost: 200cGy x 8", 16),
        ("rx 7000", 70),
        ("prescription 50.4 Gy", 50.4),
        ("rx: 20 Gy x 5", 20),
        ("rx: 70Gy x 35", 70),
    ],
)
def test_a_structure_named_as_the_prescription(name, gy):
    value, (warning,) = prescribe(Plan(), ["PTV_30", name])
    assert value == pytest.approx(gy)
    assert "named as the prescription" in warning


@pytest.mark.parametrize(
    ("names", "gy"),
    [
        (["PTV_70", "PTV_56", "CTV_80"], 70),
        (["H&N PTV_70Gy"], 70),
        (["PTV 7000 cGy"], 70),
        (["ptv_5940"], 59.4),
        (["PTV54,0"], 54),
        (["PTV_Nodes 50.4Gy"], 50.4),
        (["CTV_60"], 60),
        (["PTV 2Gy x 30"], 60),
        (["PTV_HD 35x2Gy"], 70),
        (["zPTV_66_opt"], 66),
    ],
)
def test_levels_in_the_names_of_targets(names, gy):
    assert prescribe(Plan(), names)[0] == pytest.approx(gy)


@pytest.mark.parametrize(
    "names",
    [
        ["PTV1", "PTV2"],
        [f"PTV{n}" for n in range(1, 15)],
        ["PTV 5mm", "PTV + 10 mm", "PTV_20mm"],
        ["PTV_20200304", "PTV 123456"],
        ["Ring 30", "Bolus 15", "Heart 26Gy"],
        ["PTV", "GTV-1", "PTV_boost"],
        ["V95%", "PTV 95%"],
    ],
)
def test_numbers_that_are_no_levels(names):
    assert target_levels(names) == []
    assert prescribe(Plan(), names)[0] is None


@pytest.mark.parametrize(
    ("label", "gy"),
    [("Prostate 78Gy", [78]), ("35 x 2 Gy", [70]), ("2Gy/fx", []), ("Plan 12", []),
     ("H&N 70Gy/56Gy", [70, 56]), ("60 Gy in 30", [60])],
)  # fmt: skip
def test_doses_in_what_a_plan_is_called(label, gy):
    assert [round(one, 2) for one in amounts(label.lower())][: len(gy)] == gy[:2]
    found, _ = prescribe(Plan(labels=(label,)), [])
    assert found == max(gy, default=None)


def test_every_rule_but_the_first_says_where_the_dose_was_found():
    assert [bool(source) for _, source in RULES] == [False] + [True] * (len(RULES) - 1)
