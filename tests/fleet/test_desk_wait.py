"""A browser waits, one reader answers: who may wait, and whose answer changes what."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import sqlalchemy as sa

from fleet import desk_wait, overview, usage
from fleet.desk_wait import (
    ASK_AGAIN_MS,
    KEPT_MS,
    SAID,
    SILENT_MS,
    DeskBusy,
    DeskRefused,
    Outcome,
    State,
    Wait,
)
from fleet.schema import desk_wait as waits
from tests.fleet.test_intake import status
from tests.fleet.virtual import (
    NOON_MS,
    VirtualFleet,
    bus,
    desk,
    make_fleet,
    make_tap,
    pinned_key,
)
from wire.codes import Code
from wire.codes import Outcome as TapOutcome
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskRequest, DeskSaid
from wire.envelope import Purpose, open_envelope
from wire.limits import DESK_WAIT_MS_MAX
from wire.topics import Leaf

T = TypeVar("T")
PASS = "senior-pass"
DESK_1, DESK_2 = "kazasu-shi/desk-1", "kazasu-shi/desk-2"
CARD = DeskCard(Scheme.COMMON_AP, 1, "5c" * 16)
SEEN = {DeskSaid.READ: [CARD]}


def write(fleet: VirtualFleet, do: Callable[[sa.Connection], T]) -> T:
    with fleet.people.write() as connection:
        return do(connection)


def begin(fleet: VirtualFleet, who: str = "hana", reader: str = "kazasu-shi/bus-1") -> str:
    now_ms = fleet.clock.now_ms()
    return write(fleet, lambda c: desk_wait.begin(c, reader, PASS, "enrol", who, now_ms, now_ms))


def look(fleet: VirtualFleet, wait: str, who: str = "hana") -> Wait:
    with fleet.people.read() as connection:
        return desk_wait.look(connection, wait, who, fleet.clock.now_ms())


def stands(fleet: VirtualFleet, wait: str) -> tuple[State, Outcome]:
    found = look(fleet, wait)
    return found.state, found.outcome


def say(
    fleet: VirtualFleet, wait: str, said: DeskSaid, reader: str = "bus-1", programme: str = PASS
) -> None:
    """A reader says something of a request, signed, by the way of ingest."""
    answer = DeskAnswer(1, wait, programme, fleet.clock.now_ms(), said, SEEN.get(said, []))
    by = fleet.reader(reader)
    fleet.take(by.say(Purpose.DESK_ANSWER, answer, Leaf.COMMAND_RESULT))


def requests(fleet: VirtualFleet) -> list[tuple[str, DeskRequest]]:
    """What readers are told now, each opened with the key that they have pinned."""
    told = []
    for letter in fleet.dispatch.desk_requests():
        reader = "/".join(letter.topic.split("/")[2:4])
        assert not letter.retain
        assert letter.topic.endswith("/command")
        key = pinned_key(fleet.town)
        told.append(
            (reader, open_envelope(letter.payload, Purpose.DESK_REQUEST, reader, key, DeskRequest))
        )
    return told


# --- the table -----------------------------------------------------------------------------------


def test_a_waiting_row_becomes_what_its_reader_says(fleet: VirtualFleet) -> None:
    for said in DeskSaid:
        wait = begin(fleet)
        assert stands(fleet, wait) == (State.WAITING, Outcome.NOTHING)
        say(fleet, wait, said)
        assert stands(fleet, wait) == SAID[said]
        read = said is DeskSaid.READ
        assert look(fleet, wait).schemes == ((Scheme.COMMON_AP,) if read else ())


def test_nothing_moves_a_row_for_which_nobody_waits_any_more(fleet: VirtualFleet) -> None:
    for last in (said for said in DeskSaid if SAID[said][0] is not State.WAITING):
        wait = begin(fleet)
        say(fleet, wait, last)
        for then in DeskSaid:
            say(fleet, wait, then)
            assert stands(fleet, wait) == SAID[last]
        assert not write(fleet, lambda c, w=wait: desk_wait.cancel(c, w, "hana"))  # type: ignore[misc]


def test_holding_again_and_two_cards_leave_the_desk_waiting_for_the_card(
    fleet: VirtualFleet,
) -> None:
    wait = begin(fleet)
    for said in (DeskSaid.ASKING, DeskSaid.HOLD_AGAIN, DeskSaid.TWO_CARDS, DeskSaid.READ):
        say(fleet, wait, said)
    assert stands(fleet, wait) == (State.ANSWERED, Outcome.READ)


# --- whose answer --------------------------------------------------------------------------------


def test_another_reader_answers_nothing_whatever_it_signs(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    say(fleet, wait, DeskSaid.READ, "bus-2")
    assert stands(fleet, wait) == (State.WAITING, Outcome.NOTHING)
    counted = fleet.rows("select reader, leaf, reason, count from bad_message")
    assert counted == [("kazasu-shi/bus-2", "command/result", "not-asked", 1)]


def test_what_another_reader_signed_is_none_of_this_readers(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    answer = DeskAnswer(1, wait, PASS, NOON_MS, DeskSaid.READ, [CARD])
    stolen = fleet.reader("bus-2").say(Purpose.DESK_ANSWER, answer, Leaf.COMMAND_RESULT)
    fleet.take(fleet.reader("bus-1").raw(stolen.payload, Leaf.COMMAND_RESULT))
    assert stands(fleet, wait) == (State.WAITING, Outcome.NOTHING)
    assert fleet.rows("select reason from bad_message") == [("not-signed",)]


def test_an_answer_for_another_programme_changes_nothing(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    say(fleet, wait, DeskSaid.READ, programme="attendance")
    assert stands(fleet, wait) == (State.WAITING, Outcome.NOTHING)


def test_a_late_answer_changes_nothing(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    say(fleet, wait, DeskSaid.ASKING)
    fleet.clock.pass_s(DESK_WAIT_MS_MAX / 1000)
    assert stands(fleet, wait) == (State.OVER, Outcome.EXPIRED)
    say(fleet, wait, DeskSaid.READ)
    assert stands(fleet, wait) == (State.OVER, Outcome.EXPIRED)


def test_a_replayed_answer_gives_no_card_to_the_next_wait(fleet: VirtualFleet) -> None:
    former = begin(fleet)
    answer = DeskAnswer(1, former, PASS, NOON_MS, DeskSaid.READ, [CARD])
    message = fleet.reader("bus-1").say(Purpose.DESK_ANSWER, answer, Leaf.COMMAND_RESULT)
    fleet.take(message)
    write(fleet, lambda c: desk_wait.take(c, former, "hana", PASS))
    wait = begin(fleet)
    fleet.take(message)
    assert stands(fleet, wait) == (State.WAITING, Outcome.NOTHING)


# --- who waits -----------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_leaves_no_reader_to_nobody(fleet: VirtualFleet) -> None:
    write(fleet, lambda c: desk_wait.begin(c, DESK_1, PASS, "enrol", "hana", NOON_MS, NOON_MS))
    hour_ms = NOON_MS - 3_600_000
    assert write(
        fleet, lambda c: desk_wait.begin(c, DESK_1, PASS, "enrol", "umi", hour_ms, hour_ms)
    )


def test_a_second_clerk_at_the_same_reader_is_told_who_waits_there(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    with pytest.raises(DeskBusy) as refused:
        begin(fleet, "jiro")
    assert refused.value.who == "hana"
    assert look(fleet, wait).state is State.WAITING


def test_two_desks_at_once_each_get_their_own_card(fleet: VirtualFleet) -> None:
    one, two = begin(fleet), begin(fleet, "jiro", "kazasu-shi/bus-2")
    say(fleet, two, DeskSaid.READ, "bus-2")
    assert look(fleet, one).state is State.WAITING
    say(fleet, one, DeskSaid.CARD_NOT_USABLE, "bus-1")
    found = write(fleet, lambda c: desk_wait.take(c, two, "jiro", PASS))
    assert found == [(Scheme.COMMON_AP, 1, CARD.credential)]


def test_a_clerk_waits_at_one_reader_at_a_time(fleet: VirtualFleet) -> None:
    former, _ = begin(fleet), begin(fleet, reader="kazasu-shi/bus-2")
    assert stands(fleet, former) == (State.OVER, Outcome.CANCELLED_HERE)
    begin(fleet, "jiro")


def test_a_reader_that_says_nothing_is_away_and_keeps_no_other_clerk_out(
    fleet: VirtualFleet,
) -> None:
    wait = begin(fleet)
    fleet.clock.pass_s(SILENT_MS / 1000)
    assert stands(fleet, wait) == (State.OVER, Outcome.AWAY)
    other = begin(fleet, "jiro")
    say(fleet, wait, DeskSaid.READ)
    assert stands(fleet, wait) == (State.OVER, Outcome.CANCELLED_HERE)
    assert look(fleet, other, "jiro").state is State.WAITING


def test_a_wait_belongs_to_the_account_that_began_it(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    say(fleet, wait, DeskSaid.READ)
    with pytest.raises(DeskRefused):
        look(fleet, wait, "jiro")
    for who, programme in (("jiro", PASS), ("hana", "attendance")):
        with pytest.raises(DeskRefused):
            write(fleet, lambda c, w=who, p=programme: desk_wait.take(c, wait, w, p))  # type: ignore[misc]
    assert write(fleet, lambda c: desk_wait.take(c, wait, "hana", PASS))


def test_a_card_is_used_once_and_is_gone_then(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    with pytest.raises(DeskRefused):
        write(fleet, lambda c: desk_wait.take(c, wait, "hana", PASS))
    say(fleet, wait, DeskSaid.READ)
    write(fleet, lambda c: desk_wait.take(c, wait, "hana", PASS))
    with pytest.raises(DeskRefused):
        write(fleet, lambda c: desk_wait.take(c, wait, "hana", PASS))
    assert write(fleet, lambda c: c.scalar(sa.select(sa.func.count()).select_from(waits))) == 0


def test_what_nobody_used_is_erased_within_the_hour(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    say(fleet, wait, DeskSaid.READ)
    fleet.clock.pass_s((DESK_WAIT_MS_MAX + KEPT_MS) / 1000 - 1)
    fleet.dispatch.tidy()
    assert look(fleet, wait).state is State.ANSWERED
    fleet.clock.pass_s(1)
    fleet.dispatch.tidy()
    with pytest.raises(DeskRefused):
        look(fleet, wait)


# --- what readers are told -----------------------------------------------------------------------


def test_a_reader_hears_a_request_again_and_that_it_is_over(fleet: VirtualFleet) -> None:
    wait = begin(fleet)
    ((reader, first),) = requests(fleet)
    assert (reader, first.id, first.programme) == ("kazasu-shi/bus-1", wait, PASS)
    assert first.expires_ms == NOON_MS + DESK_WAIT_MS_MAX
    assert requests(fleet) == []
    fleet.clock.pass_s(ASK_AGAIN_MS / 1000)
    ((_, again),) = requests(fleet)
    assert again.at_ms > first.at_ms
    write(fleet, lambda c: desk_wait.cancel(c, wait, "hana"))
    ((_, over),) = requests(fleet)
    assert over.id == wait
    assert over.expires_ms <= over.at_ms
    assert requests(fleet) == []


def test_the_former_request_is_taken_back_before_the_next_and_each_is_newer(
    fleet: VirtualFleet,
) -> None:
    former = begin(fleet)
    requests(fleet)
    wait = begin(fleet)
    told = [one for _, one in requests(fleet)]
    assert [one.id for one in told] == [former, wait]
    assert told[0].at_ms < told[1].at_ms


def test_a_revoked_reader_is_told_nothing(fleet: VirtualFleet) -> None:
    assert fleet.command("readers", "revoke", "kazasu-shi/bus-1", "stolen") == 0
    begin(fleet)
    assert requests(fleet) == []


# --- where desks are -----------------------------------------------------------------------------


def test_desks_are_readers_that_stand_at_one_and_the_new_ones_hear(tmp_path: Path) -> None:
    places = [bus("bus-1"), desk("desk-1"), desk("desk-2")]
    fleet = make_fleet(tmp_path, places)
    for name, agent in (("desk-1", "0.3.0"), ("desk-2", "0.2.0")):
        said = status(agent=agent, journal=None, n=0)
        fleet.hear(fleet.reader(name).say(Purpose.STATUS, said, Leaf.STATUS))
    with fleet.store.read() as connection:
        found = desk_wait.desks(connection, PASS)
        assert desk_wait.desks(connection, "attendance") == []
    assert [(one.reader, one.online, one.hears) for one in found] == [
        (DESK_1, True, True),
        (DESK_2, True, False),
    ]
    fleet.close()


# --- what the ledger makes of it -----------------------------------------------------------------


def test_a_card_that_was_held_for_a_desk_counts_nowhere(fleet: VirtualFleet) -> None:
    bus_1 = fleet.reader("bus-1")
    journal = bus_1.journal()
    journal.tap(code=Code.DESK, outcome=TapOutcome.REPEAT, shown="desk.read", rule="", roster=1)
    assert fleet.through((bus_1, journal.all())) == [2]
    for table in ("usage", "finding", "quarantine", "alarm"):
        assert fleet.rows(f"select * from {table}") == [], table
    with fleet.store.read() as connection:
        assert usage.check(connection) == []
        minutes = overview.read_minutes(connection, fleet.clock.now_ms())
    assert sum(one.accepted + one.refused + one.repeats for one in minutes) == 0


def test_a_reader_that_books_a_ride_as_a_desks_card_is_not_believed(fleet: VirtualFleet) -> None:
    bus_1 = fleet.reader("bus-1")
    journal = bus_1.journal()
    tap = msgspec.to_builtins(make_tap(2, code=Code.OK, credential="5c" * 16))
    journal.write_bytes(msgspec.json.encode(tap | {"kind": "tap", "code": "desk"}))
    fleet.through((bus_1, journal.all()))
    assert fleet.rows("select * from usage") == []
    assert fleet.rows("select count(*) from quarantine") == [(1,)]
