"""CutPaste: a piece of another image."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from ai_core.synthesis import OFFICIAL_SYNTHESIS, PAPER_SYNTHESIS, Distribution
from ai_core.synthesis.boxes import make_box, window_around
from ai_core.synthesis.cutpaste import Piece, cut_paste, draw_piece
from ai_core.synthesis.seeded_stream import SeededStream
from ai_core.synthesis.settings import CutPasteSettings

stats: Any = scipy.stats  # scipy ships no types
SIZE = 128


def piece_of(settings: CutPasteSettings, seed: int, *, half: float = 20) -> Piece:
    box = make_box(half, half * 0.7, angle=0.0).at(60, 66)
    return draw_piece(box, settings, SeededStream(seed), height=SIZE, width=SIZE)


def paste(
    settings: CutPasteSettings, piece: Piece, targets: torch.Tensor, sources: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    window = window_around(piece.box, margin=2, height=SIZE, width=SIZE)
    before = targets[(..., *window.slices)]
    after, mask = cut_paste(before, sources, [piece], [window], settings=settings)
    return before, after, mask


def test_a_paste_is_the_piece_itself_within_the_mask() -> None:
    settings = OFFICIAL_SYNTHESIS.cutpaste
    targets, sources = torch.full((1, 1, SIZE, SIZE), 0.2), torch.full((1, 1, SIZE, SIZE), 0.9)
    before, after, mask = paste(settings, piece_of(settings, 0), targets, sources)
    assert torch.allclose(after[0, 0][mask[0]], torch.tensor(0.9))
    assert torch.equal(after[0, 0][~mask[0]], before[0, 0][~mask[0]])


def test_poisson_blending_leaves_no_seam_where_a_paste_does() -> None:
    smooth = torch.linspace(0.2, 0.4, SIZE).expand(1, 1, SIZE, SIZE).contiguous()
    texture = 0.7 + 0.02 * torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def steps(settings: CutPasteSettings) -> float:
        after = paste(settings, piece_of(settings, 1), smooth, texture)[1]
        return float(after.diff(dim=3).abs().max())

    blended = CutPasteSettings(mask=OFFICIAL_SYNTHESIS.cutpaste.mask)
    assert blended.blend == "poisson"
    assert steps(blended) < 0.15
    assert steps(OFFICIAL_SYNTHESIS.cutpaste) > 0.3


def test_the_piece_comes_from_where_it_was_drawn() -> None:
    """Neither turned nor scaled, the view is the source, moved."""
    settings = CutPasteSettings(turn=0.0, scale=Distribution("uniform", 1.0, 1.0), blend="paste")
    piece = piece_of(settings, 2)
    sources = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    piece = Piece(piece.outline, float(round(piece.row)), float(round(piece.column)), piece.view)
    window = window_around(piece.box, margin=2, height=SIZE, width=SIZE)
    _, after, mask = paste(settings, piece, torch.zeros_like(sources), sources)
    moved = sources.roll((60 - round(piece.row), 66 - round(piece.column)), (2, 3))
    expected = moved[(..., *window.slices)]
    assert torch.allclose(after[0, 0][mask[0]], expected[0, 0][mask[0]], atol=1e-4)


@pytest.mark.parametrize(
    "settings", [PAPER_SYNTHESIS.cutpaste, OFFICIAL_SYNTHESIS.cutpaste], ids=["paper", "official"]
)
def test_turn_scale_and_place_follow_the_stated_laws(settings: CutPasteSettings) -> None:
    pieces = [piece_of(settings, seed, half=5) for seed in range(1500)]
    angles = [math.degrees(math.atan2(piece.view[2], piece.view[0])) for piece in pieces]
    assert stats.kstest(angles, stats.uniform(-45, 90).cdf).pvalue > 0.01
    zooms = np.array([1 / math.hypot(piece.view[0], piece.view[2]) for piece in pieces])
    assert stats.kstest(zooms[zooms > 1] - 1, stats.expon(scale=0.1).cdf).pvalue > 0.01
    assert abs((zooms > 1).mean() - 0.5) < 0.05
    rows = np.array([piece.row for piece in pieces])
    assert rows.min() >= 4
    assert rows.max() <= SIZE - 4
    assert rows.mean() == pytest.approx((SIZE - 1) / 2, abs=3)
    assert rows.std() > 30


def test_pieces_come_from_as_nearby_as_the_reach_says() -> None:
    pieces = [piece_of(CutPasteSettings(reach=0.25), seed) for seed in range(200)]
    assert max(abs(piece.row - 60) for piece in pieces) <= 0.25 * SIZE
    assert max(abs(piece.column - 66) for piece in pieces) <= 0.25 * SIZE


def test_a_piece_larger_than_the_source_is_scaled_to_fit() -> None:
    settings = CutPasteSettings(scale=Distribution("uniform", 0.5, 0.5))
    for seed in range(20):
        piece = piece_of(settings, seed, half=0.4 * SIZE)
        zoom = 1 / math.hypot(piece.view[0], piece.view[2])
        assert zoom >= 1 - 1e-6
