"""A delta and the file that is held give the new file byte for byte, or nothing at all."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.wire.test_roster import (
    CATEGORIES,
    FLEET,
    MEMBERS,
    PLACE,
    PROGRAMME,
    TENANT,
    built,
)
from wire.credential import Credential
from wire.entries import Used
from wire.envelope import MessageRefused, Signer
from wire.roster import ROSTER, ROW, Roster, RosterRow, pack_rows
from wire.rows import Rows, RowsRefused
from wire.rows_delta import MAGIC, Base, DeltaRefused, apply_delta, difference, encode_delta
from wire.usage import USAGE, UsageHeader, UsageRow, build_usage, pack_usage, row_bytes

NO_LIMIT = 2**40


def rows_of(members: Sequence[RosterRow]) -> Rows:
    packed = pack_rows(members, CATEGORIES)
    return Rows(packed, 0, len(packed) // ROW.size, ROW.size)


def head_of(data: bytes, members: Sequence[RosterRow]) -> bytes:
    return data[: len(data) - len(members) * ROW.size]


def delta_of(
    old: bytes, before: Sequence[RosterRow], new: bytes, after: Sequence[RosterRow]
) -> bytes:
    change = difference(rows_of(before), rows_of(after), NO_LIMIT)
    assert change is not None
    held = hashlib.sha256(head_of(old, before)).digest()
    return encode_delta(held, head_of(new, after), change)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("delta")


def merged(folder: Path, old: bytes, delta: bytes) -> bytes:
    held, came, made = (folder / name for name in ("held", "delta", "made"))
    held.write_bytes(old)
    came.write_bytes(delta)
    base = Base(held, hashlib.sha256(ROSTER.read_head(io.BytesIO(old))).digest(), ROW.size)
    with made.open("wb") as into:
        apply_delta(base, came, into, ROSTER)
    return made.read_bytes()


@st.composite
def changed(draw: st.DrawFn) -> tuple[list[RosterRow], list[RosterRow]]:
    """Two lists of members that share some: as they were, or with another validity."""
    before, others = draw(MEMBERS), draw(MEMBERS)
    after = {row.credential: row for row in others}
    for row in before:
        match draw(st.integers(0, 3)):
            case 1:
                after[row.credential] = row._replace(valid_from=None, valid_to=None)
            case 2 | 3:
                after[row.credential] = row
    return before, list(after.values())


@given(changed())
def test_a_delta_makes_the_very_file_that_was_built(
    folder: Path, lists: tuple[list[RosterRow], list[RosterRow]]
) -> None:
    before, after = lists
    old, new = built(before, version=1), built(after, version=2)
    assert merged(folder, old, delta_of(old, before, new, after)) == new


@given(changed(), st.integers(0, 400))
def test_a_difference_is_made_up_to_its_limit_and_no_byte_further(
    lists: tuple[list[RosterRow], list[RosterRow]], limit: int
) -> None:
    before, after = (rows_of(one) for one in lists)
    whole = difference(before, after, NO_LIMIT)
    assert whole is not None
    fits = len(whole.removed) + len(whole.rows) <= limit
    assert difference(before, after, limit) == (whole if fits else None)


def member(number: int, category: str = "all") -> RosterRow:
    credential = Credential(hashlib.sha256(number.to_bytes(4)).hexdigest()[:32])
    return RosterRow(credential, category, None, None, None)


BEFORE = [member(number) for number in range(300)]
AFTER = [member(number, "town" if number % 50 == 1 else "all") for number in range(5, 310)]
OLD, NEW = built(BEFORE, version=1), built(AFTER, version=2)
DELTA = delta_of(OLD, BEFORE, NEW, AFTER)


def test_a_delta_is_as_long_as_what_has_changed() -> None:
    rows, head = 10 + 5, len(head_of(NEW, AFTER))
    assert len(DELTA) == len(MAGIC) + 32 + 8 + head + 5 * 16 + rows * ROW.size


@given(st.integers(0, len(DELTA) * 8 - 1))
def test_a_flipped_bit_anywhere_in_a_delta_makes_no_roster(folder: Path, bit: int) -> None:
    changed = bytearray(DELTA)
    changed[bit // 8] ^= 1 << bit % 8
    _never_a_roster(folder, bytes(changed))


@given(st.integers(0, len(DELTA) - 1) | st.binary(min_size=1, max_size=60))
def test_a_delta_cut_short_or_grown_makes_no_roster(folder: Path, how: int | bytes) -> None:
    data = DELTA[:how] if isinstance(how, int) else DELTA + how
    _never_a_roster(folder, data)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_at_all_can_do_more_than_be_refused(
    folder: Path, data: bytes, begins_well: bool
) -> None:
    _never_a_roster(folder, DELTA[:55] * begins_well + data)


def _never_a_roster(folder: Path, delta: bytes) -> None:
    assume(delta != DELTA)

    def merged_and_opened() -> None:
        merged(folder, OLD, delta)
        Roster.open(folder / "made", TENANT, PROGRAMME, PLACE, FLEET.public_key())

    with pytest.raises(MessageRefused):
        merged_and_opened()
    assert (folder / "held").read_bytes() == OLD


def test_a_delta_for_another_file_is_refused(folder: Path) -> None:
    with pytest.raises(DeltaRefused, match="another file"):
        merged(folder, built(BEFORE, version=3), DELTA)


def test_what_is_removed_twice_or_out_of_order_is_refused(folder: Path) -> None:
    head, held = head_of(NEW, AFTER), hashlib.sha256(head_of(OLD, BEFORE)).digest()
    first, second = sorted(bytes.fromhex(row.credential) for row in BEFORE[:2])
    for removed, words in (
        (second + first, "not in order"),
        (first + first, "not in order"),
        (bytes(15) + b"1", "not there"),
    ):
        change = difference(rows_of([]), rows_of([]), 0)
        assert change is not None
        with pytest.raises(DeltaRefused, match=words):
            merged(folder, OLD, encode_delta(held, head, change._replace(removed=removed)))


# --- usage files ----------------------------------------------------------------------------------


SUMS = st.dictionaries(st.integers(0, 30), st.integers(0, 3), max_size=20)


def told(rides: dict[int, int], periods: list[str], at_ms: int) -> tuple[bytes, Rows]:
    """Return a usage file of these members, and its rows."""
    by_member = [
        UsageRow(member(number).credential, dict.fromkeys(periods, Used(times)))
        for number, times in rides.items()
    ]
    packed = pack_usage(by_member, periods)
    header = UsageHeader(1, PROGRAMME, PLACE, at_ms, periods, {}, 0, bytes(32))
    file = build_usage(header, packed, TENANT, Signer(FLEET))
    return file, Rows(packed, 0, len(rides), row_bytes(periods))


@given(SUMS, SUMS, st.lists(st.sampled_from(["2026", "2026-06", "2026-06-03"]), unique=True))
def test_a_delta_of_usage_makes_the_very_file_whatever_the_size_of_its_rows(
    folder: Path, before: dict[int, int], others: dict[int, int], periods: list[str]
) -> None:
    (old, old_rows), (new, new_rows) = told(before, periods, 1), told(before | others, periods, 2)
    change = difference(old_rows, new_rows, NO_LIMIT)
    assert change is not None
    name = hashlib.sha256(old_rows.packed(0, old_rows.count)).digest()
    base = Base(folder / "held", name, row_bytes(periods))
    base.path.write_bytes(old)
    (folder / "delta").write_bytes(encode_delta(name, USAGE.read_head(io.BytesIO(new)), change))
    with (folder / "made").open("wb") as into:
        apply_delta(base, folder / "delta", into, USAGE)
    assert (folder / "made").read_bytes() == new
    with (folder / "made").open("wb") as into, pytest.raises(RowsRefused, match="no roster"):
        apply_delta(base, folder / "delta", into, ROSTER)


def test_a_delta_of_rosters_is_the_one_that_deployed_readers_know() -> None:
    assert (MAGIC, ROSTER.delta_type) == (
        b"KAZASU-DELTA-1\n",
        "application/vnd.kazasu.roster-delta",
    )
    assert DELTA[15:47] == hashlib.sha256(head_of(OLD, BEFORE)).digest()
    assert DELTA[47:55] == (5).to_bytes(4) + (15).to_bytes(4)
    head = head_of(NEW, AFTER)
    assert DELTA[55 : 55 + len(head)] == head
