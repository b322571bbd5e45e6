"""A member's PIN beside his card: which PIN, whose card, how many tries, and what ends it."""

import datetime
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import sqlalchemy as sa

from fleet import (
    card_pin,
    desk_browsers,
    desk_wait,
    erasure,
    schema,
    schemes,
    work_accounts,
    work_disclosure,
)
from fleet.card_pin import FAILURES_MAX, Kept, PinRefused
from fleet.config import Databases
from fleet.desk_wait import DeskRefused
from fleet.schemes import NewStatement
from fleet.sealing import Sealer
from fleet.work_acts import Act
from tests.fleet.test_work_spares import lend, registered
from tests.fleet.work_kit import SCHOOL, Schools, at, card_of, open_schools
from wire.credential import Scheme

PIN, OTHER = "270915", "864201"
SEALER = Sealer(bytes(32))
T = TypeVar("T")


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    """One teacher with a card, an account and a PIN."""
    with open_schools(databases) as made:
        made.now_ms = at(3, "07:00")
        april = datetime.date(2026, 4, 1)
        ground = NewStatement("教育長", "教職員課", "規程第12条", april, april)
        write(made, schemes.state, SCHOOL, [Scheme.STAFF_TOKEN], ground, "hana", 1)
        made.teacher("T-1", birth_date=datetime.date(1985, 11, 23))
        write(made, work_accounts.bind, Act(1, "hana", 1), "sato")
        write(made, card_pin.keep, 1, "sato", card_pin.seal(SEALER, 1, PIN), made.now_ms)
        yield made


def write(town: Schools, do: Callable[..., T], *args: object, **kwargs: object) -> T:
    """Do one thing as the office may."""
    with town.office.write() as people:
        return do(people, *args, **kwargs)


def sign_in(town: Schools, card: str, pin: str) -> str:
    """Return whose account card and PIN open, as the page asks."""
    tried = write(town, card_pin.begin_try, [card], town.now_ms)
    right = card_pin.is_right(SEALER, tried, pin)
    return write(town, card_pin.settle, tried, town.now_ms, right=right)


def mine(town: Schools) -> str:
    return sign_in(town, card_of("T-1"), PIN)


def change(town: Schools, statement: sa.Executable) -> None:
    with town.people.write() as people:
        people.execute(statement)


# --- which PIN -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pin", "why"),
    [
        ("12345", "form"),
        ("1234567890123", "form"),
        ("27091a", "form"),
        ("²70915", "form"),
        ("000000", "simple"),
        ("12121212", "simple"),
        ("123123", "simple"),
        ("123456", "simple"),
        ("987654", "simple"),
        ("890123", "simple"),
        ("19851123", "known"),
        ("851123", "known"),
        ("601123", "known"),
        ("198511", "known"),
    ],
)
def test_what_others_know_or_try_first_is_no_pin(town: Schools, pin: str, why: str) -> None:
    with pytest.raises(PinRefused) as refused:
        write(town, card_pin.check, 1, pin)
    assert refused.value.reason == why


def test_a_pin_is_the_digits_however_they_were_typed(town: Schools) -> None:
    typed = card_pin.plain(" ２７０ ９１５ ")
    assert typed == PIN
    write(town, card_pin.check, 1, typed)


def test_a_pin_rests_sealed_and_for_its_own_member(town: Schools) -> None:
    ((row,),) = (town.ask(schema.card_pin.select()),)
    assert b"argon2" not in row.sealed
    assert SEALER.open(row.sealed, "card-pin 1").startswith(b"$argon2id$")
    town.teacher("T-2")
    write(town, work_accounts.bind, Act(2, "hana", 1), "suzuki")
    write(town, card_pin.keep, 2, "suzuki", row.sealed, town.now_ms)  # one row's bytes in another
    assert sign_in(town, card_of("T-2"), PIN) == ""


# --- whose card ----------------------------------------------------------------------------------


def test_ones_own_card_and_pin_open_ones_account_and_nothing_else_does(town: Schools) -> None:
    town.teacher("T-2")
    assert mine(town) == "sato"
    assert sign_in(town, card_of("T-1"), OTHER) == ""
    assert sign_in(town, card_of("T-2"), PIN) == ""
    assert sign_in(town, "5c" * 16, PIN) == ""


def test_a_lent_card_does_not_open_the_borrowers_days(town: Schools) -> None:
    lend(town, 1, registered(town), town.now_ms)
    assert sign_in(town, card_of("spare"), PIN) == ""
    assert mine(town) == "sato"


def test_a_card_that_is_not_good_at_a_gate_opens_nothing(town: Schools) -> None:
    card, member = schema.card, schema.member
    yesterday, tomorrow = datetime.date(2026, 6, 2), datetime.date(2026, 6, 4)
    for table, values in (
        (card, {"stopped_from_ms": 1}),
        (card, {"superseded_at_ms": 1}),
        (member, {"stopped_from_ms": 1}),
        (member, {"valid_to": yesterday}),
        (member, {"valid_from": tomorrow}),
    ):
        change(town, table.update().values(values))
        assert mine(town) == "", values
        change(town, table.update().values(dict.fromkeys(values)))
        assert mine(town) == "sato"
    write(town, schemes.end, SCHOOL, Scheme.STAFF_TOKEN, yesterday, "x", "hana", town.now_ms)
    assert mine(town) == ""


def test_a_card_that_is_two_peoples_by_two_schemes_is_nobodys(town: Schools) -> None:
    town.teacher("T-2")
    both = [card_of("T-1"), card_of("T-2")]
    assert write(town, card_pin.holder, both, town.now_ms) is None
    assert write(town, card_pin.holder, both[:1], town.now_ms) == 1


# --- how many tries ------------------------------------------------------------------------------


def test_five_wrong_ones_in_a_row_lock_it_until_another_pin_is_set(town: Schools) -> None:
    for _ in range(FAILURES_MAX - 1):
        assert sign_in(town, card_of("T-1"), OTHER) == ""
    assert mine(town) == "sato"  # and they are counted anew
    for _ in range(FAILURES_MAX):
        assert sign_in(town, card_of("T-1"), OTHER) == ""
    for _ in range(3):
        assert mine(town) == ""
    assert town.audited("card-pin.locked") == [(f"{SCHOOL} T-1", "")]
    assert write(town, card_pin.kept, 1) == Kept(town.now_ms, is_locked=True)
    write(town, card_pin.keep, 1, "sato", card_pin.seal(SEALER, 1, PIN), town.now_ms)
    assert mine(town) == "sato"
    assert town.audited("card-pin.changed") == [(f"{SCHOOL} T-1", "")]


def test_tries_at_one_moment_are_no_more_than_those_one_after_another(town: Schools) -> None:
    begun = [
        write(town, card_pin.begin_try, [card_of("T-1")], town.now_ms)
        for _ in range(FAILURES_MAX + 3)
    ]
    assert [one is not None for one in begun] == [True] * FAILURES_MAX + [False] * 3
    for one in begun:
        write(town, card_pin.settle, one, town.now_ms, right=False)
    assert len(town.audited("card-pin.locked")) == 1


def test_a_pin_that_was_changed_while_it_was_tried_opens_nothing(town: Schools) -> None:
    tried = write(town, card_pin.begin_try, [card_of("T-1")], town.now_ms)
    write(town, card_pin.keep, 1, "sato", card_pin.seal(SEALER, 1, OTHER), town.now_ms)
    assert write(town, card_pin.settle, tried, town.now_ms, right=True) == ""


# --- what ends it --------------------------------------------------------------------------------


def test_a_pin_goes_with_the_account_and_with_the_person(town: Schools) -> None:
    write(town, work_accounts.unbind, Act(1, "hana", 2), "sato")
    write(town, work_accounts.bind, Act(1, "hana", 3), "sato")
    assert mine(town) == ""
    write(town, card_pin.keep, 1, "sato", card_pin.seal(SEALER, 1, PIN), town.now_ms)
    told = write(town, work_disclosure.of_member, 1)
    assert "card-pin" in {one.kind for one in told}
    write(town, erasure.erase, 1, "T-1", "hana", town.now_ms)
    assert town.ask(schema.card_pin.select()) == []
    assert mine(town) == ""


def test_a_pin_is_kept_for_the_member_whose_account_it_is_alone(town: Schools) -> None:
    with pytest.raises(PinRefused):
        write(town, card_pin.keep, 1, "suzuki", b"", town.now_ms)


def test_a_clerk_takes_a_pin_away_and_does_not_see_whether_there_was_one(town: Schools) -> None:
    for _ in range(2):
        write(town, card_pin.remove, 1, "hana", town.now_ms)
    assert mine(town) == ""
    assert town.audited("card-pin.removed") == [(f"{SCHOOL} T-1", "")] * 2


# --- the browser at the desk ---------------------------------------------------------------------


def test_a_browser_is_bound_for_a_year_and_ended_at_once(town: Schools) -> None:
    reader = "kazasu-shi/desk-1"
    token = write(town, desk_browsers.bind, reader, "職員室", "hana", town.now_ms)
    found = write(town, desk_browsers.of_token, token, town.now_ms)
    assert found is not None
    assert (found.reader, found.label) == (reader, "職員室")
    assert len(found.waits_as) > work_accounts.ACCOUNT_MAX  # nobody's account has that name
    for other in ("", token[:-1], "x" * 10_000, "\ud800"):
        assert write(town, desk_browsers.of_token, other, town.now_ms) is None
    later_ms = town.now_ms + desk_browsers.BOUND_S * 1000
    assert write(town, desk_browsers.of_token, token, later_ms) is None
    assert write(town, desk_browsers.end, found.id, "hana", town.now_ms)
    assert not write(town, desk_browsers.end, found.id, "hana", town.now_ms)
    assert write(town, desk_browsers.of_token, token, town.now_ms) is None
    for what in ("desk.browser-bound", "desk.browser-ended"):
        assert town.audited(what) == [(f"{SCHOOL} {reader}", "職員室")]


def test_a_card_that_was_held_too_long_ago_is_no_answer(town: Schools) -> None:
    waits = ("kazasu-shi/desk-1", SCHOOL, "sign-in", "sign-in:x")
    wait = write(town, desk_wait.begin, *waits, 1_000, 1_000, wait_ms=60_000, by="browser 1")
    found = [["staff-token", 1, card_of("T-1")]]
    read = {"state": "answered", "answered_at_ms": 2_000, "found": found}
    change(town, schema.desk_wait.update().values(read))
    with pytest.raises(DeskRefused):
        write(town, desk_wait.take, wait, "sign-in:x", SCHOOL, 2_001)
    assert write(town, desk_wait.take, wait, "sign-in:x", SCHOOL, 2_000)
    (line,) = town.ask(schema.person_audit.select().where(schema.person_audit.c.who == "browser 1"))
    assert line.what == "desk.asked"
