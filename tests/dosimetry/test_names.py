"""Structure names: many spellings, one organ; the user's table has the first word."""

import json

import pytest

from isohash.dosimetry.names import KNOWN, canonical_name, load_aliases, match_names
from isohash.errors import InputError


@pytest.mark.parametrize(
    ("canonical", "spellings"),
    [
        (
            "Parotid_R",
            ["Parotid_R", "RT PAROTID", "RightParotid", "parotid right", "R_Parotid_Gland"],
        ),
        ("Parotid_L", ["LeftParotid", "Lt. parotid", "PAROTIS L"]),
        (
            "SpinalCord",
            ["SpinalCord", "Spinal Cord", "CORD", "spinal_cord", "SPINALCORD", "Myelon"],
        ),
        ("Brainstem", ["Brainstem", "BrainStem", "brain stem", "BRAIN_STEM"]),
        ("Bone_Mandible", ["Mandible", "bone_mandible", "MANDIBULA"]),
        ("Esophagus", ["Oesophagus", "ESOPHAGUS"]),
        ("Lung_L", ["Lung_L", "Left Lung", "LUNG LT"]),
        ("Femur_Head_R", ["FemoralHead R", "Right Femoral Head", "Femur_Head_R"]),
        ("PTV_70", ["PTV70", "PTV 70", "ptv_7000", "PTV_70Gy", "PTV 7000 cGy"]),
        ("PTV_59.4", ["PTV 59.4", "PTV_5940"]),
        ("GTV", ["gtv", "GTV"]),
    ],
)
def test_spellings_meet_in_one_name(canonical, spellings):
    assert {canonical_name(spelling) for spelling in spellings} == {canonical}


@pytest.mark.parametrize(
    "name", ["z_opti ring", "Left Right Parotid", "", "PTV boost 2 old", "Bolus"]
)
def test_unknown_names_stay_unknown(name):
    assert canonical_name(name) is None


def test_canonical_names_are_their_own():
    for name in KNOWN:
        assert canonical_name(name) == name
        assert canonical_name(f"{name}_L") == f"{name}_L"


def test_the_users_table_comes_first_and_is_read_from_a_file(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"My Cord-PRV": "SpinalCord_PRV05", "larynx": "Larynx_SG"}))
    aliases = load_aliases(path)
    assert canonical_name("my cord prv", aliases) == "SpinalCord_PRV05"
    assert canonical_name("LARYNX", aliases) == "Larynx_SG"
    assert canonical_name("Heart", aliases) == "Heart"


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', "{", ""])
def test_a_bad_table_is_refused(tmp_path, text):
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(InputError, match="table of names"):
        load_aliases(tmp_path / "names.json")


def test_a_list_of_names_gives_a_report_with_suggestions():
    report = match_names(["LeftParotid", "Brainsten", "qqqq"])
    assert report.mapped == {"LeftParotid": "Parotid_L"}
    assert report.unmapped == ("Brainsten", "qqqq")
    assert report.suggestions["Brainsten"][0] == "Brainstem"
    assert report.suggestions["qqqq"] == ()
