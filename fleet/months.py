"""The ledger's months: on PostgreSQL the entries of one month of receipt lie in one partition.

A month is the town's (Japan's), by the fleet's clock at receipt. Before an entry is written its
month must be there; once a process knows that, it asks no more.
"""

import datetime
from typing import Final

import sqlalchemy as sa

from fleet.schema import entry
from fleet.store import Store
from programmes.calendar import local_day, start_of_day_ms

_ENSURE: Final = sa.text("SELECT fleet.ensure_month(:ms)")
_MONTHS_MAX: Final = 24
"""Months that a process remembers; it writes to one or two."""


def month_of(at_ms: int) -> datetime.date:
    """Return the first day of the month in which an instant falls."""
    return local_day(at_ms).replace(day=1)


def next_month(month: datetime.date) -> datetime.date:
    """Return the first day of the month after."""
    return (month.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)


def bounds_ms(month: datetime.date) -> tuple[int, int]:
    """Return a month's first instant and the first after it, UTC in ms."""
    return start_of_day_ms(month), start_of_day_ms(next_month(month))


def partition(month: datetime.date) -> str:
    """Return the name of a month's partition: entry_202606."""
    return f"entry_{month:%Y%m}"


def ensure(connection: sa.Connection, at_ms: int) -> None:
    """Make the partition for this time of receipt when it is missing (SQLite needs none)."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ENSURE, {"ms": at_ms})


def drop(connection: sa.Connection, month: datetime.date) -> None:
    """Remove the entries of a month, all of them; the caller has lifted what refuses that.

    On PostgreSQL the partition goes whole; on SQLite the rows, which are overwritten on the disk.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {partition(month)}")
        return
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    first_ms, after_ms = bounds_ms(month)
    at = entry.c.received_at_ms
    connection.execute(entry.delete().where(at >= first_ms, at < after_ms))


class Months:
    """What a process knows of the months that are there. Not for several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: list[range] = []
        """Each month's instants, that of the last question first."""

    def ensure(self, at_ms: int) -> None:
        """See to it that entries received at this time can be written; commits by itself."""
        for place, month in enumerate(self._known):
            if at_ms in month:
                if place:
                    self._known.insert(0, self._known.pop(place))
                return
        with self._store.write() as connection:
            ensure(connection, at_ms)
        self._known.insert(0, range(*bounds_ms(month_of(at_ms))))
        del self._known[_MONTHS_MAX:]
