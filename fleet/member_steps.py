"""What one step changes in rows of persons, as data: applied, looked at again, and taken back.

A change names table, row and column with the value before and after, so that history can tell it
and undo can restore it. A card that was added has no column: undoing it removes the row.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import campaigns
from fleet.schema import card, member, person

_TABLES: Final = {"person": person, "member": member, "card": card}


class Change(NamedTuple):
    """One value of one row. Without a column: the whole row came (new True) or goes (new False)."""

    table: str
    row: int
    column: str
    old: Any
    new: Any

    def back(self) -> "Change":
        """Return the change that undoes this one."""
        return self._replace(old=self.new, new=self.old)

    def plain(self) -> list[Any]:
        """Return it as JSON holds it: a day as text."""
        return [one.isoformat() if isinstance(one, datetime.date) else one for one in self]


def read(plain: Sequence[Sequence[Any]]) -> tuple[Change, ...]:
    """Return changes as `Change.plain` wrote them."""
    return tuple(_typed(Change(*one)) for one in plain)


def _typed(change: Change) -> Change:
    if change.column and isinstance(_TABLES[change.table].c[change.column].type, sa.Date):
        return change._replace(old=_day(change.old), new=_day(change.new))
    return change


def _day(value: str | None) -> datetime.date | None:
    return None if value is None else datetime.date.fromisoformat(value)


def added(card_id: int) -> Change:
    """Return that a card was given: its row has been inserted."""
    return Change("card", card_id, "", False, True)


def to(
    connection: sa.Connection, table: sa.Table, ids: Sequence[int], values: Mapping[str, Any]
) -> list[Change]:
    """Return what gives these rows these values; what they have already is left out."""
    if not values:
        return []
    columns = [table.c[name] for name in values]
    rows = connection.execute(
        sa.select(table.c.id, *columns).where(table.c.id.in_(ids)).order_by(table.c.id)
    )
    return [
        Change(table.name, row.id, name, old, value)
        for row in rows
        for (name, value), old in zip(values.items(), row[1:], strict=True)
        if old != value
    ]


def apply(connection: sa.Connection, changes: Sequence[Change], at_ms: int) -> None:
    """Let every row have the new values; a row that came is there already."""
    for change in changes:
        table = _TABLES[change.table]
        here = table.c.id == change.row
        if change.column:
            connection.execute(table.update().where(here).values({change.column: change.new}))
        elif not change.new:
            _take_back(connection, change.row)
    for table in (person, member):
        ids = {change.row for change in changes if change.table == table.name}
        if ids:
            touched = table.update().where(table.c.id.in_(ids))
            connection.execute(touched.values(updated_at_ms=at_ms))


def _take_back(connection: sa.Connection, card_id: int) -> None:
    """Remove a card that was given; what gave way to it is the member's card again."""
    given = sa.select(card.c.assigned_at_ms).where(card.c.id == card_id)
    campaigns.bring_back(connection, card_id, connection.execute(given).scalar_one())
    connection.execute(card.delete().where(card.c.id == card_id))


def stand(connection: sa.Connection, changes: Sequence[Change]) -> bool:
    """True when each value is still as the step left it."""
    return all(_stands(connection, change) for change in changes)


def _stands(connection: sa.Connection, change: Change) -> bool:
    table = _TABLES[change.table]
    column = table.c[change.column] if change.column else table.c.id
    row = connection.execute(sa.select(column).where(table.c.id == change.row)).one_or_none()
    return row is not None and (not change.column or row[0] == change.new)
