"""Department made of the user's own files: `normal/` and `abnormal/`, DICOM or pictures."""

from collections import Counter
from pathlib import Path

import numpy as np

from ai_core import PictureError
from mediclip_dicom.cli.demo.errors import DemoDataError
from mediclip_dicom.cli.demo.secondary_capture import secondary_capture
from mediclip_dicom.cli.demo.studies import DemoStudy, Department, Label
from mediclip_dicom.imaging import (
    PICTURE_SUFFIXES,
    SourceImage,
    file_kind,
    read_headers,
    read_picture,
)

_Study = tuple[SourceImage, ...]


def read_own_data(data: Path, directory: Path, *, seed: int) -> Department:
    """Group the user's files into studies, in an order drawn from the seed.

    DICOM files stay in their place. Each picture becomes a Secondary Capture image (modality
    OT), a study of its own with a fictitious patient, in `directory`. It is named by what it shows
    and not by its file, so the same picture twice is one study.

    Args:
        data: holds the folders `normal` and `abnormal`, searched through all their levels.
        directory: where the Secondary Capture images go; made if missing.
        seed: of the order and of the UIDs.

    Raises:
        DemoDataError: a folder is missing or holds no image, a study is in both of them, or the
            studies have no modality in common.
    """
    generator = np.random.default_rng(seed)
    by_label: dict[Label, list[_Study]] = {}
    labels: tuple[Label, Label] = ("normal", "abnormal")
    for label in labels:
        files = _files(data / label)
        made = _wrapped([p for p in files if _is_picture(p)], directory / label, seed=seed)
        images, _ = read_headers([*(p for p in files if file_kind(p).is_dicom), *made])
        if not images:
            raise DemoDataError(
                f"{data / label} holds no DICOM image and no picture "
                f"({', '.join(sorted(PICTURE_SUFFIXES))})"
            )
        studies = _by_study(images)
        by_label[label] = [studies[n] for n in generator.permutation(len(studies))]
    _check_apart(by_label["normal"], by_label["abnormal"])
    modality = _common_modality([study for studies in by_label.values() for study in studies])
    return Department(
        task=f"own-{modality.lower()}",
        modality=modality,
        studies=tuple(
            _demo_study(images, label, number)
            for label in labels
            for number, images in enumerate(by_label[label], start=1)
        ),
    )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DemoDataError(
            f"there is no folder {folder}; put normal studies or pictures into normal/ and those "
            "with a finding into abnormal/, in the same folder"
        )
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    )


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not file_kind(path).is_dicom


def _wrapped(pictures: list[Path], directory: Path, *, seed: int) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for number, path in enumerate(pictures, start=1):
        try:
            pixels = read_picture(path)
        except PictureError as error:
            raise DemoDataError(str(error)) from error
        target = directory / f"{number:05d}.dcm"
        dataset = secondary_capture(pixels, seed=seed)
        dataset.save_as(target, enforce_file_format=True)
        made.append(target)
    return made


def _by_study(images: tuple[SourceImage, ...]) -> list[_Study]:
    """Group the images by study, each SOP instance once, as a PACS does."""
    studies: dict[str, dict[str, SourceImage]] = {}
    for image in images:
        study = studies.setdefault(image.header.study_instance_uid, {})
        study.setdefault(image.header.sop_instance_uid, image)
    return [tuple(studies[uid].values()) for uid in sorted(studies)]


def _check_apart(normal: list[_Study], abnormal: list[_Study]) -> None:
    uids = [{study[0].header.study_instance_uid for study in kind} for kind in (normal, abnormal)]
    if both := uids[0] & uids[1]:
        raise DemoDataError(
            f"{len(both)} studies are in normal/ and in abnormal/, such as {min(both)}; a study "
            "can be only one of them"
        )


def _common_modality(studies: list[_Study]) -> str:
    """Return the modality that every study has; of several the one with the most images."""
    found = Counter(image.header.modality for study in studies for image in study)
    common = [
        modality
        for modality, _ in found.most_common()
        if modality and all(modality in {i.header.modality for i in study} for study in studies)
    ]
    if not common:
        listed = ", ".join(f"{count} {modality or 'without'}" for modality, count in found.items())
        raise DemoDataError(
            f"the studies have no modality in common (images: {listed}); a task reads one modality"
        )
    return common[0]


def _demo_study(images: _Study, label: Label, number: int) -> DemoStudy:
    return DemoStudy(
        name=f"{label} {number:02d}",
        study_instance_uid=images[0].header.study_instance_uid,
        label=label,
        paths=tuple(image.path for image in images),
    )
