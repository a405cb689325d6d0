import os
import subprocess
import sys

import pytest

COUNTS = """
import resource
import numpy as np
from ai_core.backbone.malloc import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(2**25, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain, took = faults(), keep_freed_memory()
faults()
print(took, plain, faults())
"""


def test_large_blocks_are_used_again_instead_of_being_mapped_anew():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COUNTS]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    took, plain, kept = found.stdout.split()
    if took == "False":
        pytest.skip("this C library has no mallopt")
    assert int(kept) < int(plain) / 10
