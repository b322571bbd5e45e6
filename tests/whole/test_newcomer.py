"""A card that no roster knows: where a clerk may see it, it is assigned and then accepted.

Everywhere else it leaves nothing, in no file of reader, broker or fleet.
"""

import json
from pathlib import Path

from fleet import members, triage
from fleet.config import Databases
from fleet.grants import Role
from fleet.members import NewMember
from fleet.store import open_persons
from tests.fleet.virtual import desk
from tests.whole.kit import WholeTown, busses, until, whole_town
from wire.clock import SystemClock
from wire.codes import Code, Outcome

NEIGHBOUR, CARD, STRANGER = 6, 7, 8


def version(town: WholeTown) -> int:
    """Which list the desk's reader says it decides with."""
    ((rosters,),) = town.ask("select rosters from reader_state where reader like '%/desk-1'")
    (held,) = json.loads(rosters)
    return int(held["version"])


def test_the_first_card_of_a_programme_is_assigned_by_a_clerk_and_then_accepted() -> None:
    with whole_town([], desk("desk-1")) as town, town.fleet():
        reader = town.agents["desk-1"]
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
        people = open_persons(Databases(town.state), Role.OFFICE)
        with people.write() as connection:
            at_ms = SystemClock().now_ms()
            members.enrol(connection, "senior-pass", NewMember("A-9", "佐藤一郎"), "hana", at_ms)
            triage.assign(connection, number, "A-9", "hana", at_ms)
        people.close()
        until(lambda: version(town) > before, "the reader decides with the new list")

        (member,) = reader.hold(CARD)
        assert (member.outcome, member.code) == (Outcome.ACCEPTED, Code.OK)
        assert member.credential == town.credential(CARD)
        town.until_kept(reader)
        assert town.ask(sql, database="persons.db") == []
        assert [tap.code for tap in reader.taps()] == [Code.UNKNOWN, Code.OK]


def test_where_no_clerk_may_see_it_a_strangers_card_leaves_nothing() -> None:
    with whole_town([NEIGHBOUR], *busses("bus-1")) as town, town.fleet():
        reader = town.agents["bus-1"]
        reader.start()
        town.until_ready(reader)
        stranger, member = reader.hold(STRANGER, NEIGHBOUR)
        assert (stranger.code, member.code) == (Code.UNKNOWN, Code.OK)
        town.until_kept(reader)  # and what was said before, on the same connection
        reader.stop()
        left = town.credential(STRANGER)
        files = [path for path in town.town.folder.rglob("*") if path.is_file()]
        assert town.ask("select * from bad_message") == []
        assert [path for path in files if holds(path, left)] == []
        assert [path for path in files if holds(path, town.credential(NEIGHBOUR))] != []


def holds(path: Path, credential: str) -> bool:
    """True when a file holds a credential, written out or as bytes."""
    data = path.read_bytes()
    return credential.encode() in data or bytes.fromhex(credential) in data
