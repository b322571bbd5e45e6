"""What was set aside is taken in again, once this program understands it: after an upgrade.

Rules: the bytes are read as if they came now, and verified again; what can be read finds its place
under its own number, what still cannot stays where it is; the row in quarantine stays too, and
says who took it in and what came of it. Taps that come in so are not decided again.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from fleet import audit, careful, journals, ledger, months, quarantine, rides, store, usage
from fleet import schema as tables
from fleet.journals import Family, Journal
from fleet.opening import Arrived, Refused, open_batch, read_entry
from fleet.registry import Reader
from fleet.store import AnyRow
from fleet.tally import Tally
from programmes.bookings import bookings
from wire.entries import EntryRefused, Ride, Start, Tap


class RequeueRefused(ValueError):
    """This cannot be taken in; nothing was changed. The sentence says why."""


def retry(
    connection: sa.Connection, readers: Mapping[str, Reader], number: int, who: str, at_ms: int
) -> str:
    """Take one row of quarantine in again; return what came of it. Raises RequeueRefused."""
    table = tables.quarantine
    row = connection.execute(sa.select(table).where(table.c.id == number)).one_or_none()
    if row is None:
        raise RequeueRefused(f"nothing in quarantine has the number {number}")
    if row.resolved_at_ms is not None:
        raise RequeueRefused(f"number {number} was taken in already: {row.resolved_how}")
    reader = readers.get(row.reader)
    if reader is None:
        raise RequeueRefused(f"no reader is called {row.reader!r}: import the registry first")
    store.lock(connection, "reader", [reader.name])
    months.ensure(connection, at_ms)
    take = _entry if row.reason == quarantine.ENTRY else _batch
    how = take(connection, reader, row, at_ms)
    done = {"resolved_at_ms": at_ms, "resolved_by": who, "resolved_how": how}
    connection.execute(table.update().where(table.c.id == number), done)
    audit.note(connection, at_ms, who, "quarantine.retried", str(number), how)
    return how


def _batch(connection: sa.Connection, reader: Reader, row: AnyRow, at_ms: int) -> str:
    """Take a whole message in, under the key that the reader has now."""
    opened = open_batch(Arrived(reader, row.topic, row.payload, at_ms))
    if isinstance(opened, Refused):
        raise RequeueRefused(f"it still cannot be taken in ({opened.reason}): {opened.detail}")
    tally = Tally()
    try:
        careful.take_or_refuse(connection, opened, None, tally)
    except careful.BatchRefused as error:
        raise RequeueRefused(f"its chain still does not hold: {error}") from error
    except Exception as error:
        if store.not_by_content(error):
            raise
        raise RequeueRefused(f"it still cannot be taken in: {error!r}") from error
    usage.count(connection, tally.booked)
    return (
        f"created {tally.created}, stood already {tally.exists}, "
        f"contradicted {tally.conflicts}, set aside {tally.quarantined}"
    )


def _entry(connection: sa.Connection, reader: Reader, row: AnyRow, at_ms: int) -> str:
    """Take a single entry in, whose number was accounted for when it came."""
    n, body = row.first, row.payload
    found = read_entry(n, body)
    if isinstance(found, EntryRefused):
        raise RequeueRefused(f"it still cannot be read: {found}")
    entry = tables.entry
    here = (entry.c.journal_id == row.journal_id, entry.c.n == n)
    stands = connection.scalar(sa.select(entry.c.hash).where(*here))
    if stands is not None:
        return "stood already" if stands == row.hash else "another entry stands under its number"
    start = found if isinstance(found, Start) and n == 1 else None
    family, state = _journal(connection, reader, row, start)
    if start:
        others = careful.begin(connection, family, state, start)
        journals.save(connection, [state, *others])
    elif isinstance(found, Tap | Ride):
        state.unreplayed += 1
        journals.save(connection, [state])
    new = [(n, row.hash, body, found)]
    rows, counts = ledger.rows(state.id, new, at_ms), ledger.Counts()
    ledger.count(counts, reader, at_ms, rows)
    ledger.append(connection, rows, counts)
    arrived = Arrived(reader, row.topic, body, at_ms)
    booked = rides.book(connection, arrived, state, new)
    usage.count(connection, [*bookings(found), *booked] if isinstance(found, Tap) else booked)
    return "created 1"


def _journal(
    connection: sa.Connection, reader: Reader, row: AnyRow, start: Start | None
) -> tuple[Family, Journal]:
    journal = tables.journal
    name = connection.scalar(sa.select(journal.c.journal).where(journal.c.id == row.journal_id))
    family = journals.load_one(connection, reader.name, str(name), start)
    return family, family[str(name)]
