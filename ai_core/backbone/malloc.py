"""malloc settings that keep freed memory in the process, for tensors of tens of megabytes."""

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to reuse large freed blocks instead of handing them back at once.

    By default every large tensor is mapped anew and its pages are cleared one by one, which on
    virtual machines can cost more than the arithmetic. The price is that the process keeps its
    peak. It touches the whole process, so an application calls it, and no library on its own.

    Returns:
        Whether the C library (glibc) took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(option, _NEVER) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
