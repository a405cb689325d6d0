"""The fitted detector: images in, anomaly maps and image scores out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ai_core.backbone import Backbone, Encoded
from ai_core.detector_info import DetectorInfo
from ai_core.errors import CorruptDetectorError, WeightsMismatchError
from ai_core.files import write_bytes
from ai_core.fitting import (
    HeldOut,
    NormalScore,
    StudyScore,
    choose_folds,
    cross_fit,
    make_pool,
    prepare_support,
    start_adapters,
    train_head,
)
from ai_core.image_score import score_tokens
from ai_core.images import IMAGE_SIZE, check_images, check_support, image_digests
from ai_core.model import FoldHeads, Head, restore_head
from ai_core.operating_point import Aggregate
from ai_core.presets import DEFAULT, Preset
from ai_core.progress import Progress, silent
from ai_core.scope import KINDS, ImageFacts, ScopeAnswer, describe_images
from ai_core.storage import pack, tensors_sha256, unpack


@dataclass(frozen=True, slots=True)
class Scores:
    """Anomaly maps and image scores of N images.

    Attributes:
        maps: anomaly maps in [0, 1], float32 on the CPU, shape (N, 224, 224).
        scores: image scores on the maps' scale, float32 on the CPU, shape (N,); never above
            the map's own maximum. A calibrated fit's maps are cut at them, so that a pixel exceeds
            a threshold exactly where the image score does.
        in_scope: whether an image is of the kind that the detector was fitted on, bool on the
            CPU, shape (N,); the score of one that is not means nothing.
        unlike: kind of statistics by which an image is out of scope: "content" (patch tokens),
            "grey levels" or "shape" (of the foreground, and its orientation); None for one in
            scope.

    Example:
        >>> import torch
        >>> from ai_core import Scores
        >>> scores = Scores(
        ...     maps=torch.zeros(2, 224, 224),
        ...     scores=torch.tensor([0.2, 0.9]),
        ...     in_scope=torch.tensor([True, False]),
        ... )
        >>> scores.scores[scores.in_scope]
        tensor([0.2000])
    """

    maps: Tensor
    scores: Tensor
    in_scope: Tensor
    unlike: tuple[str | None, ...] = ()


class Detector:
    """MediCLIP after fitting: adapters and two text vectors per head on a frozen vision tower.

    Make one with `Detector.fit`, `Detector.load` or `Detector.from_bytes`.

    Attributes:
        info: preset, backbone, seed and support digests.
        sha256: digest over the detector's own tensors.

    Example:
        >>> from dataclasses import replace
        >>> import torch
        >>> from ai_core import QUICK, Detector, load_backbone
        >>> backbone = load_backbone(weights="untrained", device="cpu")
        >>> small = replace(QUICK, training=replace(QUICK.training, pool_images=4, updates=2))
        >>> normals = torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        >>> detector = Detector.fit(
        ...     normals, backbone=backbone, preset=small, generator=torch.Generator().manual_seed(0)
        ... )
        >>> scores = detector.score(normals)
        >>> scores.maps.shape, scores.scores.shape
        (torch.Size([4, 224, 224]), torch.Size([4]))
        >>> Detector.from_bytes(detector.to_bytes(), backbone=backbone).sha256 == detector.sha256
        True
    """

    def __init__(self, head: Head | FoldHeads, *, backbone: Backbone, info: DetectorInfo) -> None:
        self._head = head
        self._backbone = backbone
        self.info = info
        self.sha256 = tensors_sha256(head.to_tensors())

    @classmethod
    def fit(
        cls,
        images: Tensor,
        *,
        backbone: Backbone,
        preset: Preset = DEFAULT,
        groups: Sequence[int] | None = None,
        generator: torch.Generator,
        progress: Progress | None = None,
    ) -> "Detector":
        """Fit a detector on k normal images; the same generator state gives the same bytes.

        Args:
            images: the support set, float32 RGB in [0, 1], shape (k, 3, 224, 224), k at least 2.
            backbone: the frozen towers.
            preset: every other choice.
            groups: study of each image, for images that belong together; by default each image
                is a study of its own.
            generator: a CPU generator, the source of every draw; its initial seed is recorded.
            progress: called now and then, in this thread.

        Raises:
            ImageInputError: images of another shape, type or range.
            SupportSetError: too few images, or constant ones.
        """
        check_support(images)
        progress = progress or silent
        support = prepare_support(
            images,
            groups=range(len(images)) if groups is None else groups,
            backbone=backbone,
        )
        pool = make_pool(
            support, backbone=backbone, preset=preset, generator=generator, progress=progress
        )
        head = train_head(
            support,
            pool=pool,
            backbone=backbone,
            preset=preset,
            generator=generator,
            progress=progress,
        )
        info = _describe_fit(images, backbone=backbone, preset=preset, generator=generator)
        return cls(head, backbone=backbone, info=info)

    @property
    def batch_size(self) -> int:
        """Images in one forward pass that suit the device; may measure, and shrinks with memory."""
        return self._backbone.batch_size

    @torch.no_grad()
    def score(self, images: Tensor, *, batch_size: int | None = None) -> Scores:
        """Score images, each independently of the others in its batch.

        Args:
            images: float32 RGB in [0, 1], shape (N, 3, 224, 224); N may be 0.
            batch_size: images per call of the tower; what suits the device by default.

        Raises:
            ImageInputError: images of another shape, type or range.
        """
        check_images(images)
        step = batch_size or self._backbone.batch_size
        parts = [
            self.score_encoded(
                self._backbone.encode(batch, precision=self.info.precision), images=batch
            )
            for batch in (images[at : at + step] for at in range(0, len(images), step))
        ]
        if not parts:
            return Scores(
                maps=torch.zeros(0, IMAGE_SIZE, IMAGE_SIZE),
                scores=torch.zeros(0),
                in_scope=torch.zeros(0, dtype=torch.bool),
            )
        return Scores(
            maps=torch.cat([part.maps for part in parts]),
            scores=torch.cat([part.scores for part in parts]),
            in_scope=torch.cat([part.in_scope for part in parts]),
            unlike=tuple(kind for part in parts for kind in part.unlike),
        )

    @torch.no_grad()
    def score_encoded(self, encoded: Encoded, *, images: Tensor | None = None) -> Scores:
        """Score images that the backbone has already encoded, at least one.

        Args:
            encoded: the backbone's output for the images.
            images: the images themselves; without them the scope guard sees neither grey levels nor
                shapes, and judges by the global embedding alone.
        """
        maps, scores = self.score_tokens(encoded.tokens)
        if images is None:
            inside = self.in_scope(encoded.embedding)
            unlike = tuple(None if one else KINDS[0] for one in inside.tolist())
            return Scores(maps=maps, scores=scores, in_scope=inside, unlike=unlike)
        answer = self.judge_scope(
            describe_images(images, tokens=encoded.tokens, embedding=encoded.embedding)
        )
        return Scores(maps=maps, scores=scores, in_scope=answer.in_scope, unlike=answer.unlike)

    @torch.no_grad()
    def in_scope(self, embedding: Tensor) -> Tensor:
        """Return whether images are of the support set's kind by their global embedding alone.

        It knows less than `judge_scope`, and stops less.

        Args:
            embedding: as `Encoded.embedding`, shape (N, embed_dim).

        Returns:
            bool on the CPU, shape (N,).
        """
        return self._head.scope.contains(embedding)

    @torch.no_grad()
    def judge_scope(self, facts: ImageFacts) -> ScopeAnswer:
        """Judge whether images are of the kind that the detector was fitted on.

        Args:
            facts: of the images, by `describe_images`.
        """
        return self._head.scope.judge(facts)

    @torch.no_grad()
    def score_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute maps and scores, as in `Scores`, whether the images are in scope or not.

        Args:
            tokens: as `Encoded.tokens`, shape (N, blocks, patches, width), N at least 1.
        """
        return score_tokens(self._head, tokens, preset=self.info.preset)

    def to_bytes(self) -> bytes:
        """Return the detector as one safetensors blob, without the backbone."""
        return pack(self._head.to_tensors(), self.info)

    @classmethod
    def from_bytes(cls, data: bytes, *, backbone: Backbone) -> "Detector":
        """Restore a detector, bit for bit, onto the backbone that it was fitted on.

        Raises:
            CorruptDetectorError: not a saved detector, or a damaged one.
            WeightsMismatchError: another backbone, other weights or other tapped blocks.
        """
        tensors, info = unpack(data)
        if (backbone.sha256, backbone.blocks) != (info.backbone_sha256, info.blocks):
            raise WeightsMismatchError(
                f"fitted on {info.backbone!r} (weights {info.weights!r}, sha256 "
                f"{info.backbone_sha256[:12]}…, blocks {info.blocks}), but this backbone is "
                f"{backbone.name!r} (weights {backbone.weights!r}, sha256 "
                f"{backbone.sha256[:12]}…, blocks {backbone.blocks}); load the former, or fit anew"
            )
        try:
            head = restore_head(
                tensors,
                make_adapters=lambda: start_adapters(
                    backbone, info.preset, generator=torch.Generator()
                ),
                patch_bank=info.preset.memory,
                device=backbone.device,
            )
        except (KeyError, RuntimeError) as error:
            raise CorruptDetectorError("the saved detector lacks some of its tensors") from error
        return cls(head, backbone=backbone, info=info)

    def save(self, path: Path | str) -> None:
        """Write the detector to a file, whole or not at all."""
        write_bytes(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: Path | str, *, backbone: Backbone) -> "Detector":
        """Read a detector from a file; errors as `from_bytes`."""
        return cls.from_bytes(Path(path).read_bytes(), backbone=backbone)


@dataclass(frozen=True, slots=True)
class CalibratedFit:
    """A detector with the cross-fitted scores that its operating point is made from.

    Attributes:
        detector: the heads of all folds.
        normals: one score per study, in ascending order of the study index, each by the head
            that never saw the study, on the scale of the detector's scores.

    Example:
        >>> from ai_core import OperatingPoint
        >>> normal_scores = (0.2, 0.4, 0.3, 0.25)  # fit.normal_scores
        >>> OperatingPoint(normal_scores, false_positive_rate=0.2).calibrated
        True
    """

    detector: Detector
    normals: tuple[NormalScore, ...]

    @property
    def normal_scores(self) -> tuple[float, ...]:
        """Score of each study, in ascending order of the study index."""
        return tuple(normal.score for normal in self.normals)

    @property
    def folds(self) -> int:
        """Number of folds, and of heads."""
        return len({normal.fold for normal in self.normals})


def fit_calibrated(
    images: Tensor,
    groups: Sequence[int],
    *,
    backbone: Backbone,
    preset: Preset = DEFAULT,
    folds: int | None = None,
    generator: torch.Generator,
    progress: Progress | None = None,
    method: Aggregate = "max",
    held_out: HeldOut | None = None,
    study_score: StudyScore | None = None,
) -> CalibratedFit:
    """Fit a head without each fold, and score every study by the head that never saw it.

    The detector holds these very heads: it scores a new study by the mean of their log-odds, and
    looks it up in one patch bank of all studies; a held-out study is looked up without its own
    entries. Each head's normals are brought to the scale of the mean by their median.

    All of them learn from one shared pool of features, where the preset pools: the synthetic
    images of a fold take nothing from another fold, so leaving a fold's part of the pool out
    leaves out every trace of its studies, and no synthetic image passes the frozen tower twice.

    Args:
        images: normal images of all studies, float32 in [0, 1], shape (n, 3, 224, 224).
        groups: study index of each image; studies are the exchangeable units.
        backbone: the frozen towers.
        preset: every other choice.
        folds: number of folds, at least 2; images of one study never part. By default 3 for 6 to
            12 studies, else 2.
        generator: the source of every draw.
        progress: called now and then.
        method: how image scores become a study score.
        held_out: all images of a study, where `images` holds only some of them. A score of the
            highest of many images is comparable to new studies only if it saw as many itself; and
            the ends of a series are in scope only if they were seen.
        study_score: makes the study score instead of ``method``, from all of a study's maps and
            image scores; a new study must be scored the same way.

    Raises:
        CalibrationError: fewer than 2 folds, or too few studies for them.
        ImageInputError, SupportSetError: as `Detector.fit`.

    Example:
        >>> from dataclasses import replace
        >>> import torch
        >>> from ai_core import QUICK, OperatingPoint, fit_calibrated, load_backbone
        >>> small = replace(QUICK, training=replace(QUICK.training, pool_images=4, updates=2))
        >>> fit = fit_calibrated(
        ...     torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0)),
        ...     (0, 1, 2, 2),
        ...     backbone=load_backbone(weights="untrained", device="cpu"),
        ...     preset=small,
        ...     generator=torch.Generator().manual_seed(0),
        ... )
        >>> len(fit.normal_scores)  # one for each of the three studies
        3
        >>> OperatingPoint(fit.normal_scores, false_positive_rate=0.25).calibrated
        True
    """
    fitted = cross_fit(
        images,
        groups,
        backbone=backbone,
        preset=preset,
        folds=choose_folds(len(set(groups))) if folds is None else folds,
        generator=generator,
        progress=progress or silent,
        method=method,
        held_out=held_out,
        study_score=study_score,
    )
    info = _describe_fit(images, backbone=backbone, preset=preset, generator=generator)
    detector = Detector(fitted.heads, backbone=backbone, info=info)
    return CalibratedFit(detector=detector, normals=fitted.normals)


def _describe_fit(
    images: Tensor, *, backbone: Backbone, preset: Preset, generator: torch.Generator
) -> DetectorInfo:
    """Describe a detector fitted on these images."""
    return DetectorInfo(
        preset=preset,
        backbone=backbone.name,
        weights=backbone.weights,
        backbone_sha256=backbone.sha256,
        blocks=backbone.blocks,
        precision=backbone.precision,
        seed=generator.initial_seed(),
        support_sha256=image_digests(images),
    )
