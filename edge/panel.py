"""What the two processes of the agent say to each other, over a Unix socket, a JSON line each.

`tap` listens, one `link` is connected at a time. Neither waits for the other: `tap` decides and
keeps entries without `link`, and drops what it could have shown when nobody listens. The journal,
not this socket, carries entries.
"""

import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.desk import DeskCard, DeskSaid
from wire.entries import AtMs, Hash, Heading, Hex128, Name, Sequence, Short, Spot, Yen
from wire.limits import DESK_CARDS_MAX, DESK_WAIT_MS_MAX, RIDERS_MAX
from wire.messages import Count, Plain
from wire.seal import NAME_CHARACTERS_MAX

SOCKET_NAME: Final = "tap.sock"
"""In the reader's state folder, mode 0600."""
LINE_BYTES_MAX: Final = 8192
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for a line that is not of the contract; RecursionError for brackets without
end (as wire.envelope has it, which only the network half imports)."""
DECLARED_FOR_S: Final = 20
"""How long a pressed direction waits for its tap."""


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="say"):
    pass


# tap → link


class Shown(_Said, frozen=True, tag="shown"):
    """One presentation or press has been decided and is durable (`n` 0: nothing was kept)."""

    journal: Hex128
    n: Annotated[int, Meta(ge=0)]
    at_ms: AtMs
    outcome: Outcome
    code: Code
    message: Short
    arguments: dict[str, str]
    stages_us: dict[str, int]
    """Of wire.messages.STAGES, those that were timed; empty for a press."""


class Appended(_Said, frozen=True, tag="appended"):
    """The journal's tip, said at once after each entry and when `link` connects."""

    journal: Hex128
    n: Sequence
    tip: Hash


class Condition(_Said, frozen=True, tag="condition"):
    """How the card half is; said when it changes and when `link` connects."""

    ready: bool
    trouble: Code | None
    front_end: Short
    clock: ClockState
    rosters: dict[str, Count]
    """Version in use by programme."""
    keys: Hash | None = None
    """SHA-256 of the sealed keys in use."""
    names: Hash | None = None
    """SHA-256 of the sealed names in use; None: nobody is named."""
    usage: dict[str, AtMs] = {}
    """The fleet's time of the usage file in use, by programme."""


class Stranger(_Said, frozen=True, tag="stranger"):
    """A card that no roster knows, where triage is on.

    `link` sends it as wire.messages.Triage or forgets it.
    """

    at_ms: AtMs
    programme: Name
    scheme: Scheme
    key_epoch: Annotated[int, Meta(ge=1, le=65_535)]
    credential: Hex128
    journal: Hex128
    n: Sequence


class Counted(_Said, frozen=True, tag="counted"):
    """Something that happened in the card half, for telemetry, such as `front-end.reopened`."""

    name: Short


class DeskAnswered(_Said, frozen=True, tag="desk-answered"):
    """What became of a desk's request. `link` sends it as wire.desk.DeskAnswer.

    It is kept by `link` as long as somebody waits, and by nobody after that.
    """

    id: Hex128
    programme: Name
    at_ms: AtMs
    said: DeskSaid
    cards: Annotated[list[DeskCard], Meta(max_length=DESK_CARDS_MAX)]


class AboardRider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One who is on the list of the ride that is under way: his tap, and what he was told."""

    journal: Hex128
    n: Sequence
    at_ms: AtMs
    message: Short


class Aboard(_Said, frozen=True, tag="aboard"):
    """Who drives and who is aboard; said when it changes and when `link` connects."""

    driver: Short
    riders: Annotated[list[AboardRider], Meta(max_length=RIDERS_MAX)]
    discounts: list[Short] = []
    """The other discounts that today's rule table knows, as the driver chooses from them."""


NotDone = Literal["", "changed", "not-ready", "not-kept"]
"""Why what the driver asked was not done. `changed`: who is aboard, or what can be taken back, is
not what was named; `not-ready`: no roster; `not-kept`: no room in the journal. Empty: it was."""


class FareAnswer(_Said, frozen=True, tag="fare-answer"):
    """What a fare comes to. `n` 0: nothing was kept; `refused` says why nothing was reckoned."""

    ask: Count
    journal: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$", max_length=32)]
    n: Annotated[int, Meta(ge=0)]
    outcome: Outcome
    code: Code
    message: Short
    arguments: dict[str, str]
    fare_yen: Yen
    discount_yen: Yen
    subsidies_yen: list[Yen]
    riders_pay_yen: Yen
    left: list[dict[str, str]] = []
    """What each rider may still use after this ride (programmes.rides.Settlement)."""
    refused: NotDone = ""


class RideActed(_Said, frozen=True, tag="ride-acted"):
    """What became of TakeOff, CancelRide or TurnShift; empty: it is on the disk."""

    ask: Count
    refused: NotDone


class GateQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mark that is missing of an earlier day; an answer lies between the two instants."""

    missing: Heading
    day: datetime.date
    from_ms: AtMs
    to_ms: AtMs


class AtGate(_Said, frozen=True, tag="at-gate"):
    """Who stands at a school's gate, by his last tap that booked something: what can be said of it.

    Said when it changes and when `link` connects. `n` 0: nobody stands there any more.
    """

    journal: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$", max_length=32)] = ""
    n: Annotated[int, Meta(ge=0)] = 0
    at_ms: AtMs = 0
    heading: Heading | None = None
    """As what the tap is taken; None: its direction cannot be changed any more."""
    since_ms: AtMs | None = None
    minutes: Count | None = None
    """Present today (programmes.rulebook.Seen)."""
    question: GateQuestion | None = None
    name: Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)] = ""
    """Who it is, as long as `heading` is said; empty where the place shows no names."""


class GateActed(_Said, frozen=True, tag="gate-acted"):
    """What became of Redirected or AnswerGiven; empty: it is on the disk."""

    ask: Count
    refused: NotDone


# link → tap


class Pressed(_Said, frozen=True, tag="pressed"):
    """The driver let one person on without a tap."""

    button: Literal["present-only", "device-fault"]


class Declared(_Said, frozen=True, tag="declared"):
    """A person chose a direction; it holds for the next tap within DECLARED_FOR_S."""

    direction: Literal["", Heading]


class Vehicle(_Said, frozen=True, tag="vehicle"):
    """What the vehicle's own equipment says: duty, line and the stop it stands at."""

    duty: Plain
    stop: Plain
    line: Plain


class Position(_Said, frozen=True, tag="position"):
    """Where the vehicle is, to some 100 m; empty when nobody knows."""

    spot: Spot


class Reach(_Said, frozen=True, tag="reach"):
    """Whether the fleet can be reached, by the rule of the page; said when it changes."""

    online: bool


class RiderRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rider, by the tap that put him on the list."""

    journal: Hex128
    n: Sequence


class Fare(_Said, frozen=True, tag="fare"):
    """The driver has read the meter: what does it come to; `keep`: settle the ride.

    `riders` are those whom the driver saw on the list: for others nothing is done.
    """

    ask: Count
    riders: Annotated[list[RiderRef], Meta(max_length=RIDERS_MAX)]
    fare_yen: Yen
    discount: Short
    keep: bool


class TakeOff(_Said, frozen=True, tag="take-off"):
    """Take one rider off the list, before the ride is settled."""

    ask: Count
    journal: Hex128
    n: Sequence


class CancelRide(_Said, frozen=True, tag="cancel-ride"):
    """Take a settled ride of this reader back."""

    ask: Count
    journal: Hex128
    n: Sequence
    why: Literal["wrong-fare", "wrong-rider", "not-ridden", "other"]


class TurnShift(_Said, frozen=True, tag="turn-shift"):
    """A driver begins or ends a shift."""

    ask: Count
    began: bool
    driver: Annotated[str, Meta(min_length=1, max_length=40)]


RideAct = Fare | TakeOff | CancelRide | TurnShift


class Redirected(_Said, frozen=True, tag="redirected"):
    """Who stands at the gate gives his tap another direction."""

    ask: Count
    journal: Hex128
    n: Sequence
    direction: Heading


class AnswerGiven(_Said, frozen=True, tag="answer-given"):
    """Who stands at the gate answers what he is asked; None: he does not know."""

    ask: Count
    journal: Hex128
    n: Sequence
    claimed_at_ms: AtMs | None


class GateStays(_Said, frozen=True, tag="gate-stays"):
    """Somebody is about to answer: he has as long again."""

    journal: Hex128
    n: Sequence


class GateLeft(_Said, frozen=True, tag="gate-left"):
    """Nobody stands at the gate any more: «あとで», or the next person wants to choose."""


GateAct = Redirected | AnswerGiven
GateWord = Redirected | AnswerGiven | GateStays | GateLeft


class RosterReady(_Said, frozen=True, tag="roster-ready"):
    """A complete, verified roster lies at `rosters/{programme}.roster` in the state folder."""

    programme: Name


class RosterCurrent(_Said, frozen=True, tag="roster-current"):
    """The fleet said at `at_ms` (its time, signed) that this version is the one wanted."""

    programme: Name
    version: Count
    at_ms: AtMs


class UsageReady(_Said, frozen=True, tag="usage-ready"):
    """A complete, verified usage file lies at `rosters/{programme}.usage` in the state folder."""

    programme: Name


class KeysReady(_Said, frozen=True, tag="keys-ready"):
    """New sealed programme keys lie at `keys.sealed` in the state folder."""


class NamesReady(_Said, frozen=True, tag="names-ready"):
    """New sealed names lie at `names.sealed` in the state folder, or none lie there any more."""


Brought = RosterReady | RosterCurrent | UsageReady | KeysReady | NamesReady


class FleetTime(_Said, frozen=True, tag="fleet-time"):
    """The fleet's signed time at the moment of receipt; half a round trip old at most 2 s."""

    at_ms: AtMs


class Acknowledged(_Said, frozen=True, tag="acknowledged"):
    """The ledger has this journal up to `through`; whole journals before it may be pruned."""

    journal: Hex128
    through: Count


class DeskAsked(_Said, frozen=True, tag="desk-asked"):
    """A clerk waits: the next card within `for_ms` is his. The same request may be said again."""

    id: Hex128
    programme: Name
    for_ms: Annotated[int, Meta(ge=1, le=DESK_WAIT_MS_MAX)]


class DeskOver(_Said, frozen=True, tag="desk-over"):
    """Nobody waits for this request any more."""

    id: Hex128


class DeskCancelled(_Said, frozen=True, tag="desk-cancelled"):
    """Somebody at the reader does not want to hold a card: the clerk is to hear of it."""

    id: Hex128


FromTap = (
    Shown | Appended | Condition | Stranger | Counted | DeskAnswered
    | Aboard | FareAnswer | RideActed | AtGate | GateActed
)  # fmt: skip
FromLink = (
    Pressed
    | Declared
    | Vehicle
    | Brought
    | FleetTime
    | Acknowledged
    | DeskAsked
    | DeskOver
    | DeskCancelled
    | Position
    | Reach
    | RideAct
    | GateWord
)
