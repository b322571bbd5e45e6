"""A month's end of a taxi programme: what usage files cost the fleet's disk and a taxi's network.

Usage files name everybody who has ridden this year. Beside them stands the obvious: a whole file
written for each taxi, and fetched whole by it, every 15 minutes.
"""

import asyncio
import contextlib
import io
import random
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import sqlalchemy as sa

from fleet import schema
from fleet.books import read_signing_key
from fleet.usage_files import UsageBuilder
from programmes.calendar import local_day
from programmes.rulebook import USAGE_EVERY_S
from tests.bench.figures import Table, quantile
from tests.edge.link_kit import named_usage
from tests.fleet.test_devices import as_reader, listening
from tests.fleet.virtual import VirtualFleet
from tests.real_postgres import start_postgres
from tests.soak.cab import TAXI
from tests.soak.month import Size
from tests.soak.taxi_town import make
from wire.envelope import Signer
from wire.usage import USAGE

SIZE: Final = Size(30, 100, 400, 40, 25_000)
"""Of which the taxis count: who has ridden stands in the counters alone."""
RIDERS: Final = 13_400
CHANGED: Final = (10, 40)
"""Riders whose sums change in a quarter of an hour: 480 to 1,920 in a shift."""
SHIFT: Final = 48
"""Quarters of an hour: 12 h."""
NOON_TO_SIX_S: Final = 18 * 3600
"""So that the shift is of one day: with the next one another period begins."""
JOURNALS: Final = 12
"""Of each taxi: its tablet has started anew so often in 40 days."""


class Shift(NamedTuple):
    """What a shift came to, by quarter of an hour."""

    whole: int
    written: list[float]
    took_ms: list[float]
    fetched: list[int]


def bench() -> Table:
    """Measure, and compare with the goals."""
    with start_postgres() as server:
        return _table({"SQLite": play(""), "PostgreSQL": play(server.url(server.empty()))})


def play(database: str) -> Shift:
    """Let a shift pass; `database` is the URL of an empty PostgreSQL; without: SQLite."""
    with tempfile.TemporaryDirectory(prefix="kz-usage-") as name:
        fleet = make(Path(name), SIZE, database)
        with contextlib.closing(fleet):
            fleet.clock.pass_s(NOON_TO_SIX_S)
            draw = random.Random(1)
            riders = _ridden(fleet, draw)
            return asyncio.run(_shift(fleet, riders, draw))


def _ridden(fleet: VirtualFleet, draw: random.Random) -> list[str]:
    """Let everybody have ridden this year, and the taxis have journals; return the credentials."""
    riders = [draw.randbytes(16).hex() for _ in range(RIDERS)]
    now_ms = fleet.clock.at_ms
    with fleet.store.write() as connection:
        connection.execute(
            schema.usage.insert(),
            [
                {"programme": TAXI, "period": "2026", "credential": rider, "times": times,
                 "yen": 800 * times}
                for rider in riders for times in (draw.randint(1, 70),)
            ],
        )  # fmt: skip
        for reader in connection.scalars(sa.select(schema.reader.c.name)).all():
            journals = [
                {"reader": reader, "journal": draw.randbytes(16).hex(), "spans": [[1, 300]],
                 "received_at_ms": now_ms, "through": 300}
                for _ in range(JOURNALS)
            ]  # fmt: skip
            connection.execute(schema.journal.insert(), journals)
    return riders


def _ride(fleet: VirtualFleet, riders: list[str]) -> None:
    """Count one ride more of each, today and this year."""
    day = local_day(fleet.clock.at_ms).isoformat()
    insert = sa.text(
        "insert into usage (programme, period, credential, times, yen) values"
        " (:programme, :period, :credential, 1, 800) on conflict (programme, period, credential)"
        " do update set times = usage.times + 1, yen = usage.yen + 800"
    )
    with fleet.store.write() as connection:
        for period in ("2026", day):
            connection.execute(
                insert,
                [{"programme": TAXI, "period": period, "credential": rider} for rider in riders],
            )


def _written(fleet: VirtualFleet) -> int:
    """Return how many bytes were written so far: PostgreSQL's log, or this process (proc(5))."""
    if fleet.config.databases.url:
        asked = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
        return int(fleet.rows(asked)[0][0])
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


async def _shift(fleet: VirtualFleet, riders: list[str], draw: random.Random) -> Shift:
    by = Signer(read_signing_key(fleet.config.signing_key))
    maker = UsageBuilder(fleet.store, fleet.people, fleet.config.tenant, by, fleet.clock)
    written: list[float] = []
    took: list[float] = []
    fetched: list[int] = []
    held = b""
    with contextlib.redirect_stdout(io.StringIO()):
        async with (
            listening(fleet) as url,
            aiohttp.ClientSession(connector=as_reader(fleet, "taxi-1")) as session,
        ):
            for _ in range(SHIFT):
                _ride(fleet, draw.sample(riders, draw.randint(*CHANGED)))
                fleet.clock.pass_s(USAGE_EVERY_S)
                before, began_s = _written(fleet), time.perf_counter()
                assert len(maker.build_due()) == SIZE.taxis
                took.append((time.perf_counter() - began_s) * 1000)
                written.append(_written(fleet) - before)
                query = f"?from={named_usage(held).hex()}" if held else ""
                async with session.get(f"{url}/v1/usage/{TAXI}{query}") as answer:
                    body = await answer.read()
                    assert (answer.content_type == USAGE.delta_type) == bool(held)
                fetched.append(len(body))
                async with session.get(f"{url}/v1/usage/{TAXI}") as answer:
                    held = await answer.read()
    return Shift(len(held), written, took, fetched)


def _table(shifts: dict[str, Shift]) -> Table:
    one = shifts["SQLite"]
    most, shift = one.whole * SIZE.taxis, sum(one.fetched)
    rows, goals = [], []
    for name, each in shifts.items():
        once = quantile(each.written, 0.5)
        rows += [
            [f"written each time, {name}", f"{most / 1e6:.1f}", f"{once / 1e6:.2f}", "MB"],
            [f"to make all files, {name}", "", f"{quantile(each.took_ms, 0.5):.0f}", "ms"],
        ]
        goals.append((f"{name}: {once / 1e6:.2f} MB written each time (goal < 5)", once < 5e6))
    typical = quantile([float(size) for size in one.fetched], 0.5)
    rows += [
        ["fetched by a taxi each time", f"{one.whole / 1e3:.0f}", f"{typical / 1e3:.1f}", "kB"],
        ["fetched by a taxi in a shift", f"{one.whole * SHIFT / 1e6:.1f}", f"{shift / 1e6:.2f}",
         "MB"],
    ]  # fmt: skip
    goals.append((f"{shift / 1e6:.2f} MB fetched in a shift (goal < 2)", shift < 2e6))
    return Table(
        f"Usage of {RIDERS:,} riders, told to {SIZE.taxis} taxis",
        f"{CHANGED[0]} to {CHANGED[1]} of them ride in each quarter of an hour of a shift of 12 h. "
        "Written is what PostgreSQL's log grows by, or what the process gives to the system, while "
        "all files are made; beside it the bytes of a whole file for each taxi. Fetched is what "
        "the answers to one taxi have as body; the first is whole.",
        ["what", "whole files", "as built", "unit"],
        rows,
        goals,
    )
