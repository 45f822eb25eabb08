"""Structure names: many spellings, one organ; the user's table has the first word."""

import json

import pytest

from isohash.dosimetry.names import KNOWN, PAIRED, canonical_name, load_aliases, match_names
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


# As clinics write them (lists of real structure sets published with tools that check TG-263 names).
SEEN = {
    "Lungs": ["LUNGS", "Total Lung", "Lung_Both", "Both Lungs", "LungBoth", "Bilateral Lungs"],
    "Kidneys": ["Kidneys", "KIDNEYS", "Both Kidneys", "kidneys_total"],
    "Colon_Sigmoid": ["Sigmoid", "SIGMOID COLON", "Colon, sigmoid", "Colon_Sigmoid"],
    "BrachialPlex_L": ["BRACHPLEX_L", "BrachialPlexus_L", "L Brachial Plexus", "Brach_Plex_Lt"],
    "BODY": ["Ext", "EXTERNAL", "Body", "External Contour", "Patient"],
    "Musc_Constrict_I": ["PharCon_Inf", "PHAR_CON_LOW", "PCM_Low", "Musc_Constrict_I"],
    "Lobe_Temporal_R": ["TemporalLobe_R", "TEMP_LOBE_R", "Rt Temporal Lobe", "R_Temporal_Lobe"],
    "Glnd_Submand_L": ["SUBMANDIBULAR_L", "SubmndSalv_L", "Lt Submandibular Gland", "SMG_L"],
    "Glnd_Thyroid": ["THYROID", "Thyroid Gland", "Schilddrüse"],
    "OpticNrv_R": ["OPTIC_NRV_R", "OpticNerve_R", "Rt Optic Nerve", "OptNrv R"],
    "Femur_Head_L": ["FemHeadL", "Femoral_Head_L", "LT FEMORAL HEAD", "Hüftkopf links"],
    "Femur_Heads": ["FemoralHeads", "Femoral Heads"],
    "Bag_Bowel": ["Bowel_Bag", "bowelbag", "Bag_Bowel"],
    "Bowel_Small": ["SmallBowel", "small_bowel", "Bowel_Small", "Dünndarm"],
    "Lung_LLL": ["Left Lower Lobe", "Lung_LLL"],
    "Lung_L": ["LUNG_L", "LUNGL", "ltlung", "Lung, left", "Poumon gauche"],
    "Eyes": ["EYES", "Both eyes", "Augen"],
    "Esophagus_S": ["Esophagus_Upper", "Esophagus_S"],
    "SeminalVes": ["SV", "Seminal_Vesicles", "SemVes"],
    "Larynx_SG": ["Supraglottic Larynx", "Larynx_SG"],
    "Cavity_Oral": ["ORAL CAVITY", "OralCavity", "Mundhöhle"],
}

# Parts, margins, differences, helpers, targets' rests: other things than the organ in their names.
OTHERS = [
    "SpinalCord_PRV05", "Brainstem_PRV", "CHIASM_PRV", "Lens L PRV", "Lungs-GTV", "Lungs-CTV",
    "Cavity_Oral-PTV", "Constrict_I-CTV", "PAROTID_L_NOS", "ORAL CAVITY_NOS", "Lung~_L",
    "SpinalCord~", "Esophagus~^2cm", "BODY+SUPPORT", "Body-PTV", "Heart_Opt", "z_Larynx", "zRectum",
    "Ring 56", "RING AVOID", "AVOID 60", "Frontal Avoid", "Normal 1", "Density Override",
    "OPTIC APPARATUS", "SHOULDERS", "Level_III_R", "CouchSurface", "Bolus_05mm", "Scar", "AIR",
    "N.TISSUE 1", "Dose 76[Gy]", "remove 40", "High-density", "SC_L", "SC nodes", "Ext_R", "BS_L",
    "Ext iliac nodes", "Lumbar plexus", "Choroid plexus", "Ear canal", "Canal L5", "Vocal", "Vein",
    "Heart 5mm", "Liver seg 4", "Kidney tumour", "L5", "PTV_Parotid", "Bladder-PTV",
    "Rectum in PTV", "Chiasm_opt", "Lung met", "Eye shield", "Brain met 3", "Dental",
    "Left", "R", "both", "total", "gland", "5",
]  # fmt: skip


@pytest.mark.parametrize(("canonical", "spellings"), SEEN.items())
def test_spellings_of_clinics_meet_in_the_name_of_tg263(canonical, spellings):
    assert {spelling: canonical_name(spelling) for spelling in spellings} == dict.fromkeys(
        spellings, canonical
    )


@pytest.mark.parametrize(
    ("canonical", "spellings"),
    {
        "Lung_R": ["RLung", "RLUNG", "rlung"],
        "Parotid_L": ["LParotid", "LPAROTID"],
        "Kidney_R": ["RKidney", "KidneyR"],
        "GTVp": ["GTVp", "GTV_p", "gtv P"],
        "CTVn_54": ["CTVn_5400", "CTVn 54Gy", "CTV_N_54"],
        "PTV_High": ["PTV_High", "PTV HIGH", "PTVHigh"],
        "CTVn_Low": ["CTVn_Low"],
        "CTVsb": ["CTVsb", "CTV SB"],
    }.items(),
)
def test_sides_before_an_organ_and_classes_of_targets(canonical, spellings):
    assert {canonical_name(name) for name in spellings} == {canonical}


@pytest.mark.parametrize(
    "name", ["REAR", "LEAR", "PTV_Higher", "PTVx", "CTVs", "PTV_High_Low", "GTVpn", "ptvring"]
)
def test_what_only_begins_like_a_side_or_a_target_is_neither(name):
    assert canonical_name(name) is None


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_thing_passes_for_an_organ(name):
    assert canonical_name(name) is None


def test_every_spelling_of_the_table_is_of_one_organ_in_any_case_and_order(rng):
    for canonical, spellings in KNOWN.items():
        for spelling in spellings:
            words = spelling.split()
            rng.shuffle(words)
            for form in (spelling, spelling.upper(), "_".join(words), spelling.title()):
                assert canonical_name(form) == canonical, form


def test_an_organ_of_which_there_are_two_keeps_its_side_however_it_is_written():
    for canonical in PAIRED:
        spelling = max(KNOWN[canonical], key=len)
        for form in (f"{spelling} left", f"LT {spelling}", f"{spelling}_L", f"l. {spelling}"):
            assert canonical_name(form) == f"{canonical}_L", form


def test_joined_with_a_margin_or_a_target_no_spelling_is_the_organ():
    for canonical, spellings in KNOWN.items():
        for form in (
            f"{canonical}_PRV05",
            f"{canonical}-PTV",
            f"{spellings[0]} opt",
            f"z{canonical}",
        ):
            assert canonical_name(form) is None, form


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
