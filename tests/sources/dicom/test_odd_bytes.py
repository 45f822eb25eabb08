"""Files whose bytes and values are odd: read for what they are, or refused with the reason."""

import copy

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

import rt_studies as rt
from dicom_sets import reasons, told
from isohash.sources.reading import find, read_case
from rt_studies import assert_whole

# How the bytes are written


SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_transfer_syntax(tmp_path, implicit):
    made = rt.write_study(tmp_path)
    for k, dataset in enumerate([*made["CT"], made["RS"], made["RP"], made["RD"]]):
        path = tmp_path / (f"CT{k:02d}.dcm" if k < 20 else f"{dataset.Modality[:2]}{k}.dcm")
        dataset.preamble = bytes(128)
        dataset.file_meta.TransferSyntaxUID = SYNTAXES[implicit]
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        data = path.read_bytes()
        at = data.index(b"\x02\x00\x10\x00UI")
        end = at + 8 + int.from_bytes(data[at + 6 : at + 8], "little")
        path.write_bytes(data[:at] + data[end:])
    for kind in ("RS", "RP", "RD"):
        (tmp_path / f"{kind}.dcm").unlink()
    assert "TransferSyntaxUID" not in pydicom.dcmread(tmp_path / "CT03.dcm").file_meta
    assert_whole(read_case(tmp_path))


# HU


@pytest.mark.parametrize(("fill", "intercept"), [(0, 0), (5, 0), (1024, -1024), (40, 0)])
def test_padding_that_is_a_hu_of_tissue_leaves_the_body_what_it_is(tmp_path, fill, intercept):
    """Water of the value that the header calls padding: with an intercept of 0 that is often 0."""
    rt.write_study(tmp_path)
    for path in tmp_path.glob("CT*"):
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array.astype(int) - intercept
        dataset.PixelData = stored.astype("<i2").tobytes()
        dataset.RescaleIntercept = intercept
        dataset.add_new("PixelPaddingValue", "SS", fill)
        dataset.save_as(path)
    case = read_case(tmp_path)
    middle = case.ct.array[:, 32, 32]
    np.testing.assert_array_equal(middle, np.arange(20))
    assert told(case, "PixelPaddingValue") == (0 <= fill + intercept < 20)


def test_padding_that_no_tissue_has_is_air(tmp_path):
    rt.write_study(tmp_path)
    for path in tmp_path.glob("CT*"):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.copy()
        pixels[:4] = -2000
        dataset.PixelData = pixels.tobytes()
        dataset.add_new("PixelPaddingValue", "SS", -2000)
        dataset.save_as(path)
    case = read_case(tmp_path)
    assert (case.ct.array[:, :4] == -1024).all()
    assert case.warnings == ()


# A dose with noise about zero


def signed(dataset, gy):
    """The dose with a few voxels of `gy` below zero."""
    values = dataset.pixel_array.astype(np.int64)
    values[0, 0, :5] = round(gy / dataset.DoseGridScaling)
    dataset.PixelRepresentation = 1
    dataset.PixelData = values.astype("<i4").tobytes()
    return dataset


def test_a_few_slightly_negative_voxels_count_as_none(tmp_path):
    rt.write_study(tmp_path)
    signed(pydicom.dcmread(tmp_path / "RD.dcm"), -0.003).save_as(tmp_path / "RD.dcm")
    case = read_case(tmp_path)
    assert case.dose.array.min() == 0
    assert told(case, "slightly negative (to -0.0030 Gy)")


def test_a_negative_dose_is_refused_and_its_ct_stays_a_case(tmp_path):
    rt.write_study(tmp_path)
    signed(pydicom.dcmread(tmp_path / "RD.dcm"), -3.0).save_as(tmp_path / "RD.dcm")
    case = read_case(tmp_path)
    assert case.dose is None
    assert told(case, "dose is negative (-3.000 Gy)")


# What is not all here


@pytest.mark.parametrize("gone", [range(0, 20, 2), (0, 19), (0,)])
def test_slices_that_structures_were_drawn_on_and_that_are_missing_are_told(tmp_path, gone):
    """A scan that lost every second slice is an even one, and only the structures tell."""
    rt.write_study(tmp_path)
    for n in gone:
        (tmp_path / f"CT{n:02d}.dcm").unlink()
    case = read_case(tmp_path)
    assert case.ct.array.shape[0] == 20 - len(gone)
    note = f"{len(gone)} of the 20 images that the structures were drawn on are not here"
    assert note in case.warnings


def test_structures_that_name_images_of_another_series_too_are_not_told_of(tmp_path):
    made = rt.write_study(tmp_path)
    (frame,) = made["RS"].ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    series = copy.deepcopy(study.RTReferencedSeriesSequence[0])
    series.SeriesInstanceUID = rt.uid("mr")
    series.ContourImageSequence = rt.refer("CT", rt.uid("mr1"))
    study.RTReferencedSeriesSequence.append(series)
    rt.save(made["RS"], tmp_path / "RS.dcm")
    assert read_case(tmp_path).warnings == ()


@pytest.mark.parametrize("intent", ["VERIFICATION", "MACHINE_QA", "SERVICE"])
def test_a_plan_that_treats_nobody_says_so(tmp_path, intent):
    made = rt.write_study(tmp_path)
    made["RP"].PlanIntent = intent
    rt.save(made["RP"], tmp_path / "RP.dcm")
    assert told(read_case(tmp_path), f"PlanIntent is {intent}: no plan to treat a patient by")


def test_meta_information_without_preamble_and_length_is_dicom(tmp_path):
    rt.write_study(tmp_path)
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        file.write_bytes(data[144:])
    assert_whole(read_case(tmp_path))


def test_slices_under_other_uids_are_not_missing(tmp_path):
    made = rt.write_study(tmp_path)
    for n in (3, 4, 9):
        made["CT"][n].SOPInstanceUID = rt.uid(f"again{n}")
        rt.save(made["CT"][n], tmp_path / f"CT{n:02d}.dcm")
    assert read_case(tmp_path).warnings == ()


def test_a_structure_set_that_is_not_used_says_why(tmp_path):
    made = rt.write_study(tmp_path)
    newer = copy.deepcopy(made["RS"])
    newer.SOPInstanceUID, newer.StructureSetDate = rt.uid("newer"), "20210101"
    rt.save(newer, tmp_path / "RS2.dcm")
    beside = "RTSTRUCT of a CT or dose here, beside the one that is used"
    assert reasons(find(tmp_path)) == [beside]
    newer.PatientID = "ANOTHER"
    rt.save(newer, tmp_path / "RS2.dcm")
    another = "RTSTRUCT under another PatientID than the CT or dose that it refers to"
    assert reasons(find(tmp_path)) == [another]
