"""What a reader writes down: one entry, encoded once, chained, never changed.

An entry is encoded once as JSON; these bytes are hashed, kept in the journal, sent, and stored in
the ledger unchanged. Its identity is (reader, journal, sequence). The chain is

    hash(0) = SHA-256("kazasu-journal-1" 00 reader 00 journal)
    hash(n) = SHA-256(hash(n-1) ‖ bytes of entry n)

so an entry belongs to one reader, one journal and one place in it. The last hash is the *tip*.
A journal is begun at every start of the agent: its first entry (`start`, sequence 1) names the
journal before it, so a number is never used twice, whatever happened to the disk.
"""

import datetime
import hashlib
import secrets
from typing import Annotated, Final, Literal, NewType

import msgspec
from msgspec import Meta

from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.limits import AT_MS_MAX, ENTRY_BYTES_MAX, PERIODS_MAX, RIDERS_MAX, SEQUENCE_MAX

JournalId = NewType("JournalId", str)
"""16 random bytes as 32 lower-case hex digits."""

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Hex128 = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", max_length=32)]
Name = Annotated[str, Meta(pattern="^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$(?!\\n)")]
"""As `wire.topics.parse_name`; Python's `$` alone would let a line's end follow."""
Sequence = Annotated[int, Meta(ge=1, le=SEQUENCE_MAX)]
AtMs = Annotated[int, Meta(ge=0, le=AT_MS_MAX)]
Yen = Annotated[int, Meta(ge=0, le=1_000_000)]
Short = Annotated[str, Meta(max_length=40)]
"""In entries without U+0000 (`decode`): a pattern would cost each a third of a microsecond."""
RuleVersion = Annotated[str, Meta(max_length=64)]
Period = Annotated[str, Meta(pattern="^[0-9][0-9-]{0,9}$(?!\\n)")]
"""In which usage is counted, as the programme's calendar names it: `2026`, `2026-06-03`."""
Age = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
_SOUTH: Final = r"-?([0-8]?[0-9]\.[0-9]{3}|90\.000)"
_EAST: Final = r"-?((1[0-7])?[0-9]\.[0-9]{3}|[0-9]{2}\.[0-9]{3}|180\.000)"
Spot = Annotated[str, Meta(pattern=rf"^({_SOUTH},{_EAST})?$(?!\n)")]
"""Where a vehicle was, as `latitude,longitude` in degrees (WGS 84), rounded to 0.001 degrees: some
100 m, so that no door is told. Empty when not known."""

Heading = Literal["in", "out", "away", "back"]
"""出勤, 退勤, 外出, 戻り."""

_WITHOUT_CARD: Final = frozenset({Code.UNKNOWN, Code.DESK})

CHAIN_LABEL: Final = b"kazasu-journal-1"
_NUL: Final = rb"\u0000"
"""U+0000 as JSON has it; no text of ours has one, and PostgreSQL keeps none (15, 8.3)."""


class _Entry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", omit_defaults=True
):
    """What every entry carries: its number and when it was, by both clocks of the reader."""

    v: Literal[1]
    n: Sequence
    at_ms: AtMs
    mono_ms: AtMs
    clock: ClockState


class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The journal before this one, as the agent found it: its last readable entry and tip."""

    journal: Hex128
    n: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
    tip: Hash


class Used(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What of an allowance was used in one period: rides, and yen."""

    times: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    yen: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    own: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Of these times, those that only the reader itself knows of: not in its usage file."""


UsedBy = Annotated[dict[Period, Used], Meta(max_length=PERIODS_MAX)]


class Start(_Entry, frozen=True, tag="start"):
    """The first entry of every journal. A journal never outlives a boot, so `boot` stands here."""

    boot: Short
    agent: Short
    former: Former | None = None


class Tap(_Entry, frozen=True, tag="tap"):
    """One presentation of one card and what the reader decided.

    `credential` is absent when no identifier was read, for cards that no roster knows (strangers
    leave nothing) and for those that were held for a desk. `older_credential` is the card's
    credential under the key epoch before, when it was found only there, or under the scheme that
    members move from, by which it was found: then `scheme` and `credential` are those that they
    move to. `declared` is the direction a person chose beforehand. `line` is what the vehicle
    served at that moment: the decision may rest on it; `riding` tells that the card was on the list
    of the ride that was under way, `spot` where the vehicle stood. `used` is what the reader
    counted for this card before this tap, by period, where a limit is in force, and `usage_age_s`
    how old the usage file was that it rests on, absent when it had none.
    """

    programme: Name
    outcome: Outcome
    code: Code
    shown: Short
    """Message id of the sentence that the person saw."""
    scheme: Scheme | None = None
    key_epoch: Annotated[int, Meta(ge=0, le=65_535)] = 0
    credential: Hex128 | None = None
    older_credential: Hex128 | None = None
    category: Short = ""
    rider_pays_yen: Yen | None = None
    declared: Literal["", Heading] = ""
    rule: RuleVersion = ""
    roster: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)] = 0
    roster_age_s: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)] = 0
    duty: Short = ""
    line: Short = ""
    stop: Short = ""
    used: UsedBy = {}
    usage_age_s: Age | None = None
    riding: bool = False
    spot: Spot = ""

    def __post_init__(self) -> None:
        if self.code in _WITHOUT_CARD and (self.credential or self.older_credential):
            raise ValueError(
                "no credential stands in the entry of a card that is unknown or was for a desk"
            )
        if self.code is Code.DESK and self.outcome is not Outcome.REPEAT:
            raise ValueError("a card that was held for a desk books nothing")


class Press(_Entry, frozen=True, tag="press"):
    """A person was let on without a tap, counted on the programme's own counters."""

    programme: Name
    button: Literal["present-only", "device-fault"]
    """`present-only` 提示のみ: showed a card; `device-fault` 機器故障: the reader did not work."""
    rule: RuleVersion = ""
    rider_pays_yen: Yen | None = None
    duty: Short = ""
    stop: Short = ""


class Rider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rider of a ride: his card as his tap had it, what he had used before, and his support."""

    scheme: Scheme
    key_epoch: Annotated[int, Meta(ge=1, le=65_535)]
    credential: Hex128
    older_credential: Hex128 | None = None
    category: Short = ""
    subsidy_yen: Yen = 0
    """What the city pays of the fare for him."""
    used: UsedBy = {}
    usage_age_s: Age | None = None


class Ride(_Entry, frozen=True, tag="ride"):
    """A ride whose fare the driver has settled: it alone counts, the taps of its riders do not.

    `at_ms` is when it was settled, `boarded_at_ms` when its first rider tapped, by the same clock.
    `fare_yen` is the meter's, `discount` another discount that the company gives (a word of the
    rule table) and `discount_yen` what it comes to. What the riders pay together follows.
    """

    programme: Name
    outcome: Outcome
    code: Code
    shown: Short
    riders: Annotated[list[Rider], Meta(min_length=1, max_length=RIDERS_MAX)]
    fare_yen: Yen
    boarded_at_ms: AtMs
    discount: Short = ""
    discount_yen: Yen = 0
    rule: RuleVersion = ""
    roster: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)] = 0
    roster_age_s: Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)] = 0
    driver: Short = ""
    on: Spot = ""
    off: Spot = ""

    def __post_init__(self) -> None:
        if self.outcome is Outcome.REPEAT:
            raise ValueError("a ride is accepted or refused")
        if self.outcome is Outcome.REFUSED and self.subsidy_yen:
            raise ValueError("for a ride that is refused the city pays nothing")
        if self.discount_yen + self.subsidy_yen > self.fare_yen:
            raise ValueError("discount and subsidy are more than the fare")
        cards = [card for one in self.riders for card in (one.credential, one.older_credential)]
        named = [card for card in cards if card]
        if len(set(named)) < len(named):
            raise ValueError("a card stands twice in one ride")

    @property
    def subsidy_yen(self) -> int:
        """What the city pays for the ride."""
        return sum(one.subsidy_yen for one in self.riders)

    @property
    def riders_pay_yen(self) -> int:
        """What the riders pay together."""
        return self.fare_yen - self.discount_yen - self.subsidy_yen


class Cancel(_Entry, frozen=True, tag="cancel"):
    """A tap of a rider or a whole ride of this reader is taken back: (journal, number) names it.

    A tap is taken back before its ride is settled (`removed`); a ride after it.
    """

    programme: Name
    of_journal: Hex128
    of_n: Sequence
    why: Literal["removed", "wrong-fare", "wrong-rider", "not-ridden", "other"]
    driver: Short = ""


class Shift(_Entry, frozen=True, tag="shift"):
    """A driver begins or ends a shift on this vehicle; the number is the company's own."""

    began: bool
    driver: Annotated[str, Meta(min_length=1, max_length=40)]


class Redirect(_Entry, frozen=True, tag="redirect"):
    """A person corrects the direction of a tap just made here: (journal, number) names the tap.

    The tap stays as it is. Of several the latest holds. The card is as its tap had it.
    """

    programme: Name
    of_journal: Hex128
    of_n: Sequence
    declared: Heading
    scheme: Scheme
    key_epoch: Annotated[int, Meta(ge=1, le=65_535)]
    credential: Hex128
    older_credential: Hex128 | None = None


class Answer(_Entry, frozen=True, tag="answer"):
    """A person says when he came or went on a day in which a mark is missing, as he was asked.

    `missing` is what nobody marked, `day` the day of work that it lacks in, `claimed_at_ms` when it
    was by the person's own word, absent when he does not know: no clock measured it, and no step of
    one moves it. `after_ms` and `before_ms` are the marks between which it was asked for, as far as
    this reader knew any. The card is as the tap had it at which he was asked.
    """

    programme: Name
    missing: Heading
    day: datetime.date
    scheme: Scheme
    key_epoch: Annotated[int, Meta(ge=1, le=65_535)]
    credential: Hex128
    older_credential: Hex128 | None = None
    claimed_at_ms: AtMs | None = None
    after_ms: AtMs | None = None
    before_ms: AtMs | None = None


class ClockStep(_Entry, frozen=True, tag="clock"):
    """The reader's clock jumped: times before this entry, in this journal, are off by `step_ms`."""

    step_ms: Annotated[int, Meta(ge=-SEQUENCE_MAX, le=SEQUENCE_MAX)]


Entry = Start | Tap | Press | Ride | Cancel | Shift | Redirect | Answer | ClockStep

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


class EntryRefused(ValueError):
    """These bytes are no entry of a version that we know; the sentence says why."""


def new_journal() -> JournalId:
    """Return a fresh random journal id."""
    return JournalId(secrets.token_hex(16))


def encode(entry: Entry) -> bytes:
    """Encode an entry, once. Raises EntryRefused when it is longer than ENTRY_BYTES_MAX."""
    body = _encoder.encode(entry)
    if len(body) > ENTRY_BYTES_MAX:
        raise EntryRefused(f"an entry has at most {ENTRY_BYTES_MAX} bytes, this one {len(body)}")
    return body


def decode(body: bytes) -> Entry:
    """Return the entry that these bytes encode. Raises EntryRefused."""
    if len(body) > ENTRY_BYTES_MAX:
        raise EntryRefused(f"an entry has at most {ENTRY_BYTES_MAX} bytes, this one {len(body)}")
    try:
        entry = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EntryRefused(str(error)) from error
    if _NUL in body and any("\0" in text for text in _texts(entry)):
        raise EntryRefused("a text in it holds U+0000")
    return entry


def _texts(entry: Entry) -> list[str]:
    texts = [value for value in msgspec.structs.astuple(entry) if isinstance(value, str)]
    if isinstance(entry, Ride):
        texts += [rider.category for rider in entry.riders]
    return texts


def genesis(reader: str, journal: JournalId) -> bytes:
    """Return hash(0) of a journal; `reader` is the full name `tenant/reader`."""
    return hashlib.sha256(b"\0".join((CHAIN_LABEL, reader.encode(), journal.encode()))).digest()


def chain(former: bytes, body: bytes) -> bytes:
    """Return the hash of an entry that follows `former`."""
    return hashlib.sha256(former + body).digest()
