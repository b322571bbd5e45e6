"""What can become of a presentation: three outcomes and a stable, language-free code.

The codes are part of the contract: they are stored for years and never renamed. The sentence for
each code stands once, in `locale/`.
"""

import enum


class Outcome(enum.StrEnum):
    """What a presentation came to.

    `repeat` is neither accepted nor refused and books nothing: the card was taken a moment ago, or
    it was held for a desk.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REPEAT = "repeat"


class Code(enum.StrEnum):
    """Why; every refusal has exactly one of these, and shows one plain sentence.

    `desk`: a clerk waited for this card (wire.desk), so it was read and nothing was decided.
    """

    OK = "ok"
    REPEAT = "repeat"
    DESK = "desk"
    HOLD_AGAIN = "hold-again"
    TWO_CARDS = "two-cards"
    CARD_NOT_USABLE = "card-not-usable"
    UNKNOWN = "unknown"
    NOT_ELIGIBLE = "not-eligible"
    NOT_YET = "not-yet"
    USED_UP = "used-up"
    EXPIRED = "expired"
    STOP_LISTED = "stop-listed"
    WRONG_PLACE = "wrong-place"
    NOT_NOW = "not-now"
    STALE = "stale"
    CLOCK_UNKNOWN = "clock-unknown"
    JOURNAL_FULL = "journal-full"
    DEVICE_FAULT = "device-fault"
