"""Files that are either as they were or wholly new, whatever happens in between.

Rules: written beside under a name of its own, synchronised, renamed, and the folder synchronised
too; what a crash leaves half-written is removed at the next start.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

PARTIAL: Final = ".partial"
"""Suffix of files that are being written."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write; at the end of the block it is `path`, mode 0600, and durable.

    When the block raises, or the disk does (OSError), `path` stays what it was.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        synchronise_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Make `data` the content of `path`, durably. Raises OSError."""
    with replacing(path) as file:
        file.write(data)


def remove_partial(folder: Path) -> None:
    """Remove what a crash left half-written in a folder, if it is there. Raises OSError."""
    for leftover in folder.glob(f"*{PARTIAL}"):
        leftover.unlink()


def synchronise_folder(folder: Path) -> None:
    """Make the names in a folder durable: a file's own sync does not. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
