"""A disclosure as plain words: the same sections for the page, for paper and for a spreadsheet."""

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fleet.disclosure import Disclosure, Use
from fleet.member_events import Event
from fleet.remaining import Left
from fleet.web.looks_page import word_of
from programmes.calendar import local
from programmes.texts import Language, NoSuchText, say

Row = tuple[str, ...]
_TOLD = frozenset({"name", "kana", "birth_date", "category", "valid_from", "valid_to", "household"})


class Section(NamedTuple):
    """One table of a disclosure."""

    name: str
    title: str
    heads: Row
    rows: Sequence[Row]


def sections(
    of: Disclosure, left: Sequence[Left], uses: Sequence[Use], language: Language
) -> list[Section]:
    """Return everything that was disclosed, in the order in which it is read."""
    made: dict[str, list[Row]] = {
        "person": list(_person(of, left, language)),
        "consents": [
            (when(one.at_ms), say(f"web.member.consent.{one.kind}", language),
             " ".join(part for part in (one.ordinance, one.article) if part), one.why, one.who)
            for one in of.consents
        ],
        "cards": [
            (say(f"web.scheme.{one.scheme}", language), when(one.assigned_ms), one.assigned_by,
             when(one.stopped_ms), one.stopped_why, when(one.superseded_ms))
            for one in of.cards
        ],
        "events": [
            (when(one.at_ms), say(f"web.event.{one.kind}", language), one.why,
             _changed(one, language), one.who)
            for one in of.events
        ],
        "uses": [
            (when(one.at_ms), one.place_en if language == "en" else one.place_ja,
             outcome(one, language), "" if one.yen is None else f"{one.yen:,}")
            for one in uses
        ],
        "looks": [(when(one.at_ms), one.who, word_of(one.what, language)) for one in of.looks],
    }  # fmt: skip
    if of.work:
        made["work"] = [
            (when(one.at_ms or None), say(f"work.told.{one.kind}", language),
             one.day, one.said, one.who)
            for one in of.work
        ]  # fmt: skip
    return [
        Section(name, say(f"web.disclosure.{name}", language), heads(name, language), rows)
        for name, rows in made.items()
    ]


def heads(name: str, language: Language) -> Row:
    """Return what the columns of a section are called."""
    return tuple(say(f"web.disclosure.{name}.heads", language).split("|"))


def when(at_ms: int | None) -> str:
    """Return an instant on the town's clock, to the minute; empty for none."""
    return "" if at_ms is None else f"{local(at_ms):%Y-%m-%d %H:%M}"


def _person(of: Disclosure, left: Sequence[Left], language: Language) -> Iterator[Row]:
    yield say("web.members.number", language), of.registration_number
    yield say("web.field.name", language), of.name
    yield say("web.field.kana", language), of.kana
    yield say("web.field.birth_date", language), _day(of.birth_date)
    yield say("web.field.category", language), of.category
    yield say("web.field.valid_from", language), _day(of.valid_from)
    yield say("web.field.valid_to", language), _day(of.valid_to)
    if of.ended_kind:
        yield say("web.field.ended_kind", language), say(f"web.ended.{of.ended_kind}", language)
    if of.stopped_ms is not None:
        stopped = f"{when(of.stopped_ms)} {of.stopped_why}"
        yield say("web.members.stopped", language), stopped
    if of.household:
        yield say("web.member.household", language), " ".join(of.household_numbers)
    for one in left:
        used = say("web.left.used", language, times=one.used.times)
        yield say(f"web.exchange.counted.{one.span}", language), used


def _day(day: datetime.date | None) -> str:
    return "" if day is None else day.isoformat()


def _changed(event: Event, language: Language) -> str:
    none = say("web.member.none", language)
    told = [
        f"{say(f'web.field.{one.column}', language)}: {one.old or none} → {one.new or none}"
        for one in event.changed
        if one.column in _TOLD - {"household"}
    ]
    return " / ".join(told)


def outcome(use: Use, language: Language) -> str:
    """Return what became of a presentation, in words; its stable word for one that is newer."""
    if use.subsidy_yen is not None:
        kind = "ride-back" if use.subsidy_yen < 0 else "ride"
        return say(f"web.use.{kind}", language, yen=f"{abs(use.subsidy_yen):,}")
    try:
        return say(f"web.use.{use.outcome}", language)
    except NoSuchText:
        return use.outcome
