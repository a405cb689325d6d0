"""Fictitious thoraces: lungs, heart, spine, ribs and vessels in Hounsfield units.

Points are in millimetres of the patient coordinate system, LPS (PS3.3 C.7.6.2.1.1), from the middle
of the chest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mediclip_dicom.cli.demo.anatomy import SmoothField

Points = NDArray[np.float64]
Values = NDArray[np.float32]

_AIR, _LUNG, _SOFT, _BLOOD, _BONE = -1000.0, -840.0, 30.0, 45.0, 350.0
_RIB_SPACING_MM = 26.0
_VESSELS = 70
_TREE = 1
_WIDEST_MM = 6.0
"""More than any vessel's radius."""


@dataclass(frozen=True, slots=True)
class Tumour:
    """Solid ball in a lung.

    Attributes:
        centre_mm: its centre.
        radius_mm: its radius.
    """

    centre_mm: NDArray[np.float64]
    radius_mm: float

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Return which of (..., 3) points are in it."""
        inside: NDArray[np.bool_] = _distance(points, self.centre_mm) <= self.radius_mm
        return inside


@dataclass(frozen=True, slots=True)
class Thorax:
    """Fictitious chest, defined at every point of space.

    Attributes:
        body_mm: half axes of the trunk, left-right and front-back.
        lungs_mm: half axes of either lung, three directions.
        apart_mm: distance of a lung's middle from the midline.
        heart_mm: (centre, half axes), left of the midline.
        vessels: (n, 4) middle and radius of balls that stand for vessels, thinner outwards.
        displacement: smooth deformation in millimetres, three channels.
        tumour: its tumour, if any.
    """

    body_mm: tuple[float, float]
    lungs_mm: tuple[float, float, float]
    apart_mm: float
    heart_mm: tuple[NDArray[np.float64], NDArray[np.float64]]
    vessels: NDArray[np.float64]
    displacement: SmoothField
    tumour: Tumour | None = None

    def hounsfield(self, points: Points) -> Values:
        """Return the noise-free attenuation at (..., 3) points."""
        moved = points + self.displacement.at(points)
        x, y, z = np.moveaxis(moved, -1, 0)
        trunk = np.hypot(x / self.body_mm[0], y / self.body_mm[1])
        values = np.where(trunk < 1, -90.0, _AIR)  # fat under the skin
        values[trunk < 0.93] = _SOFT
        ring = (trunk > 0.84) & (trunk < 0.9)
        # ribs run downwards to the front, so that an axial slice cuts each once
        slope = (z - 0.35 * y) % _RIB_SPACING_MM
        values[ring & (slope < 0.42 * _RIB_SPACING_MM)] = _BONE
        lung = self.in_lung(moved)
        values[lung] = _LUNG
        low, high = z.min() - _WIDEST_MM, z.max() + _WIDEST_MM
        aerated, of_lung = moved[lung], values[lung]
        for *centre, radius in self.vessels:
            if low <= centre[2] <= high:
                of_lung[_distance(aerated, np.array(centre)) < radius] = _BLOOD
        values[lung] = of_lung
        centre, axes = self.heart_mm
        values[np.linalg.norm((moved - centre) / axes, axis=-1) < 1] = _BLOOD
        spine = np.hypot(x / 20, (y - 0.66 * self.body_mm[1]) / 18)
        values[spine < 1] = _BONE - 150
        values[spine < 0.45] = _SOFT
        if self.tumour is not None:
            values[self.tumour.inside(points)] = _SOFT
        return values.astype(np.float32)

    def in_lung(self, points: Points) -> NDArray[np.bool_]:
        """Return which of (..., 3) undeformed points are in a lung."""
        sided = np.stack(
            [np.abs(points[..., 0]) - self.apart_mm, points[..., 1], points[..., 2]], axis=-1
        )
        inside: NDArray[np.bool_] = np.linalg.norm(sided / self.lungs_mm, axis=-1) < 1
        return inside


def draw_thorax(generator: np.random.Generator) -> Thorax:
    """Draw a normal chest: its shape, and where its vessels run."""
    lungs = (generator.normal(55, 1.5), generator.normal(78, 2), generator.normal(120, 3))
    apart = generator.normal(68, 1)
    # one tree for all, as branches run alike in most people; each person's is a little off
    tree = np.random.default_rng(_TREE)
    outwards = tree.uniform(0, 0.85, _VESSELS)
    directions = tree.normal(size=(_VESSELS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    middles = directions * outwards[:, None] * lungs
    middles[:, 0] += np.where(tree.random(_VESSELS) < 0.5, -apart, apart)
    middles += generator.normal(scale=1.5, size=middles.shape)
    radii = generator.uniform(0.9, 1.1, _VESSELS) * (4.5 - 3 * outwards)
    heart = np.array([22.0, -22.0, -25.0]) + generator.normal(scale=1.5, size=3)
    return Thorax(
        body_mm=(generator.normal(158, 2.5), generator.normal(112, 2)),
        lungs_mm=lungs,
        apart_mm=apart,
        heart_mm=(heart, np.array([48.0, 42.0, 55.0]) * generator.normal(1, 0.02, 3)),
        vessels=np.column_stack([middles, radii]),
        displacement=SmoothField.draw(generator, channels=3, knots=5, deviation=1.5),
    )


def draw_tumour(thorax: Thorax, generator: np.random.Generator) -> Tumour:
    """Draw a tumour 40 to 48 mm across in the middle of a lung, away from its border."""
    side = -1 if generator.random() < 0.5 else 1
    angle, height = generator.uniform(-1, 1) * np.pi / 3, generator.uniform(-0.2, 0.2)
    long_side, deep, tall = thorax.lungs_mm
    centre = np.array(
        [
            side * (thorax.apart_mm + 0.15 * long_side * np.cos(angle)),
            0.4 * deep * np.sin(angle),
            height * tall,
        ]
    )
    return Tumour(centre_mm=centre, radius_mm=float(generator.uniform(20, 24)))


def _distance(points: Points, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.linalg.norm(points - centre, axis=-1)
    return distance
