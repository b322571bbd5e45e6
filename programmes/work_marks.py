"""What is known of one person's comings and goings: marks, and corrections that erase nothing.

Rules: a mark is never changed; a correction is a row of its own that says who made it, when and
why. Of the corrections of one mark the latest holds, all stay beside it. A mark that was voided by
mistake stands again by a later correction of its direction. Who is corrected may contest it: that
changes nothing by itself and is seen until somebody corrects the mark again.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from programmes.rulebook import Direction

Origin = Literal["tap", "manual", "answer", "lent"]
"""A card at a reader; an entry by hand (手入力); the answer to a question about what is missing; a
card at a reader that was lent for the day (貸出カード)."""
Ms = Annotated[int, Meta(ge=0)]


class MarksRefused(ValueError):
    """Two different marks or corrections bear one identity; the sentence names it."""


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One moment at which a person was seen, or says to have come or gone."""

    identity: str
    """Corrections name it: of a tap its reader, journal and sequence."""
    at_ms: Ms
    """UTC, as well as it is known: a step of the reader's clock is already counted in."""
    declared: Direction = ""
    place: str = ""
    reader: str = ""
    """Whose clock it was; marks of one reader are in their true order. Empty for an entry."""
    unsure_ms: Ms = 0
    """How far the clock may have been off, to either side."""
    origin: Origin = "tap"

    @property
    def is_by_hand(self) -> bool:
        """True when no card made it."""
        return self.origin in ("manual", "answer")


class _Correction(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True
):
    """What every correction carries."""

    number: int
    """Rising in the order in which corrections were stored: the highest is the latest."""
    who: str
    at_ms: Ms
    why: str


class Void(_Correction, frozen=True, tag="void"):
    """The mark is not true, or does not count."""

    mark: str


class Add(_Correction, frozen=True, tag="add"):
    """A mark that no reader has; it is corrected like any other."""

    added: Mark


class Redirect(_Correction, frozen=True, tag="redirect"):
    """The mark stands, with this direction; empty: as the whole day says."""

    mark: str
    declared: Direction


class Contest(_Correction, frozen=True, tag="contest"):
    """The person says that this correction is wrong."""

    correction: int


Correction = Void | Add | Redirect | Contest


class Standing(NamedTuple):
    """A mark as its latest correction leaves it."""

    mark: Mark
    declared: Direction
    is_void: bool = False
    corrections: tuple[Correction, ...] = ()
    """Oldest first."""

    @property
    def order(self) -> tuple[int, str]:
        """By it marks are sorted, whenever they arrived."""
        return self.mark.at_ms, self.mark.identity

    @property
    def said(self) -> tuple[int, str]:
        """By it what people said is sorted: as it was stored."""
        return max((one.number for one in self.corrections), default=-1), self.mark.identity

    @property
    def is_contested(self) -> bool:
        """True while the last word on it is the person's own objection."""
        return bool(self.corrections) and isinstance(self.corrections[-1], Contest)


class Known(NamedTuple):
    """All marks of a person in the order of their times, and what corrects none of them."""

    marks: tuple[Standing, ...]
    unmatched: tuple[Correction, ...]
    """Of marks that are not here: of another period, or still in a reader without a network."""


def standing(marks: Iterable[Mark], corrections: Iterable[Correction]) -> Known:
    """Return every mark as corrected. Raises MarksRefused for two that bear one identity.

    What arrives twice unchanged is one.
    """
    numbered = _once((one.number, one) for one in corrections)
    added = [one.added for one in numbered.values() if isinstance(one, Add)]
    named = _once((mark.identity, mark) for mark in (*marks, *added))
    of_mark: dict[str, list[Correction]] = defaultdict(list)
    unmatched: list[Correction] = []
    for number in sorted(numbered):
        target = _target(numbered[number], numbered)
        (of_mark[target] if target in named else unmatched).append(numbered[number])
    known = (_corrected(mark, of_mark[identity]) for identity, mark in named.items())
    return Known(tuple(sorted(known, key=lambda one: one.order)), tuple(unmatched))


Key = TypeVar("Key", int, str)
Thing = TypeVar("Thing", Mark, Correction)


def _once(named: Iterable[tuple[Key, Thing]]) -> dict[Key, Thing]:
    found: dict[Key, Thing] = {}
    for name, thing in named:
        if found.setdefault(name, thing) != thing:
            raise MarksRefused(f"two different things are named {name!r}: give each its own")
    return found


def _target(correction: Correction, numbered: dict[int, Correction]) -> str:
    """Return the identity of the mark that a correction is about; empty when it is not known."""
    seen: set[int] = set()
    while isinstance(correction, Contest):
        seen.add(correction.number)
        following = numbered.get(correction.correction)
        if following is None or following.number in seen:
            return ""
        correction = following
    return correction.added.identity if isinstance(correction, Add) else correction.mark


def _corrected(mark: Mark, corrections: list[Correction]) -> Standing:
    declared, is_void = mark.declared, False
    for one in corrections:
        if isinstance(one, Void):
            is_void = True
        elif isinstance(one, Redirect):
            declared, is_void = one.declared, False
    return Standing(mark, declared, is_void, tuple(corrections))
