"""Bounds in time that a busy machine keeps as well as an idle one."""

from typing import Final

import pytest

IN_TIME: Final = pytest.mark.flaky(reruns=7, reruns_delay=0.3)
"""For a test of how long something takes, or of a device that is given up when it is silent for so
long: the quickest of eight counts. Other work on the machine may hold up any of them; what is slow
by itself is slow each time."""
