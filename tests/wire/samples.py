"""Strategies for what travels."""

import msgspec
from hypothesis import strategies as st

from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import (
    Answer,
    Cancel,
    ClockStep,
    Entry,
    Former,
    Press,
    Redirect,
    Ride,
    Rider,
    Shift,
    Start,
    Tap,
    Used,
)
from wire.limits import AT_MS_MAX, RIDERS_MAX, SEQUENCE_MAX

SEQUENCES = st.integers(1, SEQUENCE_MAX)
INSTANTS = st.integers(0, AT_MS_MAX)
HEX = st.binary(min_size=16, max_size=16).map(bytes.hex)
HASHES = st.binary(min_size=32, max_size=32)
SHORT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
"""Any text that JSON can carry (a lone surrogate is none) but U+0000, which is refused."""
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
PERIODS = st.from_regex("[0-9][0-9-]{0,9}", fullmatch=True)
USED = st.builds(
    Used, st.integers(0, 1_000_000), st.integers(0, 1_000_000_000), st.integers(0, 1_000_000)
)
HEADINGS = st.sampled_from(["in", "out", "away", "back"])
YEN = st.none() | st.integers(0, 1_000_000)
SPOTS = st.just("") | st.builds(
    lambda north, east: f"{north / 1000:.3f},{east / 1000:.3f}",
    st.integers(-90_000, 90_000),
    st.integers(-180_000, 180_000),
)

_ALL = {
    "v": st.just(1),
    "n": SEQUENCES,
    "at_ms": INSTANTS,
    "mono_ms": INSTANTS,
    "clock": st.sampled_from(ClockState),
}
_STARTS = st.builds(
    Start,
    **_ALL,
    boot=SHORT,
    agent=SHORT,
    former=st.none() | st.builds(Former, journal=HEX, n=st.integers(0, SEQUENCE_MAX), tip=HASHES),
)


@st.composite
def _taps(draw: st.DrawFn) -> Tap:
    """Any tap but one that the contract forbids: of a stranger or at a desk, and with a card."""
    plain = draw(_TAPS)
    if plain["code"] in (Code.UNKNOWN, Code.DESK):
        plain |= {"credential": None, "older_credential": None}
    if plain["code"] is Code.DESK:
        plain["outcome"] = Outcome.REPEAT
    return Tap(**plain)


_TAPS = st.fixed_dictionaries(
    {
        **_ALL,
        "programme": NAMES,
        "outcome": st.sampled_from(Outcome),
        "code": st.sampled_from(Code),
        "shown": st.text("abc.-", max_size=40),
        "scheme": st.none() | st.sampled_from(Scheme),
        "key_epoch": st.integers(0, 65_535),
        "credential": st.none() | HEX,
        "older_credential": st.none() | HEX,
        "category": st.text("あaé", max_size=40),
        "rider_pays_yen": YEN,
        "declared": st.just("") | HEADINGS,
        "rule": st.text("a/-0", max_size=64),
        "roster": st.integers(0, SEQUENCE_MAX),
        "roster_age_s": st.integers(0, SEQUENCE_MAX),
        "duty": st.text("あa1", max_size=40),
        "line": st.text("系a1", max_size=40),
        "stop": st.text("停a1", max_size=40),
        "used": st.dictionaries(PERIODS, USED, max_size=4),
        "usage_age_s": st.none() | st.integers(0, SEQUENCE_MAX),
        "riding": st.booleans(),
        "spot": SPOTS,
    }
)
_PRESSES = st.builds(
    Press,
    **_ALL,
    programme=NAMES,
    button=st.sampled_from(["present-only", "device-fault"]),
    rule=st.text("a/-0", max_size=64),
    rider_pays_yen=YEN,
    duty=st.text("あa1", max_size=40),
    stop=st.text("停a1", max_size=40),
)
_RIDERS = st.fixed_dictionaries(
    {
        "scheme": st.sampled_from(Scheme),
        "key_epoch": st.integers(1, 65_535),
        "category": st.text("あaé", max_size=40),
        "used": st.dictionaries(PERIODS, USED, max_size=4),
        "usage_age_s": st.none() | st.integers(0, SEQUENCE_MAX),
    }
)
_RIDES = st.fixed_dictionaries(
    {
        **_ALL,
        "programme": NAMES,
        "code": st.sampled_from(Code),
        "shown": st.text("abc.-", max_size=40),
        "boarded_at_ms": INSTANTS,
        "discount": st.text("障a", max_size=40),
        "rule": st.text("a/-0", max_size=64),
        "roster": st.integers(0, SEQUENCE_MAX),
        "roster_age_s": st.integers(0, SEQUENCE_MAX),
        "driver": st.text("乗a1", max_size=40),
        "on": SPOTS,
        "off": SPOTS,
    }
)


@st.composite
def _rides(draw: st.DrawFn) -> Ride:
    """Any ride but one that the contract forbids: each card once, parts within the fare."""
    cards = draw(st.lists(HEX, unique=True, min_size=1, max_size=RIDERS_MAX + 1))
    older = cards.pop() if len(cards) > 1 and draw(st.booleans()) else None
    cards = cards[:RIDERS_MAX]
    is_paid = draw(st.booleans())
    money = {"fare_yen": draw(st.integers(0, 1_000_000))}
    money["discount_yen"] = draw(st.integers(0, money["fare_yen"]))
    left = money["fare_yen"] - money["discount_yen"]
    riders = []
    for card in cards:
        left -= (subsidy := draw(st.integers(0, left if is_paid else 0)))
        riders.append(Rider(**draw(_RIDERS), credential=card, subsidy_yen=subsidy))
    riders[0] = msgspec.structs.replace(riders[0], older_credential=older)
    outcome = Outcome.ACCEPTED if is_paid else Outcome.REFUSED
    return Ride(**draw(_RIDES) | money, outcome=outcome, riders=riders)


_CANCELS = st.builds(
    Cancel,
    **_ALL,
    programme=NAMES,
    of_journal=HEX,
    of_n=SEQUENCES,
    why=st.sampled_from(["removed", "wrong-fare", "wrong-rider", "not-ridden", "other"]),
    driver=st.text("乗a1", max_size=40),
)
_SHIFTS = st.builds(
    Shift, **_ALL, began=st.booleans(), driver=st.text("乗a1", min_size=1, max_size=40)
)
_CARDS = {
    "scheme": st.sampled_from(Scheme),
    "key_epoch": st.integers(1, 65_535),
    "credential": HEX,
    "older_credential": st.none() | HEX,
}
_REDIRECTS = st.builds(
    Redirect,
    **_ALL,
    **_CARDS,
    programme=NAMES,
    of_journal=HEX,
    of_n=SEQUENCES,
    declared=HEADINGS,
)
_ANSWERS = st.builds(
    Answer,
    **_ALL,
    **_CARDS,
    programme=NAMES,
    missing=HEADINGS,
    day=st.dates(),
    claimed_at_ms=st.none() | INSTANTS,
    after_ms=st.none() | INSTANTS,
    before_ms=st.none() | INSTANTS,
)
_STEPS = st.builds(ClockStep, **_ALL, step_ms=st.integers(-SEQUENCE_MAX, SEQUENCE_MAX))

ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    _STARTS, _taps(), _PRESSES, _rides(), _CANCELS, _SHIFTS, _REDIRECTS, _ANSWERS, _STEPS
)
