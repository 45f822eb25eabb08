"""What planners type of patients, doctors and relatives, in spellings old and new, stays out."""

import copy
import json
import re
import shutil
import unicodedata
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isohash.archive.store import CaseStore
from isohash.dosimetry.names import spelling
from isohash.dosimetry.vocabulary import VOCABULARY
from isohash.sources.dicom.writer import WriteOptions, write_dicom
from isohash.sources.identity.naming import Naming, Personal, Typed, is_unnamed, known_name
from small_cases import phantom, write_openkbp, write_openkbp_csv

FAST = ("--encoder", "pca", "--bits", 64, "--no-dose-model")
PATIENTS = [  # family, given, number, birth; the last is only in the headers of the CT
    ("Müller", "Jörg", "77-12-3", "19480215"),
    ("Ng", "Bo", "MRN5550123", "19500103"),
    ("Lee", "Amy", "4711", "19631130"),
    ("Kapoor", "Devi", "0815", "20010709"),
    ("Nguyễn", "Thị Ánh", "H/00923-B", "19381224"),
    ("Zielińska", "Ewa", "8801", "19720508"),
]
SPELLINGS = [
    "{f} PTV", "{f}PTV", "GTV{f}", "{f} ring", "{g} boost", "ptv_{f}_{g}", "{F}", "{u} ring",
    "{U}_{G} opt", "z{f}", "{f}s lung", "for {g}, please", "{i}", "{i} ring", "PTV {i}", "{d}",
    "MRN {d}", "{d} 60Gy", "{b} ring", "born {y}", "PTV{y}Jan03", "{day}.{m}.{y}", "{m}/{day}/{y}",
    "Feb {day} {y} ring", "{day} février {y}", "dr Brandt asks", "PTV DrBrandt", "ask Hollister",
    "wife Gertrud 0171 555 019", "ward 7B bed 3", "contact 617 555 0199", "Oncle d'{g}",
    "pan {f}owa", "{f[0]}.{g[0]}. heart", "Herz von {f}", "coeur de {g}", "corazón {f}",
    "{f} Parotid_L", "PTV {y}", "{ff} {gg}",
]  # fmt: skip
WORDS = ["brandt", "hollister", "gertrud", "0171 555 019", "5550199", "ward 7b bed"]


def umlauts(text):
    for letter, two in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        text = text.replace(letter, two)
    return text


def plain(text):
    low = unicodedata.normalize("NFKD", text.casefold().replace("ł", "l").replace("đ", "d"))
    return "".join(c for c in low if not unicodedata.combining(c))


def typed_for(patient):
    family, first, number, birth = patient
    fields = {
        "f": family, "g": first, "F": family.upper(),
        "u": umlauts(family), "U": umlauts(family).upper(),
        "G": umlauts(first), "i": number, "d": re.sub(r"\D", "", number), "b": birth,
        "y": birth[:4], "m": birth[4:6], "day": birth[6:], "ff": family[::-1], "gg": first[::-1],
    }  # fmt: skip
    return [form.format(**fields) for form in SPELLINGS]


def tokens_of(patient):
    """What must not be in any file, folded; too short a word is looked for among names only."""
    family, first, number, birth = patient
    dates = [
        birth,
        f"{birth[:4]}-{birth[4:6]}-{birth[6:]}",
        f"{birth[6:]}.{birth[4:6]}.{birth[:4]}",
    ]
    words = {plain(one) for one in (family, first, umlauts(family), umlauts(first))}
    return {one for one in (*words, number.lower()) if len(one) > 5} | {*dates}, words


@pytest.fixture
def source(tmp_path):
    for member, patient in enumerate(PATIENTS):
        family, first, number, birth = patient
        hidden = patient is PATIENTS[-1]
        case = replace(phantom(0, member), patient=f"p{member}")
        for path in write_dicom(case, tmp_path / "in" / str(member), WriteOptions(identity="x")):
            dataset = pydicom.dcmread(path)
            dataset.SpecificCharacterSet = "ISO_IR 192"
            is_set = dataset.Modality == "RTSTRUCT"
            dataset.PatientName = "ANON" if hidden and is_set else f"{family}^{first}"
            dataset.PatientID, dataset.PatientBirthDate = number, birth
            dataset.OperatorsName = "Brandt"
            if is_set:
                with_names(dataset, typed_for(patient))
            dataset.save_as(path)
    return tmp_path / "in"


def with_names(dataset, names):
    """The first structure again under each name, and the others as they are."""
    rois, contours = dataset.StructureSetROISequence, dataset.ROIContourSequence
    for number, name in enumerate(names, start=len(rois) + 1):
        roi, drawn = copy.deepcopy(rois[0]), copy.deepcopy(contours[0])
        roi.ROINumber = drawn.ReferencedROINumber = number
        roi.ROIName = name
        rois.append(roi)
        contours.append(drawn)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_spelling_of_a_person_leaves_the_readers(source, tmp_path, isohash):
    kept = tmp_path / "kept"
    kept.mkdir()
    archive = kept / "archive"
    said = [
        isohash("index", source, archive, *FAST, "--json").out,
        isohash("--log", kept / "log", "query", archive, source / "0", "-k", 5,
                "--report", kept / "r.html", "--collage", kept / "c.png").out,
        *(isohash("query", archive, source / str(n), "-k", 5, "--json").out for n in range(3)),
        *(isohash(*words).out for words in (("list", archive), ("info", archive, "--json"))),
        isohash("names", source, "--json").out,
    ]  # fmt: skip
    told = json.loads(said[0])
    assert len(told["indexed"]) == len(PATIENTS)
    (kept / "said").write_text("\n".join(said).replace(str(tmp_path), ""))
    with CaseStore.open(archive) as store:
        structures = {name for case in store.ids() for name in store.metadata(case)["structures"]}
    named = {word for name in structures for word in spelling(name).split()}
    data = b"".join(file.read_bytes() for file in kept.rglob("*") if file.is_file())
    data = re.sub(rb"base64,[A-Za-z0-9+/=]+", b"", data)  # pictures, which phi-scan decodes
    text = plain(data.decode("utf-8", "replace")) + plain(data.decode("utf-16-le", "replace"))
    for patient in PATIENTS:
        tokens, words = tokens_of(patient)
        assert not {one for one in tokens if one in text}, patient
        assert not {one for one in words if one in named and one not in VOCABULARY}, patient
    assert not [one for one in WORDS if one in text]
    assert sum(map(is_unnamed, structures)) >= len(SPELLINGS) - 4
    assert json.loads(isohash("phi-scan", kept, source, "--json").out)["leaks"] == []


@given(
    st.lists(
        st.one_of(
            st.sampled_from(sorted(VOCABULARY)),
            st.text(st.characters(categories=["L"]), min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["", " ", "_", "-", "."]),
)
def test_a_name_leaves_only_if_every_word_of_it_is_one_of_the_tables(words, glue):
    typed = glue.join(words)
    left = known_name(typed, Personal())
    if left is not None:
        assert set(spelling(left).split()) <= VOCABULARY


@pytest.mark.parametrize("year", ["1948", "1963", "2001", "1999"])
def test_a_year_behind_a_target_is_no_dose(year):
    for typed in (f"PTV {year}", f"ptv_{year}", f"CTV{year}"):
        (left,) = Naming().names("c", [Typed(typed)])
        assert is_unnamed(left)
    assert Naming().names("c", [Typed("PTV 2000"), Typed("PTV_1950cGy")]) == [
        "PTV 2000",
        "PTV_1950cGy",
    ]


def test_names_of_masks_rows_and_files_are_told_or_replaced(tmp_path, isohash, monkeypatch):
    """What serves as an id is warned of; with --pseudonymous-ids nothing of it is kept."""
    rng = np.random.default_rng(0)
    for patient in PATIENTS[:1] + PATIENTS[4:]:
        folder = tmp_path / "in" / f"{patient[0]}_{patient[1]}"
        folder.mkdir(parents=True)
        ids = np.array([f"{patient[0]} {patient[1]} {i}" for i in range(40)])
        np.savez(folder / f"{patient[3]}.npz", X=rng.normal(size=(40, 8)), ids=ids)
    plainly = isohash("index", tmp_path / "in", tmp_path / "A", "--bits", 64)
    assert "--pseudonymous-ids" in plainly.out
    assert isohash("phi-scan", tmp_path / "A", tmp_path / "in").status == 1
    found = []
    for number in range(3):  # other digests, which may hold a name by chance: at most one does
        kept, key = tmp_path / f"B{number}", tmp_path / f"{number}.key"
        key.touch(0o600)
        key.write_bytes(bytes([number]) * 32)
        monkeypatch.setenv("ISOHASH_KEY_FILE", str(key))
        isohash("index", tmp_path / "in", kept, "--bits", 64, "--pseudonymous-ids")
        data = b"".join(file.read_bytes() for file in kept.rglob("*") if file.is_file())
        for patient in PATIENTS[:1] + PATIENTS[4:]:
            assert patient[0].encode() not in data
            assert patient[3].encode() not in data
        told = json.loads(isohash("phi-scan", kept, tmp_path / "in", "--json").out)["leaks"]
        found.append({(leak["source"], leak["element"]) for leak in told})
    assert not set.intersection(*found)  # what leaked would be there under every key
    assert sum(map(bool, found)) <= 1, found


def write_csv_case(member, folder):
    npz = folder.with_suffix(".npz")
    npz.parent.mkdir(exist_ok=True, parents=True)
    write_openkbp(phantom(0, member), npz)
    write_openkbp_csv(npz, folder)
    npz.unlink()
    return next(path for path in folder.iterdir() if "PTV" in path.name)


def write_nifti_case(member, folder):
    nibabel = pytest.importorskip("nibabel")
    case = phantom(0, member)
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS is NIfTI's RAS turned
    volumes = {"ct": case.ct, "dose": case.dose, **case.structures}
    for name, volume in volumes.items():
        array = volume.array.transpose(2, 1, 0).astype(np.int16 if name == "ct" else np.float32)
        image = nibabel.Nifti1Image(array, (turn @ volume.affine)[:, [2, 1, 0, 3]])
        image.header.set_xyzt_units("mm")
        image.header["descrip"] = f"of {folder.name}"[:79].encode("ascii", "ignore")
        path = folder / ("" if name in ("ct", "dose") else "masks") / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True, parents=True)
        nibabel.save(image, path)
    return path


@pytest.mark.parametrize("write", [write_csv_case, write_nifti_case])
def test_names_of_folders_and_masks_that_people_type_stay_out(tmp_path, isohash, write):
    """Spellings of a patient as names of masks, in folders named after patients."""
    for member, patient in enumerate(PATIENTS[:3]):
        mask = write(member, tmp_path / "in" / f"{patient[0]}_{patient[1]}_{patient[2]}")
        for typed in typed_for(patient)[member::5]:
            shutil.copy(mask, mask.with_name(typed.replace("/", "-") + "".join(mask.suffixes)))
    plainly = isohash("index", tmp_path / "in", tmp_path / "A", *FAST)
    assert plainly.status == 0
    assert "--pseudonymous-ids" in plainly.out
    kept = tmp_path / "kept"
    kept.mkdir()
    told = isohash("--log", kept / "log", "index", tmp_path / "in", kept / "B", *FAST,
                   "--pseudonymous-ids", "--json").out  # fmt: skip
    case = json.loads(told)["indexed"][0]
    asked = isohash("--log", kept / "log", "query", kept / "B", case, "-k", 2, "--json",
                    "--report", kept / "page.html", "--collage", kept / "page.png").out  # fmt: skip
    listed = isohash("list", kept / "B", "--json").out
    (kept / "said").write_text((told + asked + listed).replace(str(tmp_path), ""))
    structures = {name for one in json.loads(listed) for name in one["structures"]}
    assert sum(map(is_unnamed, structures)) > 10
    known = {name for name in structures if not is_unnamed(name)}
    words = {word for name in known for word in spelling(name).split()}
    assert words - {"56", "63", "70"} <= VOCABULARY  # doses of targets
    files = [file for file in kept.rglob("*") if file.is_file()]
    for file in files:
        data = re.sub(rb"base64,[A-Za-z0-9+/=]+", b"", file.read_bytes())
        text = plain(data.decode("utf-8", "replace"))
        for patient in PATIENTS[:3]:
            assert not {one for one in tokens_of(patient)[0] if one in text}, file.name
    assert json.loads(isohash("phi-scan", kept, tmp_path / "in", "--json").out)["leaks"] == []
