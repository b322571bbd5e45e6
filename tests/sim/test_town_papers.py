"""What the town writes is what the product's own commands read."""

import datetime
import json
import tomllib
from pathlib import Path

import pytest

from fleet.rules import read_table
from hw.sim import papers
from hw.sim.cli import parse_seconds
from hw.sim.papers import PLACES, Ports, ReaderPorts
from hw.sim.people import SENIOR_PASS, TAXIS, draw_people
from provisioning.identifiers import identifier_bytes
from provisioning.town import read_town
from wire.credential import Scheme

DAY = datetime.date(2026, 6, 3)


def _gpsd(place: str) -> int:
    return 42_000 if place in TAXIS else 0


READERS = {
    place: ReaderPorts(f"udp:127.0.0.1:{40_000 + number}", 41_000 + number, gpsd=_gpsd(place))
    for number, place in enumerate(PLACES)
}


def test_the_town_file_is_a_town(tmp_path: Path) -> None:
    path = tmp_path / "town.toml"
    path.write_text(papers.town_file(Ports(20_001, 20_002, 20_003, 20_004, 20_005), READERS))
    town = read_town(path)
    assert [place.name for place in town.place] == list(PLACES)
    triage = {place.name: place.triage_programmes for place in town.place}
    assert [name for name, programmes in triage.items() if programmes] == [papers.TRIAGE_AT]
    asked = {place.name: place.gpsd for place in town.place if place.gpsd}
    assert asked == dict.fromkeys(TAXIS, "127.0.0.1:42000")
    assert {one.name for one in town.organisation} == set(papers.ORGANISATION_LABELS)


@pytest.mark.parametrize("programme", papers.rule_tables(DAY))
def test_rule_tables_are_taken_by_the_programmes_and_in_force_on_the_day(
    tmp_path: Path, programme: str
) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(papers.rule_tables(DAY)[programme]))
    assert read_table(programme, path).valid_from <= DAY


def test_the_town_states_a_ground_for_every_card_that_it_enrols() -> None:
    stated = {(one.programme, scheme) for one in papers.STATEMENTS for scheme in one.schemes}
    for seed in range(5):
        members = [p.enrolment for p in draw_people(seed, DAY, 100) if p.enrolment]
        assert {(one.programme, one.scheme) for one in members if one.scheme} <= stated


def test_a_desk_s_list_gives_the_identifiers_that_are_on_the_cards(tmp_path: Path) -> None:
    members = [p.enrolment for p in draw_people(1, DAY, 100) if p.enrolment]
    path = tmp_path / "cards.csv"
    papers.cards_file(path, members)
    header, *lines = path.read_text("utf-8").splitlines()
    assert header.split(",")[:3] == ["scheme", "identifier", "not_before"]
    read = [
        identifier_bytes(Scheme(scheme), identifier, not_before)
        for scheme, identifier, not_before, *_ in (line.split(",") for line in lines)
    ]
    assert read == [member.identifier for member in members if member.scheme]
    papers.members_file(path, members)
    assert len(path.read_text("utf-8").splitlines()) == 1 + sum(not m.scheme for m in members)


def test_a_reader_is_led_through_its_own_network_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    before = 'reader = "a/b"\nbroker_port = 1\ndevices_url = "https://127.0.0.1:2"\npage_port = 3\n'
    path.write_text(before)
    papers.lead_through(path, 11, 22)
    assert tomllib.loads(path.read_text()) == {
        "reader": "a/b",
        "broker_port": 11,
        "devices_url": "https://127.0.0.1:22",
        "page_port": 3,
    }
    path.write_text("broker_port = 1\n")
    with pytest.raises(ValueError, match="devices_url"):
        papers.lead_through(path, 11, 22)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1.5m", 90), ("20", 20), (" 2m ", 120)]
)
def test_a_duration_is_written_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3s", "0s", "2h", "61m"])
def test_what_is_no_duration_up_to_an_hour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="30s or 2m"):
        parse_seconds(text)


def test_the_senior_pass_keeps_the_town_s_second_line_to_those_who_may(tmp_path: Path) -> None:
    parameters = papers.rule_tables(DAY)[SENIOR_PASS]["parameters"]
    assert parameters["lines_of_category"] == {"town": ["1"]}
