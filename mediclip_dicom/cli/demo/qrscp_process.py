"""Run pynetdicom's qrscp, and end it when the process that started it is gone."""

import os
import sys
import threading

from pynetdicom.apps.qrscp import qrscp


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    qrscp.main(sys.argv[1:])  # type: ignore[no-untyped-call]
