"""The network half against a real broker: whatever breaks, the ledger equals the journal."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from edge import link as link_module
from edge import session, uplink
from edge.journal import FOLDER, Follower, journals
from edge.link import MARKS_FILE, read_marks
from edge.panel import Acknowledged, Counted, FleetTime, FromLink, Reach, Shown, Stranger
from edge.telemetry import COUNTERS_MAX, DROPPED, OVERFLOW, QUEUE_MAX, Meter
from edge.uplink import Marks
from tests.edge.link_kit import (
    PASS,
    READER,
    READY,
    CardHalf,
    Fleet,
    Reader,
    fill,
    running_fleet,
    running_link,
    running_tap,
)
from tests.edge.rig import running_broker, until
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.envelope import Signer
from wire.messages import HISTOGRAM_EDGES_US


@pytest.fixture(autouse=True)
def _haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of the field are minutes; here only their order matters."""
    monkeypatch.setattr(uplink, "ACK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(session, "POLL_S", 0.2)
    monkeypatch.setattr(session, "STATUS_EVERY_S", 0.2)
    monkeypatch.setattr(session, "STATUS_PAUSE_S", 0.05)
    monkeypatch.setattr(link_module, "MARKS_EVERY_S", 0.1)


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    async with running_broker(tmp_path / "broker") as broker:
        yield Reader(tmp_path / "bus-1", broker)


def kept(reader: Reader) -> dict[str, dict[int, bytes]]:
    """Return every readable entry of the journal."""
    found: dict[str, dict[int, bytes]] = {}
    for file in journals(reader.state / FOLDER):
        with Follower(file, str(READER)) as follower:
            found[file.journal] = {one.n: one.body for one in follower}
    return found


async def balanced(reader: Reader, fleet: Fleet) -> None:
    """Wait until the ledger equals the journal, entry by entry."""
    wanted = kept(reader)
    await until(
        lambda: all(fleet.through(one) >= max(rows) for one, rows in wanted.items()),
        "the ledger has everything",
        20.0,
    )
    for journal, rows in wanted.items():
        in_ledger = {n: body for n, body in fleet.ledger[journal].items() if body is not None}
        assert in_ledger == rows


async def test_what_is_in_the_journal_reaches_the_ledger(reader: Reader) -> None:
    journal = reader.journal()
    fill(journal, 5)
    async with running_fleet(reader) as fleet, running_tap(reader) as tap, running_link(reader):
        await balanced(reader, fleet)
        fill(journal, 1)
        await tap.connected()
        tap.appended(journal)
        await balanced(reader, fleet)
        told = Acknowledged(journal=journal.id, through=journal.n)
        await until(lambda: told in tap.heard, "tap is told what is safe")
        assert any(isinstance(one, FleetTime) for one in tap.heard)
    journal.close()


async def test_a_lost_answer_is_followed_by_the_same_bytes_again(reader: Reader) -> None:
    journal = reader.journal()
    fill(journal, 3)
    async with running_fleet(reader) as fleet, running_link(reader) as link:
        fleet.answers = False
        await until(lambda: len(fleet.batches) >= 2, "the batch is sent again")
        assert fleet.batches[0] == fleet.batches[1]
        assert link._board.waiting == journal.n
        fleet.answers = True
        await until(lambda: link._board.waiting == 0, "everything is acknowledged", 20)
        await balanced(reader, fleet)
    journal.close()


async def test_a_late_answer_counts_and_stops_the_resending(reader: Reader) -> None:
    journal = reader.journal()
    fill(journal, 3)
    async with running_fleet(reader) as fleet, running_link(reader) as link:
        fleet.answers = False
        await until(lambda: link._desk.uplink.phase is uplink.Phase.PAUSED, "it gave up waiting")
        await fleet.acknowledge(journal.id)
        await until(lambda: link._board.waiting == 0, "the late answer is believed")
    journal.close()


async def test_a_thousand_entries_of_a_fleet_that_was_away_are_drained_in_order(
    reader: Reader,
) -> None:
    journal = reader.journal()
    async with running_link(reader) as link, running_tap(reader) as tap:
        await until(lambda: link._board.online, "connected")
        await tap.connected()
        fill(journal, 1000)
        tap.appended(journal)
        await until(lambda: link._board.waiting == 1001, "they wait")
        async with running_fleet(reader) as fleet:
            await balanced(reader, fleet)
            assert fleet.order == [(journal.id, n) for n in range(1, 1002)]
            assert max(len(batch.entries) for batch in fleet.batches) == 200
    journal.close()


async def test_a_broker_killed_and_started_again_loses_nothing(reader: Reader) -> None:
    journal = reader.journal()
    fill(journal, 300)
    async with running_link(reader) as link:
        await until(lambda: link._board.online, "connected")
        for _ in range(2):
            reader.broker.stop(signal.SIGKILL)
            fill(journal, 300)
            await until(lambda: not link._board.online, "the loss is noticed")
            await reader.broker.start()
        async with running_fleet(reader) as fleet:
            await balanced(reader, fleet)
    journal.close()


async def test_the_lamp_hears_what_the_page_says_of_the_network(reader: Reader) -> None:
    """Also of a card half that comes later."""
    async with running_link(reader) as link:
        await until(lambda: link._board.online, "connected")
        async with running_tap(reader) as tap:
            await until(lambda: said(tap) == [Reach(online=True)], "it is told at its beginning")
            reader.broker.stop(signal.SIGKILL)
            await until(lambda: said(tap)[-1:] == [Reach(online=False)], "it is told of the loss")
            assert not link._board.state().online
            await reader.broker.start()
            await until(lambda: said(tap)[-1:] == [Reach(online=True)], "and of the return")


def said(tap: CardHalf) -> list[FromLink]:
    return [one for one in tap.heard if isinstance(one, Reach)]


async def test_answers_of_another_key_are_ignored_and_counted(reader: Reader) -> None:
    journal = reader.journal()
    fill(journal, 1)
    async with running_fleet(reader) as fleet, running_link(reader) as link:
        fleet.answers = False
        await until(lambda: fleet.batches, "a batch arrives")
        await fleet.acknowledge(journal.id, Signer(ed25519.Ed25519PrivateKey.generate()))
        counted = link._desk.meter._counters
        await until(lambda: counted["uplink.ack-not-signed"], "it is counted")
        assert link._board.waiting == journal.n
        assert link._desk.uplink.marks == Marks()
    journal.close()


async def test_a_restored_ledger_gets_everything_again_also_of_finished_journals(
    reader: Reader,
) -> None:
    first = reader.journal()
    fill(first, 10)
    first.close()
    second = reader.journal()
    fill(second, 10)
    async with running_fleet(reader) as fleet, running_link(reader):
        await balanced(reader, fleet)
        await until(lambda: read_marks(reader.state / MARKS_FILE).of(second.id), "marks are kept")
        fleet.ledger.clear()
        fleet.epoch = "2" * 32
        fill(second, 1)
        await balanced(reader, fleet)
        assert fleet.through(first.id) == 11
        assert fleet.through(second.id) == 12
    second.close()


@pytest.mark.parametrize("marks", [None, b"{", b'{"v":2}', b"\xff\xff"])
async def test_lost_or_damaged_marks_only_cost_a_resend(
    reader: Reader, marks: bytes | None
) -> None:
    journal = reader.journal()
    fill(journal, 250)
    async with running_fleet(reader) as fleet:
        async with running_link(reader) as link:
            await balanced(reader, fleet)
            await until(lambda: link._desk.uplink.marks.of(journal.id) == 251, "it is heard")
        path = reader.state / MARKS_FILE
        assert read_marks(path).of(journal.id) == 251
        path.unlink() if marks is None else path.write_bytes(marks)
        fill(journal, 1)
        async with running_link(reader):
            await balanced(reader, fleet)
    journal.close()


async def test_damaged_frames_are_declared_lost_and_stop_nothing_behind_them(
    reader: Reader,
) -> None:
    old = reader.journal()
    fill(old, 9)
    old.close()
    new = reader.journal()
    fill(new, 5)
    files = journals(reader.state / FOLDER)
    data = bytearray(files[0].path.read_bytes())
    frame = len(data) // 10
    for number in (4, 9):  # in the middle, and the last of its journal
        data[number * frame + frame // 2] ^= 0x40
    files[0].path.write_bytes(data)
    async with running_fleet(reader) as fleet, running_link(reader):
        await until(lambda: fleet.through(new.id) == 6, "the later journal arrives")
        await until(lambda: fleet.through(old.id) == 10, "the older one is accounted for")
        lost = [n for n, body in fleet.ledger[old.id].items() if body is None]
        assert lost == [5, 10]
    new.close()


async def test_a_journal_that_cannot_be_opened_stops_no_later_one(reader: Reader) -> None:
    old = reader.journal()
    fill(old, 2)
    old.close()
    new = reader.journal()
    fill(new, 2)
    path = journals(reader.state / FOLDER)[0].path
    aside = path.with_suffix(".aside")
    path.rename(aside)
    path.mkdir()  # a file that cannot be read, also by root
    async with running_fleet(reader) as fleet, running_link(reader) as link:
        await until(lambda: fleet.through(new.id) == 3, "the later journal arrives")
        assert link._desk.meter._counters["uplink.journal-unreadable"]
        path.rmdir()
        aside.rename(path)
        await balanced(reader, fleet)
    new.close()


async def test_the_status_says_how_the_reader_is_and_changes_with_it(reader: Reader) -> None:
    journal = reader.journal()
    fill(journal, 2)
    async with running_fleet(reader) as fleet, running_link(reader), running_tap(reader) as tap:
        await until(lambda: any(one.ready for one in fleet.statuses), "ready is said")
        status = [one for one in fleet.statuses if one.ready][-1]
        assert (status.online, status.trouble, status.front_end) == (True, None, "udp")
        assert [(one.programme, one.version) for one in status.rosters] == [(PASS, 3)]
        await until(lambda: fleet.statuses[-1].waiting == 0, "nothing waits any more")
        assert (fleet.statuses[-1].n, fleet.statuses[-1].tip) == (3, journal.tip)
        tap.say(READY.__class__(False, Code.JOURNAL_FULL, "udp", READY.clock, {}))
        await until(lambda: fleet.statuses[-1].trouble is Code.JOURNAL_FULL, "trouble is said")
        await tap.close()
        await until(lambda: fleet.statuses[-1].trouble is Code.DEVICE_FAULT, "a dead tap is said")
    journal.close()


async def test_strangers_and_counts_of_the_card_half_are_passed_on(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "EVERY_S", 0.3)
    stranger = Stranger(
        at_ms=1,
        programme=PASS,
        scheme=Scheme.COMMON_AP,
        key_epoch=1,
        credential="c" * 32,
        journal="a" * 32,
        n=7,
    )
    async with running_fleet(reader) as fleet, running_link(reader), running_tap(reader) as tap:
        await tap.connected()
        tap.say(stranger)
        tap.say(Counted(name="front-end.reopened"))
        tap.say(shown(stages_us={"total": 90_000, "journal": 150}))
        await until(lambda: fleet.strangers, "the stranger is reported")
        assert (fleet.strangers[0].credential, fleet.strangers[0].n) == ("c" * 32, 7)
        await until(
            lambda: any("front-end.reopened" in one.counters for one in fleet.minutes), "counted"
        )
        minute = next(one for one in fleet.minutes if "front-end.reopened" in one.counters)
        assert minute.counters["tap.ok"] == 1
        assert sum(minute.stages["total"].counts) == 1
        assert minute.stages["journal"].sum_us == 150


async def test_tap_may_be_restarted_at_any_time(reader: Reader) -> None:
    async with running_link(reader) as link:
        for _ in range(2):
            async with running_tap(reader) as tap:
                await tap.connected()
                await until(lambda: link._board.ready, "ready")
            await until(lambda: not link._board.ready, "not ready without tap")


def start(reader: Reader) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "edge.link", str(reader.file)])


async def test_after_kill_9_the_will_says_offline_and_sigterm_says_it_itself(
    reader: Reader,
) -> None:
    journal = reader.journal()
    fill(journal, 3)
    async with running_fleet(reader) as fleet:
        for how, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 0)):
            fleet.statuses.clear()
            process = start(reader)
            await until(lambda: any(one.online for one in fleet.statuses), "online", 20)
            await until(lambda: fleet.through(journal.id) == journal.n, "entries arrive")
            process.send_signal(how)
            assert await asyncio.to_thread(process.wait, 10) == status
            await until(lambda: not fleet.statuses[-1].online, "offline is said")
    late = Fleet(reader)
    await late.open()
    await until(lambda: late.statuses, "the status is retained")
    assert not late.statuses[0].online
    await late.close()
    journal.close()


async def test_a_second_network_half_is_refused_and_leaves_the_first_in_peace(
    reader: Reader,
) -> None:
    async with running_fleet(reader) as fleet, running_link(reader) as link:
        await until(lambda: any(one.online for one in fleet.statuses), "online")
        fleet.statuses.clear()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge.link", str(reader.file), stderr=subprocess.PIPE
        )
        try:
            _, error = await asyncio.wait_for(process.communicate(), 20)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 2
        assert error.decode() == f"{reader.state} is in use by another agent: stop that one first\n"
        assert link._board.online
        assert not link._desk.meter._counters["broker.lost"]
        assert all(one.online for one in fleet.statuses)
    async with running_fleet(reader) as fleet, running_link(reader):
        await until(lambda: any(one.online for one in fleet.statuses), "the next one is let in")


async def test_an_unusable_identity_is_named_and_ends_the_process(reader: Reader) -> None:
    text = reader.file.read_text().replace(str(READER), "kazasu-shi/bus-2", 1)
    reader.file.write_text(text)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.link", str(reader.file), stderr=subprocess.PIPE
    )
    _, error = await process.communicate()
    assert process.returncode == 2
    assert b"is not the certificate of kazasu-shi/bus-2" in error


def shown(code: Code = Code.OK, stages_us: dict[str, int] | None = None) -> Shown:
    return Shown(
        journal="a" * 32,
        n=1,
        at_ms=1,
        outcome=Outcome.ACCEPTED,
        code=code,
        message="senior-pass.accepted-free",
        arguments={},
        stages_us=stages_us or {},
    )


def test_telemetry_is_bounded_and_says_what_it_dropped() -> None:
    meter = Meter(0)
    for number in range(200):
        meter.count(f"name-{number}")
    meter.cut(1)
    counters = meter.waiting[-1].counters
    assert len(counters) <= COUNTERS_MAX
    assert sum(counters.values()) == 200
    assert counters[OVERFLOW] == 200 - (COUNTERS_MAX - 2)
    for minute in range(QUEUE_MAX + 4):
        meter.cut(minute)
    assert len(meter.waiting) == QUEUE_MAX
    meter.cut(0)
    assert sum(one.counters.get(DROPPED, 0) for one in meter.waiting) >= 5


@pytest.mark.parametrize(
    ("us", "bucket"),
    [(0, 0), (100, 0), (101, 1), (HISTOGRAM_EDGES_US[-1], 33), (HISTOGRAM_EDGES_US[-1] + 1, 34)],
)
def test_an_upper_edge_belongs_to_its_bucket(us: int, bucket: int) -> None:
    meter = Meter(0)
    meter.shown(shown(stages_us={"total": us, "no-stage": 1}))
    meter.cut(1)
    (histogram,) = meter.waiting[-1].stages.values()
    assert [index for index, count in enumerate(histogram.counts) if count] == [bucket]
