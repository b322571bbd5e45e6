"""What this reader booked for each card in the last seven days: the repeat window's memory.

Rebuilt from the journals at the start, so a restart opens no window. Upheld: bounded memory; the
last entry before the start may never have been shown, so it keeps a longer window
(programmes.rulebook.PERHAPS_NOT_SHOWN_WINDOW_S): nobody pays twice for a power cut · when the
clock jumps, what it said before, in this boot and without the fleet's word, moves with it: a clock
that is set neither opens a window nor keeps one open · a card that was read by two schemes is known
as the same one when it is read by either alone · what a person said of his tap, and of a mark that
was missing, is remembered with it and opens and closes no window.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from edge.journal import journals, read_whole
from edge.ride import Ref, Riding
from edge.usage import OwnEntries
from programmes.rulebook import Answered, Booked
from wire.clock import ClockState
from wire.codes import Outcome
from wire.credential import Credential
from wire.entries import Answer, ClockStep, Entry, Redirect, Start, Tap

KEPT_MS: Final = 7 * 24 * 3_600_000
CARDS_MAX: Final = 50_000
"""Cards of a week: ten times the busiest bus; about 20 MB if it were ever reached."""
PER_CARD_MAX: Final = 100
"""Bookings of one card in a week: 14 a day."""
NAMES_MAX: Final = 4
"""Other names of a card: two schemes under the key epochs of one week."""
STOOD_MAX: Final = 500
"""Cards whose last tap can be named: who corrects it stands there; a school has 200 people."""
ANSWERS_MAX: Final = 50
"""Answers of one card: of a week in which each day lacked seven marks."""

_Key = tuple[str, str]


class Stood(NamedTuple):
    """The last tap of a card that booked something, by its place in the journals."""

    ref: Ref
    tap: Tap


class History:
    """Bookings by programme and credential, the card that was booked last at the end."""

    def __init__(self) -> None:
        self._booked: dict[_Key, deque[Booked]] = {}
        self._boot = ""
        self._latest: tuple[_Key, Booked] | None = None
        """The last tap, if it booked something."""
        self._unsure: deque[tuple[_Key, Booked]] = deque(maxlen=CARDS_MAX)
        """Booked in this boot by a clock that the fleet had not set."""
        self._also: dict[_Key, tuple[str, ...]] = {}
        """Other credentials of a card by each of them, the one that was read last at the end."""
        self._stood: dict[_Key, Stood] = {}
        self._answers: dict[_Key, deque[tuple[int, Answered]]] = {}
        """When it was said, and what, by the card that was held."""

    def take(self, entry: Entry, ref: Ref | None = None) -> None:
        """Remember an entry if it says something of a card, or how the clock jumped.

        `ref` is where it stands; without it nobody can say anything of the tap.
        """
        match entry:
            case Start():
                self.boots(entry.boot)
            case ClockStep():
                self._step(entry.step_ms)
            case Tap():
                self._latest = None
                self._link(entry)
                if entry.outcome is Outcome.ACCEPTED and entry.credential is not None:
                    self._book((entry.programme, entry.credential), entry)
                    self._stand((entry.programme, entry.credential), entry, ref)
            case Redirect():
                self._redirect((entry.programme, entry.credential), entry)
            case Answer():
                self._answer((entry.programme, entry.credential), entry)

    def boots(self, boot: str) -> None:
        """Hear in which boot all that follows is written."""
        if boot != self._boot:
            self._boot = boot
            self._unsure.clear()

    def _link(self, tap: Tap) -> None:
        """Remember that two credentials are one card's."""
        one, other = tap.credential, tap.older_credential
        for name, also in ((one, other), (other, one)):
            if name and also:
                before = self._also.pop((tap.programme, name), ())
                found = tuple(dict.fromkeys((also, *before)))[:NAMES_MAX]
                self._also[tap.programme, name] = found
        while len(self._also) > CARDS_MAX:
            del self._also[next(iter(self._also))]

    def names(self, programme: str, under: Sequence[Credential]) -> tuple[Credential, ...]:
        """Return a card's credentials and those by which it was read together with them."""
        others = (new for one in under for new in self._also.get((programme, one), ()))
        return tuple(dict.fromkeys((*under, *map(Credential, others))))

    def _book(self, key: _Key, tap: Tap) -> None:
        is_known = tap.clock is not ClockState.UNKNOWN
        one = Booked(tap.at_ms, tap.declared, clock_known=is_known)
        booked = self._booked.pop(key, None) or deque(maxlen=PER_CARD_MAX)
        booked.append(one)
        self._booked[key] = booked
        self._latest = key, one
        if tap.clock is not ClockState.SYNCHRONISED:
            self._unsure.append(self._latest)
        self._forget(tap.at_ms - KEPT_MS)

    def _stand(self, key: _Key, tap: Tap, ref: Ref | None) -> None:
        self._stood.pop(key, None)
        if ref is None:
            return
        self._stood[key] = Stood(ref, tap)
        if len(self._stood) > STOOD_MAX:
            del self._stood[next(iter(self._stood))]

    def _redirect(self, key: _Key, said: Redirect) -> None:
        stood = self._stood.get(key)
        booked = self._booked.get(key)
        if stood is None or not booked or stood.ref != (said.of_journal, said.of_n):
            return
        one = booked[-1]
        now = self._put(key, one, replace(one, redirected=said.declared))
        unsure = (now if other == (key, one) else other for other in self._unsure)
        self._unsure = deque(unsure, maxlen=CARDS_MAX)

    def _answer(self, key: _Key, said: Answer) -> None:
        answers = self._answers.pop(key, None) or deque(maxlen=ANSWERS_MAX)
        answers.append((said.at_ms, Answered(said.missing, said.day, said.claimed_at_ms)))
        self._answers[key] = answers
        while len(self._answers) > CARDS_MAX:
            del self._answers[next(iter(self._answers))]

    def doubt_latest(self) -> None:
        """Say that the last tap, if it booked something, was perhaps not shown."""
        if self._latest:
            key, one = self._latest
            self._latest = self._put(key, one, replace(one, perhaps_not_shown=True))

    def _step(self, step_ms: int) -> None:
        moved = [
            self._put(key, one, replace(one, at_ms=one.at_ms + step_ms, clock_known=True))
            for key, one in self._unsure
        ]
        self._unsure = deque(moved, maxlen=CARDS_MAX)

    def _put(self, key: _Key, one: Booked, instead: Booked) -> tuple[_Key, Booked]:
        """Put a booking in the place of one that may have been forgotten meanwhile."""
        booked = self._booked.get(key, ())
        if one in booked:
            moved = (instead if other is one else other for other in booked)
            self._booked[key] = deque(moved, maxlen=PER_CARD_MAX)
        if self._latest == (key, one):
            self._latest = key, instead
        return key, instead

    def _forget(self, before_ms: int) -> None:
        """Drop the cards that were booked longest ago, while they are too old or too many."""
        while self._booked:
            oldest = next(iter(self._booked))
            if self._booked[oldest][-1].at_ms >= before_ms and len(self._booked) <= CARDS_MAX:
                return
            del self._booked[oldest]

    def of(self, programme: str, credentials: Sequence[str | None], now_ms: int) -> list[Booked]:
        """Return a card's bookings of seven days under any of its credentials, oldest first."""
        found = [
            booked
            for credential in credentials
            if credential
            for booked in self._booked.get((programme, credential), ())
            if booked.at_ms >= now_ms - KEPT_MS
        ]
        return sorted(found, key=lambda booked: booked.at_ms)

    def answered(
        self, programme: str, credentials: Sequence[str | None], now_ms: int
    ) -> list[Answered]:
        """Return what was said of missing marks with this card in seven days, oldest first."""
        found = [
            said
            for credential in credentials
            if credential
            for said in self._answers.get((programme, credential), ())
            if said[0] >= now_ms - KEPT_MS
        ]
        return [answer for _, answer in sorted(found, key=lambda said: said[0])]

    def stood(self, programme: str, credentials: Sequence[str | None]) -> Stood | None:
        """Return the last tap of a card that booked something, under any of its credentials."""
        some = [self._stood.get((programme, one)) for one in credentials if one]
        return max(filter(None, some), key=lambda one: one.tap.at_ms, default=None)


def rebuild(
    folder: Path,
    reader: str,
    own: OwnEntries | None = None,
    riding: Riding | None = None,
    boot: str = "",
) -> History:
    """Return what the journals in a folder booked; what follows is written in `boot`.

    What counts as used is put into `own`, what is said of rides into `riding`.

    The last tap of all is marked as perhaps not shown. What cannot be read is left out.
    """
    history = History()
    own = OwnEntries() if own is None else own
    riding = Riding() if riding is None else riding
    for file in journals(folder):
        own.note(file.journal)
        for kept in read_whole(file, reader):
            history.take(kept.entry, (file.journal, kept.n))
            own.take(file.journal, kept.n, kept.entry)
            riding.take(file.journal, kept.n, kept.entry)
    history.doubt_latest()
    history.boots(boot)
    riding.boots(boot)
    return history
