"""What a demo came to: journals against ledger, and what people saw against both.

Pure: rows and sightings in, findings out. Upheld: the ledger holds every journal entry by entry,
byte for byte, and nothing else; what anyone saw is in it exactly once, as they saw it; no card was
booked twice inside the repeat window; every number of every journal is there; the fleet misses
nothing either.
"""

import collections
import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from hw.sim.people import ATTENDANCE, TAXI
from wire.codes import Code, Outcome
from wire.entries import (
    Cancel,
    Entry,
    EntryRefused,
    JournalId,
    Press,
    Ride,
    Tap,
    chain,
    decode,
    genesis,
)

LISTED_MAX: Final = 5
"""Examples named for one kind of fault; the count says the rest."""
BY_RIDE: Final = frozenset({TAXI})
"""Programmes in which a ride books and a tap does not."""


class Identity(NamedTuple):
    """What an entry is called everywhere."""

    reader: str
    journal: str
    n: int

    def __str__(self) -> str:
        return f"{self.reader} {self.journal[:8]} #{self.n}"


class Row(NamedTuple):
    """One entry as a journal or the ledger holds it."""

    identity: Identity
    body: bytes
    hash: str
    """Of the chain after this entry, in hex, as its holder says."""


class OpenGap(NamedTuple):
    """What the fleet itself says that it misses: numbers `first` to `last` of one journal."""

    id: int
    reader: str
    journal: str
    first: int
    last: int
    missing: int
    cause: str
    """`not-arrived`, or `declared-lost` when the reader said so."""

    def __str__(self) -> str:
        return (
            f"gap {self.id} {self.reader} {self.journal[:8]} #{self.first} to #{self.last}, "
            f"{self.missing} missing, {self.cause}"
        )


class RideSum(NamedTuple):
    """What one company's rides come to."""

    rides: int = 0
    taken_back: int = 0
    subsidy_yen: int = 0
    """Of those that were not taken back."""


class Sighting(NamedTuple):
    """What people saw on a reader's page for one entry."""

    identity: Identity
    outcome: Outcome
    code: Code
    waited_ms: float | None = None
    """From holding the card to seeing the sentence; None when nobody held one (a press)."""
    stages_us: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Seen:
    """All that happened in front of the readers."""

    people: int
    """Who came to a reader by themselves."""
    presentations: int
    sightings: Sequence[Sighting]
    without_answer: int = 0
    """Presentations at which no sentence appeared in time (a reader was down)."""
    unexpected: Sequence[str] = ()
    """Answers that a person's card should not have got, in a sentence each."""
    events: Sequence[str] = ()
    """Kills and cuts."""
    riders: int = 0
    """Who came to a taxi."""


@dataclass(frozen=True)
class Findings:
    """What was found; each list holds the identities concerned."""

    in_journals: int
    in_ledger: int
    journals: int
    lost: list[Identity] = field(default_factory=list)
    """In a journal, not in the ledger."""
    changed: list[Identity] = field(default_factory=list)
    """In both, with other bytes."""
    foreign: list[Identity] = field(default_factory=list)
    """In the ledger, in no journal."""
    unchained: list[Identity] = field(default_factory=list)
    """In the ledger with bytes that do not give their hash."""
    twice: list[Identity] = field(default_factory=list)
    """In the ledger more than once."""
    gaps: list[Identity] = field(default_factory=list)
    """Numbers below the last one of a journal that the ledger has not got."""
    open_gaps: list[OpenGap] = field(default_factory=list)
    """What the fleet says that it misses, whether the books show it or not."""
    unkept: list[Identity] = field(default_factory=list)
    """Shown to people, but not in the ledger as they saw it."""
    doubled: list[Identity] = field(default_factory=list)
    """Booked although the same card was booked inside the repeat window."""
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    codes: dict[Code, int] = field(default_factory=dict)
    """Of refused taps."""
    presses: dict[str, int] = field(default_factory=dict)
    marks: dict[str, dict[str, int]] = field(default_factory=dict)
    """By reader of a school, how often each greeting of attendance was told."""
    rides: dict[str, RideSum] = field(default_factory=dict)
    """By reader, from the ledger's entries."""
    owed_yen: dict[str, int] = field(default_factory=dict)
    """By reader, from the fleet's rows for money, which its claims add up."""

    def faults(self) -> list[str]:
        """What is wrong, a sentence each; empty when the books balance."""
        kinds = (
            ("of the journals are not in the ledger", self.lost),
            ("have other bytes in the ledger than in the journal", self.changed),
            ("of the ledger are in no journal", self.foreign),
            ("of the ledger do not give their chain's hash", self.unchained),
            ("are in the ledger more than once", self.twice),
            ("are missing in the ledger's sequences", self.gaps),
            ("were seen by people but are not in the ledger as seen", self.unkept),
            ("book a card twice inside its repeat window", self.doubled),
        )
        said = [f"{len(found)} entries {what}: {_some(found)}" for what, found in kinds if found]
        summed = {reader: one.subsidy_yen for reader, one in self.rides.items()}
        if summed != self.owed_yen:
            said.append(f"rides add up to {summed}, the fleet's rows for money to {self.owed_yen}")
        if self.open_gaps:
            said.append(
                f"{len(self.open_gaps)} gaps are open at the fleet: {_some(self.open_gaps)}"
            )
        if unexplained := [gap for gap in self.open_gaps if not self._explains(gap)]:
            what = "of these are not explained by the journals and the ledger"
            said.append(f"{len(unexplained)} {what}: {_some(unexplained)}")
        return said

    def _explains(self, gap: OpenGap) -> bool:
        """True when the books miss as many numbers there as the fleet says."""
        absent = {*self.lost, *self.gaps}
        inside = sum(
            (reader, journal) == (gap.reader, gap.journal) and gap.first <= n <= gap.last
            for reader, journal, n in absent
        )
        return inside >= gap.missing


def _some(found: Sequence[Identity] | Sequence[OpenGap]) -> str:
    more = f" and {len(found) - LISTED_MAX} more" if len(found) > LISTED_MAX else ""
    return ", ".join(str(one) for one in found[:LISTED_MAX]) + more


def judge(
    journals: Iterable[Row],
    ledger: Iterable[Row],
    sightings: Iterable[Sighting],
    repeat_window_s: float,
    open_gaps: Iterable[OpenGap] = (),
    owed_yen: Mapping[str, int] = MappingProxyType({}),
) -> Findings:
    """Compare what the readers wrote, what the ledger holds and what people saw."""
    written = {row.identity: row for row in journals}
    rows = list(ledger)
    held = {row.identity: row for row in rows}
    counted = collections.Counter(row.identity for row in rows)
    entries = _entries(held)
    taps = {identity: one for identity, one in entries.items() if isinstance(one, Tap)}
    presses = [one for one in entries.values() if isinstance(one, Press)]
    return Findings(
        in_journals=len(written),
        in_ledger=len(rows),
        journals=len({identity[:2] for identity in written}),
        lost=sorted(written.keys() - held.keys()),
        changed=sorted(i for i in written.keys() & held.keys() if written[i] != held[i]),
        foreign=sorted(held.keys() - written.keys()),
        unchained=_unchained(held),
        twice=sorted(i for i, times in counted.items() if times > 1),
        gaps=_gaps(held),
        open_gaps=list(open_gaps),
        unkept=_unkept(sightings, entries),
        doubled=_doubled(taps, repeat_window_s),
        outcomes=collections.Counter(tap.outcome for tap in taps.values()),
        codes=collections.Counter(
            tap.code for tap in taps.values() if tap.outcome is Outcome.REFUSED
        ),
        presses=collections.Counter(press.button for press in presses),
        marks=_marks(taps),
        rides=_rides(entries),
        owed_yen=dict(owed_yen),
    )


def _unchained(held: Mapping[Identity, Row]) -> list[Identity]:
    """Work the chain out again from the bytes, as far as it has no hole."""
    wrong, tip, former = [], b"", None
    for identity, row in sorted(held.items()):
        if identity.n == 1:
            tip = genesis(identity.reader, JournalId(identity.journal))
        elif former != identity._replace(n=identity.n - 1):
            continue  # behind a hole, which is a fault of its own
        tip, former = chain(tip, row.body), identity
        if tip.hex() != row.hash:
            wrong.append(identity)
    return wrong


def _entries(held: Mapping[Identity, Row]) -> dict[Identity, Entry]:
    """Return what can be read; the bytes of the rest are compared all the same."""
    found = {}
    for identity, row in held.items():
        with contextlib.suppress(EntryRefused):
            found[identity] = decode(row.body)
    return found


def _marks(taps: Mapping[Identity, Tap]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for identity, tap in taps.items():
        if tap.outcome is Outcome.ACCEPTED and tap.programme == ATTENDANCE:
            told = found.setdefault(identity.reader, {})
            word = tap.shown.rpartition(".")[2]
            told[word] = told.get(word, 0) + 1
    return found


def _rides(entries: Mapping[Identity, Entry]) -> dict[str, RideSum]:
    """Add up the accepted rides of each reader, without those that it took back."""
    cancels = (one for one in entries.items() if isinstance(one[1], Cancel))
    taken = {
        Identity(identity.reader, cancel.of_journal, cancel.of_n)
        for identity, cancel in cancels
        if isinstance(cancel, Cancel)
    }
    found: dict[str, RideSum] = {}
    for identity, ride in entries.items():
        if isinstance(ride, Ride) and ride.outcome is Outcome.ACCEPTED:
            back, former = identity in taken, found.get(identity.reader, RideSum())
            yen = 0 if back else ride.subsidy_yen
            found[identity.reader] = RideSum(
                former.rides + 1, former.taken_back + back, former.subsidy_yen + yen
            )
    return found


def _gaps(held: Iterable[Identity]) -> list[Identity]:
    last: dict[tuple[str, str], int] = {}
    for reader, journal, n in held:
        last[reader, journal] = max(n, last.get((reader, journal), 0))
    have = set(held)
    every = (Identity(*journal, n) for journal, end in last.items() for n in range(1, end + 1))
    return sorted(identity for identity in every if identity not in have)


def _unkept(sightings: Iterable[Sighting], entries: Mapping[Identity, Entry]) -> list[Identity]:
    def kept(seen: Sighting) -> bool:
        entry = entries.get(seen.identity)
        if isinstance(entry, Press):
            return seen.outcome is Outcome.ACCEPTED
        if isinstance(entry, Tap | Ride):
            return (entry.outcome, entry.code) == (seen.outcome, seen.code)
        return False

    return sorted(seen.identity for seen in sightings if not kept(seen))


def _doubled(taps: dict[Identity, Tap], window_s: float) -> list[Identity]:
    """Accepted taps of one card, one reader and one direction, too close to the one before."""
    cards = collections.defaultdict(list)
    for identity, tap in taps.items():
        if tap.outcome is Outcome.ACCEPTED and tap.credential and tap.programme not in BY_RIDE:
            card = (identity.reader, tap.programme, tap.credential, tap.declared)
            cards[card].append((tap.at_ms, identity))
    return sorted(
        later[1]
        for booked in cards.values()
        for former, later in itertools.pairwise(sorted(booked))
        if later[0] - former[0] < window_s * 1000
    )


class _JournalLine(msgspec.Struct):
    journal: str
    n: int = 0
    hash: str = ""
    body: msgspec.Raw = msgspec.Raw()
    missing: tuple[int, int] | None = None


class _LedgerLine(msgspec.Struct):
    reader: str
    journal: str
    n: int
    hash: str
    body: str


def journal_rows(reader: str, lines: bytes) -> list[Row]:
    """Return what `kazasu-edge journal --json` printed. A number that is missing has no body.

    It shows an entry's contents; written compactly they are the entry's bytes again, or the
    chain's hash beside them does not fit.
    """
    rows = []
    for line in map(_journal_line.decode, lines.splitlines()):
        if line.missing:
            first, last = line.missing
            rows += [
                Row(Identity(reader, line.journal, n), b"", "") for n in range(first, last + 1)
            ]
        else:
            body = msgspec.json.encode(msgspec.json.decode(line.body))
            rows.append(Row(Identity(reader, line.journal, line.n), body, line.hash))
    return rows


def ledger_rows(lines: bytes) -> list[Row]:
    """Return what `kazasu-fleet ledger export` printed."""
    found = map(_ledger_line.decode, lines.splitlines())
    return [
        Row(Identity(line.reader, line.journal, line.n), line.body.encode(), line.hash)
        for line in found
    ]


_journal_line: Final = msgspec.json.Decoder(_JournalLine)
_ledger_line: Final = msgspec.json.Decoder(_LedgerLine)
