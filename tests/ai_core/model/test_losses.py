"""Eq. 3 against numbers worked out by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from ai_core.model.anomaly_map import LogMaps
from ai_core.model.losses import dice_loss, focal_loss, medical_anomaly_loss

LABELS = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
SHARES = torch.tensor([[[0.8, 0.1], [0.5, 0.3]]])


def maps_of(anomaly: Tensor) -> LogMaps:
    return LogMaps(normal=torch.log1p(-anomaly), anomaly=anomaly.log())


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_loss_is_the_number_worked_out_by_hand(gamma):
    true_shares = (0.8, 0.9, 0.5, 0.3)
    expected = sum(-((1 - p) ** gamma) * log(p) for p in true_shares) / 4
    found = focal_loss(maps_of(SHARES), LABELS, gamma=gamma)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_with_an_exponent_of_two_as_a_plain_number():
    # 0.04·0.22314 + 0.01·0.10536 + 0.25·0.69315 + 0.49·1.20397, over four
    assert float(focal_loss(maps_of(SHARES), LABELS)) == pytest.approx(0.193303, abs=1e-5)


def test_dice_loss_is_the_number_worked_out_by_hand():
    # overlap 0.8 + 0.3, map 1.7, labels 2
    assert float(dice_loss(SHARES, LABELS)) == pytest.approx(1 - (2.2 + 1) / (3.7 + 1), abs=1e-6)
    found = dice_loss(SHARES, LABELS, smooth=0.5)
    assert float(found) == pytest.approx(1 - (2.2 + 0.5) / (3.7 + 0.5), abs=1e-6)


def test_dice_loss_is_a_mean_over_images_and_not_over_their_pixels_together():
    shares = torch.stack([SHARES[0], torch.zeros(2, 2)])
    labels = torch.stack([LABELS[0], torch.zeros(2, 2)])
    expected = (1 - 3.2 / 4.7) / 2
    assert float(dice_loss(shares, labels)) == pytest.approx(expected, abs=1e-6)


def test_the_whole_loss_is_the_sum_of_both():
    found = medical_anomaly_loss(maps_of(SHARES), LABELS, gamma=1.0)
    parts = focal_loss(maps_of(SHARES), LABELS, gamma=1.0) + dice_loss(SHARES, LABELS)
    assert float(found) == pytest.approx(float(parts), abs=1e-6)


def perfect(labels: Tensor) -> LogMaps:
    return maps_of(labels.clamp(1e-6, 1 - 1e-6))


def test_a_perfect_map_costs_almost_nothing_and_a_reversed_one_a_lot():
    assert float(medical_anomaly_loss(perfect(LABELS), LABELS)) < 1e-4
    assert float(medical_anomaly_loss(perfect(1 - LABELS), LABELS)) > 5


def test_an_empty_map_on_a_normal_image_costs_almost_nothing():
    labels = torch.zeros(1, 2, 2)
    assert float(medical_anomaly_loss(perfect(labels), labels)) < 1e-4


def test_the_gradient_raises_s_a_where_anomalous_and_lowers_it_elsewhere():
    odds = torch.zeros(1, 2, 2, requires_grad=True)
    maps = LogMaps(
        normal=torch.nn.functional.logsigmoid(-odds), anomaly=torch.nn.functional.logsigmoid(odds)
    )
    medical_anomaly_loss(maps, LABELS).backward()
    assert odds.grad is not None
    assert torch.equal(odds.grad < 0, LABELS > 0.5)
    assert torch.equal(odds.grad > 0, LABELS < 0.5)


def test_certain_and_wrong_is_a_large_number_and_no_nan():
    maps = LogMaps(normal=torch.zeros(1, 2, 2), anomaly=torch.full((1, 2, 2), -87.0))
    assert float(focal_loss(maps, torch.ones(1, 2, 2))) == pytest.approx(87.0)
