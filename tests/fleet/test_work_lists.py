"""Signed lists of days: what they hold, when another one is made, what is refused."""

import datetime
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import ledger, members, schema, work_changes, work_corrections, work_lists, work_terms
from fleet.config import Databases
from fleet.work_list_file import (
    LABEL,
    SALT_BYTES,
    DayList,
    OwnDay,
    OwnMark,
    WorkFileRefused,
    check,
    list_file,
    own_hash,
    receipt_file,
)
from fleet.work_lists import Made
from fleet.work_terms import NewTerm
from fleet.work_wishes import AddMark
from programmes.work_hours import Term
from programmes.work_marks import Mark, Void
from tests.fleet.work_kit import (
    DAY_MS,
    KEY,
    NORTH,
    NOW_MS,
    RULES,
    SOUTH,
    TENANT,
    Schools,
    at,
    card_of,
    open_schools,
)
from wire.clock import ClockState
from wire.envelope import Purpose, Signer

PUBLIC = KEY.public_key()
SIGNER = Signer(KEY)
THE_3RD = datetime.date(2026, 6, 3)


# --- the files alone -----------------------------------------------------------------------------


def files() -> dict[str, bytes]:
    """Return a list and a receipt of it."""
    own = OwnDay(
        v=1,
        member=7,
        day=THE_3RD,
        marks=[
            OwnMark(Mark("kazasu-shi/north-front/ab/3", 1, "in", "north-front"), "in", "in", "")
        ],
        corrections=[Void(number=3, who="kyoto", at_ms=2, why="試しの打刻", mark="x")],
        entries=[],
        presence=[],
        missing=["out"],
        unknowing=False,
        worked=[Term("presence", 0)],
        outside=[Term("worked", 0)],
    )
    body, salt = msgspec.json.encode(own), bytes(range(32))
    days = sorted([own_hash(salt, body), b"\1" * 32, b"\xff" * 32])
    one = DayList(1, TENANT, NORTH, THE_3RD, 2, NOW_MS, b"\2" * 32, days)
    proof = SIGNER.sign(Purpose.WORK_LIST, TENANT, one)
    return {"list": list_file(proof), "receipt": receipt_file(proof, salt, body)}


FILES = files()


def test_list_and_receipt_as_they_were_signed_say_what_they_say() -> None:
    assert check(FILES["list"], PUBLIC).own is None
    found = check(FILES["receipt"], PUBLIC)
    assert found.own is not None
    assert (found.list.organisation, found.list.number, found.own.member) == (NORTH, 2, 7)
    assert found.own.corrections[0].why == "試しの打刻"


@pytest.mark.parametrize("name", FILES)
def test_no_bit_of_a_file_can_be_another(name: str) -> None:
    file = FILES[name]
    for place in range(len(file)):
        for bit in range(8):
            altered = bytearray(file)
            altered[place] ^= 1 << bit
            with pytest.raises(WorkFileRefused):
                check(bytes(altered), PUBLIC)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_nothing_can_be_put_in_taken_out_or_replaced(data: st.DataObject) -> None:
    file = FILES[data.draw(st.sampled_from(list(FILES)))]
    start = data.draw(st.integers(0, len(file)))
    end = data.draw(st.integers(start, min(len(file), start + 200)))
    more = data.draw(st.binary(max_size=40) | st.sampled_from([b" ", b"\n", b"null", b'"v":1,']))
    altered = file[:start] + more + file[end:]
    if altered != file:
        with pytest.raises(WorkFileRefused):
            check(altered, PUBLIC)


def test_another_day_of_the_same_person_does_not_stand_in_the_list() -> None:
    forged = FILES["receipt"].replace(b'"missing":["out"]', b'"missing":[]')
    with pytest.raises(WorkFileRefused, match="does not stand in the signed list"):
        check(forged, PUBLIC)


def test_another_key_is_told_apart() -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(WorkFileRefused, match="another key"):
        check(FILES["receipt"], other)


def test_a_signature_for_another_purpose_is_none() -> None:
    one = msgspec.json.decode(FILES["list"])
    body = msgspec.json.encode(one["list"])
    proof = SIGNER.sign(Purpose.CLAIM, TENANT, msgspec.json.decode(body, type=DayList))
    with pytest.raises(WorkFileRefused):
        check(list_file(proof), PUBLIC)


# --- lists as dispatch makes them ----------------------------------------------------------------


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        yield made


def worked(town: Schools, number: str = "T-1", n: int = 3) -> None:
    gate = town.gates["north-front"]
    gate.tap(number, at(n, "07:45"))
    gate.tap(number, at(n, "17:15"))
    gate.send()


def newest(town: Schools, organisation: str = NORTH, n: int = 3) -> DayList:
    with town.office.read() as people:
        file = work_lists.file_of(people, organisation, datetime.date(2026, 6, n))
    assert file is not None
    return check(file, PUBLIC).list


def own(town: Schools, member_id: int, n: int = 3) -> tuple[DayList, OwnDay]:
    with town.office.read() as people:
        file = work_lists.receipt(people, member_id, datetime.date(2026, 6, n))
    assert file is not None
    found = check(file, PUBLIC)
    assert found.own is not None
    return found.list, found.own


def make(town: Schools, now_ms: int = NOW_MS) -> list[Made]:
    return town.maker.make_due(now_ms)


def test_each_day_that_is_over_has_one_list_of_each_school(town: Schools) -> None:
    mori = town.teacher("T-1")
    town.teacher("T-2", NewTerm(datetime.date(2026, 4, 1), SOUTH))
    worked(town)
    made = make(town)
    assert {one.number for one in made} == {1}
    assert Made(NORTH, THE_3RD, 1) in made
    assert Made(SOUTH, THE_3RD, 1) in made
    assert not any(one.day >= datetime.date(2026, 7, 3) for one in made)
    assert make(town) == []
    listed, day = own(town, mori)
    assert (listed.organisation, listed.former, len(listed.days)) == (NORTH, None, 1)
    assert [one.became for one in day.marks] == ["in", "out"]
    assert sum(one.minutes for one in day.outside) == 60


def test_a_day_that_ended_without_anybody_is_listed_too(town: Schools) -> None:
    mori = town.teacher("T-1")
    make(town)
    assert make(town, NOW_MS + 2 * DAY_MS) == [
        Made(NORTH, datetime.date(2026, 7, 3), 1),
        Made(NORTH, datetime.date(2026, 7, 4), 1),
    ]
    with town.office.read() as people:
        file = work_lists.receipt(people, mori, datetime.date(2026, 7, 4))
    assert file is not None


def test_a_clock_that_was_in_the_future_and_went_back_leaves_no_day_out(town: Schools) -> None:
    """Of days that were to come there are lists by then, in which nobody worked."""
    mori = town.teacher("T-1")
    make(town)
    make(town, NOW_MS + 30 * DAY_MS)
    town.now_ms = NOW_MS
    gate = town.gates["north-front"]
    for time, declared in (("07:45", "in"), ("17:45", "out")):
        gate.tap("T-1", at(3, time, month=7), declared)
    gate.send(at(3, "17:50", month=7))
    assert make(town, at(3, "18:00", month=7)) == []  # known now, and the day is not over
    assert make(town, at(4, "09:00", month=7)) == [Made(NORTH, datetime.date(2026, 7, 3), 2)]
    with town.office.read() as people:
        file = work_lists.receipt(people, mori, datetime.date(2026, 7, 3))
    assert file is not None
    found = check(file, PUBLIC)
    assert found.own is not None
    assert [one.became for one in found.own.marks] == ["in", "out"]


def test_a_correction_makes_another_list_that_names_the_former(town: Schools) -> None:
    mori, sato = town.teacher("T-1"), town.teacher("T-2")
    worked(town)
    make(town)
    first, _ = own(town, mori)
    other, _ = own(town, sato)
    with town.office.write() as connection:
        act = town.act(mori)
        wishes = [AddMark(at(3, "19:00"), "out")]
        work_corrections.correct(connection, act, THE_3RD, wishes, RULES)  # type: ignore[arg-type]
    assert make(town) == [Made(NORTH, THE_3RD, 2)]
    second, day = own(town, mori)
    with town.office.read() as people:
        file = work_lists.file_of(people, NORTH, THE_3RD, 1)
    assert file is not None
    assert second.former == check(file, PUBLIC).sha256
    assert [one.who for one in day.corrections] == ["kyoto"]
    assert len(set(first.days) & set(second.days)) == 1  # the other one's day keeps its salt
    assert own(town, sato)[0] == second != other
    assert make(town) == []


@pytest.mark.parametrize("late", ["tap", "step", "terms", "first comparison"])
def test_whatever_changes_a_day_makes_another_list(town: Schools, late: str) -> None:
    mori, gate = town.teacher("T-1"), town.gates["north-front"]
    holdover = ClockState.HOLDOVER if late == "first comparison" else ClockState.SYNCHRONISED
    gate.begin(at(3, "07:00"), holdover)
    gate.tap("T-1", at(3, "07:45"), clock=holdover)
    gate.send(at(3, "07:55"))
    make(town)
    before = newest(town)
    if late == "tap":
        gate.tap("T-1", at(3, "17:15"))
        gate.send(NOW_MS - DAY_MS)
    elif late == "step":
        gate.step(at(9, "07:00"), 60_000)
        gate.send(NOW_MS - DAY_MS)
    elif late == "terms":
        with town.office.write() as connection:
            term = NewTerm(datetime.date(2026, 6, 2), NORTH, engaged="reappointed")
            work_terms.add(connection, town.act(mori), term)
            moved = NewTerm(datetime.date(2026, 6, 3), SOUTH)
            work_terms.add(connection, town.act(mori), moved)
    else:
        gate.tap("T-1", at(4, "07:45"))
        gate.send(NOW_MS - DAY_MS)
    made = make(town)
    assert Made(NORTH, THE_3RD, 2) in made
    assert newest(town).days != before.days
    if late == "terms":
        assert newest(town).days == []
        assert own(town, mori)[0].organisation == SOUTH


def test_what_is_not_settled_yet_waits_for_the_next_look(town: Schools) -> None:
    town.teacher("T-1")
    make(town)
    gate = town.gates["north-front"]
    gate.tap("T-1", at(3, "07:45"))
    gate.send(NOW_MS)
    assert make(town, NOW_MS + 1_000) == []
    assert Made(NORTH, THE_3RD, 1) in make(town, NOW_MS + 60_000)


def test_cards_that_were_exchanged_change_the_days_of_both(town: Schools) -> None:
    mori, sato = town.teacher("T-1"), town.teacher("T-2")
    worked(town)
    make(town)
    with town.people.write() as connection:
        for number, owner in (("T-1", sato), ("T-2", mori)):
            mine = schema.card.c.credential == card_of(number)
            connection.execute(schema.card.update().where(mine).values(member_id=owner))
        members.bump(connection, "attendance")
    assert make(town, NOW_MS + 60_000) == []  # members change all day long
    assert Made(NORTH, THE_3RD, 2) in make(town, NOW_MS + work_changes.REVISED_EVERY_MS)
    assert (own(town, mori)[1].marks, len(own(town, sato)[1].marks)) == ([], 2)


def test_a_long_ledger_is_looked_at_piece_by_piece(town: Schools) -> None:
    town.teacher("T-1")
    for n in (3, 4, 5):
        worked(town, n=n)
    found: set[int] = set()
    with town.fleet.read() as fleet, town.people.read() as people:
        known = work_changes.known(fleet, people)
        is_all, looks = False, 0
        while not is_all:
            due = work_changes.due(fleet, people, known, NOW_MS, revised=False, at_once=2)
            found |= {day.day for day in due.days if day.month == 6}
            known, is_all, looks = due.known, due.is_all, looks + 1
    assert {3, 4, 5} <= found
    assert looks == 4  # seven entries, two at a time


def test_another_life_of_the_ledger_is_looked_at_whole(town: Schools) -> None:
    town.teacher("T-1")
    worked(town)
    make(town)
    with town.fleet.write() as connection:
        ledger.begin_epoch(connection, "test", "restored", 2)
    assert make(town) == []  # the same days, hence the same lists
    (row,) = town.ask(sa.select(schema.work_listed))
    with town.fleet.read() as connection:
        assert row.epoch == ledger.epoch(connection)


def test_a_salt_is_told_by_nothing_that_others_see(town: Schools) -> None:
    mori = town.teacher("T-1")
    worked(town)
    make(town)
    listed, day = own(town, mori)
    (leaf,) = town.ask(schema.work_leaf.select().where(schema.work_leaf.c.day == THE_3RD))
    body = msgspec.json.encode(day)
    for guess in (b"", bytes(SALT_BYTES), LABEL, mori.to_bytes(SALT_BYTES), listed.days[0]):
        assert own_hash(guess, body) not in listed.days
    assert own_hash(leaf.salt, body) in listed.days
    salts = [row.salt for row in town.ask(schema.work_leaf.select())]
    assert len(set(salts)) == len(salts)
    assert {len(salt) for salt in salts} == {SALT_BYTES}
    public = msgspec.json.encode(listed)
    assert b"T-1" not in public
    assert leaf.salt not in public


def test_a_list_is_never_changed_or_removed(town: Schools) -> None:
    town.teacher("T-1")
    make(town)
    for statement in ("update work_list set number = 9", "delete from work_list"):
        with pytest.raises(sa.exc.DatabaseError), town.people.write() as connection:
            connection.exec_driver_sql(statement)
    with pytest.raises(sa.exc.DatabaseError), town.office.write() as connection:
        connection.execute(schema.work_list.insert().values(organisation="x"))
