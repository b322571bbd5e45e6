"""One agent alone in a state folder: a lock that ends with its process, however that ends.

Rules: the kernel's lock (flock(2)) decides and the file's existence means nothing, so a power cut
leaves nothing to clean up · whoever comes second says so and changes nothing.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LINK_LOCK: Final = "link.lock"
"""In the state folder: the network half's; the card half's is the journal's."""


class InUse(OSError):
    """Another process holds the lock; the sentence says where, and what to do."""


def take(path: Path) -> int:
    """Take a lock, whose folder exists, and return the descriptor: whoever closes it lets go.

    Raises InUse, or OSError of the disk.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise InUse(f"{path.parent} is in use by another agent: stop that one first") from error
        raise
    return descriptor


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock within the block; see `take`."""
    descriptor = take(path)
    try:
        yield
    finally:
        os.close(descriptor)


def refuse_held(path: Path) -> None:
    """Raise InUse when another process holds the lock at this moment; OSError of the disk."""
    with hold(path):
        pass
