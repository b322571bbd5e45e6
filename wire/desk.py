"""A clerk's browser waits, the desk's own reader answers: the two messages between them.

Fleet → reader, on leaf `command`: DeskRequest. Reader → fleet, on leaf `command/result`:
DeskAnswer. Both travel in `wire.envelope`. A request is said again every few seconds while the
browser waits, each time signed anew; the same request whose time is over takes itself back.
"""

import enum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.credential import Scheme
from wire.entries import AtMs, Hex128, Name
from wire.limits import DESK_CARDS_MAX

DESK_SINCE: Final = (0, 3)
"""The first version of the agent that hears requests; an older one never subscribes to them."""
KeyEpoch = Annotated[int, Meta(ge=1, le=65_535)]


class DeskSaid(enum.StrEnum):
    """What a reader says about a request."""

    ASKING = "asking"
    """The screen asks for the card from now on."""
    READ = "read"
    """A card was held, and `cards` is what it is known as."""
    HOLD_AGAIN = "hold-again"
    """A card was torn away too early; the reader goes on asking."""
    TWO_CARDS = "two-cards"
    """Several cards at once; the reader goes on asking."""
    CARD_NOT_USABLE = "card-not-usable"
    """A card by which nobody can be known in this programme; the reader asks no more."""
    CANCELLED = "cancelled"
    """Somebody said so on the reader's own page."""
    NOT_READY = "not-ready"
    """It cannot read cards for this programme: no front end, no list, no room, or no desk."""


class DeskRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next card held here before `expires_ms` is for the desk, not for a ride or a day.

    `purpose` names the sentence on the screen (`desk.ask.<purpose>`); a reader that has none of
    that name shows the general one. With `expires_ms` not after `at_ms` nobody waits any more.
    """

    v: Literal[1]
    id: Hex128
    programme: Name
    purpose: Name
    at_ms: AtMs
    """The fleet's time of this very message (wire.clock.patience_ms): a reader takes none that is
    not newer than the last one, so none can be replayed."""
    expires_ms: AtMs


class DeskCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which the programme that asked may know the card."""

    scheme: Scheme
    key_epoch: KeyEpoch
    credential: Hex128


class DeskAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What became of a request. Raises ValueError when there are cards without READ, or none with.

    `cards`: by each scheme of the programme that the card answered to, the present key epoch
    before the one before. They are kept nowhere on the reader, and stand in no entry.
    """

    v: Literal[1]
    id: Hex128
    programme: Name
    at_ms: AtMs
    said: DeskSaid
    cards: Annotated[list[DeskCard], Meta(max_length=DESK_CARDS_MAX)] = []

    def __post_init__(self) -> None:
        if (self.said is DeskSaid.READ) is not bool(self.cards):
            raise ValueError("cards stand in the answer to a card that was read, and in no other")
