"""Pictures that packages on PyPI bring along, as files to train on.

``python -m ai_core.pretraining.packaged --out DIR`` writes what the installed ones among
scikit-image, scikit-learn and nilearn have: photographs and micrographs, and slices of the MNI
template of the head in its three directions.
"""

import argparse
import io
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ai_core.errors import DetectorError, PretrainingError
from ai_core.files import write_bytes
from ai_core.images import PICTURE_SUFFIXES, between_percentiles

_PHOTOGRAPHS = {"skimage": "skimage.data", "sklearn": "sklearn.datasets.images"}
_TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_EMPTY = 0.1
"""A slice of which less shows anything is left out."""


def write_packaged(folder: Path) -> dict[str, int]:
    """Write the pictures of every package that is installed.

    Args:
        folder: gets a folder for each package; made where it is missing.

    Returns:
        How many pictures each package gave.

    Raises:
        PretrainingError: none of the packages is installed.
    """
    counts = {
        name: _copy_pictures(files(package), folder / name)
        for name, package in _PHOTOGRAPHS.items()
        if find_spec(name)
    }
    if find_spec("nilearn"):
        counts["nilearn"] = _write_slices(folder / "nilearn")
    if not counts:
        raise PretrainingError("none of scikit-image, scikit-learn and nilearn is installed")
    return counts


def _copy_pictures(package: Traversable, folder: Path) -> int:
    pictures = [one for one in package.iterdir() if Path(one.name).suffix in PICTURE_SUFFIXES]
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        write_bytes(folder / picture.name, picture.read_bytes())
    return len(pictures)


def _write_slices(folder: Path) -> int:
    from nilearn.image import load_img  # an optional package, and slow to import

    volume = np.asarray(load_img(str(files("nilearn.datasets.data") / _TEMPLATE)).dataobj)
    folder.mkdir(parents=True, exist_ok=True)
    shown = between_percentiles(volume.astype(np.float32))
    count = 0
    for axis, name in enumerate(("sagittal", "coronal", "axial")):
        for number, plane in enumerate(np.moveaxis(shown, axis, 0)):
            if (plane > 0).mean() >= _EMPTY:
                _save(np.rot90(plane), folder / f"{name}-{number:03d}.png")
                count += 1
    return count


def _save(plane: npt.NDArray[np.float32], path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.rint(plane * 255).astype(np.uint8)).save(content, format="PNG")
    write_bytes(path, content.getvalue())


def main() -> int:
    """Run the command line; 0 when it went well, 1 with a line on stderr when it did not."""
    parser = argparse.ArgumentParser(
        prog="python -m ai_core.pretraining.packaged",
        description="Write the pictures that scikit-image, scikit-learn and nilearn bring along.",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    folder = parser.parse_args().out
    try:
        counts = write_packaged(folder)
    except (DetectorError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, count in counts.items():
        print(f"{folder / name}: {count} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
