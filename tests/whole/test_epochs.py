"""A new key epoch rolls over a running town: nobody is refused, nothing of the past is lost.

After a theft new keys are made; readers fetch them before the roster that needs them; a member is
found under the former key at the next tap, and moves; whoever did not come is listed.
"""

import json

from fleet import cli
from provisioning.keys import KeyRing
from provisioning.local import make_local
from tests.edge.reader_kit import PASS, identifier, my_number_card
from tests.whole.kit import Agent, WholeTown, busses, until, whole_town
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Credential, Scheme, credential

HERE, AWAY, NEVER = 1, 2, 3


def begin_epoch(town: WholeTown) -> int:
    """Do what a person does after a theft: `epoch`, `local`, `readers import`."""
    folder, clock = town.town.folder, SystemClock()
    ring = KeyRing.read(folder / "keys" / "programme-keys.json")
    epoch = ring.begin_epoch(PASS, clock.now_ms())
    make_local(folder, town.town.town, clock)
    registry = str(folder / "fleet" / "registry.json")
    assert cli.run(["--config", str(town.fleet_toml), "readers", "import", registry], clock) == 0
    return epoch


def credentials(town: WholeTown, serial: int) -> dict[int, Credential]:
    """What a card is in the senior pass, by key epoch."""
    file = json.loads((town.town.folder / "keys" / "programme-keys.json").read_bytes())
    ring = KeyRing.read(town.town.folder / "keys" / "programme-keys.json")
    held = ring.for_reader([PASS]).keys
    assert len(file["keys"]) == len(held)
    card = identifier(my_number_card(serial), Scheme.COMMON_AP)
    return {key.epoch: credential(key.key, Scheme.COMMON_AP, card) for key in held}


def holds(town: WholeTown, agent: Agent) -> tuple[int, int, bytes]:
    """Which roster a reader decides with, how many it has waiting, and its keys."""
    sql = "select rosters, waiting, reported from reader_state where reader = ?"
    rows = town.ask(sql, agent.name)
    if not rows:
        return 0, 0, b""
    ((rosters, waiting, reported),) = rows
    version = next((one["version"] for one in json.loads(rosters)), 0)
    return version, waiting, (json.loads(reported or "{}").get("keys") or "").encode()


def listed(town: WholeTown) -> dict[str, int]:
    """Every card on the rosters with its key epoch."""
    sql = "select credential, key_epoch from card where superseded_at_ms is null"
    return dict(town.ask(sql, database="persons.db"))


def versions(town: WholeTown) -> int:
    ((version,),) = town.ask("select max(version) from roster where place = 'bus-1'")
    return int(version)


def test_members_move_at_their_next_tap_and_keep_their_history() -> None:
    with whole_town([HERE, AWAY, NEVER], *busses("bus-1", "bus-2")) as town, town.fleet():
        here, offline = town.agents["bus-1"], town.agents["bus-2"]
        for agent in (here, offline):
            agent.start()
            town.until_ready(agent)
        (first,) = here.hold(HERE)
        assert (first.code, first.key_epoch, first.older_credential) == (Code.OK, 1, None)
        offline.stop("link")  # a bus in a valley

        former, keys = versions(town), holds(town, here)[2]
        assert begin_epoch(town) == 2
        until(lambda: holds(town, here)[0] > former, "the reader decides with the next roster")
        assert holds(town, here)[2] != keys  # they came before the roster that needs them

        # Found under the former key: both are written down, and the window holds across the move.
        old, new = credentials(town, HERE)[1], credentials(town, HERE)[2]
        (again,) = here.hold(HERE)
        assert (again.code, again.key_epoch) == (Code.REPEAT, 2)
        assert (again.credential, again.older_credential) == (new, old)
        until(lambda: new in listed(town), "the ledger moves the card")
        assert old not in listed(town)

        # The next roster has the new one alone, and it is still the same boarding.
        moved = until(lambda: versions(town) > former + 1 and versions(town), "the next roster")
        until(lambda: holds(town, here)[0] >= moved, "the reader decides with it")
        (third,) = here.hold(HERE)
        assert (third.code, third.credential, third.older_credential) == (Code.REPEAT, new, None)

        # Who was away during the roll-over decides as before, then catches up.
        (away,) = offline.hold(AWAY)
        assert (away.code, away.key_epoch) == (Code.OK, 1)
        assert away.credential == credentials(town, AWAY)[1]
        offline.start("link")
        until(lambda: holds(town, offline)[0] >= moved, "the bus is back from the valley")
        (back,) = offline.hold(AWAY)
        assert (back.code, back.key_epoch) == (Code.REPEAT, 2)
        assert back.older_credential == credentials(town, AWAY)[1]
        for agent in (here, offline):
            town.until_kept(agent)
        until(lambda: credentials(town, AWAY)[2] in listed(town), "that card has moved too")

        # All of a member's history is joined through the cards, and nothing was found wrong.
        sql = "select credential, member_id from card"
        owners = dict(town.ask(sql, database="persons.db"))
        assert owners[old] == owners[new] != owners[credentials(town, AWAY)[1]]
        assert town.ask("select kind from finding") == []
        sql = "select sum(times) from usage where credential in (?, ?)"
        assert town.ask(sql, old, new) == [(1,)]
        (rest,) = (one for one, epoch in listed(town).items() if epoch == 1)
        assert rest == credentials(town, NEVER)[1]
