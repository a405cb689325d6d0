"""Command line of the node: `mediclip-dicom`.

Exit codes: 0 done, 1 failed (the message says why and what to do), 2 wrong usage or
configuration, 3 (`task register`) the normal studies can't promise the false-positive rate.
"""

import os
import sys

from rich.console import Console

from mediclip_dicom.cli.app import app
from mediclip_dicom.errors import ConfigError, NodeError, RateNotReachableError

PACKAGES_WITH_TYPED_ERRORS = ("ai_core", "listener", "mediclip_dicom")


def main() -> None:
    """Run the console script."""
    # Threads that spin at barriers wait for each other's cores where processes share them: the
    # stand-in's text tower took 1.5 s instead of 0.03 s. OpenMP reads this as torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _is_expected(error):
            raise
        console = Console(stderr=True, emoji=False, soft_wrap=True)
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        # Like a wrong option, a wrong setting is for whoever calls us to put right.
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    if isinstance(error, ConfigError):
        return 2
    return 3 if isinstance(error, RateNotReachableError) else 1


def _is_expected(error: Exception) -> bool:
    """True for our own errors (shown without traceback), matched without importing torch."""
    return isinstance(error, NodeError) or type(error).__module__.startswith(
        tuple(f"{package}.errors" for package in PACKAGES_WITH_TYPED_ERRORS)
    )
