"""Journals that were damaged while their reader was off: the ledger says what is missing.

Real halves, broker, fleet and disk. Whatever happened to the files: no number is used twice, what
can be sent arrives, what cannot is named, and nothing that follows waits for it.
"""

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from edge.journal import MAGIC, JournalFile
from fleet.config import Databases
from fleet.gaps import GAP_AFTER_S, HoleClock
from fleet.grants import Role
from fleet.ingest import sweep
from fleet.store import open_fleet
from tests.whole.kit import Agent, Identity, WholeTown, busses, until, whole_town
from wire.clock import SystemClock
from wire.codes import Code
from wire.envelope import Purpose, open_envelope
from wire.messages import Status
from wire.mqtt import Message
from wire.topics import Leaf, parse_reader, topic

MEMBERS: Final = range(1, 13)


@pytest.fixture(scope="module")
def town() -> Iterator[WholeTown]:
    """One town for all of these tests."""
    with whole_town(MEMBERS, *busses(*(f"bus-{n}" for n in range(1, 13)))) as made:
        yield made


@pytest.fixture
def reader(town: WholeTown) -> Iterator[Agent]:
    """A reader that no test has begun: each try of a test has its own."""
    found = next(one for one in town.agents.values() if not one.folder.exists())
    yield found
    found.stop(how=signal.SIGKILL)


def begin_day(town: WholeTown, reader: Agent, *cards: int) -> None:
    """Start a reader with the fleet there, and bring the first rides to the ledger."""
    reader.start()
    town.until_ready(reader)
    assert [tap.code for tap in reader.hold(*cards)] == [Code.OK] * len(cards)
    town.until_kept(reader)


def holds_together(town: WholeTown, reader: Agent, before: dict[Identity, bytes]) -> None:
    """No identity ever had other bytes, and every entry was counted once."""
    ledger = town.ledger(reader)
    assert [one for one in before.keys() & ledger.keys() if before[one] != ledger[one]] == []
    assert town.ask("select count(*) from conflict") == [(0,)]
    assert town.ask("select count(*) from quarantine") == [(0,)]
    sql = "select sum(count) from entry_minute where reader = ?"
    assert town.ask(sql, reader.name) == [(len(ledger),)]


def frames(file: JournalFile) -> list[int]:
    """Where the frames of a journal begin; entry n is the n-th."""
    data, found, at = file.path.read_bytes(), [], -1
    while (at := data.find(MAGIC, at + 1)) >= 0:
        found.append(at)
    return found


def flip(path: Path, first: int, last: int) -> None:
    """Turn over every bit of these bytes."""
    data = bytearray(path.read_bytes())
    data[first:last] = bytes(byte ^ 0xFF for byte in data[first:last])
    path.write_bytes(data)


def after_a_minute(town: WholeTown) -> None:
    """Let the fleet look for holes now and again when they are old enough."""
    clock, books = HoleClock(), open_fleet(Databases(town.state), Role.OWNER)
    at_ms = SystemClock().now_ms()
    for now_ns in (0, GAP_AFTER_S * 1_000_000_000):
        with books.write() as connection:
            sweep(connection, clock, now_ns, at_ms)
    books.close()


def test_flipped_bytes_in_the_middle_are_declared_lost_and_all_others_arrive(
    town: WholeTown, reader: Agent
) -> None:
    with town.fleet():
        begin_day(town, reader, 1, 2)
    reader.hold(3, 4, 5, 6, 7, 8, 9)
    reader.stop()
    before = reader.written()
    (old,) = reader.journals()
    at = frames(old)
    assert len(at) == len(before) >= 10
    flip(old.path, at[5] - 60, at[5] + 60)  # the end of entry 5 and the beginning of entry 6
    flip(old.path, at[8] + 50, at[8] + 51)  # one byte of entry 9
    readable = reader.written()
    assert before.keys() - readable.keys() == {(old.journal, n) for n in (5, 6, 9)}

    with town.fleet():
        reader.start()
        (later,) = reader.hold(10)
        assert later.code is Code.OK
        town.stop_answered(reader)
        until(lambda: len(town.gaps(reader)) == 2, "both holes are named")
    assert town.gaps(reader) == [
        (old.journal, 5, 6, "declared-lost"),
        (old.journal, 9, 9, "declared-lost"),
    ]
    assert {kind for kind, _ in town.alarms(reader)} == {"gap"}
    assert town.ledger(reader) == reader.written()
    assert town.marks(reader) == {one: (n, n, n) for one, n in reader.ends().items()}
    holds_together(town, reader, before)


def test_a_torn_tail_that_the_fleet_was_told_of_is_missed(town: WholeTown, reader: Agent) -> None:
    with town.fleet():
        begin_day(town, reader, 1, 2)
        reader.stop()
    reader.start("tap")
    reader.hold(3, 4, 5, 6)
    reader.start("link")
    before, torn = reader.written(), reader.journals()[-1]
    n = reader.ends()[torn.journal]
    asyncio.run(told(town, reader, n))
    # It holds still from here: the fleet, when it is back, hears the status and no entry.
    reader.halves["link"].send_signal(signal.SIGSTOP)
    with town.fleet():
        until(lambda: town.marks(reader).get(torn.journal) == (0, 0, n), "the tip is known")
        reader.stop(how=signal.SIGKILL)
        with torn.path.open("r+b") as file:
            file.truncate(frames(torn)[n - 2] + 20)  # the last entry and most of the one before

        reader.start()
        (later,) = reader.hold(7)
        assert later.code is Code.OK
        town.stop_answered(reader)
    assert town.gaps(reader) == []
    after_a_minute(town)
    assert town.gaps(reader) == [(torn.journal, n - 1, n, "not-arrived")]
    assert {kind for kind, _ in town.alarms(reader)} == {"gap"}
    assert town.marks(reader)[torn.journal] == (n - 2, n - 2, n)
    assert town.ledger(reader) == reader.written()
    missed = {(torn.journal, n - 1), (torn.journal, n)}
    assert before.keys() - town.ledger(reader).keys() == missed
    holds_together(town, reader, before)


async def told(town: WholeTown, reader: Agent, n: int) -> None:
    """Return when the reader has said, in the fleet's hearing, that it has written n entries."""
    connection = town.town.fleet(town.broker, "listener")
    try:
        await connection.open()
        await connection.subscribe(topic(parse_reader(reader.name), Leaf.STATUS))
        async with asyncio.timeout(30):
            while (status := _status(await connection.messages.get(), town, reader)).n != n:
                pass
            assert status.online
    finally:
        await connection.close()


def _status(message: Message, town: WholeTown, reader: Agent) -> Status:
    pem = town.ask("select public_key from reader where name = ?", reader.name)[0][0]
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return open_envelope(message.payload, Purpose.STATUS, reader.name, key, Status)


def test_last_weeks_copy_forks_and_what_it_lacks_stays_counted_once(
    town: WholeTown, reader: Agent
) -> None:
    copy = town.state / f"last-week-of-{reader.config.place}"
    with town.fleet():
        begin_day(town, reader, 1, 2)
        reader.stop()
        shutil.copytree(reader.folder, copy)
        reader.start()
        reader.hold(3, 4, 5)
        town.stop_answered(reader)
        before, ends = reader.written(), reader.ends()
        first, second = reader.journals()

        shutil.rmtree(reader.folder)
        copy.rename(reader.folder)
        reader.forget_marks()  # so all of the copy is sent again
        reader.start()
        reader.hold(6)
        town.stop_answered(reader)
        until(lambda: town.alarms(reader), "the alarm")
    known, third = reader.journals()
    assert known.journal == first.journal
    assert third.journal not in (first.journal, second.journal)
    assert ("fork", first.journal) in town.alarms(reader)
    assert town.ledger(reader) == before | reader.written()
    ends |= reader.ends()
    assert ends.keys() == {first.journal, second.journal, third.journal}
    assert town.marks(reader) == {one: (n, n, n) for one, n in ends.items()}
    assert town.gaps(reader) == []
    holds_together(town, reader, before)


def test_a_journal_that_cannot_be_read_any_more_stops_nothing_and_is_missed(
    town: WholeTown, reader: Agent
) -> None:
    with town.fleet():
        begin_day(town, reader, 1, 2)
        reader.stop()
    for cards in ((3, 4, 5), (6,)):
        reader.start("tap")
        reader.hold(*cards)
        reader.stop()
    before, dead = reader.written(), reader.journals()[1]
    n = reader.ends()[dead.journal]
    dead.path.unlink()
    dead.path.mkdir()  # a file that the disk will not read answers with an error, as a folder does

    with town.fleet():
        reader.start()
        (later,) = reader.hold(7)
        assert later.code is Code.OK
        town.stop_answered(reader)
    missed = {(dead.journal, number) for number in range(1, n + 1)}
    assert before.keys() - town.ledger(reader).keys() == missed
    after_a_minute(town)
    assert town.gaps(reader) == [(dead.journal, 1, n, "not-arrived")]
    assert {kind for kind, _ in town.alarms(reader)} == {"gap"}
    holds_together(town, reader, before)
