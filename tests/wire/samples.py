"""Strategies for what travels."""

from hypothesis import strategies as st

from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import ClockStep, Entry, Former, Press, Start, Tap, Used
from wire.limits import AT_MS_MAX, SEQUENCE_MAX

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
YEN = st.none() | st.integers(0, 1_000_000)

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
        "declared": st.sampled_from(["", "in", "out"]),
        "rule": st.text("a/-0", max_size=64),
        "roster": st.integers(0, SEQUENCE_MAX),
        "roster_age_s": st.integers(0, SEQUENCE_MAX),
        "duty": st.text("あa1", max_size=40),
        "line": st.text("系a1", max_size=40),
        "stop": st.text("停a1", max_size=40),
        "used": st.dictionaries(PERIODS, USED, max_size=4),
        "usage_age_s": st.none() | st.integers(0, SEQUENCE_MAX),
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
_STEPS = st.builds(ClockStep, **_ALL, step_ms=st.integers(-SEQUENCE_MAX, SEQUENCE_MAX))

ENTRIES: st.SearchStrategy[Entry] = st.one_of(_STARTS, _taps(), _PRESSES, _STEPS)
