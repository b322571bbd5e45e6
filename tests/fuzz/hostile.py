"""What an attacker sends: bytes that are nothing, good messages that were changed, and messages
that are signed by a stolen key and say what no honest reader would.

`examples(n)` is how often a property is tried: n times with the same seed each run, or as often as
KAZASU_FUZZ_EXAMPLES says, then each time with other data.
"""

import base64
import json
import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.fleet.virtual import VirtualReader, make_tap
from wire.codes import Code, Outcome
from wire.entries import JournalId, chain, encode, genesis
from wire.envelope import Purpose, Signer
from wire.limits import (
    AT_MS_MAX,
    BATCH_ENTRIES_MAX,
    ENTRY_BYTES_MAX,
    LOST_MAX,
    PAYLOAD_BYTES_MAX,
    SEQUENCE_MAX,
)
from wire.messages import STAGES

WISH = int(os.environ.get("KAZASU_FUZZ_EXAMPLES", "0"))


def examples(count: int) -> settings:
    """Return how a property is tried: `count` times, or as often as the environment says."""
    return settings(
        max_examples=WISH or count,
        derandomize=not WISH,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# --- bytes ---------------------------------------------------------------------------------------

PIECES = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # a surrogate in UTF-8, which has none
    b"\xc0\xaf",  # overlong
    rb"\ud800",
    rb"\u0000",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"9" * 400,
    b"18446744073709551616",
    b"-1",
    b"9007199254740992",
    b"0.5",
    b"null",
    b"true",
    b'"',
    b"{",
    b"[" * 2000,
    b'{"a":' * 2000,
    b'"v":2,',
    b'"v":1,"v":1,',
    "\N{RIGHT-TO-LEFT OVERRIDE}\N{ARABIC LETTER ALEF}".encode(),
)


@st.composite
def changed(draw: st.DrawFn, good: bytes) -> bytes:
    """Return a good message after one to three changes.

    What is drawn does not depend on the message: signatures are different in each run.
    """
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, 9_999)) * len(data) // 10_000
        match draw(st.integers(0, 5)):
            case 0:
                bit = 1 << draw(st.integers(0, 7))
                data[at : at + 1] = bytes(byte ^ bit for byte in data[at : at + 1])
            case 1:
                del data[at:]
            case 2:
                data[at:at] = draw(st.sampled_from(PIECES))
            case 3:
                data[at : at + draw(st.integers(1, 20))] = draw(st.sampled_from(PIECES))
            case 4:
                del data[at : at + draw(st.integers(1, 40))]
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 200))]
    return bytes(data)


# --- what JSON can hold --------------------------------------------------------------------------

NUMBERS = st.sampled_from(
    [
        0,
        1,
        2,
        -1,
        199,
        LOST_MAX,
        LOST_MAX + 1,
        2**31 - 1,
        2**31,
        2**32,
        AT_MS_MAX,
        AT_MS_MAX + 1,
        SEQUENCE_MAX - 1,
        SEQUENCE_MAX,
        SEQUENCE_MAX + 1,
        2**63 - 1,
        2**63,
        2**64,
        10**400,
        -(2**63),
        0.5,
        1e300,
    ]
)
IN_RANGE = st.sampled_from([0, 1, 2, 65_535, 2**31, 2**32, AT_MS_MAX, SEQUENCE_MAX - 1])
TEXTS = st.sampled_from(
    [
        "",
        "\0",
        "a\0b",
        "\N{RIGHT-TO-LEFT OVERRIDE}<script>alert(1)</script>",
        "' OR 1=1 --",
        "{name} %s %(a)s {0.__class__}",
        "あ" * 40,
        "\U0001f600" * 41,
        "a" * 300,
        "=1+1",
        "../../etc/passwd",
        "123456789018",
        "ok",
        "senior-pass",
        "tap.ok",
        "total",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def written(value: Any) -> bytes:
    """Return JSON; what has no form in JSON is written as Python does."""
    return json.dumps(value, ensure_ascii=False).encode()


@st.composite
def twisted(draw: st.DrawFn, body: dict[str, Any]) -> bytes:
    """Return the body of a message with one to three of its fields made strange."""
    strange = dict(body)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([*body, "extra"]))
        if draw(st.integers(0, 9)) == 0:
            strange.pop(name, None)
        else:
            strange[name] = draw(NUMBERS | TEXTS | JSON)
    return written(strange)


# --- what a stolen key signs ---------------------------------------------------------------------


def seal_raw(signer: Signer, purpose: Purpose, audience: str, raw: bytes) -> bytes:
    """Sign bytes as they are."""
    return signer.seal(purpose, audience, msgspec.Raw(raw))  # type: ignore[arg-type]  # encodes so


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@st.composite
def entry_bytes(draw: st.DrawFn, n: int) -> bytes:
    """Return what may stand where an entry belongs."""
    plain: dict[str, Any] = json.loads(
        encode(
            make_tap(
                n,
                at_ms=draw(IN_RANGE.filter(lambda one: one <= AT_MS_MAX)),
                mono_ms=0,
            )
        )
    )
    plain |= {"code": draw(st.sampled_from(Code)), "outcome": draw(st.sampled_from(Outcome))}
    if draw(st.booleans()):
        credential = draw(st.sampled_from(["0" * 32, "f" * 32]))
        plain |= {"credential": credential, "scheme": "felica-idm", "key_epoch": 1}
    stamp = {"v": 1, "n": n, "mono_ms": 0, "clock": "unknown"}
    former = {"journal": "0" * 32, "n": draw(IN_RANGE), "tip": b64(bytes(32))}
    strange = draw(st.sampled_from(["used", "shown", "category", "rule", "line", "roster"]))
    step = stamp | {"kind": "clock", "at_ms": draw(NUMBERS), "step_ms": draw(NUMBERS)}
    start = stamp | {"kind": "start", "at_ms": 0, "boot": draw(TEXTS), "agent": draw(TEXTS)}
    said = {"programme": "attendance", "scheme": "felica-idm", "key_epoch": 1}
    said |= stamp | {"at_ms": 0, "credential": draw(st.sampled_from(["0" * 32, "f" * 32]))}
    of = {"of_journal": "0" * 32, "of_n": draw(NUMBERS), "declared": "out"}
    asked = {"missing": "out", "day": draw(TEXTS), "claimed_at_ms": draw(NUMBERS)}
    return draw(
        st.sampled_from(
            [
                written(draw(JSON)),
                draw(twisted(plain)),
                b"[" * 900 + b"]" * 900,
                b'"' + b"a" * (ENTRY_BYTES_MAX + 1) + b'"',
                written(step),
                written(start | {"former": former}),
                written(plain | {strange: draw(TEXTS | IN_RANGE)}),
                written(said | of | {"kind": "redirect"}),
                draw(twisted(said | {"kind": "answer", **asked})),
                written(plain),
            ]
        )
    )


@st.composite
def batch_body(draw: st.DrawFn, reader: str) -> bytes:
    """Return a batch whose chain may well be right and whose content is not."""
    journal = draw(st.sampled_from(["0" * 32, "a" * 32, "b" * 32]))
    first = draw(st.sampled_from([1, 1, 1, 2, 3, 1000, SEQUENCE_MAX - 1, SEQUENCE_MAX]))
    lost = draw(st.sampled_from([0, 0, 0, 1, LOST_MAX]))
    count = draw(st.sampled_from([0, 1, 2, 3]))
    entries = [draw(entry_bytes(first + lost + index)) for index in range(count)]
    if draw(st.integers(0, 30)) == 0:
        entries = [b"0"] * draw(st.sampled_from([BATCH_ENTRIES_MAX, BATCH_ENTRIES_MAX + 1]))
    before = genesis(reader, JournalId(journal)) if draw(st.booleans()) else bytes(32)
    tip = before
    for one in entries:
        tip = chain(tip, one)
    if draw(st.integers(0, 5)) == 0:
        tip = bytes(32)
    head = {
        "v": 1,
        "journal": journal,
        "first": first,
        "lost": lost,
        "before": b64(before),
        "tip": b64(tip),
    }
    if draw(st.integers(0, 5)) == 0:
        return draw(twisted(head | {"entries": []}))
    return written(head)[:-1] + b', "entries": [' + b",".join(entries) + b"]}"


def _held() -> st.SearchStrategy[Any]:
    return st.lists(
        st.fixed_dictionaries(
            {"programme": st.just("senior-pass"), "version": IN_RANGE, "age_s": IN_RANGE}
        ),
        max_size=3,
    )


@st.composite
def status_body(draw: st.DrawFn) -> bytes:
    good = {
        "v": 1,
        "online": draw(st.booleans()),
        "at_ms": draw(IN_RANGE.filter(lambda one: one <= AT_MS_MAX)),
        "agent": "1",
        "front_end": draw(TEXTS),
        "ready": True,
        "trouble": draw(st.sampled_from([None, *Code])),
        "journal": draw(st.sampled_from([None, "0" * 32, "c" * 32])),
        "n": draw(IN_RANGE),
        "tip": b64(bytes(32)),
        "waiting": draw(IN_RANGE),
        "rosters": draw(_held()),
    }
    return draw(st.just(written(good)) | twisted(good))


@st.composite
def telemetry_body(draw: st.DrawFn) -> bytes:
    at_ms = draw(st.sampled_from([0, 60_000, 1_780_455_600_000, AT_MS_MAX - 60_000]))
    histogram = {"counts": [draw(IN_RANGE)] * 35, "sum_us": draw(IN_RANGE)}
    good = {
        "v": 1,
        "from_ms": at_ms,
        "to_ms": at_ms + draw(st.sampled_from([0, 60_000])),
        "stages": {draw(st.sampled_from([*STAGES, "odd", "a\nb"])): histogram},
        "counters": {f"tap.{one}": draw(IN_RANGE) for one in draw(st.lists(TEXTS, max_size=3))},
    }
    return draw(st.just(written(good)) | twisted(good))


@st.composite
def triage_body(draw: st.DrawFn) -> bytes:
    good = {
        "v": 1,
        "at_ms": draw(IN_RANGE.filter(lambda one: one <= AT_MS_MAX)),
        "programme": draw(st.sampled_from(["senior-pass", "attendance", "nothing"])),
        "scheme": "felica-idm",
        "key_epoch": 65_535,
        "credential": draw(st.sampled_from(["0" * 32, "e" * 32])),
        "journal": "0" * 32,
        "n": SEQUENCE_MAX,
    }
    return draw(st.just(written(good)) | twisted(good))


@st.composite
def desk_body(draw: st.DrawFn) -> bytes:
    """An answer to a desk that nobody asked for, or one that is none."""
    card = {"scheme": "felica-idm", "key_epoch": 1, "credential": "e" * 32}
    good = {
        "v": 1,
        "id": draw(st.sampled_from(["0" * 32, "e" * 32])),
        "programme": draw(st.sampled_from(["senior-pass", "nothing"])),
        "at_ms": AT_MS_MAX,
        "said": draw(st.sampled_from(["asking", "read", "cancelled"])),
        "cards": [card] * draw(st.integers(0, 11)),
    }
    return draw(st.just(written(good)) | twisted(good))


@st.composite
def reported_body(draw: st.DrawFn) -> bytes:
    good = {
        "v": 1,
        "at_ms": AT_MS_MAX,
        "agent": draw(TEXTS),
        "rosters": draw(_held()),
        "keys": None,
        "trouble": draw(TEXTS),
    }
    return draw(st.just(written(good)) | twisted(good))


@st.composite
def sealed(
    draw: st.DrawFn, thief: VirtualReader, purpose: Purpose, body: st.SearchStrategy[bytes]
) -> bytes:
    """Return what a stolen reader's key can make of a message."""
    signer = Signer(thief.key)
    raw = draw(body)
    match draw(st.integers(0, 9)):
        case 0:
            other = draw(st.sampled_from([one for one in Purpose if one is not purpose]))
            return seal_raw(signer, other, thief.name, raw)
        case 1:
            return seal_raw(signer, purpose, "kazasu-shi/bus-2", raw)
        case 2:
            return seal_raw(signer, purpose, thief.name, b'{"v":2,"new":[]}')
        case 3:
            return draw(changed(seal_raw(signer, purpose, thief.name, raw)))
        case 4:
            message = seal_raw(signer, purpose, thief.name, raw)
            return message + b" " * (PAYLOAD_BYTES_MAX + 1 - len(message))
        case _:
            return seal_raw(signer, purpose, thief.name, raw)


GARBAGE = (
    st.binary(max_size=200)
    | st.sampled_from(PIECES)
    | st.sampled_from(
        [b"", b"[" * 50_000, b'{"v":' * 10_000, b"\0" * (PAYLOAD_BYTES_MAX + 1), b"1" * 50_000]
    )
)
