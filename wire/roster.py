r"""The roster file: a programme's complete list of credentials with what a decision needs.

    "KAZASU-ROSTER-1\n" · header length (u32, big-endian) · signed header · rows (wire.rows)

Rows are sorted by credential, each 28 bytes: credential (16) · category (u16, an index into the
header's list) · valid from, valid to (u16, days since 2000-01-01, both days included; 0 and
65535: open) · zero (u16) · stopped from (u32, seconds since 2000-01-01 UTC; 0: not stopped).
The same data give the same bytes.

The hash of the head names the whole file, since the head names its rows by theirs.
"""

import datetime
import functools
import hashlib
import itertools
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import msgspec
from msgspec import Meta

from wire.credential import CREDENTIAL_BYTES, Credential, Scheme
from wire.entries import AtMs, Hash, Name, RuleVersion, Short
from wire.envelope import MessageRefused, PublicKey, Purpose, Signer, open_envelope
from wire.limits import ROSTER_HEADER_BYTES_MAX, ROSTER_ROWS_MAX
from wire.messages import Count
from wire.rows import FileKind, Rows

MAGIC: Final = b"KAZASU-ROSTER-1\n"
ROW: Final = struct.Struct(">16sHHHHI")
ROSTER: Final = FileKind(
    "roster", MAGIC, ROSTER_HEADER_BYTES_MAX, "application/vnd.kazasu.roster-delta"
)
EPOCH_DAY: Final = datetime.date(2000, 1, 1)
EPOCH_S: Final = 946_684_800
"""2000-01-01T00:00:00Z in seconds since 1970."""
OPEN_END: Final = 0xFFFF
MOVING_SINCE: Final = (0, 2)
"""Agents from this version on read `RosterHeader.moving` and the scheme `card-ap`."""


class RosterRefused(MessageRefused):
    """This file is not the roster that it should be; fetch it again."""

    reason = "roster"


class RuleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A programme's parameters from a day on; the programme's own module knows their types."""

    version: RuleVersion
    valid_from: datetime.date
    parameters: dict[str, Any]


class Moving(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"from_scheme": "from", "to_scheme": "to"},
):
    """Members move from one scheme to another; until the deadline both are good."""

    from_scheme: Scheme
    to_scheme: Scheme


class RosterHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is signed: the rows by their hash, and what a decision needs beside them.

    `schemes` are those that members in the rows still use, in the programme's order of
    preference: a reader tries the next one only while it is named here. `rules` are sorted by
    `valid_from`; `categories` are opaque to readers and operators alike.
    """

    v: Literal[1]
    programme: Name
    place: Name
    version: Count
    at_ms: AtMs
    key_epoch: Annotated[int, Meta(ge=1, le=65_535)]
    schemes: list[Scheme]
    categories: list[Short]
    rules: list[RuleTable]
    triage: bool
    """The reader reports cards that no roster knows (wire.messages.Triage), for a clerk."""
    rows: Annotated[int, Meta(ge=0, le=ROSTER_ROWS_MAX)]
    rows_sha256: Hash
    moving: Moving | None = None
    """A member who is found by the one scheme is read by the other too. Absent unless a campaign
    runs, and where a reader's agent is older than MOVING_SINCE: older agents read this header."""


class RosterRow(NamedTuple):
    """One member's card. `stopped_from_s` is in seconds since 1970 UTC, None when not stopped."""

    credential: Credential
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None
    stopped_from_s: int | None


@functools.lru_cache(4_096)
def _day(number: int) -> datetime.date:
    """Return a day as it stands in a row; eleven years' days are kept, 0.4 MB at most."""
    return EPOCH_DAY + datetime.timedelta(days=number)


@functools.lru_cache(4_096)
def _days(day: datetime.date | None, absent: int) -> int:
    if day is None:
        return absent
    number = (day - EPOCH_DAY).days
    if not 0 < number < OPEN_END:
        raise ValueError(f"{day} cannot stand in a roster: use 2000-01-02 to 2179-06-05")
    return number


def _seconds(stopped_from_s: int | None) -> int:
    """Return a stop as it stands in a row; one of before 2000 has begun at the epoch."""
    if stopped_from_s is None:
        return 0
    number = max(1, stopped_from_s - EPOCH_S)
    if number > 0xFFFF_FFFF:
        raise ValueError(f"a stop from {stopped_from_s} s on cannot stand in a roster: it is late")
    return number


def pack_rows(rows: Iterable[RosterRow], categories: Sequence[str]) -> bytes:
    """Return the rows' bytes, sorted. Raises ValueError for a credential that stands twice."""
    index = {category: number for number, category in enumerate(categories)}
    packed = sorted(
        ROW.pack(
            bytes.fromhex(row.credential),
            index[row.category],
            _days(row.valid_from, 0),
            _days(row.valid_to, OPEN_END),
            0,
            _seconds(row.stopped_from_s),
        )
        for row in rows
    )
    for one, next_one in itertools.pairwise(packed):
        if one[:CREDENTIAL_BYTES] == next_one[:CREDENTIAL_BYTES]:
            raise ValueError(f"credential {one[:CREDENTIAL_BYTES].hex()} stands twice")
    return b"".join(packed)


def roster_audience(tenant: str, header: RosterHeader) -> str:
    """Return what a roster's signature is for."""
    return f"{tenant}/{header.programme}/{header.place}"


def sign_head(header: RosterHeader, tenant: str, by: Signer) -> bytes:
    """Return all that stands before the rows. Raises ValueError for too long a header."""
    try:
        return ROSTER.head(by.seal(Purpose.ROSTER, roster_audience(tenant, header), header))
    except ValueError as error:
        raise ValueError(f"{error}: shorten the rule tables") from error


def build_roster(header: RosterHeader, rows: Iterable[RosterRow], tenant: str, by: Signer) -> bytes:
    """Return the whole file; `rows` and `rows_sha256` of the header are filled in here."""
    packed = pack_rows(rows, header.categories)
    header = msgspec.structs.replace(
        header, rows=len(packed) // ROW.size, rows_sha256=hashlib.sha256(packed).digest()
    )
    return sign_head(header, tenant, by) + packed


def open_head(head: bytes, tenant: str, programme: str, place: str, key: PublicKey) -> RosterHeader:
    """Return the header of a head, verified. Raises MessageRefused."""
    header = open_envelope(
        ROSTER.signed(head),
        Purpose.ROSTER,
        f"{tenant}/{programme}/{place}",
        key,
        RosterHeader,
        limit=ROSTER_HEADER_BYTES_MAX,
    )
    if (header.programme, header.place) != (programme, place):
        raise RosterRefused(f"it is for {header.programme} at {header.place}")
    return header


class Roster:
    """A verified header with its rows, open for looking up. Close it when a newer one is used."""

    def __init__(self, header: RosterHeader, rows: Rows, sha256: bytes) -> None:
        self.header: Final = header
        self.rows: Final = rows
        self.sha256: Final = sha256
        """Of the head, which names the whole file (see `wire.messages.RosterWanted`)."""

    @classmethod
    def open(cls, path: Path, tenant: str, programme: str, place: str, key: PublicKey) -> Self:
        """Verify one file, every byte, and map it. Raises RosterRefused or OSError."""
        try:
            with path.open("rb") as file:
                head = ROSTER.read_head(file)
                header = open_head(head, tenant, programme, place, key)
                rows = Rows.open(file, len(head), header.rows, header.rows_sha256, ROW.size)
        except MessageRefused as error:
            raise RosterRefused(f"{path.name}: {error}") from error
        return cls(header, rows, hashlib.sha256(head).digest())

    def __len__(self) -> int:
        return self.header.rows

    def find(self, credential: Credential) -> RosterRow | None:
        """Return the row of a credential, or None."""
        found = self.rows.find(bytes.fromhex(credential))
        if found is None:
            return None
        _, category, first, last, _, stopped = ROW.unpack(found)
        return RosterRow(
            credential,
            self.header.categories[category],
            _day(first) if first else None,
            _day(last) if last != OPEN_END else None,
            stopped + EPOCH_S if stopped else None,
        )

    def close(self) -> None:
        """Unmap the file."""
        self.rows.close()
