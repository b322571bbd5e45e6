"""What the fleet is told about itself: one TOML file, `fleet.toml`, read by all its processes.

Every key is bounded, an unknown key is refused, and paths are relative to the file.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.entries import Name
from wire.topics import parse_name

Port = Annotated[int, Meta(ge=1, le=65_535)]


class ConfigRefused(ValueError):
    """The file cannot be used; the sentence names the file, the key and the bound."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fleet of one tenant."""

    tenant: Name
    state: str
    """Folder of fleet.db, persons.db and rosters/."""
    broker_host: str
    broker_port: Port
    """The broker's listener for the fleet, not the readers'."""
    authority: str
    """The readers' and the servers' root (PEM)."""
    certificate: str
    """Of the fleet, as a client of the broker."""
    key: str
    server_certificate: str
    """Of the listener for readers."""
    server_key: str
    signing_key: str
    """Ed25519 (PEM): what readers believe."""
    devices_port: Port
    console_port: Port
    office_port: Port
    devices_host: str = "127.0.0.1"
    """Where readers reach the fleet: an address of this machine, or 0.0.0.0."""
    language: Literal["ja", "en"] = "ja"

    @property
    def state_folder(self) -> Path:
        """The folder of the databases and roster files."""
        return Path(self.state)


_PATHS: Final = (
    "state",
    "authority",
    "certificate",
    "key",
    "server_certificate",
    "server_key",
    "signing_key",
)


def read_config(path: Path) -> Config:
    """Return the configuration with absolute paths. Raises ConfigRefused."""
    try:
        config = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Config)
        parse_name(config.tenant)
    except (OSError, ValueError) as error:
        raise ConfigRefused(f"{path}: {error}") from error
    base = path.resolve().parent
    return msgspec.structs.replace(
        config, **{key: str(base / getattr(config, key)) for key in _PATHS}
    )
