"""Boxes around the body, for the tasks that crop to it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ai_core.images import Box, body_box, join_boxes
from mediclip_dicom.errors import UndecodableFrameError, UnsupportedImageError
from mediclip_dicom.imaging.frames import iter_frames
from mediclip_dicom.imaging.preparation import Preparation
from mediclip_dicom.imaging.series import SourceImage


def find_boxes(images: Iterable[SourceImage], preparation: Preparation) -> Mapping[str, Box]:
    """Find the box around the body for each image, decoding every frame once.

    Images with planes share the box of their series and grid, so that their maps fit on one
    another; any other image has one box for all its frames. All windows of the task count.

    Args:
        images: all images of their series that the task reads.
        preparation: of the task.

    Returns:
        Boxes by SOP Instance UID: none without a crop, or where no frame can be decoded.
    """
    if not preparation.crop:
        return {}
    members: dict[tuple[object, ...], list[str]] = defaultdict(list)
    boxes: dict[tuple[object, ...], Box] = {}
    for image in images:
        header = image.header
        placed = any(plane is not None for plane in header.planes)
        own = header.series_instance_uid if placed else header.sop_instance_uid
        key = (own, header.rows, header.columns, header.pixel_aspect)
        members[key].append(header.sop_instance_uid)
        for window in preparation.renderings:
            try:
                for frame in iter_frames(image.path, window=window):
                    found = body_box(frame.rgb)
                    boxes[key] = join_boxes((boxes.get(key, found), found))
            except (UndecodableFrameError, UnsupportedImageError):
                continue  # its frames are left out with the reason when they are read
    return {uid: boxes[key] for key, uids in members.items() if key in boxes for uid in uids}
