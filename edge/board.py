"""What the network half knows of this reader at the moment, and who is told when it changes.

Rule: a press waits for its answer by a way of its own, which no number of open pages can close.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from edge.at_gate import GateScreen
from edge.drives import Drives
from edge.looks import Look, look
from edge.panel import Condition, FromLink, Reach, Shown
from edge.requests import Requests
from edge.today import PRESS, Today
from edge.voice import clips
from programmes.texts import Language, NoSuchText, say
from wire.codes import Code, Outcome

CLIENTS_MAX: Final = 8
"""Pages open at once: a passenger's and a driver's screen, and what a person tries beside."""
EVENTS_MAX: Final = 64
"""Waiting for one page; a page that is so far behind is closed and connects again."""
REFUSED: Final = "refused."
"""How the message ids of refusals begin that are no rulebook's own."""


class ShownEvent(msgspec.Struct, frozen=True):
    """One presentation or press for a page."""

    journal: str
    n: int
    at_ms: int
    outcome: Outcome
    code: Code
    look: Look
    """Shape, colour and sound."""
    message: str
    ja: str
    en: str
    clips: list[str]
    """What the sentence is spoken with (edge/voice.py); empty for a press, which no rider hears."""
    stages_us: dict[str, int]


class ConditionEvent(msgspec.Struct, frozen=True):
    """How the reader is, for a page."""

    at_ms: int
    ready: bool
    trouble: Code | None
    online: bool
    waiting: int
    pressed: dict[str, int]
    asked: str
    """The desk's request that the reader asks a card for; empty when nobody waits."""
    asked_ja: str
    asked_en: str
    asked_clips: list[str]
    asked_left_ms: int


class RideEvent(msgspec.Struct, frozen=True):
    """Who drives, who is aboard or what was settled has changed: a tablet asks for its page."""

    riders: int


class GateEvent(msgspec.Struct, frozen=True):
    """Who stands at the gate, or what he may say, has changed: its page asks for it."""

    n: int


Event = ShownEvent | ConditionEvent | RideEvent | GateEvent


class _Waiting(NamedTuple):
    button: str
    answer: asyncio.Future[ShownEvent]


class TooManyPages(Exception):
    """CLIENTS_MAX pages are open: close one of them."""


def sentence(shown: Shown, language: Language) -> str:
    """Return what was shown, or its bare meaning when the sentence cannot be made."""
    try:
        return say(shown.message, language, **shown.arguments)
    except (NoSuchText, KeyError, IndexError):
        return say(f"page.{look(shown.outcome, shown.code)}", language)


def spoken(shown: Shown) -> list[str]:
    """Return what is said of it aloud, or its bare meaning when the sentence cannot be spoken."""
    if shown.message.startswith(PRESS):
        return []
    bare = f"page.{look(shown.outcome, shown.code)}"
    return clips(shown.message, shown.arguments) or clips(bare, {})


def asked(purpose: str, language: Language) -> str:
    """Return how a card is asked for; a purpose that this program does not know, in general."""
    try:
        return say(f"desk.ask.{purpose}", language)
    except NoSuchText:
        return say("desk.ask", language)


def asked_aloud(purpose: str) -> list[str]:
    """Return what `asked` is spoken with."""
    return clips(f"desk.ask.{purpose}", {}) or clips("desk.ask", {})


@dataclass
class Board:
    """The present state. `say` hands one thing to `tap`; False when it is not there."""

    now_ms: Callable[[], int]
    say: Callable[[FromLink], bool]
    requests: Requests
    """What a desk asks of this reader."""
    condition: Condition | None = None
    """Of the card half; None while it is not there."""
    online: bool = False
    """Connected to the broker."""
    waiting: int = 0
    """Entries that the fleet has not acknowledged."""
    today: Today = field(default_factory=Today)
    drives: Drives = field(init=False)
    """The ride that is under way, where there is a driver in the loop."""
    gate: GateScreen = field(init=False)
    """Who stands at a school's gate."""
    _pages: set[asyncio.Queue[Event | None]] = field(default_factory=set)
    _presses: list[_Waiting] = field(default_factory=list)
    """Oldest first. No limit of their own: the page takes one press a button and second, and none
    waits longer than a few seconds."""

    def __post_init__(self) -> None:
        self.drives = Drives(self.say, self._driven)
        self.gate = GateScreen(self.say, self._at_gate)

    @property
    def ready(self) -> bool:
        """Riders can tap."""
        return self.condition is not None and self.condition.ready

    @property
    def trouble(self) -> Code | None:
        """Why not, when not ready."""
        return self.condition.trouble if self.condition else Code.DEVICE_FAULT

    def subscribe(self) -> asyncio.Queue[Event | None]:
        """Return a queue of what happens from now on; None in it is the end. Raises TooManyPages.

        Give it back with `unsubscribe`.
        """
        if len(self._pages) >= CLIENTS_MAX:
            raise TooManyPages(f"{CLIENTS_MAX} pages are open: close one of them")
        page: asyncio.Queue[Event | None] = asyncio.Queue(EVENTS_MAX + 1)
        self._pages.add(page)
        return page

    def unsubscribe(self, page: asyncio.Queue[Event | None]) -> None:
        """Give a queue back."""
        self._pages.discard(page)

    @contextlib.contextmanager
    def pressed(self, button: str) -> Iterator[asyncio.Future[ShownEvent]]:
        """Give what `tap` will answer to a press that is said within the block.

        Never refused, whatever pages are open. A refusal is an answer too.
        """
        waiting = _Waiting(button, asyncio.get_running_loop().create_future())
        self._presses.append(waiting)
        try:
            yield waiting.answer
        finally:
            self._presses.remove(waiting)

    def shown(self, shown: Shown) -> None:
        """Tell the pages of one presentation or press, and whoever pressed of the answer."""
        self.today.take(shown)
        event = ShownEvent(
            journal=shown.journal,
            n=shown.n,
            at_ms=shown.at_ms,
            outcome=shown.outcome,
            code=shown.code,
            look=look(shown.outcome, shown.code),
            message=shown.message,
            ja=sentence(shown, "ja"),
            en=sentence(shown, "en"),
            clips=spoken(shown),
            stages_us=shown.stages_us,
        )
        if not event.stages_us:  # of a press (edge.panel.Shown)
            self._answer(event)
        self._tell(event)
        self.changed()

    def reach(self, online: bool) -> None:
        """Be connected to the broker or not; the card half's lamp is told of it too."""
        self.online = online
        self.say(Reach(online))
        self.changed()

    def changed(self) -> None:
        """Tell the pages how the reader is now."""
        self._tell(self.state())

    def state(self) -> ConditionEvent:
        """Return how the reader is now."""
        asking = self.requests.asking
        return ConditionEvent(
            at_ms=self.now_ms(),
            ready=self.ready,
            trouble=None if self.ready else self.trouble,
            online=self.online,
            waiting=self.waiting,
            pressed=dict(self.today.pressed),
            asked=asking.id if asking else "",
            asked_ja=asked(asking.purpose, "ja") if asking else "",
            asked_en=asked(asking.purpose, "en") if asking else "",
            asked_clips=asked_aloud(asking.purpose) if asking else [],
            asked_left_ms=asking.left_ms if asking else 0,
        )

    def close(self) -> None:
        """End every page's stream."""
        for page in list(self._pages):
            self._drop(page)

    def _driven(self) -> None:
        self._tell(RideEvent(len(self.drives.aboard.riders) if self.drives.aboard else 0))

    def _at_gate(self) -> None:
        self._tell(GateEvent(self.gate.person.n))

    def _answer(self, event: ShownEvent) -> None:
        """Answer the oldest press that it can be about; a refusal does not name its button.

        What is said of a ride is no answer to it, and nothing in the words of the rulebooks is.
        """
        refused = event.message.startswith(REFUSED)
        for waiting in self._presses:
            if not waiting.answer.done() and (refused or event.message == PRESS + waiting.button):
                waiting.answer.set_result(event)
                return

    def _tell(self, event: Event) -> None:
        for page in list(self._pages):
            if page.qsize() >= EVENTS_MAX:
                self._drop(page)
            else:
                page.put_nowait(event)

    def _drop(self, page: asyncio.Queue[Event | None]) -> None:
        self._pages.discard(page)
        page.put_nowait(None)
