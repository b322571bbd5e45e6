"""The entries behind a figure of a report, and which readers have more that has not arrived.

Rules: entries are looked for only in the stretch of the ledger in which their month lies; a
credential never leaves here but to be turned into a registration number, which leaves a line in
persons' audit in the same transaction.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, bulk, ledger_months
from fleet.months import bounds_ms
from fleet.report_counts import COUNTED, HOUR, USED, WHEN, WITH_PLACES, Year
from fleet.reports import first_day
from fleet.schema import entry, member, place, reader, reader_state
from programmes.calendar import fiscal_year_of, local_day
from wire.codes import Outcome

ROWS_SHOWN: Final = 100
"""On one page; the next page goes on."""
WHAT: Final[Mapping[str, sa.ColumnElement[bool]]] = {
    "used": USED,
    "card": sa.and_(USED, entry.c.kind == "tap"),
    "without": entry.c.kind == "press",
    "refused": entry.c.outcome == Outcome.REFUSED.value,
    "all": COUNTED,
}
"""Which entries a column of a report is the sum of."""


class Asked(NamedTuple):
    """Entries of a programme in months that follow one another: a kind, and where, when, why."""

    programme: str
    months: tuple[str, ...]
    what: str = "used"
    place: str = ""
    hour: str = ""
    category: str | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One entry, as a page shows it."""

    at_ms: int
    sure: bool
    """False when the reader's clock had lost the time: then it is the time of receipt."""
    place: str
    kind: str
    outcome: str
    code: str
    rider_yen: int | None
    credential: str | None
    """Never shown."""

    @property
    def day(self) -> datetime.date:
        """Return the local day, for those who may not see when somebody came."""
        return local_day(self.at_ms)


def rows(connection: sa.Connection, year: Year, asked: Asked, skip: int) -> list[Row]:
    """Return at most ROWS_SHOWN + 1 entries, the last committed first; one more says there is more.

    In the order of commit they are found at once, however many a year has.
    """
    found = connection.execute(
        _where(sa.select(*_COLUMNS).select_from(WITH_PLACES), year, asked)
        .order_by(entry.c.position.desc())
        .limit(ROWS_SHOWN + 1)
        .offset(skip)
    )
    return [
        Row(
            row.when_ms,
            row.when_ms == row.at_ms,
            row.place,
            row.kind,
            row.outcome or Outcome.ACCEPTED.value,
            row.code or "",
            row.rider_pays_yen,
            row.credential,
        )
        for row in found
    ]


_COLUMNS: Final = (
    WHEN.label("when_ms"),
    entry.c.at_ms,
    reader.c.place,
    entry.c.kind,
    entry.c.outcome,
    entry.c.code,
    entry.c.rider_pays_yen,
    entry.c.credential,
)


def _where(wanted: sa.Select[Any], year: Year, asked: Asked) -> sa.Select[Any]:
    first_ms, _ = bounds_ms(first_day(asked.months[0]))
    _, after_ms = bounds_ms(first_day(asked.months[-1]))
    keys = [(asked.programme, month) for month in asked.months]
    of = [year.months[key] for key in keys if key in year.months]
    if not of:
        return wanted.where(sa.false())
    wanted = wanted.where(
        entry.c.programme == asked.programme,
        entry.c.position.between(
            min(one.first_position for one in of), max(one.last_position for one in of)
        ),
        entry.c.received_at_ms.between(
            min(one.first_received_ms for one in of), max(one.last_received_ms for one in of)
        ),
        first_ms <= WHEN,
        after_ms > WHEN,
        WHAT[asked.what],
    )
    if asked.place:
        wanted = wanted.where(reader.c.place == asked.place)
    if asked.hour:
        wanted = wanted.where(sa.literal(int(asked.hour)) == HOUR)
    if asked.category is not None:
        wanted = wanted.where(sa.func.coalesce(entry.c.category, "") == asked.category)
    if asked.code:
        wanted = wanted.where(entry.c.code == asked.code)
    return wanted


class Holder(NamedTuple):
    """A member behind an entry: his row and registration number."""

    member: int
    registration_number: str


_HOLDERS: Final = """
SELECT card.credential, member.id, member.registration_number
FROM card JOIN member ON member.id = card.member_id
WHERE card.credential IN ? AND card.programme = ?
"""


def see_holders(
    people: sa.Connection, programme: str, some: Iterable[Row], who: str, at_ms: int
) -> dict[str, Holder]:
    """Return whose cards these are, by credential; `people` writes the look into the audit."""
    credentials = sorted({row.credential for row in some if row.credential})
    found = bulk.select_in(people, _HOLDERS, credentials, programme) if credentials else []
    holders = {credential: Holder(*of) for credential, *of in found}
    numbers = sorted({one.registration_number for one in holders.values()})
    if numbers:
        audit.note_person(people, at_ms, who, "report.members-seen", programme, " ".join(numbers))
    return holders


def enrolled(people: sa.Connection, programme: str, day: datetime.date) -> int:
    """Return how many members a programme has on a day."""
    columns = member.c
    found = people.scalar(
        sa.select(sa.func.count()).where(
            columns.programme == programme,
            columns.erased_at_ms.is_(None),
            sa.or_(columns.valid_from.is_(None), columns.valid_from <= day),
            sa.or_(columns.valid_to.is_(None), columns.valid_to >= day),
        )
    )
    return int(found or 0)


class Unsent(NamedTuple):
    """A reader whose entries are not all here, by what it said last."""

    place: str
    waiting: int
    heard_ms: int
    online: bool


def unsent(connection: sa.Connection, programme: str) -> Sequence[Unsent]:
    """Return readers of a programme that have unsent entries or are out of reach, most first."""
    state = reader_state.c
    wanted = (
        sa.select(
            place.c.name, place.c.programmes, state.waiting, state.received_at_ms, state.online
        )
        .select_from(reader.join(place, place.c.name == reader.c.place).join(reader_state))
        .where(
            reader.c.revoked_at_ms.is_(None),
            sa.or_(state.waiting > 0, state.online.is_(sa.false())),
        )
        .order_by(state.waiting.desc(), place.c.name)
    )
    found = [row for row in connection.execute(wanted) if programme in row.programmes]
    return [Unsent(row.name, row.waiting, row.received_at_ms, row.online) for row in found]


def first_year(connection: sa.Connection, now_ms: int) -> int:
    """Return the fiscal year of the oldest entry; the present one without any."""
    oldest_ms = ledger_months.oldest_ms(connection)
    return fiscal_year_of(now_ms if oldest_ms is None else min(oldest_ms, now_ms))
