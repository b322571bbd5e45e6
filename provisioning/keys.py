"""The programme keys: made here, kept here, and from here sealed to each reader.

Rules: 32 random bytes for each programme and epoch; a key is never changed or thrown away here,
since members of an older epoch must still be moved; a reader gets the present epoch and the one
before, of its own programmes alone. The file is as precious as a root key: who has it can test
any identifier against any credential.
"""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from provisioning.vault import PRIVATE_FILE, ProvisioningRefused, write_file
from wire.credential import PROGRAMME_KEY_BYTES
from wire.entries import AtMs, Name
from wire.seal import ProgrammeKey, ProgrammeKeys

EPOCHS_MAX: Final = 1_000
"""Epochs of one programme: a new one follows a theft, perhaps twice a year."""
DAY_MS: Final = 86_400_000


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: Literal[1]
    tenant: Name
    keys: Annotated[list[ProgrammeKey], Meta(max_length=100 * EPOCHS_MAX)]
    began_at_ms: dict[Name, AtMs] = {}
    """When the present epoch of a programme began; not known of a first one."""


class EpochTooSoon(ProvisioningRefused):
    """A new epoch would leave members behind: it needs a person who knows that."""


class KeyRing:
    """All programme keys of one tenant, in one private file."""

    def __init__(
        self,
        path: Path,
        tenant: str,
        keys: Iterable[ProgrammeKey] = (),
        began_at_ms: Mapping[str, int] | None = None,
    ) -> None:
        self._path = path
        self.tenant: Final = tenant
        self._began_at_ms = dict(began_at_ms or {})
        self._keys = {(key.programme, key.epoch): key for key in keys}

    @classmethod
    def read(cls, path: Path) -> "KeyRing":
        """Return the ring kept in a file. Raises ProvisioningRefused."""
        try:
            if path.stat().st_mode & 0o077:
                raise ProvisioningRefused(f"{path} can be read by others: chmod 600, new epochs")
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except OSError as error:
            raise ProvisioningRefused(f"{path}: {error.strerror}: name the right file") from error
        except msgspec.MsgspecError as error:
            raise ProvisioningRefused(f"{path} holds no programme keys: {error}") from error
        return cls(path, file.tenant, file.keys, file.began_at_ms)

    @classmethod
    def at(cls, path: Path, tenant: str) -> "KeyRing":
        """Return the tenant's ring, a new and empty one when there is none yet."""
        if not path.exists():
            return cls(path, tenant)
        ring = cls.read(path)
        if ring.tenant != tenant:
            raise ProvisioningRefused(f"{path} belongs to {ring.tenant}, not to {tenant}")
        return ring

    def add(self, programmes: Iterable[str]) -> None:
        """Give every programme that has none a key of epoch 1, and write the file if need be."""
        new = [name for name in programmes if (name, 1) not in self._keys]
        for name in new:
            self._make(name, 1)
        if new:
            self._write()

    def begin_epoch(self, programme: str, now_ms: int, leave_behind: bool = False) -> int:
        """Begin a new epoch of a programme and return its number; write the file.

        Readers hold the present epoch and the one before. From the third epoch on, whoever has
        not been seen since the former one began can no longer be found: EpochTooSoon, unless
        `leave_behind` says that this is known and meant. Raises ProvisioningRefused.
        """
        present = self.present(programme).epoch
        if present + 1 > EPOCHS_MAX:
            raise ProvisioningRefused(f"{programme} has had {EPOCHS_MAX} epochs: make a new tenant")
        if present > 1 and not leave_behind:
            raise EpochTooSoon(self._left_behind(programme, present, now_ms))
        self._make(programme, present + 1)
        self._began_at_ms[programme] = now_ms
        self._write()
        return present + 1

    def _left_behind(self, programme: str, present: int, now_ms: int) -> str:
        began_ms = self._began_at_ms.get(programme)
        days = "" if began_ms is None else f", {max(0, now_ms - began_ms) // DAY_MS} days ago"
        return (
            f"readers will no longer find members who were not seen since epoch {present} of "
            f"{programme} began{days}: `kazasu-fleet members unmoved {programme}` lists them; "
            f"move them at a desk first, or add --yes to leave them behind"
        )

    def present(self, programme: str) -> ProgrammeKey:
        """Return the key of a programme's latest epoch. Raises ProvisioningRefused."""
        keys = [key for key in self._keys.values() if key.programme == programme]
        if not keys:
            known = ", ".join(sorted({name for name, _ in self._keys}))
            raise ProvisioningRefused(f"there is no key for {programme!r}; there are: {known}")
        return max(keys, key=lambda key: key.epoch)

    def for_reader(self, programmes: Iterable[str]) -> ProgrammeKeys:
        """Return what a reader of these programmes may hold: present epoch and the one before."""
        held = []
        for name in programmes:
            present = self.present(name)
            former = self._keys.get((name, present.epoch - 1))
            held += [present, former] if former else [present]
        return ProgrammeKeys(v=1, keys=held)

    def _make(self, programme: str, epoch: int) -> None:
        key = ProgrammeKey(programme, epoch, secrets.token_bytes(PROGRAMME_KEY_BYTES))
        self._keys[programme, epoch] = key

    def _write(self) -> None:
        keys = [self._keys[place] for place in sorted(self._keys)]
        data = msgspec.json.encode(_File(1, self.tenant, keys, self._began_at_ms))
        write_file(self._path, msgspec.json.format(data), PRIVATE_FILE)
