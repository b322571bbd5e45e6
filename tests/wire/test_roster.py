"""The roster file finds what a dictionary would, and opens only when every byte is right."""

import bisect
import datetime
import hashlib
import random
import struct
import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from tests.timing import IN_TIME
from wire.credential import CREDENTIAL_BYTES, Credential, Scheme
from wire.envelope import MessageRefused, Purpose, Signer
from wire.limits import ROSTER_HEADER_BYTES_MAX
from wire.roster import (
    EPOCH_S,
    MAGIC,
    ROW,
    Moving,
    Roster,
    RosterHeader,
    RosterRefused,
    RosterRow,
    RuleTable,
    build_roster,
    pack_rows,
    roster_audience,
)

TENANT, PROGRAMME, PLACE = "kazasu-shi", "senior-pass", "bus-1"
FLEET = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
BY = Signer(FLEET)
CATEGORIES = ["", "all", "town", "あ"]
FIRST, LAST = datetime.date(2000, 1, 2), datetime.date(2179, 6, 5)

CREDENTIALS = st.binary(min_size=16, max_size=16).map(lambda raw: Credential(raw.hex()))
ROWS = st.builds(
    RosterRow,
    CREDENTIALS,
    st.sampled_from(CATEGORIES),
    st.none() | st.dates(FIRST, LAST),
    st.none() | st.dates(FIRST, LAST),
    st.none() | st.integers(EPOCH_S + 1, EPOCH_S + 0xFFFF_FFFF),
)
MEMBERS = st.lists(ROWS, max_size=30, unique_by=lambda row: row.credential)
A_ROW = RosterRow(Credential("ab" * 16), "all", None, None, None)


def header(**changes: object) -> RosterHeader:
    plain = RosterHeader(
        v=1,
        programme=PROGRAMME,
        place=PLACE,
        version=7,
        at_ms=1_780_000_000_000,
        key_epoch=2,
        schemes=[Scheme.COMMON_AP],
        categories=CATEGORIES,
        rules=[RuleTable("r/1", datetime.date(2026, 4, 1), {"rider_pays_yen": 50})],
        triage=False,
        rows=0,
        rows_sha256=bytes(32),
    )
    return msgspec.structs.replace(plain, **changes)


def test_a_header_says_nothing_of_moving_unless_members_move() -> None:
    """Agents that do not know the field refuse what they do not know."""
    assert "moving" not in msgspec.to_builtins(header())
    moving = header(moving=Moving(Scheme.JPKI_AUTH, Scheme.COMMON_AP))
    said = msgspec.json.decode(msgspec.json.encode(moving))["moving"]
    assert said == {"from": "jpki-auth", "to": "common-ap"}
    assert msgspec.json.decode(msgspec.json.encode(moving), type=RosterHeader) == moving


def built(rows: list[RosterRow], **changes: object) -> bytes:
    return build_roster(header(**changes), rows, TENANT, BY)


def opened(path: Path, data: bytes, place: str = PLACE) -> Roster:
    path.write_bytes(data)
    return Roster.open(path, TENANT, PROGRAMME, place, FLEET.public_key())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roster") / "senior-pass.roster"


@given(MEMBERS, st.lists(CREDENTIALS, max_size=10))
def test_looking_up_is_what_a_dictionary_would_do(
    path: Path, members: list[RosterRow], strangers: list[Credential]
) -> None:
    roster = opened(path, built(members))
    known = {row.credential: row for row in members}
    assert len(roster) == len(members)
    for credential in [*known, *strangers, Credential("00" * 16), Credential("ff" * 16)]:
        assert roster.find(credential) == known.get(credential)
    roster.close()


CLUSTERED = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2**62, 2**63 - 1, 2**64 - 1]),
        st.integers(0, 300),
        st.integers(1, 90),
    ),
    max_size=6,
)
"""Credentials as no HMAC would make them: whole runs behind one prefix, and gaps between."""


@given(CLUSTERED, st.lists(st.binary(min_size=16, max_size=16), max_size=10))
def test_however_credentials_lie_each_row_is_found_at_its_place(
    path: Path, clustered: list[tuple[int, int, int]], strangers: list[bytes]
) -> None:
    keys = sorted(
        {
            prefix.to_bytes(8) + rest.to_bytes(8)
            for prefix, first, count in clustered
            for rest in range(first, first + count)
        }
    )
    rows = [A_ROW._replace(credential=Credential(key.hex())) for key in keys]
    roster = opened(path, built(rows))
    for wanted in [*keys[::7], *keys[-1:], *strangers, bytes(16), b"\xff" * 16]:
        expected = bisect.bisect_left(keys, wanted)
        assert roster.rows.lower_bound(wanted) == expected
        assert roster.rows.lower_bound(wanted, low=expected // 2) == expected
        found = roster.find(Credential(wanted.hex()))
        assert (found and found.credential) == (wanted.hex() if wanted in keys else None)
    roster.close()


@given(MEMBERS, st.randoms(use_true_random=False))
def test_the_same_members_make_the_same_file_in_any_order(
    members: list[RosterRow], draw: random.Random
) -> None:
    shuffled = list(members)
    draw.shuffle(shuffled)
    assert built(members) == built(shuffled)


def test_neighbours_of_a_member_are_not_the_member(path: Path) -> None:
    roster = opened(path, built([A_ROW]))
    assert roster.find(A_ROW.credential) == A_ROW
    for near in ("ab" * 15 + "aa", "ab" * 15 + "ac", "aa" + "ab" * 15, "ac" + "ab" * 15):
        assert roster.find(Credential(near)) is None
    roster.close()


def test_bytes_that_lie_across_rows_are_nobodys_credential(path: Path) -> None:
    draw = random.Random(5)
    rows = [A_ROW._replace(credential=Credential(draw.randbytes(16).hex())) for _ in range(3)]
    packed = pack_rows(rows, CATEGORIES)
    roster = opened(path, built(rows))
    for start in range(len(packed) - CREDENTIAL_BYTES + 1):
        credential = Credential(packed[start : start + CREDENTIAL_BYTES].hex())
        found = roster.find(credential)
        assert (found is not None) == (start % ROW.size == 0)
    roster.close()


def test_the_header_says_what_a_decision_needs(path: Path) -> None:
    roster = opened(path, built([A_ROW]))
    assert roster.header.rules[0].parameters == {"rider_pays_yen": 50}
    assert (roster.header.version, roster.header.rows) == (7, 1)
    assert roster.header.rows_sha256 == hashlib.sha256(pack_rows([A_ROW], CATEGORIES)).digest()
    roster.close()


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", [FIRST, LAST, datetime.date(2024, 2, 29)])
def test_dates_at_their_bounds_come_back(path: Path, day: datetime.date) -> None:
    row = A_ROW._replace(valid_from=day, valid_to=day)
    roster = opened(path, built([row]))
    assert roster.find(row.credential) == row
    roster.close()


@pytest.mark.parametrize("day", [FIRST - datetime.timedelta(1), LAST + datetime.timedelta(1)])
def test_dates_past_their_bounds_are_refused_and_not_bent(day: datetime.date) -> None:
    for changed in (A_ROW._replace(valid_from=day), A_ROW._replace(valid_to=day)):
        with pytest.raises(ValueError, match="2000-01-02 to 2179-06-05"):
            pack_rows([changed], CATEGORIES)


@pytest.mark.parametrize(
    ("stopped_from_s", "kept"),
    [
        (0, EPOCH_S + 1),
        (EPOCH_S, EPOCH_S + 1),
        (EPOCH_S + 1, EPOCH_S + 1),
        (EPOCH_S + 0xFFFF_FFFF, EPOCH_S + 0xFFFF_FFFF),
    ],
)
def test_a_stop_is_never_lost_however_old(path: Path, stopped_from_s: int, kept: int) -> None:
    row = A_ROW._replace(stopped_from_s=stopped_from_s)
    roster = opened(path, built([row]))
    found = roster.find(row.credential)
    assert found is not None
    assert found.stopped_from_s == kept
    roster.close()


def test_a_stop_later_than_a_row_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="late"):
        pack_rows([A_ROW._replace(stopped_from_s=EPOCH_S + 2**32)], CATEGORIES)


def test_a_card_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        built([A_ROW, A_ROW._replace(category="town")])


def test_a_header_that_no_reader_would_take_is_not_built() -> None:
    huge = [RuleTable("r", datetime.date(2026, 4, 1), {"x": "y" * ROSTER_HEADER_BYTES_MAX})]
    with pytest.raises(ValueError, match="shorten"):
        built([], rules=huge)


# --- what is not the roster that it should be -----------------------------------------------------


FILE = built([A_ROW, A_ROW._replace(credential=Credential("cd" * 16))])


@given(st.integers(0, len(FILE) * 8 - 1))
def test_a_flipped_bit_anywhere_is_refused(path: Path, bit: int) -> None:
    changed = bytearray(FILE)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RosterRefused):
        opened(path, bytes(changed))


@given(st.integers(0, len(FILE) - 1))
def test_a_file_that_was_cut_short_is_refused(path: Path, length: int) -> None:
    with pytest.raises(RosterRefused):
        opened(path, FILE[:length])


@given(st.binary(min_size=1, max_size=100))
def test_a_file_that_has_grown_is_refused(path: Path, more: bytes) -> None:
    with pytest.raises(RosterRefused):
        opened(path, FILE + more)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_at_all_can_do_more_than_be_refused(path: Path, data: bytes, magic: bool) -> None:
    with pytest.raises(RosterRefused):
        opened(path, MAGIC * magic + data)


def test_an_empty_file_is_refused_and_one_that_is_not_there_is_an_os_error(path: Path) -> None:
    with pytest.raises(RosterRefused, match="empty"):
        opened(path, b"")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Roster.open(path, TENANT, PROGRAMME, PLACE, FLEET.public_key())


def test_a_header_longer_than_the_limit_is_not_read(path: Path) -> None:
    with pytest.raises(RosterRefused, match="at most"):
        opened(path, MAGIC + struct.pack(">I", 2**32 - 1) + bytes(ROSTER_HEADER_BYTES_MAX + 10))


def test_a_roster_of_another_signer_place_programme_or_tenant_is_refused(path: Path) -> None:
    path.write_bytes(FILE)
    key = FLEET.public_key()
    for tenant, programme, place, by in (
        (TENANT, PROGRAMME, PLACE, OTHER.public_key()),
        ("other-shi", PROGRAMME, PLACE, key),
        (TENANT, "attendance", PLACE, key),
        (TENANT, PROGRAMME, "bus-2", key),
    ):
        with pytest.raises(RosterRefused, match=r"senior-pass\.roster"):
            Roster.open(path, tenant, programme, place, by)
    Roster.open(path, TENANT, PROGRAMME, PLACE, key).close()


def test_a_header_that_names_another_place_than_it_was_signed_for_is_refused(path: Path) -> None:
    lying = header(place="bus-2", rows_sha256=hashlib.sha256(b"").digest())
    signed = BY.seal(Purpose.ROSTER, f"{TENANT}/{PROGRAMME}/{PLACE}", lying)
    with pytest.raises(RosterRefused, match="bus-2"):
        opened(path, MAGIC + struct.pack(">I", len(signed)) + signed)
    assert roster_audience(TENANT, lying) == "kazasu-shi/senior-pass/bus-2"


def test_a_refused_roster_is_a_refused_message() -> None:
    assert issubclass(RosterRefused, MessageRefused)
    assert RosterRefused("x").reason == "roster"


# --- use ------------------------------------------------------------------------------------------


def test_an_empty_roster_opens_and_knows_nobody(path: Path) -> None:
    roster = opened(path, built([]))
    assert len(roster) == 0
    assert roster.find(A_ROW.credential) is None
    roster.close()


def test_a_roster_in_use_outlives_its_replacement_and_closes(path: Path) -> None:
    old = opened(path, built([A_ROW]))
    newer = path.with_suffix(".new")
    newer.write_bytes(built([], version=8))
    newer.replace(path)
    new = Roster.open(path, TENANT, PROGRAMME, PLACE, FLEET.public_key())
    assert old.find(A_ROW.credential) == A_ROW
    assert new.find(A_ROW.credential) is None
    old.close()
    old.close()
    new.close()


@IN_TIME
def test_a_hundred_thousand_members_open_and_are_found(path: Path) -> None:
    def row(number: int) -> RosterRow:
        code = hashlib.sha256(number.to_bytes(4)).hexdigest()[:32]
        return A_ROW._replace(credential=Credential(code), stopped_from_s=EPOCH_S + 1 + number)

    data = built([row(number) for number in range(100_000)])
    assert len(data) < 100_000 * ROW.size + ROSTER_HEADER_BYTES_MAX
    began = time.perf_counter()
    roster = opened(path, data)
    for number in range(0, 100_000, 1_000):
        assert roster.find(row(number).credential) == row(number)
        assert roster.find(row(100_000 + number).credential) is None
    # A hash over 2.8 MB and 200 look-ups: milliseconds; a file that is read row by row takes more.
    assert time.perf_counter() - began < 0.5
    roster.close()
