"""Making sure that what was written is on the disk."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """See to it that a file, or a folder's names, are on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
