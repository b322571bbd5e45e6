"""The interpreters that run the head's modules: this one, and MicroPython's unix port."""

from __future__ import annotations

import sys
from pathlib import Path

HEAP = "192K"
"""About what a Pico leaves to a program; objects are twice as large as there."""


def micropython(heap: str = HEAP) -> list[str]:
    """The command of MicroPython with so much memory."""
    return [str(Path(sys.executable).with_name("micropython")), "-X", f"heapsize={heap}"]


INTERPRETERS = {"cpython": [sys.executable, "-S"], "micropython": micropython()}
