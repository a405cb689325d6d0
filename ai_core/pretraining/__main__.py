"""``python -m ai_core.pretraining``: distil a teacher into a small backbone."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from ai_core.backbone import load_backbone
from ai_core.errors import DetectorError
from ai_core.pretraining.exclusion import read_exclusion
from ai_core.pretraining.pictures import gather_pictures
from ai_core.pretraining.report import Report
from ai_core.pretraining.run import CHECKPOINT_EVERY, pretrain
from ai_core.pretraining.settings import CropSettings, PretrainingSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when it went well, 1 with a line on stderr when it did not."""
    given = _parser().parse_args(arguments)
    try:
        _run(given)
    except (DetectorError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(given: argparse.Namespace) -> None:
    settings = PretrainingSettings(
        steps=given.steps,
        batch=given.batch,
        seed=given.seed,
        learning_rate=given.learning_rate,
        crops_per_image=given.crops_per_image,
        shown=given.shown,
        whole_last=given.whole_last,
        difference_weight=given.differences,
        precision=given.precision,
        crops=CropSettings(invert=given.invert),
    )
    report = _every(given.report_every)
    exclusion = read_exclusion(given.exclude, root=given.exclude_root)
    sources, turns = zip(*given.images, strict=True)
    pictures = gather_pictures(sources, exclusion=exclusion, root=given.exclude_root, turns=turns)
    for count in pictures.counts:
        print(
            f"{count.source}: {count.seen} pictures, {count.used} used, {count.excluded} excluded, "
            f"{count.repeated} copies, {count.unreadable} unreadable",
            file=sys.stderr,
        )
    teacher = load_backbone(
        given.teacher_model,
        given.teacher_weights,
        device=given.device,
        precision=given.teacher_precision,
    )
    pretrain(
        pictures,
        exclusion=exclusion,
        teacher=teacher,
        settings=settings,
        folder=given.out,
        start=given.start,
        resume=given.resume,
        checkpoint_every=given.checkpoint_every,
        report=report,
    )
    print(given.out)


def _every(lines: int) -> Report:
    """Print every n-th line, with the seconds since the start."""
    started = time.monotonic()
    lines_seen = 0

    def report(line: str) -> None:
        nonlocal lines_seen
        lines_seen += 1
        if lines_seen % lines == 0:
            print(f"{time.monotonic() - started:8.1f} s  {line}", file=sys.stderr, flush=True)

    return report


def _parser() -> argparse.ArgumentParser:
    default = PretrainingSettings()
    parser = argparse.ArgumentParser(
        prog="python -m ai_core.pretraining", description="Distil a teacher into a small backbone."
    )
    add = parser.add_argument
    add("--teacher-model", required=True, help="open_clip model name, or a config file (JSON)")
    add("--teacher-weights", required=True, help="open_clip tag, or a weights file")
    add("--teacher-precision", choices=("fp32", "bf16"), default="fp32")
    add(
        "--images",
        required=True,
        nargs="+",
        type=_source,
        metavar="DIR[:N]",
        help="folders or splits; each picture comes N times in a round (1)",
    )
    add(
        "--exclude", default=[], nargs="+", type=Path, metavar="FILE", help="paths, SHA-256, splits"
    )
    add("--exclude-root", type=Path, help="where relative paths in lists start")
    add("--out", required=True, type=Path, metavar="DIR")
    add("--steps", type=_positive, default=default.steps)
    add("--batch", type=_positive, default=default.batch)
    add("--seed", type=int, default=default.seed)
    add("--learning-rate", type=float, default=default.learning_rate)
    add("--crops-per-image", type=int, default=default.crops_per_image, help="0: new at each step")
    add("--shown", type=float, default=default.shown, help="share of patches seen of a crop")
    add("--whole-last", type=float, default=default.whole_last, help="updates that see them all")
    add("--differences", type=float, default=default.difference_weight, help="weight; 0: none")
    add("--invert", type=float, default=default.crops.invert, help="odds of black for white")
    add("--precision", choices=("fp32", "bf16"), default=default.precision, help="the student's")
    add("--start", type=Path, metavar="FILE", help="weights of a student to begin with")
    add("--checkpoint-every", type=_positive, default=CHECKPOINT_EVERY, metavar="STEPS")
    add("--report-every", type=_positive, default=10, metavar="STEPS")
    add("--device", default="cpu", help='"cpu", "cuda" or "auto"')
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    return parser


def _source(text: str) -> tuple[Path, int]:
    path, colon, turns = text.rpartition(":")
    return (Path(path), _positive(turns)) if colon and turns.isdigit() else (Path(text), 1)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sys.exit(main())
