"""What a card has used of its allowance, as far as this reader knows: counted by fleet and reader.

The fleet's usage file says what its sums contain: numbers of this reader's journals. The reader
adds its own accepted entries that are not among them. Upheld: never twice, never not at all,
whenever the file was made, whatever was restarted, sent again or restored in between: nothing is
remembered of acknowledgements, only what the file says and what lies in the journals · a file is
verified beside the thread that decides · one older than the one held is not taken.

In the state folder: `rosters/{programme}.usage`, brought by `link`.
"""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from edge.config import Config
from edge.roster import FOLDER, HoldingRefused, Match
from programmes.bookings import Booking, bookings
from programmes.rulebook import Rulebook, RuleTableRefused
from wire.credential import Credential
from wire.entries import Cancel, Entry, JournalId, Ride, Used
from wire.envelope import PublicKey
from wire.roster import RuleTable
from wire.usage import Marks, UsageFile

SUFFIX: Final = "usage"
OWN_MAX: Final = 100_000
"""Own entries remembered: three months of a busy bus without a network, about 30 MB. Beyond it the
oldest are forgotten: the reader then rather accepts too much, and the city bears it."""
RIDES_KEPT: Final = 1_000
"""Rides that can still be taken back at this reader: two weeks of a busy taxi. Older ones the
office does."""
_NOTHING: Final = Used()


class Own(NamedTuple):
    """What one entry of this reader counts for a card; below zero where it takes a ride back."""

    journal: JournalId
    n: int
    periods: tuple[str, ...]
    used: Used
    of: tuple[JournalId, int] | None = None
    """The ride that is taken back."""


class OwnEntries:
    """What counts in this reader's journals, by programme and credential: taps, or rides.

    What is forgotten is what is removed from the disk, so a restart changes nothing.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], deque[Own]] = {}
        self._written: deque[tuple[str, str]] = deque()
        self._place: dict[JournalId, int] = {}
        self._rides: dict[tuple[JournalId, int], Ride] = {}

    def note(self, journal: JournalId) -> None:
        """Remember that this journal stands behind all that were noted before."""
        self._place.setdefault(journal, len(self._place))

    def take(self, journal: JournalId, n: int, entry: Entry) -> None:
        """Remember an entry if it counts."""
        self.note(journal)
        for booking in bookings(entry):
            self._add(booking, Own(journal, n, booking.periods, booking.used))
        if isinstance(entry, Ride):
            self._rides[journal, n] = entry
            if len(self._rides) > RIDES_KEPT:
                del self._rides[next(iter(self._rides))]
        elif isinstance(entry, Cancel):
            of = JournalId(entry.of_journal), entry.of_n
            taken_back = self._rides.pop(of, None)
            for booking in bookings(taken_back) if taken_back else ():
                undone = booking.taken_back()
                self._add(undone, Own(journal, n, undone.periods, undone.used, of))

    def _add(self, booking: Booking, own: Own) -> None:
        key = (booking.programme, booking.credential)
        self._of.setdefault(key, deque()).append(own)
        self._written.append(key)
        if len(self._written) > OWN_MAX:
            self._forget_oldest()

    def forget(self, journals: Collection[JournalId]) -> None:
        """Forget journals that were removed from the disk; they are the oldest."""
        while self._written and self._of[self._written[0]][0].journal in journals:
            self._forget_oldest()
        self._rides = {ref: ride for ref, ride in self._rides.items() if ref[0] not in journals}

    def _forget_oldest(self) -> None:
        key = self._written.popleft()
        self._of[key].popleft()
        if not self._of[key]:
            del self._of[key]

    def of(self, programme: str, credentials: Iterable[str]) -> list[Own]:
        """Return a card's entries under any of its credentials."""
        return [
            one for credential in dict.fromkeys(credentials)
            for one in self._of.get((programme, credential), ())
        ]  # fmt: skip

    def is_before(self, journal: JournalId, others: Iterable[str]) -> bool:
        """True when a journal stands before all of these that this reader wrote, if any."""
        known = [place for one in others if (place := self._place.get(JournalId(one))) is not None]
        return bool(known) and self._place[journal] < min(known)

    def __len__(self) -> int:
        return len(self._written)


class Counted(NamedTuple):
    """What a decision rests on: by period, and how old the fleet's part is (None: there is none).

    Both are empty where no limit is in force.
    """

    used: Mapping[str, Used] = {}
    age_s: int | None = None


class Held:
    """A usage file in use, with this reader's own marks in it."""

    def __init__(self, file: UsageFile, reader: str) -> None:
        self.file: Final = file
        self.at_ms: Final = file.header.at_ms
        self._marks: Final = file.header.marks.get(reader, Marks({}))

    def includes(self, one: Own, own: OwnEntries) -> bool:
        """True when the file's sums contain this entry.

        A ride is taken back in them once both entries have arrived.
        """
        has = self._has(one.journal, one.n, own)
        return has and (one.of is None or self._has(*one.of, own))

    def _has(self, journal: JournalId, n: int, own: OwnEntries) -> bool:
        """True when an entry has arrived.

        A journal that is not named has never arrived, or was left out for its age: then it stands
        before the oldest that is named.
        """
        named = self._marks.journals
        spans = named.get(journal)
        if spans is None:
            return self._marks.left_out and own.is_before(journal, named)
        return any(first <= n <= last for first, last in spans)

    def find(self, credentials: Iterable[str]) -> Mapping[str, Used]:
        """Return the fleet's sums for a card; nothing for a member who is far from any limit."""
        for credential in credentials:
            if (found := self.file.find(Credential(credential))) is not None:
                return found
        return {}


class Usage:
    """The usage files that this reader holds, by programme."""

    def __init__(self, config: Config, fleet_key: PublicKey) -> None:
        self._config, self._key = config, fleet_key
        self._folder = Path(config.state) / FOLDER
        self._held: dict[str, Held] = {}
        self._to_open: SimpleQueue[str] = SimpleQueue()
        self._opened: SimpleQueue[tuple[str, UsageFile] | HoldingRefused] = SimpleQueue()
        self._worker: threading.Thread | None = None

    def load(self) -> list[HoldingRefused]:
        """Take in what lies in the state folder; return what cannot be used."""
        for programme in self._config.programmes:
            self._open(programme)
        return self.adopt()

    def open_beside(self, programme: str) -> None:
        """Verify the file that lies in the state folder beside this thread; see `adopt`."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="usage", daemon=True)
            self._worker.start()
        self._to_open.put(programme)

    def adopt(self) -> list[HoldingRefused]:
        """Use what was verified since; return what cannot be used. Never waits."""
        refused = []
        while not self._opened.empty():
            opened = self._opened.get()
            if isinstance(opened, HoldingRefused):
                refused.append(opened)
            else:
                self._use(*opened)
        return refused

    def _work(self) -> None:
        while True:
            self._open(self._to_open.get())

    def _open(self, programme: str) -> None:
        """Verify one file, every byte."""
        config = self._config
        path = self._folder / f"{programme}.{SUFFIX}"
        try:
            if programme not in config.programmes:
                raise HoldingRefused(f"{programme} is no programme of this place")
            file = UsageFile.open(path, config.name.tenant, programme, config.place, self._key)
            self._opened.put((programme, file))
        except FileNotFoundError:
            return
        except HoldingRefused as error:
            self._opened.put(error)
        except (OSError, ValueError) as error:
            self._opened.put(HoldingRefused(f"usage {programme}: {error}"))

    def _use(self, programme: str, file: UsageFile) -> None:
        former = self._held.get(programme)
        if former is not None and file.header.at_ms <= former.at_ms:
            file.close()
            return
        self._held[programme] = Held(file, self._config.reader)
        if former is not None:
            former.file.close()

    def held_ms(self) -> dict[str, int]:
        """Return the fleet's time of each file in use, by programme."""
        return {programme: held.at_ms for programme, held in self._held.items()}

    def of(self, match: Match | None, own: OwnEntries, at_ms: int) -> Counted:
        """Return what a member's card has used before now, in the periods that are limited."""
        if match is None or match.member is None:
            return Counted()
        book, rules = match.holding.rulebook, match.holding.roster.header.rules
        limits = _limits(book, rules, at_ms)
        if not limits:
            return Counted()
        held = self._held.get(book.name)
        total = count(limits, book.name, match.under, held, own)
        return Counted(total, max(0, at_ms - held.at_ms) // 1000 if held else None)


def _limits(book: Rulebook, rules: Sequence[RuleTable], at_ms: int) -> Collection[str]:
    try:
        return book.near(at_ms, rules) if book.near else ()
    except RuleTableRefused:
        return ()


def count(
    periods: Iterable[str],
    programme: str,
    credentials: Sequence[str],
    held: Held | None,
    own: OwnEntries,
) -> dict[str, Used]:
    """Return the fleet's sums and, added to them, what they do not contain of the reader's own."""
    fleets = held.find(credentials) if held else {}
    total = {period: fleets.get(period, _NOTHING) for period in periods}
    for one in own.of(programme, credentials):
        if held is None or not held.includes(one, own):
            for period in one.periods:
                if period in total:
                    total[period] = _with(total[period], one.used)
    return total


def _with(used: Used, own: Used) -> Used:
    """Return the sum, never below nothing: a ride may be forgotten before its taking back."""
    times, yen, of_own = used.times + own.times, used.yen + own.yen, used.own + own.times
    return Used(max(0, times), max(0, yen), max(0, of_own))
