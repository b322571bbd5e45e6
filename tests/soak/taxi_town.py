"""What a month of taxis begins with: vehicles and members, and a list on each reader."""

import contextlib
import csv
import io
from pathlib import Path
from typing import Final

from fleet.roster_files import by_version, rows_path
from provisioning.keys import KeyRing
from provisioning.town import Place
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import SIGNED, VirtualFleet, make_fleet
from tests.soak.cab import TAXI
from tests.soak.month import DISCOUNT, Size
from wire.credential import Scheme, credential

RULES: Final = f"""
version = "taxi/2026-04"
valid_from = 2026-04-01
[parameters]
rides_per_year = 70
to_time = 19:00:00
[parameters.discounts]
"{DISCOUNT}" = 10
"""
"""マイタク as it was from April 2021 on."""


def company_of(size: Size, taxi: int) -> str:
    """Return whose a taxi is."""
    return f"company-{taxi % size.companies + 1}"


def serial_of(member: int) -> str:
    """Return the serial of a member's My Number Card."""
    return f"{10**14 + member:015}"


def make(folder: Path, size: Size, database: str) -> VirtualFleet:
    """Provision the taxis, and enrol the members by the fleet's own commands."""
    places = [_place(size, taxi) for taxi in range(size.taxis)]
    with contextlib.redirect_stdout(io.StringIO()):
        fleet = make_fleet(folder, places, database)
    table, listed = folder / "taxi.toml", folder / "members.csv"
    table.write_text(RULES, "utf-8")
    key = KeyRing.read(fleet.town.folder / "keys" / "programme-keys.json").present(TAXI)
    with listed.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("credential", "scheme", "key_epoch", "registration_number", "name"))
        for member in range(size.members):
            serial = bytearray(serial_of(member).encode())
            made = credential(key.key, Scheme.COMMON_AP, serial)
            rows.writerow((made, Scheme.COMMON_AP, key.epoch, f"M{member:06}", f"登録者{member}"))
    for argv in (
        ("rules", "add", TAXI, str(table)),
        ("schemes", "state", TAXI, Scheme.COMMON_AP, *SIGNED),
        ("members", "import", str(listed), "--programme", TAXI),
    ):
        assert quietly(fleet, *argv) == 0
    build(fleet)
    return fleet


def _place(size: Size, taxi: int) -> Place:
    return Place(
        name=f"taxi-{taxi + 1}",
        kind="taxi",
        programmes=[TAXI],
        label_ja=f"{taxi + 1}号車",
        label_en=f"Taxi {taxi + 1}",
        front_end="udp:127.0.0.1:54321",
        technologies=["106B"],
        page_port=8001,
        organisation=company_of(size, taxi),
    )


def quietly(fleet: VirtualFleet, *argv: str) -> int:
    with contextlib.redirect_stdout(io.StringIO()):
        return fleet.command(*argv)


def roster_of(fleet: VirtualFleet, place: str) -> bytes:
    """Return the first roster of a place as the devices' listener sends it."""
    with fleet.store.read() as connection:
        kept = by_version(connection, TAXI, place, 1)
    assert kept
    rows = rows_path(fleet.config.state_folder, TAXI, kept.rows_sha256).read_bytes()
    return kept.head + rows
