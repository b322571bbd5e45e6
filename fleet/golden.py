"""Golden examples under a rule table, in sentences that a clerk can read and sign.

Rules: examples and what is expected of them come from the programme's own module; what stands here
asks its `decide` and writes the answer down. Pure.
"""

import datetime
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from programmes.rulebook import Decision, Example, Rulebook
from programmes.texts import Language, say
from wire.codes import Outcome
from wire.roster import RuleTable

_ALWAYS: Final = datetime.date(1, 1, 1)


class Told(NamedTuple):
    """One example under two tables."""

    story: str
    before: str
    """What the table in force answers; empty without one."""
    after: str

    @property
    def is_changed(self) -> bool:
        """True when the two tables answer something else."""
        return self.before != self.after


def told(
    book: Rulebook, table: RuleTable, base: RuleTable | None, language: Language
) -> list[Told]:
    """Return all examples under a table and its base, and those at the limits of both.

    Raises RuleTableRefused.
    """
    found: dict[str, Told] = {}
    for example in _all(book, table, base):
        story = say(f"rule.{book.name}.example.{example.story}", language, **example.arguments)
        before = "" if base is None else _answer(book, example, base, language)
        found.setdefault(story, Told(story, before, _answer(book, example, table, language)))
    return list(found.values())


def broken(book: Rulebook, table: RuleTable) -> list[Example]:
    """Return the examples that this program does not answer as they say: there must be none."""
    return [
        one
        for one in (*book.edges(table), *book.examples)
        if not holds(one, book.decide(one.facts))
    ]


def holds(example: Example, made: Decision) -> bool:
    """True when a decision is what the example says."""
    wanted = example.rider_pays_yen
    yen = made.rider_pays_yen if wanted is not None else None
    return (made.outcome, made.code, yen) == (example.outcome, example.code, wanted)


def _all(book: Rulebook, table: RuleTable, base: RuleTable | None) -> Iterator[Example]:
    yield from book.edges(table)
    if base is not None:
        yield from book.edges(base)
    yield from book.examples


def _answer(book: Rulebook, example: Example, table: RuleTable, language: Language) -> str:
    facts = replace(example.facts, rules=(replace(table, valid_from=_ALWAYS),))
    return outcome(book.decide(facts), language)


def outcome(made: Decision, language: Language) -> str:
    """Return a decision in words: 「断る（回数を使い切り）」."""
    if made.outcome is Outcome.REFUSED:
        return say(f"rule.outcome.{made.code}", language)
    if made.outcome is Outcome.ACCEPTED and made.rider_pays_yen:
        return say("rule.outcome.accepted-yen", language, yen=f"{made.rider_pays_yen:,}")
    return say(f"rule.outcome.{made.outcome}", language)
