"""What a reader is told about itself: one TOML file, written by provisioning, read by both halves.

Every key is bounded, an unknown key is refused, and paths are relative to the file.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.credential import IDENTIFIER_BYTES_MAX
from wire.entries import Name, Short
from wire.limits import FRONT_END_PATH, GPSD_ADDRESS, PROGRAMMES_PER_PLACE_MAX
from wire.topics import ReaderName, parse_reader

Port = Annotated[int, Meta(ge=1, le=65_535)]
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # it is refused


class ConfigRefused(ValueError):
    """The file cannot be used; the sentence names the file, the key and the bound."""


class CardAp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a tenant's own card application keeps its user id (`edge/schemes/card_ap.py`)."""

    aid: Annotated[str, Meta(pattern="^([0-9A-F]{2}){5,16}$")]
    """The application's name, in hex."""
    short_ef: Annotated[int, Meta(ge=1, le=30)]
    """The file's short id."""
    length: Annotated[int, Meta(ge=1, le=IDENTIFIER_BYTES_MAX)]
    offset: Annotated[int, Meta(ge=0, le=255)] = 0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reader: who it is, where it stands, what it talks to."""

    reader: str
    """`tenant/reader`, as in its certificate."""
    place: Name
    place_kind: Literal["bus", "taxi", "school", "desk", "kiosk"]
    programmes: Annotated[list[Name], Meta(min_length=1, max_length=PROGRAMMES_PER_PLACE_MAX)]
    """In the order in which a card is looked up; `unknown` stands under the first."""
    front_end: Annotated[str, Meta(pattern=FRONT_END_PATH)]
    """Such as `pcsc`, `pn532:/dev/ttyAMA0` or `usb:054c:06c3`: see edge/frontends/opening.py."""
    technologies: Annotated[list[Literal["106B", "212F", "106A"]], Meta(min_length=1)]
    """In the order of polling; the commonest card of the place first."""
    broker_host: str
    broker_port: Port
    devices_url: Annotated[str, Meta(pattern="^https://")]
    """The fleet's listener for rosters and keys."""
    page_port: Port
    """The local page, on 127.0.0.1 alone."""
    line: Short = ""
    tablet_host: Annotated[str, Meta(pattern=r"^([a-z0-9.-]{1,253})?$(?!\n)")] = ""
    """Where a taxi's tablets call: the reader's own address or name on the vehicle's Wi-Fi. Empty:
    the driver uses the reader's own screen alone."""
    tablet_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    gpsd: Annotated[str, Meta(pattern=GPSD_ADDRESS)] = ""
    """Where gpsd of this machine or vehicle listens, such as `127.0.0.1:2947`. Empty: nobody knows
    where the vehicle is."""
    buzzer: bool = True
    """Answers sound at the reader head too; false where the screen's own chime and voice do."""
    felica_system: Annotated[str, Meta(pattern="^[0-9A-F]{4}$")] = "0003"
    """The system code whose IDm identifies a FeliCa card: 0003 is Japanese transit IC."""
    card_ap: CardAp | None = None
    state: str = "state"
    """Folder of journal, rosters and marks."""
    authority: str = "authority.pem"
    certificate: str = "reader.pem"
    key: str = "reader.key"
    """Of the network half: TLS and the signature of batches."""
    sealing_key: str = "sealing.key"
    """Of the card half alone: opens programme keys."""
    fleet_key: str = "fleet.pub"
    """Ed25519, pinned at enrolment: whatever the fleet says is signed by it."""

    def __post_init__(self) -> None:
        """Refuse tablets where they have no use or no address to call, and a port that is none."""
        if bool(self.tablet_host) != bool(self.tablet_port):
            raise ValueError("tablet_host and tablet_port are given together or not at all")
        if self.tablet_host and self.place_kind != "taxi":
            raise ValueError("tablet_host is for place_kind taxi")
        if self.tablet_host == EVERYWHERE:
            raise ValueError("tablet_host is one address: tablets call it by that name")
        if self.gpsd and not 1 <= int(self.gpsd.rpartition(":")[2]) <= 65_535:
            raise ValueError("gpsd names a port from 1 to 65535")

    @property
    def name(self) -> ReaderName:
        """The reader's full name in its two parts."""
        return parse_reader(self.reader)


_PATHS: Final = ("state", "authority", "certificate", "key", "sealing_key", "fleet_key")


def read_config(path: Path) -> Config:
    """Return the configuration with absolute paths. Raises ConfigRefused."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        config = msgspec.convert(data, Config)
        parse_reader(config.reader)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigRefused(f"{path}: {error}") from error
    base = path.resolve().parent
    return msgspec.structs.replace(
        config, **{key: str(base / getattr(config, key)) for key in _PATHS}
    )
