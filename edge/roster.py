"""What this reader holds of its programmes: rosters, programme keys, and how fresh they are.

Upheld: a roster is used only after its signature and every byte were verified, and the former one
stays in use until then · this is done beside the thread that decides, which only takes the result
in its hand between two cards · a card is looked up in the place's order of programmes, under the
roster's key epoch and then the one before · an identifier is used here and wiped by the caller.

In the state folder: `rosters/{programme}.roster` and `keys.sealed`, brought by `link`;
`rosters/{programme}.current`, written here: when the fleet last said that this version is wanted.
"""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edge.config import Config, ConfigRefused
from edge.durable import make_folder
from edge.frontends import Technology
from edge.panel import RosterCurrent
from edge.schemes import register
from edge.schemes.allowlist import CardScheme
from programmes.register import rulebook
from programmes.rulebook import Rulebook
from wire.credential import Credential, Scheme, credential
from wire.limits import KEYS_BYTES_MAX
from wire.messages import Count
from wire.roster import Roster, RosterRow
from wire.seal import ProgrammeKey, SealBroken, open_keys

FOLDER: Final = "rosters"
KEYS: Final = "keys.sealed"
EPOCHS_MAX: Final = 2
"""The present key epoch and the one before."""


class HoldingRefused(ValueError):
    """A roster or keys that cannot be used; what was held before stays in use."""


class Match(NamedTuple):
    """A card in one programme. `member` is None when no roster knows it."""

    holding: "Holding"
    scheme: Scheme
    key_epoch: int
    credential: Credential
    older_credential: Credential | None
    """Under the epoch before, when the card was found only there; or, of a card that was read by
    two schemes, the one under which it was found by the first."""
    member: RosterRow | None
    under: Sequence[Credential]
    """The card under each epoch held, and each scheme read: what it booked is its own."""


class Holding:
    """One programme that this reader can decide: a verified roster and at least one of its keys."""

    def __init__(
        self, rules: Rulebook, roster: Roster, keys: Sequence[ProgrammeKey], current_ms: int
    ) -> None:
        self.rulebook: Final = rules
        self.roster: Final = roster
        self._keys: Final = keys
        self._current_ms: Final = current_ms

    def age_s(self, now_ms: int) -> int:
        """Return the seconds since the fleet last said that this version is the one wanted."""
        return max(0, now_ms - self._current_ms) // 1000

    @property
    def epochs(self) -> tuple[int, ...]:
        """The key epochs held, the present one first, as in `Match.under`."""
        return tuple(key.epoch for key in self._keys)

    def match(self, scheme: Scheme, identifier: bytearray) -> Match:
        """Look a card up under each epoch held, the present one first."""
        found = [(key.epoch, credential(key.key, scheme, identifier)) for key in self._keys]
        epoch, present = found[0]
        under = tuple(one for _, one in found)
        for one in under:
            if member := self.roster.find(one):
                older = None if one == present else one
                return Match(self, scheme, epoch, present, older, member, under)
        return Match(self, scheme, epoch, present, None, None, under)

    def moved(self, found: Match, scheme: Scheme, identifier: bytearray) -> Match:
        """Return a member's card, found by one scheme, as it is under the one they move to."""
        new = self.match(scheme, identifier)
        return new._replace(
            older_credential=found.older_credential or found.credential,
            member=self.roster.find(new.credential) or found.member,
            under=(*new.under, *found.under),
        )


class _Current(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Count
    at_ms: Count


class Rosters:
    """All that the reader holds, in the place's order of programmes.

    Raises ConfigRefused when the reader's own key files cannot be read, or when the tenant's card
    application may not be selected.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = Path(config.state)
        self.fleet_key: Final = _public_key(Path(config.fleet_key))
        self.sealing_key: Final = _sealing_key(Path(config.sealing_key))
        try:
            self._schemes = register(config.card_ap)
        except ValueError as error:
            raise ConfigRefused(f"[card_ap]: {error}") from error
        self._rosters: dict[str, Roster] = {}
        self._current: dict[str, _Current] = {}
        self._keys: list[ProgrammeKey] = []
        self.keys_sha256: bytes | None = None
        """Of the sealed keys in use; None without keys."""
        self.holdings: list[Holding] = []
        """What can be decided now, in order."""
        self._to_open: SimpleQueue[str | Roster] = SimpleQueue()
        self._opened: SimpleQueue[tuple[str, Roster | HoldingRefused]] = SimpleQueue()
        self._worker: threading.Thread | None = None
        make_folder(self._state / FOLDER)

    def path(self, programme: str, suffix: str) -> Path:
        """Return where a programme's file lies; `suffix` is `roster` or `current`."""
        return self._state / FOLDER / f"{programme}.{suffix}"

    def load(self) -> list[HoldingRefused]:
        """Take in all that lies in the state folder; return what cannot be used."""
        refused = []
        try:
            self.take_keys()
        except HoldingRefused as error:
            refused.append(error)
        for programme in self._config.programmes:
            try:
                self.take_roster(programme)
            except HoldingRefused as error:
                refused.append(error)
        return refused

    def take_keys(self) -> None:
        """Use the sealed keys that lie in the state folder. Raises HoldingRefused."""
        path = self._state / KEYS
        try:
            if path.stat().st_size > KEYS_BYTES_MAX:
                raise HoldingRefused(f"{path} is too large for keys: fetch them again")
            sealed = path.read_bytes()
            opened = open_keys(sealed, self._config.reader, self.sealing_key)
        except FileNotFoundError:
            return
        except (OSError, SealBroken) as error:
            raise HoldingRefused(f"keys: {error}") from error
        self._keys = sorted(opened.keys, key=lambda key: -key.epoch)
        self.keys_sha256 = hashlib.sha256(sealed).digest()
        self._arrange()

    def take_roster(self, programme: str) -> None:
        """Use the roster that lies in the state folder, if one does; waits. Raises HoldingRefused.

        For the start, and where nobody waits: hashing a million rows takes 20 to 200 ms.
        """
        if (roster := self._open(programme)) is not None:  # it may have no rows
            self._use(programme, roster)

    def open_beside(self, programme: str) -> None:
        """Verify the roster that lies in the state folder beside this thread; see `adopt`."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="rosters", daemon=True)
            self._worker.start()
        self._to_open.put(programme)

    def adopt(self) -> list[HoldingRefused]:
        """Use what was verified since; return what cannot be used. Never waits."""
        refused = []
        while not self._opened.empty():
            programme, roster = self._opened.get()
            if isinstance(roster, HoldingRefused):
                refused.append(roster)
            else:
                self._use(programme, roster)
        return refused

    def _work(self) -> None:
        """Open what is named, and close what is no longer used, in a thread of its own."""
        while True:
            named = self._to_open.get()
            if isinstance(named, Roster):
                named.close()
                continue
            try:
                if (roster := self._open(named)) is not None:
                    self._opened.put((named, roster))
            except HoldingRefused as error:
                self._opened.put((named, error))

    def _open(self, programme: str) -> Roster | None:
        """Verify a roster, every byte; None when there is none. Raises HoldingRefused."""
        if programme not in self._config.programmes:
            raise HoldingRefused(f"{programme} is no programme of this place")
        path = self.path(programme, "roster")
        config = self._config
        try:
            rulebook(programme)
            return Roster.open(path, config.name.tenant, programme, config.place, self.fleet_key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise HoldingRefused(f"roster {programme}: {error}") from error

    def _use(self, programme: str, roster: Roster) -> None:
        former = self._rosters.get(programme)
        self._rosters[programme] = roster
        self._current[programme] = self._read_current(programme, roster)
        self._arrange()
        if former is not None:
            self._to_open.put(former)  # unmapped by the worker, at once or when it next begins

    def take_current(self, said: RosterCurrent) -> None:
        """Remember when the fleet said which version it wants.

        Raises HoldingRefused when that cannot be kept; it counts all the same until the next start.
        """
        if said.programme not in self._config.programmes:
            raise HoldingRefused(f"{said.programme} is no programme of this place")
        current = _Current(version=said.version, at_ms=said.at_ms)
        roster = self._rosters.get(said.programme)
        if roster is not None and roster.header.version == said.version:
            self._current[said.programme] = current
            self._arrange()
        path = self.path(said.programme, "current")
        beside = path.with_suffix(".new")
        try:
            beside.write_bytes(msgspec.json.encode(current))
            beside.replace(path)
        except OSError as error:
            raise HoldingRefused(f"{path} cannot be written: {error}") from error

    def _read_current(self, programme: str, roster: Roster) -> _Current:
        """Return what the fleet last said of this version; if nothing, its time of making."""
        built = _Current(version=roster.header.version, at_ms=roster.header.at_ms)
        try:
            kept = msgspec.json.decode(self.path(programme, "current").read_bytes(), type=_Current)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return built  # never said, or torn: the age is then rather too high than too low
        return kept if kept.version == built.version else built

    def _arrange(self) -> None:
        self.holdings = [
            Holding(rulebook(programme), roster, keys, self._current[programme].at_ms)
            for programme in self._config.programmes
            if (roster := self._rosters.get(programme)) is not None  # it may have no rows
            and (keys := self._keys_for(programme, roster.header.key_epoch))
        ]

    def _keys_for(self, programme: str, epoch: int) -> list[ProgrammeKey]:
        fitting = (key for key in self._keys if key.programme == programme and key.epoch <= epoch)
        return list(fitting)[:EPOCHS_MAX]

    def versions(self) -> dict[str, int]:
        """Return the roster version in use by programme."""
        return {holding.rulebook.name: holding.roster.header.version for holding in self.holdings}

    def schemes(self, technology: Technology, of: Holding | None = None) -> list[CardScheme]:
        """Return the schemes in use, in order, that fit a technology; of all programmes or one."""
        named = dict.fromkeys(
            scheme
            for holding in ([of] if of else self.holdings)
            for scheme in holding.roster.header.schemes
        )
        readable = (self._schemes[name] for name in named if name in self._schemes)
        return [scheme for scheme in readable if scheme.technology == technology]

    def moving_to(self, match: Match) -> CardScheme | None:
        """Return the scheme to which members move from a match's, if they do and we can read it."""
        moving = match.holding.roster.header.moving
        if moving is None or moving.from_scheme is not match.scheme:
            return None
        return self._schemes.get(moving.to_scheme)

    def look_up(self, scheme: Scheme, identifier: bytearray) -> Match:
        """Return the first programme that knows the card; if none does, the first programme.

        There must be at least one holding.
        """
        matches = (holding.match(scheme, identifier) for holding in self.holdings)
        first = next(matches)
        if first.member:
            return first
        return next((match for match in matches if match.member), first)


def _public_key(path: Path) -> ed25519.Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigRefused(f"{path}: the fleet's public key cannot be read: {error}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigRefused(f"{path} is no Ed25519 public key")
    return key


def _sealing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigRefused(f"{path}: the sealing key cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigRefused(f"{path} is no P-256 private key")
    return key
