"""Entries: encoded once, read by anyone, chained so that nothing can be changed or left out."""

import hashlib
import json
from itertools import accumulate

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.wire.samples import ENTRIES, HEX
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import (
    Answer,
    Entry,
    EntryRefused,
    JournalId,
    Redirect,
    Ride,
    Rider,
    Start,
    Tap,
    Used,
    chain,
    decode,
    encode,
    genesis,
    new_journal,
)
from wire.limits import AT_MS_MAX, ENTRY_BYTES_MAX, PERIODS_MAX, RIDERS_MAX, SEQUENCE_MAX

READER = "kazasu-shi/bus-1"
JOURNAL = JournalId("ab" * 16)
TAP = Tap(
    v=1,
    n=1,
    at_ms=1_780_455_600_000,
    mono_ms=5,
    clock=ClockState.SYNCHRONISED,
    programme="senior-pass",
    outcome=Outcome.ACCEPTED,
    code=Code.OK,
    shown="senior-pass.accepted",
)


def tip(reader: str, journal: JournalId, bodies: list[bytes]) -> bytes:
    return list(accumulate(bodies, chain, initial=genesis(reader, journal)))[-1]


@given(ENTRIES)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@pytest.mark.parametrize("name", ["category", "rule", "duty", "line", "stop", "shown"])
def test_an_entry_with_a_nul_in_a_text_is_refused(name: str) -> None:
    body = encode(msgspec.structs.replace(TAP, **{name: "a\0b"}))
    with pytest.raises(EntryRefused, match="U\\+0000"):
        decode(body)


def test_an_entry_that_only_writes_of_a_nul_is_read() -> None:
    entry = msgspec.structs.replace(TAP, category="\\u0000")
    assert decode(encode(entry)) == entry


@given(ENTRIES)
def test_an_entry_is_plain_json_that_names_its_kind_and_version(entry: Entry) -> None:
    plain = json.loads(encode(entry))
    kinds = {"start", "tap", "press", "ride", "cancel", "shift", "redirect", "answer", "clock"}
    assert plain["kind"] in kinds
    assert plain["v"] == 1


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_whatever_the_texts_of_a_start_are_it_fits_into_an_entry(text: str) -> None:
    start = Start(v=1, n=1, at_ms=0, mono_ms=0, clock=ClockState.UNKNOWN, boot=text, agent=text)
    assert len(encode(start)) <= ENTRY_BYTES_MAX


@pytest.mark.parametrize("letter", ["x", "あ", "\U00020bb7", '"', "\x01"])
def test_a_tap_with_every_field_at_its_longest_is_kept(letter: str) -> None:
    longest = letter * 40
    full = Tap(
        v=1,
        n=SEQUENCE_MAX,
        at_ms=AT_MS_MAX,
        mono_ms=AT_MS_MAX,
        clock=ClockState.SYNCHRONISED,
        programme="p" * 32,
        outcome=Outcome.ACCEPTED,
        code=Code.CARD_NOT_USABLE,
        shown=longest,
        scheme=Scheme.STAFF_TOKEN,
        key_epoch=65_535,
        credential="ab" * 16,
        older_credential="cd" * 16,
        category=longest,
        rider_pays_yen=1_000_000,
        declared="out",
        rule=letter * 64,
        roster=SEQUENCE_MAX,
        roster_age_s=SEQUENCE_MAX,
        duty=longest,
        line=longest,
        stop=longest,
        used={f"2026-06-0{day}": Used(10**6, 10**9, 10**6) for day in range(4)},
        usage_age_s=SEQUENCE_MAX,
        riding=True,
        spot="-36.389,-139.060",
    )
    assert decode(encode(full)) == full


@pytest.mark.parametrize("letter", ["x", "あ", "\U00020bb7", '"', "\x01"])
def test_a_ride_of_a_full_car_with_every_field_at_its_longest_is_kept(letter: str) -> None:
    longest = letter * 40
    used = {f"2026-06-{day}{day}": Used(10**6, 10**9, 10**6) for day in range(PERIODS_MAX)}
    riders = [
        Rider(
            scheme=Scheme.STAFF_TOKEN,
            key_epoch=65_535,
            credential=f"{2 * number:032x}",
            older_credential=f"{2 * number + 1:032x}",
            category=longest,
            subsidy_yen=100_000,
            used=used,
            usage_age_s=SEQUENCE_MAX,
        )
        for number in range(RIDERS_MAX)
    ]
    full = Ride(
        v=1,
        n=SEQUENCE_MAX,
        at_ms=AT_MS_MAX,
        mono_ms=AT_MS_MAX,
        clock=ClockState.SYNCHRONISED,
        programme="p" * 32,
        outcome=Outcome.ACCEPTED,
        code=Code.CARD_NOT_USABLE,
        shown=longest,
        riders=riders,
        fare_yen=1_000_000,
        boarded_at_ms=AT_MS_MAX,
        discount=longest,
        discount_yen=100_000,
        rule=letter * 64,
        roster=SEQUENCE_MAX,
        roster_age_s=SEQUENCE_MAX,
        driver=longest,
        on="-36.389,-139.060",
        off="-36.389,-139.060",
    )
    assert decode(encode(full)) == full
    assert full.subsidy_yen + full.discount_yen + full.riders_pay_yen == full.fare_yen


RIDER = Rider(scheme=Scheme.COMMON_AP, key_epoch=1, credential="ab" * 16, subsidy_yen=750)
RIDE = Ride(
    v=1,
    n=2,
    at_ms=1_780_455_600_000,
    mono_ms=5,
    clock=ClockState.SYNCHRONISED,
    programme="taxi",
    outcome=Outcome.ACCEPTED,
    code=Code.OK,
    shown="taxi.settled",
    riders=[RIDER],
    fare_yen=1_500,
    boarded_at_ms=1_780_455_000_000,
)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"outcome": "repeat"}, "accepted or refused"),
        ({"outcome": "refused", "code": "wrong-place"}, "the city pays nothing"),
        ({"fare_yen": 749}, "more than the fare"),
        ({"discount_yen": 751}, "more than the fare"),
        ({"riders": []}, "length >= 1"),
        ({"riders": [RIDER] * 2}, "stands twice"),
        ({"riders": [msgspec.structs.replace(RIDER, older_credential="ab" * 16)]}, "stands twice"),
        (
            {
                "riders": [
                    msgspec.structs.replace(RIDER, credential=f"{one:032x}", subsidy_yen=0)
                    for one in range(RIDERS_MAX + 1)
                ]
            },
            f"length <= {RIDERS_MAX}",
        ),
        ({"on": "36.3890,139.060"}, "Expected `str` matching"),
        ({"on": "36,139"}, "Expected `str` matching"),
        ({"off": "90.001,139.060"}, "Expected `str` matching"),
        ({"off": "36.389,180.001"}, "Expected `str` matching"),
        ({"off": "36.389,139.060\n"}, "Expected `str` matching"),
        ({"driver": "a\0"}, "U\\+0000"),
        ({"riders": [msgspec.structs.replace(RIDER, category="a\0")]}, "U\\+0000"),
    ],
    ids=str,
)
def test_a_ride_that_the_contract_does_not_name_is_refused(
    change: dict[str, object], why: str
) -> None:
    plain = json.loads(encode(RIDE))
    changed = json.loads(msgspec.json.encode(plain | change))
    assert decode(encode(RIDE)) == RIDE
    with pytest.raises(EntryRefused, match=why):
        decode(json.dumps(changed).encode())


@pytest.mark.parametrize("spot", ["90.000,180.000", "-90.000,-180.000", "0.000,99.999", ""])
def test_every_place_on_the_earth_can_be_written_down(spot: str) -> None:
    ride = msgspec.structs.replace(RIDE, on=spot)
    assert decode(encode(ride)) == ride


@pytest.mark.parametrize(
    "plain",
    [
        {"kind": "cancel", "programme": "taxi", "of_journal": "ab" * 16, "of_n": 0, "why": "other"},
        {"kind": "cancel", "programme": "taxi", "of_journal": "ab", "of_n": 1, "why": "other"},
        {"kind": "cancel", "programme": "taxi", "of_journal": "ab" * 16, "of_n": 1, "why": "bored"},
        {"kind": "shift", "began": True, "driver": ""},
        {"kind": "shift", "began": 1, "driver": "7"},
        {"kind": "shift", "driver": "7"},
    ],
    ids=str,
)
def test_a_cancellation_or_a_shift_that_the_contract_does_not_name_is_refused(
    plain: dict[str, object],
) -> None:
    about = {"v": 1, "n": 1, "at_ms": 0, "mono_ms": 0, "clock": "synchronised"}
    with pytest.raises(EntryRefused):
        decode(json.dumps(about | plain).encode())


@pytest.mark.parametrize("heading", ["in", "out", "away", "back"])
def test_a_tap_declares_one_of_four_directions(heading: str) -> None:
    tap = msgspec.structs.replace(TAP, declared=heading)
    assert decode(encode(tap)) == tap


SAID = {
    "programme": "attendance",
    "scheme": "felica-idm",
    "key_epoch": 1,
    "credential": "ab" * 16,
}
REDIRECT = SAID | {"kind": "redirect", "of_journal": "cd" * 16, "of_n": 7, "declared": "out"}
ANSWER = SAID | {"kind": "answer", "missing": "out", "day": "2026-06-03"}


def test_what_a_person_says_of_a_tap_is_read_and_written_as_the_bytes_that_it_was() -> None:
    begins = b'","v":1,"n":8,"at_ms":5,"mono_ms":5,"clock":"unknown","programme":"attendance",'
    card = b'"scheme":"felica-idm","key_epoch":1,"credential":"' + b"ab" * 16 + b'"'
    of = b'"of_journal":"' + b"cd" * 16 + b'","of_n":7,"declared":"out",'
    asked = b'"missing":"out","day":"2026-06-03",'
    for stored in (
        b'{"kind":"redirect' + begins + of + card + b"}",
        b'{"kind":"answer' + begins + asked + card + b"}",
        b'{"kind":"answer' + begins + asked + card + b',"claimed_at_ms":4,"after_ms":3}',
    ):
        entry = decode(stored)
        assert isinstance(entry, Redirect | Answer)
        assert encode(entry) == stored


@pytest.mark.parametrize(
    "plain",
    [
        REDIRECT | {"of_n": 0},
        REDIRECT | {"of_journal": "cd"},
        REDIRECT | {"declared": ""},
        REDIRECT | {"declared": "home"},
        REDIRECT | {"credential": None},
        REDIRECT | {"key_epoch": 0},
        ANSWER | {"missing": ""},
        ANSWER | {"day": "2026-02-29"},
        ANSWER | {"day": "yesterday"},
        ANSWER | {"claimed_at_ms": -1},
        ANSWER | {"claimed_at_ms": AT_MS_MAX + 1},
        ANSWER | {"before_ms": "noon"},
        ANSWER | {"name": "Taro"},
    ],
    ids=str,
)
def test_a_redirect_or_an_answer_that_the_contract_does_not_name_is_refused(
    plain: dict[str, object],
) -> None:
    about = {"v": 1, "n": 1, "at_ms": 0, "mono_ms": 0, "clock": "synchronised"}
    assert decode(json.dumps(about | REDIRECT).encode()).n == 1
    assert decode(json.dumps(about | ANSWER).encode()).n == 1
    with pytest.raises(EntryRefused):
        decode(json.dumps(about | plain).encode())


def test_a_tap_of_before_limits_existed_is_read_and_written_as_the_bytes_that_it_was() -> None:
    stored = (
        b'{"kind":"tap","v":1,"n":7,"at_ms":1780455600000,"mono_ms":5,"clock":"synchronised",'
        b'"programme":"senior-pass","outcome":"accepted","code":"ok",'
        b'"shown":"senior-pass.accepted","scheme":"common-ap","key_epoch":1,'
        b'"credential":"abababababababababababababababab","category":"all","rider_pays_yen":50,'
        b'"rule":"senior-pass/2026-04","roster":3,"roster_age_s":60,"line":"1"}'
    )
    tap = decode(stored)
    assert isinstance(tap, Tap)
    assert (tap.used, tap.usage_age_s) == ({}, None)
    assert encode(tap) == stored


@pytest.mark.parametrize(
    "change",
    [
        {"used": {"year": {"times": 1}}},
        {"used": {"2026\n": {"times": 1}}},
        {"used": {"2026": {"times": -1}}},
        {"used": {"2026": {"rides": 1}}},
        {"used": {str(year): {} for year in range(2020, 2025)}},
        {"usage_age_s": -1},
    ],
    ids=str,
)
def test_usage_that_the_contract_does_not_name_is_refused(change: dict[str, object]) -> None:
    plain = json.loads(encode(TAP))
    with pytest.raises(EntryRefused):
        decode(json.dumps(plain | change).encode())


def test_an_entry_that_is_too_long_is_neither_written_nor_read() -> None:
    # A struct that a program fills is not checked until it is encoded.
    with pytest.raises(EntryRefused, match=f"at most {ENTRY_BYTES_MAX}"):
        encode(msgspec.structs.replace(TAP, stop="x" * ENTRY_BYTES_MAX))
    with pytest.raises(EntryRefused, match=f"at most {ENTRY_BYTES_MAX}"):
        decode(encode(TAP) + b" " * ENTRY_BYTES_MAX)


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"v": 2},
        {"v": "1"},
        {"n": 0},
        {"n": SEQUENCE_MAX + 1},
        {"n": 1.5},
        {"at_ms": -1},
        {"at_ms": AT_MS_MAX + 1},
        {"kind": "other"},
        {"programme": "Senior"},
        {"programme": "senior-pass\n"},
        {"outcome": "perhaps"},
        {"code": "because"},
        {"credential": "AB" * 16},
        {"credential": "ab" * 16 + "\n"},
        {"credential": "ab" * 15},
        {"shown": "s" * 41},
        {"declared": "up"},
        {"rider_pays_yen": -1},
        {"rider_pays_yen": 0.5},
        {"clock": "fine"},
    ],
    ids=str,
)
def test_what_the_contract_does_not_name_is_refused(change: dict[str, object]) -> None:
    plain = json.loads(encode(TAP))
    with pytest.raises(EntryRefused):
        decode(json.dumps(plain | change).encode())


@pytest.mark.parametrize("field", ["credential", "older_credential"])
def test_an_unknown_card_leaves_no_credential_even_if_a_reader_sent_one(field: str) -> None:
    plain = json.loads(encode(TAP)) | {"outcome": "refused", "code": "unknown"}
    assert decode(json.dumps(plain).encode()).n == TAP.n
    with pytest.raises(EntryRefused, match="a card that is unknown"):
        decode(json.dumps(plain | {field: "ab" * 16}).encode())


@pytest.mark.parametrize("field", ["v", "n", "at_ms", "mono_ms", "clock", "kind", "outcome"])
def test_nothing_that_is_needed_may_be_missing(field: str) -> None:
    plain = json.loads(encode(TAP))
    del plain[field]
    with pytest.raises(EntryRefused):
        decode(json.dumps(plain).encode())


@given(st.binary(max_size=ENTRY_BYTES_MAX + 10))
def test_no_bytes_at_all_can_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(EntryRefused):
        decode(data)


@pytest.mark.parametrize(
    "opening", ['{"kind":"start","former":' + "[" * 990, "[" * ENTRY_BYTES_MAX]
)
def test_brackets_without_end_are_refused(opening: str) -> None:
    with pytest.raises(EntryRefused):
        decode(opening.encode())


# --- the chain ------------------------------------------------------------------------------------


def test_the_chain_is_the_one_of_the_contract() -> None:
    body = encode(TAP)
    first = hashlib.sha256(b"kazasu-journal-1\0kazasu-shi/bus-1\0" + b"ab" * 16).digest()
    assert genesis(READER, JOURNAL) == first
    assert chain(first, body) == hashlib.sha256(first + body).digest()


@given(st.lists(ENTRIES, min_size=1, max_size=4), st.data())
def test_a_change_of_any_bit_of_any_entry_changes_the_tip(
    entries: list[Entry], data: st.DataObject
) -> None:
    bodies = [encode(entry) for entry in entries]
    which = data.draw(st.integers(0, len(bodies) - 1))
    bit = data.draw(st.integers(0, len(bodies[which]) * 8 - 1))
    changed = bytearray(bodies[which])
    changed[bit // 8] ^= 1 << bit % 8
    other = [*bodies[:which], bytes(changed), *bodies[which + 1 :]]
    assert tip(READER, JOURNAL, other) != tip(READER, JOURNAL, bodies)


@given(st.lists(ENTRIES, min_size=2, max_size=4), st.data())
def test_an_entry_left_out_doubled_or_moved_changes_the_tip(
    entries: list[Entry], data: st.DataObject
) -> None:
    bodies = [encode(entry) for entry in entries]
    which = data.draw(st.integers(0, len(bodies) - 2))
    one, two = bodies[which : which + 2]
    assume(one != two)
    head, tail = bodies[:which], bodies[which + 2 :]
    whole = tip(READER, JOURNAL, bodies)
    for middle in ([one], [two], [one, one, two], [two, one], []):
        assert tip(READER, JOURNAL, [*head, *middle, *tail]) != whole


@given(HEX, HEX)
def test_a_chain_belongs_to_one_reader_and_one_journal(one: str, other: str) -> None:
    assume(one != other)
    assert genesis(READER, JournalId(one)) != genesis(READER, JournalId(other))
    assert genesis("kazasu-shi/bus-2", JournalId(one)) != genesis(READER, JournalId(one))


def test_journals_have_names_of_their_own() -> None:
    names = {new_journal() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 32 and bytes.fromhex(name) for name in names)
