"""What is sent next, and what an acknowledgement means: the uplink as a pure machine.

Fed with views of the journals, with verified acknowledgements and with the time; it touches no
file and no network (`edge.shelf` reads, `edge.link` sends).

Rules: one batch in flight · journals oldest first, a journal that cannot be read stops no later
one · numbers that cannot be read are declared lost · only the fleet's signed answer moves a mark,
a broker's never · in one life of the ledger (`epoch`) marks never go back; in a new one they are
what it says, if it said so later than anything believed before · marks are a saving, not a truth:
when they are gone all is sent again, and the ledger answers that it has it.
"""

import enum
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from edge.backoff import Backoff
from edge.journal import Kept
from wire.entries import AtMs, Former, Hex128, JournalId
from wire.limits import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, LOST_MAX
from wire.messages import Ack, Batch, Count

ACK_TIMEOUT_S: Final = 10.0
"""For the fleet's answer: four round trips of a bad mobile link and a commit of 5,000 batches."""
ENCOURAGED_S: Final = 2.0
"""A sign of life of the fleet shortens a wait to at most this, drawn anew for each reader."""


class Phase(enum.Enum):
    """Where the uplink stands."""

    OFFLINE = "offline"
    """No connection."""
    IDLE = "idle"
    """Free to send."""
    WAITING = "waiting"
    """One batch is in flight."""
    PAUSED = "paused"
    """A batch was refused or not answered; the next try waits."""


MOVES: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.OFFLINE: frozenset({Phase.IDLE}),
    Phase.IDLE: frozenset({Phase.WAITING, Phase.OFFLINE}),
    Phase.WAITING: frozenset({Phase.IDLE, Phase.PAUSED, Phase.OFFLINE}),
    Phase.PAUSED: frozenset({Phase.IDLE, Phase.OFFLINE}),
}


class Marks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the ledger has each journal, as it said in its present life."""

    v: Literal[1] = 1
    epoch: Hex128 | None = None
    through: dict[Hex128, Count] = {}
    at_ms: AtMs = 0
    """The fleet's time of the latest answer that was believed: an answer of another life of the
    ledger from before it is a replay."""

    def of(self, journal: str) -> int:
        """Return the last number of a journal that the ledger has; 0 when it has told of none."""
        return self.through.get(journal, 0)


class View(Protocol):
    """One journal as the uplink sees it."""

    @property
    def journal(self) -> JournalId:
        """Whose numbers these are."""

    @property
    def end(self) -> Former | None:
        """Where it ended, as a later journal says; None while it is written or when unknown."""

    def after(self, n: int) -> Sequence[Kept]:
        """Return readable entries behind number `n`, in order. Raises OSError."""


class Heard(enum.Enum):
    """What an acknowledgement was."""

    ANSWER = "answer"
    """It answers the batch in flight."""
    PROGRESS = "progress"
    """It tells of progress, but of another one: a late answer."""
    STALE = "stale"
    """It says no more than is known, or speaks for a life of the ledger that is over."""
    FOREIGN = "foreign"
    """It is about a journal that this reader has not got."""


class _Flight(NamedTuple):
    batch: Batch
    sent_s: float


@dataclass
class Uplink:
    """The machine. Times are seconds of one monotonic clock."""

    marks: Marks = field(default_factory=Marks)
    backoff: Backoff = field(default_factory=Backoff)
    phase: Phase = Phase.OFFLINE
    counters: Counter[str] = field(default_factory=Counter)
    """For telemetry: `uplink.…`; whoever reports them empties them."""
    round_trip_s: float | None = None
    """From the last batch that was answered to its answer."""
    _flight: _Flight | None = None
    _resume_s: float = 0.0

    def connected(self) -> None:
        """A connection is open and the acknowledgements are subscribed to."""
        self._move(Phase.IDLE)

    def disconnected(self) -> None:
        """The connection is gone; what was in flight is sent again on the next one."""
        if self.phase is not Phase.OFFLINE:
            self._move(Phase.OFFLINE)

    def take(self, views: Iterable[View], now_s: float) -> Batch | None:
        """Return the batch to send now, which then is in flight; None when there is none."""
        if self.phase is not Phase.IDLE:
            return None
        for view in views:
            try:
                batch = cut_batch(view, self.marks.of(view.journal))
            except OSError:
                self.counters["uplink.journal-unreadable"] += 1
                continue
            if batch:
                self._move(Phase.WAITING)
                self._flight = _Flight(batch, now_s)
                self.counters["uplink.batches"] += 1
                return batch
        return None

    def refused(self, now_s: float) -> None:
        """The broker refused the batch in flight."""
        if self.phase is Phase.WAITING:
            self.counters["uplink.refused"] += 1
            self._pause(now_s)

    def tick(self, now_s: float) -> None:
        """Notice what time alone brings: no answer, or the end of a wait."""
        if self._flight and now_s - self._flight.sent_s >= ACK_TIMEOUT_S:
            self.counters["uplink.unanswered"] += 1
            self._pause(now_s)
        elif self.phase is Phase.PAUSED and now_s >= self._resume_s:
            self._move(Phase.IDLE)

    def wake_s(self) -> float | None:
        """Return when `tick` has something to notice; None when only events bring anything."""
        if self._flight:
            return self._flight.sent_s + ACK_TIMEOUT_S
        return self._resume_s if self.phase is Phase.PAUSED else None

    def encourage(self, now_s: float) -> None:
        """The fleet gave a sign of life: do not wait for long."""
        if self.phase is Phase.PAUSED:
            soon = now_s + ENCOURAGED_S * self.backoff.draw()
            self._resume_s = min(self._resume_s, soon)

    def hear(self, ack: Ack, known: Collection[str], now_s: float) -> Heard:
        """Take in a verified acknowledgement; `known` are the journals that this reader has."""
        heard = self._judge(ack, known)
        if heard in (Heard.STALE, Heard.FOREIGN):
            self.counters[f"uplink.ack-{heard.value}"] += 1
            return heard
        self._believe(ack, known)
        self.backoff.reset()
        if heard is Heard.ANSWER and self._flight:
            self.round_trip_s = now_s - self._flight.sent_s
        if heard is Heard.ANSWER or self.phase is Phase.PAUSED:
            self._move(Phase.IDLE)
        return heard

    def _judge(self, ack: Ack, known: Collection[str]) -> Heard:
        if ack.journal not in known:
            return Heard.FOREIGN
        fresh_epoch = ack.epoch != self.marks.epoch
        flown = self._flight.batch if self._flight else None
        if fresh_epoch and ack.at_ms <= self.marks.at_ms:
            return Heard.STALE
        if flown and flown.journal == ack.journal and (fresh_epoch or ack.through >= flown.last):
            return Heard.ANSWER
        if fresh_epoch or ack.through > self.marks.of(ack.journal):
            return Heard.PROGRESS
        return Heard.STALE

    def _believe(self, ack: Ack, known: Collection[str]) -> None:
        through: dict[str, int] = {}
        if ack.epoch == self.marks.epoch:
            through = {journal: n for journal, n in self.marks.through.items() if journal in known}
        else:
            self.counters["uplink.epochs"] += 1
        through[ack.journal] = max(ack.through, through.get(ack.journal, 0))
        at_ms = max(ack.at_ms, self.marks.at_ms)
        self.marks = Marks(epoch=ack.epoch, through=through, at_ms=at_ms)

    def _pause(self, now_s: float) -> None:
        self._move(Phase.PAUSED)
        self._resume_s = now_s + self.backoff.next_s()

    def _move(self, to: Phase) -> None:
        if to not in MOVES[self.phase]:
            raise RuntimeError(f"the uplink cannot go from {self.phase.value} to {to.value}")
        self.phase = to
        self._flight = None


def cut_batch(view: View, through: int) -> Batch | None:
    """Return the next batch of a journal that is known up to `through`; None when all is known.

    Raises OSError when the journal cannot be read.
    """
    kept = view.after(through)
    if not kept:
        return _lost_end(view, through)
    lost = kept[0].n - through - 1
    if lost > LOST_MAX:
        return _lost(view.journal, through + 1, LOST_MAX, kept[0].before)
    run = _run(kept)
    return Batch(
        v=1,
        journal=view.journal,
        first=through + 1,
        lost=lost,
        before=run[0].before,
        entries=[msgspec.Raw(one.body) for one in run],
        tip=run[-1].tip,
    )


def _run(kept: Sequence[Kept]) -> Sequence[Kept]:
    """Return the longest beginning that fits a batch and whose chain is whole."""
    size = 0
    for index, one in enumerate(kept[:BATCH_ENTRIES_MAX]):
        size += len(one.body) + 1  # and a comma
        former = kept[index - 1] if index else None
        breaks = former and (one.n != former.n + 1 or one.before != former.tip)
        if breaks or size > BATCH_BYTES_MAX:
            return kept[:index]
    return kept[:BATCH_ENTRIES_MAX]


def _lost_end(view: View, through: int) -> Batch | None:
    """Declare the damaged last entries of a journal that is over."""
    if not view.end or view.end.n <= through:
        return None
    lost = min(view.end.n - through, LOST_MAX)
    return _lost(view.journal, through + 1, lost, view.end.tip)


def _lost(journal: JournalId, first: int, lost: int, tip: bytes) -> Batch:
    return Batch(v=1, journal=journal, first=first, lost=lost, before=tip, entries=[], tip=tip)
