import os
import subprocess
import sys

import pytest

READS = """
import torch
from ai_core.allocator import keep_freed_memory
took = keep_freed_memory() if {asked} else False
def touch():
    torch.zeros(32 * 2**20, dtype=torch.uint8)
touch()
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    touch()
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, asked):
    path = os.pathsep.join(sys.path)
    found = subprocess.run(
        [sys.executable, "-c", READS.format(asked=asked)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ).stdout.split()
    return found[0] == "True", int(found[1])


def test_large_blocks_are_used_again_instead_of_being_mapped_anew():
    took, reused = faults(asked=True)
    if not took:
        pytest.skip("this C library has no mallopt")
    assert reused < faults(asked=False)[1] / 10
