"""A teacher signs in by card and PIN: from the button to the reader's antenna, and to his own days.

Real processes: broker, ingest, dispatch, the office and both halves of the desk's reader.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import msgspec

from fleet import accounts, cli, schema, work_accounts, work_terms
from fleet import members as enrolled
from fleet.accounts import AccountRole
from fleet.config import Databases, read_config
from fleet.grants import Role
from fleet.store import open_fleet, open_persons
from fleet.work_acts import Act
from fleet.work_terms import NewTerm
from programmes.calendar import local_day
from provisioning.keys import KeyRing
from provisioning.town import Place
from tests.edge.reader_kit import ATTENDANCE, identifier, my_number_card
from tests.fleet.virtual import SIGNED, desk
from tests.web.town import PASSWORD
from tests.web.visitor import Visitor
from tests.whole.kit import FLEET, Agent, WholeTown, end, start, until, whole_town
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Scheme, credential

MINE, STRANGER = 6, 7
PIN = "270915"
TABLE = """
version = "attendance/2026"
valid_from = 2026-04-01
[parameters]
"""


def staff_desk() -> Place:
    return msgspec.structs.replace(desk(), programmes=[ATTENDANCE], triage_programmes=[])


def furnish(town: WholeTown) -> None:
    """Rules, a ground for cards, a teacher with a card and an account, and a clerk."""
    table = town.town.folder / "attendance.toml"
    table.write_text(TABLE, "utf-8")
    clock, config = SystemClock(), str(town.fleet_toml)
    for argv in (
        ["rules", "add", ATTENDANCE, str(table)],
        ["schemes", "state", ATTENDANCE, Scheme.COMMON_AP, *SIGNED],
    ):
        assert cli.run(["--config", config, *argv], clock) == 0
    databases, now_ms = Databases(town.state), clock.now_ms()
    fleet, people = open_fleet(databases, Role.OWNER), open_persons(databases, Role.OWNER)
    with fleet.write() as connection:
        accounts.add(connection, "hana", AccountRole.CLERK, PASSWORD, "test", now_ms)
        accounts.add(connection, "sato", AccountRole.CLERK, PASSWORD, "test", now_ms, [])
    with people.write() as connection:
        new = enrolled.NewMember("T-1", "佐藤", "サトウ")
        member_id = enrolled.enrol(connection, ATTENDANCE, new, "hana", now_ms)
        row = {"member_id": member_id, "programme": ATTENDANCE, "credential": known_as(town, MINE)}
        row |= {"scheme": "common-ap", "key_epoch": 1, "assigned_at_ms": 1, "assigned_by": "hana"}
        connection.execute(schema.card.insert().values(row))
        act = Act(member_id, "hana", now_ms)
        work_terms.add(connection, act, NewTerm(local_day(now_ms), "kita-sho"))
        work_accounts.bind(connection, act, "sato")
    fleet.close()
    people.close()


def known_as(town: WholeTown, serial: int) -> str:
    """What a card is in attendance."""
    ring = KeyRing.read(town.town.folder / "keys" / "programme-keys.json")
    held = identifier(my_number_card(serial), Scheme.COMMON_AP)
    return credential(ring.present(ATTENDANCE).key, Scheme.COMMON_AP, held)


@contextlib.contextmanager
def office(town: WholeTown) -> Iterator[str]:
    """Run the office until left; return where it is."""
    log = town.fleet_toml.with_name("office.log")
    process = start(log, "-c", FLEET, "--config", str(town.fleet_toml), "office")
    address = f"http://127.0.0.1:{read_config(Path(town.fleet_toml)).office_port}"

    def answers() -> bool:
        with contextlib.suppress(URLError, ConnectionError):
            return Visitor(address).get("/healthz").status == 200
        return False

    try:
        until(answers, "the office answers")
        yield address
    finally:
        end(process)


def hold(who: Visitor, reader: Agent, serial: int) -> None:
    """Press the button, wait until the reader asks, and hold a card until the PIN is asked for."""
    assert who.post("/login/card").location == "/login/card"
    until(lambda: "かざしてください" in who.get("/login/card").text, "the reader asks")
    reader.hold(serial)
    until(lambda: 'name="pin"' in who.get("/login/card").text, "the card is read")


def test_card_and_pin_open_ones_own_days_and_count_as_no_presence() -> None:
    with whole_town([], staff_desk()) as town:
        furnish(town)
        reader = town.agents["desk-1"]
        with town.fleet(), office(town) as address:
            reader.start()
            town.until_ready(reader)
            own = Visitor(address)
            assert own.sign_in("sato").status == 303
            fresh = {"password": PASSWORD, "pin": PIN, "pin_again": PIN}
            assert own.post("/security/card-pin", **fresh).status == 303
            shared = Visitor(address)
            assert shared.sign_in("hana").status == 303
            label = {"desk_reader": reader.name, "browser_label": "職員室"}
            assert shared.post("/desk/browsers", **label).status == 303
            assert shared.post("/logout").status == 303

            hold(shared, reader, MINE)
            assert known_as(town, MINE) not in shared.get("/login/card").text
            assert shared.post("/login/card/pin", pin=PIN).status == 303
            days = shared.get("/own")
            assert (days.status, "自分の勤務" in days.text) == (200, True)
            assert shared.post("/logout").status == 303

            hold(shared, reader, STRANGER)
            refused = shared.post("/login/card/pin", pin=PIN)
            assert refused.status == 401
            assert "このカードとPINではログインできません" in refused.text

            town.until_kept(reader)
            assert [tap.code for tap in reader.taps()] == [Code.DESK, Code.DESK]
            assert town.ask("select id from desk_wait", database="persons.db") == []
            bodies = [body for (body,) in town.ask("select body from entry")]
            for serial in (MINE, STRANGER):
                assert not any(known_as(town, serial).encode() in body for body in bodies)
