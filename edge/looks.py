"""How the reader looks, on screen and lamp alike: what became of a card, and how the reader is.

Both are told by one table, so that nobody sees «yes» on one and «no» on the other. A lamp's meaning
is one of wire.headlink.MEANINGS, a screen's look one of those that `web/static/page.js` draws.
"""

from typing import Final, Literal

from wire.codes import Code, Outcome

Look = Literal["accepted", "repeat", "again", "refused"]
Meaning = Literal[
    "ready", "reading", "yes", "no", "repeat", "hold-again", "offline", "fault", "off"
]

AGAIN: Final = frozenset({Code.HOLD_AGAIN, Code.TWO_CARDS})
"""Refusals after which the same person just tries again."""
OUT_OF_ORDER: Final = frozenset({Code.DEVICE_FAULT, Code.JOURNAL_FULL})
"""Refusals that are the reader's own: on the screen the sentence says so, on the lamp its fault."""
OF_OUTCOME: Final[dict[Outcome, Look]] = {
    Outcome.ACCEPTED: "accepted",
    Outcome.REPEAT: "repeat",
    Outcome.REFUSED: "refused",
}
OF_LOOK: Final[dict[Look, Meaning]] = {
    "accepted": "yes",
    "repeat": "repeat",
    "again": "hold-again",
    "refused": "no",
}


def look(outcome: Outcome, code: Code) -> Look:
    """Return how a result looks on a screen."""
    return "again" if code in AGAIN else OF_OUTCOME[outcome]


def answer(outcome: Outcome, code: Code) -> Meaning:
    """Return what the lamp says of a result."""
    return "fault" if code in OUT_OF_ORDER else OF_LOOK[look(outcome, code)]


def standing(*, ready: bool, online: bool) -> Meaning:
    """Return what the lamp says between two cards; `ready`: riders can tap."""
    if not ready:
        return "fault"
    return "ready" if online else "offline"
