"""The uplink as a pure machine: whatever is lost, late or forged, every number is accounted for."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.backoff import Backoff
from edge.journal import Kept
from edge.uplink import ACK_TIMEOUT_S, MOVES, Heard, Marks, Phase, Uplink, cut_batch
from wire.clock import ClockState
from wire.entries import (
    ClockStep,
    Former,
    JournalId,
    chain,
    decode,
    encode,
    genesis,
    new_journal,
)
from wire.limits import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, LOST_MAX
from wire.messages import Ack, Batch

READER = "kazasu-shi/bus-1"
EPOCH = "e" * 32


def entry_body(n: int) -> bytes:
    return encode(ClockStep(v=1, n=n, at_ms=n, mono_ms=n, clock=ClockState.SYNCHRONISED, step_ms=n))


@dataclass
class Pages:
    """A journal in memory, some of whose numbers are damaged."""

    journal: JournalId = field(default_factory=new_journal)
    kept: list[Kept] = field(default_factory=list)
    n: int = 0
    end: Former | None = None
    unreadable: bool = False

    def append(self, damaged: bool = False) -> None:
        before = self.tip
        self.n += 1
        body = entry_body(self.n)
        self._tip = chain(before, body)
        if not damaged:
            self.kept.append(Kept(self.n, before, self._tip, body, decode(body), False))

    @property
    def tip(self) -> bytes:
        return getattr(self, "_tip", genesis(READER, self.journal))

    def finish(self) -> None:
        """The next journal tells of this one's end, damaged or not."""
        self.end = Former(journal=self.journal, n=self.n, tip=self.tip)

    def after(self, n: int) -> Sequence[Kept]:
        if self.unreadable:
            raise OSError("an input/output error")
        return [one for one in self.kept if one.n > n]


def pages(count: int, damaged: frozenset[int] = frozenset()) -> Pages:
    journal = Pages()
    for n in range(1, count + 1):
        journal.append(n in damaged)
    return journal


def ack(batch: Batch, through: int | None = None, epoch: str = EPOCH, at_ms: int = 1) -> Ack:
    return Ack(
        v=1,
        epoch=epoch,
        journal=batch.journal,
        through=batch.last if through is None else through,
        at_ms=at_ms,
    )


def online(**settings: object) -> Uplink:
    uplink = Uplink(backoff=Backoff(draw=lambda: 1.0), **settings)  # type: ignore[arg-type]
    uplink.connected()
    return uplink


def test_a_batch_begins_behind_the_mark_and_carries_the_bytes_as_they_were_kept() -> None:
    journal = pages(5)
    batch = cut_batch(journal, 2)
    assert batch
    assert (batch.first, batch.lost, batch.last) == (3, 0, 5)
    assert [bytes(raw) for raw in batch.entries] == [one.body for one in journal.kept[2:]]
    assert (batch.before, batch.tip) == (journal.kept[1].tip, journal.tip)


def test_a_batch_has_at_most_200_entries_and_64_kib() -> None:
    batch = cut_batch(pages(1000), 0)
    assert batch
    assert len(batch.entries) == BATCH_ENTRIES_MAX
    journal = pages(150)
    journal.kept = [one._replace(body=b"x" * 1000) for one in journal.kept]
    batch = cut_batch(journal, 0)
    assert batch
    assert len(batch.entries) == BATCH_BYTES_MAX // 1001


def test_damaged_numbers_are_declared_lost_in_front_of_the_entries_that_follow() -> None:
    journal = pages(6, frozenset({2, 3}))
    first = cut_batch(journal, 0)
    assert first
    assert (first.first, first.lost, first.last) == (1, 0, 1)
    second = cut_batch(journal, 1)
    assert second
    assert (second.first, second.lost, second.last) == (2, 2, 6)
    assert second.before == journal.kept[1].before


def test_damaged_last_numbers_are_declared_lost_once_the_next_journal_tells_of_them() -> None:
    journal = pages(4, frozenset({3, 4}))
    assert cut_batch(journal, 2) is None
    journal.finish()
    batch = cut_batch(journal, 2)
    assert batch
    assert (batch.first, batch.lost, batch.entries, batch.last) == (3, 2, [], 4)
    assert batch.before == batch.tip == journal.tip
    assert cut_batch(journal, 4) is None


def test_a_loss_larger_than_one_batch_may_declare_is_declared_in_parts() -> None:
    journal = pages(1)
    journal.kept[0] = journal.kept[0]._replace(n=LOST_MAX + 3)
    batch = cut_batch(journal, 0)
    assert batch
    assert (batch.lost, batch.entries) == (LOST_MAX, [])
    rest = cut_batch(journal, batch.last)
    assert rest
    assert (rest.lost, len(rest.entries)) == (2, 1)


def test_a_batch_ends_where_the_chain_is_broken_so_that_the_fleet_sees_it() -> None:
    journal = pages(4)
    journal.kept[2] = journal.kept[2]._replace(before=b"\0" * 32)
    batch = cut_batch(journal, 0)
    assert batch
    assert batch.last == 2


def test_older_journals_go_first_and_an_unreadable_one_stops_no_later_one() -> None:
    old, broken, new = pages(1), pages(2), pages(3)
    broken.unreadable = True
    uplink = online()
    sent = []
    while batch := uplink.take([old, broken, new], 0.0):
        sent.append(batch.journal)
        uplink.hear(ack(batch), [batch.journal, old.journal], 0.0)
    assert sent == [old.journal, new.journal]
    assert uplink.counters["uplink.journal-unreadable"] >= 1


def test_only_one_batch_is_in_flight() -> None:
    uplink = online()
    assert uplink.take([pages(1)], 0.0)
    assert uplink.take([pages(1)], 0.0) is None


def test_an_unanswered_batch_is_sent_again_after_longer_and_longer_waits() -> None:
    journal, uplink, now, waits = pages(1), online(), 0.0, []
    for _ in range(8):
        assert uplink.take([journal], now)
        now += ACK_TIMEOUT_S
        uplink.tick(now)
        assert uplink.phase is Phase.PAUSED
        due = uplink.wake_s()
        assert due is not None
        waits.append(due - now)
        uplink.tick(due - 0.01)
        assert uplink.take([journal], now) is None
        now = due
        uplink.tick(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_late_answer_ends_the_wait() -> None:
    journal, uplink = pages(1), online()
    batch = uplink.take([journal], 0.0)
    assert batch
    uplink.tick(ACK_TIMEOUT_S)
    assert uplink.hear(ack(batch), [journal.journal], 11.0) is Heard.PROGRESS
    assert uplink.phase is Phase.IDLE
    assert uplink.backoff.failures == 0


def test_a_sign_of_life_shortens_a_wait_and_never_lengthens_it() -> None:
    journal, uplink = pages(1), online()
    uplink.backoff.failures = 6
    uplink.take([journal], 0.0)
    uplink.refused(0.0)
    assert uplink.wake_s() == 60
    uplink.encourage(10.0)
    assert uplink.wake_s() == 12
    uplink.encourage(11.0)
    assert uplink.wake_s() == 12


def test_an_older_or_repeated_answer_of_the_same_epoch_moves_nothing() -> None:
    journal, uplink = pages(3), online(marks=Marks(epoch=EPOCH, through={}))
    batch = uplink.take([journal], 0.0)
    assert batch
    known = [journal.journal]
    assert uplink.hear(ack(batch, 3), known, 0.0) is Heard.ANSWER
    assert uplink.hear(ack(batch, 1), known, 0.0) is Heard.STALE
    assert uplink.marks.of(journal.journal) == 3
    assert uplink.counters["uplink.ack-stale"] == 1


def test_in_a_new_epoch_a_lower_mark_is_believed_and_done_journals_are_sent_again() -> None:
    done, journal = pages(4), pages(5)
    done.finish()
    known = [done.journal, journal.journal]
    marks = Marks(epoch=EPOCH, through={done.journal: 4, journal.journal: 4})
    uplink = online(marks=marks)
    batch = uplink.take([done, journal], 0.0)
    assert batch
    assert batch.first == 5
    restored = ack(batch, 2, "f" * 32, at_ms=2)
    assert uplink.hear(restored, known, 0.0) is Heard.ANSWER
    again = uplink.take([done, journal], 0.0)
    assert again
    assert (again.journal, again.first) == (done.journal, 1)
    assert uplink.hear(ack(again, epoch="f" * 32, at_ms=3), known, 0.0) is Heard.ANSWER
    rest = uplink.take([done, journal], 0.0)
    assert rest
    assert (rest.journal, rest.first) == (journal.journal, 3)


def test_an_answer_from_a_former_life_of_the_ledger_is_not_believed() -> None:
    journal, uplink = pages(5), online()
    batch = uplink.take([journal], 0.0)
    assert batch
    known = [journal.journal]
    uplink.hear(ack(batch, at_ms=10), known, 0.0)
    uplink.hear(ack(batch, 2, "f" * 32, at_ms=20), known, 0.0)
    assert uplink.hear(ack(batch, 5, EPOCH, at_ms=10), known, 0.0) is Heard.STALE
    assert uplink.hear(ack(batch, 5, "d" * 32, at_ms=19), known, 0.0) is Heard.STALE
    assert uplink.marks.of(journal.journal) == 2
    assert uplink.hear(ack(batch, 3, "f" * 32, at_ms=5), known, 0.0) is Heard.PROGRESS


def test_an_answer_about_an_unknown_journal_is_ignored_and_counted() -> None:
    journal, uplink = pages(1), online()
    batch = uplink.take([journal], 0.0)
    assert batch
    assert uplink.hear(ack(batch), ["0" * 32], 0.0) is Heard.FOREIGN
    assert uplink.phase is Phase.WAITING


@pytest.mark.parametrize("phase", Phase)
def test_no_phase_goes_where_the_table_does_not_allow(phase: Phase) -> None:
    for to in Phase:
        uplink = Uplink(phase=phase)
        if to in MOVES[phase]:
            uplink._move(to)
            assert uplink.phase is to
        else:
            with pytest.raises(RuntimeError, match="cannot go"):
                uplink._move(to)


class Post(enum.Enum):
    LOST = enum.auto()
    DELIVERED = enum.auto()


class AnyWeather(RuleBasedStateMachine):
    """A reader, a bad network and a ledger that is now and then restored from an older copy."""

    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.journals = [pages(1)]
        self.uplink = Uplink(backoff=Backoff(draw=lambda: 0.5))
        self.in_flight: Batch | None = None
        self.answers: list[Ack] = []
        self.epoch = 1
        self.ledger: dict[str, set[int]] = {}
        self.held: dict[str, set[int]] = {}
        self.backup: dict[str, set[int]] = {}

    # the card half

    @rule(count=st.integers(1, 450), damaged=st.booleans())
    def taps(self, count: int, damaged: bool) -> None:
        for index in range(count):
            self.journals[-1].append(damaged and (index % 7 == 0 or index == count - 1))

    @rule()
    def restart_of_tap(self) -> None:
        self.journals[-1].finish()
        self.journals.append(pages(1))

    @rule(index=st.integers(0, 9))
    def disk_error(self, index: int) -> None:
        self.journals[index % len(self.journals)].unreadable = True

    @rule()
    def disk_recovers(self) -> None:
        for journal in self.journals:
            journal.unreadable = False

    # the network half

    @rule()
    def toggle_connection(self) -> None:
        if self.uplink.phase is Phase.OFFLINE:
            self.uplink.connected()
        else:
            self.uplink.disconnected()
            self.in_flight = None

    @rule(keep_marks=st.booleans())
    def restart_of_link(self, keep_marks: bool) -> None:
        marks = self.uplink.marks if keep_marks else Marks()
        self.uplink = Uplink(marks=marks, backoff=Backoff(draw=lambda: 0.5))
        self.in_flight = None

    @rule(seconds=st.floats(0.1, 100))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.uplink.tick(self.now_s)
        if self.uplink.phase is not Phase.WAITING:
            self.in_flight = None

    @rule(fate=st.sampled_from(Post))
    def send(self, fate: Post) -> None:
        batch = self.uplink.take(self.journals, self.now_s)
        if batch is None:
            return
        assert self.in_flight is None, "two batches in flight"
        self.in_flight = batch
        if fate is Post.DELIVERED:
            self.commit(batch)

    @rule()
    def calm_for_a_while(self) -> None:
        """Batches are committed and answered until nothing waits."""
        if self.uplink.phase is Phase.OFFLINE:
            self.uplink.connected()
        for _ in range(20):
            self.now_s += 100.0
            self.uplink.tick(self.now_s)
            if batch := self.uplink.take(self.journals, self.now_s):
                self.commit(batch)
                self.uplink.hear(self.answers[-1], self.known, self.now_s)
        self.in_flight = self.uplink._flight.batch if self.uplink._flight else None

    @rule()
    def broker_refuses(self) -> None:
        self.uplink.refused(self.now_s)
        self.in_flight = None

    # the fleet

    def commit(self, batch: Batch) -> None:
        numbers = [decode(bytes(raw)).n for raw in batch.entries]
        assert numbers == list(range(batch.first + batch.lost, batch.last + 1))
        has = self.ledger.setdefault(batch.journal, set())
        has |= set(range(batch.first, batch.last + 1))
        through = next(n for n in range(len(has) + 2) if n + 1 not in has)
        self.answers.append(
            Ack(
                v=1,
                epoch=f"{self.epoch:032x}",
                journal=batch.journal,
                through=through,
                at_ms=len(self.answers) + 1,
            )
        )

    @rule()
    def backup_is_made(self) -> None:
        self.backup = {journal: set(numbers) for journal, numbers in self.ledger.items()}

    @rule()
    def backup_is_restored(self) -> None:
        self.ledger = {journal: set(numbers) for journal, numbers in self.backup.items()}
        self.epoch += 1

    @precondition(lambda self: bool(getattr(self, "answers", None)))
    @rule(index=st.integers(0, 99), lost=st.booleans())
    def an_answer_arrives(self, index: int, lost: bool) -> None:
        """In any order, more than once, or never."""
        answer = self.answers[index % len(self.answers)]
        if not lost:
            self.hear(answer)

    @property
    def known(self) -> list[str]:
        return [journal.journal for journal in self.journals]

    def hear(self, answer: Ack) -> None:
        self.uplink.hear(answer, self.known, self.now_s)
        if self.uplink.phase is not Phase.WAITING:
            self.in_flight = None

    @invariant()
    def at_most_one_is_in_flight(self) -> None:
        if hasattr(self, "uplink"):
            assert (self.uplink._flight is not None) == (self.uplink.phase is Phase.WAITING)

    def teardown(self) -> None:
        """In calm weather everything arrives: as an entry, or declared lost."""
        if not hasattr(self, "uplink"):
            return
        self.disk_recovers()
        self.journals[-1].append()  # so that there is something to say in any case
        self.journals[-1].finish()
        if self.uplink.phase is Phase.OFFLINE:
            self.uplink.connected()
        # The ledger goes on in its present life: an answer to anything tells the reader of it.
        for _ in range(200 + sum(journal.n for journal in self.journals) // 20):
            self.now_s += 100.0
            self.uplink.tick(self.now_s)
            batch = self.uplink.take(self.journals, self.now_s)
            if batch is None and self.uplink.phase is Phase.IDLE:
                break
            if batch:
                self.commit(batch)
                self.uplink.hear(self.answers[-1], self.known, self.now_s)
        assert self.uplink.phase is Phase.IDLE
        assert self.uplink.marks.epoch == f"{self.epoch:032x}"
        for journal in self.journals:
            assert self.ledger[journal.journal] >= set(range(1, journal.n + 1))


TestAnyWeather = AnyWeather.TestCase
TestAnyWeather.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
