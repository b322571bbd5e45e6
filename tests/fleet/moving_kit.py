"""Cards at readers while members move between schemes: the agent's own decisions, without a radio.

A rider's card is the simulator's, asked command by command; the reader identifies, decides and
remembers with the agent's code and the very files that the fleet has built.
"""

import datetime
import random
from typing import Final

import msgspec
from msgspec.structs import replace

from edge.clock import Stamp
from edge.config import read_config
from edge.decide import Circumstances, decide, tap_entry
from edge.frontends import CardGone, Technology
from edge.history import History
from edge.identify import identify
from edge.roster import KEYS, Rosters
from edge.usage import Counted
from fleet import rosters
from fleet.roster_files import by_version, rows_path
from fleet.schema import card as card_table
from fleet.schema import member
from hw.sim.mynumber import ChipData, MyNumberCard
from programmes.rulebook import Place
from provisioning.keys import KeyRing
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import VirtualFleet, add_member, reader_of
from wire.clock import ClockState
from wire.codes import Code
from wire.credential import Credential, Scheme, credential
from wire.entries import Tap
from wire.registry import Registry

PASS: Final = "senior-pass"
OLD, NEW = Scheme.JPKI_AUTH, Scheme.COMMON_AP
APDUS_OF_ONE: Final = 2
"""Commands by which either scheme is read."""
DAY_MS: Final = 24 * 3_600_000


def chip(number: int) -> MyNumberCard:
    """Return a card that is told apart by a small number; always the same one."""
    return MyNumberCard(ChipData.drawn(random.Random(number), datetime.date(2026, 4, 1)))


def credential_of(fleet: VirtualFleet, number: int, scheme: Scheme) -> Credential:
    """Return what a card is in the senior pass."""
    data = chip(number).data
    serial = data.certificate_serial.to_bytes(data.certificate_serial.bit_length() // 8 + 1)
    identifier = {
        OLD: serial + f"{data.not_before:%y%m%d%H%M%S}Z".encode(),
        NEW: data.serial.encode(),
    }[scheme]
    ring = KeyRing.read(fleet.town.folder / "keys" / "programme-keys.json")
    return credential(ring.present(PASS).key, scheme, identifier)


def enrol(fleet: VirtualFleet, number: int, scheme: Scheme = OLD) -> None:
    """Take one member in, with one card, as it stood before the campaign."""
    code = add_member(fleet, str(number))
    with fleet.people.write() as connection:
        connection.execute(
            card_table.update()
            .where(card_table.c.credential == code)
            .values(credential=credential_of(fleet, number, scheme), scheme=scheme.value)
        )


def whose(fleet: VirtualFleet) -> dict[str, str]:
    """Return the registration number to which each credential belongs."""
    wanted = (
        card_table.select()
        .join(member, member.c.id == card_table.c.member_id)
        .with_only_columns(card_table.c.credential, member.c.registration_number)
    )
    with fleet.people.read() as connection:
        return {row.credential: row.registration_number for row in connection.execute(wanted)}


class HeldCard:
    """A card in the field that is torn away after some commands."""

    technology: Technology = "106B"
    about = ""
    speaks_apdu = True

    def __init__(self, held: MyNumberCard, apdus: int) -> None:
        self.sensed_id = bytes(4)
        self.times_us: dict[str, int] = {}
        self._files = held.chip.files
        self._apdus = apdus

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        if self._apdus == 0:
            raise CardGone("torn away")
        self._apdus -= 1
        return self._files.process(apdu)


class EmptyField:
    """What the card was torn away from."""

    waited_ns = 0

    def sense(self, technologies: object) -> None: ...

    def restart(self) -> None: ...

    def close(self) -> None: ...


class Rider:
    """A reader with what it holds, which may be old, and what it has not sent."""

    def __init__(self, fleet: VirtualFleet, name: str = "bus-1") -> None:
        self.fleet, self.name = fleet, name
        self.virtual = reader_of(fleet.town, name)
        self.config = read_config(fleet.town.folder / "readers" / name / "edge.toml")
        self.rosters = Rosters(self.config)
        self.history = History()
        self.journal = self.virtual.journal(at_ms=fleet.clock.now_ms())
        self.sent = 0
        registry = msgspec.json.decode(
            (fleet.town.folder / "fleet" / "registry.json").read_bytes(), type=Registry
        )
        (sealed,) = [one.keys_sealed for one in registry.readers if one.reader == self.virtual.name]
        self.rosters.path(PASS, "roster").parents[1].joinpath(KEYS).write_bytes(sealed)
        self.rosters.take_keys()

    def pull(self) -> int:
        """Take the roster that the fleet wants this reader to hold, built now; return its version.

        Without the fleet's word in between, as `link` would write it.
        """
        build(self.fleet)
        with self.fleet.store.read() as connection:
            latest = rosters.latest(connection, PASS)[self.config.place]
            kept = by_version(connection, PASS, self.config.place, latest.version)
        assert kept is not None
        rows = rows_path(self.fleet.config.state_folder, PASS, kept.rows_sha256).read_bytes()
        self.rosters.path(PASS, "roster").write_bytes(kept.head + rows)
        self.rosters.take_roster(PASS)
        return latest.version

    def tap(self, number: int, apdus: int = 99) -> Tap:
        """Hold a card for so many commands; return what was written down."""
        clock = self.fleet.clock
        held = HeldCard(chip(number), apdus)
        identified = identify(held, EmptyField(), self.rosters, clock, look_again=False)
        match, holding = identified.match, self.rosters.holdings[0]
        names = self.history.names(PASS, match.under) if match else ()
        booked = self.history.of(PASS, names, clock.now_ms())
        now = Circumstances(
            Stamp(clock.now_ms(), 0, ClockState.SYNCHRONISED),
            Place(self.config.place, "bus", "1"),
            "",
            "",
            "",
        )
        decision = decide(identified, holding, booked, Counted(), now)
        entry = tap_entry(PASS, identified, holding, decision, Counted(), now)
        entry = replace(entry, n=len(self.journal.entries) + 1)
        self.journal.write(entry)
        self.history.take(entry)
        return entry

    def send(self) -> None:
        """Send what has not been sent; all of it is taken in."""
        last = len(self.journal.entries)
        if self.sent < last:
            batch = self.journal.batch(self.sent + 1, last)
            self.fleet.take(self.virtual.message(batch))
            self.sent = last

    def close(self) -> None:
        """Let the roster's file go."""
        for holding in self.rosters.holdings:
            holding.roster.close()


def is_counted(tap: Tap) -> bool:
    """True for a tap that was accepted."""
    return tap.code is Code.OK
