"""Folders of images: PNG, JPEG, TIFF and single frames of DICOM become `Image` records."""
