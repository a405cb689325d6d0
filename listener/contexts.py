"""Presentation contexts that the node accepts: exactly those that it can decode."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pydicom import uid as dicom
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import build_context

from listener.access import Permission

if TYPE_CHECKING:
    from pynetdicom.presentation import PresentationContext

IMAGE_SOP_CLASSES: tuple[UID, ...] = (
    dicom.ComputedRadiographyImageStorage,
    dicom.DigitalXRayImageStorageForPresentation,
    dicom.DigitalXRayImageStorageForProcessing,
    dicom.DigitalMammographyXRayImageStorageForPresentation,
    dicom.DigitalMammographyXRayImageStorageForProcessing,
    dicom.BreastTomosynthesisImageStorage,
    dicom.BreastProjectionXRayImageStorageForPresentation,
    dicom.BreastProjectionXRayImageStorageForProcessing,
    dicom.CTImageStorage,
    dicom.EnhancedCTImageStorage,
    dicom.LegacyConvertedEnhancedCTImageStorage,
    dicom.MRImageStorage,
    dicom.EnhancedMRImageStorage,
    dicom.EnhancedMRColorImageStorage,
    dicom.LegacyConvertedEnhancedMRImageStorage,
    dicom.UltrasoundImageStorage,
    dicom.UltrasoundMultiFrameImageStorage,
    dicom.EnhancedUSVolumeStorage,
    dicom.XRayAngiographicImageStorage,
    dicom.EnhancedXAImageStorage,
    dicom.XRayRadiofluoroscopicImageStorage,
    dicom.EnhancedXRFImageStorage,
    dicom.XRay3DAngiographicImageStorage,
    dicom.NuclearMedicineImageStorage,
    dicom.PositronEmissionTomographyImageStorage,
    dicom.EnhancedPETImageStorage,
    dicom.LegacyConvertedEnhancedPETImageStorage,
    dicom.SecondaryCaptureImageStorage,
    dicom.MultiFrameSingleBitSecondaryCaptureImageStorage,
    dicom.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    dicom.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    dicom.MultiFrameTrueColorSecondaryCaptureImageStorage,
)
"""Storage SOP classes of CR, DX, MG, CT, MR, US, XA, NM, PT and SC (PS3.4 B.5), without retired."""

RESULT_SOP_CLASSES: tuple[UID, ...] = (
    dicom.SegmentationStorage,
    UID("1.2.840.10008.5.1.4.1.1.66.7"),  # Label Map Segmentation Storage
    dicom.ParametricMapStorage,
    dicom.EnhancedSRStorage,
    dicom.ComprehensiveSRStorage,
    dicom.Comprehensive3DSRStorage,
    dicom.KeyObjectSelectionDocumentStorage,
    dicom.GrayscaleSoftcopyPresentationStateStorage,
)
"""Storage SOP classes of results, which a C-GET accepts as well as images."""

# A sender that proposes several transfer syntaxes in one context must convert to the one that we
# choose. So: uncompressed ones first; then lossless codecs, the smaller results before the larger;
# then rare encodings; lossy codecs last, since choosing one may make a sender lose information.
_PREFERENCE: tuple[UID, ...] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEGLSLossless,
    JPEGLosslessSV1,
    JPEGLossless,
    RLELossless,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000,
    HTJ2K,
    JPEGLSNearLossless,
    JPEGExtended12Bit,
    JPEGBaseline8Bit,
)


def transfer_syntaxes() -> tuple[UID, ...]:
    """Return the transfer syntaxes that the installed decoders can read, in order of preference.

    Example:
        >>> transfer_syntaxes()[0].name
        'Explicit VR Little Endian'
    """
    return tuple(syntax for syntax in _PREFERENCE if get_decoder(syntax).is_available)


_IMAGE_SOP_CLASSES = frozenset(IMAGE_SOP_CLASSES)
_VERIFICATION = UID("1.2.840.10008.1.1")
_COMMITMENT = UID("1.2.840.10008.1.20.1")
_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")


def is_storage(sop_class_uid: str | None) -> bool:
    """Check that a SOP class is one of images."""
    return sop_class_uid in _IMAGE_SOP_CLASSES


@cache
def supported_contexts(may: frozenset[Permission]) -> list[PresentationContext]:
    """Return the presentation contexts for a peer's rights, Verification included.

    The list is made once for each set of rights, which takes as long as storing twenty small
    instances. Negotiation only reads it.

    Args:
        may: rights of the peer.

    Example:
        >>> [context.abstract_syntax.name for context in supported_contexts(frozenset())]
        ['Verification SOP Class']
    """
    plain: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    contexts = [build_context(_VERIFICATION, plain)]
    if Permission.STORE in may:
        syntaxes: list[str | UID] = list(transfer_syntaxes())
        contexts += [build_context(uid, syntaxes) for uid in IMAGE_SOP_CLASSES]
    if Permission.FIND in may:
        contexts.append(build_context(_STUDY_ROOT_FIND, plain))
    if may & {Permission.COMMITMENT, Permission.REPORT}:
        commitment = build_context(_COMMITMENT, plain)
        # The requestor of commitment is the SCU, the reporter the SCP; both may associate with us.
        commitment.scu_role = commitment.scp_role = True
        contexts.append(commitment)
    return contexts
