"""Clerks wait at two desks' readers: from the row in the database to the card, and back.

Real processes on both sides: broker, ingest, dispatch, and both halves of each reader.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from fleet import desk_wait
from fleet.config import Databases
from fleet.desk_wait import FoundCard, Outcome, State
from fleet.grants import Role
from fleet.store import open_persons
from tests.edge.reader_kit import PASS
from tests.fleet.virtual import desk, reader_of
from tests.whole.kit import Agent, WholeTown, until, whole_town
from tests.whole.test_newcomer import holds
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskSaid
from wire.envelope import Purpose
from wire.topics import Leaf

MEMBER, STRANGER = 6, 7
T = TypeVar("T")


def office(town: WholeTown, do: Callable[[sa.Connection, int], T]) -> T:
    """Do one thing as the office's process does it."""
    people = open_persons(Databases(town.state), Role.OFFICE)
    try:
        with people.write() as connection:
            return do(connection, SystemClock().now_ms())
    finally:
        people.close()


def begin(town: WholeTown, agent: Agent, who: str) -> str:
    """Wait at a reader; return when its screen asks for the card."""
    wait = _begin(town, agent, who)
    until(lambda: outcome(town, wait, who) is Outcome.ASKING, f"{agent.name} asks")
    return wait


def _begin(town: WholeTown, agent: Agent, who: str) -> str:
    waits_at = (agent.name, PASS, "enrol", who)
    return office(town, lambda c, at_ms: desk_wait.begin(c, *waits_at, at_ms, at_ms))


def outcome(town: WholeTown, wait: str, who: str) -> Outcome:
    return office(town, lambda c, at_ms: desk_wait.look(c, wait, who, at_ms)).outcome


def take(town: WholeTown, wait: str, who: str) -> list[FoundCard]:
    until(lambda: outcome(town, wait, who) is Outcome.READ, "the card is read")
    return office(town, lambda c, _: desk_wait.take(c, wait, who, PASS))


def found(town: WholeTown, serial: int) -> FoundCard:
    return FoundCard(Scheme.COMMON_AP, 1, town.credential(serial))


def test_each_clerk_gets_the_card_that_was_held_at_his_own_desk() -> None:
    with whole_town([MEMBER], desk("desk-1"), desk("desk-2")) as town, town.fleet():
        one, two = town.agents["desk-1"], town.agents["desk-2"]
        for agent in (one, two):
            agent.start()
            town.until_ready(agent)
        hana = begin(town, one, "hana")
        _hostile_answer(town, two, hana)
        jiro = begin(town, two, "jiro")
        one.hold(STRANGER)
        two.hold(MEMBER)
        assert found(town, STRANGER) in take(town, hana, "hana")
        assert found(town, MEMBER) in take(town, jiro, "jiro")
        # the next card is an ordinary one again, and the member has used nothing so far
        (again,) = two.hold(MEMBER)
        assert again.code is Code.OK
        for agent in (one, two):
            town.until_kept(agent)
        assert [tap.code for tap in two.taps()] == [Code.DESK, Code.OK]
        assert town.ask("select sum(times) from usage") == [(1,)]
        assert town.ask("select count(*) from finding") == [(0,)]
        _nothing_of_the_stranger_is_left(town, one)


def _hostile_answer(town: WholeTown, agent: Agent, wait: str) -> None:
    """Another reader answers a request that is not its own, over its own connection."""
    agent.stop("link")
    now_ms = SystemClock().now_ms()
    card = DeskCard(Scheme.COMMON_AP, 1, "5c" * 16)
    answer = DeskAnswer(1, wait, PASS, now_ms, DeskSaid.READ, [card])
    name = agent.name.partition("/")[2]
    message = reader_of(town.town, name).say(Purpose.DESK_ANSWER, answer, Leaf.COMMAND_RESULT)

    async def say() -> None:
        connection = town.town.reader(name, town.broker)
        await connection.open()
        await connection.publish(message.topic, message.payload)
        await connection.close()

    asyncio.run(say())
    sql = "select reader, reason from bad_message where leaf = 'command/result'"
    until(lambda: town.ask(sql) == [(agent.name, "not-asked")], "the answer is counted")
    assert outcome(town, wait, "hana") is Outcome.ASKING
    agent.start("link")


def _nothing_of_the_stranger_is_left(town: WholeTown, agent: Agent) -> None:
    agent.stop()
    assert town.ask("select id from desk_wait", database="persons.db") == []
    home = agent.path.parent
    files = [path for path in home.rglob("*") if path.is_file()]
    assert [path for path in files if holds(path, town.credential(STRANGER))] == []
    bodies = [body for (body,) in town.ask("select body from entry")]
    assert not any(town.credential(STRANGER).encode() in body for body in bodies)


def test_halves_that_are_killed_ask_again_and_a_reader_that_is_gone_is_told() -> None:
    with whole_town([MEMBER], desk("desk-1")) as town, town.fleet():
        reader = town.agents["desk-1"]
        reader.start()
        town.until_ready(reader)
        for half in ("tap", "link"):
            wait = begin(town, reader, "hana")
            reader.stop(half, how=signal.SIGKILL)
            reader.start(half)
            town.until_ready(reader)
            _held_until_read(town, reader, wait)
            assert found(town, MEMBER) in take(town, wait, "hana")
        reader.stop(how=signal.SIGKILL)
        wait = _begin(town, reader, "hana")
        until(lambda: outcome(town, wait, "hana") is Outcome.AWAY, "the reader is away")
        stands = office(town, lambda c, at_ms: desk_wait.look(c, wait, "hana", at_ms))
        assert stands.state is State.OVER


def _held_until_read(town: WholeTown, reader: Agent, wait: str) -> None:
    """Hold the card until it is an answer: what is held before it is asked again is a tap."""

    def read() -> bool:
        reader.hold(MEMBER)
        return outcome(town, wait, "hana") is Outcome.READ or reader.taps()[-1].code is Code.DESK

    until(read, "the card is asked for again")
