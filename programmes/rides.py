"""What a programme with a driver in the loop offers beside `decide`: a pure function that settles.

A rider's tap is decided like any other and counts nothing. When the driver has read the meter, the
whole ride is settled at once: who of the riders gets what, and what they pay. The same function
runs on the reader and in the ledger.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from wire.codes import Code, Outcome
from wire.entries import Used
from wire.roster import RosterRow, RuleTable

UNDER_WAY_MS: Final = 3 * 3_600_000
"""How long a rider is on the list who is never settled: the longest ride of a town's taxi. His tap
stays in the journal, and the company sees that no fare followed."""


class RiderFacts(msgspec.Struct, frozen=True):
    """One rider whose tap was accepted."""

    member: RosterRow | None
    """None when the roster that knew him is no longer held: his own limits are not known then."""
    used: Mapping[str, Used] = msgspec.field(default_factory=dict)
    """Before this ride, by period."""
    usage_age_s: int | None = None


class RideFacts(msgspec.Struct, frozen=True):
    """All that settling may depend on."""

    at_ms: int
    boarded_at_ms: int
    """When the first rider tapped: the ride is of that day, and its table the one in force then."""
    riders: Sequence[RiderFacts]
    fare_yen: int
    """What the meter says."""
    rules: Sequence[RuleTable]
    roster_age_s: int = 0
    clock_known: bool = True
    discount: str = ""
    """Another discount that the company gives, by its name in the table; empty: none."""
    on: str = ""
    off: str = ""
    """Where the ride began and ended (wire.entries.Spot); empty when not known."""


class Settlement(msgspec.Struct, frozen=True):
    """What becomes of a ride, and the sentence that says so."""

    outcome: Outcome
    code: Code
    shown: str
    """Message id in `locale/`."""
    rule: str
    subsidies_yen: tuple[int, ...]
    """What the city pays for each rider, in their order; all 0 when it is refused."""
    discount_yen: int = 0
    riders_pay_yen: int = 0
    arguments: Mapping[str, str] = msgspec.field(default_factory=dict)
    left: tuple[Mapping[str, str], ...] = ()
    """What each rider may still use after this ride, already written out; empty when it is refused,
    and of a rider whose limits are not known."""

    @property
    def subsidy_yen(self) -> int:
        """What the city pays for the ride."""
        return sum(self.subsidies_yen)


@dataclass(frozen=True, slots=True)
class RideExample:
    """A golden example that a clerk can read and sign: the story, the ride, who pays what."""

    story: str
    """Its words are `rule.<programme>.example.<story>` in `locale/`."""
    facts: RideFacts
    outcome: Outcome
    code: Code
    subsidy_yen: int
    riders_pay_yen: int
    arguments: Mapping[str, str] = field(default_factory=dict)
    """What the story names, already written out."""


@dataclass(frozen=True, slots=True)
class Rides:
    """How a programme settles rides."""

    settle: Callable[[RideFacts], Settlement]
    examples: tuple[RideExample, ...]
    """Golden examples, each under a table of its own."""
    edges: Callable[[RuleTable], tuple[RideExample, ...]]
    """Golden examples at the limits that a table's own words set."""
    discounts: Callable[[RuleTable], Sequence[str]]
    """The other discounts that a table knows, as the driver chooses from them."""
