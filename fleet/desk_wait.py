"""A clerk's browser waits for a card at the desk's own reader: the row that both sides look at.

Rules: one waits at a reader at a time, and a clerk at one reader at a time; only an answer of that
very reader, to that very request and programme, while somebody still waits, changes anything, in
one UPDATE that asks for all of it; what was found is for the account that waits, is erased when it
is used, and otherwise within the hour. The office begins, looks, takes and cancels; `dispatch`
tells the reader (`asked`, `tidy`); `ingest` writes down what it answers (`hear`). Every `at_ms` is
people's time (wire.clock.patience_ms), the audit's line alone is not.
"""

import enum
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.agents import understands
from fleet.schema import desk_wait, place, reader, reader_state
from wire.credential import Scheme
from wire.desk import DESK_SINCE, DeskAnswer, DeskRequest, DeskSaid
from wire.limits import DESK_WAIT_MS_MAX

SILENT_MS: Final = 10_000
"""A reader that has not said by then that it asks is away: a second until it is told, and two
chances to hear it again (ASK_AGAIN_MS)."""
ASK_AGAIN_MS: Final = 4_000
"""How often a request is said again: to a reader that was restarting, or whose answer was lost."""
KEPT_MS: Final = 3_600_000
"""How long a wait that nobody used is kept after its end, for a page that comes back to it."""
SIGN_IN: Final = "sign-in:"
"""Before the browser that waits, where nobody has signed in yet: with its 64 hex digits longer than
an account's name can be, so that it is no account's wait (fleet.desk_browsers)."""
WAITS_MAX: Final = 500
"""Waits told of at once: one at each reader of a large city hall's desks."""


class State(enum.StrEnum):
    """Where a wait stands."""

    WAITING = "waiting"
    ANSWERED = "answered"
    """A card was read, and nobody has used it yet."""
    OVER = "over"
    """Nothing comes of it; the outcome says why."""


class Outcome(enum.StrEnum):
    """What the clerk is told: what the reader said last, or why nothing came."""

    NOTHING = ""
    """The reader has not said anything yet."""
    ASKING = "asking"
    READ = "read"
    HOLD_AGAIN = "hold-again"
    TWO_CARDS = "two-cards"
    CARD_NOT_USABLE = "card-not-usable"
    CANCELLED_HERE = "cancelled-here"
    """By the clerk."""
    CANCELLED_THERE = "cancelled-there"
    """On the reader's page."""
    NOT_READY = "not-ready"
    """The reader cannot read cards for this programme."""
    EXPIRED = "expired"
    AWAY = "away"
    """The reader does not answer."""


SAID: Final = {
    DeskSaid.ASKING: (State.WAITING, Outcome.ASKING),
    DeskSaid.READ: (State.ANSWERED, Outcome.READ),
    DeskSaid.HOLD_AGAIN: (State.WAITING, Outcome.HOLD_AGAIN),
    DeskSaid.TWO_CARDS: (State.WAITING, Outcome.TWO_CARDS),
    DeskSaid.CARD_NOT_USABLE: (State.OVER, Outcome.CARD_NOT_USABLE),
    DeskSaid.CANCELLED: (State.OVER, Outcome.CANCELLED_THERE),
    DeskSaid.NOT_READY: (State.OVER, Outcome.NOT_READY),
}
"""What a waiting row becomes by what its reader says. Nothing moves a row that waits no more."""


class DeskRefused(ValueError):
    """This cannot be done with this wait; nothing was changed. The sentence says what to do."""


class DeskBusy(DeskRefused):
    """Another clerk waits at this reader."""

    def __init__(self, who: str) -> None:
        super().__init__(f"{who} waits for a card at this reader: wait until that is over")
        self.who: Final = who


@dataclass(frozen=True, slots=True)
class Desk:
    """A reader that stands at a desk."""

    reader: str
    """Its full name, tenant/reader."""
    label_ja: str
    label_en: str
    programmes: tuple[str, ...]
    online: bool
    """Connected to the fleet."""
    hears: bool
    """Its agent, as last heard, is of a version that knows requests (wire.desk.DESK_SINCE)."""


class FoundCard(NamedTuple):
    """One way in which the programme may know the card that was held."""

    scheme: Scheme
    key_epoch: int
    credential: str


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait as the clerk sees it: no credential is in it."""

    id: str
    reader: str
    programme: str
    purpose: str
    state: State
    outcome: Outcome
    left_ms: int
    """Until it expires; 0 when nobody waits any more."""
    schemes: tuple[Scheme, ...]
    """Of the card that was read."""


# --- the office ----------------------------------------------------------------------------------


def desks(fleet: sa.Connection, programme: str = "") -> list[Desk]:
    """Return the desks' readers in service, by name; with a programme those that serve it."""
    columns = (reader.c.name, place.c.label_ja, place.c.label_en, place.c.programmes)
    state = (reader_state.c.online, reader_state.c.agent)
    rows = fleet.execute(
        sa.select(*columns, *state)
        .join(place, place.c.name == reader.c.place)
        .join(reader_state, reader_state.c.reader == reader.c.name, isouter=True)
        .where(place.c.kind == "desk", reader.c.revoked_at_ms.is_(None))
        .order_by(reader.c.name)
    )
    return [
        Desk(
            name,
            ja or name,
            en or name,
            tuple(served),
            bool(online),
            understands(agent or "", DESK_SINCE),
        )
        for name, ja, en, served, online, agent in rows
        if programme in ("", *served)
    ]


def begin(
    people: sa.Connection,
    at_reader: str,
    programme: str,
    purpose: str,
    who: str,
    at_ms: int,
    now_ms: int,
    *,
    wait_ms: int = DESK_WAIT_MS_MAX,
    by: str = "",
) -> str:
    """Let `who` wait for a card at a reader; return the wait's id. Raises DeskBusy.

    What the same account waited for before, there or elsewhere, is over. `purpose` is a name as
    wire.desk.DeskRequest has it: `enrol`, `replace`, `look-up`, …; `now_ms` is for the audit, and
    so is `by`, where `who` is no account.
    """
    others = (desk_wait.c.reader == at_reader, desk_wait.c.account != who, *_is_live(at_ms))
    if other := people.scalar(sa.select(desk_wait.c.account).where(*others).limit(1)):
        raise DeskBusy(other)
    mine = sa.or_(desk_wait.c.account == who, desk_wait.c.reader == at_reader)
    _end(people, mine, Outcome.CANCELLED_HERE)
    wait_id = secrets.token_hex(16)
    people.execute(
        desk_wait.insert().values(
            id=wait_id,
            reader=at_reader,
            programme=programme,
            purpose=purpose,
            account=who,
            state=State.WAITING.value,
            begun_at_ms=at_ms,
            ends_at_ms=at_ms + wait_ms,
            outcome=Outcome.NOTHING.value,
            found=[],
        )
    )
    asked_by = by or who
    audit.note_person(people, now_ms, asked_by, "desk.asked", f"{programme} {at_reader}", purpose)
    return wait_id


def _is_live(at_ms: int) -> tuple[sa.ColumnElement[bool], ...]:
    """True of a row for whose reader nobody else may wait: it waits, and the reader is not dead."""
    silent = sa.and_(
        desk_wait.c.outcome == Outcome.NOTHING.value, desk_wait.c.begun_at_ms <= at_ms - SILENT_MS
    )
    return (
        desk_wait.c.state == State.WAITING.value,
        desk_wait.c.ends_at_ms > at_ms,
        desk_wait.c.ends_at_ms <= at_ms + 2 * DESK_WAIT_MS_MAX,  # or the clock has been set back
        sa.not_(silent),
    )


def _end(people: sa.Connection, which: sa.ColumnElement[bool], outcome: Outcome) -> int:
    waiting = desk_wait.c.state == State.WAITING.value
    over = {"state": State.OVER.value, "outcome": outcome.value}
    return people.execute(desk_wait.update().where(which, waiting).values(over)).rowcount


def look(people: sa.Connection, wait_id: str, who: str, at_ms: int) -> Wait:
    """Return how a wait of this account stands. Raises DeskRefused for any other id."""
    found = people.execute(sa.select(desk_wait).where(*_is_mine(wait_id, who))).one_or_none()
    if found is None:
        raise DeskRefused("nobody waits for a card here any more: begin again")
    state, outcome = _stands(State(found.state), Outcome(found.outcome), found, at_ms)
    return Wait(
        id=found.id,
        reader=found.reader,
        programme=found.programme,
        purpose=found.purpose,
        state=state,
        outcome=outcome,
        left_ms=max(0, found.ends_at_ms - at_ms) if state is State.WAITING else 0,
        schemes=tuple(dict.fromkeys(Scheme(one[0]) for one in found.found)),
    )


def _stands(
    state: State, outcome: Outcome, row: sa.Row[tuple[object, ...]], at_ms: int
) -> tuple[State, Outcome]:
    """Say what a row comes to at an instant: nobody writes down that time has passed."""
    if state is State.WAITING and at_ms >= row.ends_at_ms:
        return State.OVER, Outcome.EXPIRED
    silent = outcome is Outcome.NOTHING and at_ms - row.begun_at_ms >= SILENT_MS
    if state is State.WAITING and silent:
        return State.OVER, Outcome.AWAY
    return state, outcome


def _is_mine(wait_id: str, who: str) -> tuple[sa.ColumnElement[bool], ...]:
    return desk_wait.c.id == wait_id, desk_wait.c.account == who


def cancel(people: sa.Connection, wait_id: str, who: str) -> bool:
    """Wait no more; False when nobody did. The reader is told within a second."""
    return bool(_end(people, sa.and_(*_is_mine(wait_id, who)), Outcome.CANCELLED_HERE))


def drop(people: sa.Connection, wait_id: str, who: str) -> None:
    """Wait no more, and erase what was read."""
    if not cancel(people, wait_id, who):
        people.execute(desk_wait.delete().where(*_is_mine(wait_id, who)))


def take(
    people: sa.Connection, wait_id: str, who: str, programme: str, since_ms: int = 0
) -> list[FoundCard]:
    """Return what the card that was held is known as, and erase it; never empty.

    By each scheme of the programme that it answered to; under the present key epoch first, then
    under the one before. New cards are enrolled by the present epoch alone. Call it in the
    transaction that uses the cards, and leave a line in the audit there. Raises DeskRefused when
    no card was read, or before `since_ms`, or for another account or programme than the one that
    waits.
    """
    mine = (*_is_mine(wait_id, who), desk_wait.c.programme == programme)
    answered = (
        desk_wait.c.state == State.ANSWERED.value,
        desk_wait.c.answered_at_ms >= since_ms,
    )
    found = people.scalar(sa.select(desk_wait.c.found).where(*mine, *answered))
    if not found:
        raise DeskRefused("no card was read here: let it be held to the reader once more")
    people.execute(desk_wait.delete().where(*mine))
    return [FoundCard(Scheme(scheme), epoch, credential) for scheme, epoch, credential in found]


# --- dispatch ------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A wait of which its reader is to be told."""

    id: str
    reader: str
    programme: str
    purpose: str
    ends_at_ms: int

    def request(self, at_ms: int, *, over: bool = False) -> DeskRequest:
        """Return what the reader is told now; `over`: that nobody waits any more."""
        expires_ms = at_ms if over else self.ends_at_ms
        return DeskRequest(1, self.id, self.programme, self.purpose, at_ms, expires_ms)


def asked(people: sa.Connection, at_ms: int) -> list[Asked]:
    """Return whom somebody waits for now, the oldest first, WAITS_MAX at most."""
    columns = (desk_wait.c[name] for name in Asked._fields)
    rows = people.execute(
        sa.select(*columns)
        .where(desk_wait.c.state == State.WAITING.value, desk_wait.c.ends_at_ms > at_ms)
        .order_by(desk_wait.c.begun_at_ms, desk_wait.c.id)
        .limit(WAITS_MAX)
    )
    return [Asked(*row) for row in rows]


def note_sent(people: sa.Connection, ids: Sequence[str], at_ms: int) -> None:
    """Write down when a reader was first told."""
    first = desk_wait.c.sent_at_ms.is_(None)
    people.execute(
        desk_wait.update().where(desk_wait.c.id.in_(ids), first).values(sent_at_ms=at_ms)
    )


def tidy(people: sa.Connection, at_ms: int) -> int:
    """Erase waits that ended an hour ago; return how many."""
    return people.execute(
        desk_wait.delete().where(desk_wait.c.ends_at_ms <= at_ms - KEPT_MS)
    ).rowcount


# --- ingest --------------------------------------------------------------------------------------


def hear(people: sa.Connection, from_reader: str, answer: DeskAnswer, at_ms: int) -> bool:
    """Write down what a reader said, whose signature is verified; False when it is none of ours.

    A late answer, one to a wait that is over or was answered, of another reader or another
    programme changes nothing.
    """
    state, outcome = SAID[answer.said]
    found = [[one.scheme.value, one.key_epoch, one.credential] for one in answer.cards]
    done = people.execute(
        desk_wait.update()
        .where(
            desk_wait.c.id == answer.id,
            desk_wait.c.reader == from_reader,
            desk_wait.c.programme == answer.programme,
            desk_wait.c.state == State.WAITING.value,
            desk_wait.c.ends_at_ms > at_ms,
        )
        .values(state=state.value, outcome=outcome.value, found=found, answered_at_ms=at_ms)
    )
    return bool(done.rowcount)
