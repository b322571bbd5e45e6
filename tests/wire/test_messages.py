"""Messages and limits: what each side may say, and that the limits fit into each other."""

import itertools
import json

import msgspec
import pytest

from wire.credential import Scheme
from wire.limits import (
    BATCH_BYTES_MAX,
    BATCH_ENTRIES_MAX,
    ENTRY_BYTES_MAX,
    KEYS_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    PROGRAMMES_PER_PLACE_MAX,
    ROSTER_HEADER_BYTES_MAX,
)
from wire.messages import (
    HISTOGRAM_EDGES_US,
    STAGES,
    Ack,
    Histogram,
    RosterHeld,
    RosterWanted,
    Status,
    Telemetry,
    Triage,
    TwinDesired,
    TwinReported,
    UsageWanted,
)
from wire.registry import Registry

HELD = [RosterHeld("p" * 32, 2**53 - 1, 2**53 - 1)] * PROGRAMMES_PER_PLACE_MAX
FULL = Histogram([2**53 - 1] * 35, 2**53 - 1)
LARGEST: list[msgspec.Struct] = [
    Status(
        v=1, online=True, at_ms=1, agent="あ" * 40, front_end="あ" * 40, journal="ab" * 16,
        tip=bytes(32), rosters=HELD,
    ),
    Telemetry(
        v=1, from_ms=0, to_ms=1, stages=dict.fromkeys(STAGES, FULL),
        counters={f"{'c' * 37}{number:03d}": 2**53 - 1 for number in range(64)},
    ),
    TwinDesired(
        v=1, at_ms=1, keys=bytes(32),
        rosters=[RosterWanted("p" * 32, 2**53 - 1, bytes(32))] * PROGRAMMES_PER_PLACE_MAX,
        usage=[UsageWanted("p" * 32, 2**47)] * PROGRAMMES_PER_PLACE_MAX,
    ),
    TwinReported(v=1, at_ms=1, agent="あ" * 40, rosters=HELD, keys=bytes(32), trouble="あ" * 200),
    Triage(
        v=1, at_ms=1, programme="p", scheme=Scheme.COMMON_AP, key_epoch=1,
        credential="ab" * 16, journal="cd" * 16, n=1,
    ),
    Ack(v=1, epoch="0" * 32, journal="ab" * 16, through=2**53 - 1, at_ms=1),
]  # fmt: skip


def name(body: msgspec.Struct) -> str:
    return type(body).__name__


@pytest.mark.parametrize("body", LARGEST, ids=name)
def test_a_message_is_read_as_it_was_written(body: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(body), type=type(body)) == body


@pytest.mark.parametrize("body", LARGEST, ids=name)
def test_the_largest_of_every_message_fits_into_a_payload(body: msgspec.Struct) -> None:
    assert len(msgspec.json.encode(body)) < PAYLOAD_BYTES_MAX - 1024


def test_without_limits_the_desired_state_is_one_that_an_older_agent_knows() -> None:
    desired = TwinDesired(v=1, at_ms=1, rosters=[])
    assert set(json.loads(msgspec.json.encode(desired))) <= {"v", "at_ms", "rosters", "keys"}


@pytest.mark.parametrize("body", LARGEST, ids=name)
def test_an_unknown_field_is_refused(body: msgspec.Struct) -> None:
    plain = json.loads(msgspec.json.encode(body)) | {"surprise": 1}
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        msgspec.json.decode(json.dumps(plain), type=type(body))


@pytest.mark.parametrize(
    ("body", "change"),
    [
        (0, {"rosters": [{"programme": "p", "version": 1, "age_s": 1}] * 19}),
        (0, {"trouble": "because"}),
        (1, {"counters": {f"c{number}": 1 for number in range(65)}}),
        (1, {"stages": dict.fromkeys((*STAGES, "more"), msgspec.to_builtins(FULL))}),
        (1, {"stages": {"total": {"counts": [1] * 34, "sum_us": 1}}}),
        (2, {"keys": "AAAA"}),
        (3, {"trouble": "x" * 201}),
        (4, {"credential": "AB" * 16}),
        (5, {"through": 2**53}),
    ],
)
def test_what_is_out_of_bounds_is_refused(body: int, change: dict[str, object]) -> None:
    plain = json.loads(msgspec.json.encode(LARGEST[body])) | change
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(plain), type=type(LARGEST[body]))


def test_limits_that_lie_in_one_another_fit() -> None:
    assert ENTRY_BYTES_MAX < BATCH_BYTES_MAX < PAYLOAD_BYTES_MAX
    assert BATCH_ENTRIES_MAX * 300 < BATCH_BYTES_MAX  # an ordinary batch is full by its entries
    assert BATCH_BYTES_MAX + BATCH_ENTRIES_MAX + 1024 < PAYLOAD_BYTES_MAX
    assert KEYS_BYTES_MAX < ROSTER_HEADER_BYTES_MAX < 2**32


def test_the_buckets_of_a_histogram_grow_by_the_root_of_two() -> None:
    assert len(HISTOGRAM_EDGES_US) == 34
    assert HISTOGRAM_EDGES_US[0] == 100
    steps = itertools.pairwise(HISTOGRAM_EDGES_US)
    assert all(abs(after / before - 2**0.5) < 0.01 for before, after in steps)


@pytest.mark.parametrize(
    "fingerprint", ["ab" * 32 + "\n", "AB" * 32, "ab" * 31], ids=["newline", "capitals", "short"]
)
def test_a_registry_with_a_fingerprint_that_cannot_be_looked_up_is_refused(
    fingerprint: str,
) -> None:
    reader = {
        "reader": "t/r",
        "place": "r",
        "fingerprint": fingerprint,
        "public_key": "",
        "sealing_public_key": "",
        "keys_sealed": "",
    }
    whole = {"v": 1, "tenant": "t", "places": [], "readers": [reader]}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(whole, Registry)
    msgspec.convert(whole | {"readers": [reader | {"fingerprint": "ab" * 32}]}, Registry)
