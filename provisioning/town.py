"""What a town looks like: one TOML file, written by a person, read whole and bounded.

    tenant = "kazasu-shi"

    host = ""          # where readers on other machines call; empty: all on this one

    [ports]            # on 127.0.0.1; with a host, what readers call is open to other machines
    readers = 18883    # MQTT for readers        devices = 18443   # HTTPS for readers
    fleet = 18884      # MQTT for the fleet      console = 18080, office = 18081
    door = 18085       # HTTPS for readers without a certificate (kazasu-provision door)

    [[place]]
    name = "bus-1"
    kind = "bus"
    line = "1"
    programmes = ["senior-pass"]
    triage_programmes = []
    label_ja = "1号車"
    label_en = "Bus 1"
    front_end = "udp:127.0.0.1:54321"
    technologies = ["106B", "212F"]
    page_port = 18101
    organisation = ""   # whose it is: a transport company; empty: the city's
    tablet_host = ""    # a taxi's own address on its Wi-Fi, where its tablets call; empty: none
    tablet_port = 0
    gpsd = ""           # where a taxi's gpsd listens, such as 127.0.0.1:2947; empty: no receiver
    buzzer = true       # false: the reader head's buzzer is silent, as where the screen speaks

    [[organisation]]    # what people call an `organisation`; without, it is shown as it is
    name = "hokuto-taxi"
    label_ja = "ほくとタクシー株式会社"
    label_en = "Hokuto Taxi"

One reader stands at each place and has the place's name.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from provisioning.vault import ProvisioningRefused
from wire.entries import Short
from wire.limits import FRONT_END_PATH, GPSD_ADDRESS, PROGRAMMES_PER_PLACE_MAX
from wire.registry import ORGANISATIONS_MAX, PLACES_MAX, RegisteredOrganisation
from wire.topics import ReaderName, parse_name, parse_reader

Port = Annotated[int, Meta(ge=1024, le=65_535)]
Programmes = Annotated[list[str], Meta(max_length=PROGRAMMES_PER_PLACE_MAX)]


class TownRefused(ProvisioningRefused):
    """The town file cannot be used; the sentence names the file, the key and the bound."""


class Ports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where each server listens."""

    readers: Port
    fleet: Port
    devices: Port
    console: Port
    office: Port
    door: Port = 18_085


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place with its reader."""

    name: str
    kind: Literal["bus", "taxi", "school", "desk", "kiosk"]
    programmes: Annotated[Programmes, Meta(min_length=1)]
    label_ja: Annotated[Short, Meta(min_length=1)]
    label_en: Annotated[Short, Meta(min_length=1)]
    front_end: Annotated[str, Meta(pattern=FRONT_END_PATH)]
    technologies: Annotated[list[Literal["106B", "212F", "106A"]], Meta(min_length=1, max_length=3)]
    page_port: Port
    line: Short = ""
    triage_programmes: Programmes = []
    organisation: str = ""
    """Whose it is, as in wire.registry."""
    tablet_host: Annotated[str, Meta(max_length=253)] = ""
    """Of a taxi: its reader's address on its own Wi-Fi."""
    tablet_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    gpsd: Annotated[str, Meta(pattern=GPSD_ADDRESS)] = ""
    """Of a taxi: where its receiver is asked for the spot."""
    buzzer: bool = True
    """Answers sound at the reader head, beside what the screen says aloud."""


class Town(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant, its ports, its places and whose they are."""

    tenant: str
    ports: Ports
    place: Annotated[list[Place], Meta(min_length=1, max_length=PLACES_MAX)]
    organisation: Annotated[list[RegisteredOrganisation], Meta(max_length=ORGANISATIONS_MAX)] = []
    host: Annotated[str, Meta(pattern=r"^([a-z0-9.-]{1,253})?$(?!\n)")] = ""
    """A name or IPv4 address of the town's servers, in their certificate; what readers call is then
    open to other machines."""

    def reader_at(self, place: Place) -> ReaderName:
        """Return the full name of the reader that stands at a place."""
        return ReaderName(self.tenant, place.name)

    @property
    def programmes(self) -> list[str]:
        """Every programme of the town, sorted."""
        return sorted({programme for place in self.place for programme in place.programmes})


def read_town(path: Path) -> Town:
    """Return a checked town. Raises TownRefused."""
    try:
        town = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Town)
        _check(town)
    except (OSError, ValueError, RecursionError) as error:
        raise TownRefused(f"{path}: {error}") from error
    return town


def _check(town: Town) -> None:
    parse_name(town.tenant)
    for place in town.place:
        parse_reader(str(town.reader_at(place)))
        for programme in place.programmes:
            parse_name(programme)
        if place.organisation:
            parse_name(place.organisation)
        if bool(place.tablet_host) != bool(place.tablet_port):
            raise ValueError(f"{place.name}: tablet_host and tablet_port go together")
        if place.tablet_host and place.kind != "taxi":
            raise ValueError(f"{place.name}: tablet_host is for a taxi")
        if place.gpsd and place.kind != "taxi":
            raise ValueError(f"{place.name}: gpsd is for a taxi")
        if extra := set(place.triage_programmes) - set(place.programmes):
            raise ValueError(f"{place.name}: triage of {sorted(extra)}, which it does not serve")
        _once(f"{place.name}: programme", place.programmes)
        _once(f"{place.name}: technology", place.technologies)
    _once("place", [place.name for place in town.place])
    named = [one.name for one in town.organisation]
    _once("organisation", named)
    if nobodys := set(named) - {place.organisation for place in town.place}:
        raise ValueError(f"organisation {min(nobodys)} has no place")
    pages = [place.page_port for place in town.place]
    tablets = [place.tablet_port for place in town.place if place.tablet_port]
    _once("port", [*pages, *tablets, *msgspec.structs.astuple(town.ports)])


def _once(what: str, values: Sequence[object]) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]} stands twice: each may stand once")
