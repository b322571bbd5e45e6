"""Who stands at a school's gate, in the card half: his last tap, and what he may say of it.

Upheld: the tap is kept and shown before anything is asked, and waits for no answer · only the tap
that is on the screen can be given another direction, and only for a short while: nobody changes
somebody else's · a question goes with its time, with the next card, and with «あとで» · what is
said is an entry of its own, on the disk before the screen says so · a tap that was a repeat stands
for the one that it repeats, also when the battery was pulled between them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from edge.clock import Stamp
from edge.decide import Circumstances, see
from edge.history import History, Stood
from edge.panel import (
    AnswerGiven,
    AtGate,
    FromTap,
    GateActed,
    GateLeft,
    GateQuestion,
    GateStays,
    GateWord,
    NotDone,
    Redirected,
    Shown,
)
from edge.roster import Holding
from programmes.calendar import local
from programmes.rulebook import Question, Seen
from wire.clock import Clock
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Answer, Entry, JournalId, Redirect, Tap

REDIRECT_FOR_S: Final = 10
"""For the direction of a tap: as long as its holder still looks at the screen."""
ASK_FOR_S: Final = 15
"""For a question to begin to be answered; who is at it has as long again at each press."""
STAYS_MAX: Final = 8
"""Two minutes and a quarter in all: a hand that rests on the screen holds no question for ever."""


class _Person(NamedTuple):
    stood: Stood
    seen: Seen
    redirect_until_ns: int
    ask_until_ns: int
    stays: int = 0

    @property
    def question(self) -> Question | None:
        return self.seen.question


class Gate:
    """The person who tapped last, while he can say something. Used by the thread that decides."""

    def __init__(
        self,
        keep: Callable[[Entry], int],
        journal: Callable[[], JournalId],
        say: Callable[[FromTap], None],
        history: History,
        holdings: Callable[[], Sequence[Holding]],
        now: Callable[[], Circumstances],
        clock: Clock,
        name: Callable[[str, Sequence[str | None]], str],
    ) -> None:
        """Begin with nobody there.

        `keep` puts an entry on the disk and returns its number, 0 when it cannot; `name` tells what
        a card's holder is called in a programme, where the place shows names.
        """
        self._keep, self._journal, self._say = keep, journal, say
        self._history, self._holdings, self._now = history, holdings, now
        self._clock, self._name = clock, name
        self._person: _Person | None = None
        self._told = AtGate()

    def tapped(self, tap: Tap, seen: Seen | None) -> None:
        """Somebody has held a card: he stands there now, if there is something to be said of it."""
        names = (tap.credential, tap.older_credential)
        stood = self._history.stood(tap.programme, names) if seen else None
        self._stand(stood, seen)
        self._tell()

    def watch(self) -> None:
        """Let what was shown go in its time."""
        self._tell()

    def forget_told(self) -> None:
        """Whoever listens is another one now, and is told again."""
        self._say(self._told)

    def hear(self, said: GateWord, stamp: Stamp) -> None:
        """Do what the person at the gate asks, and answer it."""
        match said:
            case GateLeft():
                self._person = None
            case GateStays():
                self._stay(said)
            case Redirected():
                self._say(GateActed(said.ask, self._redirect(said, stamp)))
            case AnswerGiven():
                self._say(GateActed(said.ask, self._answer(said, stamp)))
        self._tell()

    # --- what the person says ---------------------------------------------------------------------

    def _redirect(self, said: Redirected, stamp: Stamp) -> NotDone:
        person = self._named(said.journal, said.n)
        if person is None or self._now_ns() >= person.redirect_until_ns:
            return "changed"
        tap = person.stood.tap
        entry = Redirect(
            v=1,
            n=1,
            **stamp._asdict(),
            programme=tap.programme,
            of_journal=person.stood.ref[0],
            of_n=person.stood.ref[1],
            declared=said.direction,
            **_card(person.stood),
        )
        return self._kept(entry, f"redirected-{said.direction}", tap.at_ms, person.stood, stamp)

    def _answer(self, said: AnswerGiven, stamp: Stamp) -> NotDone:
        person = self._named(said.journal, said.n)
        question = self._asked(person)
        claimed_ms = said.claimed_at_ms
        if person is None or question is None:
            return "changed"
        if claimed_ms is not None and not question.from_ms < claimed_ms < question.to_ms:
            return "changed"
        entry = Answer(
            v=1,
            n=1,
            **stamp._asdict(),
            programme=person.stood.tap.programme,
            missing=question.missing,
            day=question.day,
            claimed_at_ms=claimed_ms,
            after_ms=question.after_ms,
            before_ms=question.before_ms,
            **_card(person.stood),
        )
        return self._kept(entry, "answered", None, person.stood, stamp)

    def _kept(
        self, entry: Entry, message: str, at_ms: int | None, stood: Stood, stamp: Stamp
    ) -> NotDone:
        """Put it on the disk, say so, and look at the day again."""
        n = self._keep(entry)
        if not n:
            return "not-kept"
        arguments = {} if at_ms is None else {"time": f"{local(at_ms):%H:%M}"}
        shown = Shown(
            journal=self._journal(),
            n=n,
            at_ms=stamp.at_ms,
            outcome=Outcome.ACCEPTED,
            code=Code.OK,
            message=f"{stood.tap.programme}.{message}",
            arguments=arguments,
            stages_us={},
        )
        self._say(shown)
        self._stand(stood, self._see(stood.tap))
        return ""

    def _stay(self, said: GateStays) -> None:
        person = self._named(said.journal, said.n)
        if person and self._asked(person) and person.stays < STAYS_MAX:
            until_ns = self._now_ns() + ASK_FOR_S * 1_000_000_000
            self._person = person._replace(ask_until_ns=until_ns, stays=person.stays + 1)

    # --- who stands there -------------------------------------------------------------------------

    def _see(self, tap: Tap) -> Seen | None:
        """Return what the day of whoever made a tap looks like now."""
        now = self._now()
        names = [Credential(one) for one in (tap.credential, tap.older_credential) if one]
        under = self._history.names(tap.programme, names)
        past = (tap.programme, under, now.stamp.at_ms)
        held = (one for one in self._holdings() if one.rulebook.name == tap.programme)
        return see(next(held, None), self._history.of(*past), self._history.answered(*past), now)

    def _stand(self, stood: Stood | None, seen: Seen | None) -> None:
        self._person = None
        if stood and seen:
            redirect_ns, ask_ns = (
                self._now_ns() + seconds * 1_000_000_000 for seconds in (REDIRECT_FOR_S, ASK_FOR_S)
            )
            self._person = _Person(stood, seen, redirect_ns, ask_ns)

    def _named(self, journal: str, n: int) -> _Person | None:
        """Return who stands there, if it is still the one whom the screen named."""
        person = self._person
        return person if person and person.stood.ref == (journal, n) else None

    def _asked(self, person: _Person | None) -> Question | None:
        if person is None or self._now_ns() >= person.ask_until_ns:
            return None
        return person.question

    def _tell(self) -> None:
        """Say what the screen shows now, when it has changed."""
        told = self._shown()
        if not told.n:
            self._person = None
        if told != self._told:
            self._told = told
            self._say(told)

    def _shown(self) -> AtGate:
        person = self._person
        if person is None:
            return AtGate()
        question = self._asked(person)
        can_redirect = self._now_ns() < person.redirect_until_ns
        if not can_redirect and question is None:
            return AtGate()
        return AtGate(
            journal=person.stood.ref[0],
            n=person.stood.ref[1],
            at_ms=person.stood.tap.at_ms,
            heading=person.seen.heading if can_redirect else None,
            since_ms=person.seen.since_ms if can_redirect else None,
            minutes=person.seen.minutes if can_redirect else None,
            question=_asked(question) if question else None,
            name=self._called(person.stood.tap) if can_redirect else "",
        )

    def _called(self, tap: Tap) -> str:
        return self._name(tap.programme, (tap.credential, tap.older_credential))

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns()


def _asked(question: Question) -> GateQuestion:
    return GateQuestion(question.missing, question.day, question.from_ms, question.to_ms)


def _card(stood: Stood) -> dict[str, Any]:
    tap = stood.tap
    return {
        "scheme": tap.scheme,
        "key_epoch": tap.key_epoch,
        "credential": tap.credential,
        "older_credential": tap.older_credential,
    }
