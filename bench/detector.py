"""How fast the detector fits and scores, beside the authors' released code.

    python bench/detector.py --authors CHECKOUT --data FOLDER --split FOLDER/splits/brainmri.json \\
        --model standin.json --weights standin.safetensors --updates 20 --rounds 3

Both sides get the same weights, support set, images, device and machine, and run one after the
other in every round, each in a fresh process, so that a ratio compares runs that are close in
time. Loading of libraries, weights and images is not counted on either side.

`--updates N` runs only N of the authors' updates and multiplies; without it their whole fit runs,
and the AUROC of both is given. `--authors-python` is an interpreter that also has imgaug, easydict
and PyYAML. `--before CHECKOUT` runs the first preset by an earlier commit, too, and gives our time
as a multiple of its own; both fit one head (`Detector.fit`). `--tower`, on a card, adds the tower's
share of its measured bf16 matrix peak and the latency of a single image.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from sklearn.metrics import roc_auc_score
from torchvision.transforms.functional import pil_to_tensor

from ai_core import Backbone, Detector, get_preset, load_backbone
from ai_core.backbone import keep_freed_memory, read_architecture
from ai_core.images import IMAGE_SIZE

HERE = Path(__file__).resolve().parent

BEFORE = "before"
"""Side that an earlier commit runs."""


def read_images(files: list[Path], *, geometry: str) -> torch.Tensor:
    """RGB in [0, 1], shape (N, 3, 224, 224), stretched or padded to a square."""
    images = []
    for file in files:
        image = Image.open(file).convert("RGB")
        if geometry == "pad":
            image = ImageOps.pad(image, (max(image.size),) * 2)
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
        images.append(pil_to_tensor(image).float() / 255)
    return torch.stack(images)


def make_folder(files: list[Path], folder: Path) -> None:
    """The support set in the layout that the authors' data set class reads."""
    (folder / "images").mkdir(parents=True)
    (folder / "samples").mkdir()
    lines = []
    for number, file in enumerate(files):
        name = f"{number:03}{file.suffix}"
        (folder / "images" / name).symlink_to(file.resolve())
        lines.append(json.dumps({"filename": name, "label": 0, "clsname": "normal"}))
    (folder / "samples" / "train.json").write_text("\n".join(lines))


def load(job: dict[str, Any], precision: Any = "auto") -> Backbone:
    return load_backbone(
        job["model"], job["weights_file"], device=job["device"], precision=precision
    )


def run_ours(job: dict[str, Any]) -> dict[str, Any]:
    keep_freed_memory()  # as the node does
    name, _, precision = job["side"].partition("@")
    preset = get_preset(name)
    backbone = load(job, precision or "auto")
    support = read_images([Path(file) for file in job["support"]], geometry=preset.geometry)
    images = read_images([Path(file) for file in job["files"]], geometry=preset.geometry)
    backbone.encode(support[:1])  # measures the machine if nobody has
    on_card = backbone.device.type == "cuda"
    synchronise: Callable[[], None] = torch.cuda.synchronize if on_card else lambda: None
    generator = torch.Generator().manual_seed(job["seed"])
    begun, worked = time.perf_counter(), time.process_time()
    detector = Detector.fit(support, backbone=backbone, preset=preset, generator=generator)
    synchronise()
    fitted, fit_worked = time.perf_counter(), time.process_time()
    scores = detector.score(images).scores.tolist()
    synchronise()
    ended = time.perf_counter()
    return {
        "fit_seconds": fitted - begun,
        "share": 1.0,
        "test_passes": 0,
        "score_seconds": ended - fitted,
        "fit_cpu": fit_worked - worked,
        "score_cpu": time.process_time() - fit_worked,
        "scores": scores,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "device_mib": torch.cuda.max_memory_allocated() / 2**20 if on_card else 0,
    }


def run_round(side: str, job: dict[str, Any], folder: Path, options: argparse.Namespace) -> Any:
    """One side in a process of its own."""
    file = folder / "job.json"
    checkout = options.before.resolve() if side == BEFORE else HERE.parent
    preset = options.presets.split(",")[0] if side == BEFORE else side
    file.write_text(json.dumps({**job, "side": preset}))
    if side == "authors":
        python = options.authors_python
        command = [python, str(HERE / "authors.py"), str(options.authors), str(file)]
    else:
        script = checkout / "bench" / "detector.py"
        command = [sys.executable, str(script), "--job", str(file)]
    path = os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | ({} if side == "authors" else {"PYTHONPATH": path})
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return json.loads(Path(job["result"]).read_text())


def describe_gpu(backbone: Backbone) -> None:
    """The tower's share of the card's bf16 matrix peak, and a single image's latency.

    A card that is hot or at its power limit slows down, so the peak is that of a large product
    over the same time, right before: some milliseconds, and a second.
    """
    for batch in (64, 128, 256):
        images = torch.rand(batch, 3, IMAGE_SIZE, IMAGE_SIZE, device=backbone.device)
        normalised = (images - 0.45) / 0.27
        run = backbone._runtime._runner(backbone.precision)
        for name, seconds in (("at once", 0.03), ("over a second", 1.0)):
            time.sleep(0.5)
            peak = matrix_peak(seconds)
            time.sleep(0.5)
            taken = cuda_seconds(lambda x=normalised, run=run: run(x), seconds)
            speed = tower_flops(backbone) * batch / taken
            print(
                f"tower, batch {batch}, {name}: {batch / taken:.0f} images/s, "
                f"{speed / 1e12:.0f} TFLOP/s, {speed / peak:.0%} of a matrix product's "
                f"{peak / 1e12:.0f}"
            )
    one = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    alone = cuda_seconds(lambda: backbone.encode(one), queue=1)
    print(f"one image through the tower: {alone * 1e3:.1f} ms")
    support = torch.rand(16, 3, IMAGE_SIZE, IMAGE_SIZE)
    detector = Detector.fit(support, backbone=backbone, generator=torch.Generator().manual_seed(0))
    alone = cuda_seconds(lambda: detector.score(one), queue=1)
    print(f"one image scored: {alone * 1e3:.1f} ms")


def matrix_peak(seconds: float, side: int = 8192) -> float:
    """FLOP/s of a large bf16 matrix product."""
    left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in "ab")
    return float(2 * side**3 / cuda_seconds(lambda: left @ right, seconds))


def cuda_seconds(work: Any, seconds: float = 1.0, *, queue: int = 8) -> float:
    """Mean time of a call over about so many seconds, so many queued at once, after warming up."""
    for _ in range(5):  # a small batch is recorded at the fourth call
        work()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    calls = 0
    while time.perf_counter() - begun < seconds:
        work()
        calls += 1
        if calls % queue == 0:
            torch.cuda.synchronize()  # or the clock would only see calls being queued
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / calls


def tower_flops(backbone: Backbone) -> float:
    """Multiply-adds of the matrix products for one image, counted twice."""
    visual = backbone.model.visual
    tokens, width = backbone.grid**2 + 1, backbone.width
    blocks = visual.transformer.resblocks
    hidden = blocks[0].mlp.c_fc.weight.shape[0]
    block = tokens * width * (4 * width + 2 * hidden) + 2 * tokens**2 * width
    patches = backbone.grid**2 * visual.conv1.weight.numel()
    return float(2 * (len(blocks) * block + patches))


def save_for_authors(backbone: Backbone, model: str, file: Path) -> None:
    """The same weights in the form that bench/authors.py reads."""
    architecture = read_architecture(model, tag=None)
    if architecture is None:
        sys.exit(f"the authors' code needs an open_clip configuration, which {model} has not")
    config = json.dumps(architecture.config)
    state = backbone.model.state_dict()
    torch.save({"config": config, "state": state, "grid": backbone.grid}, file)


def prepare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    split = json.loads(options.split.read_text())
    support = [options.data / name for name in split["support_k16_seeds"][str(options.seed)]]
    support = support[: options.k]
    normal, abnormal = split["test_normal"], split["test_abnormal"]
    tested = [options.data / name for name in normal + abnormal]
    files = [tested[index % len(tested)] for index in range(options.images)]
    make_folder(support, folder / "support")
    backbone = load_backbone(options.model, options.weights, device="cpu")
    if options.authors:
        save_for_authors(backbone, options.model, folder / "weights.pt")
    torch.save(read_images(files, geometry="stretch"), folder / "images.pt")
    return {
        "model": options.model,
        "weights_file": options.weights,
        "weights": str(folder / "weights.pt"),
        "images": str(folder / "images.pt"),
        "files": [str(file) for file in files],
        "support": [str(file) for file in support],
        "folder": str(folder / "support"),
        "result": str(folder / "result.json"),
        "blocks": backbone.blocks,
        "device": options.device,
        "updates": options.updates,
        "k": options.k,
        "seed": options.seed,
        "tested": len(tested),
        "labels": [0] * len(normal) + [1] * len(abnormal),
    }


def report(sides: dict[str, list[Any]], job: dict[str, Any]) -> None:
    count = len(job["files"])
    for side, rounds in sides.items():
        fit = statistics.median(found["fit_seconds"] for found in rounds)
        score = statistics.median(found["score_seconds"] for found in rounds)
        peak = max(found["peak_mib"] for found in rounds)
        share = rounds[0]["share"]
        note = f" (from {share:.0%} of the updates)" if share < 1 else ""
        device = max(found["device_mib"] for found in rounds)
        on_card = f", {device:.0f} MiB on the card" if device else ""
        print(
            f"{side:12} fit {fit:8.2f} s{note}; scoring {count / score:6.2f} images/s; "
            f"{peak:.0f} MiB{on_card}"
        )
        if share == 1 and count >= job["tested"]:
            scores = rounds[0]["scores"][: job["tested"]]
            print(f"{'':12} image-AUROC {100 * roc_auc_score(job['labels'], scores):.1f}")
    if BEFORE in sides:
        ours = next(side for side in sides if side not in (BEFORE, "authors"))
        compare_before(ours, list(zip(sides[BEFORE], sides[ours], strict=True)))
    for side in sides:
        if side not in ("authors", BEFORE) and "authors" in sides:
            pairs = list(zip(sides["authors"], sides[side], strict=True))
            for unit, name in (("seconds", "wall clock"), ("cpu", "processor time")):
                compare(side, pairs, unit=unit, name=name, passes=job["tested"] / count)


def compare_before(side: str, pairs: list[Any]) -> None:
    """Print the time of paired rounds as a multiple of the earlier commit's."""
    for unit, name in (("seconds", "wall clock"), ("cpu", "processor time")):
        for part in ("fit", "score"):
            ratios = [now[f"{part}_{unit}"] / then[f"{part}_{unit}"] for then, now in pairs]
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(
                f"{side}, {name}: {part}: {statistics.median(ratios):.2f} times that of "
                f"{BEFORE} ({shown})"
            )


def compare(side: str, pairs: list[Any], *, unit: str, name: str, passes: float) -> None:
    """Print ratios of paired rounds; processor time is what a busy machine distorts least."""
    fit, score = f"fit_{unit}", f"score_{unit}"
    tests = [a["test_passes"] * a[score] * passes for a, _ in pairs]
    rows = {
        "fit, their training alone": [a[fit] / b[fit] for a, b in pairs],
        "fit, with their test pass after every epoch (computed)": [
            (a[fit] + test) / b[fit] for (a, b), test in zip(pairs, tests, strict=True)
        ],
        "scoring": [a[score] / b[score] for a, b in pairs],
    }
    for row, ratios in rows.items():
        shown = ", ".join(f"{ratio:.1f}" for ratio in ratios)
        print(f"{side}, {name}: {row}: {statistics.median(ratios):.1f} times as fast ({shown})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--authors", type=Path, help="a checkout of the authors' code")
    parser.add_argument("--authors-python", default=sys.executable)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit of ours")
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--split", type=Path, help="support and test lists (JSON)")
    parser.add_argument("--model", default="ViT-L-14")
    parser.add_argument("--weights", default="openai")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--presets", default="default,paper", help="NAME or NAME@PRECISION, as in default@int8"
    )
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--images", type=int, default=256, help="images to score")
    parser.add_argument("--updates", type=int, default=0, help="authors' updates to run; 0 for all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tower", action="store_true", help="the tower by itself, on a card")
    options = parser.parse_args()
    if options.job:
        job = json.loads(options.job.read_text())
        Path(job["result"]).write_text(json.dumps(run_ours(job)))
        return
    with tempfile.TemporaryDirectory() as name:
        job = prepare(options, Path(name))
        authors = ["authors"] if options.authors else []
        before = [BEFORE] if options.before else []
        names = authors + before + options.presets.split(",")
        sides: dict[str, list[Any]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for side, found in sides.items():
                found.append(run_round(side, job, Path(name), options))
                last = found[-1]
                print(
                    f"… {side}: {last['fit_seconds']:.2f} s, {last['score_seconds']:.2f} s",
                    flush=True,
                )
        report(sides, job)
        if options.tower:
            describe_gpu(load(job))


if __name__ == "__main__":
    main()
