"""What is known of each scheme, whoever uses it: what it reads, what changes it, what it asks for.

Rules: no scheme is in use because it is listed here; a tenant states its ground for each programme
(`fleet.schemes`). All of them are read without a PIN, so none of them proves that a card is
genuine. The sentences stand in `locale/`: `web.scheme.{scheme}.ground`, `.sign`, `.changes`.
"""

import datetime
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from wire.credential import Scheme

SIGN: Final = "sign"
"""What a tenant must have signed before it may be switched on."""
GROUND: Final = "ground"
"""What law or contract it rests on, as far as is known."""
CHANGES: Final = "changes"
"""What makes the identifier another one, so that the member is to be enrolled anew."""
CHECKED_ON: Final = datetime.date(2026, 11, 26)
"""When statutes and notices were last looked up; `docs/adr/0004-schemes.md` names them."""


class Facts(NamedTuple):
    """What is the same wherever a scheme is used."""

    technology: Literal["106A", "106B", "212F"]
    """What a reader polls: cards of two technologies are never read at one tap."""
    ground_since: datetime.date | None = None
    """From when on the law says so, where it has changed."""


FACTS: Final[Mapping[Scheme, Facts]] = {
    Scheme.COMMON_AP: Facts("106B"),
    Scheme.JPKI_AUTH: Facts("106B", datetime.date(2024, 5, 27)),
    Scheme.FELICA_IDM: Facts("212F"),
    Scheme.STAFF_TOKEN: Facts("106A"),
    Scheme.CARD_AP: Facts("106B"),
}


def text_id(scheme: Scheme, part: str) -> str:
    """Return the message id of one sentence on a scheme; `part` is SIGN, GROUND or CHANGES."""
    return f"web.scheme.{scheme}.{part}"
