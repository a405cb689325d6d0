"""Fictitious brains: a deformed, shaded template with noise, with or without a lesion.

Points are in millimetres of the patient coordinate system, LPS (PS3.3 C.7.6.2.1.1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (  # type: ignore[attr-defined]
    map_coordinates,
    spline_filter,
)
from scipy.spatial.transform import Rotation

from mediclip_dicom.cli.demo.errors import DemoExtraMissingError

Array = NDArray[np.float32]

_BRAIN_CENTRE_MM = (0.0, 18.0, 10.0)
_FIELD_OF_VIEW_MM = 240.0
_RAS_FROM_LPS = np.array([-1.0, -1.0, 1.0])
_STRIDE = 4
_DARK = (0.2, 0.35)
_BRIGHT = (1.05, 1.2)


@dataclass(frozen=True, slots=True)
class Template:
    """T1 brain and its tissue.

    Attributes:
        intensity: (x, y, z) in [0, 1], 1 mm voxels in RAS order.
        tissue: (x, y, z) probability in [0, 1] of grey or white matter.
        origin_mm: RAS position of the first voxel.
    """

    intensity: Array
    tissue: Array
    origin_mm: NDArray[np.float64]

    def sample(self, volume: Array, points: NDArray[np.float64]) -> Array:
        """Sample a volume by trilinear interpolation at (..., 3) LPS points; 0 outside."""
        voxels = np.moveaxis(points * _RAS_FROM_LPS - self.origin_mm, -1, 0)
        sampled: Array = map_coordinates(volume, voxels, order=1, output=np.float32)
        return sampled


def load_template() -> Template:
    """Load the ICBM 2009a T1 template that nilearn carries in its wheel (nothing is downloaded).

    Raises:
        DemoExtraMissingError: nilearn is not installed.
    """
    try:
        from nilearn import datasets
    except ImportError as error:
        raise DemoExtraMissingError(
            "the demonstration makes its patients from nilearn's brain template, and nilearn is "
            "not installed: pip install 'mediclip-dicom[demo]', or bring your own studies with "
            "--data DIR"
        ) from error
    image = datasets.load_mni152_template(resolution=1)
    grey = datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32)
    white = datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32)
    return Template(
        intensity=image.get_fdata(dtype=np.float32),
        tissue=np.clip(grey + white, 0.0, 1.0),
        origin_mm=np.asarray(image.affine[:3, 3], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class SmoothField:
    """Smooth random field over the field of view: cubic splines through a coarse random grid.

    Attributes:
        knots: (channels, n, n, n) values at the knots, already spline-filtered.
    """

    knots: NDArray[np.float64]

    @classmethod
    def draw(
        cls, generator: np.random.Generator, *, channels: int, knots: int, deviation: float
    ) -> "SmoothField":
        """Draw a field whose knots are normal with the given standard deviation."""
        values = generator.normal(scale=deviation, size=(channels, knots, knots, knots))
        return cls(np.stack([spline_filter(v, order=3, mode="mirror") for v in values]))

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (..., channels) values at (..., 3) points; on the grid of a slice every fourth
        point is evaluated and the rest is interpolated, since the field is smooth.
        """
        if points.ndim != 3 or min(points.shape[:2]) < 2 * _STRIDE:
            return self._evaluate(points)
        rows, columns = points.shape[:2]
        coarse = self._evaluate(points[::_STRIDE, ::_STRIDE])
        row, column = np.mgrid[0:rows, 0:columns] / _STRIDE
        return np.stack(
            [
                map_coordinates(channel, (row, column), order=1, mode="nearest")
                for channel in np.moveaxis(coarse, -1, 0)
            ],
            axis=-1,
        )

    def _evaluate(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        size = self.knots.shape[-1] - 1
        unit = (points - _BRAIN_CENTRE_MM) / _FIELD_OF_VIEW_MM + 0.5
        grid = np.moveaxis(unit * size, -1, 0)
        return np.stack(
            [map_coordinates(k, grid, order=3, mode="mirror", prefilter=False) for k in self.knots],
            axis=-1,
        )


@dataclass(frozen=True, slots=True)
class Lesion:
    """Soft-edged, slightly irregular ellipsoid.

    Attributes:
        centre_mm: patient position of its centre.
        radii_mm: half axes.
        rotation: (3, 3) from patient axes to its own.
        outline: irregularity: relative change of the radius over space.
        intensity: signal inside, as a share of the template's range.
    """

    centre_mm: NDArray[np.float64]
    radii_mm: NDArray[np.float64]
    rotation: NDArray[np.float64]
    outline: SmoothField
    intensity: float

    def weight(self, points: NDArray[np.float64]) -> Array:
        """Return how much of each point is lesion, in [0, 1]; one half on its outline."""
        own = ((points - self.centre_mm) @ self.rotation.T) / self.radii_mm
        radius = np.sqrt((own**2).sum(axis=-1)) * (1.0 + self.outline.at(points)[..., 0])
        exponent = np.clip((radius - 1.0) / 0.09, -30.0, 30.0)
        weight: Array = (1.0 / (1.0 + np.exp(exponent))).astype(np.float32)
        return weight


@dataclass(frozen=True, slots=True)
class Patient:
    """Fictitious brain, defined at every point of space.

    Attributes:
        template: template that it is bent from.
        rotation: (3, 3) of the head.
        shift_mm: translation of the head.
        displacement: smooth deformation in millimetres, three channels.
        bias: logarithm of the coil's shading, one channel.
        lesion: its lesion, if any.
    """

    template: Template
    rotation: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    displacement: SmoothField
    bias: SmoothField
    lesion: Lesion | None = None

    def in_template(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (..., 3) patient points to the template's space."""
        turned = (points - _BRAIN_CENTRE_MM) @ self.rotation.T + _BRAIN_CENTRE_MM
        return turned + self.shift_mm + self.displacement.at(points)

    def tissue(self, points: NDArray[np.float64]) -> Array:
        """Return the probability of grey or white matter at (..., 3) points."""
        return self.template.sample(self.template.tissue, self.in_template(points))

    def signal(self, points: NDArray[np.float64]) -> Array:
        """Return the noise-free signal, about [0, 1], at (..., 3) points."""
        signal = self.template.sample(self.template.intensity, self.in_template(points))
        if self.lesion is not None:
            weight = self.lesion.weight(points) * (signal > 0.05)
            signal = signal + weight * (self.lesion.intensity - signal)
        return signal * np.exp(self.bias.at(points)[..., 0]).astype(np.float32)

    def lesion_mask(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return where the lesion is more than half of the point, inside the brain."""
        if self.lesion is None:
            return np.zeros(points.shape[:-1], dtype=np.bool_)
        brain = self.template.sample(self.template.intensity, self.in_template(points)) > 0.05
        return (self.lesion.weight(points) >= 0.5) & brain


def draw_patient(template: Template, generator: np.random.Generator) -> Patient:
    """Draw a normal brain: pose, shape and shading."""
    angles = generator.normal(scale=2.0, size=3).clip(-5.0, 5.0)
    return Patient(
        template=template,
        rotation=Rotation.from_euler("xyz", angles, degrees=True).as_matrix(),
        shift_mm=generator.normal(scale=2.0, size=3).clip(-5.0, 5.0),
        displacement=SmoothField.draw(generator, channels=3, knots=6, deviation=3.0),
        bias=SmoothField.draw(generator, channels=1, knots=4, deviation=0.07),
    )


def draw_lesion(
    patient: Patient,
    generator: np.random.Generator,
    *,
    candidates: NDArray[np.float64],
    bright: bool = False,
) -> Lesion:
    """Draw a lesion 24 to 40 mm across inside grey or white matter.

    Args:
        patient: brain that it is in.
        generator: source of every draw.
        candidates: (n, 3) patient points where its centre may be; the one among a random handful
            with the most brain tissue around it is taken.
        bright: brighter than all tissue, as fat, blood or contrast medium is in T1; else dark, as
            most lesions are.
    """
    radii = generator.uniform(12.0, 20.0, size=3)
    centres = candidates[generator.choice(len(candidates), size=min(60, len(candidates)))]
    directions = generator.normal(size=(48, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    around = centres[:, None] + directions * radii.mean() * generator.uniform(0.3, 1.0, (48, 1))
    share = patient.tissue(around).mean(axis=1) + 0.2 * patient.tissue(centres)
    return Lesion(
        centre_mm=centres[int(share.argmax())],
        radii_mm=radii,
        rotation=Rotation.from_euler("z", generator.uniform(0, 180), degrees=True).as_matrix(),
        outline=SmoothField.draw(generator, channels=1, knots=22, deviation=0.12),
        intensity=float(generator.uniform(*(_BRIGHT if bright else _DARK))),
    )


def add_noise(signal: Array, generator: np.random.Generator, *, deviation: float) -> Array:
    """Return the magnitude of a signal with complex Gaussian noise (a Rician distribution)."""
    real = signal + generator.normal(scale=deviation, size=signal.shape)
    imaginary = generator.normal(scale=deviation, size=signal.shape)
    return np.hypot(real, imaginary).astype(np.float32)
