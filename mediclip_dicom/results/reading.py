"""Reading: one task version's scores, maps and verdict on one study revision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ai_core import Verdict
from mediclip_dicom.imaging import ImageHeader, Placement, Plane, SourceImage, Window

LEFT_OUT = "left out on purpose: "
"""Beginning of the reason for a frame that is no part of the examination, such as a localizer."""


@dataclass(frozen=True, slots=True)
class Code:
    """Coded concept (PS3.3 section 8): value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class StoredMap:
    """Anomaly map in a `.npy` file of several, read from disk on demand.

    Pages of a file that stays mapped count as the process's own until the system wants them back.

    Attributes:
        path: float32, shape (maps, 224, 224), in [0, 1].
        index: which of them, from 0.
    """

    path: Path
    index: int

    def read(self) -> npt.NDArray[np.float32]:
        """Read the map into memory, (224, 224) float32."""
        return np.array(np.load(self.path, mmap_mode="r")[self.index])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReading:
    """Reading of one frame: its score and map, or the reason why it has none.

    Attributes:
        source: file and header; patient and study attributes are copied from the file.
        frame_number: 1-based.
        score: image score, or `None` where the frame was not scored.
        map: (224, 224) float32 in [0, 1], or where it is stored; `None` if not scored.
        placement: placement of the source in the map; needed with a map.
        skipped: why the frame was not analysed, without patient data; `None` if it was.
    """

    source: SourceImage
    frame_number: int
    score: float | None
    map: npt.NDArray[np.float32] | StoredMap | None
    placement: Placement | None
    skipped: str | None

    def __post_init__(self) -> None:
        if self.map is not None and self.placement is None:
            raise ValueError("a map needs the placement that it was made with")

    @property
    def path(self) -> Path:
        """File of the image."""
        return self.source.path

    @property
    def header(self) -> ImageHeader:
        """Header of the image."""
        return self.source.header

    def read_map(self) -> npt.NDArray[np.float32]:
        """Return the map, (224, 224) float32 in [0, 1], in memory.

        Raises:
            ValueError: the frame was not scored.
        """
        if self.map is None:
            raise ValueError("a frame that was not scored has no map")
        return self.map.read() if isinstance(self.map, StoredMap) else self.map

    @property
    def left_out(self) -> bool:
        """Whether the frame was left out on purpose, and not because it could not be read."""
        return self.skipped is not None and self.skipped.startswith(LEFT_OUT)

    @property
    def plane(self) -> Plane | None:
        """Plane of the frame in its frame of reference, if it has one."""
        planes = self.header.planes
        if self.header.frame_of_reference_uid is None or not planes:
            return None
        return planes[self.frame_number - 1]

    @property
    def frame_key(self) -> tuple[str, int]:
        """SOP Instance UID and frame number, which name the frame in its reading."""
        return self.header.sop_instance_uid, self.frame_number

    @property
    def frame_numbers(self) -> list[int] | None:
        """Referenced Frame Number of the frame; None for a single-frame image."""
        return [self.frame_number] if self.header.number_of_frames > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadContent:
    """Image content of the study that no image of the reading stands for.

    Attributes:
        frames: number of its frames.
        reason: why it was not analysed, without patient data.
    """

    sop_instance_uid: str
    series_instance_uid: str
    frames: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousReport:
    """Structured Report on the revision before, referenced as predecessor."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Reading of one study revision by one task version.

    Attributes:
        verdict: one of `Verdict`; a plain string of the same value will do.
        score: the study's score, `None` where nothing could be scored. It is no probability.
        p_value: share of normals that score at least as high, in (0, 1], or `None`.
        operating_point: threshold on the map's 0..1 scale; a pixel strictly above it is marked.
            `None` where the task is not calibrated: nothing is marked then.
        false_positive_rate: rate that the operating point was asked for, in (0, 1).
        k: number of normal studies that the task version was fitted on.
        backbone: name and weights of the vision tower.
        backbone_trained: false for a seeded tower without weights; every object then says so.
        study_content_digest: digest of the study's instances; part of every UID.
        predecessor: the report of the revision before, or `None`.
        window: the first window that the task fixes for its images, in which pictures are drawn, or
            `None` for the header's own.
        p_value_of: gives the p-value of a score on the map's scale, for the findings; `None` where
            the task version has none.
        smoothed: whether the operating point was calibrated on maps smoothed along the series.
        unread: contents that were set aside under SOP Instance UIDs that occur twice, or belong to
            another patient; they count as frames that were not analysed.
        notes: further sentences for the report, without patient data.
        finished_at: when the analysis ended; all dates and times of the objects are this one, so
            it must be stored and passed again on replay.
        category: Segmented Property Category (CID 7150).
        type: Segmented Property Type (CID 7151).
    """

    task_name: str
    task_version: int
    task_version_uid: str
    verdict: str
    score: float | None
    p_value: float | None
    operating_point: float | None
    false_positive_rate: float
    k: int
    preset: str
    backbone: str
    backbone_trained: bool
    backbone_sha256: str
    weights_sha256: str
    software_version: str
    study_content_digest: str
    revision: int
    images: tuple[ImageReading, ...]
    finished_at: datetime
    predecessor: PreviousReport | None = None
    unread: tuple[UnreadContent, ...] = ()
    notes: tuple[str, ...] = ()
    window: Window | None = None
    p_value_of: Callable[[float], float] | None = None
    smoothed: bool = False
    category: Code = Code("49755003", "SCT", "Morphologically Abnormal Structure")
    type: Code = Code("52988006", "SCT", "Lesion")

    def __post_init__(self) -> None:
        Verdict(self.verdict)
        if not self.images:
            raise ValueError("a reading needs at least one image, if only a skipped one")
        if len({image.header.study_instance_uid for image in self.images}) != 1:
            raise ValueError("a reading's images must belong to one study")

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID of the study that was read."""
        return self.images[0].header.study_instance_uid

    @property
    def frames(self) -> int:
        """Number of frames of the study, those of unread contents included."""
        return len(self.images) + sum(content.frames for content in self.unread)

    def extrapolated(self, p_value: float | None) -> bool:
        """Return whether a p-value is below 1 / (k + 1), which counting k normals can't reach."""
        return p_value is not None and p_value < 1 / (self.k + 1)

    @property
    def leading_image(self) -> ImageReading | None:
        """Frame with the highest score, the first of them where several share it."""
        scored = [image for image in self.images if image.score is not None]
        return max(scored, key=lambda image: image.score or 0.0, default=None)
