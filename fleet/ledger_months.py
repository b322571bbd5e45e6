"""How many entries were received in each month: counted by `dispatch`, shown by the console.

The console has no grant on when an entry was made or received, since that would show when somebody
tapped at a place of few; so the count is written where it may read it. Positions follow the order
of commit, so a month ends where times of receipt pass its end: some twenty look-ups a month,
however many entries there are. On PostgreSQL positions that were rolled back count too, so the
numbers are the most that there can be; `audit verify` counts the entries themselves.
"""

import sqlalchemy as sa

from fleet import store
from fleet.months import bounds_ms, month_of, next_month
from fleet.schema import entry, ledger_month


def count(connection: sa.Connection) -> None:
    """Write down the entries of every month from the oldest entry's to the newest's."""
    first = _row_from(connection, 0)
    last = connection.scalar(sa.select(sa.func.max(entry.c.position)))
    rows = []
    if first is not None and last is not None:
        begin, month = first[0], month_of(first[1])
        while begin <= last:
            end = _position_from(connection, bounds_ms(month)[1], begin, last + 1)
            rows.append({"month": f"{month:%Y-%m}", "entries": end - begin})
            begin, month = end, next_month(month)
    present = [row["month"] for row in rows]
    connection.execute(ledger_month.delete().where(ledger_month.c.month.not_in(present)))
    store.upsert(connection, ledger_month, rows, key=["month"], replace=["entries"])


def position_at(connection: sa.Connection, at_ms: int) -> int:
    """Return the first position that was received at an instant or later; behind the last: none."""
    first = _row_from(connection, 0)
    last = connection.scalar(sa.select(sa.func.max(entry.c.position)))
    if first is None or last is None:
        return 0
    return _position_from(connection, at_ms, first[0], last + 1)


def oldest_ms(connection: sa.Connection) -> int | None:
    """Return when the first entry that the ledger still has was received."""
    first = _row_from(connection, 0)
    return None if first is None else first[1]


def _row_from(connection: sa.Connection, position: int) -> tuple[int, int] | None:
    """Return position and time of receipt of the first entry from a position on."""
    row = connection.execute(
        sa.select(entry.c.position, entry.c.received_at_ms)
        .where(entry.c.position >= position)
        .order_by(entry.c.position)
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.position, row.received_at_ms)


def first_position(connection: sa.Connection, received_at_ms: int, end: int) -> int:
    """Return the first position below `end` that was received at this time or later, or `end`."""
    first = _row_from(connection, 0)
    return end if first is None else _position_from(connection, received_at_ms, first[0], end)


def _position_from(connection: sa.Connection, at_ms: int, low: int, high: int) -> int:
    """Return the first position from `low` on that was received at `at_ms` or later, or `high`."""
    while low < high:
        middle = (low + high) // 2
        row = _row_from(connection, middle)
        if row is None or row[1] >= at_ms:
            high = middle
        else:
            low = row[0] + 1
    return low
