"""A card that no roster knows: held, assigned by a clerk, held again and accepted."""

import json
from collections.abc import Iterator

import pytest

from fleet import triage
from fleet.grants import Role
from fleet.members import NewMember
from fleet.store import open_persons
from tests.fleet.virtual import desk
from tests.whole.kit import WholeTown, until, whole_town
from wire.clock import SystemClock
from wire.codes import Code, Outcome

NEIGHBOUR, CARD = 6, 7


@pytest.fixture
def town() -> Iterator[WholeTown]:
    with whole_town([NEIGHBOUR], desk("desk-1")) as made:
        yield made


def version(town: WholeTown) -> int:
    """Which list the reader says it decides with."""
    ((rosters,),) = town.ask("select rosters from reader_state")
    (held,) = json.loads(rosters)
    return int(held["version"])


def test_a_card_that_no_roster_knows_is_assigned_by_a_clerk_and_then_accepted(
    town: WholeTown,
) -> None:
    reader = town.agents["desk-1"]
    with town.fleet():
        reader.start()
        town.until_ready(reader)
        (stranger,) = reader.hold(CARD)
        assert (stranger.code, stranger.credential) == (Code.UNKNOWN, None)

        before = version(town)
        sql = "select id, credential, place from triage"
        ((number, credential, place),) = until(
            lambda: town.ask(sql, database="persons.db"), "the clerk sees the card"
        )
        assert (credential, place) == (town.credential(CARD), "desk-1")
        people = open_persons(town.state, Role.OFFICE)
        with people.write() as connection:
            at_ms = SystemClock().now_ms()
            triage.assign(connection, number, NewMember("A-9", "佐藤一郎"), "hana", at_ms)
        people.close()
        until(lambda: version(town) > before, "the reader decides with the new list")

        (member,) = reader.hold(CARD)
        assert (member.outcome, member.code) == (Outcome.ACCEPTED, Code.OK)
        assert member.credential == town.credential(CARD)
        town.until_kept(reader)
        assert town.ask(sql, database="persons.db") == []
        assert town.ask("select code from entry where kind = 'tap' order by n") == [
            ("unknown",),
            ("ok",),
        ]
