"""Webhooks: each change is told, at least once and in order, whatever the other system does."""

import ast
import asyncio
import base64
import datetime
import hashlib
import hmac
import ipaddress
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from aiohttp import web

import fleet
from fleet import (
    desk,
    member_cards,
    member_life,
    members,
    members_csv,
    members_import,
    triage,
    webhooks,
)
from fleet.config import Databases
from fleet.enrolment import NewCard
from fleet.grants import Role
from fleet.member_events import Step
from fleet.members import NewMember
from fleet.schema import scheme_statement, webhook_delivery
from fleet.store import Store, migrate, open_persons
from fleet.webhook_addresses import WebhookRefused, check_address, check_url, is_private
from fleet.webhook_events import TOLD, UNTOLD
from fleet.webhook_sender import sending
from fleet.webhooks import BACK_OFF_S, DAY_MS, LEASE_MS, written
from tests.fleet.virtual import NOON_MS, HandClock
from tests.web.town import SIGNED
from wire.credential import Scheme
from wire.messages import Triage

BUS = "senior-pass"
HERE = "http://127.0.0.1:1/hook"
Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
def people(databases: Databases) -> Iterator[Store]:
    if not databases.url:
        migrate(databases)
    opened = open_persons(databases, Role.OWNER)
    with opened.write() as connection:
        stated = {"programme": BUS, "scheme": Scheme.COMMON_AP.value, **SIGNED}
        connection.execute(scheme_statement.insert(), [stated])
    yield opened
    opened.close()


def listen(people: Store, url: str = HERE, programme: str = BUS) -> tuple[int, bytes]:
    with people.write() as connection:
        return webhooks.add(connection, programme, url, "umi", NOON_MS, this_machine=True)


def enrol(people: Store, *numbers: str) -> None:
    for number in numbers:
        with people.write() as connection:
            members.enrol(connection, BUS, NewMember(number, "山田"), "hana", NOON_MS)


def waiting(people: Store) -> list[tuple[str, str]]:
    """Return the events that are not told yet, as (type, registration number)."""
    undone = webhook_delivery.c.done_at_ms.is_(None)
    with people.read() as connection:
        rows = connection.execute(
            webhook_delivery.select().where(undone).order_by(webhook_delivery.c.id)
        ).all()
    read = [msgspec.json.decode(row.body) for row in rows]
    assert all(one["data"]["programme"] == BUS for one in read)
    return [(one["type"], one["data"]["registration_number"]) for one in read]


# --- no change is forgotten ----------------------------------------------------------------------


def held(connection: sa.Connection, credential: str) -> int:
    message = Triage(
        v=1,
        at_ms=NOON_MS,
        programme=BUS,
        scheme=Scheme.COMMON_AP,
        key_epoch=1,
        credential=credential,
        journal="ab" * 16,
        n=1,
    )
    triage.take(connection, "kazasu-shi/desk-1", "desk-1", message, NOON_MS)
    return triage.waiting(connection, NOON_MS)[0].id


def test_every_way_to_change_a_member_is_told(people: Store, tmp_path: Path) -> None:
    listen(people)
    file = tmp_path / "members.csv"
    file.write_text(
        f"登録番号,氏名,識別符号,方式\nA-1,山田花,{'cd' * 16},common-ap\nA-3,田中,,\n", "utf-8"
    )
    who = ("hana", NOON_MS)
    with people.write() as connection:
        for number in ("A-1", "A-2"):
            members.enrol(connection, BUS, NewMember(number, "山田"), *who)
        stranger = desk.see_stranger(connection, held(connection, "ab" * 16))
        assert stranger is not None
        triage.assign(connection, stranger.id, "A-1", *who)
        member_id, card_id = desk.assigned_card(connection, BUS, "A-1")
        desk.take_back(connection, card_id, stranger, *who)
        members.stop(connection, BUS, "A-1", "入院", *who)
        members.unstop(connection, BUS, "A-1", *who)
        members_import.take_in(connection, BUS, members_csv.read_file(file), *who)
        live(connection, Step(member_id, "窓口", *who))
        desk.see_member(connection, member_id, *who)
    assert waiting(people) == [
        ("member.enrolled", "A-1"),
        ("member.enrolled", "A-2"),
        ("card.added", "A-1"),
        ("card.stopped", "A-1"),
        ("member.stopped", "A-1"),
        ("member.changed", "A-1"),
        ("member.enrolled", "A-3"),
        ("member.changed", "A-1"),
        ("card.added", "A-1"),
        ("card.stopped", "A-1"),
        ("card.added", "A-1"),
        ("member.changed", "A-1"),
        ("member.changed", "A-2"),
        ("card.added", "A-1"),
        ("member.changed", "A-1"),
        ("member.stopped", "A-1"),
        ("member.changed", "A-1"),
        ("member.changed", "A-1"),
        ("member.ended", "A-1"),
        ("member.changed", "A-1"),
        ("member.ended", "A-1"),
    ]


def live(connection: sa.Connection, step: Step) -> None:
    """Let all that colleagues may do happen to A-1, who has one card."""
    (card_id,) = member_cards.in_use(connection, step.member_id)
    member_cards.stop_cards(connection, step)
    member_cards.unstop_card(connection, step, card_id)
    member_cards.exchange_cards(connection, step, step.member_id + 1)
    new = NewCard(Scheme.COMMON_AP, 1, "ef" * 16)
    member_cards.replace_card(connection, step, [new])
    member_life.stop(connection, step)
    member_life.unstop(connection, step)
    member_life.correct(connection, step, {"name": "山田桜"})
    last = datetime.date(2026, 9, 30)
    member_life.end(connection, step, member_life.Ended.MOVED_AWAY, last)
    member_life.reopen(connection, step, None)
    member_life.withdraw(connection, step)


def words() -> set[str]:
    """Return every word of the audit about a member or a card in fleet's source."""
    found: set[str] = set()
    for path in Path(fleet.__path__[0]).glob("*.py"):
        if path.name != "webhook_events.py":
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return {one for one in found if one.startswith(("member.", "card.")) and is_word(one)}


def is_word(text: str) -> bool:
    return text.partition(".")[2].replace("-", "").isalpha() and text not in {
        f"{table.name}.{column.name}"
        for table in fleet.schema.persons.tables.values()
        for column in table.columns
    }


def test_every_word_of_the_audit_has_its_meaning_for_other_systems() -> None:
    assert words() - TOLD.keys() - UNTOLD == set()


def test_a_change_that_is_not_kept_is_not_told(people: Store) -> None:
    listen(people)
    with people.write() as connection:
        members.enrol(connection, BUS, NewMember("A-1", "山田"), "hana", NOON_MS)
        connection.get_transaction().rollback()  # type: ignore[union-attr]
    assert waiting(people) == []


def test_only_webhooks_of_the_programme_hear_of_it_and_no_person_is_named(people: Store) -> None:
    listen(people)
    listen(people, programme="attendance")
    enrol(people, "A-1")
    with people.read() as connection:
        (row,) = connection.execute(webhook_delivery.select()).all()
    read = msgspec.json.decode(row.body)
    assert read.keys() == {"id", "type", "timestamp", "data"}
    assert read["timestamp"] == "2026-06-03T03:00:00Z"
    assert read["data"] == {"programme": BUS, "registration_number": "A-1"}


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "0.0.0.0"]
)
def test_no_name_leads_to_this_machine_or_to_what_tells_secrets(address: str) -> None:
    with pytest.raises(WebhookRefused):
        check_address(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "library.example.jp",
        "ftp://library.example.jp/",
        "http://library.example.jp/",
        "http://10.1.2.3/",
        "https://umi:secret@library.example.jp/",
        "https://library.example.jp/#part",
        "https://図書館.example.jp/",
        "https://library.example.jp/a b",
        "https://[::1",
        "https://library.example.jp:99999/",
        f"https://library.example.jp/{'a' * 400}",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "http://127.0.0.1:8080/",
    ],
)
def test_an_address_that_is_no_other_system_is_refused(people: Store, url: str) -> None:
    with pytest.raises(WebhookRefused), people.write() as connection:
        webhooks.add(connection, BUS, url, "umi", NOON_MS)


def test_the_citys_own_network_is_allowed_and_named() -> None:
    assert is_private(check_url("https://10.1.2.3:8443/kazasu"))
    assert not is_private(check_url("https://library.example.jp/kazasu"))


# --- delivered -----------------------------------------------------------------------------------


class Receiver:
    """Another system of the city, on a real socket; `mood` says how it answers."""

    def __init__(self) -> None:
        self.mood: Callable[[], Awaitable[web.Response]] = self.yes
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def yes(self) -> web.Response:
        return web.Response(status=204)

    async def no(self) -> web.Response:
        return web.Response(status=500)

    async def elsewhere(self) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{self.url}/elsewhere"})

    async def answer(self, request: web.Request) -> web.Response:
        self.heard.append((dict(request.headers), await request.read()))
        return await self.mood()

    @property
    def told(self) -> list[str]:
        """Return the registration numbers, in the order in which they came."""
        return [msgspec.json.decode(body)["data"]["registration_number"] for _, body in self.heard]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{any:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for what is due at once."""
    monkeypatch.setattr("fleet.webhook_sender.POLL_S", 0.02)


async def test_what_is_told_is_signed_as_receivers_libraries_check_it(
    people: Store, receiver: Receiver, eventually_async: Eventually, quick: None
) -> None:
    _, secret = listen(people, receiver.url)
    enrol(people, "A-1")
    async with sending(people, HandClock()):
        await eventually_async(lambda: receiver.heard)
    headers, body = receiver.heard[0]
    message_id, at_s = headers["webhook-id"], headers["webhook-timestamp"]
    assert (message_id, at_s) == (msgspec.json.decode(body)["id"], str(NOON_MS // 1000))
    key = base64.b64decode(written(secret).removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{at_s}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert headers["Content-Type"] == "application/json"


async def test_a_system_that_fails_hears_all_in_order_when_it_is_back(
    people: Store, receiver: Receiver, eventually_async: Eventually, quick: None
) -> None:
    clock = HandClock()
    listen(people, receiver.url)
    receiver.mood = receiver.no
    enrol(people, "A-1", "A-2", "A-3")
    async with sending(people, clock):
        await eventually_async(lambda: next_try_s(people, clock) == BACK_OFF_S[0])
        assert len(receiver.heard) == 1
        receiver.mood = receiver.elsewhere
        clock.pass_s(BACK_OFF_S[0])
        await eventually_async(lambda: next_try_s(people, clock) == BACK_OFF_S[1])
        assert len(receiver.heard) == 2
        assert states(people) == ["failing"]
        receiver.mood = receiver.yes
        clock.pass_s(BACK_OFF_S[1])
        await eventually_async(lambda: not waiting(people))
    assert receiver.told == ["A-1", "A-1", "A-1", "A-2", "A-3"]
    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 3
    assert states(people) == ["idle"]


def states(people: Store) -> list[str]:
    with people.read() as connection:
        return [one.state for one in webhooks.everyone(connection, [BUS])]


def next_try_s(people: Store, clock: HandClock) -> float | None:
    """Return how long the first event waits for its next try, once a try is noted; None: for ever.

    While it is under way this is the lease, which is none of the waits.
    """
    undone = webhook_delivery.c.done_at_ms.is_(None)
    with people.read() as connection:
        row = connection.execute(
            webhook_delivery.select().where(undone).order_by(webhook_delivery.c.id).limit(1)
        ).one()
    return None if row.next_at_ms is None else (row.next_at_ms - clock.now_ms()) / 1000


async def test_a_slow_system_keeps_no_other_one_waiting(
    people: Store, receiver: Receiver, eventually_async: Eventually, quick: None
) -> None:
    slow = asyncio.Event()

    async def wait() -> web.Response:
        if receiver.told[-1] == "slow" and not slow.is_set():
            await slow.wait()
        return await receiver.yes()

    receiver.mood = wait
    listen(people, f"{receiver.url}/slow")
    enrol(people, "slow")
    async with sending(people, HandClock()):
        await eventually_async(lambda: receiver.told == ["slow"])
        listen(people, f"{receiver.url}/quick")
        enrol(people, "A-1", "A-2")
        await eventually_async(lambda: receiver.told == ["slow", "A-1", "A-2"])
        slow.set()
        await eventually_async(lambda: not waiting(people))
    assert receiver.told == ["slow", "A-1", "A-2", "A-1", "A-2"]


async def test_no_answer_in_time_is_none(
    people: Store,
    receiver: Receiver,
    eventually_async: Eventually,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleet.webhook_sender.TRY_S", 0.1)
    never = asyncio.Event()

    async def wait() -> web.Response:
        await never.wait()
        return await receiver.yes()

    receiver.mood = wait
    listen(people, receiver.url)
    enrol(people, "A-1")
    async with sending(people, HandClock()):
        await eventually_async(lambda: states(people) == ["failing"])
    never.set()


async def test_after_a_day_of_failures_it_stands_still_until_a_person_lets_it_go_on(
    people: Store, receiver: Receiver, eventually_async: Eventually, quick: None
) -> None:
    clock = HandClock()
    webhook_id, _ = listen(people, receiver.url)
    receiver.mood = receiver.no
    enrol(people, "A-1", "A-2")
    tries = 0
    async with sending(people, clock):
        while states(people) != ["given-up"]:
            wait_s = BACK_OFF_S[min(tries, len(BACK_OFF_S) - 1)]
            tries += 1
            await eventually_async(lambda w=wait_s: next_try_s(people, clock) in (w, None))
            assert len(receiver.heard) == tries
            clock.pass_s(wait_s)
        assert (tries, len(waiting(people))) == (11, 2)
        receiver.mood = receiver.yes
        with people.write() as connection:
            webhooks.go_on(connection, webhook_id, "umi", clock.now_ms())
        await eventually_async(lambda: not waiting(people))
    assert receiver.told[-2:] == ["A-1", "A-2"]


def test_a_system_that_does_not_come_back_is_told_nothing_more_after_a_month(people: Store) -> None:
    listen(people)
    enrol(people, "A-1")
    with people.write() as connection:
        assert webhooks.forget(connection, "office", NOON_MS + 29 * DAY_MS) == 0
        assert webhooks.forget(connection, "office", NOON_MS + 31 * DAY_MS) == 1
    assert (states(people), waiting(people)) == (["ended"], [])


def test_what_is_being_sent_is_not_sent_by_another_office_too(people: Store) -> None:
    webhook_id, _ = listen(people)
    enrol(people, "A-1", "A-2")
    with people.write() as connection:
        one = webhooks.take(connection, webhook_id, NOON_MS)
        assert one is not None
        assert webhooks.take(connection, webhook_id, NOON_MS + LEASE_MS - 1) is None
        assert webhooks.due(connection, NOON_MS + LEASE_MS - 1) == []
        again = webhooks.take(connection, webhook_id, NOON_MS + LEASE_MS)
    assert again is not None
    assert (again.id, again.tries) == (one.id, 2)


async def test_a_name_that_leads_to_this_machine_is_not_told(people: Store) -> None:
    from fleet.webhook_sender import _Judging

    resolver = _Judging()
    resolver._inner = _Says("127.0.0.1")  # type: ignore[assignment]
    with pytest.raises(WebhookRefused):
        await resolver.resolve("library.example.jp", 443)
    resolver._inner = _Says("10.1.2.3")  # type: ignore[assignment]
    assert (await resolver.resolve("library.example.jp", 443))[0]["host"] == "10.1.2.3"


class _Says:
    """A name server that gives one answer."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int, family: int) -> list[dict[str, object]]:
        return [{"hostname": host, "host": self._address, "port": port, "family": family}]


OFFICE = """
import asyncio, sys, time
from pathlib import Path
from fleet import webhook_sender
from fleet.config import Databases
from fleet.grants import Role
from fleet.store import open_persons

class Fast:
    def now_ms(self): return int(sys.argv[2]) + round((time.time() - float(sys.argv[3])) * 60_000)
    def monotonic_ns(self): return time.monotonic_ns()

async def main():
    webhook_sender.POLL_S = 0.02
    people = open_persons(Databases(Path(sys.argv[1])), Role.OFFICE)
    async with webhook_sender.sending(people, Fast()):
        await asyncio.sleep(60)

asyncio.run(main())
"""
"""An office whose minute is a second."""


async def test_nothing_is_lost_or_out_of_order_when_the_office_is_killed_while_it_tells(
    tmp_path: Path, receiver: Receiver, eventually_async: Eventually
) -> None:
    migrate(Databases(tmp_path))
    people = open_persons(Databases(tmp_path), Role.OWNER)
    listen(people, receiver.url)
    numbers = [f"A-{n:03}" for n in range(60)]
    enrol(people, *numbers)

    async def slowly() -> web.Response:
        await asyncio.sleep(0.02)
        return await receiver.yes()

    receiver.mood = slowly
    began, killed = str(time.time()), 0
    while waiting(people):
        office = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OFFICE, tmp_path, str(NOON_MS), began
        )
        seen = len(receiver.heard)
        await eventually_async(lambda n=seen: len(receiver.heard) > n + 15 or not waiting(people))
        office.send_signal(signal.SIGKILL)
        await office.wait()
        killed += 1
    people.close()
    assert killed >= 3
    assert list(dict.fromkeys(receiver.told)) == numbers
    assert receiver.told == sorted(receiver.told)
    ids = [headers["webhook-id"] for headers, _ in receiver.heard]
    assert len(set(ids)) == len(numbers)
