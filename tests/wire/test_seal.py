"""Programme keys and names on their way to a reader can be opened by that reader alone."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from wire.limits import KEYS_BYTES_MAX, PROGRAMMES_PER_PLACE_MAX
from wire.seal import ProgrammeKey, ProgrammeKeys, SealBroken, open_keys, seal_keys

READER = "kazasu-shi/bus-1"
KEY = ec.derive_private_key(7, ec.SECP256R1())
OTHER = ec.derive_private_key(8, ec.SECP256R1())
KEYS = ProgrammeKeys(
    v=1,
    keys=[
        ProgrammeKey("senior-pass", 2, bytes(range(32))),
        ProgrammeKey("senior-pass", 1, bytes(32)),
    ],
)
SEALED = seal_keys(KEYS, READER, KEY.public_key())


def test_its_reader_opens_what_was_sealed() -> None:
    assert open_keys(SEALED, READER, KEY) == KEYS


def test_sealing_twice_shows_nothing_of_the_contents_being_the_same() -> None:
    again = seal_keys(KEYS, READER, KEY.public_key())
    assert again != SEALED
    assert open_keys(again, READER, KEY) == KEYS


def test_another_readers_key_does_not_open_it() -> None:
    with pytest.raises(SealBroken, match="fetch it again"):
        open_keys(SEALED, READER, OTHER)


def test_under_another_readers_name_it_does_not_open() -> None:
    with pytest.raises(SealBroken):
        open_keys(SEALED, "kazasu-shi/bus-2", KEY)


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_no_bit_can_be_changed(bit: int) -> None:
    changed = bytearray(SEALED)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        open_keys(bytes(changed), READER, KEY)


@given(st.integers(0, len(SEALED) - 1))
def test_what_was_cut_short_does_not_open(length: int) -> None:
    with pytest.raises(SealBroken):
        open_keys(SEALED[:length], READER, KEY)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_can_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(SealBroken):
        open_keys(data, READER, KEY)


def test_more_than_the_limit_is_not_even_tried() -> None:
    with pytest.raises(SealBroken, match="at most"):
        open_keys(bytes(KEYS_BYTES_MAX + 1), READER, KEY)


def test_the_keys_of_all_programmes_fit() -> None:
    full = [
        ProgrammeKey(f"programme-{number:022d}", epoch, bytes(32))
        for number in range(PROGRAMMES_PER_PLACE_MAX)
        for epoch in (65_535, 65_534)
    ]
    sealed = seal_keys(ProgrammeKeys(v=1, keys=full), READER, KEY.public_key())
    assert len(sealed) < KEYS_BYTES_MAX
    assert len(open_keys(sealed, READER, KEY).keys) == len(full)


class _Later(msgspec.Struct):
    v: int
    keys: list[ProgrammeKey]


@pytest.mark.parametrize(
    "body", [_Later(2, []), _Later(1, [ProgrammeKey("a", 1, bytes(31))]), _Later(1, KEYS.keys * 99)]
)
def test_keys_of_another_form_are_refused_though_rightly_sealed(body: _Later) -> None:
    # What is sealed is encoded as it is, so any struct can stand in for the one of this version.
    sealed = seal_keys(body, READER, KEY.public_key())  # type: ignore[arg-type]
    with pytest.raises(SealBroken):
        open_keys(sealed, READER, KEY)
