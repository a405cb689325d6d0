"""The Triton kernel, run by Triton's own interpreter where there is no GPU."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

PROGRAM = """
import torch
from torch import nn
from torch.nn import functional as F
from ai_core.backbone.triton_kernels import add_and_normalise_at_once
from ai_core.backbone.residual import add_and_normalise

draw = torch.Generator().manual_seed(0)
for width in (32, 80, 384):
    x = 3 + torch.randn(2, 5, width, generator=draw)
    branch = torch.randn(2, 5, width, generator=draw).bfloat16()
    norm = nn.LayerNorm(width, eps=1e-5)
    norm.weight.data = torch.randn(width, generator=draw)
    norm.bias.data = torch.randn(width, generator=draw)
    norm.requires_grad_(False)
    for given in (branch, None):
        before = x.clone()
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2**-7)):
            total, normed = add_and_normalise_at_once(x, given, norm, dtype)
            expected, exact = add_and_normalise(x, given, norm, torch.float32)
            assert torch.equal(x, before)
            assert torch.equal(total, expected)
            assert normed.dtype == dtype
            torch.testing.assert_close(normed.float(), exact, rtol=tolerance, atol=1e-5)
print("agrees")
"""


def test_one_pass_gives_what_its_parts_give():
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "agrees\n", done.stderr
