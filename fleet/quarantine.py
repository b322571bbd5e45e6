"""What could not be read or verified, kept byte for byte.

Rules: the same bytes of one reader are kept once and counted; bytes whose numbers are known
(inside a verified batch) are always kept, since they count as committed; bytes that nobody vouches
for are kept up to UNVERIFIED_PER_HOUR, then only counted, so that nobody can fill the disk.
"""

from hashlib import sha256
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import store
from fleet.alarms import AlarmKind, sound
from fleet.schema import quarantine, quarantine_hour

UNVERIFIED_PER_HOUR: Final = 60
"""Unverifiable messages kept per reader and hour: 60 of at most 160 kB are 10 MB an hour."""
ENTRY: Final = "entry"
"""The reason under which a single entry is kept: its own bytes, not the message around it."""
DETAIL_MAX: Final = 300
HOUR_MS: Final = 3_600_000
HOURS_KEPT: Final = 24 * 40
"""How long the counters by hour are kept."""


class Source(NamedTuple):
    """Where the bytes came from."""

    reader: str
    topic: str
    received_at_ms: int


class Numbers(NamedTuple):
    """The numbers that the bytes account for, and the chain's hash after the last of them."""

    journal_id: int
    first: int
    last: int
    hash: bytes


def keep(
    connection: sa.Connection,
    source: Source,
    reason: str,
    detail: str,
    payload: bytes,
    numbers: Numbers | None = None,
) -> None:
    """Keep these bytes, or count them when they are kept already or there is no room for them."""
    digest = sha256(payload).digest()
    same = [quarantine.c.reader == source.reader, quarantine.c.sha256 == digest]
    if numbers:
        same += [
            quarantine.c.journal_id == numbers.journal_id,
            quarantine.c.first == numbers.first,
        ]
    again = connection.execute(
        quarantine.update().where(*same).values(times=quarantine.c.times + 1)
    )
    if again.rowcount:
        return
    if numbers is None and not _room(connection, source):
        return
    connection.execute(
        quarantine.insert(),
        {
            "received_at_ms": source.received_at_ms,
            "reader": source.reader,
            "topic": source.topic,
            "reason": reason,
            "detail": detail[:DETAIL_MAX].replace("\0", "\N{REPLACEMENT CHARACTER}"),
            "payload": payload,
            "sha256": digest,
            **(numbers._asdict() if numbers else {}),
        },
    )
    at_ms = source.received_at_ms
    sound(connection, AlarmKind.QUARANTINE, source.reader, source.reader, reason, at_ms)


def _room(connection: sa.Connection, source: Source) -> bool:
    """Count one more of this hour; False when the hour's rows are full."""
    hour_ms = source.received_at_ms - source.received_at_ms % HOUR_MS
    here = (quarantine_hour.c.reader == source.reader, quarantine_hour.c.hour_ms == hour_ms)
    kept = connection.scalar(sa.select(quarantine_hour.c.kept).where(*here)) or 0
    room = kept < UNVERIFIED_PER_HOUR
    row = {
        "reader": source.reader,
        "hour_ms": hour_ms,
        "kept": int(room),
        "dropped": int(not room),
    }
    store.upsert(
        connection, quarantine_hour, [row], key=["reader", "hour_ms"], add=["kept", "dropped"]
    )
    return room


def forget_hours(connection: sa.Connection, now_ms: int) -> None:
    """Drop counters that are older than HOURS_KEPT."""
    old = quarantine_hour.c.hour_ms < now_ms - HOURS_KEPT * HOUR_MS
    connection.execute(quarantine_hour.delete().where(old))
