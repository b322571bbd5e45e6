"""The fleet's count and the reader's own behind it: never twice, never not at all."""

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.history import rebuild
from edge.journal import journals
from edge.roster import FOLDER, HoldingRefused, Match, Rosters
from edge.usage import OWN_MAX, Counted, Held, OwnEntries, Usage, count
from tests.edge.journal_kit import READER, begin
from tests.edge.reader_kit import ReaderKit, identifier, make_reader, my_number_card
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential, Scheme
from wire.entries import JournalId, Tap, Used
from wire.envelope import Signer
from wire.usage import Marks, UsageFile, UsageHeader, UsageRow, build_usage, pack_usage

PASS, YEAR, PLACE = "senior-pass", "2026", "bus-1"
TENANT = READER.partition("/")[0]
NOON_MS = 1_780_455_600_000
"""2026-06-03 12:00 in Japan."""
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BY = Signer(KEY)
CARDS = 3
Identity = tuple[JournalId, int]


def credential(card: int) -> Credential:
    return Credential(f"{card:032x}")


def tap(card: int, at_ms: int = NOON_MS, **changes: Any) -> Tap:
    plain = Tap(
        v=1, n=1, at_ms=at_ms, mono_ms=0, clock=ClockState.SYNCHRONISED, programme=PASS,
        outcome=Outcome.ACCEPTED, code=Code.OK, shown="x", credential=credential(card),
        rider_pays_yen=50,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def spans(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Write numbers as the ledger does: sorted, disjoint, both ends included."""
    found: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if found and found[-1][1] == n - 1:
            found[-1] = (found[-1][0], n)
        else:
            found.append((n, n))
    return found


def usage_file(
    folder: Path,
    at_ms: int,
    sums: Counter[int],
    accounted: dict[JournalId, set[int]],
    left_out: bool = False,
) -> Held:
    """Make a file as the fleet does, and take it in as the reader does."""
    marks = Marks({journal: spans(some) for journal, some in accounted.items()}, left_out)
    header = UsageHeader(
        v=1, programme=PASS, place=PLACE, at_ms=at_ms, periods=[YEAR],
        marks={READER: marks}, rows=0, rows_sha256=hashlib.sha256().digest(),
    )  # fmt: skip
    rows = [UsageRow(credential(card), {YEAR: Used(times)}) for card, times in sums.items()]
    path = folder / "senior-pass.usage"
    path.write_bytes(build_usage(header, pack_usage(rows, [YEAR]), TENANT, BY))
    return Held(UsageFile.open(path, TENANT, PASS, PLACE, KEY.public_key()), READER)


def counted(held: Held | None, own: OwnEntries, *cards: int) -> Used:
    return count([YEAR], PASS, [credential(card) for card in cards], held, own)[YEAR]


class Snapshot:
    """What the ledger held when a file was made."""

    def __init__(self, number: int, ledger: dict[Identity, int], elsewhere: Counter[int]) -> None:
        self.number = number
        self.own = dict(ledger)
        self.totals = elsewhere + Counter(card for card in ledger.values() if card)


class OneReaderAndItsFleet(RuleBasedStateMachine):
    """A reader writes and restarts; its entries arrive in any order; files come at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.names = itertools.count(1)
        self.folder = TemporaryDirectory()

    @initialize()
    def start(self) -> None:
        self.disk: dict[JournalId, list[int]] = {}
        """Journals in their order; each entry's card, 0 for an entry that counts nothing."""
        self.all: dict[Identity, int] = {}
        self.ledger: dict[Identity, int] = {}
        self.elsewhere: Counter[int] = Counter()
        """Rides on other readers that the ledger has."""
        self.backup: tuple[dict[Identity, int], Counter[int]] = ({}, Counter())
        self.pruned: set[Identity] = set()
        self.made: list[Snapshot] = []
        self.held: Held | None = None
        self.rests_on: Snapshot | None = None
        self.files = 0
        self.own = OwnEntries()
        self.begin_journal()

    def begin_journal(self) -> None:
        self.journal = JournalId(f"{next(self.names):032x}")
        self.disk[self.journal] = []
        self.write(0)

    def write(self, card: int) -> None:
        cards = self.disk[self.journal]
        cards.append(card)
        self.all[self.journal, len(cards)] = card
        entry = tap(card) if card else tap(1, outcome=Outcome.REFUSED, code=Code.EXPIRED)
        self.own.take(self.journal, len(cards), entry)

    @rule(card=st.integers(1, CARDS))
    def ride(self, card: int) -> None:
        self.write(card)

    @rule()
    def refuse(self) -> None:
        self.write(0)

    @rule()
    def restart(self) -> None:
        """The agent starts again: what it knows is what lies on the disk, and a new journal."""
        self.own = OwnEntries()
        for journal, cards in self.disk.items():
            self.own.note(journal)
            for n, card in enumerate(cards, 1):
                if card:
                    self.own.take(journal, n, tap(card))
        self.begin_journal()

    @rule(card=st.integers(1, CARDS))
    def ride_elsewhere(self, card: int) -> None:
        self.elsewhere[card] += 1

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """A run of any journal's entries is committed, late, early or again."""
        journal = data.draw(st.sampled_from(list(self.disk)))
        first = data.draw(st.integers(1, len(self.disk[journal])))
        last = data.draw(st.integers(first, len(self.disk[journal])))
        for n in range(first, last + 1):
            self.ledger[journal, n] = self.disk[journal][n - 1]

    @rule()
    def everything_arrives(self) -> None:
        self.ledger |= {
            (journal, n): card
            for journal, cards in self.disk.items()
            for n, card in enumerate(cards, 1)
        }

    @rule()
    def back_up(self) -> None:
        self.backup = dict(self.ledger), Counter(self.elsewhere)

    @precondition(lambda self: self.pruned <= self.backup[0].keys())
    @rule()
    def restore(self) -> None:
        """The ledger goes back, but not behind what its readers can still send."""
        self.ledger, self.elsewhere = dict(self.backup[0]), Counter(self.backup[1])

    @rule()
    def snapshot(self) -> None:
        self.made.append(Snapshot(len(self.made), self.ledger, self.elsewhere))

    @precondition(lambda self: self.made)
    @rule(data=st.data(), few=st.booleans())
    def receive(self, data: st.DataObject, few: bool) -> None:
        """Any file comes, an old one too; one older than the one held is not taken."""
        shot = data.draw(st.sampled_from(self.made))
        if self.rests_on and shot.number <= self.rests_on.number:
            return
        if not self.pruned <= shot.own.keys():
            return  # a file of before a week ago: it is stale, and the programme says what then
        marks: dict[JournalId, set[int]] = {}
        for journal, n in shot.own:
            marks.setdefault(journal, set()).add(n)
        left_out = few and self._leave_out_old(marks)
        if self.held:
            self.held.file.close()
        folder = Path(self.folder.name)
        self.held = usage_file(folder, shot.number + 1, shot.totals, marks, left_out)
        self.rests_on = shot

    def _leave_out_old(self, marks: dict[JournalId, set[int]]) -> bool:
        """Journals at the beginning that are all there are left out, while the next is named.

        A reader delivers them in order; one that never came stands behind those of weeks ago.
        """
        left_out = False
        every = sorted({journal for journal, _ in self.all})
        for journal, following in itertools.pairwise(every):
            whole = {n for name, n in self.all if name == journal}
            if marks.get(journal) != whole or following not in marks:
                break
            del marks[journal]
            left_out = True
        return left_out

    @rule()
    def prune(self) -> None:
        """The oldest journal goes once the ledger has it and a file in use says so."""
        oldest = next(iter(self.disk))
        numbers = {(oldest, n) for n in range(1, len(self.disk[oldest]) + 1)}
        if oldest == self.journal or not self.rests_on or not numbers <= self.rests_on.own.keys():
            return
        del self.disk[oldest]
        self.pruned |= numbers
        self.own.forget({oldest})

    @invariant()
    def the_count_is_the_files_and_ones_own_that_it_has_not_got(self) -> None:
        for card in range(1, CARDS + 1):
            told = self.rests_on.totals[card] if self.rests_on else 0
            contained = self.rests_on.own if self.rests_on else {}
            own = sum(
                1 for identity, who in self.all.items()
                if who == card and identity not in contained
            )  # fmt: skip
            assert counted(self.held, self.own, card) == Used(told + own, 50 * own, own)

    def teardown(self) -> None:
        if getattr(self, "held", None):
            self.held.file.close()  # type: ignore[union-attr]
        self.folder.cleanup()


OneReaderAndItsFleet.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None
)
TestOneReaderAndItsFleet = OneReaderAndItsFleet.TestCase


# --- single cases ---------------------------------------------------------------------------------


def test_the_journals_on_the_disk_give_back_what_counts(tmp_path: Path) -> None:
    running = OwnEntries()
    for cards in ((1, 2), (1,)):
        journal = begin(tmp_path)
        for card in cards:
            n, _ = journal.append(tap(card))
            running.take(journal.id, n, tap(card))
        journal.close()
    read = OwnEntries()
    rebuild(tmp_path, READER, read)
    assert [counted(None, read, card).times for card in (1, 2, 3)] == [2, 1, 0]
    for card in (1, 2):
        assert read.of(PASS, [credential(card)]) == running.of(PASS, [credential(card)])
    gone = {journals(tmp_path)[0].journal}
    read.forget(gone)
    assert [counted(None, read, card).times for card in (1, 2)] == [1, 0]


def test_a_card_whose_key_rolled_over_counts_what_it_rode_before() -> None:
    own, journal = OwnEntries(), JournalId("ab" * 16)
    own.take(journal, 2, tap(1))
    own.take(journal, 3, tap(2, older_credential=credential(1)))
    assert counted(None, own, 2, 1).times == 2
    assert counted(None, own, 2, 2, 1).times == 2


def test_a_file_tells_the_members_sum_under_either_of_a_cards_credentials(tmp_path: Path) -> None:
    held = usage_file(tmp_path, 1, Counter({1: 700}), {})
    assert counted(held, OwnEntries(), 2, 1) == Used(700)
    held.file.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": Outcome.REPEAT, "code": Code.REPEAT},
        {"outcome": Outcome.REFUSED, "code": Code.USED_UP},
        {"programme": "attendance"},
        {"programme": "not-known-here"},
        {"credential": None},
        {"at_ms": 1_806_505_200_000},
    ],
    ids=["repeat", "refused", "not counted", "unknown", "no card", "next year"],
)
def test_what_books_no_ride_of_this_year_does_not_count(changes: dict[str, Any]) -> None:
    own = OwnEntries()
    own.take(JournalId("ab" * 16), 2, tap(1, **changes))
    assert counted(None, own, 1) == Used()


def test_a_journal_that_the_ledger_never_heard_of_counts_however_old_it_is(tmp_path: Path) -> None:
    own, first, second = OwnEntries(), JournalId("01" * 16), JournalId("02" * 16)
    own.take(first, 2, tap(1))
    own.take(second, 2, tap(1))
    held = usage_file(tmp_path, 1, Counter(), {first: {1}})
    assert counted(held, own, 1).times == 2
    held = usage_file(tmp_path, 2, Counter({1: 1}), {second: {1, 2}})
    assert counted(held, own, 1).times == 2  # a later one came first


def test_what_stands_in_a_hole_is_not_contained(tmp_path: Path) -> None:
    own, journal = OwnEntries(), JournalId("01" * 16)
    for n in range(1, 4):
        own.take(journal, n, tap(1))
    held = usage_file(tmp_path, 1, Counter({1: 5}), {journal: {1, 3}})
    assert counted(held, own, 1) == Used(6, 50, 1)
    held.file.close()


def test_a_journal_that_was_left_out_for_its_age_is_contained(tmp_path: Path) -> None:
    own, first, second = OwnEntries(), JournalId("01" * 16), JournalId("02" * 16)
    own.take(first, 2, tap(1))
    own.take(second, 2, tap(1))
    held = usage_file(tmp_path, 1, Counter({1: 2}), {second: {1, 2}}, left_out=True)
    assert counted(held, own, 1) == Used(2)
    held = usage_file(tmp_path, 2, Counter({1: 1}), {first: {1, 2}}, left_out=True)
    assert counted(held, own, 1).times == 2  # the second stands behind what is named
    held = usage_file(tmp_path, 3, Counter(), {JournalId("09" * 16): {1}}, left_out=True)
    assert counted(held, own, 1).times == 2  # a fresh disk in the place of another one


def test_memory_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    own, journal = OwnEntries(), JournalId("ab" * 16)
    for n in range(OWN_MAX + 2):
        own.take(journal, n + 1, tap(1 if n < 2 else 2))
    assert len(own) == OWN_MAX
    assert counted(None, own, 1) == Used()


# --- the files in the state folder ----------------------------------------------------------------

CARD = my_number_card(1)


@pytest.fixture
def kit(tmp_path: Path) -> ReaderKit:
    made = make_reader(tmp_path, "udp:127.0.0.1:1", programmes=(PASS,))
    made.enrol(CARD, rides_per_year=3)
    return made


def give(kit: ReaderKit, at_ms: int, times: int, by: Signer | None = None) -> None:
    """Put a usage file where `link` puts it."""
    header = UsageHeader(
        v=1, programme=PASS, place=kit.config.place, at_ms=at_ms, periods=[YEAR],
        marks={}, rows=0, rows_sha256=bytes(32),
    )  # fmt: skip
    row = UsageRow(kit.credential(PASS, Scheme.COMMON_AP, CARD), {YEAR: Used(times)})
    packed = pack_usage([row], [YEAR])
    path = kit.state / FOLDER / "senior-pass.usage"
    new = path.with_suffix(".new")
    new.write_bytes(build_usage(header, packed, kit.config.name.tenant, by or kit.fleet))
    new.replace(path)


def held(kit: ReaderKit) -> tuple[Usage, Match]:
    rosters = Rosters(kit.config)
    assert rosters.load() == []
    match = rosters.look_up(Scheme.COMMON_AP, bytearray(identifier(CARD, Scheme.COMMON_AP)))
    return Usage(kit.config, rosters.fleet_key), match


def adopted(usage: Usage) -> list[HoldingRefused]:
    """Wait for what is verified beside, as a card half that looks between two cards."""
    deadline, before = time.monotonic() + 10, usage.held_ms()
    while True:
        if (refused := usage.adopt()) or usage.held_ms() != before:
            return refused
        assert time.monotonic() < deadline, "nothing was verified"
        time.sleep(0.001)


def test_a_reader_without_a_file_counts_its_own_and_says_so(kit: ReaderKit) -> None:
    usage, match = held(kit)
    assert usage.load() == []
    own = OwnEntries()
    assert usage.of(match, own, NOON_MS) == Counted({YEAR: Used()}, None)
    own.take(JournalId("ab" * 16), 2, tap(1, credential=match.credential))
    assert usage.of(match, own, NOON_MS) == Counted({YEAR: Used(1, 50, 1)}, None)


def test_a_file_is_verified_beside_and_its_age_is_known(kit: ReaderKit) -> None:
    usage, match = held(kit)
    give(kit, NOON_MS - 90_000, 2)
    usage.open_beside(PASS)
    assert adopted(usage) == []
    assert usage.held_ms() == {PASS: NOON_MS - 90_000}
    assert usage.of(match, OwnEntries(), NOON_MS) == Counted({YEAR: Used(2)}, 90)
    again, _ = held(kit)
    assert again.load() == []
    assert again.held_ms() == usage.held_ms()


def test_a_file_older_than_the_one_held_is_not_taken(kit: ReaderKit) -> None:
    usage, match = held(kit)
    give(kit, NOON_MS, 2)
    assert usage.load() == []
    give(kit, NOON_MS - 1, 1)
    assert usage.load() == []
    assert usage.of(match, OwnEntries(), NOON_MS) == Counted({YEAR: Used(2)}, 0)


def test_a_file_that_another_signed_is_refused_and_the_former_stays(kit: ReaderKit) -> None:
    usage, match = held(kit)
    give(kit, NOON_MS, 2)
    assert usage.load() == []
    give(kit, NOON_MS + 1, 0, by=BY)
    usage.open_beside(PASS)
    assert [type(refused) for refused in adopted(usage)] == [HoldingRefused]
    assert usage.of(match, OwnEntries(), NOON_MS).used == {YEAR: Used(2)}


def test_without_a_limit_nothing_is_counted_into_an_entry(kit: ReaderKit) -> None:
    kit.enrol(CARD, version=2)
    give(kit, NOON_MS, 2)
    usage, match = held(kit)
    assert usage.load() == []
    assert usage.of(match, OwnEntries(), NOON_MS) == Counted()
    assert usage.of(match._replace(member=None), OwnEntries(), NOON_MS) == Counted()
