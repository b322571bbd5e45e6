"""Golden examples under a rule table, in sentences that a clerk can read and sign.

Rules: examples and what is expected of them come from the programme's own module, taps and, where
a programme has them, rides; what stands here asks its `decide` or `settle` and writes the answer
down. Pure.
"""

import datetime
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from msgspec.structs import replace

from programmes.rides import RideExample, Rides, Settlement
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


def broken(book: Rulebook, table: RuleTable) -> list[Example | RideExample]:
    """Return the examples that this program does not answer as they say: there must be none."""
    taps = (*book.edges(table), *book.examples)
    found: list[Example | RideExample] = [
        one for one in taps if not holds(one, book.decide(one.facts))
    ]
    if book.rides is not None:
        rides = (*book.rides.edges(table), *book.rides.examples)
        found += [one for one in rides if not ride_holds(one, book.rides.settle(one.facts))]
    return found


def holds(example: Example, made: Decision) -> bool:
    """True when a decision is what the example says."""
    wanted = example.rider_pays_yen
    yen = made.rider_pays_yen if wanted is not None else None
    return (made.outcome, made.code, yen) == (example.outcome, example.code, wanted)


def ride_holds(example: RideExample, made: Settlement) -> bool:
    """True when a settlement is what the example says."""
    paid = made.subsidy_yen, made.riders_pay_yen
    wanted = example.subsidy_yen, example.riders_pay_yen
    return (made.outcome, made.code, *paid) == (example.outcome, example.code, *wanted)


def _all(
    book: Rulebook, table: RuleTable, base: RuleTable | None
) -> Iterator[Example | RideExample]:
    for limits in (table, base):
        if limits is not None:
            yield from book.edges(limits)
            yield from book.rides.edges(limits) if book.rides else ()
    yield from book.examples
    yield from book.rides.examples if book.rides else ()


def _answer(
    book: Rulebook, example: Example | RideExample, table: RuleTable, language: Language
) -> str:
    rules = (replace(table, valid_from=_ALWAYS),)
    if isinstance(example, Example):
        return outcome(book.decide(replace(example.facts, rules=rules)), language)
    rides = cast(Rides, book.rides)  # whose example it is
    return settlement(rides.settle(replace(example.facts, rules=rules)), language)


def outcome(made: Decision, language: Language) -> str:
    """Return a decision in words: 「断る（回数を使い切り）」."""
    if made.outcome is Outcome.REFUSED:
        return say(f"rule.outcome.{made.code}", language)
    if made.outcome is Outcome.ACCEPTED and made.rider_pays_yen:
        return say("rule.outcome.accepted-yen", language, yen=f"{made.rider_pays_yen:,}")
    return say(f"rule.outcome.{made.outcome}", language)


def settlement(made: Settlement, language: Language) -> str:
    """Return who pays what of a ride in words: 「市が払う額 750円、乗る人が払う額 750円」."""
    subsidy, pays = f"{made.subsidy_yen:,}", f"{made.riders_pay_yen:,}"
    if made.outcome is Outcome.REFUSED:
        return say("rule.outcome.settled-refused", language, pays=pays)
    return say("rule.outcome.settled", language, subsidy=subsidy, pays=pays)
