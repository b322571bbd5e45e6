"""Which months of a school are closed: what everything asks that changes hours.

Rules: a month is closed by school; a closed one takes no change of anything that its hours depend
on until it is opened again, with a reason; each step is a row (fleet.work_closing takes them).
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import sqlalchemy as sa

from fleet.months import next_month
from fleet.schema import work_close
from fleet.work_acts import WorkRefused

Kind = Literal["closed", "reopened"]


class Close(NamedTuple):
    """One step of a school's month."""

    id: int
    organisation: str
    month: str
    kind: Kind
    at_ms: int
    who: str
    why: str


_COLUMNS = [work_close.c[name] for name in Close._fields]


def history(
    connection: sa.Connection, organisation: str | None = None, month: str | None = None
) -> list[Close]:
    """Return the steps of a school's month, of all months or of all schools; the newest first."""
    wanted = sa.select(*_COLUMNS).order_by(work_close.c.id.desc())
    if organisation is not None:
        wanted = wanted.where(work_close.c.organisation == organisation)
    if month is not None:
        wanted = wanted.where(work_close.c.month == month)
    return [Close(*row) for row in connection.execute(wanted)]


def closed(
    connection: sa.Connection, organisation: str | None = None
) -> dict[tuple[str, str], Close]:
    """Return what is closed now, by school and month."""
    newest: dict[tuple[str, str], Close] = {}
    for one in history(connection, organisation):
        newest.setdefault((one.organisation, one.month), one)
    return {name: one for name, one in newest.items() if one.kind == "closed"}


def require_open(
    connection: sa.Connection, of_days: Mapping[str, Iterable[tuple[datetime.date, datetime.date]]]
) -> None:
    """Raise WorkRefused when a month of these spans of days, by school, is closed."""
    for organisation, spans in of_days.items():
        shut = {month for _, month in closed(connection, organisation)}
        for first, last in spans:
            month = first.replace(day=1)
            while shut and month <= last:
                if f"{month:%Y-%m}" in shut:
                    raise WorkRefused("closed", month=f"{month:%Y-%m}")
                month = next_month(month)
