"""What every programme (制度) offers: one pure function that decides, and what it needs to know.

The same function runs on the reader and in the ledger. A programme is one module, found by its
file name; `RULEBOOKS` in `programmes/register.py` lists them. Its parameters are dated tables,
edited by a clerk; a decision names the version of the table that it used, so a past month can be
replayed under another one.
"""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar, cast

import msgspec

from programmes.enrolment import Enrolment
from programmes.rides import Rides
from wire.codes import Code, Outcome
from wire.entries import Heading, Rider, Tap, Used
from wire.roster import RosterRow, RuleTable

Direction = Literal["", Heading]
P = TypeVar("P", bound=msgspec.Struct)


class RuleTableRefused(ValueError):
    """A rule table that a programme cannot work with; the sentence names the key and the bound."""


class NotTogether(ValueError):
    """Values that are each good and do not go together; `field` is the one to correct.

    A type of parameters raises it when it is made. Its sentence for clerks is
    `rule.<programme>.<field>.not-together`.
    """

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field: Final = field


class NoRuleInForce(RuleTableRefused):
    """No table covers this day: the first one begins later."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where the tap happens, as far as a rule may look at it."""

    name: str
    kind: Literal["bus", "taxi", "school", "desk", "kiosk"]
    line: str = ""
    """The bus line (系統) that the vehicle serves at this moment; empty when not known."""


class Booked(msgspec.Struct, frozen=True, gc=False):
    """An earlier entry of the same card that booked something (accepted, not a repeat)."""

    at_ms: int
    declared: Direction = ""
    perhaps_not_shown: bool = False
    """The last entry before a power cut: the passenger may never have seen the answer."""
    redirected: Direction = ""
    """The direction that the person gave it afterwards. No outcome depends on it: the word of it
    may lie in a gap."""
    clock_known: bool = True


class Answered(msgspec.Struct, frozen=True, gc=False):
    """What the person has said of a mark that was missing (wire.entries.Answer)."""

    missing: Heading
    day: datetime.date
    claimed_at_ms: int | None = None
    """None: he does not know."""


class Facts(msgspec.Struct, frozen=True):
    """All that a decision may depend on; nothing else exists for it."""

    at_ms: int
    place: Place
    member: RosterRow | None
    rules: Sequence[RuleTable]
    """All dated tables of the roster's header, in any order."""
    roster_age_s: int
    clock_known: bool = True
    declared: Direction = ""
    booked: Sequence[Booked] = ()
    """This card's entries at this reader that booked something, oldest first, of seven days."""
    used: Mapping[str, Used] = msgspec.field(default_factory=dict)
    """What the member has used before this tap, by period (`Rulebook.periods`); a period that is
    not named has seen nothing. A reader that holds no usage file knows of its own entries alone:
    the numbers are then rather too low than too high."""
    usage_age_s: int | None = None
    """Since the ledger counted; None when the reader holds no usage file, 0 in the ledger."""
    riding: bool = False
    """The card is on the list of the ride that is under way."""
    answered: Sequence[Answered] = ()
    """What the person has said here of marks that were missing. No outcome depends on it."""


class Question(msgspec.Struct, frozen=True):
    """What a person is asked after a tap, which does not wait for the answer."""

    missing: Heading
    day: datetime.date
    after_ms: int | None = None
    before_ms: int | None = None
    """Of the marks between which it must have been."""
    from_ms: int = 0
    to_ms: int = 0
    """An answer is later than the one and earlier than the other: of that day, and no future."""


class Seen(msgspec.Struct, frozen=True):
    """What a gate shows of today beside the sentence, as far as its own marks say."""

    heading: Heading
    """As what the day so far takes the last mark."""
    since_ms: int | None = None
    """The first time of presence today."""
    minutes: int | None = None
    """Present today until now; None where a mark is missing or a clock was not known."""
    question: Question | None = None


class Decision(msgspec.Struct, frozen=True):
    """What becomes of a presentation, and the sentence that says so."""

    outcome: Outcome
    code: Code
    shown: str
    """Message id in `locale/`."""
    rule: str = ""
    rider_pays_yen: int | None = None
    arguments: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What the sentence names, already written out (「07:42」); never a person's name."""
    seen: Seen | None = None
    """Where comings and goings are what a tap is for."""


Kind = Literal[
    "yen", "times", "age", "days", "hours", "seconds", "hour", "time", "day", "yes-no", "choice",
    "percent", "lines", "percents", "place-hours", "area",
]  # fmt: skip
"""As what a person reads and writes a parameter: a whole number with its unit (`hour`: of the day),
a time of day, a day, yes or no, one word of some, the bus lines (系統) of each category, names with
a percentage each, places with an hour each, or the corners of an outline (programmes.area)."""


class Parameter(NamedTuple):
    """One parameter of a rule table as a clerk meets it.

    Bounds, words of a choice and what holds when nothing is set stand once, in the programme's
    `Parameters`. The words stand in `locale/` under `rule.<programme>.<name>`: that is its label,
    `.help` says what it is for, `.is` states a value; `.none` no value, `.yes` and `.no`, and
    `.<word>` a word of a choice.
    """

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Example:
    """A golden example that a clerk can read and sign: the story, the facts, the decision."""

    story: str
    """Its words are `rule.<programme>.example.<story>` in `locale/`."""
    facts: Facts
    outcome: Outcome
    code: Code
    rider_pays_yen: int | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    """What the story names, already written out."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """One programme, as the reader and the ledger meet it."""

    name: str
    """Its name in topics, rosters and entries, such as `senior-pass`."""
    decide: Callable[[Facts], Decision]
    parameters: type[msgspec.Struct]
    """The type of one rule table's parameters; unknown keys are refused."""
    described: tuple[Parameter, ...]
    """Every parameter once, in the order in which a clerk reads them."""
    examples: tuple[Example, ...]
    """Golden examples, each under a table of its own."""
    edges: Callable[[RuleTable], tuple[Example, ...]]
    """Golden examples at the limits that a table's own words set: the last ride that is accepted
    and the first that is not. What is expected follows from the words, never from `decide`."""
    fare: Callable[[RuleTable], int] | None = None
    """What a person pays who is let on without a tap, in yen; None where nobody can be."""
    city_pays: Callable[[RuleTable], int] | None = None
    """What the city pays for one ride, in yen; None where nobody is paid."""
    periods: Callable[[int], tuple[str, ...]] | None = None
    """The periods in which a booking at an instant (`at_ms`) counts, such as `("2026",)`, or
    `("2026-06-03", "2026")` where rides a day and a year are limited; None: nothing is counted.
    It is of the calendar alone, never of a rule table: whatever a clerk changes, reader and ledger
    have counted the same tap in the same periods. At most wire.limits.PERIODS_MAX."""
    near: Callable[[int, Sequence[RuleTable]], Mapping[str, Used]] | None = None
    """From what usage on a member must be known to readers, by period, at an instant and under
    these tables (see `rides_between_feeds`); empty while no table limits anything. Where members
    have different limits, such as after a registration in the middle of the year, that of the
    smallest: a row too many does no harm. `times` and `yen` each count unless zero; a threshold
    of both zero means whoever has used anything at all."""
    allowance: Callable[[int, Sequence[RuleTable]], Mapping[str, Used]] | None = None
    """What a member may use at most, by period, at an instant and under these tables: `times` and
    `yen` each where they are not zero; empty while no table limits anything. For the answer to
    «あと何回», never for a decision."""
    looks_back_s: int = 7 * 24 * 3600
    """How long ago an earlier booking of the card may change outcome, code, rule or amount; the
    sentence may name older ones."""
    rides: Rides | None = None
    """How rides are settled; then a ride counts, and an accepted tap alone does not. None: a tap
    counts."""
    see: Callable[[Facts], Seen] | None = None
    """What a gate shows of a card between two taps; its last booking is its last tap."""
    enrolment: Enrolment | None = None
    """Who is enrolled, and until when; None: whoever a clerk enrols, without an end."""


USAGE_EVERY_S: Final = 900
"""How often readers get a new usage file."""
USAGE_UNDER_WAY_S: Final = 120
"""From the ledger's snapshot until a reader decides with it: the fleet says it within a minute,
the rest is fetching, and waiting not to come all at once."""


def rides_between_feeds(repeat_window_s: int) -> int:
    """Return how often readers could let one card through before they know of it.

    One card is at one reader at a time and accepted at most once in the repeat window, so between
    two usage files 1,020 s make 9 rides at 120 s. (A bus that is offline for longer may let more
    through: the programme says what then, and the ledger flags it.)
    """
    return math.ceil((USAGE_EVERY_S + USAGE_UNDER_WAY_S) / repeat_window_s)


def counted(one: Tap | Rider) -> Used:
    """Return what one accepted tap, or one rider of an accepted ride, adds to its periods."""
    return Used(1, one.subsidy_yen if isinstance(one, Rider) else one.rider_pays_yen or 0)


REPEAT_WINDOW_S_MAX: Final = 1_800
"""The longest repeat window of any programme: half an hour is no longer the same boarding."""
PERHAPS_NOT_SHOWN_WINDOW_S: Final = 600
"""Nobody pays twice for a power cut: how long the last entry before it answers as a repeat."""


def rule_in_force(rules: Sequence[RuleTable], day: datetime.date) -> RuleTable:
    """Return the table with the latest start that is not after `day`. Raises NoRuleInForce."""
    latest: RuleTable | None = None
    for table in rules:
        if table.valid_from <= day and (latest is None or _begins(table) > _begins(latest)):
            latest = table
    if latest is None:
        raise NoRuleInForce(f"no rule table is in force on {day}: add one that begins earlier")
    return latest


def _begins(table: RuleTable) -> tuple[datetime.date, str]:
    return table.valid_from, table.version


def rule_for(rules: Sequence[RuleTable], day: datetime.date, *, clock_known: bool) -> RuleTable:
    """Return the table in force, or the first of all for a clock that is wrong and before it.

    A reader that has lost the time stands in 1970, and a rider cannot wait. Raises NoRuleInForce.
    """
    if not clock_known and rules:
        first = min(rules, key=lambda table: (table.valid_from, table.version))
        day = max(day, first.valid_from)
    return rule_in_force(rules, day)


def is_stopped(facts: Facts, member: RosterRow) -> bool:
    """True when the card has been stopped; with an unknown clock any stop counts as begun."""
    if member.stopped_from_s is None:
        return False
    return not facts.clock_known or facts.at_ms >= member.stopped_from_s * 1000


class Timeliness(Protocol):
    """What parameters of a programme say of the clock, and of old rosters."""

    @property
    def accept_with_unknown_clock(self) -> bool:
        """Let on where the reader does not know the time."""

    @property
    def refuse_when_stale(self) -> bool:
        """Refuse where the roster is too old."""

    @property
    def stale_after_h(self) -> int:
        """From how many hours on it is."""


def untimely(facts: Facts, member: RosterRow, rules: Timeliness, day: datetime.date) -> Code | None:
    """Return what speaks against this day; a clock that is not known says nothing about it."""
    if not facts.clock_known:
        return None if rules.accept_with_unknown_clock else Code.CLOCK_UNKNOWN
    if member.valid_from and day < member.valid_from:
        return Code.NOT_YET
    if member.valid_to and day > member.valid_to:
        return Code.EXPIRED
    if rules.refuse_when_stale and facts.roster_age_s > rules.stale_after_h * 3600:
        return Code.STALE
    return None


READ_MAX: Final = 64
"""Tables whose parameters are kept as they were read: a reader has two or three a programme."""
_read: Final[dict[tuple[int, type], tuple[RuleTable, msgspec.Struct]]] = {}
"""By the table's identity; the table is kept beside it, so the number belongs to nothing else."""


def read_parameters(table: RuleTable, parameters: type[P]) -> P:
    """Return a table's parameters, typed and bounded. Raises RuleTableRefused.

    A table is never changed once it is made, so it is read once: 2 µs of each decision otherwise.
    """
    key = id(table), parameters
    if kept := _read.get(key):
        return cast(P, kept[1])
    try:
        read = msgspec.convert(table.parameters, parameters)
    except msgspec.ValidationError as error:
        raise RuleTableRefused(f"rule table {table.version}: {error}") from error
    if len(_read) >= READ_MAX:
        _read.clear()
    _read[key] = table, read
    return read


def is_repeat(facts: Facts, window_s: int) -> bool:
    """True when the card's last booked entry is inside the repeat window.

    A clock that went back does not open the window again: an entry from the future counts as now.
    """
    if not facts.booked:
        return False
    last = facts.booked[-1]
    window = max(window_s, PERHAPS_NOT_SHOWN_WINDOW_S) if last.perhaps_not_shown else window_s
    return facts.at_ms - last.at_ms < window * 1000


def refuse(code: Code, rule: str = "", **arguments: str) -> Decision:
    """Return a refusal with the sentence that all programmes share for this code."""
    return Decision(Outcome.REFUSED, code, f"refused.{code}", rule, arguments=arguments)


def check_table(
    rulebook: Rulebook, version: str, valid_from: str, parameters: dict[str, Any]
) -> RuleTable:
    """Return a checked rule table from plain data. Raises RuleTableRefused."""
    try:
        table = msgspec.convert(
            {"version": version, "valid_from": valid_from, "parameters": parameters}, RuleTable
        )
    except msgspec.ValidationError as error:
        raise RuleTableRefused(f"{error}; write a day as 2026-04-01") from error
    read_parameters(table, rulebook.parameters)
    return table
