"""Files that are either as they were or wholly new, whatever happens in between.

Rules: written beside under a name of its own, synchronised, renamed, and the folder synchronised
too; what a crash leaves half-written is removed at the next start · who may read a file is said by
its folder: with the set-group-ID bit it is one that both halves share, each as its own user, and
the umask of each says what the other may; without, what is made here is its owner's alone.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

PARTIAL: Final = ".partial"
"""Suffix of files that are being written."""


def make_folder(path: Path) -> None:
    """Make a folder and those above it, for its owner or both halves; or take the one there is.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o770 if is_shared(path.parent) else 0o700, exist_ok=True)


def is_shared(folder: Path) -> bool:
    """Say whether both halves work in a folder, each as a user of its own. Raises OSError."""
    return bool(folder.stat().st_mode & stat.S_ISGID)


def file_mode(folder: Path) -> int:
    """Return the mode of a new file in a folder, before the umask. Raises OSError."""
    return 0o660 if is_shared(folder) else 0o600


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write; at the end of the block it is `path`, and durable.

    When the block raises, or the disk does (OSError), `path` stays what it was.
    """
    partial = path.with_name(path.name + PARTIAL)
    mode = file_mode(path.parent)
    try:
        with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
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
