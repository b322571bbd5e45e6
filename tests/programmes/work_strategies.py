"""Marks and corrections of one person over four days, as hypothesis draws them."""

import msgspec
from hypothesis import strategies as st

from programmes.calendar import start_of_day_ms
from programmes.work_day_rules import DayRules, Trip
from programmes.work_marks import Add, Contest, Correction, Mark, Redirect, Void
from programmes.work_months import JUNE

MINUTE_MS = 60_000
SPAN_MIN = 4 * 24 * 60
FROM_MS = start_of_day_ms(JUNE)
RULES = DayRules(by_place={"school-night": 6})
DECLARED = st.sampled_from(("", "", "", "in", "out", "away", "back"))
UNSURE_MS = st.sampled_from((0, 0, 0, 1_000, 30 * MINUTE_MS, 12 * 60 * MINUTE_MS))
INSTANTS = st.integers(0, SPAN_MIN * 2).map(lambda half: FROM_MS + half * MINUTE_MS // 2)
WITH_TRIPS = st.lists(
    st.builds(
        lambda first_ms, hours: Trip(first_ms, first_ms + hours * 60 * MINUTE_MS),
        INSTANTS,
        st.integers(1, 40),
    ),
    max_size=2,
).map(lambda trips: msgspec.structs.replace(RULES, trips=tuple(trips)))


def marks_named(name: str) -> st.SearchStrategy[list[Mark]]:
    """Return some marks, each with a name of its own."""
    drawn = st.builds(
        Mark,
        st.just(name),
        INSTANTS,
        DECLARED,
        st.sampled_from(("school-front", "school-night", "")),
        st.sampled_from(("front", "back", "")),
        UNSURE_MS,
        st.sampled_from(("tap", "tap", "tap", "manual", "answer")),
    )
    return st.lists(drawn, max_size=12).map(
        lambda some: [_named(one, f"{name}-{number}") for number, one in enumerate(some)]
    )


def _named(mark: Mark, identity: str) -> Mark:
    return Mark(
        identity,
        mark.at_ms,
        mark.declared,
        mark.place,
        mark.reader,
        mark.unsure_ms,
        mark.origin,
    )


MARKS = marks_named("mark")
_NAMES = st.integers(0, 12).map("mark-{}".format) | st.integers(0, 6).map("added-{}".format)


def _numbered(drawn: tuple[list[Mark], list[tuple[str, str, int]]]) -> list[Correction]:
    added, others = drawn
    found: list[Correction] = [
        Add(number=number, who="clerk", at_ms=FROM_MS, why="card at home", added=mark)
        for number, mark in enumerate(added)
    ]
    for kind, name, of in others:
        number = len(found)
        common = {"number": number, "who": "vice-principal", "at_ms": FROM_MS, "why": "seen"}
        if kind == "void":
            found.append(Void(**common, mark=name))  # type: ignore[arg-type]
        elif kind == "contest":
            found.append(Contest(**common, correction=of))  # type: ignore[arg-type]
        else:
            found.append(Redirect(**common, mark=name, declared=kind))  # type: ignore[arg-type]
    return found


CORRECTIONS = st.tuples(
    marks_named("added").map(lambda some: some[:6]),
    st.lists(
        st.tuples(
            st.sampled_from(("void", "contest", "", "in", "out", "away", "back")),
            _NAMES,
            st.integers(0, 12),
        ),
        max_size=6,
    ),
).map(_numbered)
