"""The fine-tuning loss: focal over {S_n, S_a} plus dice over S_a (MediCLIP Eq. 3)."""

import torch
from torch import Tensor

from ai_core.model.anomaly_map import LogMaps


def focal_loss(maps: LogMaps, labels: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Compute the mean over pixels of -(1 - p)^γ log p, p being the true class's probability.

    Args:
        maps: log S_n and log S_a, shape (N, H, W).
        labels: 1 where the pixel is anomalous, else 0; float, shape (N, H, W).
        gamma: focusing exponent; 0 is plain cross-entropy.

    Source: MediCLIP Eq. 3 (first term); no class weights.
    """
    log_true = torch.where(labels > 0.5, maps.anomaly, maps.normal)
    log_false = torch.where(labels > 0.5, maps.normal, maps.anomaly)
    weight = torch.exp(gamma * log_false)  # the two shares sum to 1, so 1 - p is the other one
    return -(weight * log_true).mean()


def dice_loss(anomaly: Tensor, labels: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Compute the mean over images of 1 - (2 Σ S_a Y + s) / (Σ S_a + Σ Y + s).

    Args:
        anomaly: S_a in [0, 1], shape (N, H, W).
        labels: 1 where the pixel is anomalous, else 0; float, shape (N, H, W).
        smooth: s, which also rewards an empty map on a normal image.

    Source: MediCLIP Eq. 3 (second term).
    """
    overlap = (anomaly * labels).flatten(1).sum(1)
    total = anomaly.flatten(1).sum(1) + labels.flatten(1).sum(1)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def medical_anomaly_loss(maps: LogMaps, labels: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Compute focal([S_n, S_a], Y) + dice(S_a, Y), a scalar (MediCLIP Eq. 3)."""
    return focal_loss(maps, labels, gamma=gamma) + dice_loss(maps.anomaly.exp(), labels)
