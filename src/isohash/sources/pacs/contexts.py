"""What we take over DIMSE: radiotherapy objects as they are, images also compressed."""

from __future__ import annotations

from typing import Any

from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import build_context

from isohash.sources.dicom.scan import CT_STORAGE, MULTI_FRAME_CT, RT_CLASSES

PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, JPEG2000, RLELossless]
IMAGES = (CT_STORAGE, *MULTI_FRAME_CT)


def contexts() -> list[Any]:
    """A context for each class, and for images one for each way of compression."""
    found = [build_context(uid, PLAIN) for uid in (*IMAGES, *RT_CLASSES)]
    return found + [build_context(uid, [way]) for uid in IMAGES for way in COMPRESSED]
