"""Rows of figures, kept in a folder from which a killed run resumes."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ai_core.errors import EvaluationError
from ai_core.evaluation.promises import AtOperatingPoint
from ai_core.files import locked, write_bytes, write_text

_ADDED = ("normals", "abnormals")
"""Fields that rows of earlier versions don't have."""

METRICS_FILE = "metrics.json"
RUN_FILE = "run.json"
LOCK_FILE = ".rows.lock"
RUN_LOCK_FILE = ".run.lock"
PROBE_BYTES = 4_000_000
"""Size of the file that is written to try a folder: more than a run's own record."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one cell.

    Attributes:
        dataset: the data set that was tested.
        fitted_on: the data set that the support set came from.
        preset: of MediCLIP, or None.
        method: "mediclip" or a baseline's name.
        geometry: how pictures came to the detector's input.
        k: support pictures; 0 for a method that takes none.
        seed: of support set and fit.
        image_auroc: in [0, 1], of the method's own image score.
        image_auroc_of_max: in [0, 1], were the map's maximum the image score, as in the paper.
        pixel_auroc: in [0, 1]; None without masks.
        aupro: in [0, 1], up to 30 % false positives; None without masks.
        sensitivity: at the operating point, in [0, 1]; None without one.
        fpr_promised: by the operating point; None without one.
        fpr_seen: on the tested normals; None without an operating point.
        fit_seconds: the fit, with its operating point.
        images_per_second: the frozen tower and scoring together, reading files left out.
        identity: digest over code, backbone, pictures, support set and choices.
        sensitivity_of_oracle: at the best threshold for the promised rate on the tested normals
            themselves; None without an operating point.
        normal_out_of_scope: share of normal units that the scope guard stops; in [0, 1].
        abnormal_out_of_scope: the same of abnormal units.
        points: measured at the rate asked for, then at 5, 10 and 20 %.
        reliability: share of normal units with a p-value within each of `RELIABILITY_RATES`.
        normals: tested normal pictures; None in rows of version 0.1.
        abnormals: tested abnormal pictures; likewise.
    """

    dataset: str
    fitted_on: str
    preset: str | None
    method: str
    geometry: str
    k: int
    seed: int
    image_auroc: float
    image_auroc_of_max: float
    pixel_auroc: float | None
    aupro: float | None
    sensitivity: float | None
    fpr_promised: float | None
    fpr_seen: float | None
    fit_seconds: float
    images_per_second: float
    identity: str
    sensitivity_of_oracle: float | None = None
    normal_out_of_scope: float | None = None
    abnormal_out_of_scope: float | None = None
    points: tuple[AtOperatingPoint, ...] = ()
    reliability: tuple[float, ...] = ()
    normals: int | None = None
    abnormals: int | None = None

    @property
    def cell(self) -> tuple[Any, ...]:
        """Key of the row within a run."""
        return (
            self.fitted_on,
            self.dataset,
            self.method,
            self.preset,
            self.geometry,
            self.k,
            self.seed,
        )


class RunFolder:
    """The folder of a run: rows that are there already, and the run's record.

    Args:
        folder: made if missing.
        same: what must not change within a folder: backbone, subset and the like.
        record: everything else worth keeping in run.json.

    Raises:
        EvaluationError: the folder holds another run, or files that are no run's.
    """

    def __init__(self, folder: Path, *, same: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder
        self._rows: list[Row] = []
        self._seen: dict[str, Row] = {}
        self._read()
        before = _read_run(folder / RUN_FILE)
        if self._rows and before is None:
            raise EvaluationError(
                f"{folder / METRICS_FILE} has no {RUN_FILE} next to it; name another folder"
            )
        if before is not None and self._rows:
            changed = [key for key in same if before.get("same", {}).get(key) != same[key]]
            if changed:
                raise EvaluationError(
                    f"{folder} holds figures of another run (different: {', '.join(changed)}); "
                    "name another folder"
                )
        write_text(folder / RUN_FILE, json.dumps({"same": dict(same), **record}, indent=1) + "\n")

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, in the order they were made."""
        return tuple(self._rows)

    def has(self, identity: str) -> bool:
        """Return whether a row of this identity is there, made by this run or another."""
        if identity not in self._seen:
            self._read()
        return identity in self._seen

    def add(self, row: Row) -> None:
        """Keep a row, in place of any older one of the same cell, before anything else happens.

        Rows that another run has put into the folder since are kept, too.
        """
        with locked(self.path / LOCK_FILE):
            self._read()
            self._rows = [old for old in self._rows if old.cell != row.cell] + [row]
            self._seen[row.identity] = row
            text = json.dumps([asdict(one) for one in self._rows], indent=1)
            write_text(self.path / METRICS_FILE, text + "\n")

    def row(self, identity: str) -> Row:
        """Return the row of this identity, even where another run has replaced its cell since."""
        return self._seen[identity]

    def _read(self) -> None:
        self._rows = _read_rows(self.path / METRICS_FILE)
        self._seen |= {row.identity: row for row in self._rows}


@contextmanager
def one_run(folder: Path) -> Iterator[None]:
    """Keep a folder for one run of a command, after a look at whether it can be written.

    Args:
        folder: made if missing; removed again where the run puts nothing into it.

    Raises:
        EvaluationError: it can't be written, or another run is at it.
    """
    probe = folder / f"{RUN_LOCK_FILE}.probe"
    made = not folder.exists()
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder / RUN_LOCK_FILE, wait=False))
            write_bytes(probe, bytes(PROBE_BYTES))
            probe.unlink()
        except BlockingIOError as error:
            raise EvaluationError(
                f"another run is writing into {folder}; wait until it is done, or name another "
                "folder"
            ) from error
        except OSError as error:
            raise EvaluationError(
                f"{folder} can't be written ({error.strerror or error}): name another folder, or "
                "raise the limit on file sizes if that is the reason (ulimit -f)"
            ) from error
        try:
            yield
        finally:
            if made and [path.name for path in folder.iterdir()] == [RUN_LOCK_FILE]:
                (folder / RUN_LOCK_FILE).unlink()  # refused before anything was made
                folder.rmdir()


def select(rows: Iterable[Row], wanted: Callable[[Row], bool]) -> tuple[Row, ...]:
    """Return the rows for which ``wanted`` holds."""
    return tuple(row for row in rows if wanted(row))


def _read_rows(file: Path) -> list[Row]:
    if not file.exists():
        return []
    known = {field.name for field in fields(Row)}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return [
            _read_row({key: row[key] for key in known if key in row or key not in _ADDED})
            for row in values
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EvaluationError(
            f"{file} can't be read as the figures of a run ({error}); name another folder"
        ) from error


def _read_row(values: dict[str, Any]) -> Row:
    points = tuple(AtOperatingPoint(**point) for point in values["points"])
    return Row(**{**values, "points": points, "reliability": tuple(values["reliability"])})


def _read_run(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"{file} can't be read as the record of a run ({error}); name another folder"
        ) from error
    return values if isinstance(values, dict) else None
