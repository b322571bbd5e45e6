"""What `dispatch` does with the databases, and how it measures them."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import cast

import pytest

from fleet.books import Books, Received, Register
from fleet.broker import hold, until_first
from fleet.dispatch import BROKER_DROPPED, dropped_by_broker
from fleet.dispatch_books import DispatchBooks
from fleet.groups import GROUP_BYTES_MAX, GROUP_MAX, READ_AT_ONCE, Worker, next_group
from fleet.intake import Stranger
from fleet.lag import KEPT_MS, Figure, Growth, Minute, quantile
from fleet.store import StoreUnusable
from fleet.workers import Held, Holding, Lost
from tests.fleet.virtual import NOON_MS, VirtualFleet
from wire.envelope import Purpose
from wire.messages import Status
from wire.mqtt import Connection, Message
from wire.topics import Leaf


class Losable(Holding):
    """A lock that can be taken away."""

    gone = False

    def lost(self) -> bool:
        return self.gone


# --- figures -------------------------------------------------------------------------------------


def lags(fleet: VirtualFleet) -> dict[tuple[str, str], int]:
    rows = fleet.rows("select name, process, value from lag")
    return {(name, process): value for name, process, value in rows}


def test_figures_are_overwritten_and_forgotten_when_their_process_is_gone(
    fleet: VirtualFleet,
) -> None:
    fleet.dispatch.measure("dispatch 1", {Figure.BROKER_ROUND_TRIP_US: 700}, 0)
    fleet.books.note_lag("ingest 1", {Figure.INGEST_GROUPS: 5})
    fleet.dispatch.measure("dispatch 1", {Figure.BROKER_ROUND_TRIP_US: 900}, 0)
    known = lags(fleet)
    assert known[Figure.BROKER_ROUND_TRIP_US, "dispatch 1"] == 900
    assert known[Figure.INGEST_GROUPS, "ingest 1"] == 5
    assert 0 < known[Figure.DATABASE_COMMIT_US, "dispatch 1"] < 5_000_000
    fleet.clock.at_ms += KEPT_MS + 1
    fleet.dispatch.measure("dispatch 2", {}, 0)
    fleet.dispatch.tidy()
    assert {process for _, process in lags(fleet)} == {"dispatch 2"}


def test_what_the_broker_drops_is_an_alarm_that_counts(fleet: VirtualFleet) -> None:
    fleet.dispatch.measure("d", {Figure.BROKER_DROPPED: 3}, 0)
    assert fleet.alarms() == set()
    fleet.dispatch.measure("d", {Figure.BROKER_DROPPED: 10}, 7)
    assert fleet.alarms() == {"broker-dropped"}
    assert fleet.rows("select subject, detail, reader from alarm") == [("broker", "7", None)]


def test_a_minute_is_summed_up_and_begun_anew() -> None:
    minute = Minute()
    for took_ms in range(1, 101):
        minute.committed(took_ms * 1_000_000, 2 * took_ms * 1_000_000)
    minute.answered(3_000_000)
    assert minute.take() == {
        Figure.INGEST_GROUPS: 100,
        Figure.INGEST_COMMIT_P50_US: 51_000,
        Figure.INGEST_COMMIT_P99_US: 100_000,
        Figure.INGEST_OLDEST_MS: 200,
        Figure.INGEST_ANSWER_P50_US: 3_000,
        Figure.INGEST_ANSWER_P99_US: 3_000,
    }
    assert minute.take() == {Figure.INGEST_GROUPS: 0}


@pytest.mark.parametrize(
    ("counts", "growth"),
    [([7], [0]), ([7, 7, 9], [0, 0, 2]), ([7, 0, 3], [0, 0, 3]), ([7, 4], [0, 4])],
)
def test_a_counter_of_another_program_grows_across_its_restarts(
    counts: list[int], growth: list[int]
) -> None:
    counter = Growth()
    assert [counter.to(count) for count in counts] == growth


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_a_quantile_is_one_of_the_values(share: float, value: int) -> None:
    assert quantile([1, 2, 3, 4], share) == value


# --- groups --------------------------------------------------------------------------------------


def received(payload: bytes) -> Received:
    message = Message("t", payload, 1, False)
    return Received(message, NOON_MS, Register({}, {}, {}), Stranger("?", "?", "topic"))


async def test_a_group_is_what_waits_within_both_limits() -> None:
    waiting: asyncio.Queue[Received] = asyncio.Queue()
    for _ in range(GROUP_MAX + 3):
        waiting.put_nowait(received(b"x"))
    assert [len(await next_group(waiting)) for _ in range(2)] == [GROUP_MAX, 3]
    for _ in range(5):
        waiting.put_nowait(received(bytes(GROUP_BYTES_MAX // 2)))
    assert [len(await next_group(waiting)) for _ in range(3)] == [2, 2, 1]


class Flood:
    """A connection on which everything has arrived at once."""

    def __init__(self, count: int) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        for _ in range(count):
            self.messages.put_nowait(Message("t", b"x", 1, False))


async def test_a_flood_lets_others_have_their_turn() -> None:
    """Of messages that all have arrived some wait while answers leave and the broker is heard."""
    worker = Worker.__new__(Worker)
    read: list[Message] = []
    worker._books = cast(Books, SimpleNamespace(read=read.append))
    connection = cast(Connection, Flood(GROUP_MAX))
    reading = asyncio.create_task(worker._read(connection, asyncio.Queue()))
    turns = []
    while len(read) < GROUP_MAX:
        await asyncio.sleep(0)
        turns.append(len(read))
    reading.cancel()
    steps = [after - before for before, after in itertools.pairwise([0, *turns])]
    assert max(steps) <= READ_AT_ONCE


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (Message(BROKER_DROPPED, b"12", 1, True), 12),
        (Message(BROKER_DROPPED, b"12", 1, False), None),
        (Message("$SYS/broker/uptime", b"12", 1, True), None),
        (Message(BROKER_DROPPED, b"", 1, True), None),
        (Message(BROKER_DROPPED, b"-1", 1, True), None),
        (Message(BROKER_DROPPED, "１２".encode(), 1, True), None),
        (Message(BROKER_DROPPED, b"9" * 5_000, 1, True), None),
    ],
)
def test_the_brokers_counter_is_a_number_or_nothing(message: Message, count: int | None) -> None:
    assert dropped_by_broker(message) == count


# --- the lock ------------------------------------------------------------------------------------


def test_who_lost_the_lock_does_nothing_more(fleet: VirtualFleet) -> None:
    holding = Losable()
    books = DispatchBooks(fleet.config, fleet.clock, holding)
    status = Status(v=1, online=True, at_ms=NOON_MS, agent="a", ready=True)
    message = fleet.reader("bus-1").say(Purpose.STATUS, status, Leaf.STATUS)
    try:
        holding.gone = True
        for work in (
            lambda: books.take([message]),
            lambda: books.twins(["kazasu-shi/bus-1"]),
            books.sweep,
            books.tidy,
            lambda: books.measure("d", {}, 1),
        ):
            with pytest.raises(Lost):
                work()
    finally:
        books.close()
    assert fleet.rows("select * from reader_state") == []
    assert fleet.alarms() == set()


class Locks:
    """A lock for `hold`, that says what it is told to say."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.entered = self.left = 0

    def __call__(self) -> "Locks":
        return self

    def __enter__(self) -> Holding:
        if self.answers and (answer := self.answers.pop(0)) is not None:
            raise answer
        self.entered += 1
        return Holding()

    def __exit__(self, *_: object) -> None:
        self.left += 1


async def test_nothing_is_begun_again_that_never_began() -> None:
    for refused in (Held("another one"), StoreUnusable("no database")):
        with pytest.raises(type(refused)):
            await hold(Locks(refused), work_for_ever)


async def work_for_ever(_holding: Holding) -> None:
    await asyncio.Event().wait()


async def test_after_the_lock_was_lost_it_is_asked_for_again_and_never_held_twice() -> None:
    locks = Locks(None, StoreUnusable("away"), None, Held("another one"))

    async def work(_holding: Holding) -> None:
        assert locks.entered == locks.left + 1
        raise Lost("lost")

    with pytest.raises(Held):
        await hold(locks, work)
    assert locks.entered == locks.left == 2


async def test_the_first_that_fails_ends_the_others_and_is_what_is_heard() -> None:
    ended = asyncio.Event()

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def failing() -> None:
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        await until_first(other(), failing())
    assert ended.is_set()
