"""A company's day board and the rides that it looks at again."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from fleet import rides, schema, store, usage, vehicles, vehicles_check
from fleet.config import Databases
from fleet.grants import Role
from fleet.vehicles import OnShift, Today, Vehicle
from fleet.vehicles_check import DOUBTS, LONG_MS, PAIR_MS, Span
from tests.fleet.company_kit import (
    ASAHI,
    MINATO,
    MINUTE_MS,
    NOON_MS,
    NOW_MS,
    TAXI,
    add_companies,
    add_members,
    card_of,
    enter,
    reader_of,
    send,
    settled,
    shift,
    slip,
    tap,
)

HOUR_MS = 3_600_000
SPAN = Span.of(TAXI, ASAHI, 7, NOW_MS)


@pytest.fixture
def offices(databases: Databases) -> Iterator[tuple[store.Store, store.Store]]:
    """Fleet and persons, each as the office has it; what is sent is the owner's to write."""
    store.migrate(databases)
    owners = store.open_fleet(databases, Role.OWNER), store.open_persons(databases, Role.OWNER)
    with owners[0].write() as connection:
        add_companies(connection)
    with owners[1].write() as connection:
        add_members(connection)
    opened = store.open_fleet(databases, Role.OFFICE), store.open_persons(databases, Role.OFFICE)
    yield opened
    for one in (*owners, *opened):
        one.close()


@pytest.fixture
def owner(databases: Databases, offices: object) -> Iterator[store.Store]:
    opened = store.open_fleet(databases, Role.OWNER)
    yield opened
    opened.close()


def state(place: str, **changes: object) -> sa.Executable:
    row = {"reader": reader_of(place), "online": True, "ready": True, "rosters": []}
    row |= {"status_at_ms": NOW_MS, "received_at_ms": NOW_MS, "agent": "kazasu-edge 1.2.0"}
    return schema.reader_state.insert().values(row | changes)


def board(office: store.Store, company: str = ASAHI) -> dict[str, Vehicle]:
    with office.read() as connection:
        return {one.place: one for one in vehicles.board(connection, TAXI, company, NOW_MS)}


def kinds(one: Vehicle, newest: str = "kazasu-edge 1.2.0", now_ms: int = NOW_MS) -> list[str]:
    return [mark.kind for mark in vehicles.marks(one, newest, now_ms)]


def test_the_board_adds_up_today_less_what_was_taken_back(
    offices: tuple[store.Store, store.Store], owner: store.Store
) -> None:
    with owner.write() as connection:
        first = settled(connection, 2, ["M-001"], NOON_MS)
        settled(connection, 3, ["M-002"], NOON_MS + HOUR_MS)
        settled(connection, 4, ["M-002"], NOON_MS - 24 * HOUR_MS)
        settled(connection, 5, ["M-002"], NOON_MS, outcome="refused")
        rides.take_back(connection, first, NOW_MS, "7", "wrong-fare")
    found = board(offices[0])
    assert found["taxi-1"].today == Today(1, 3_000, 750)
    assert found["taxi-2"].today == Today()
    assert list(found) == ["taxi-1", "taxi-2"]
    assert list(board(offices[0], MINATO)) == ["taxi-9"]
    assert board(offices[0], "") == {}


def test_the_board_shows_who_drives_until_the_shift_ends(
    offices: tuple[store.Store, store.Store], owner: store.Store
) -> None:
    with owner.write() as connection:
        connection.execute(state("taxi-1"))
        send(connection, "taxi-1", shift(2, "17", NOON_MS), shift(3, "23", NOON_MS + HOUR_MS))
        send(connection, "taxi-2", shift(2, "17", NOON_MS))
        send(connection, "taxi-2", shift(3, "17", NOON_MS + HOUR_MS, began=False))
    found = board(offices[0])
    assert found["taxi-1"].shift == OnShift("23", NOON_MS + HOUR_MS)
    assert found["taxi-2"].shift == OnShift()


def test_a_clock_that_is_not_known_is_the_newest_entrys(
    offices: tuple[store.Store, store.Store], owner: store.Store
) -> None:
    with owner.write() as connection:
        mine = schema.journal.c.reader == reader_of("taxi-1")
        name = connection.scalars(sa.select(schema.journal.c.journal).where(mine)).one()
        connection.execute(state("taxi-1", journal=name))
        send(connection, "taxi-1", shift(2, "17", NOON_MS, clock="unknown"))
    assert kinds(board(offices[0])["taxi-1"]) == ["clock"]
    with owner.write() as connection:
        send(connection, "taxi-1", shift(3, "17", NOON_MS))
    assert kinds(board(offices[0])["taxi-1"]) == []


def test_each_mark_is_for_what_it_says() -> None:
    fine = Vehicle("taxi-1", "", "", "r", online=True, heard_ms=NOW_MS, agent="kazasu-edge 1.2.0")
    away = {"online": False, "waiting": 3}
    old: dict[str, object] = {**away, "heard_ms": NOW_MS - 2 * HOUR_MS}
    cases: dict[tuple[str, ...], dict[str, object]] = {
        (): {},
        ("unsent",): old,
        ("trouble-stale",): {"ready": False, "trouble": "stale"},
        ("trouble",): {"ready": False, "trouble": "of-tomorrow"},
        ("agent",): {"agent": "kazasu-edge 1.1.9"},
        ("never",): {"heard_ms": None},
        ("no-reader",): {"reader": ""},
    }
    for expected, change in cases.items():
        assert tuple(kinds(replace(fine, **change))) == expected  # type: ignore[arg-type]
    assert kinds(replace(fine, **{**old, "waiting": 0})) == []  # type: ignore[arg-type]
    just = replace(fine, online=False, waiting=3, heard_ms=NOW_MS - 2 * HOUR_MS + 1)
    assert kinds(just) == []
    assert kinds(replace(fine, agent="kazasu-edge 1.10.0"), "kazasu-edge 1.9.0") == []


# --- rides to check ------------------------------------------------------------------------------


def test_each_doubt_names_its_rides_and_no_others(
    offices: tuple[store.Store, store.Store], owner: store.Store
) -> None:
    made: dict[str, int] = {}
    changes: dict[str, dict[str, object]] = {
        "no-fare": {"fare_yen": 0},
        "high-fare": {"fare_yen": 20_001},
        "long": {"minutes": LONG_MS // MINUTE_MS + 1},
        "no-driver": {"driver": ""},
        "no-place": {"on_spot": ""},
        "same-place": {"off_spot": "36.389,139.060"},
        "refused": {"outcome": "refused"},
        "over": {},
    }
    with owner.write() as connection:
        settled(connection, 2, ["M-001"], NOON_MS, fare_yen=20_000, minutes=180)
        for n, (kind, change) in enumerate(changes.items(), 3):
            made[kind] = settled(connection, n, ["M-002"], NOON_MS, **change)
            if kind == "over":
                journal = sa.select(schema.ride.c.journal_id).where(schema.ride.c.id == made[kind])
                connection.execute(
                    schema.finding.insert().values(
                        journal_id=journal.scalar_subquery(), n=n, kind="allowance",
                        outcome="refused", code="used-up", rule="x", found_at_ms=NOW_MS,
                    )
                )  # fmt: skip
        settled(connection, 20, ["M-002"], NOON_MS, place="taxi-9", organisation=MINATO, fare_yen=0)
        gone = settled(connection, 21, ["M-002"], NOON_MS, fare_yen=0)
        rides.take_back(connection, gone, NOW_MS, "7", "wrong-fare")
    assert set(changes) == set(DOUBTS)
    with offices[0].read() as connection:
        found = {one.id: one.doubts for one in vehicles_check.doubtful(connection, SPAN)}
        assert found == {number: (kind,) for kind, number in made.items()}
        assert vehicles_check.counts(connection, SPAN) == dict.fromkeys(DOUBTS, 1)
        (only,) = vehicles_check.doubtful(connection, SPAN, "long")
        assert only.id == made["long"]


def test_a_rider_who_boarded_and_was_never_settled_is_found(
    offices: tuple[store.Store, store.Store], owner: store.Store
) -> None:
    with owner.write() as connection:
        send(connection, "taxi-1", tap(2, "M-001"), tap(3, "M-002"))
        settled(connection, 4, ["M-001", "M-002"], NOON_MS)
        lost_ms = NOW_MS - LONG_MS
        send(connection, "taxi-1", tap(5, "M-001", lost_ms))
        send(connection, "taxi-1", tap(6, "M-002", lost_ms + 1))  # perhaps still under way
        send(connection, "taxi-2", tap(2, "M-001", lost_ms - 5))  # taken off the list
        send(connection, "taxi-9", tap(2, "M-001", lost_ms - 9))  # another company's
        mine = schema.journal.c.reader == reader_of("taxi-2")
        held = connection.execute(sa.select(schema.journal).where(mine)).one()
        back = {"reader": held.reader, "of_journal": held.journal, "of_n": 2, "n": 3, "at_ms": 1}
        connection.execute(schema.ride_taken_back.insert().values(back | {"journal_id": held.id}))
    with offices[0].read() as connection:
        assert vehicles_check.not_settled(connection, SPAN) == [("taxi-1", lost_ms)]


def test_a_ride_by_hand_beside_one_by_card_of_the_same_member_is_a_pair(
    offices: tuple[store.Store, store.Store], owner: store.Store
) -> None:
    by_hand = enter(*offices, slip("M-001"))
    with owner.write() as connection:
        same = settled(connection, 2, ["M-001"], NOON_MS + PAIR_MS)
        settled(connection, 3, ["M-001"], NOON_MS + PAIR_MS + 1)
        settled(connection, 4, ["M-002"], NOON_MS)
    assert _pairs(offices) == [(by_hand, same)]
    with offices[0].write() as connection:
        rides.take_back(connection, same, NOW_MS, "mika", "二重")
    assert _pairs(offices) == []


def _pairs(offices: tuple[store.Store, store.Store]) -> list[tuple[int, int]]:
    with offices[0].read() as connection, offices[1].read() as people:
        entered = vehicles_check.entered(connection, SPAN)
        cards = usage.cards_of_members(people, list(entered))
        assert all(card_of("M-001") in some for some in cards.values())
        found = vehicles_check.pairs(connection, SPAN, entered, cards)
    return [(pair.entered.id, pair.tapped.id) for pair in found]


def test_one_ride_tells_each_riders_part_and_what_became_of_it(
    offices: tuple[store.Store, store.Store],
) -> None:
    ride_id = enter(*offices, slip("M-001", "M-002", fare_yen=1_200))
    with offices[0].read() as connection:
        found = vehicles_check.whole(connection, ride_id)
        assert found is not None
        assert (found.subsidies_yen, found.taken) == ((500, 500), None)
        assert vehicles_check.whole(connection, 10**15) is None
    with offices[0].write() as connection:
        rides.take_back(connection, ride_id, NOW_MS, "mika", "二重")
    with offices[0].read() as connection:
        found = vehicles_check.whole(connection, ride_id)
    assert found is not None
    assert found.taken == (NOW_MS, "mika", "二重")
