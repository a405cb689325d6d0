"""Patch bank: normal patch tokens, and the distance of a patch to the nearest of them.

After PatchCore (Roth et al., CVPR 2022): tokens of tapped blocks, a greedy coreset, distance to the
nearest neighbour. The position of a patch in the image may count, too.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.model.settings import PatchBankSettings

CANDIDATES = 16384
"""Patches, drawn evenly, among which the coreset is picked: it costs candidates times bank."""

_LINEAR = 3.0

_AT_ONCE = 2048
"""Patches that are looked up together: more take memory, fewer take longer."""

_SKETCH = 64
"""Random directions in which the coreset measures distances."""

MIDDLE_OF_SERIES = 0.5
"""Place along a series of an image that has none, where the support set's images have one."""

_FARTHEST = 2.0
"""Distance to a bank of which nothing counts: the largest between unit vectors."""


@dataclass(frozen=True, slots=True)
class NearestPatches:
    """Normal patches nearest to P patches of an image, on the CPU.

    Attributes:
        entries: their positions in the bank, int64, shape (P,).
        studies: study that each came from, int64, shape (P,).
        images: index of its image in the support set, in the order given to the fit, int64,
            shape (P,).
        places: row and column in the patch grid of that image, int64, shape (P, 2).
        distances: distance to it in the bank's features, float32, shape (P,); 2 where no entry
            counts, and then the other values mean nothing.
    """

    entries: Tensor
    studies: Tensor
    images: Tensor
    places: Tensor
    distances: Tensor


@dataclass(frozen=True, slots=True)
class PatchBank:
    """Normal patch tokens, with the distances that normal patches of other studies have to them.

    Attributes:
        settings: what of a patch is compared.
        bank: features as `patch_features` makes them, float16, shape (m, features).
        distance_mean: mean distance of the support set's patches to those of other studies,
            shape ().
        distance_deviation: standard deviation of these distances, shape ().
        owners: study that each entry came from, int64, shape (m,); None in a detector that was
            saved before banks knew it.
        images: index of the support image that each entry came from, int64, shape (m,); None as
            above.
        patches: index of each entry in the patch grid of its image, row by row, int64, shape (m,);
            None as above.
        series_places: place of each entry's image along its series, float32, shape (m,); None
            where the support set was given without, and then no place along a series counts.
        whitening: matrix that whitens the features, float32, shape (width, width); None where the
            settings don't whiten.
    """

    settings: PatchBankSettings
    bank: Tensor
    distance_mean: Tensor
    distance_deviation: Tensor
    owners: Tensor | None = None
    images: Tensor | None = None
    patches: Tensor | None = None
    series_places: Tensor | None = None
    whitening: Tensor | None = None

    def deviation(
        self, tokens: Tensor, *, series_places: Tensor | None = None, without: int | None = None
    ) -> Tensor:
        """Compute each patch's distance in standard deviations above normal, (N, patches).

        Beyond `_LINEAR` deviations it grows as a logarithm: a very uniform support set has tiny
        deviations, and a patch thousands of them away must not dominate everything else.

        Args:
            tokens: as `Encoded.tokens`, shape (N, blocks, patches, width).
            series_places: place of each image along its series, see `Detector.score`.
            without: a study whose own entries don't count.
        """
        features = self._features(tokens, series_places)
        distances = nearest_distances(
            features.flatten(0, 1), self.bank, allowed=self._allowed(without)
        )
        distances = distances.view(features.shape[:2])
        return _LINEAR * torch.asinh(
            (distances - self.distance_mean) / (_LINEAR * self.distance_deviation)
        )

    def nearest(
        self,
        tokens: Tensor,
        places: Tensor,
        *,
        series_places: Tensor | None = None,
        without: int | None = None,
    ) -> NearestPatches | None:
        """Find the normal patch nearest to each of some patches of one image.

        Args:
            tokens: of the image, as `Encoded.tokens`, shape (1, blocks, patches, width).
            places: row and column of each patch in the patch grid, int64, shape (P, 2).
            series_places: place of the image along its series, shape (1,), see `Detector.score`.
            without: a study whose own entries don't count.

        Returns:
            Where they come from; None in a detector that was saved before banks knew it.
        """
        if self.owners is None or self.images is None or self.patches is None:
            return None
        features = self._features(tokens, series_places)[0]
        side = math.isqrt(len(features))
        chosen = features[(places[:, 0] * side + places[:, 1]).to(features.device)]
        entries, distances = nearest_entries(chosen, self.bank, allowed=self._allowed(without))
        patches = self.patches[entries].cpu()
        return NearestPatches(
            entries=entries.cpu(),
            studies=self.owners[entries].cpu(),
            images=self.images[entries].cpu(),
            places=torch.stack([patches // side, patches % side], dim=1),
            distances=distances.cpu(),
        )

    def _features(self, tokens: Tensor, series_places: Tensor | None) -> Tensor:
        if self.series_places is None:
            series_places = None
        elif series_places is None:
            series_places = torch.full((len(tokens),), MIDDLE_OF_SERIES)
        return patch_features(
            tokens, self.settings, series_places=series_places, whitening=self.whitening
        )

    def _allowed(self, without: int | None) -> Tensor | None:
        if without is None or self.owners is None:
            return None
        return self.owners != without


def fit_patch_bank(
    tokens: Tensor,
    groups: Tensor,
    *,
    settings: PatchBankSettings,
    generator: torch.Generator,
    series_places: Tensor | None = None,
) -> PatchBank:
    """Fill a bank from a support set.

    Args:
        tokens: patch tokens of the support set, shape (k, blocks, patches, width).
        groups: study of each image, int64, shape (k,); where there is only one study, each image
            counts as a study.
        settings: how much is kept, and of what.
        generator: on the CPU; draws candidates and sketch.
        series_places: place of each image along its series, in [0, 1] or NaN, shape (k,); None
            where no place along a series counts.
    """
    if bool((groups == groups[0]).all()):
        groups = torch.arange(len(groups))
    whitening = whitening_matrix(_unit_features(tokens, settings)) if settings.whiten else None
    features = patch_features(tokens, settings, series_places=series_places, whitening=whitening)
    owners = groups.repeat_interleave(features.shape[1])
    patches = features.flatten(0, 1)
    chosen = coreset(patches, size=settings.size, generator=generator)
    device = patches.device
    bank, owners = patches[chosen.to(device)], owners[chosen].to(device)
    images = chosen // features.shape[1]
    distances = torch.cat(
        [
            nearest_distances(of_image, bank, allowed=owners != group)
            for of_image, group in zip(features, groups.tolist(), strict=True)
        ]
    )
    deviation, mean = torch.std_mean(distances)
    return PatchBank(
        settings=settings,
        bank=bank.half(),
        distance_mean=mean,
        distance_deviation=deviation.clamp_min(1e-6),
        owners=owners,
        images=images.to(device),
        patches=(chosen % features.shape[1]).to(device),
        series_places=None if series_places is None else series_places.float()[images].to(device),
        whitening=whitening,
    )


def patch_features(
    tokens: Tensor,
    settings: PatchBankSettings,
    *,
    series_places: Tensor | None = None,
    whitening: Tensor | None = None,
) -> Tensor:
    """Compute the features that patches are compared by, float32, shape (N, patches, features).

    The square of the distance between two patches is 2 - 2 cos of their tokens, and, by
    ``place_weight``, 2 w d² more, where d is their distance in the image, whose side is 1. With
    places along the series d is their distance in the volume, whose sides are 1.

    Args:
        tokens: as `Encoded.tokens`, shape (N, blocks, patches, width).
        settings: says which blocks, and how much the place counts.
        series_places: place of each image along its series, in [0, 1], shape (N,); NaN, for an
            image without, counts as the middle.
        whitening: matrix that the tokens are multiplied by first, see `whitening_matrix`.
    """
    unit = _unit_features(tokens, settings)
    if whitening is not None:
        unit = unit @ whitening
    if not settings.place_weight:
        return unit
    side = math.isqrt(unit.shape[1])
    steps = torch.arange(side, device=unit.device) / side
    places = torch.cartesian_prod(steps, steps).expand(len(unit), -1, -1)
    if series_places is not None:
        along = series_places.to(unit).nan_to_num(MIDDLE_OF_SERIES)
        places = torch.cat([places, along[:, None, None].expand(-1, side**2, 1)], dim=-1)
    return torch.cat([unit, places * math.sqrt(2 * settings.place_weight)], dim=-1)


def _unit_features(tokens: Tensor, settings: PatchBankSettings) -> Tensor:
    middle = tokens.shape[1] // 2
    return join_blocks(tokens if settings.blocks == "all" else tokens[:, middle : middle + 1])


def whitening_matrix(features: Tensor) -> Tensor:
    """Compute the inverse root of the covariance of patches, float32, shape (D, D).

    Their mean variance is added to each, so that a direction in which normal patches hardly
    differ counts more than others, but not without bound. The matrix is scaled to a mean square
    of 1, so that distances stay comparable to those of unit vectors.

    Args:
        features: of normal patches, shape (k, patches, D).
    """
    # on the CPU in float64: the same bytes whatever the device, and seconds at most
    patches = features.flatten(0, 1).cpu().double()
    centred = patches - patches.mean(0)
    covariance = centred.T @ centred / (len(patches) - 1)
    # patches that are all alike have no variance: then nothing is whitened
    variance = (covariance.trace() / len(covariance)).clamp_min(1e-12)
    values, vectors = torch.linalg.eigh(covariance)
    scales = (values.clamp_min(0) + variance).rsqrt()
    scales = scales / scales.square().mean().sqrt()
    matrix: Tensor = (vectors * scales) @ vectors.T
    return matrix.to(features)


def join_blocks(tokens: Tensor) -> Tensor:
    """Join tokens (N, blocks, patches, width) to unit vectors (N, patches, blocks * width).

    Each block comes at unit length, so that none outweighs another.
    """
    unit = F.normalize(tokens.float(), dim=-1) / math.sqrt(tokens.shape[1])
    return unit.transpose(1, 2).flatten(2)


def distances_to_bank(features: Tensor, bank: Tensor) -> Tensor:
    """Compute the distance of each patch to the nearest in a bank, shape (N, patches).

    Args:
        features: of patches, shape (N, patches, features).
        bank: the same of normal ones, of any float type, shape (m, features).
    """
    return nearest_distances(features.flatten(0, 1), bank).view(features.shape[:2])


def nearest_distances(patches: Tensor, bank: Tensor, *, allowed: Tensor | None = None) -> Tensor:
    """Compute the distance of vectors (P, D) to the nearest in the bank (m, D), shape (P,).

    Args:
        patches: what is looked up.
        bank: what is there, of any float type.
        allowed: which entries of the bank count, bool, shape (m,); all by default. Where none
            does, the distance is 2, the largest between unit vectors.
    """
    if not bank.is_cuda:
        bank = bank.float()
    halves = bank.float().square().sum(1) / 2
    if allowed is not None:
        halves = halves.masked_fill(~allowed, torch.inf)
    find = _nearest_on_cuda if bank.is_cuda else _nearest
    nearest = torch.cat([find(part, bank, halves) for part in torch.split(patches, _AT_ONCE)])
    squares = patches.square().sum(1) - 2 * nearest
    return torch.where(nearest.isneginf(), _FARTHEST, squares.clamp_min(0).sqrt())


def nearest_entries(
    patches: Tensor, bank: Tensor, *, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Find the entry of the bank (m, D) nearest to each vector (P, D), and its distance.

    Args:
        patches: what is looked up; a few, for all are held against all at once.
        bank: what is there, of any float type.
        allowed: as in `nearest_distances`.

    Returns:
        Positions in the bank, int64, shape (P,), and distances, float32, shape (P,).
    """
    distances = torch.cdist(
        patches[None], bank.float()[None], compute_mode="donot_use_mm_for_euclid_dist"
    )[0]
    if allowed is not None:
        distances = distances.masked_fill(~allowed, _FARTHEST if not allowed.any() else torch.inf)
    found = distances.min(1)
    return found.indices, found.values


def _nearest(patches: Tensor, bank: Tensor, halves: Tensor) -> Tensor:
    """Compute max(x · b - |b|² / 2) over the entries b of the bank for each patch x, (P,).

    It is largest where the distance is least.
    """
    return (patches @ bank.T).sub_(halves).amax(1)


def _nearest_on_cuda(patches: Tensor, bank: Tensor, halves: Tensor) -> Tensor:
    """Compute the same as `_nearest`: the entry found in float16, its value in float32."""
    products = torch.mm(patches.half(), bank.half().T, out_dtype=torch.float32)
    place = products.sub_(halves).argmax(1)
    return (patches * bank[place]).sum(1) - halves[place]


def coreset(patches: Tensor, *, size: int, generator: torch.Generator) -> Tensor:
    """Pick at most ``size`` patches that cover all of them; ascending indices on the CPU.

    Greedy k-centre: each pick is the patch farthest from those picked before, in a
    random projection, among at most `CANDIDATES` patches drawn evenly.

    Args:
        patches: vectors, shape (P, D).
        size: how many to keep.
        generator: on the CPU.
    """
    if len(patches) <= size:
        return torch.arange(len(patches))
    drawn = torch.randperm(len(patches), generator=generator)[:CANDIDATES].sort().values
    directions = torch.randn(patches.shape[1], _SKETCH, generator=generator).to(patches)
    sketch = patches[drawn.to(patches.device)] @ directions
    return drawn[sorted(_farthest_first(sketch, size=size))]


def _farthest_first(points: Tensor, *, size: int) -> list[int]:
    squares = points.square().sum(1)
    nearest = torch.full_like(squares, torch.inf)
    picks = torch.zeros(min(size, len(points)), dtype=torch.int64, device=points.device)
    # the picks stay on the device: asking a GPU for each would cost more than finding it
    for turn in range(len(picks)):
        pick = picks[turn : turn + 1]
        distances = squares + squares[pick] - 2 * (points @ points[pick][0])
        nearest = torch.minimum(nearest, distances).index_fill_(0, pick, -torch.inf)
        picks[turn + 1 : turn + 2] = nearest.argmax()
    return picks.tolist()
