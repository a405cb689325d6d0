"""Check of all listed pictures and masks, before anything is fitted."""

from collections.abc import Iterable

import structlog

from ai_core.errors import EvaluationError, PictureError
from ai_core.evaluation.data.datasets import Item
from ai_core.evaluation.data.pictures import read_mask
from ai_core.evaluation.data.token_cache import Report
from ai_core.images import read_picture

_SHOWN = 5
_WHOLE = 0.99
"""Share of a picture from which on its mask is questioned."""

log = structlog.get_logger()


def check_items(items: Iterable[Item], *, report: Report) -> None:
    """Read every picture and mask once; all faults are in one error.

    A mask that covers its picture marks no lesion, and is perhaps inverted or another file: it is
    logged as `mask.covers_picture`. A mask that marks nothing is logged as `mask.is_empty`.

    Args:
        items: pictures; the same file is read once.
        report: called after every picture.

    Raises:
        EvaluationError: files that can't be read, or masks of another size than their picture.
    """
    distinct = {item.path: item for item in items}
    faults: list[str] = []
    for done, item in enumerate(distinct.values(), start=1):
        faults += _faults(item)
        report("check pictures", done, len(distinct))
    if faults:
        rest = len(faults) - _SHOWN
        more = f"; and {rest} more" if rest > 0 else ""
        raise EvaluationError(
            f"{len(faults)} faults in {len(distinct)} pictures and their masks: "
            f"{'; '.join(faults[:_SHOWN])}{more}. Nothing was fitted"
        )


def _faults(item: Item) -> list[str]:
    faults: list[str] = []
    size = None
    try:
        size = read_picture(item.path).shape[:2]
    except PictureError as error:
        faults.append(str(error))
    for path in item.masks:
        try:
            mask = read_mask(path)
        except EvaluationError as error:
            faults.append(str(error))
            continue
        if size is not None and mask.shape != size:
            faults.append(
                f"{path} is {mask.shape[0]}x{mask.shape[1]} pixels, its picture {item.path.name} "
                f"is {size[0]}x{size[1]}; a mask must have its picture's size"
            )
        elif mask.mean() >= _WHOLE:
            log.warning(
                "mask.covers_picture",
                mask=str(path),
                reason="no lesion fills a picture: is it inverted, or another file?",
            )
        elif not mask.any():
            log.warning("mask.is_empty", mask=str(path), reason="its picture counts as not drawn")
    return faults
