"""A whole reader for tests: its keys, its rosters, its antenna, its card half, and a `link`.

Everything is real: nfcpy over `udp:`, the simulator's cards, the Unix socket, the files.
"""

import contextlib
import datetime
import hashlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edge.config import Config, read_config
from edge.journal import FOLDER, Follower, Kept, journals
from edge.names import NAMES
from edge.panel import (
    SOCKET_NAME,
    Condition,
    Counted,
    FromLink,
    FromTap,
    RosterReady,
    Shown,
)
from edge.presence import EMPTY_ROUNDS
from edge.tap import Tap
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, StaffToken
from hw.sim.mynumber import ChipData, MyNumberCard
from hw.sim.pn532 import PN532
from wire.clock import Clock, SystemClock
from wire.credential import Credential, Scheme, credential
from wire.entries import Tap as TapEntry
from wire.envelope import Signer
from wire.roster import ROW, Moving, RosterHeader, RosterRow, RuleTable, build_roster, sign_head
from wire.seal import GateNames, ProgrammeKey, ProgrammeKeys, seal_keys, seal_names

READER: Final = "kazasu-shi/bus-1"
PASS: Final = "senior-pass"
ATTENDANCE: Final = "attendance"
TAXI: Final = "taxi"
WAIT_S: Final = 10.0
"""A deadline for what takes milliseconds, on a machine with other work."""
OPEN_ROW: Final = RosterRow(Credential("0" * 32), "all", None, None, None)
ALL_DAY: Final = {"from_time": "00:00:00", "to_time": "23:59:59"}
"""So that no test of a taxi hangs on the hour of the day."""
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    PASS: {"rider_pays_yen": 50},
    ATTENDANCE: {},
    TAXI: ALL_DAY,
}
Said = TypeVar("Said", bound=FromTap)


def my_number_card(serial: int = 1, apdu_ms: float = 1, **more: Any) -> MyNumberCard:
    """Make a card that is told apart by a small number; by default one that thinks fast."""
    data = ChipData(
        serial=f"{serial:015}",
        municipality="13221",
        expires=datetime.date(2030, 2, 17),
        certificate_serial=0x10000000 + serial,
        not_before=datetime.datetime(2025, 10, 27, 3, 4, 5, tzinfo=datetime.UTC),
        not_after=datetime.datetime(2030, 2, 17, 3, 4, 5, tzinfo=datetime.UTC),
    )
    return MyNumberCard(data, apdu_ms=apdu_ms, **more)


def identifier(card: MyNumberCard | FeliCaCard | StaffToken, scheme: Scheme) -> bytes:
    """Say what a scheme is to read from a card, worked out from the card's own data."""
    if isinstance(card, MyNumberCard):
        data = card.data
        if scheme is Scheme.COMMON_AP:
            return data.serial.encode()
        serial = data.certificate_serial.to_bytes(data.certificate_serial.bit_length() // 8 + 1)
        return serial + f"{data.not_before:%y%m%d%H%M%S}Z".encode()
    return card.uid if isinstance(card, StaffToken) else card._idms[0x0003]


def _table(programme: str, **parameters: Any) -> RuleTable:
    return RuleTable(
        version=f"{programme}/2026-04",
        valid_from=datetime.date(2026, 4, 1),
        parameters={**PARAMETERS[programme], **parameters},
    )


@dataclass
class ReaderKit:
    """One reader's folder, as provisioning and `link` would leave it."""

    folder: Path
    config: Config
    fleet: Signer
    sealing: ec.EllipticCurvePrivateKey
    keys: dict[tuple[str, int], bytes] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return Path(self.config.state)

    def key(self, programme: str, epoch: int = 1) -> bytes:
        return self.keys.setdefault((programme, epoch), os.urandom(32))

    def give_keys(self, *epochs: tuple[str, int]) -> None:
        """Seal the keys of these programmes and epochs, or of all that were made."""
        keys = [
            ProgrammeKey(programme=programme, epoch=epoch, key=self.key(programme, epoch))
            for programme, epoch in epochs or self.keys
        ]
        sealed = seal_keys(
            ProgrammeKeys(v=1, keys=keys), self.config.reader, self.sealing.public_key()
        )
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / "keys.sealed").write_bytes(sealed)

    def give_names(self, programme: str, names: dict[str, str]) -> None:
        """Put sealed names, by credential, where `link` puts them."""
        body = GateNames(v=1, programme=programme, names=names)
        sealed = seal_names(body, self.config.reader, self.sealing.public_key())
        (self.state / NAMES).write_bytes(sealed)

    def credential(self, programme: str, scheme: Scheme, card: Any, epoch: int = 1) -> Credential:
        return credential(self.key(programme, epoch), scheme, identifier(card, scheme))

    def give_roster(
        self,
        programme: str,
        rows: Sequence[RosterRow],
        *,
        schemes: Sequence[Scheme] = (Scheme.COMMON_AP,),
        version: int = 1,
        epoch: int = 1,
        triage: bool = False,
        at_ms: int | None = None,
        rules: Sequence[RuleTable] | None = None,
        moving: Moving | None = None,
        **parameters: Any,
    ) -> None:
        """Put a signed roster where `link` puts it."""
        table = _table(programme, **parameters)
        header = RosterHeader(
            v=1,
            programme=programme,
            place=self.config.place,
            version=version,
            at_ms=time.time_ns() // 1_000_000 if at_ms is None else at_ms,
            key_epoch=epoch,
            schemes=list(schemes),
            categories=sorted({row.category for row in rows} | {"all"}),
            rules=list(rules or [table]),
            triage=triage,
            rows=0,
            rows_sha256=bytes(32),
            moving=moving,
        )
        self._give(programme, build_roster(header, rows, self.config.name.tenant, self.fleet))

    def give_packed(self, programme: str, packed: bytes, version: int) -> None:
        """Put a roster of rows that are packed already: all of one category."""
        header = RosterHeader(
            v=1,
            programme=programme,
            place=self.config.place,
            version=version,
            at_ms=time.time_ns() // 1_000_000,
            key_epoch=1,
            schemes=[Scheme.COMMON_AP],
            categories=["all"],
            rules=[_table(programme)],
            triage=False,
            rows=len(packed) // ROW.size,
            rows_sha256=hashlib.sha256(packed).digest(),
        )
        self._give(programme, sign_head(header, self.config.name.tenant, self.fleet) + packed)

    def _give(self, programme: str, data: bytes) -> None:
        folder = self.state / "rosters"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{programme}.new").write_bytes(data)
        (folder / f"{programme}.new").replace(folder / f"{programme}.roster")

    def enrol(
        self,
        *cards: Any,
        scheme: Scheme = Scheme.COMMON_AP,
        programme: str = PASS,
        **more: Any,
    ) -> None:
        """Give keys and a roster of a programme that knows these cards."""
        self.key(programme)
        self.give_keys()
        rows = [OPEN_ROW._replace(credential=self.credential(programme, scheme, c)) for c in cards]
        self.give_roster(programme, rows, **({"schemes": (scheme,)} | more))

    def entries(self) -> list[Kept]:
        """Read every entry of every journal, in order."""
        kept: list[Kept] = []
        for file in journals(self.state / FOLDER):
            with Follower(file, self.config.reader) as follower:
                kept += follower
        return kept

    def taps(self) -> list[TapEntry]:
        return [kept.entry for kept in self.entries() if isinstance(kept.entry, TapEntry)]


def make_reader(
    folder: Path,
    device: str,
    *,
    kind: str = "bus",
    programmes: Sequence[str] = (PASS,),
    technologies: Sequence[str] = ("106B",),
    **more: str | int,
) -> ReaderKit:
    """Write a reader's configuration and key files; `more` are further keys of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    fleet, sealing = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    (folder / "fleet.pub").write_bytes(
        fleet.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (folder / "sealing.key").write_bytes(
        sealing.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "edge.toml").write_text(
        f"""
reader = "{READER}"
place = "bus-1"
place_kind = "{kind}"
programmes = {list(programmes)}
front_end = "{device}"
technologies = {list(technologies)}
broker_host = "localhost"
broker_port = 8883
devices_url = "https://localhost:8443"
line = "1"
"""
        + "".join(f"{key} = {value!r}\n" for key, value in ({"page_port": 8080} | more).items())
    )
    return ReaderKit(folder, read_config(folder / "edge.toml"), Signer(fleet), sealing)


class Link:
    """The network half's end of the socket."""

    def __init__(self, state: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                self._socket.connect(str(state / SOCKET_NAME))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        self._buffer = b""
        self.heard: list[FromTap] = []

    def say(self, *said: FromLink) -> None:
        for one in said:
            self._socket.sendall(msgspec.json.encode(one) + b"\n")

    def _next(self, deadline: float) -> FromTap:
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the card half hung up")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        said: FromTap = msgspec.json.decode(line, type=FromTap)
        self.heard.append(said)
        return said

    def until(
        self, kind: type[Said], like: Callable[[Said], bool] = lambda _: True, within_s: float = 0
    ) -> Said:
        """Return the next message of a kind; raises TimeoutError when none comes in time."""
        deadline = time.monotonic() + (within_s or WAIT_S)
        while True:
            said = self._next(deadline)
            if isinstance(said, kind) and like(said):
                return said

    def shown(self, within_s: float = 0) -> Shown:
        return self.until(Shown, within_s=within_s)

    def silent_for(self, seconds: float) -> bool:
        """True when nothing is shown for so long."""
        try:
            self.shown(seconds)
        except TimeoutError:
            return True
        return False

    def settled(self) -> None:
        """Return when all that was said before has been acted on: a refusal answers at once."""
        self.say(RosterReady(programme="no-such-programme"))
        self.until(Counted)

    def ready(self) -> Condition:
        return self.until(Condition, lambda condition: condition.ready)

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def running(kit: ReaderKit, clock: Clock | None = None) -> Iterator[Link]:
    """Run the card half in a thread until the block ends; give a connected link."""
    tap = Tap(kit.config, clock or SystemClock())
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            tap.run()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            tap.close()

    thread = threading.Thread(target=serve)
    thread.start()
    link = Link(kit.state)
    try:
        yield link
    finally:
        tap.stop()
        link.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert not failed


class _NoCard:
    """Nothing in the field, but it counts how often the reader looked."""

    def __init__(self) -> None:
        self.looked: Counter[str] = Counter()

    def reset(self) -> None:
        pass

    def answer(self, technology: str, frame: bytes) -> None:
        self.looked[technology] += 1


def lift(antenna: Antenna | PN532) -> None:
    """Take the card away until the reader has noticed: EMPTY_ROUNDS full rounds without a card."""
    nothing = _NoCard()
    antenna.place(nothing)
    deadline = time.monotonic() + WAIT_S
    # The first look may belong to a round that had begun; each further one ends a full round.
    while max(nothing.looked.values(), default=0) < EMPTY_ROUNDS + 2:
        assert time.monotonic() < deadline, "the reader does not look for cards"
        time.sleep(0.001)
    antenna.remove()
