"""Signed lists of days: made by dispatch of what ledger and corrections say, never of pages.

Rules: each school has a list of each day that is over; whatever changes a day makes a list that
names the one before, within a minute or two: a correction, an entry, terms, what arrives late, a
step of a reader's clock; a person's day that is as it was keeps its hash and salt; the lists of a
day are worked out on one state of each database and written in one transaction with what is known
by then, so a crash repeats work and forgets nothing.
"""

import datetime
import secrets
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import work_changes, work_records, work_terms
from fleet.schema import work_change, work_leaf, work_list, work_listed
from fleet.store import Store
from fleet.work_entries import Declared
from fleet.work_ledger import BY_THE_PERSON
from fleet.work_list_file import (
    SALT_BYTES,
    DayList,
    OwnDay,
    OwnEntry,
    OwnInterval,
    OwnMark,
    OwnSaid,
    list_file,
    list_hash,
    own_hash,
    receipt_file,
)
from fleet.work_records import Record, Span
from programmes.work_day import Reading
from programmes.work_marks import Correction
from wire.envelope import Proof, Purpose, Signer

DAYS_AT_ONCE: Final = 7
"""Days worked out together: 1,000 people's take some 4 s, in a thread of their own."""
WEIGHT: Final = 9
"""zlib's best: a day is packed once."""


class Made(NamedTuple):
    """One list that was made."""

    organisation: str
    day: datetime.date
    number: int


class _Leaf(NamedTuple):
    member_id: int
    day: datetime.date
    salt: bytes
    body: bytes

    @property
    def hash(self) -> bytes:
        return own_hash(self.salt, self.body)


class ListMaker:
    """Makes the lists that are due; for one process."""

    def __init__(self, fleet: Store, people: Store, tenant: str, signer: Signer) -> None:
        self._fleet = fleet
        self._people = people
        self._tenant = tenant
        self._signer = signer
        self._revised_at_ms = 0

    def make_due(self, at_ms: int) -> list[Made]:
        """Make what is due of days that are over."""
        made: list[Made] = []
        is_all = False
        while not is_all:
            some, is_all = self._make_some(at_ms)
            made += some
        return made

    def _make_some(self, at_ms: int) -> tuple[list[Made], bool]:
        with self._fleet.read() as fleet, self._people.read() as people:
            known = work_changes.known(fleet, people)
            revised = at_ms - self._revised_at_ms >= work_changes.REVISED_EVERY_MS
            due = work_changes.due(fleet, people, known, at_ms, revised=revised)
        made: list[Made] = []
        for span in _spans(due.days):
            made += self._make(span, at_ms)
        if revised:
            self._revised_at_ms = at_ms
        if due.is_new(known):
            with self._people.write() as people:
                _remember(people, due)
        return made, due.is_all

    def _make(self, span: Span, at_ms: int) -> list[Made]:
        with self._fleet.read() as fleet, self._people.read() as people:
            enrolled = work_terms.of_members(people, work_terms.everyone(people))
            records = work_records.records(fleet, people, enrolled, span, span.last)
            leaves = _newest_leaves(people, span)
            lists = _newest_lists(people, span)
        made: list[Made] = []
        with self._people.write() as people:
            alive = set(work_terms.everyone(people))  # perhaps one was erased meanwhile
            for day in span.days:
                some = _by_school((records[one] for one in records.keys() & alive), day)
                listed = {organisation for organisation, of_day in lists if of_day == day}
                for organisation in sorted(some.keys() | listed):
                    here = some.get(organisation, [])
                    former = lists.get((organisation, day))
                    if one := self._list(people, organisation, day, here, leaves, former, at_ms):
                        made.append(one)
        return made

    def _list(
        self,
        people: sa.Connection,
        organisation: str,
        day: datetime.date,
        records: Sequence[Record],
        leaves: Mapping[tuple[int, datetime.date], _Leaf],
        former: tuple[int, bytes] | None,
        at_ms: int,
    ) -> Made | None:
        """Make one list; None when it would say what the former one says."""
        own = [_leaf(one, day, leaves.get((one.member_id, day))) for one in records]
        days = sorted(one.hash for one in own)
        if former is not None and msgspec.json.decode(former[1], type=DayList).days == days:
            return None
        number = 1 if former is None else former[0] + 1
        body = DayList(
            v=1,
            tenant=self._tenant,
            organisation=organisation,
            day=day,
            number=number,
            at_ms=at_ms,
            former=None if former is None else list_hash(former[1]),
            days=days,
        )
        proof = self._signer.sign(Purpose.WORK_LIST, self._tenant, body)
        values = {"organisation": organisation, "day": day, "number": number, "at_ms": at_ms}
        values |= {"body": proof.body, "signature": proof.signature, "key_id": proof.key_id}
        added = people.execute(work_list.insert().values(values).returning(work_list.c.id))
        list_id = added.scalar_one()
        fresh = [one for one in own if leaves.get((one.member_id, day)) != one]
        rows = [
            {**one._asdict(), "body": zlib.compress(one.body, WEIGHT), "list_id": list_id}
            for one in fresh
        ]
        if rows:
            people.execute(work_leaf.insert(), rows)
        return Made(organisation, day, number)


def _spans(days: Iterable[datetime.date]) -> list[Span]:
    """Return days as spans of days that follow one another, none too long to be held."""
    found: list[Span] = []
    for day in sorted(days):
        if (
            found
            and (day - found[-1].last).days == 1
            and (day - found[-1].first).days < DAYS_AT_ONCE
        ):
            found[-1] = Span(found[-1].first, day)
        else:
            found.append(Span(day, day))
    return found


def _by_school(records: Iterable[Record], day: datetime.date) -> dict[str, list[Record]]:
    """Return who stands in which school's list of a day: whoever is enrolled, or is known of."""
    found: dict[str, list[Record]] = defaultdict(list)
    for one in records:
        if one.enrolled.is_enrolled(day) or one.is_known_on(day):
            found[one.enrolled.organisation_on(day)].append(one)
    return found


def _remember(people: sa.Connection, due: work_changes.Due) -> None:
    for some in work_terms.store_some(due.changes):
        people.execute(work_change.delete().where(work_change.c.id.in_(some)))
    people.execute(work_listed.delete())
    people.execute(work_listed.insert().values(due.known._asdict()))


# --- what is there already -----------------------------------------------------------------------


def _newest_leaves(people: sa.Connection, span: Span) -> dict[tuple[int, datetime.date], _Leaf]:
    columns = [work_leaf.c[name] for name in _Leaf._fields]
    rows = people.execute(
        sa.select(*columns).where(work_leaf.c.day.between(*span)).order_by(work_leaf.c.id)
    )
    return {
        (row.member_id, row.day): _Leaf(row.member_id, row.day, row.salt, zlib.decompress(row.body))
        for row in rows
    }


def _newest_lists(
    people: sa.Connection, span: Span
) -> dict[tuple[str, datetime.date], tuple[int, bytes]]:
    """Return number and bytes of the newest list of each school's day."""
    columns = (work_list.c.organisation, work_list.c.day, work_list.c.number, work_list.c.body)
    rows = people.execute(
        sa.select(*columns).where(work_list.c.day.between(*span)).order_by(work_list.c.id)
    )
    return {(row.organisation, row.day): (row.number, row.body) for row in rows}


# --- one person's day ----------------------------------------------------------------------------


def _leaf(record: Record, day: datetime.date, former: _Leaf | None) -> _Leaf:
    body = msgspec.json.encode(own_day(record, day))
    if former is not None and former.body == body:
        return former
    return _Leaf(record.member_id, day, secrets.token_bytes(SALT_BYTES), body)


def own_day(record: Record, day: datetime.date) -> OwnDay:
    """Return all that is known of a person's day, as a list holds it."""
    here = record.day(day)
    readings = (*(here.readings if here else ()), *record.undated.get(day, ()))
    hours = next((one for one in record.hours if one.day == day), None)
    return OwnDay(
        v=1,
        member=record.member_id,
        day=day,
        marks=[
            OwnMark(one.standing.mark, one.standing.declared, one.became, one.doubt)
            for one in readings
        ],
        corrections=_corrections(record, day, readings),
        entries=[_own_entry(one) for one in record.entries if one.day == day],
        presence=[OwnInterval(one.from_ms, one.to_ms) for one in here.intervals] if here else [],
        missing=list(hours.missing) if hours else [],
        unknowing=day in record.unknowing,
        worked=list(hours.worked) if hours else [],
        outside=list(hours.outside) if hours else [],
    )


def _corrections(
    record: Record, day: datetime.date, readings: Iterable[Reading]
) -> list[Correction]:
    """Return the corrections of a day; those of the gate without a number, which the ledger gives.

    After a restore it may give them others.
    """
    found = {one.correction.number: one.correction for one in record.corrections if one.day == day}
    for reading in readings:
        found |= {one.number: one for one in reading.standing.corrections}
    return [
        msgspec.structs.replace(found[number], number=0)
        if found[number].who == BY_THE_PERSON
        else found[number]
        for number in sorted(found)
    ]


def _own_entry(one: Declared) -> OwnEntry:
    values = {name: getattr(one, name) for name in OwnEntry.__struct_fields__}
    return OwnEntry(**values | {"said": [OwnSaid(**said._asdict()) for said in one.said]})


# --- reading -------------------------------------------------------------------------------------


def receipt(people: sa.Connection, member_id: int, day: datetime.date) -> bytes | None:
    """Return a person's receipt of a day by the newest list that has it; None before there is one.

    The caller notes the look at the person, when it is somebody else's.
    """
    row = people.execute(
        sa.select(work_leaf.c.salt, work_leaf.c.body)
        .where(work_leaf.c.member_id == member_id, work_leaf.c.day == day)
        .order_by(work_leaf.c.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    own = zlib.decompress(row.body)
    wanted = own_hash(row.salt, own)
    lists = people.execute(
        sa.select(work_list).where(work_list.c.day == day).order_by(work_list.c.id.desc())
    )
    for one in lists:
        if wanted in msgspec.json.decode(one.body, type=DayList).days:
            return receipt_file(Proof(one.key_id, one.signature, one.body), row.salt, own)
    return None


def file_of(
    people: sa.Connection, organisation: str, day: datetime.date, number: int | None = None
) -> bytes | None:
    """Return a school's list of a day as a file: the newest, or the one of a number."""
    wanted = sa.select(work_list).where(
        work_list.c.organisation == organisation, work_list.c.day == day
    )
    if number is not None:
        wanted = wanted.where(work_list.c.number == number)
    row = people.execute(wanted.order_by(work_list.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else list_file(Proof(row.key_id, row.signature, row.body))
