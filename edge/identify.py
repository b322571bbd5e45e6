"""From a card in the field to a credential within CARD_MS_MAX, or a reason why not.

Upheld: schemes are tried in the rosters' order, and only those under which members remain · the
next one is tried only when the card gave no identifier or no roster knows it · where members move
to another scheme a card that is known is read by that one too, if there is time; whatever comes of
that, what was found stands · for a desk a card is read by every scheme of the programme that asks ·
a card that is torn away is looked for again until its time is over ·
an identifier becomes credentials at once and its buffer is overwritten. Python may have copied the
bytes before (into messages, HMAC states and nfcpy's frames) and gives them back to the allocator
uncleared: wiping shortens the time for which they can be found in memory, it is no proof against
someone who reads it.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from edge.frontends import Card, CardGone, Crowded, FrontEnd, FrontEndFault
from edge.roster import Holding, Match, Rosters
from edge.schemes.allowlist import CardScheme, NoIdentifier, Reading
from wire.clock import Clock
from wire.codes import Code
from wire.credential import Scheme

CARD_MS_MAX: Final = 400
"""From the moment a card was found. What has to fit: two schemes of two APDUs at 25 ms (100 ms),
the air (50 ms), one lost frame (100 ms) and a second try (100 ms) are 350 ms. What follows has to
fit too, because «hold it again» is an answer within 500 ms: the last search for the card, which
may begin just before the end (up to 30 ms), and the entry's disk sync (30 ms)."""

MOVE_MS_MAX: Final = 150
"""For reading a known card by a second scheme: two APDUs at 25 ms and one lost frame (100 ms). The
card's holder waits so long, at most, for what was certain before."""


class Identified(NamedTuple):
    """What a presentation is. `match` is there with OK (a roster knows it) and UNKNOWN alone."""

    code: Code
    match: Match | None = None
    desk: Sequence[Match] = ()
    """With DESK alone: the card in the programme that asked, by each scheme it answered to."""


HOLD_AGAIN: Final = Identified(Code.HOLD_AGAIN)
TWO_CARDS: Final = Identified(Code.TWO_CARDS)
NOT_USABLE: Final = Identified(Code.CARD_NOT_USABLE)
DEVICE_FAULT: Final = Identified(Code.DEVICE_FAULT)


def identify(
    card: Card,
    front_end: FrontEnd,
    rosters: Rosters,
    clock: Clock,
    look_again: bool = True,
    desk: Holding | None = None,
) -> Identified:
    """Return what the card in the field is; `card.times_us` tells how long it took.

    Raises FrontEndFault.
    `look_again`: look for a card that was torn away until its time is over. `desk`: the programme
    for which a desk asks who this is, whether a roster knows the card or not.
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
            if desk:
                return _for_desk(present, rosters, desk, left_s)
            return _by_schemes(present, rosters, left_s)
        except CardGone:
            present = _found_again(present, front_end, left_s) if look_again else None
            if present:
                present.times_us = card.times_us
    return HOLD_AGAIN


def _found_again(card: Card, front_end: FrontEnd, left_s: Callable[[], float]) -> Card | None:
    while left_s() > 0:
        with contextlib.suppress(Crowded):
            if found := front_end.sense((card.technology,)):
                return found
    return None


def _by_schemes(card: Card, rosters: Rosters, left_s: Callable[[], float]) -> Identified:
    """Try the schemes in order; the first identifier stands when no roster knows the card.

    But not one by a scheme that members are leaving: nobody is enrolled by it any more.
    """
    stranger: Match | None = None
    for scheme in rosters.schemes(card.technology):
        if not (identifier := _read(scheme, card, left_s)):
            continue
        match = _look_up(rosters.look_up, scheme, identifier)
        if match.member:
            return Identified(Code.OK, _moved(match, card, rosters, left_s))
        if stranger is None or rosters.moving_to(stranger):
            stranger = match
    return Identified(Code.UNKNOWN, stranger) if stranger else NOT_USABLE


def _for_desk(
    card: Card, rosters: Rosters, desk: Holding, left_s: Callable[[], float]
) -> Identified:
    """Read a card by every scheme of one programme; all that it gives, or nothing at all."""
    found = [
        _look_up(desk.match, scheme, identifier)
        for scheme in rosters.schemes(card.technology, desk)
        if (identifier := _read(scheme, card, left_s))
    ]
    return Identified(Code.DESK, desk=found) if found else NOT_USABLE


def _moved(found: Match, card: Card, rosters: Rosters, left_s: Callable[[], float]) -> Match:
    """Read a known card by the scheme that members move to as well; `found` if that fails."""
    scheme = rosters.moving_to(found)
    if scheme is None or scheme.technology != card.technology:
        return found
    end_s = left_s() - MOVE_MS_MAX / 1000
    try:
        identifier = _read(scheme, card, lambda: min(left_s(), left_s() - end_s))
    except (CardGone, FrontEndFault):  # a front end that is broken says so at the next card
        return found
    if identifier is None:
        return found
    return _look_up(functools.partial(found.holding.moved, found), scheme, identifier)


def _read(scheme: CardScheme, card: Card, left_s: Callable[[], float]) -> bytearray | None:
    """Return the card's identifier, None when this scheme gives none."""
    if scheme.commands and not card.speaks_apdu:
        return None
    try:
        return scheme.read(Reading(card, scheme.commands, left_s))
    except NoIdentifier:
        return None


def _look_up(
    look_up: Callable[[Scheme, bytearray], Match], scheme: CardScheme, identifier: bytearray
) -> Match:
    """Turn an identifier into credentials, and overwrite it."""
    try:
        return look_up(scheme.name, identifier)
    finally:
        identifier[:] = bytes(len(identifier))
