"""Fit of the scope guard: every study is measured by what was fitted without it."""

import math
from typing import Any

import scipy.stats
import torch
from torch import Tensor

from ai_core.normal_tail import NormalTail
from ai_core.scope.alterations import ALTERATIONS, alter
from ai_core.scope.facts import ImageFacts
from ai_core.scope.guard import ScopeGuard, excess_of
from ai_core.scope.measures import Altered, Measures, fit_measures
from ai_core.scope.pixels import measure_pixels

stats: Any = scipy.stats  # scipy ships no types

DISTANCE_LIMIT = 2.9
"""Limit of distances, in deviations of a normal distribution."""

DISCRIMINATOR_LIMIT = 4.5
"""Limit of discriminators; there are many, and they part what they know by far more."""

STUDY_RATE = 1 / 30
"""Share of genuine normal series that the guard may stop: a third of the default rate of 10 %."""

ANOMALY_SHARE = 0.9
"""Share of the synthetic anomalies, at least, that is in scope: a lesion moves an image away from
the normal ones, and must not put it out of scope."""

ANOMALY_SLACK = 1.25
"""Factor on the distance of these anomalies within which an image is in scope: a lesion may look
unlike every synthetic one."""

ALTERED_IMAGES = 64
"""Support images that are altered, at most."""

_SHARES = (0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
_ROUNDING = 1 + 1e-5

_SEPARATED = 3.3
"""Deviations above the support set from which an altered copy counts as told from it."""

_SHARE_SEPARATED = 0.5
"""Share of the copies, each by a fit without its study, for which an alteration is a foreign one.
Mirror images of a symmetric organ stay below it."""

_SMALLEST_SPREAD = (0.05, 0.02)
"""Least deviation of distances (log) and discriminators: alike pictures have nearly none."""


class GuardFit:
    """Fits a scope guard; each study is measured by a fit without it.

    Args:
        images: the support set, float32 RGB in [0, 1], shape (n, 3, 224, 224), n at least 2.
        facts: of the same images.
        groups: study of each image, int64, shape (n,). Images of a single study are held against
            each other.
        anomalies: facts of synthetic anomalies of the images, which are to stay in scope.
        anomaly_groups: study of the image below each of them, int64, shape (m,).
        generator: draws places and noise of the alterations.
    """

    def __init__(
        self,
        images: Tensor,
        facts: ImageFacts,
        groups: Tensor,
        *,
        anomalies: ImageFacts,
        anomaly_groups: Tensor,
        generator: torch.Generator,
    ) -> None:
        groups = groups.cpu()
        alone = bool((groups == groups[0]).all())
        self._facts = facts
        self._groups = torch.arange(len(groups)) if alone else groups
        self._anomalies = anomalies
        # A single study has no other to hold its anomalies against: they are measured by all.
        self._anomaly_groups = torch.full_like(anomaly_groups, -1) if alone else anomaly_groups
        self._series = not alone and len(set(groups.tolist())) < len(groups)
        chosen = _evenly(len(images), most=ALTERED_IMAGES)
        self._copy_groups = self._groups[chosen]
        self._altered = _alter_all(images[chosen.to(images.device)].cpu(), generator=generator)
        self._highest: dict[int, float] = {}
        self._fit()

    def add(self, study: int, facts: ImageFacts) -> None:
        """Take further images of a study into account, which the support set leaves out."""
        if study not in self._highest:
            return  # the images of a single study were held against each other
        self._series = True
        values = self._without(study)(facts)[:, self._kept]
        self._highest[study] = max(self._highest[study], self._excess(values))

    def stops(self, study: int) -> bool:
        """Return whether the guard stops an image of a study that it was fitted without."""
        return self._highest.get(study, 0.0) > self._factor()

    def finish(self) -> ScopeGuard:
        """Return the guard, with limits that series of normal studies keep."""
        return ScopeGuard(
            measures=self._measures,
            location=self._location,
            spread=self._spread,
            limits=self._limits * self._factor(),
        )

    def _fit(self) -> None:
        studies = sorted(set(self._groups.tolist()))
        held: list[Tensor] = []
        copies: list[Tensor] = []
        lesioned: list[Tensor] = []
        for study in studies:
            model = self._without(study)
            held.append(model(self._facts.part(self._groups == study)))
            copies.append(_measure_copies(model, _part(self._altered, self._copy_groups == study)))
            lesioned.append(model(self._anomalies.part(self._anomaly_groups == study)))
        values, full = torch.cat(held), fit_measures(self._facts, self._altered)
        distances = self._distances = len(full.distances)
        lesioned.append(full(self._anomalies.part(self._anomaly_groups == -1)))
        self._limits = _limits(len(studies))
        least = torch.full((values.shape[1],), _SMALLEST_SPREAD[1])
        least[:distances] = _SMALLEST_SPREAD[0]
        location, spread = values.mean(0), torch.maximum(values.std(0), least)
        spread = self._widened(spread, torch.cat(lesioned) - location)
        told = (torch.cat(copies) - location[distances:]) / spread[distances:] > _SEPARATED
        foreign = told.float().mean(0) >= _SHARE_SEPARATED
        self._kept = torch.cat([torch.ones(distances, dtype=torch.bool), foreign])
        self._measures = full.part(self._kept)
        self._location, self._spread = location[self._kept], spread[self._kept]
        self._highest = {
            study: self._excess(found[:, self._kept])
            for study, found in zip(studies, held, strict=True)
        }

    def _widened(self, spread: Tensor, above: Tensor) -> Tensor:
        """Return spreads at which `ANOMALY_SHARE` of the synthetic anomalies keep all limits.

        Each measure is widened for the same share of the anomalies, the smallest that suffices: a
        measure that a lesion does not move stays as sharp as it is.
        """
        limits = self._limits.repeat_interleave(
            torch.tensor([self._distances, above.shape[1] - self._distances])
        )
        for share in _SHARES:
            reach = above.quantile(share, dim=0) / limits
            wide = torch.maximum(spread, ANOMALY_SLACK * reach)
            inside = (above / torch.maximum(spread, reach) <= limits * _ROUNDING).all(1)
            if float(inside.float().mean()) >= ANOMALY_SHARE:
                break
        return wide

    def _without(self, study: int) -> Measures:
        """Fit the measures to all other studies."""
        return fit_measures(
            self._facts.part(self._groups != study),
            _part(self._altered, self._copy_groups != study),
        )

    def _excess(self, values: Tensor) -> float:
        return float(
            excess_of(
                values,
                measures=self._measures,
                location=self._location,
                spread=self._spread,
                limits=self._limits,
            ).max()
        )

    def _factor(self) -> float:
        """Factor on the limits: of many images of a study, one is out of scope more easily.

        It is a quantile of the studies' highest excess, by the tail of the normals. Studies of one
        image each keep the limits as they are.
        """
        if not self._series:
            return 1.0
        tail = NormalTail.of(self._highest.values())
        start = (tail.m + 1) / (tail.k + 1)
        beyond = max(0.0, (start / STUDY_RATE) ** (1 / tail.m) - 1)
        return float(max(1.0, tail.u + tail.m * tail.sigma * beyond))


def _limits(studies: int) -> Tensor:
    """Bring limits of a normal distribution to Student's, for a mean and deviation of k studies."""
    quantiles = [
        float(stats.t.isf(stats.norm.sf(limit), max(1, studies - 1)))
        for limit in (DISTANCE_LIMIT, DISCRIMINATOR_LIMIT)
    ]
    return torch.tensor(quantiles) * math.sqrt(1 + 1 / studies)


def _evenly(count: int, *, most: int) -> Tensor:
    """Return at most so many positions of 0 to count - 1, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def _alter_all(images: Tensor, *, generator: torch.Generator) -> dict[str, tuple[Tensor, Tensor]]:
    found = {}
    for name in ALTERATIONS:
        pixels = measure_pixels(alter(images, name, generator=generator))
        found[name] = (pixels.grey, pixels.shape)
    return found


def _part(altered: Altered, chosen: Tensor) -> Altered:
    return {name: (grey[chosen], shape[chosen]) for name, (grey, shape) in altered.items()}


def _measure_copies(model: Measures, altered: Altered) -> Tensor:
    """Measure each altered copy by the discriminators of its own alteration, (n, 2 F)."""
    grey = [model.grey(values)[:, n] for n, (values, _) in enumerate(altered.values())]
    shape = [model.shape(values)[:, n] for n, (_, values) in enumerate(altered.values())]
    return torch.stack([*grey, *shape], dim=1)
