"""Patients from a PACS: DICOMweb (QIDO-RS, WADO-RS) and DIMSE (C-FIND, C-GET, C-MOVE).

`opened` makes a `Node` of an address; `fetching` brings one study of it into a folder, with the
images that its plan refers to; `seen` remembers what was brought, `links` the way back.
"""
