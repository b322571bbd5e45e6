"""A campaign in a running town: cards move by being held, from the antenna to the ledger.

A bus that was in a valley when it began catches up; whoever did not come by the deadline is listed.
"""

import csv
import datetime

from fleet import cli
from programmes.calendar import local_day
from provisioning.credentials import write_credentials
from provisioning.keys import KeyRing
from tests.edge.reader_kit import PASS, identifier, my_number_card
from tests.whole.kit import WholeTown, busses, until, whole_town
from tests.whole.test_epochs import holds, versions
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Credential, Scheme, credential

HERE, AWAY, NEVER = 1, 2, 3
OLD, NEW = Scheme.JPKI_AUTH, Scheme.COMMON_AP


def command(town: WholeTown, *words: str) -> None:
    assert cli.run(["--config", str(town.fleet_toml), *words], SystemClock()) == 0


def ring(town: WholeTown) -> KeyRing:
    return KeyRing.read(town.town.folder / "keys" / "programme-keys.json")


def named(town: WholeTown, serial: int) -> tuple[Credential, Credential]:
    """What a card is by the old scheme and by the new one."""
    card, key = my_number_card(serial), ring(town).present(PASS).key
    old, new = (credential(key, scheme, identifier(card, scheme)) for scheme in (OLD, NEW))
    return old, new


def enrol(town: WholeTown, *serials: int) -> None:
    """Take these cards' holders in by their certificates, as a city did before the campaign."""
    read, turned = (town.town.folder / name for name in ("certificates.csv", "holders.csv"))
    with read.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["scheme", "identifier", "not_before", "registration_number", "name"])
        for serial in serials:
            card = identifier(my_number_card(serial), OLD)
            number, not_before = card[:-13].hex(), card[-13:].decode()
            lines.writerow(["jpki-auth", number, not_before, f"A-{serial}", f"山田{serial}"])
    write_credentials(read, turned, ring(town).present(PASS))
    command(town, "members", "import", str(turned), "--programme", PASS)


def present(town: WholeTown) -> dict[str, str]:
    """By which scheme each card is known now."""
    sql = "select credential, scheme from card where superseded_at_ms is null"
    return dict(town.ask(sql, database="persons.db"))


def test_cards_move_at_the_next_tap_and_their_history_goes_with_them() -> None:
    with whole_town([], *busses("bus-1", "bus-2")) as town:
        enrol(town, HERE, AWAY, NEVER)
        with town.fleet():
            _during_a_campaign(town)


def _during_a_campaign(town: WholeTown) -> None:
    here, offline = town.agents["bus-1"], town.agents["bus-2"]
    for agent in (here, offline):
        agent.start()
        town.until_ready(agent)
    old, new = named(town, HERE)
    (first,) = here.hold(HERE)
    assert (first.code, first.scheme, first.credential) == (Code.OK, OLD, old)
    offline.stop("link")  # a bus in a valley

    former = versions(town)
    until_day = local_day(SystemClock().now_ms()) + datetime.timedelta(30)
    moving = ("--from", OLD.value, "--to", NEW.value, "--until", str(until_day))
    command(town, "campaign", "start", PASS, *moving)
    until(lambda: holds(town, here)[0] > former, "the reader hears of the campaign")

    # The window holds across the move, and both credentials are written down.
    (again,) = here.hold(HERE)
    assert (again.code, again.scheme) == (Code.REPEAT, NEW)
    assert (again.credential, again.older_credential) == (new, old)
    until(lambda: present(town).get(new) == NEW.value, "the ledger moves the card")

    # Who was away rides by the old scheme, and moves when the bus is back.
    (away,) = offline.hold(AWAY)
    assert (away.code, away.credential) == (Code.OK, named(town, AWAY)[0])
    moved = until(lambda: versions(town) > former + 1 and versions(town), "the next roster")
    offline.start("link")
    until(lambda: holds(town, offline)[0] >= moved, "the bus is back from the valley")
    (back,) = offline.hold(AWAY)
    assert (back.code, back.older_credential) == (Code.REPEAT, named(town, AWAY)[0])
    for agent in (here, offline):
        town.until_kept(agent)
    until(lambda: named(town, AWAY)[1] in present(town), "that card has moved too")

    owners = dict(town.ask("select credential, member_id from card", database="persons.db"))
    assert owners[old] == owners[new] != owners[named(town, AWAY)[0]]
    assert town.ask("select kind from finding") == []
    used = town.ask("select sum(times) from usage where credential in (?, ?)", old, new)
    assert used == [(1,)]
    assert present(town)[named(town, NEVER)[0]] == OLD.value
