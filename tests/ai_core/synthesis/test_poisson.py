"""Poisson blending against a direct sparse solver."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from ai_core.synthesis.poisson import interior_spans, poisson_blend, solve_dirichlet

sparse: Any = scipy.sparse  # scipy ships no types


def blobs(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for index in range(count):
        top, left = (int(torch.randint(0, 20, (), generator=generator)) for _ in range(2))
        masks[index, top : top + 9 + 4 * index, left : left + 14] = True
        masks[index] &= torch.rand(height, width, generator=generator) < 0.9
    return masks


def solved_directly(right: np.ndarray) -> np.ndarray:
    height, width = right.shape

    def second(size: int) -> Any:
        return sparse.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(size, size))

    laplacian = sparse.kron(second(height), sparse.eye(width))
    laplacian += sparse.kron(sparse.eye(height), second(width))
    solution: np.ndarray = sparse.linalg.spsolve(laplacian.tocsc(), right.ravel())
    return solution.reshape(height, width)


def test_the_solver_agrees_with_a_sparse_one_on_every_box_of_a_batch() -> None:
    right = torch.rand(3, 1, 40, 50, generator=torch.Generator().manual_seed(0)) - 0.5
    rows, columns = [(1, 39), (4, 20), (7, 8)], [(1, 49), (10, 45), (3, 30)]
    solution = solve_dirichlet(right, rows, columns)
    for index, (row, column) in enumerate(zip(rows, columns, strict=True)):
        box = (index, 0, slice(*row), slice(*column))
        direct = solved_directly(right[box].double().numpy())
        assert solution[box].numpy() == pytest.approx(direct, abs=1e-4)
        outside = solution[index, 0].clone()
        outside[slice(*row), slice(*column)] = 0
        assert not outside.any()


def test_a_blend_minimises_the_papers_functional() -> None:
    """The gradient of the sum over edges of (f_p - f_q - v_pq)², in Pérez's terms, is zero."""
    generator = torch.Generator().manual_seed(2)
    targets = 0.4 + 0.2 * torch.rand(2, 3, 48, 48, generator=generator)
    sources = 0.4 + 0.2 * torch.rand(2, 3, 48, 48, generator=generator)
    masks = blobs(2, 48, 48)
    blended = poisson_blend(targets, sources, masks)
    assert 0 < float(blended.min()) < float(blended.max()) < 1
    free = blended.double().requires_grad_()
    energy = torch.zeros((), dtype=torch.float64)
    for axis in (2, 3):
        size = free.shape[axis] - 1
        here = [t.narrow(axis, 0, size) for t in (free, targets.double(), sources.double())]
        there = [t.narrow(axis, 1, size) for t in (free, targets.double(), sources.double())]
        both = (masks[:, None].narrow(axis, 0, size) & masks[:, None].narrow(axis, 1, size)).expand(
            -1, 3, -1, -1
        )
        wanted = torch.where(both, there[2] - here[2], there[1] - here[1])
        energy = energy + (there[0] - here[0] - wanted).square().sum()
    (slope,) = torch.autograd.grad(energy, free)
    for index, (row, column) in enumerate(zip(*interior_spans(masks), strict=True)):
        assert float(slope[index, :, slice(*row), slice(*column)].abs().max()) < 1e-5


def test_outside_the_masks_box_nothing_changes() -> None:
    generator = torch.Generator().manual_seed(3)
    targets = torch.rand(2, 1, 48, 48, generator=generator)
    masks = torch.zeros(2, 48, 48, dtype=torch.bool)
    masks[0, 10:20, 12:30] = True
    blended = poisson_blend(targets, 1 - targets, masks)
    changed = (blended != targets)[:, 0]
    assert changed[0, 10:20, 12:30].any()
    assert not (changed & ~masks).any()


def test_a_brighter_source_leaves_no_trace_as_only_its_gradients_count() -> None:
    targets = torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(4)) * 0.5
    masks = blobs(1, 48, 48)
    assert torch.allclose(poisson_blend(targets, targets + 0.3, masks), targets, atol=1e-5)


def test_a_mask_over_the_whole_image_keeps_the_images_rim() -> None:
    targets = torch.full((1, 1, 32, 32), 0.5)
    sources = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(5))
    blended = poisson_blend(targets, sources, torch.ones(1, 32, 32, dtype=torch.bool))
    changed = (blended != targets)[0, 0]
    assert changed[1:-1, 1:-1].float().mean() > 0.9
    changed[1:-1, 1:-1] = False
    assert not changed.any()
