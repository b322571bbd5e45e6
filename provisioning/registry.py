"""The registry as this folder last told it to the fleet: `DIR/fleet/registry.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec

from provisioning.vault import ProvisioningRefused, write_file
from wire.registry import RegisteredPlace, RegisteredReader, Registry

FILE: Final = Path("fleet", "registry.json")


class Before(NamedTuple):
    """What was told last, by name."""

    readers: Mapping[str, RegisteredReader]
    places: Mapping[str, RegisteredPlace]
    epochs: Mapping[str, int]

    @classmethod
    def of(cls, registry: Registry | None) -> Self:
        """Return it by name; nothing when nothing was told."""
        if registry is None:
            return cls({}, {}, {})
        return cls(
            {one.reader: one for one in registry.readers},
            {one.name: one for one in registry.places},
            registry.key_epochs,
        )


def read_registry(folder: Path, tenant: str) -> Registry | None:
    """Return what was told last; None when nothing was. Raises ProvisioningRefused."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        registry = msgspec.json.decode(path.read_bytes(), type=Registry)
    except msgspec.MsgspecError as error:
        raise ProvisioningRefused(f"{path}: {error}: move it away, and run again") from error
    if registry.tenant != tenant:
        raise ProvisioningRefused(f"{folder} belongs to {registry.tenant}: use another folder")
    return registry


def write_registry(folder: Path, registry: Registry) -> None:
    """Tell this from now on."""
    write_file(folder / FILE, msgspec.json.format(msgspec.json.encode(registry)) + b"\n")


def replace_reader(registry: Registry, reader: RegisteredReader) -> Registry:
    """Return the registry with this one in the place of the reader of its name."""
    readers = [reader if one.reader == reader.reader else one for one in registry.readers]
    return msgspec.structs.replace(registry, readers=readers)
