"""A small town in real databases: what the pages are tested and looked at with.

Four readers in four states, an hour of entries, a gap, an alarm, quarantine, members, a card that
waits, and a day of attendance. Everything is written by the fleet's own migrations and tables.
"""

import datetime
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from fleet import accounts, consent, members, months, schema, store, triage
from fleet.accounts import AccountRole
from fleet.alarms import AlarmKind, sound
from fleet.config import Config, Databases
from fleet.grants import Role
from programmes.calendar import start_of_day_ms
from tests.real_sqlite import migrated
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Tap
from wire.messages import HISTOGRAM_EDGES_US, STAGES, Triage

TENANT: Final = "kazasu-shi"
DAY: Final = datetime.date(2026, 6, 3)
NOW_MS: Final = start_of_day_ms(DAY, 9) + 12 * 60_000 + 34_000
"""2026-06-03 09:12:34 in Japan, a Wednesday."""
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
PASSWORD: Final = "correct horse battery"
JOURNAL: Final = "ab" * 16
PEOPLE: Final = (
    ("T-001", "佐藤 はるか", "サトウ ハルカ"),
    ("T-002", "鈴木 大輔", "スズキ ダイスケ"),
    ("T-003", "高橋 美咲", "タカハシ ミサキ"),
    ("T-004", "田中 健一", "タナカ ケンイチ"),
)

SIGNED: Final = {
    "kind": "stated",
    "signed_by": "教育長 田中実",
    "office": "教職員課",
    "ground": "教職員服務規程第12条",
    "ground_date": DAY.replace(month=3),
    "valid_from": DAY.replace(month=4),
    "at_ms": NOW_MS,
    "who": "hana",
}
"""On what ground cards are known here, for both programmes."""


CONSENT: Final = consent.NewBasis(
    ordinance="かざす市カード利用条例",
    article="第5条第1項",
    ordinance_date=DAY.replace(month=3, day=20),
    wording="この制度の利用に必要な範囲で、カードの識別子を市が利用することに同意します。",
    wording_en="I consent to the city's using my card's identifier for this programme only.",
    contact="市民サービス課 0154-00-0000",
    valid_from=DAY.replace(month=4, day=1),
)
"""To what members consent here, in both programmes."""


class StoppedClock:
    """A clock that a test sets."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.at_ms = now_ms
        self.at_ns = 0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ns(self) -> int:
        return self.at_ns


def town_in(folder: Path) -> "Town":
    """The town whose databases lie in a folder already."""
    return Town(config_in(folder), StoppedClock())


@dataclass
class Town:
    """Where it lies, and its owner's hand on both databases."""

    config: Config
    clock: StoppedClock

    def fleet(self) -> store.Store:
        return store.open_fleet(self.config.databases, Role.OWNER)

    def persons(self) -> store.Store:
        return store.open_persons(self.config.databases, Role.OWNER)

    def change(self, statement: sa.Executable) -> None:
        """Change one thing in the fleet's database, as another process would."""
        opened = self.fleet()
        with opened.write() as connection:
            connection.execute(statement)
        opened.close()

    def change_persons(self, statement: sa.Executable) -> None:
        """Change one thing in the database of persons, as another process would."""
        opened = self.persons()
        with opened.write() as connection:
            connection.execute(statement)
        opened.close()

    def ask(self, statement: sa.Executable, *, persons: bool = False) -> list[Any]:
        opened = self.persons() if persons else self.fleet()
        with opened.read() as connection:
            rows = list(connection.execute(statement))
        opened.close()
        return rows

    def hold_stranger(self, credential: str = "5c" * 16, place: str = "desk-1") -> None:
        """An unknown card is held at a desk."""
        message = Triage(
            v=1,
            at_ms=self.clock.at_ms,
            programme="attendance",
            scheme=Scheme.COMMON_AP,
            key_epoch=1,
            credential=credential,
            journal=JOURNAL,
            n=5,
        )
        opened = self.persons()
        with opened.write() as connection:
            triage.take(connection, f"{TENANT}/{place}", place, message, self.clock.at_ms)
        opened.close()


def config_in(folder: Path, database: str = "") -> Config:
    return Config(
        database=database,
        tenant=TENANT,
        state=str(folder),
        broker_host="127.0.0.1",
        broker_port=1,
        authority="",
        certificate="",
        key="",
        server_certificate="",
        server_key="",
        signing_key="",
        devices_port=1,
        console_port=1,
        office_port=1,
    )


def empty_town(folder: Path, database: str = "") -> Town:
    """Accounts and nothing else."""
    store.migrate(migrated(Databases(folder, database)))
    town = Town(config_in(folder, database), StoppedClock())
    opened = town.fleet()
    with opened.write() as connection:
        for name, role in (("umi", AccountRole.OPERATOR), ("hana", AccountRole.CLERK)):
            accounts.add(connection, name, role, PASSWORD, "test", NOW_MS)
    opened.close()
    return town


def build_town(folder: Path, database: str = "") -> Town:
    """The whole town, in files or in an empty PostgreSQL."""
    town = empty_town(folder, database)
    opened = town.fleet()
    with opened.write() as connection:
        for at_ms in (NOW_MS, start_of_day_ms(DAY) - 1):
            months.ensure(connection, at_ms)
        _places(connection)
        _states(connection)
        _minutes(connection)
        _journals(connection)
        _trouble(connection)
        _timings(connection)
        _hours(connection)
        _ledger(connection)
    opened.close()
    people = town.persons()
    with people.write() as connection:
        _people(connection)
    people.close()
    return town


PLACES: Final = (
    ("bus-1", "bus", "5系統", ["senior-pass"], "1号車", "Bus 1"),
    ("bus-2", "bus", "7系統", ["senior-pass"], "2号車", "Bus 2"),
    ("school-1", "school", "", ["attendance"], "第一小学校 玄関", "School 1, entrance"),
    ("desk-1", "desk", "", ["attendance", "senior-pass"], "市役所 1階窓口", "City hall, desk 1"),
    ("school-2", "school", "", ["attendance"], "第二小学校 玄関", "School 2, entrance"),
)


def _places(connection: sa.Connection) -> None:
    for name, kind, line, programmes, ja, en in PLACES:
        connection.execute(
            schema.place.insert().values(
                name=name,
                kind=kind,
                line=line,
                programmes=programmes,
                triage_programmes=["attendance"] if kind == "desk" else [],
                label_ja=ja,
                label_en=en,
                by_hour=kind == "school",
            )
        )
        connection.execute(
            schema.reader.insert().values(
                name=f"{TENANT}/{name}",
                place=name,
                fingerprint=sha256(name.encode()).hexdigest(),
                public_key="",
                sealing_public_key="",
                enrolled_at_ms=NOW_MS - 90 * 24 * 60 * MINUTE_MS,
            )
        )
        for programme in programmes:
            connection.execute(
                schema.roster.insert().values(
                    programme=programme,
                    place=name,
                    version=14,
                    sha256=b"r" * 32,
                    content_sha256=b"c" * 32,
                    rows=200,
                    bytes=6000,
                    built_at_ms=NOW_MS - 40 * MINUTE_MS,
                )
            )


def _states(connection: sa.Connection) -> None:
    for name, ready, online, trouble, waiting, version in (
        ("bus-1", True, True, None, 3, 14),
        ("bus-2", True, False, None, 41, 13),
        ("school-1", False, True, "device-fault", 0, 14),
        ("desk-1", True, True, None, 0, 14),
    ):
        heard = NOW_MS - (8 if online else 26 * 60) * 1000
        programmes = next(place[3] for place in PLACES if place[0] == name)
        connection.execute(
            schema.reader_state.insert().values(
                reader=f"{TENANT}/{name}",
                online=online,
                online_since_ms=NOW_MS - 150 * MINUTE_MS if online else None,
                status_at_ms=heard,
                received_at_ms=heard,
                agent=f"kazasu-edge {'0.3.0' if name == 'desk-1' else '0.1.0'}",
                front_end="PN532 (tty)",
                ready=ready,
                trouble=trouble,
                journal=JOURNAL,
                n=412,
                waiting=waiting,
                rosters=[{"programme": p, "version": version, "age_s": 95} for p in programmes],
                reported={"at_ms": heard, "agent": "", "rosters": [], "keys": None, "trouble": ""},
                connections=3,
            )
        )
        connection.execute(
            schema.online_change.insert(),
            [
                {"reader": f"{TENANT}/{name}", "at_ms": heard - 60_000, "online": True},
                {"reader": f"{TENANT}/{name}", "at_ms": heard, "online": online},
            ],
        )


def _minutes(connection: sa.Connection) -> None:
    rows = []
    this_minute = NOW_MS // MINUTE_MS * MINUTE_MS
    for back in range(60):
        wave = 14 + round(11 * abs(((back * 7) % 40) / 20 - 1)) - back // 6
        for place, code, count in (
            ("bus-1", Code.OK, wave),
            ("school-1", Code.OK, wave // 3),
            ("bus-1", Code.EXPIRED, back % 9 == 0),
            ("bus-1", Code.UNKNOWN, back % 4 == 0),
            ("bus-1", Code.REPEAT, back % 3 == 0),
        ):
            if count:
                rows.append(
                    {
                        "minute_ms": this_minute - back * MINUTE_MS,
                        "reader": f"{TENANT}/{place}",
                        "programme": "senior-pass" if place == "bus-1" else "attendance",
                        "code": code.value,
                        "count": int(count),
                    }
                )
    connection.execute(schema.entry_minute.insert(), rows)


def credential_of(number: str) -> str:
    return sha256(number.encode()).hexdigest()[:32]


def _journals(connection: sa.Connection) -> None:
    for name, *_ in PLACES[:4]:
        connection.execute(
            schema.journal.insert().values(
                reader=f"{TENANT}/{name}",
                journal=JOURNAL,
                started_at_ms=NOW_MS - 150 * MINUTE_MS,
                agent="kazasu-edge 0.1.0",
                received_at_ms=NOW_MS,
                through=409 if name == "bus-1" else 412,
                seen=409 if name == "bus-1" else 412,
                claimed=412,
                spans=[[1, 409]],
            )
        )
    day_ms = start_of_day_ms(DAY)
    held = (
        ("T-001", 7 * 60 + 42, "", ClockState.SYNCHRONISED),
        ("T-001", 8 * 60 + 55, "out", ClockState.SYNCHRONISED),
        ("T-001", -24 * 60 + 7 * 60 + 40, "", ClockState.SYNCHRONISED),
        ("T-001", -24 * 60 + 18 * 60 + 5, "", ClockState.SYNCHRONISED),
        ("T-003", -24 * 60 + 7 * 60 + 58, "", ClockState.SYNCHRONISED),
        ("T-002", 7 * 60 + 51, "in", ClockState.HOLDOVER),
    )
    for n, (number, minute, declared, clock) in enumerate(held, 2):
        add_tap(connection, n, number, day_ms + minute * MINUTE_MS, declared, clock)


def add_tap(
    connection: sa.Connection, n: int, number: str, at_ms: int, declared: Any, clock: ClockState
) -> None:
    tap = Tap(
        v=1,
        n=n,
        at_ms=at_ms,
        mono_ms=n,
        clock=clock,
        programme="attendance",
        outcome=Outcome.ACCEPTED,
        code=Code.OK,
        shown="attendance.in",
        credential=credential_of(number),
        declared=declared,
    )
    body = msgspec.json.encode(tap)
    school = sa.select(schema.journal.c.id).where(schema.journal.c.reader.endswith("school-1"))
    connection.execute(
        schema.entry.insert().values(
            journal_id=school.scalar_subquery(),
            n=n,
            hash=sha256(body).digest(),
            body=body,
            received_at_ms=at_ms,
            kind="tap",
            at_ms=at_ms,
            clock=clock.value,
            programme="attendance",
            outcome="accepted",
            code="ok",
            credential=tap.credential,
            declared=declared,
        )
    )


def _trouble(connection: sa.Connection) -> None:
    bus = sa.select(schema.journal.c.id).where(schema.journal.c.reader.endswith("bus-2"))
    journal_id = connection.execute(bus).scalar_one()
    connection.execute(
        schema.gap.insert().values(
            journal_id=journal_id,
            first=120,
            last=122,
            missing=3,
            cause="not-arrived",
            opened_at_ms=NOW_MS - 18 * MINUTE_MS,
        )
    )
    reader = f"{TENANT}/bus-2"
    sound(connection, AlarmKind.GAP, "1", reader, "", NOW_MS - 18 * MINUTE_MS)
    sound(connection, AlarmKind.QUARANTINE, reader, reader, "malformed", NOW_MS - 31 * MINUTE_MS)
    connection.execute(
        schema.quarantine.insert().values(
            received_at_ms=NOW_MS - 31 * MINUTE_MS,
            reader=reader,
            topic=f"kazasu/1/{reader}/entries",
            reason="malformed",
            detail="Object missing required field `journal`",
            payload=b"{}",
            sha256=b"q" * 32,
        )
    )


def _timings(connection: sa.Connection) -> None:
    middle_us = {"detect": 9_000, "identify": 46_000, "decide": 120, "journal": 2_100}
    middle_us |= {"activate": 9_000, "select": 12_000, "read": 14_000}
    middle_us |= {"show": 500, "host": 1_900, "total": 58_000}
    rows = []
    for back in range(0, 58):
        for stage in STAGES:
            peak = next(i for i, edge in enumerate(HISTOGRAM_EDGES_US) if edge >= middle_us[stage])
            counts = [0] * (len(HISTOGRAM_EDGES_US) + 1)
            for offset, count in ((-1, 3), (0, 9), (1, 5), (2, 2), (4, back % 7 == 0)):
                counts[max(0, min(peak + offset, len(counts) - 1))] += int(count)
            rows.append(
                {
                    "reader": f"{TENANT}/bus-1",
                    "from_ms": NOW_MS // MINUTE_MS * MINUTE_MS - back * MINUTE_MS,
                    "stage": stage,
                    "counts": counts,
                    "sum_us": middle_us[stage] * 19,
                }
            )
    connection.execute(schema.stage_minute.insert(), rows)
    connection.execute(
        schema.counter_minute.insert(),
        [
            {
                "reader": f"{TENANT}/bus-1",
                "from_ms": NOW_MS - MINUTE_MS,
                "name": name,
                "value": value,
            }
            for name, value in (("tap.ok", 212), ("tap.unknown", 7), ("uplink.resent", 1))
        ],
    )


def _hours(connection: sa.Connection) -> None:
    """A day of reports by the hour, of one bus, of one school and of all together."""
    now_hour = NOW_MS // HOUR_MS * HOUR_MS
    for back in range(1, 30):
        taps = 40 + (back * 17) % 60
        at_ms = now_hour - back * HOUR_MS
        for name, share in ((f"{TENANT}/bus-1", 1), (f"{TENANT}/school-1", 3), ("", 1)):
            buckets = {"18": taps // share, "20": back % 5, "22": back % 3}
            connection.execute(
                schema.telemetry_hour.insert().values(
                    reader=name,
                    hour_ms=at_ms,
                    counters={"tap.ok": taps // share, "tap.expired": back % 4, "tap.repeat": 2},
                    stages={"total": [taps * 58_000, buckets]},
                )
            )
        online = {"hour_ms": at_ms, "fewest": 2 - back % 2, "most": 3}
        connection.execute(schema.online_hour.insert().values(online))
    lost = {"hour_ms": now_hour - 5 * HOUR_MS, "reason": "late", "count": 3}
    connection.execute(schema.telemetry_loss.insert().values(lost))


def _ledger(connection: sa.Connection) -> None:
    """What the ledger's page shows: an epoch, a closed gap, findings, lag, months, an audit."""
    day_ms = 24 * HOUR_MS
    first = {"epoch": "ee" * 16, "began_at_ms": NOW_MS - 90 * day_ms, "reason": "first"}
    connection.execute(schema.ledger_epoch.insert().values(first))
    restored = {"epoch": "ef" * 16, "began_at_ms": NOW_MS - 3 * day_ms, "reason": "ディスク交換"}
    connection.execute(schema.ledger_epoch.insert().values(restored))
    school = sa.select(schema.journal.c.id).where(schema.journal.c.reader.endswith("school-1"))
    journal_id = connection.execute(school).scalar_one()
    closed = {
        "journal_id": journal_id,
        "first": 90,
        "last": 90,
        "missing": 1,
        "cause": "declared-lost",
        "opened_at_ms": NOW_MS - 2 * day_ms,
        "closed_at_ms": NOW_MS - day_ms,
        "how": "written-off",
        "closed_by": "umi",
        "why": "SDカード交換",
    }
    connection.execute(schema.gap.insert().values(closed))
    for n, kind in ((2, "roster-lag"), (3, "roster-lag"), (4, "replay")):
        found = {"outcome": "refused", "code": "expired", "rule": "r", "found_at_ms": NOW_MS}
        row = {"journal_id": journal_id, "n": n, "kind": kind, **found}
        connection.execute(schema.finding.insert().values(row))
    for month, entries in (("2026-05", 81_234), ("2026-06", 4_321)):
        row = {"month": month, "entries": entries}
        connection.execute(schema.ledger_month.insert().values(row))
    for name, process, value, ago_ms in (
        ("broker.round_trip_us", "dispatch", 850, 4_000),
        ("database.commit_us", "dispatch", 1_900_000, 4_000),
        ("ingest.oldest_ms", "ingest 77", 12, 4 * MINUTE_MS),
    ):
        row = {"name": name, "process": process, "value": value, "at_ms": NOW_MS - ago_ms}
        connection.execute(schema.lag.insert().values(row))


def _people(connection: sa.Connection) -> None:
    connection.execute(
        schema.scheme_statement.insert(),
        [
            {"programme": programme, "scheme": scheme.value, **SIGNED}
            for programme in ("attendance", "senior-pass")
            for scheme in (Scheme.COMMON_AP, Scheme.FELICA_IDM, Scheme.STAFF_TOKEN)
        ],
    )
    for programme in ("attendance", "senior-pass"):
        consent.add_basis(connection, programme, CONSENT, "test", NOW_MS)
    for number, name, kana in PEOPLE:
        new = members.NewMember(number, name, kana, category="teacher")
        members.enrol(connection, "attendance", new, "test", NOW_MS)
        if number == "T-004":
            continue
        member_id = connection.execute(
            sa.select(schema.member.c.id).where(schema.member.c.registration_number == number)
        ).scalar_one()
        connection.execute(
            schema.card.insert().values(
                member_id=member_id,
                programme="attendance",
                credential=credential_of(number),
                scheme=Scheme.COMMON_AP.value,
                key_epoch=1,
                assigned_at_ms=NOW_MS - 24 * 60 * MINUTE_MS,
                assigned_by="hana",
            )
        )
