"""Token cache: a data set's patch tokens on disk, so that each picture is encoded once."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.errors import EvaluationError
from ai_core.evaluation.data.datasets import Item, digest_of, file_digest
from ai_core.evaluation.data.pictures import PLAIN, Look, read_item
from ai_core.files import locked, replaced, write_text
from ai_core.images import Mode, Placement
from ai_core.scope import ImageFacts, describe_images

BATCH = 8
"""Pictures whose tokens are in memory at once."""

_FACTS = tuple(field.name for field in fields(ImageFacts))

Report = Callable[[str, int, int], None]
"""Receives a stage, the steps done and the steps in all."""


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The patch tokens of a data set's pictures, in order, in a file that is read piece by piece.

    Attributes:
        path: a NumPy file, float32, shape (N, blocks, patches, width).
        facts: numbers that the scope guard judges the pictures by.
        placements: rectangle of each picture in the detector's input.
        encode_seconds: what the tower took for all of them together, without reading files.
    """

    path: Path
    facts: ImageFacts
    placements: tuple[Placement, ...]
    encode_seconds: float

    def batches(self, device: torch.device) -> Iterator[Tensor]:
        """Yield the tokens on the device, a few pictures at a time."""
        tokens = np.load(self.path, mmap_mode="r")
        for start in range(0, len(tokens), BATCH):
            yield torch.from_numpy(np.array(tokens[start : start + BATCH])).to(device)


def encode_items(
    items: Sequence[Item],
    *,
    geometry: Mode,
    look: Look = PLAIN,
    backbone: Backbone,
    folder: Path,
    report: Report,
) -> TokenFile:
    """Encode pictures into a file of the folder, or find them there from an earlier run.

    The file's name is a digest of backbone, geometry and the pictures' own bytes; a file whose
    content is not as it was written is made anew, and runs that share the folder wait for each
    other. It takes
    4 * blocks * patches * width bytes for each picture: 3 MB with ViT-L/14.

    Args:
        items: the pictures.
        geometry: how they are brought to the detector's input.
        look: crop and tiles.
        backbone: the frozen tower.
        folder: folder of the file; made if missing.
        report: called after every batch.

    Raises:
        PictureError: a picture can't be read.
        EvaluationError: the disk is too small.
    """
    key = _key(items, geometry=geometry, look=look, backbone=backbone)
    path, facts = folder / f"{key}.npy", folder / f"{key}.json"
    judged = folder / f"{key}.scope"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{key}.lock"):  # another run may be at these very pictures
        if not _is_whole(path, judged=judged, facts=facts):
            _encode(
                items,
                geometry=geometry,
                look=look,
                backbone=backbone,
                path=path,
                facts=facts,
                report=report,
            )
    values = json.loads(facts.read_text())
    return TokenFile(
        path=path,
        facts=_load_facts(judged),
        placements=tuple(_placement(placement) for placement in values["placements"]),
        encode_seconds=values["encode_seconds"],
    )


def _is_whole(path: Path, *, judged: Path, facts: Path) -> bool:
    """Return whether all files are there with the bytes that were written."""
    try:
        digests = json.loads(facts.read_text())["sha256"]
        return bool(digests == [file_digest(path), file_digest(judged)])
    except (OSError, ValueError, KeyError, TypeError, EvaluationError):
        return False


def _placement(values: dict[str, Any]) -> Placement:
    box = values.get("box")
    return Placement(**{**values, "box": None if box is None else tuple(box)})


def _encode(
    items: Sequence[Item],
    *,
    geometry: Mode,
    look: Look,
    backbone: Backbone,
    path: Path,
    facts: Path,
    report: Report,
) -> None:
    patches = (look.tiles * backbone.grid) ** 2
    shape = (len(items), len(backbone.blocks), patches, backbone.width)
    needed = 4 * int(np.prod(shape))
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise EvaluationError(
            f"the tokens of {len(items)} pictures take {needed / 1e9:.1f} GB, and {path.parent} "
            f"has {free / 1e9:.1f} GB left; name another folder as the cache"
        )
    placements: list[Placement] = []
    judged: list[ImageFacts] = []
    seconds = 0.0
    with replaced(path) as partial:
        tokens = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        for start in range(0, len(items), backbone.batch_size):
            chosen = items[start : start + backbone.batch_size]
            pictures = [read_item(item, geometry=geometry, look=look) for item in chosen]
            began = time.perf_counter()
            images = torch.stack([one.image for one in pictures])
            encoded = backbone.encode(images)
            found = encoded.tokens.cpu()
            seconds += time.perf_counter() - began
            tokens[start : start + len(chosen)] = found.numpy()
            judged.append(
                describe_images(images, tokens=encoded.tokens, embedding=encoded.embedding)
            )
            placements += [one.placement for one in pictures]
            report("encode pictures", start + len(chosen), len(items))
        tokens.flush()
        del tokens
        with (
            replaced(path.with_suffix(".scope")) as partial_facts,
            partial_facts.open("wb") as file,
        ):
            joined = ImageFacts.join(judged)
            np.savez(file, **{name: getattr(joined, name).numpy() for name in _FACTS})
        values = {
            "encode_seconds": seconds,
            "placements": [asdict(one) for one in placements],
            "sha256": [file_digest(partial), file_digest(path.with_suffix(".scope"))],
        }
        write_text(facts, json.dumps(values))


def _load_facts(path: Path) -> ImageFacts:
    with np.load(path) as stored:
        return ImageFacts(*(torch.from_numpy(stored[name]) for name in _FACTS))


def _key(items: Sequence[Item], *, geometry: Mode, look: Look, backbone: Backbone) -> str:
    parts = [
        backbone.sha256,
        str(backbone.blocks),
        backbone.precision,
        backbone.device.type,
        geometry,
        digest_of(items),
        *([] if look == PLAIN else [repr(look)]),
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
