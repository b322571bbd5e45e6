"""What a reader's agent of a version understands, by how it names itself."""

import re
from typing import Final

_VERSION: Final = re.compile(r"(?:.* )?(\d+)\.(\d+)\b")
"""How an agent names itself: `0.3.0`, or that behind its name."""


def version_of(agent: str) -> tuple[int, ...] | None:
    """Return the version without its last figure; None for what names none."""
    found = _VERSION.match(agent)
    return tuple(map(int, found.groups())) if found else None


def understands(agent: str, since: tuple[int, int]) -> bool:
    """True for an agent that names a version from `since` on."""
    version = version_of(agent)
    return version is not None and version >= since
