"""Changes to written DICOM sets, for the tests of reading them."""

import pydicom
from pydicom.uid import generate_uid


def change(path, to=None, **values):
    """Rewrite a DICOM file with other values (None deletes), perhaps as a new file."""
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(to or path)
    return to or path


def new_uid():
    """Fresh by number, so that tests stay the same from run to run."""
    new_uid.count += 1
    return generate_uid(entropy_srcs=[str(new_uid.count)])


new_uid.count = 0


def part(folder, kind, number=0):
    return folder / f"{kind}.{number:04d}.dcm"


def reasons(findings):
    return [skip.reason for skip in findings.skipped]
