"""The card half on a disk whose sync takes 30 ms: `python -m tests.bench.slow_disk CONFIG`.

Where a device cannot be slowed down by the kernel (dm-delay), the system call is: a write to a file
that was opened for synchronous writing returns 30 ms later. The agent's own code is as it is.
"""

import fcntl
import os
import sys
import time
from typing import Final

from edge.tap import main

SYNC_S: Final = 0.030
_write = os.write


def write(descriptor: int, data: bytes) -> int:
    """Write, and take as long as a slow SD card does when the file is synchronous."""
    written = _write(descriptor, data)
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DSYNC:
        time.sleep(SYNC_S)
    return written


if __name__ == "__main__":
    os.write = write  # type: ignore[assignment]
    sys.exit(main(sys.argv[1:]))
