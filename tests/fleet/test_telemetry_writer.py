"""Telemetry servers that are well, away, slow, refusing and broken: bounded, counted, recovered."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fleet.books import Books
from fleet.config import ConfigRefused, Databases, TelemetryServer, read_config
from fleet.grants import Role
from fleet.registry import bump
from fleet.schema import place
from fleet.store import Store, migrate, open_fleet
from fleet.telemetry import MINUTE_MS, Loss, Sums, TelemetryUnavailable, last_hours
from fleet.telemetry_influx import InfluxTelemetry
from fleet.telemetry_lines import lines_of
from fleet.telemetry_sql import read_losses
from fleet.telemetry_writer import Writer
from tests.conftest import Eventually
from tests.fleet.virtual import NOON_MS, VirtualFleet, take_in
from tests.real_influx import DATABASE, Moody, ask, closed_port, start_victoria
from wire.clock import SystemClock
from wire.envelope import Purpose
from wire.messages import Telemetry
from wire.topics import Leaf

ROOM = 50


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The fleet's database as ingest uses it."""
    migrate(Databases(tmp_path))
    opened = open_fleet(Databases(tmp_path), Role.INGEST)
    yield opened
    opened.close()


@pytest.fixture
def moody() -> Iterator[tuple[Moody, str]]:
    made = Moody()
    with made.serving() as url:
        yield made, url


def writer_to(url: str, store: Store, token_file: str = "") -> Writer:
    """A writer that is quick to try again and has little room."""
    server = TelemetryServer(url, DATABASE, "city", token_file)
    return Writer(server, store, SystemClock(), ROOM, (0.02, 0.05), 300)


def line(number: int) -> bytes:
    return f"kazasu_counter,reader=t/bus-1,code=tap.ok value={number}i {number}".encode()


def losses(store: Store) -> Counter[str]:
    found: Counter[str] = Counter()
    with store.read() as connection:
        for counted in read_losses(
            connection, last_hours(2, SystemClock().now_ms() + 3_600_000)
        ).values():
            found += counted
    return found


BAD = ("401", "403", "404", "429", "500", "503", "leave-me", "hangs", "garbage", "page", "not-json")


@pytest.mark.parametrize("mood", BAD)
def test_a_bad_server_costs_only_what_there_is_no_room_for(
    moody: tuple[Moody, str], store: Store, eventually: Eventually, mood: str
) -> None:
    server, url = moody
    server.mood = mood
    writer = writer_to(url, store)
    started = time.monotonic()
    writer.put([line(0)])
    eventually(lambda: server.asked, that="the writer has asked")
    for number in range(1, 1_000):
        writer.put([line(number)])
    assert time.monotonic() - started < 5, "whoever puts lines waits for the server"
    assert writer.waiting == ROOM
    server.mood = "well"
    server.wake.set()
    eventually(lambda: line(999) in server.lines, that="the newest line arrives")
    writer.close()
    arrived = set(server.lines)
    assert arrived == {line(0), *(line(number) for number in range(1_000 - ROOM, 1_000))}
    assert losses(store) == {Loss.FULL.value: 1_000 - len(arrived)}


@pytest.mark.parametrize("status", ["400", "413", "422"])
def test_what_a_server_will_never_take_is_dropped_and_counted_and_the_next_arrives(
    moody: tuple[Moody, str], store: Store, eventually: Eventually, status: str
) -> None:
    server, url = moody
    server.mood = status
    writer = writer_to(url, store)
    writer.put([line(1), line(2)])
    eventually(lambda: server.asked)
    server.mood = "well"
    writer.put([line(3)])
    eventually(lambda: server.lines == [line(3)])
    writer.close()
    assert losses(store) == {Loss.REFUSED.value: 2}


def test_a_server_that_nobody_has_started_is_waited_for_and_the_end_is_not_held_up(
    store: Store,
) -> None:
    writer = writer_to(closed_port(), store)
    writer.put([line(number) for number in range(ROOM)])
    started = time.monotonic()
    writer.close()
    assert time.monotonic() - started < 3
    assert losses(store) == {Loss.FULL.value: ROOM}


def test_a_server_that_never_answers_does_not_hold_up_the_end_either(
    moody: tuple[Moody, str], store: Store, eventually: Eventually
) -> None:
    server, url = moody
    server.mood = "hangs"
    writer = writer_to(url, store)
    writer.put([line(1)])
    eventually(lambda: server.asked)
    started = time.monotonic()
    writer.close()
    assert time.monotonic() - started < 6
    assert losses(store) == {Loss.FULL.value: 1}


def test_a_token_that_was_changed_is_read_again(
    moody: tuple[Moody, str], store: Store, eventually: Eventually, tmp_path: Path
) -> None:
    server, url = moody
    server.mood = "401"
    token = tmp_path / "token"
    token.write_text("old\n")
    writer = writer_to(url, store, str(token))
    writer.put([line(1)])
    eventually(lambda: server.asked)
    token.write_text("")  # as whoever writes a file leaves it for an instant
    asked = server.asked
    eventually(lambda: server.asked > asked + 2)
    token.write_text("new\n")
    eventually(lambda: "Token new" in server.tokens)
    server.mood = "well"
    eventually(lambda: server.lines == [line(1)])
    writer.close()
    assert server.tokens == {"Token old", "Token new"}
    assert losses(store) == {}


@pytest.mark.parametrize("mood", [*BAD, "400", "well"])
def test_reading_from_a_bad_server_is_one_plain_error(
    moody: tuple[Moody, str], store: Store, mood: str
) -> None:
    server, url = moody
    server.mood = mood
    opened = InfluxTelemetry(TelemetryServer(url, DATABASE), store, SystemClock())
    started = time.monotonic()
    with store.read() as connection, pytest.raises(TelemetryUnavailable) as error:
        opened.read(connection, last_hours(24, SystemClock().now_ms()), None)
    server.wake.set()
    assert time.monotonic() - started < 4
    assert "<html>" not in str(error.value)
    opened.close()


@pytest.mark.parametrize("mood", ["hangs", "503", "400"])
def test_entries_are_acknowledged_as_ever_while_the_telemetry_server_is_bad(
    fleet: VirtualFleet, moody: tuple[Moody, str], mood: str
) -> None:
    server, url = moody
    server.mood = mood
    config = msgspec.structs.replace(fleet.config, telemetry=TelemetryServer(url, DATABASE))
    with fleet.store.write() as connection:
        connection.execute(place.update().values(by_hour=False))
        bump(connection, "registry")
    books = Books(config, fleet.clock)
    reader = fleet.reader("bus-1")
    started = time.monotonic()
    for number in range(20):
        minute = Telemetry(
            v=1,
            from_ms=NOON_MS + number * MINUTE_MS,
            to_ms=NOON_MS + (number + 1) * MINUTE_MS,
            stages={},
            counters={"tap.ok": 1},
        )
        journal = reader.journal().taps(2)
        done = take_in(
            books,
            [
                reader.message(journal.all()),
                reader.say(Purpose.TELEMETRY, minute, Leaf.TELEMETRY),
            ],
        )
        assert [ack.through for ack in fleet.acks(done)] == [3]
    assert time.monotonic() - started < 5
    server.mood = "well"
    server.wake.set()
    books.close()
    arrived = len(server.lines)
    counted = fleet.rows("select coalesce(sum(count), 0) from telemetry_loss")
    assert arrived + counted[0][0] == 20


def test_victoria_metrics_takes_what_is_written(
    store: Store, eventually: Eventually, tmp_path: Path
) -> None:
    now_ms = SystemClock().now_ms()
    sums = Sums()
    sums.count("tap.ok", 7)
    sums.time("total", [0, 3] + [0] * 33, 600)
    with start_victoria(tmp_path / "victoria") as url:
        writer = writer_to(url, store)
        writer.put(list(lines_of("kazasu-shi/bus-1", now_ms - MINUTE_MS, sums)))
        writer.close()

        def value(name: str) -> bytes:
            ask(f"{url}/internal/force_flush")
            return ask(f"{url}/api/v1/export?match[]={name}")

        counted = eventually(lambda: value("kazasu_counter_value"))
        assert b'"code":"tap.ok"' in counted
        assert b'"values":[7]' in counted
        assert b'"values":[3]' in value("kazasu_stage_b01")
    assert losses(store) == {}


def test_a_telemetry_server_is_named_in_the_configuration(tmp_path: Path) -> None:
    words = ["tenant", "state", "broker_host", "authority", "certificate", "key"]
    words += ["server_certificate", "server_key", "signing_key"]
    text = "".join(f'{key} = "x"\n' for key in words)
    text += "".join(f"{key}_port = 1\n" for key in ("broker", "devices", "console", "office"))
    path = tmp_path / "fleet.toml"
    good = '[telemetry]\nurl = "https://influx.example:8086"\ndatabase = "kazasu"\n'
    path.write_text(text)
    assert read_config(path).telemetry is None
    path.write_text(text + good + 'organisation = "city"\ntoken_file = "token"\n')
    named = TelemetryServer(
        "https://influx.example:8086", "kazasu", "city", str(tmp_path / "token")
    )
    assert read_config(path).telemetry == named
    for bad in (
        good.replace("https://", "ftp://"),
        good.replace("https://", "https://user:secret@"),
        good.replace("influx.example:8086", ""),
        good.replace('"kazasu"', '""'),
        good + "bucket = 'x'\n",
    ):
        path.write_text(text + bad)
        with pytest.raises(ConfigRefused, match=r"fleet\.toml"):
            read_config(path)


def test_a_token_that_cannot_be_read_is_said_at_the_start(store: Store, tmp_path: Path) -> None:
    server = TelemetryServer("http://127.0.0.1:1", DATABASE, "", str(tmp_path / "none"))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigRefused, match=r"token_file .*empty is empty"):
        writer_to("http://127.0.0.1:1", store, str(tmp_path / "empty"))
    with pytest.raises(ConfigRefused, match=r"token_file .*none"):
        InfluxTelemetry(server, store, SystemClock())
