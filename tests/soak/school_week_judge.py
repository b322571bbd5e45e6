"""What a week of schools came to: each person's days are as he knows them, and he can prove it.

The truth is what people did, in plain sums, without the programme's rules; the fleet's days, hours,
signed lists and receipts are compared with it.
"""

import datetime
from collections.abc import Sequence
from typing import Final, NamedTuple

from fleet import evidence_db, work_lists, work_records, work_terms
from fleet.evidence_db import Scope
from fleet.proof import prove
from fleet.work_list_file import OwnDay, Receipt, check
from fleet.work_records import Record, Span
from programmes.work_hours import Term
from tests.fleet.virtual import pinned_key
from tests.soak.school_week import DAYS, FIRST, school_of
from tests.soak.school_world import Day, World

SPAN: Final = Span(FIRST, FIRST + datetime.timedelta(DAYS - 1))
MINUTE_MS: Final = 60_000


class Found(NamedTuple):
    """What all agree on."""

    entries: int
    """In journals and ledger, none lost and none twice."""
    days: int
    """Of people, each as he knows it."""
    minutes: int
    """Of presence."""
    missing: int
    """Leavings that nobody marked, told as such and never invented."""
    lists: int
    """Newest and former ones, each named by the next."""
    receipts: int
    """Each verified with the public key alone."""


def judge(world: World) -> Found:
    """Compare everything. Raises AssertionError where something is not right."""
    _same_entries(world)
    records = _records(world)
    days = minutes = missing = 0
    for person, member in enumerate(world.members):
        record = records[member]
        known = [day for day in SPAN.days if (person, day) in world.did]
        assert [one.day for one in record.days] == known, (person, known)
        for day in known:
            did = world.did[person, day]
            _same_day(record, day, did)
            days += 1
            minutes += _minutes(did)
            missing += len(did.lacks)
    lists = _chained(world)
    receipts = _receipts(world)
    return Found(len(world.written), days, minutes, missing, lists, receipts)


def _same_entries(world: World) -> None:
    """The ledger is the journals; whole and proven."""
    fleet = world.fleet
    assert fleet.stored() == world.written, "the ledger is not the journals"
    for table in ("conflict", "quarantine", "gap where closed_at_ms is null"):
        assert fleet.rows(f"select * from {table}") == [], table
    assert fleet.alarms() == set(), fleet.alarms()
    with fleet.store.read() as connection:
        facts = evidence_db.facts(connection, fleet.config.tenant, Scope())
        proof = prove(facts, pinned_key(fleet.town))
    assert proof.faults == {}, proof.faults_listed


def _records(world: World) -> dict[int, Record]:
    with world.fleet.store.read() as ledger, world.fleet.people.read() as people:
        enrolled = work_terms.of_members(people, world.members)
        return work_records.records(ledger, people, enrolled, SPAN, SPAN.last)


def _same_day(record: Record, day: datetime.date, did: Day) -> None:
    found = record.day(day)
    assert found is not None
    where = (record.member_id, day)
    assert [(one.from_ms, one.to_ms) for one in found.intervals] == did.spans, where
    assert [one.what for one in found.missing] == did.lacks, where
    assert not found.contradictory, where
    assert sum(one.became != "double" for one in found.readings) == did.marks, where
    (hours,) = (one for one in record.hours if one.day == day)
    assert _presence(hours.worked) == _minutes(did), where


def _minutes(did: Day) -> int:
    """Return what a person gets who subtracts the times on the page."""
    whole = [(first // MINUTE_MS, end // MINUTE_MS) for first, end in did.spans if end is not None]
    return sum(end - first for first, end in whole)


def _presence(terms: Sequence[Term]) -> int:
    return sum(one.minutes for one in terms if one.name == "presence")


def _chained(world: World) -> int:
    """Each list names the one before by its hash; return how many there are."""
    key, count = pinned_key(world.fleet.town), 0
    with world.fleet.people.read() as people:
        for school in range(world.size.schools):
            for day in SPAN.days:
                former, number = None, 1
                while file := work_lists.file_of(people, world.school(school), day, number):
                    found = check(file, key)
                    assert (found.list.former, found.list.number) == (former, number)
                    former, number = found.sha256, number + 1
                assert number > 1, f"no list of {world.school(school)}, {day}"
                count += number - 1
    return count


def _receipts(world: World) -> int:
    """Everybody proves each of his days with his own file and the public key; return how many."""
    key, count = pinned_key(world.fleet.town), 0
    for person, member in enumerate(world.members):
        school = world.school(school_of(world.size, person))
        for day in SPAN.days:
            with world.fleet.people.read() as people:
                file = work_lists.receipt(people, member, day)
            assert file is not None, (person, day)
            _same_own(check(file, key), school, day, world.did.get((person, day), Day()))
            count += 1
    return count


def _same_own(found: Receipt, school: str, day: datetime.date, did: Day) -> None:
    own: OwnDay | None = found.own
    assert own is not None
    assert (found.list.organisation, own.day) == (school, day)
    presence = [(one.from_ms, one.to_ms) for one in own.presence]
    assert presence == did.spans, (own.member, day, own.presence, did.spans)
    assert [one for one in own.missing if one != "day"] == did.lacks, (own.member, day)
    assert _presence(own.worked) == _minutes(did), (own.member, day)
