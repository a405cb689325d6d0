"""The fitted detector: images in, anomaly maps and image scores out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from ai_core.arguments import check_batch_size, check_groups, check_preset, gradients
from ai_core.backbone import Backbone, Encoded
from ai_core.detector_info import DetectorInfo
from ai_core.errors import (
    CorruptDetectorError,
    DetectorError,
    ImageInputError,
    WeightsMismatchError,
)
from ai_core.files import write_bytes
from ai_core.fitting import (
    HeldOut,
    HeldOutPlaces,
    NormalScore,
    StudyScore,
    choose_folds,
    cross_fit,
    make_pool,
    prepare_support,
    start_adapters,
    train_head,
    with_blend,
)
from ai_core.image_score import merge_reasons, merge_scope, merge_views, score_tokens
from ai_core.images import (
    IMAGE_SIZE,
    Views,
    check_images,
    check_series_places,
    check_support,
    image_digests,
)
from ai_core.model import FoldHeads, Head, NearestPatches, restore_head
from ai_core.operating_point import Aggregate
from ai_core.presets import DEFAULT, Preset
from ai_core.progress import Progress, silent
from ai_core.scope import KINDS, ImageFacts, ScopeAnswer, describe_images
from ai_core.storage import pack, tensors_sha256, unpack

ONE_VIEW = Views()
"""An image as one detector input."""


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

    def __copy__(self) -> "Detector":
        """Return a detector on the same backbone; a detector never changes."""
        return Detector(self._head, backbone=self._backbone, info=self.info)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Detector":
        """Return a detector with tensors of its own, on the same backbone."""
        return Detector.from_bytes(self.to_bytes(), backbone=self._backbone)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Refuse to be pickled, since the backbone would go with it.

        Raises:
            DetectorError: always; with the way that works.
        """
        raise DetectorError(
            "a detector can't be pickled, since its backbone would go with it: send to_bytes(), "
            "and restore it with Detector.from_bytes(data, backbone=load_backbone(…))"
        )

    @classmethod
    @gradients()
    def fit(
        cls,
        images: Tensor,
        *,
        backbone: Backbone,
        preset: Preset = DEFAULT,
        groups: Sequence[int] | None = None,
        generator: torch.Generator,
        progress: Progress | None = None,
        series_places: Tensor | None = None,
        views: Views = ONE_VIEW,
    ) -> "Detector":
        """Fit a detector on k normal images; the same generator state gives the same bytes.

        Args:
            images: the support set, float32 RGB in [0, 1], shape (k * views, 3, 224, 224), k at
                least 2.
            backbone: the frozen towers.
            preset: every other choice.
            groups: study of each image, for images that belong together; by default each image
                is a study of its own.
            generator: a CPU generator, the source of every draw; its initial seed is recorded.
            progress: called now and then, in this thread.
            series_places: place of each image along its series, as in `score`; a patch's place in
                the patch bank then has three coordinates. None: places along a series don't count.
            views: detector inputs that an image is shown in; `groups` names the study of each.

        Raises:
            ImageInputError: images or places of another shape, type or range.
            SupportSetError: too few images, constant ones, or not one group for each.
            PresetError: a name in place of a preset.
            DetectorError: under `torch.inference_mode`.
        """
        check_preset(preset)
        check_support(images, views=views.count)
        if groups is not None:
            check_groups(groups, count=len(images))
        progress = progress or silent
        support = prepare_support(
            images,
            groups=[at // views.count for at in range(len(images))] if groups is None else groups,
            backbone=backbone,
            series_places=series_places,
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
        (head,) = with_blend((head,), support=support, folds=None, preset=preset)
        info = _describe_fit(images, backbone=backbone, preset=preset, generator=generator)
        return cls(head, backbone=backbone, info=info)

    @property
    def batch_size(self) -> int:
        """Images in one forward pass that suit the device; may measure, and shrinks with memory."""
        return self._backbone.batch_size

    @torch.no_grad()
    def score(
        self,
        images: Tensor,
        *,
        batch_size: int | None = None,
        series_places: Tensor | None = None,
        views: Views = ONE_VIEW,
    ) -> Scores:
        """Score images, each independently of the others in its batch.

        Args:
            images: float32 RGB in [0, 1], shape (N * views, 3, 224, 224); N may be 0.
            batch_size: images per call of the tower; what suits the device by default.
            series_places: place of each of them along its series, floats from 0 (first position)
                to 1 (last), shape (N * views,); NaN, for an image without a place, counts as the
                middle, and so does None. Unused by a detector that was fitted without.
            views: detector inputs that an image is shown in, as at the fit: the maps of an image's
                views become one, and an image of which half of the views are out of scope is.

        Raises:
            ImageInputError: images or places of another shape, type or range, or no whole number
                of images.
        """
        check_images(images)
        check_batch_size(batch_size)
        if len(images) % views.count:
            raise ImageInputError(
                f"{len(images)} inputs are not images in {views.count} views each"
            )
        if series_places is not None:
            check_series_places(series_places, count=len(images))
        step = batch_size or self._backbone.batch_size
        parts = [
            self.score_encoded(
                self._backbone.encode(images[at : at + step], precision=self.info.precision),
                images=images[at : at + step],
                series_places=None if series_places is None else series_places[at : at + step],
            )
            for at in range(0, len(images), step)
        ]
        if not parts:
            return Scores(
                maps=torch.zeros(0, IMAGE_SIZE, IMAGE_SIZE),
                scores=torch.zeros(0),
                in_scope=torch.zeros(0, dtype=torch.bool),
            )
        maps, scores = merge_views(
            torch.cat([part.maps for part in parts]),
            torch.cat([part.scores for part in parts]),
            views=views,
        )
        return Scores(
            maps=maps,
            scores=scores,
            in_scope=merge_scope(torch.cat([part.in_scope for part in parts]), views=views),
            unlike=merge_reasons([kind for part in parts for kind in part.unlike], views=views),
        )

    @torch.no_grad()
    def score_encoded(
        self,
        encoded: Encoded,
        *,
        images: Tensor | None = None,
        series_places: Tensor | None = None,
    ) -> Scores:
        """Score images that the backbone has already encoded, at least one.

        Args:
            encoded: the backbone's output for the images.
            images: the images themselves; without them the scope guard sees neither grey levels nor
                shapes, and judges by the global embedding alone.
            series_places: place of each image along its series, as in `score`.
        """
        maps, scores = self.score_tokens(encoded.tokens, series_places=series_places)
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
    def score_tokens(
        self, tokens: Tensor, *, series_places: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute maps and scores, as in `Scores`, whether the images are in scope or not.

        Args:
            tokens: as `Encoded.tokens`, shape (N, blocks, patches, width), N at least 1.
            series_places: as in `score`.
        """
        return score_tokens(
            self._head, tokens, preset=self.info.preset, series_places=series_places
        )

    @torch.no_grad()
    def nearest_patches(
        self,
        tokens: Tensor,
        places: Tensor,
        *,
        series_places: Tensor | None = None,
        without: int | None = None,
    ) -> NearestPatches | None:
        """Find the normal patch of the support set nearest to each of some patches of an image.

        Args:
            tokens: of the image, as `Encoded.tokens`, shape (1, blocks, patches, width).
            places: row and column of each patch in the grid of patches, int64, shape (P, 2); pixel
                y of the map is in row ``y * grid // 224``.
            series_places: place of the image along its series, shape (1,), as in `score`.
            without: a study of the support set whose own patches don't count.

        Returns:
            Study, support image, place and distance of each; None where the preset keeps no patch
            bank, or where an earlier version saved the detector.
        """
        bank = self._head.patch_bank
        if bank is None:
            return None
        return bank.nearest(tokens, places, series_places=series_places, without=without)

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
                blend=info.preset.blend,
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


@gradients()
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
    series_places: Tensor | None = None,
    held_out_places: HeldOutPlaces | None = None,
    views: Views = ONE_VIEW,
) -> CalibratedFit:
    """Fit a head without each fold, and score every study by the head that never saw it.

    The detector holds these very heads: it scores a new study by the mean of their log-odds, and
    looks it up in one patch bank of all studies; a held-out study is looked up without its own
    entries. Each head's normals are brought to the scale of the mean by their median.

    All of them learn from one shared pool of features, where the preset pools: the synthetic
    images of a fold take nothing from another fold, so leaving a fold's part of the pool out
    leaves out every trace of its studies, and no synthetic image passes the frozen tower twice.

    Args:
        images: normal images of all studies, float32 in [0, 1], shape (n * views, 3, 224, 224).
        groups: study index of each of them; studies are the exchangeable units.
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
        series_places: place of each image along its series, as in `Detector.fit`.
        held_out_places: places of all images of a study, where ``held_out`` gives them.
        views: detector inputs that an image is shown in; new images must be scored in the same.

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
    check_preset(preset)
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
        series_places=series_places,
        held_out_places=held_out_places,
        views=views,
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
