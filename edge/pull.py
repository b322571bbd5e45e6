"""What the fleet wants this reader to hold: rosters, usage, keys and names, verified, in place.

Rules: only a signed message that is newer than the last is followed · a file is checked against its
signed hash and its own signature (how it comes: `edge.fetching`) · a failure leaves what was there,
says so in `twin/reported`, and is tried again later and later · readers do not all come at once ·
names that are not wanted any more are deleted.
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

import aiohttp
import msgspec

from edge.backoff import Backoff
from edge.config import Config
from edge.durable import PARTIAL, make_folder, remove_partial, replace_file, replacing
from edge.fetching import FetchFailed, Source, bring, download, open_session
from edge.identity import Identity
from edge.panel import (
    Condition,
    FromLink,
    KeysReady,
    NamesReady,
    RosterCurrent,
    RosterReady,
    UsageReady,
)
from wire.clock import Clock
from wire.entries import AtMs, Name
from wire.limits import (
    KEYS_BYTES_MAX,
    NAMES_BYTES_MAX,
    ROSTER_HEADER_BYTES_MAX,
    ROSTER_ROWS_MAX,
)
from wire.messages import Count, RosterHeld, RosterWanted, TwinDesired, UsageWanted
from wire.roster import ROSTER, ROW, Roster, RosterRefused
from wire.rows_delta import Base
from wire.usage import USAGE, USAGE_BYTES_MAX, UsageFile, UsageRefused, row_bytes

TWIN_FILE: Final = "twin.json"
FOLDER: Final = "rosters"
KEYS: Final = "keys.sealed"
NAMES: Final = "names.sealed"
"""Where `tap` looks for what is brought (edge.panel), in the state folder."""
ROSTER_BYTES_MAX: Final = ROSTER_HEADER_BYTES_MAX + ROSTER_ROWS_MAX * ROW.size + 64
"""112 MB: four million rows."""
TROUBLE_CHARACTERS_MAX: Final = 200
"""See wire.messages.TwinReported."""
JITTER_S: Final = 5.0
"""Before a newer version is fetched: 400 readers of a town then make 80 requests a second. A
reader that holds none does not wait."""
VERSIONS_MAX: Final = 4
"""Versions of a roster whose last wish is remembered: those that may still be in use."""
OTHER_HASH: Final = "what came has another hash than what is wanted"
RETRY_CAP_S: Final = 300.0
"""The rarest try: a roster's staleness is counted in hours."""

_log = logging.getLogger(__name__)


class SealedWanted(NamedTuple):
    """A file of this hash that only `tap` can open."""

    file: str
    sha256: bytes


SEALED: Final = {KEYS: ("/v1/keys", KEYS_BYTES_MAX), NAMES: ("/v1/names", NAMES_BYTES_MAX)}
"""Where sealed files come from, and how long they may be."""
Wanted = RosterWanted | UsageWanted | SealedWanted


class Fed(NamedTuple):
    """A usage file that lies in place: the fleet's time in it, and what its rows are."""

    at_ms: int
    rows_sha256: bytes
    row_bytes: int


class Twin(msgspec.Struct, forbid_unknown_fields=True):
    """The last desired state that was believed; kept over restarts, so that none is replayed."""

    v: Literal[1] = 1
    desired: TwinDesired | None = None
    said_ms: dict[Name, dict[Count, AtMs]] = {}
    """When the fleet last wanted a version of a programme's roster (its time), of the last few."""

    def take(self, desired: TwinDesired) -> bool:
        """Follow a verified message; False when it is not newer than the last."""
        if self.desired and desired.at_ms <= self.desired.at_ms:
            return False
        self.desired = desired
        for wanted in desired.rosters:
            said = {**self.said_ms.get(wanted.programme, {}), wanted.version: desired.at_ms}
            latest = sorted(said.items(), key=lambda one: one[1])[-VERSIONS_MAX:]
            self.said_ms[wanted.programme] = dict(latest)
        return True

    def held(self, versions: dict[str, int], now_ms: int) -> list[RosterHeld]:
        """Return what `tap` decides with, and how long ago the fleet last wanted just that."""
        return [
            RosterHeld(
                programme=programme,
                version=version,
                age_s=max(0, now_ms - self.said_ms.get(programme, {}).get(version, 0)) // 1000,
            )
            for programme, version in sorted(versions.items())
        ]


@dataclass
class Pull:
    """Makes the desired state true. `say` tells `tap`; `changed` is called when there is news."""

    config: Config
    identity: Identity
    clock: Clock
    say: Callable[[FromLink], bool]
    changed: Callable[[], None]
    draw: Callable[[], float] = random.random
    twin: Twin = field(default_factory=Twin)
    trouble: str = ""
    """What could not be done, for the operator; empty when all is done."""
    condition: Condition | None = None
    """Of the card half; None while it is not there."""
    _sha256: dict[str, bytes] = field(default_factory=dict)
    """Of the files that lie in place, by name."""
    _usage: dict[str, Fed] = field(default_factory=dict)
    """The usage files that lie in place, by name."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._state = Path(self.config.state)
        self._rosters = self._state / FOLDER
        self._backoff = Backoff(cap_s=RETRY_CAP_S, draw=self.draw)

    def start(self) -> None:
        """Read what is kept and remove what is half-done. Raises OSError."""
        make_folder(self._rosters)
        for folder in (self._state, self._rosters):
            remove_partial(folder)
        for name in SEALED:
            if (path := self._state / name).exists():
                self._sha256[name] = hashlib.sha256(path.read_bytes()).digest()
        for programme in self.config.programmes:
            path = self._rosters / f"{programme}.roster"
            with contextlib.suppress(FileNotFoundError, RosterRefused):  # then it is fetched
                roster = self._open(path, programme)
                self._sha256[path.name] = roster.sha256
                roster.close()
            with contextlib.suppress(FileNotFoundError, UsageRefused):
                path = self._rosters / f"{programme}.usage"
                self._usage[path.name] = self._fed(path, programme)
        kept = self._state / TWIN_FILE
        if kept.exists():
            try:
                self.twin = msgspec.json.decode(kept.read_bytes(), type=Twin)
            except msgspec.MsgspecError as error:
                _log.warning("%s is damaged and begun anew: %s", kept, error)
        if self.twin.desired:
            self._forget_names(self.twin.desired)

    def _forget_names(self, desired: TwinDesired) -> None:
        """Delete the names that this place is not to show any more."""
        if desired.names is None and NAMES in self._sha256:
            try:
                (self._state / NAMES).unlink(missing_ok=True)
            except OSError as error:
                self._tell(f"{NAMES}: {error}")
            else:
                del self._sha256[NAMES]

    def desire(self, desired: TwinDesired) -> bool:
        """Follow a verified desired state; False when it is no news."""
        if not self.twin.take(desired):
            return False
        try:
            replace_file(self._state / TWIN_FILE, msgspec.json.encode(self.twin))
        except OSError as error:
            self._tell(f"{TWIN_FILE}: {error}")
        self._forget_names(desired)
        self.settle()
        self._wake.set()
        return True

    def settle(self) -> None:
        """Tell `tap` which of its rosters are the wanted ones, and what lies ready for it."""
        if not (desired := self.twin.desired) or not (condition := self.condition):
            return
        for wanted in desired.rosters:
            if self._sha256.get(_file(wanted)) != wanted.sha256:
                continue
            if condition.rosters.get(wanted.programme) == wanted.version:
                self.say(RosterCurrent(wanted.programme, wanted.version, desired.at_ms))
            else:
                self.say(RosterReady(wanted.programme))
        for fed in desired.usage:
            if condition.usage.get(fed.programme, 0) < self._usage_ms(fed):
                self.say(UsageReady(fed.programme))
        if desired.keys not in (None, condition.keys) and self._sha256.get(KEYS) == desired.keys:
            self.say(KeysReady())
        if desired.names != condition.names and self._sha256.get(NAMES) == desired.names:
            self.say(NamesReady())

    async def run(self) -> None:
        """Fetch what is missing, whenever something is; for ever."""
        while True:
            self._wake.clear()
            missing = self._missing()
            wait_s = await self._fetch_all(missing) if missing else None
            if not missing:
                self._tell(self._misplaced())
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _missing(self) -> list[Wanted]:
        """Return what is wanted and not in place: keys first, which rosters need; names last."""
        if not (desired := self.twin.desired):
            return []
        missing: list[Wanted] = []
        if desired.keys and desired.keys != self._sha256.get(KEYS):
            missing.append(SealedWanted(KEYS, desired.keys))
        missing += [
            wanted
            for wanted in desired.rosters
            if wanted.programme in self.config.programmes
            and self._sha256.get(_file(wanted)) != wanted.sha256
        ]
        missing += [
            fed
            for fed in desired.usage
            if fed.programme in self.config.programmes and self._usage_ms(fed) < fed.at_ms
        ]
        if desired.names and desired.names != self._sha256.get(NAMES):
            missing.append(SealedWanted(NAMES, desired.names))
        return missing

    def _usage_ms(self, wanted: UsageWanted) -> int:
        """Return the fleet's time of the usage file that lies in place; 0: there is none."""
        held = self._usage.get(_file(wanted))
        return held.at_ms if held else 0

    def _misplaced(self) -> str:
        """Return what is wanted of this reader although its place has not got it."""
        wanted = self.twin.desired.rosters if self.twin.desired else []
        others = [one.programme for one in wanted if one.programme not in self.config.programmes]
        return f"not a programme of this reader: {', '.join(others)}" if others else ""

    async def _fetch_all(self, missing: list[Wanted]) -> float | None:
        """Fetch each; return how long to wait before the next try, None when all is in place."""
        trouble = ""
        if all(_name(one) in {**self._sha256, **self._usage} for one in missing):
            await asyncio.sleep(JITTER_S * self.draw())
        async with open_session(self.config, self.identity) as session:
            for one in missing:
                try:
                    await self._fetch(session, one)
                except (FetchFailed, aiohttp.ClientError, TimeoutError, OSError) as error:
                    trouble = trouble or f"{_name(one)}: {str(error) or type(error).__name__}"
                    if _name(one) == KEYS:
                        break  # a newer roster may know members only under the missing key
        self._tell(trouble)
        if trouble:
            return self._backoff.next_s()
        self._backoff.reset()
        return None

    def _tell(self, trouble: str) -> None:
        if trouble:
            _log.warning("%s", trouble)
        self.trouble = trouble[:TROUBLE_CHARACTERS_MAX]
        self.changed()

    async def _fetch(self, session: aiohttp.ClientSession, wanted: Wanted) -> None:
        if isinstance(wanted, SealedWanted):
            await self._fetch_sealed(session, wanted)
        elif isinstance(wanted, UsageWanted):
            await self._fetch_usage(session, wanted)
        else:
            await self._fetch_roster(session, wanted)
        self.settle()

    async def _fetch_sealed(self, session: aiohttp.ClientSession, wanted: SealedWanted) -> None:
        address, bytes_max = SEALED[wanted.file]
        with replacing(self._state / wanted.file) as file:
            await download(session, address, file, bytes_max)
            came = (self._state / (wanted.file + PARTIAL)).read_bytes()
            if hashlib.sha256(came).digest() != wanted.sha256:
                raise FetchFailed(OTHER_HASH)
        self._sha256[wanted.file] = wanted.sha256

    async def _fetch_roster(self, session: aiohttp.ClientSession, wanted: RosterWanted) -> None:
        address = f"/v1/rosters/{wanted.programme}/{wanted.version}"
        path = self._rosters / _file(wanted)
        held = self._sha256.get(path.name)
        await bring(
            Source(session, address, ROSTER, ROSTER_BYTES_MAX),
            path,
            Base(path, held, ROW.size) if held else None,
            functools.partial(self._verify, wanted),
        )
        self._sha256[path.name] = wanted.sha256

    def _verify(self, wanted: RosterWanted, came: Path) -> None:
        """Check a fetched roster as `tap` will. Raises FetchFailed."""
        try:
            roster = self._open(came, wanted.programme)
        except ValueError as error:
            raise FetchFailed(str(error)) from error
        version, sha256 = roster.header.version, roster.sha256
        roster.close()
        if version != wanted.version:
            raise FetchFailed(f"version {version} came where {wanted.version} was wanted")
        if sha256 != wanted.sha256:
            raise FetchFailed(OTHER_HASH)

    async def _fetch_usage(self, session: aiohttp.ClientSession, wanted: UsageWanted) -> None:
        path = self._rosters / _file(wanted)
        held = self._usage.get(path.name)
        self._usage[path.name] = await bring(
            Source(session, f"/v1/usage/{wanted.programme}", USAGE, USAGE_BYTES_MAX),
            path,
            Base(path, held.rows_sha256, held.row_bytes) if held else None,
            functools.partial(self._verify_usage, wanted),
        )

    def _verify_usage(self, wanted: UsageWanted, came: Path) -> Fed:
        """Check a fetched usage file as `tap` will; a newer one is welcome. Raises FetchFailed."""
        try:
            fed = self._fed(came, wanted.programme)
        except UsageRefused as error:
            raise FetchFailed(str(error)) from error
        if fed.at_ms < wanted.at_ms:
            raise FetchFailed(f"usage of {fed.at_ms} came where {wanted.at_ms} was wanted")
        return fed

    def _fed(self, path: Path, programme: str) -> Fed:
        """Return what a usage file says of itself, verified. Raises UsageRefused or OSError."""
        tenant, key = self.identity.name.tenant, self.identity.fleet_key
        file = UsageFile.open(path, tenant, programme, self.config.place, key)
        header = file.header
        file.close()
        return Fed(header.at_ms, header.rows_sha256, row_bytes(header.periods))

    def _open(self, path: Path, programme: str) -> Roster:
        tenant, key = self.identity.name.tenant, self.identity.fleet_key
        return Roster.open(path, tenant, programme, self.config.place, key)


def _file(wanted: RosterWanted | UsageWanted) -> str:
    kind = "usage" if isinstance(wanted, UsageWanted) else "roster"
    return f"{wanted.programme}.{kind}"


def _name(wanted: Wanted) -> str:
    return wanted.file if isinstance(wanted, SealedWanted) else _file(wanted)
