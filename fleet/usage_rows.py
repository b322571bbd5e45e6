"""The rows behind usage files: once for all places of a programme, and a signed head for each.

Rules: rows are known by their hash and never changed; a head stands only beside the rows that it
names; a reader gets both, one behind the other, or what has changed since the rows that it holds,
for which former ones stay a while.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import store
from fleet.schema import usage_file, usage_rows
from fleet.store import Store
from wire.rows import Rows
from wire.usage import row_bytes

FORMER_MS: Final = 75 * 60_000
"""Rows of before stay so long: a reader that was away for an hour holds a file of the 15 minutes
before that. One that was away for longer fetches the whole."""
FORMER_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of one programme's former rows, beside FORMER_MS: 490 of 535 KiB, when that many taxis come
online one by one and each has a snapshot of its own."""


class Head(NamedTuple):
    """What a place's newest usage file begins with, and what its rows are."""

    head: bytes
    rows_sha256: bytes
    periods: list[str]


_NEWEST: Final = sa.select(usage_file.c.head, usage_file.c.rows_sha256, usage_rows.c.periods).join(
    usage_rows,
    sa.and_(
        usage_rows.c.programme == usage_file.c.programme,
        usage_rows.c.sha256 == usage_file.c.rows_sha256,
    ),
)


def keep(
    connection: sa.Connection, rows: Mapping[str, Any], heads: Sequence[Mapping[str, Any]]
) -> None:
    """Keep one snapshot's rows and the heads that name them; forget what no reader asks for."""
    key = ("programme", "sha256")
    store.upsert(connection, usage_rows, [rows], key=key, replace=("at_ms", "periods"))
    key, rest = ("programme", "place"), ("at_ms", "rows", "head", "rows_sha256")
    store.upsert(connection, usage_file, heads, key=key, replace=rest)
    _forget_former(connection, rows["programme"], rows["at_ms"])


def _forget_former(connection: sa.Connection, programme: str, now_ms: int) -> None:
    named = sa.select(usage_file.c.rows_sha256).where(
        usage_file.c.programme == programme, usage_file.c.rows_sha256.is_not(None)
    )
    of = usage_rows.c
    former = (
        sa.select(of.sha256, of.at_ms, of.periods, of.rows)
        .where(of.programme == programme, of.sha256.not_in(named))
        .order_by(of.at_ms.desc())
    )
    size = 0
    for row in connection.execute(former).all():
        size += row.rows * row_bytes(row.periods)
        if row.at_ms < now_ms - FORMER_MS or size > FORMER_BYTES_MAX:
            connection.execute(
                usage_rows.delete().where(of.programme == programme, of.sha256 == row.sha256)
            )


def newest(connection: sa.Connection, programme: str, place: str) -> Head | None:
    """Return what a place's newest file begins with; None when there is none."""
    here = (usage_file.c.programme == programme, usage_file.c.place == place)
    row = connection.execute(_NEWEST.where(*here)).one_or_none()
    return Head(*row) if row else None


def file_of(connection: sa.Connection, programme: str, place: str) -> bytes | None:
    """Return the newest usage file of a programme for a place; None when there is none."""
    here = (usage_file.c.programme == programme, usage_file.c.place == place)
    row = connection.execute(_NEWEST.add_columns(usage_rows.c.packed).where(*here)).one_or_none()
    return row.head + row.packed if row else None


def is_alike(connection: sa.Connection, programme: str, sha256: bytes, head: Head) -> bool:
    """True when former rows are still there and tell of the same periods as these."""
    former = sa.select(usage_rows.c.periods).where(
        usage_rows.c.programme == programme, usage_rows.c.sha256 == sha256
    )
    return connection.scalar(former) == head.periods


def open_rows(fleet: Store, programme: str, sha256: bytes) -> Rows:
    """Return rows that are kept. Raises FileNotFoundError when they are not any more."""
    wanted = sa.select(usage_rows.c.packed, usage_rows.c.rows, usage_rows.c.periods).where(
        usage_rows.c.programme == programme, usage_rows.c.sha256 == sha256
    )
    with fleet.read() as connection:
        row = connection.execute(wanted).one_or_none()
    if row is None:
        raise FileNotFoundError(f"usage rows {sha256.hex()} of {programme}")
    return Rows(row.packed, 0, row.rows, row_bytes(row.periods))
