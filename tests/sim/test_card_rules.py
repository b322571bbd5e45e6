"""What no command can break: an answer to everything, and nothing behind a PIN without the PIN."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from hw.sim.chip import Chip
from hw.sim.mynumber import (
    COMMON_AP,
    FACE_AP,
    INPUT_SUPPORT_AP,
    JPKI_AP,
    NOBODYS_NUMBER,
    REGISTER_AP,
    MyNumberCard,
)
from hw.sim.variants import VARIANTS
from tests.sim.chip_kit import (
    BIRTH_CODE,
    CODE_B,
    DATA,
    Send,
    connected,
    read,
    read_all,
    select,
    select_file,
    verify,
)

PINS: dict[bytes, dict[int, tuple[bytes, int]]] = {
    JPKI_AP: {0x18: (b"4321", 3), 0x1B: (b"PASSWORD1234", 5)},
    INPUT_SUPPORT_AP: {0x11: (b"2468", 3), 0x14: (NOBODYS_NUMBER, 10), 0x15: (CODE_B, 10)},
    FACE_AP: {0x11: (BIRTH_CODE, 10), 0x12: (CODE_B, 10), 0x13: (NOBODYS_NUMBER, 10)},
    COMMON_AP: {0x1C: (b"1357", 3)},
    REGISTER_AP: {0x1C: (b"1357", 3)},
}
"""By application and file: the value and how often it may be wrong."""
GUARDED: dict[bytes, dict[int, set[int]]] = {
    JPKI_AP: {0x01: {0x1B}, 0x09: set()},
    INPUT_SUPPORT_AP: {
        0x01: {0x11, 0x14},
        0x02: {0x11, 0x15},
        0x03: {0x11, 0x14, 0x15},
        0x06: {0x11, 0x14, 0x15},
        0x07: {0x11, 0x14, 0x15},
        0x08: {0x11, 0x14, 0x15},
    },
    FACE_AP: {0x01: {0x11}, 0x02: {0x12, 0x13}, 0x05: {0x13}, 0x06: {0x12, 0x13}},
}
"""By application and file: the PINs of which one opens it."""
KEYS = {(JPKI_AP, 0x17): 0x18, (JPKI_AP, 0x1A): 0x1B}
ALL_PINS = [(ap, fid) for ap, pins in PINS.items() for fid in pins]
applications = st.sampled_from([JPKI_AP, INPUT_SUPPORT_AP, FACE_AP, COMMON_AP])
ALL_GUARDED = [(ap, fid) for ap, files in GUARDED.items() for fid in files]
RIGHT = {value for pins in PINS.values() for value, _ in pins.values()}


def chained(apdu: bytes) -> list[bytes]:
    """The same short command with data, in two."""
    head, data = apdu[1:4], apdu[5 : 5 + apdu[4]]
    first, rest = data[:1], data[1:]
    return [
        b"\x10" + head + bytes([len(first)]) + first,
        b"\x00" + head + bytes([len(rest)]) + rest,
    ]


def extended(apdu: bytes) -> bytes:
    """The same short command with data, its length in three bytes."""
    return apdu[:4] + b"\x00\x00" + apdu[4:]


def tries(send: Send) -> dict[tuple[bytes, int], int]:
    """Ask for all counters."""
    return {
        (ap, fid): send(select(ap), select_file(fid), "00200080")[1] & 0x0F for ap, fid in ALL_PINS
    }


def chips() -> list[Chip]:
    cards = [make(DATA, random.Random(1)) for make in VARIANTS.values()]
    return [card.chip for card in cards if hasattr(card, "chip")]


headers = st.tuples(
    st.sampled_from([0x00, 0x10, 0x80, 0x90, 0x0C, 0xFF]),
    st.sampled_from([0xA4, 0xB0, 0xB2, 0x20, 0x2A, 0x88, 0xCA, 0xC0]),
    st.sampled_from([0x00, 0x02, 0x03, 0x04, 0x01, 0x81, 0x8A, 0x91]),
    st.sampled_from([0x00, 0x0C, 0x04, 0x80, 0x91, 0x93, 0x94, 0x97, 0x99, 0x9B]),
).map(bytes)
bodies = st.one_of(
    st.just(b""),
    st.sampled_from(
        [b"\x00", b"\x00\x00\x00", b"\x02\x00\x01", b"\x02\x00\x18", b"\x04" + b"9999"]
    ),
    st.sampled_from(sorted(PINS)).map(lambda aid: bytes([len(aid)]) + aid),
    st.binary(max_size=80),
)
anything = st.one_of(
    st.binary(max_size=300),
    st.builds(bytes.__add__, headers, bodies),
    st.sampled_from([select(aid) for aid in sorted(PINS)]),
    st.integers(0, 0x1F).map(select_file),
)


@given(st.lists(anything, max_size=12), st.integers(0, len(chips()) - 1))
def test_whatever_is_sent_a_status_word_comes_back(apdus: list[bytes], number: int) -> None:
    files = chips()[number].files
    for apdu in apdus:
        answer = files.process(apdu)
        assert len(answer) >= 2
        assert answer[-2] & 0xF0 in (0x60, 0x90)
        assert len(answer) == 2 or answer[-2:] == b"\x90\x00"


def guarded_pieces() -> list[bytes]:
    """A piece of each file that is behind a PIN, without the lengths that begin it."""
    send = connected(MyNumberCard(DATA))
    pieces = []
    for ap, fid in ALL_GUARDED:
        for pin in GUARDED[ap][fid]:
            send(select(ap), verify(PINS[ap][pin][0], pin))
            pieces.append(read(send, fid)[5:17])
    return [piece for piece in pieces if set(piece) != {0xFF}]


PIECES = guarded_pieces()


@settings(max_examples=300)
@given(st.lists(anything, max_size=30))
def test_who_never_gives_a_right_pin_reads_nothing_behind_one_and_gains_no_try(
    apdus: list[bytes],
) -> None:
    card = MyNumberCard(DATA)
    before = tries(connected(card))
    send = connected(card)
    for apdu in apdus:
        if any(right in apdu for right in RIGHT):
            continue
        answer = send(apdu)
        assert not any(piece in answer for piece in PIECES)
    after = tries(connected(card))
    assert all(after[pin] <= before[pin] for pin in ALL_PINS)


def pin_commands(value: bytes, fid: int, way: int) -> list[bytes]:
    """VERIFY by the file or its short id, in one piece or two, short or extended."""
    select_pin, named, current = select_file(fid), verify(value, fid), verify(value)
    return [
        [select_pin, current],
        [named],
        [*chained(select_pin), *chained(current)],
        [extended(select_pin), extended(named)],
    ][way]


def read_commands(fid: int, way: int) -> list[bytes]:
    """READ BINARY by the file or its short id, of 256 bytes, four, or all."""
    return [
        [select_file(fid), bytes.fromhex("00B0000000")],
        [select_file(fid), bytes.fromhex("00B00000000000")],
        [*chained(select_file(fid)), bytes.fromhex("00B0000100")],
        [bytes([0x00, 0xB0, 0x80 | fid, 0x00, 0x04])],
        [read_all(fid)],
    ][way]


class AnyReader(RuleBasedStateMachine):
    """Right and wrong PINs, selections and reads in any order, against a model of the rules."""

    @initialize(aid=applications)
    def new_card(self, aid: bytes) -> None:
        self.card = MyNumberCard(DATA)
        self.tries = {(ap, fid): PINS[ap][fid][1] for ap, fid in ALL_PINS}
        self.select_application(aid, power_off=True)

    @rule(aid=applications, power_off=st.booleans())
    def select_application(self, aid: bytes, power_off: bool) -> None:
        if power_off:
            self.send = connected(self.card)
        assert self.send(select(aid)) == b"\x90\x00"
        self.selected = aid
        self.verified: set[int] = set()

    @rule(power_off=st.booleans())
    def select_it_again(self, power_off: bool) -> None:
        self.select_application(self.selected, power_off)

    @rule()
    def select_unknown(self) -> None:
        assert self.send(select(b"\xa0" * 7)) == b"\x6a\x82"

    @rule(data=st.data(), right=st.booleans(), way=st.integers(0, 3))
    def give_pin(self, data: st.DataObject, right: bool, way: int) -> None:
        fid = data.draw(st.sampled_from(sorted(PINS[self.selected])))
        value, tries_max = PINS[self.selected][fid]
        times = tries_max + 1 if data.draw(st.integers(0, 9)) == 9 else 1
        for _ in range(times):
            answer = self.send(*pin_commands(value if right else b"9999", fid, way))
            assert answer == self.expected(fid, right)

    def expected(self, fid: int, right: bool) -> bytes:
        """What a PIN is answered; the model remembers it."""
        pin = self.selected, fid
        if self.tries[pin] == 0:
            return b"\x69\x84"
        if right:
            self.tries[pin] = PINS[self.selected][fid][1]
            self.verified.add(fid)
            return b"\x90\x00"
        self.tries[pin] -= 1
        self.verified.discard(fid)
        return bytes([0x63, 0xC0 | self.tries[pin]])

    @precondition(lambda self: self.selected in GUARDED)
    @rule(way=st.integers(0, 4))
    def read_everything(self, way: int) -> None:
        for fid, pins in GUARDED[self.selected].items():
            answer = self.send(*read_commands(fid, way))
            opened = bool(self.verified & pins)
            assert answer[-2:] == (b"\x90\x00" if opened else b"\x69\x82")
            assert opened == (len(answer) > 2)

    @precondition(lambda self: self.selected == JPKI_AP)
    @rule(key=st.sampled_from(sorted(KEYS)), named=st.booleans())
    def sign(self, key: tuple[bytes, int], named: bool) -> None:
        fid = key[1]
        p2 = 0x80 | fid if named else 0x80
        self.send(select_file(fid))
        answer = self.send(bytes([0x80, 0x2A, 0x00, p2, 1, 0x30, 0x00]))
        opened = KEYS[key] in self.verified
        assert len(answer) == (258 if opened else 2)
        assert answer[-2:] == (b"\x90\x00" if opened else b"\x69\x82")

    def teardown(self) -> None:
        if hasattr(self, "selected"):
            assert tries(connected(self.card)) == self.tries


TestAnyReader = AnyReader.TestCase
TestAnyReader.settings = settings(max_examples=60, stateful_step_count=40)
