"""The registry says what people call whose places are; who is not named keeps his short name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.config import Databases
from fleet.registry import Organisation, load_organisations
from tests.fleet.ride_kit import taxi_fleet
from tests.fleet.virtual import VirtualFleet

KITA = {"name": "kita-taxi", "label_ja": "北タクシー株式会社", "label_en": "Kita Taxi"}


@pytest.fixture
def fleet(databases: Databases, tmp_path: Path) -> Iterator[VirtualFleet]:
    made = taxi_fleet(tmp_path, databases.url)
    yield made
    made.close()


def take_in(fleet: VirtualFleet, *organisations: dict[str, Any]) -> int:
    """Import the registry again, as provisioning writes it when these are named."""
    path = fleet.town.folder / "fleet" / "registry.json"
    told = json.loads(path.read_text("utf-8")) | {"organisations": list(organisations)}
    path.write_text(json.dumps(told), "utf-8")
    return fleet.command("readers", "import", str(path))


def named(fleet: VirtualFleet) -> list[Organisation]:
    with fleet.store.read() as connection:
        return load_organisations(connection)


def test_a_company_is_named_and_renamed_by_the_registry(fleet: VirtualFleet) -> None:
    assert take_in(fleet, KITA) == 0
    assert named(fleet) == [Organisation("kita-taxi", "北タクシー株式会社", "Kita Taxi")]
    assert take_in(fleet, KITA | {"label_ja": "新北交通株式会社"}) == 0
    assert [one.label_ja for one in named(fleet)] == ["新北交通株式会社"]
    assert take_in(fleet) == 0
    assert [one.label_ja for one in named(fleet)] == ["新北交通株式会社"]


def test_a_registry_without_names_is_taken_in_as_ever(fleet: VirtualFleet) -> None:
    path = fleet.town.folder / "fleet" / "registry.json"
    told = json.loads(path.read_text("utf-8"))
    del told["organisations"]
    path.write_text(json.dumps(told), "utf-8")
    assert fleet.command("readers", "import", str(path)) == 0
    assert named(fleet) == []


@pytest.mark.parametrize(
    "wrong", [{"label_ja": ""}, {"name": "Kita Taxi"}, {"label_ja": "北" * 81}]
)
def test_what_is_no_name_is_refused_and_nothing_changes(
    fleet: VirtualFleet, wrong: dict[str, str]
) -> None:
    assert take_in(fleet, KITA | wrong) == 1
    assert named(fleet) == []
