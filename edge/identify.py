"""From a card in the field to a credential within CARD_MS_MAX, or a reason why not.

Upheld: schemes are tried in the rosters' order, and only those under which members remain · the
next one is tried only when the card gave no identifier or no roster knows it · a card that is torn
away is looked for again until its time is over · an identifier becomes credentials at once and its
buffer is overwritten. Python may have copied the bytes before (into messages, HMAC states and
nfcpy's frames) and gives them back to the allocator uncleared: wiping shortens the time for which
they can be found in memory, it is no proof against someone who reads it.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from edge.frontends import Card, CardGone, FrontEnd
from edge.roster import Match, Rosters
from edge.schemes.allowlist import CardScheme, NoIdentifier, Reading
from wire.clock import Clock
from wire.codes import Code

CARD_MS_MAX: Final = 400
"""From the moment a card was found. What has to fit: two schemes of two APDUs at 25 ms (100 ms),
the air (50 ms), one lost frame (100 ms) and a second try (100 ms) are 350 ms. What follows has to
fit too, because «hold it again» is an answer within 500 ms: the last search for the card, which
may begin just before the end (up to 30 ms), and the entry's disk sync (30 ms)."""


class Identified(NamedTuple):
    """What a presentation is. `match` is there with OK (a roster knows it) and UNKNOWN alone."""

    code: Code
    match: Match | None = None


HOLD_AGAIN: Final = Identified(Code.HOLD_AGAIN)
NOT_USABLE: Final = Identified(Code.CARD_NOT_USABLE)
DEVICE_FAULT: Final = Identified(Code.DEVICE_FAULT)


def identify(
    card: Card, front_end: FrontEnd, rosters: Rosters, clock: Clock, look_again: bool = True
) -> Identified:
    """Return what the card in the field is. Raises FrontEndFault.

    `look_again`: look for a card that was torn away until its time is over.
    Without a roster and its key nothing can be known: DEVICE_FAULT, and the card is not asked.
    """
    if not rosters.holdings:
        return DEVICE_FAULT
    deadline_ns = clock.monotonic_ns() + CARD_MS_MAX * 1_000_000

    def left_s() -> float:
        return (deadline_ns - clock.monotonic_ns()) / 1e9

    present: Card | None = card
    while present:
        try:
            return _by_schemes(present, rosters, left_s)
        except CardGone:
            present = _found_again(present, front_end, left_s) if look_again else None
    return HOLD_AGAIN


def _found_again(card: Card, front_end: FrontEnd, left_s: Callable[[], float]) -> Card | None:
    while left_s() > 0:
        if found := front_end.sense((card.technology,)):
            return found
    return None


def _by_schemes(card: Card, rosters: Rosters, left_s: Callable[[], float]) -> Identified:
    """Try the schemes in order; the first identifier stands when no roster knows the card."""
    stranger: Match | None = None
    for scheme in rosters.schemes(card.technology):
        match = _by_scheme(scheme, card, rosters, left_s)
        if match and match.member:
            return Identified(Code.OK, match)
        stranger = stranger or match
    return Identified(Code.UNKNOWN, stranger) if stranger else NOT_USABLE


def _by_scheme(
    scheme: CardScheme, card: Card, rosters: Rosters, left_s: Callable[[], float]
) -> Match | None:
    if scheme.commands and not card.speaks_apdu:
        return None
    try:
        identifier = scheme.read(Reading(card, scheme.commands, left_s))
    except NoIdentifier:
        return None
    try:
        return rosters.look_up(scheme.name, identifier)
    finally:
        identifier[:] = bytes(len(identifier))
