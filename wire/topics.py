"""Where messages travel: `kazasu/1/{tenant}/{reader}/{leaf}`.

A reader's certificate name is `tenant/reader`, so the broker's pattern `kazasu/1/%u/entries`
gives each reader its own leaves and no other's. Patterns name leaves, never `#`.
"""

import enum
import re
from typing import Final, NamedTuple

PREFIX: Final = "kazasu/1"
"""Product and major version of the contract."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
"""Tenant, reader, place and programme names: 1 to 32 of a-z, 0-9 and inner hyphens, so that they
are safe in topics, certificates, file names and URLs alike."""

READER_NAME_MAX: Final = 64
"""Characters of `tenant/reader`: a certificate's name has no more (RFC 5280, ub-common-name)."""


class Leaf(enum.StrEnum):
    """What one topic of a reader carries."""

    ENTRIES = "entries"
    STATUS = "status"
    TELEMETRY = "telemetry"
    TRIAGE = "triage"
    TWIN_REPORTED = "twin/reported"
    COMMAND_RESULT = "command/result"
    ACK = "ack"
    TWIN_DESIRED = "twin/desired"
    COMMAND = "command"


UP: Final = (
    Leaf.ENTRIES,
    Leaf.STATUS,
    Leaf.TELEMETRY,
    Leaf.TRIAGE,
    Leaf.TWIN_REPORTED,
    Leaf.COMMAND_RESULT,
)
"""Leaves that only the reader may write."""
DOWN: Final = (Leaf.ACK, Leaf.TWIN_DESIRED, Leaf.COMMAND)
"""Leaves that only the fleet may write and only this reader may read."""


class ReaderName(NamedTuple):
    """A reader's full name; as text `tenant/reader`, which is also its certificate's name."""

    tenant: str
    reader: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.reader}"


def parse_name(text: str) -> str:
    """Return `text` as one name; raises ValueError when it is not 1 to 32 of a-z, 0-9, hyphen."""
    if not _NAME.match(text):
        raise ValueError(f"{text!r} is no name: use 1 to 32 of a-z, 0-9 and inner hyphens")
    return text


def parse_reader(text: str) -> ReaderName:
    """Return `tenant/reader` in its two parts; raises ValueError when it has not exactly two."""
    if len(text) > READER_NAME_MAX:
        raise ValueError(f"tenant and reader have at most {READER_NAME_MAX} characters together")
    parts = text.split("/")
    if len(parts) != 2:
        raise ValueError(f"{text!r} is no reader: it has the form tenant/reader")
    return ReaderName(parse_name(parts[0]), parse_name(parts[1]))


def topic(reader: ReaderName, leaf: Leaf) -> str:
    """Return the full topic of one leaf of one reader."""
    return f"{PREFIX}/{reader}/{leaf}"


def parse_topic(text: str) -> tuple[ReaderName, Leaf]:
    """Return reader and leaf of a full topic; raises ValueError for any other topic."""
    parts = text.split("/", 4)
    if len(parts) != 5 or "/".join(parts[:2]) != PREFIX:
        raise ValueError(f"{text!r} is no topic of this contract")
    return ReaderName(parse_name(parts[2]), parse_name(parts[3])), Leaf(parts[4])


def every_reader(leaf: Leaf) -> str:
    """Return the fleet's subscription for one leaf of all readers."""
    return f"{PREFIX}/+/+/{leaf}"
