"""DICOM files to cases, and back."""
