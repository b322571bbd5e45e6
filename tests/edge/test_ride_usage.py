"""What a cab counts of its rides and of those that it took back, behind whatever file it has."""

import itertools
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.history import rebuild
from edge.ride import Ref, Riding
from edge.usage import RIDES_KEPT, Held, OwnEntries, count
from programmes.rides import UNDER_WAY_MS
from tests.edge.journal_kit import READER, begin
from tests.edge.test_usage import NOON_MS, credential, tap, usage_file
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Cancel, ClockStep, Entry, JournalId, Ride, Rider, Shift, Start, Tap, Used

TAXI, YEAR, DAY = "taxi", "2026", "2026-06-03"
FIRST, LATER = JournalId("01" * 16), JournalId("02" * 16)
CARDS = 3
SYNCHRONISED = ClockState.SYNCHRONISED


def ride(*cards: int, yen: int = 50, **changes: Any) -> Ride:
    riders = [Rider(Scheme.COMMON_AP, 1, credential(card), subsidy_yen=yen) for card in cards]
    plain: dict[str, Any] = {
        "v": 1,
        "n": 1,
        "at_ms": NOON_MS,
        "mono_ms": 0,
        "clock": SYNCHRONISED,
        "programme": TAXI,
        "outcome": Outcome.ACCEPTED,
        "code": Code.OK,
        "shown": "taxi.settled",
        "riders": riders,
        "fare_yen": 10_000,
        "boarded_at_ms": NOON_MS,
    }
    return Ride(**(plain | changes))


def cancel(of: Ref, **changes: Any) -> Cancel:
    plain: dict[str, Any] = {
        "v": 1,
        "n": 1,
        "at_ms": NOON_MS,
        "mono_ms": 0,
        "clock": SYNCHRONISED,
        "programme": TAXI,
        "of_journal": of[0],
        "of_n": of[1],
        "why": "wrong-fare",
    }
    return Cancel(**(plain | changes))


def boards(card: int, at_ms: int = NOON_MS, **changes: Any) -> Tap:
    return tap(card, at_ms, programme=TAXI, rider_pays_yen=None, **changes)


def counted(held: Held | None, own: OwnEntries, card: int, period: str = YEAR) -> Used:
    return count([period], TAXI, [credential(card)], held, own)[period]


class OneCabAndItsFleet(RuleBasedStateMachine):
    """Rides and takings back arrive in any order; files come at any moment; the cab restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.names = itertools.count(1)
        self.folder = TemporaryDirectory()

    @initialize()
    def start(self) -> None:
        self.disk: dict[Ref, Entry] = {}
        self.ledger: set[Ref] = set()
        self.held: Held | None = None
        self.told: set[Ref] = set()
        """What the ledger had when the file in use was made."""
        self.files = 0
        self.restart()

    @rule()
    def restart(self) -> None:
        self.own, self.riding = OwnEntries(), Riding()
        for (journal, n), entry in self.disk.items():
            self.own.take(journal, n, entry)
            self.riding.take(journal, n, entry)
        self.journal = JournalId(f"{next(self.names):032x}")
        self.n = 0
        self.write(boards(1))

    def write(self, entry: Entry) -> None:
        self.n += 1
        self.disk[self.journal, self.n] = entry
        self.own.take(self.journal, self.n, entry)
        self.riding.take(self.journal, self.n, entry)

    @rule(card=st.integers(1, CARDS))
    def board(self, card: int) -> None:
        self.write(boards(card))

    @rule(cards=st.sets(st.integers(1, CARDS), min_size=1))
    def settle(self, cards: set[int]) -> None:
        self.write(ride(*cards))

    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(list(self.disk)))
        if self.riding.ride(ref):
            self.write(cancel(ref))
        assert self.riding.ride(ref) is None

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        self.ledger |= data.draw(st.sets(st.sampled_from(list(self.disk))))

    @rule()
    def receive(self) -> None:
        """A file comes; its sums have a ride, less it where both entries have arrived."""
        if self.held:
            self.held.file.close()
        self.told = set(self.ledger)
        totals: Counter[int] = Counter()
        for card in range(1, CARDS + 1):
            totals[card] = self._standing(card, self.told)
        marks: dict[JournalId, set[int]] = {}
        for journal, n in self.told:
            marks.setdefault(journal, set()).add(n)
        self.files += 1
        self.held = usage_file(Path(self.folder.name), self.files, totals, marks, False)

    def _standing(self, card: int, among: set[Ref]) -> int:
        """Count a card's rides among these entries that none of them takes back."""
        gone = {
            (JournalId(one.of_journal), one.of_n)
            for ref, one in self.disk.items()
            if ref in among and isinstance(one, Cancel)
        }
        return sum(
            rider.credential == credential(card)
            for ref, one in self.disk.items()
            if ref in among - gone and isinstance(one, Ride)
            for rider in one.riders
        )

    @invariant()
    def the_count_is_what_stands_by_file_and_disk_together(self) -> None:
        for card in range(1, CARDS + 1):
            used = counted(self.held, self.own, card)
            assert used.times == self._standing(card, set(self.disk)), card

    def teardown(self) -> None:
        if getattr(self, "held", None):
            self.held.file.close()  # type: ignore[union-attr]
        self.folder.cleanup()


OneCabAndItsFleet.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None
)
TestOneCabAndItsFleet = OneCabAndItsFleet.TestCase


# --- single cases ---------------------------------------------------------------------------------


def test_a_tap_counts_nothing_and_its_ride_counts_for_each_rider() -> None:
    own = OwnEntries()
    own.take(FIRST, 1, boards(1))
    own.take(FIRST, 2, boards(2))
    assert counted(None, own, 1) == Used()
    own.take(FIRST, 3, ride(1, 2, yen=500))
    for card in (1, 2):
        for period in (DAY, YEAR):
            assert counted(None, own, card, period) == Used(1, 500, 1)


def test_a_file_with_the_ride_and_not_yet_its_taking_back_is_corrected(tmp_path: Path) -> None:
    own = OwnEntries()
    own.take(FIRST, 1, ride(1))
    own.take(FIRST, 2, cancel((FIRST, 1)))
    assert counted(None, own, 1).times == 0
    held = usage_file(tmp_path, 1, Counter({1: 3}), {FIRST: {1}}, False)
    assert counted(held, own, 1).times == 2
    held.file.close()


def test_a_file_with_the_taking_back_and_not_yet_its_ride_counts_neither(tmp_path: Path) -> None:
    """Their batches came in the other order; the ledger waits for the ride."""
    own = OwnEntries()
    own.take(FIRST, 1, ride(1))
    own.take(FIRST, 2, cancel((FIRST, 1)))
    held = usage_file(tmp_path, 1, Counter({1: 3}), {FIRST: {2}}, False)
    assert counted(held, own, 1).times == 3
    held.file.close()


def test_a_ride_that_was_refused_counts_nothing_and_taking_it_back_gives_nothing() -> None:
    own = OwnEntries()
    own.take(FIRST, 1, ride(1))
    refused = {"outcome": Outcome.REFUSED, "code": Code.WRONG_PLACE}
    own.take(FIRST, 2, ride(1, yen=0, **refused))
    own.take(FIRST, 3, cancel((FIRST, 2)))
    assert counted(None, own, 1).times == 1


def test_what_is_taken_back_twice_or_was_no_ride_counts_once_or_not_at_all() -> None:
    own = OwnEntries()
    taken_back = [cancel((FIRST, 1)), cancel((FIRST, 1)), cancel((FIRST, 9))]
    entries: list[Entry] = [ride(1), ride(1), *taken_back]
    for n, entry in enumerate(entries, 1):
        own.take(FIRST, n, entry)
    assert counted(None, own, 1).times == 1


def test_rides_that_can_be_taken_back_are_bounded_and_the_oldest_goes_first() -> None:
    own, riding = OwnEntries(), Riding()
    for n in range(1, RIDES_KEPT + 2):
        own.take(FIRST, n, ride(1))
        riding.take(FIRST, n, ride(1))
    assert riding.ride((FIRST, 1)) is None
    assert riding.ride((FIRST, 2)) is not None
    own.take(FIRST, RIDES_KEPT + 2, cancel((FIRST, 1)))
    assert counted(None, own, 1).times == RIDES_KEPT + 1


def test_with_a_pruned_journal_its_rides_can_no_longer_be_taken_back_as_after_a_restart() -> None:
    own, riding = OwnEntries(), Riding()
    for taken in (own, riding):
        taken.take(FIRST, 1, ride(1))
        taken.take(LATER, 1, ride(2))
        taken.forget({FIRST})
    assert riding.ride((FIRST, 1)) is None
    assert riding.ride((LATER, 1)) is not None
    own.take(LATER, 2, cancel((FIRST, 1)))
    assert counted(None, own, 1).times == 0
    assert counted(None, own, 2).times == 1


def test_the_journals_give_back_who_is_aboard_what_counts_and_who_drives(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    shift = Shift(v=1, n=1, at_ms=NOON_MS, mono_ms=0, clock=SYNCHRONISED, began=True, driver="7")
    n = [journal.append(one)[0] for one in (shift, boards(1), ride(1), boards(2), boards(3))]
    journal.append(cancel((journal.id, n[2])))
    journal.append(cancel((journal.id, n[3]), why="removed"))
    own, riding = OwnEntries(), Riding()
    rebuild(tmp_path, READER, own, riding)
    assert list(riding.aboard(NOON_MS)) == [(journal.id, n[4])]
    assert riding.driver == "7"
    assert riding.ride((journal.id, n[2])) is None
    assert counted(None, own, 1).times == 0
    journal.close()


def test_a_card_stands_on_the_list_once_even_when_the_clock_goes_back() -> None:
    """His first ride was never settled; three hours on he boards again, and the clock is set."""
    riding = Riding()
    again_ms = NOON_MS + UNDER_WAY_MS + 1
    riding.take(FIRST, 1, boards(1))
    assert not riding.is_aboard([credential(1)], again_ms)
    riding.take(FIRST, 2, boards(2, again_ms, older_credential=credential(1)))
    assert list(riding.aboard(NOON_MS)) == [(FIRST, 2)]


def test_a_clock_that_is_set_after_another_boot_moves_nobody_who_boarded_before_it() -> None:
    riding = Riding()
    holdover = {"clock": ClockState.HOLDOVER}
    for n, (boot, at_ms) in enumerate([("a", NOON_MS), ("b", NOON_MS + 1000)], 1):
        plain = {"v": 1, "n": 1, "at_ms": at_ms, "mono_ms": 0, "clock": SYNCHRONISED}
        riding.take(FIRST, 2 * n - 1, Start(**plain, boot=boot, agent="1"))  # type: ignore[arg-type]
        riding.take(FIRST, 2 * n, boards(n, at_ms, **holdover))
    plain = {"v": 1, "n": 1, "at_ms": NOON_MS, "mono_ms": 0, "clock": SYNCHRONISED}
    riding.take(FIRST, 5, ClockStep(**plain, step_ms=3_600_000))  # type: ignore[arg-type]
    at = [one.at_ms for one in riding.aboard(NOON_MS).values()]
    assert at == [NOON_MS, NOON_MS + 1000 + 3_600_000]
