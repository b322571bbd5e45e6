"""What is said between reader and fleet; every message travels in `wire.envelope`.

Reader → fleet: Batch, Status, Telemetry, Triage, TwinReported. Fleet → reader: Ack, TwinDesired.
What a desk asks and a reader answers stands in `wire.desk`.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.codes import Code
from wire.credential import Scheme
from wire.entries import AtMs, Hash, Hex128, Name, Sequence
from wire.limits import BATCH_ENTRIES_MAX, LOST_MAX, PROGRAMMES_PER_PLACE_MAX, SEQUENCE_MAX

Count = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
Plain = Annotated[str, Meta(max_length=40, pattern="^[^\\x00]*$")]
"""A short text without U+0000, which PostgreSQL does not keep."""


NAMES_SINCE: Final = (0, 4)
"""Agents from this version on read `TwinDesired.names`."""


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: Literal[1]


class Batch(_Body, frozen=True):
    """A run of entries of one journal; one batch of a reader is in flight at a time.

    The numbers `first` to `first + lost - 1` are declared lost: the reader found them damaged and
    can never send them. The entries follow at once: `before` is the hash before the first of
    them, `tip` the hash after the last (equal to `before` when there are none).
    """

    journal: Hex128
    first: Sequence
    lost: Annotated[int, Meta(ge=0, le=LOST_MAX)]
    before: Hash
    entries: Annotated[list[msgspec.Raw], Meta(max_length=BATCH_ENTRIES_MAX)]
    tip: Hash

    @property
    def last(self) -> int:
        """The last number that this batch accounts for."""
        return self.first + self.lost + len(self.entries) - 1


class Ack(_Body, frozen=True):
    """Everything of this journal up to `through` is committed without an unexplained hole.

    `epoch` names the ledger's life: after a restore into an older state it is a new one, and in
    a new epoch a lower `through` is believed and the rest is sent again.
    """

    epoch: Hex128
    journal: Hex128
    through: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
    at_ms: AtMs


class RosterHeld(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One roster that a reader decides with."""

    programme: Name
    version: Count
    age_s: Count
    """Seconds since the fleet last said that this version is the one wanted."""


class Status(_Body, frozen=True):
    """How a reader is, retained.

    With `online` false it is the last will: the rest is as it was when the connection began.
    """

    online: bool
    at_ms: AtMs
    agent: Plain
    front_end: Plain = ""
    ready: bool = False
    """Riders can tap: front end, journal and at least one roster are in order."""
    trouble: Code | None = None
    """Why not, when not ready."""
    journal: Hex128 | None = None
    n: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)] = 0
    tip: Hash | None = None
    waiting: Count = 0
    """Entries that the fleet has not acknowledged."""
    rosters: Annotated[list[RosterHeld], Meta(max_length=PROGRAMMES_PER_PLACE_MAX)] = []


STAGES: Final = (
    *("detect", "activate", "select", "read", "identify", "decide", "journal", "show"),
    *("host", "total"),
)
"""What is timed of a presentation, in µs. `detect` is the poll that found the card; `activate`,
`select` and `read` are single exchanges with it, air and line included, within `identify`, and
only cards that are spoken to have them; `host` is total without the time that card, air and line
took, `total` runs from found to shown."""

HISTOGRAM_EDGES_US: Final = tuple(round(100 * 2 ** (step / 2)) for step in range(34))
"""Upper edges of the buckets: 0.1 ms to 9.3 s in steps of √2, so that a quantile read from a
histogram is at most 41 % too high. A last bucket holds what is slower."""


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a stage took how long: counts per bucket of HISTOGRAM_EDGES_US, and the sum."""

    counts: Annotated[list[Count], Meta(min_length=35, max_length=35)]
    sum_us: Count


class Telemetry(_Body, frozen=True):
    """One minute of a reader's life. It carries no person, no credential and no single tap."""

    from_ms: AtMs
    to_ms: AtMs
    stages: Annotated[dict[Plain, Histogram], Meta(max_length=len(STAGES))]
    counters: Annotated[dict[Plain, Count], Meta(max_length=64)]
    """`tap.<code>`, `front-end.reopened`, `uplink.resent`, … at most 64 of them."""


class Triage(_Body, frozen=True):
    """A card that no roster knows was held here, where the programme's triage is on.

    It travels apart from the entries, which keep nothing of strangers: it is not kept by the
    reader, and the fleet erases it after seven days. A clerk can assign the card to a member.
    """

    at_ms: AtMs
    programme: Name
    scheme: Scheme
    key_epoch: Annotated[int, Meta(ge=1, le=65_535)]
    credential: Hex128
    journal: Hex128
    n: Sequence
    """The entry of that tap, so that the same tap is listed once."""


class RosterWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version of a programme's roster that this reader is to hold."""

    programme: Name
    version: Count
    sha256: Hash
    """Of the file's head (wire.roster), which names the rows by their hash, and so the whole."""


class UsageWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest usage file of a programme for this reader's place, by the fleet's time in it."""

    programme: Name
    at_ms: AtMs


class TwinDesired(_Body, frozen=True, omit_defaults=True):
    """What the fleet wants this reader to be; retained, and said again every few minutes.

    `at_ms` is the fleet's time: an older message than the last one is ignored (no replay), and a
    fresh one tells the reader the time and that the rosters it names are still the right ones.
    """

    at_ms: AtMs
    rosters: Annotated[list[RosterWanted], Meta(max_length=PROGRAMMES_PER_PLACE_MAX)]
    keys: Hash | None = None
    """SHA-256 of the sealed programme keys that the reader is to hold."""
    usage: Annotated[list[UsageWanted], Meta(max_length=PROGRAMMES_PER_PLACE_MAX)] = []
    """Absent where no programme of the place has a limit, so older agents read this too."""
    names: Hash | None = None
    """SHA-256 of the sealed names that a gate shows; absent: it shows none, and forgets those that
    it had. Only for agents from NAMES_SINCE on."""


class TwinReported(_Body, frozen=True):
    """What of the desired state a reader has made true; retained."""

    at_ms: AtMs
    agent: Plain
    rosters: Annotated[list[RosterHeld], Meta(max_length=PROGRAMMES_PER_PLACE_MAX)]
    keys: Hash | None = None
    trouble: Annotated[str, Meta(max_length=200)] = ""
    """What could not be done, in a sentence for the operator; empty when all is done."""
