"""What may be corrected of a day, as people say it, and the rows that it becomes.

Rules: a wish names a mark that is there, or a time that nobody marked; what a mark is voided or
turned by names it by its identity, so it holds whatever arrives later; a mark by hand is marked as
one for ever.
"""

import datetime
import secrets
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from fleet.work_acts import WorkRefused
from programmes.work_day_rules import DayRules
from programmes.work_marks import Add, Correction, Mark, Redirect, Void
from wire.limits import AT_MS_MAX

WISHES_MAX: Final = 10
"""Of one request: two arrivals, two leavings, out and back, and what they replace."""
IDENTITY_MAX: Final = 200
BY_HAND: Final = "hand"
"""How the identity of a mark begins that no reader has."""
_Identity = Annotated[str, Meta(min_length=1, max_length=IDENTITY_MAX)]


class AddMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="add", tag_field="do"):
    """I came or went then, and there is no mark."""

    at_ms: Annotated[int, Meta(ge=0, le=AT_MS_MAX)]
    declared: Literal["in", "out", "away", "back"]
    place: Annotated[str, Meta(max_length=32)] = ""


class VoidMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="void", tag_field="do"):
    """This mark is not true."""

    mark: _Identity


class TurnMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="turn", tag_field="do"):
    """This mark was the other direction; empty: as the whole day says."""

    mark: _Identity
    declared: Literal["", "in", "out", "away", "back"]


Wish = AddMark | VoidMark | TurnMark
_DECODER: Final[msgspec.json.Decoder[list[Wish]]] = msgspec.json.Decoder(list[Wish])


def encode(wishes: list[Wish]) -> bytes:
    """Return wishes as a request holds them."""
    return msgspec.json.encode(wishes)


def decode(body: bytes) -> list[Wish]:
    """Return the wishes of a request."""
    return _DECODER.decode(body)


def check(wishes: list[Wish], day: datetime.date, rules: DayRules, at_ms: int) -> None:
    """Raise WorkRefused for wishes that nobody can have of this day."""
    if not 1 <= len(wishes) <= WISHES_MAX:
        raise WorkRefused("wishes", limit=WISHES_MAX)
    for one in wishes:
        if isinstance(one, AddMark):
            if rules.day_of(one.at_ms, one.place) != day:
                raise WorkRefused("other-day", day=str(day))
            if one.at_ms > at_ms:
                raise WorkRefused("to-come")


def correction(wish: Wish, who: str, at_ms: int, why: str) -> Correction:
    """Return the correction that a wish becomes; its number is given when it is stored."""
    common = {"number": 0, "who": who, "at_ms": at_ms, "why": why}
    if isinstance(wish, VoidMark):
        return Void(**common, mark=wish.mark)  # type: ignore[arg-type]  # the four above
    if isinstance(wish, TurnMark):
        return Redirect(**common, mark=wish.mark, declared=wish.declared)  # type: ignore[arg-type]
    mark = Mark(
        f"{BY_HAND}/{secrets.token_hex(8)}",
        wish.at_ms,
        wish.declared,
        wish.place,
        origin="manual",
    )
    return Add(**common, added=mark)  # type: ignore[arg-type]  # the four above
