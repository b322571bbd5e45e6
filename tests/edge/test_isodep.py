"""The reader's side of the block protocol against the card's side of it, over an air that fails."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frontends import CardGone
from edge.frontends.isodep import (
    AGAIN_S,
    ANSWER_S,
    FWT_MORE_S,
    FWT_STEP_S,
    UNHURRIED_S,
    Atqb,
    Blocks,
    Garbled,
    Silence,
    TypeBCard,
)
from hw.sim.isodep import BlockProtocol, Reply

FWT_S = FWT_STEP_S * 2**10 + FWT_MORE_S
"""Of a My Number Card: FWI 10."""
EVENTS = ("ok", "lost", "answer lost", "answer garbled")
ANSWER_BEFORE = "answer before"
"""It comes again, in the place of the one that is due."""


class Air:
    """Carries frames to a card in a time of its own: a card that thinks is deaf."""

    def __init__(
        self,
        fsd: int,
        cpu_us: int = 0,
        wtx_us: float = math.inf,
        events: Iterator[str] | None = None,
    ) -> None:
        self.executed: list[bytes] = []
        self.us = 0
        self._before = b""
        self._cpu_us = cpu_us
        self._events = events
        self._busy_until_us = 0
        self.card = BlockProtocol(self._execute, fsd=fsd, wtx_us=wtx_us)
        self.gone = False

    def _execute(self, apdu: bytes) -> Reply:
        self.executed.append(apdu)
        return Reply(apdu[::-1] + b"\x90\x00", self._cpu_us)

    def left_s(self, within_s: float) -> Any:
        deadline_us = self.us + within_s * 1e6
        return lambda: (deadline_us - self.us) / 1e6

    def exchange(self, frame: bytes, within_s: float) -> bytes:
        event = next(self._events, "ok") if self._events else "ok"
        within_us = round(within_s * 1e6)
        if event == "lost" or self.gone or self.us < self._busy_until_us:
            self.us += within_us
            raise Silence
        reply = self.card.receive(frame)
        if reply is None or reply.cpu_us > within_us:
            self._busy_until_us = self.us + (reply.cpu_us if reply else 0)
            self.us += within_us
            raise Silence
        self.us += reply.cpu_us + 1000
        if event == "answer lost":
            raise Silence
        if event == "answer garbled":
            raise Garbled
        before, self._before = self._before, reply.data
        return before if event == ANSWER_BEFORE and before else reply.data


def blocks(air: Air, frame_bytes: int = 256, patient: bool = False) -> Blocks:
    return Blocks(air, frame_bytes, FWT_S, patient)


@given(
    apdus=st.lists(st.binary(min_size=4, max_size=700), min_size=1, max_size=3),
    frame_bytes=st.sampled_from([16, 64, 256]),
    events=st.lists(st.sampled_from((*EVENTS, ANSWER_BEFORE)), max_size=60),
    wtx_us=st.sampled_from([math.inf, 3_000]),
)
def test_whatever_is_lost_an_apdu_is_executed_once_or_the_card_is_gone(
    apdus: list[bytes], frame_bytes: int, events: list[str], wtx_us: float
) -> None:
    air = Air(frame_bytes, cpu_us=10_000, wtx_us=wtx_us, events=iter(events))
    conversation = blocks(air, frame_bytes)
    for at, apdu in enumerate(apdus):
        try:
            answer = conversation.transceive(apdu, air.left_s(30))
        except CardGone:
            assert air.executed in (apdus[:at], apdus[: at + 1])
            return
        assert answer == apdu[::-1] + b"\x90\x00"
        assert air.executed == apdus[: at + 1]


def test_a_block_that_arrived_goes_no_second_time_when_its_answer_is_late() -> None:
    """It may be a PIN: a wrong one would have cost two tries of three."""
    air = Air(256, events=iter(["lost", "ok", ANSWER_BEFORE]))
    with pytest.raises(CardGone):
        blocks(air).transceive(bytes(4), air.left_s(5))
    assert air.executed == [bytes(4)]


@given(
    apdu=st.binary(min_size=4, max_size=400),
    where=st.integers(0, 40),
    event=st.sampled_from(EVENTS[1:]),
)
def test_one_lost_frame_anywhere_costs_no_card(apdu: bytes, where: int, event: str) -> None:
    air = Air(16, events=iter(["ok"] * where + [event]))
    assert blocks(air, 16).transceive(apdu, air.left_s(30)) == apdu[::-1] + b"\x90\x00"
    assert air.executed == [apdu]


def test_a_card_that_was_torn_away_is_given_up_in_an_eighth_of_a_second() -> None:
    air = Air(256)
    air.gone = True
    with pytest.raises(CardGone):
        blocks(air).transceive(b"\0\xa4\0\0", air.left_s(5))
    assert air.us == round(1e6 * (ANSWER_S + AGAIN_S)) < 150_000


def test_a_slow_card_that_asks_for_time_is_waited_for_at_once_even_within_a_chain() -> None:
    air = Air(64, cpu_us=900_000, wtx_us=90_000)
    apdu = bytes(200)
    assert blocks(air, 64).transceive(apdu, air.left_s(5)) == apdu + b"\x90\x00"


@pytest.mark.parametrize("cpu_ms", [130, 200, 300])
def test_a_slow_card_that_asks_for_none_works_the_second_time_it_is_asked(cpu_ms: int) -> None:
    """Its FWT allows 309 ms; who fell silent once is taken for slow."""
    air = Air(256, cpu_us=1000 * cpu_ms)
    with pytest.raises(CardGone):
        blocks(air).transceive(bytes(4), air.left_s(5))
    air = Air(256, cpu_us=1000 * cpu_ms)
    assert blocks(air, patient=True).transceive(bytes(4), air.left_s(5)) == bytes(4) + b"\x90\x00"


ATQB = bytes.fromhex("50 01020304 000005E0 B381A1")


class Slow:
    """A card behind an air of its own that falls silent over its first APDU."""

    def __init__(self) -> None:
        self.within_s: list[float] = []

    def exchange(self, frame: bytes, within_s: float) -> bytes:
        if frame[0] == 0x1D:
            return b"\x00"
        self.within_s.append(within_s)
        raise Silence


def test_only_a_card_that_follows_a_silent_one_is_asked_with_patience() -> None:
    air, atqb = Slow(), Atqb.parse(ATQB)
    assert atqb
    first = TypeBCard(atqb, air, 0)
    second = TypeBCard(atqb, air, 0, first)
    with pytest.raises(CardGone):
        second.transceive(bytes(5), 0.9)
    with pytest.raises(CardGone):
        TypeBCard(atqb, air, 0, second).transceive(bytes(5), 0.9)
    assert air.within_s == [ANSWER_S, AGAIN_S, pytest.approx(FWT_S), AGAIN_S]


def test_a_caller_who_is_not_in_a_hurry_waits_as_long_as_the_card_may_be_silent() -> None:
    air, atqb = Slow(), Atqb.parse(ATQB)
    assert atqb
    card = TypeBCard(atqb, air, 0)
    for within_s in (0.4, UNHURRIED_S):
        with pytest.raises(CardGone):
            card.transceive(bytes(5), within_s)
    assert air.within_s == [ANSWER_S, AGAIN_S, pytest.approx(FWT_S), AGAIN_S]


@pytest.mark.parametrize("wtx", ["F2", "F200", "F23C", "F2FF", "F20100"])
def test_a_wish_for_time_that_no_card_may_have_is_none(wtx: str) -> None:
    class Wishing:
        def exchange(self, frame: bytes, within_s: float) -> bytes:
            return bytes.fromhex(wtx)

    with pytest.raises(CardGone):
        Blocks(Wishing(), 256, FWT_S, False).transceive(bytes(4), lambda: 1.0)


def test_a_wish_for_time_is_granted_without_what_it_says_of_power() -> None:
    """ISO/IEC 14443-4, 7.3: the reader's answer has these two bits zero."""
    sent: list[bytes] = []

    class Weak:
        def exchange(self, frame: bytes, within_s: float) -> bytes:
            sent.append(frame)
            return b"\xf2\xc1" if len(sent) == 1 else b"\x02\x90\x00"

    assert Blocks(Weak(), 256, FWT_S, False).transceive(bytes(4), lambda: 1.0) == b"\x90\x00"
    assert sent[1] == b"\xf2\x01"


@given(st.lists(st.binary(max_size=20), max_size=60))
def test_a_hostile_card_is_an_answer_or_gone(frames: list[bytes]) -> None:
    waiting = iter(frames)

    class Hostile:
        def exchange(self, frame: bytes, within_s: float) -> bytes:
            try:
                return next(waiting)
            except StopIteration:
                raise Silence from None

    try:
        answer = Blocks(Hostile(), 256, FWT_S, False).transceive(bytes(4), lambda: 1.0)
    except CardGone:
        return
    assert any(frame[:1] == b"\x02" for frame in frames) or answer == b""


@given(st.binary(max_size=16))
def test_what_is_no_atqb_is_none(data: bytes) -> None:
    atqb = Atqb.parse(data)
    assert (atqb is None) == (len(data) not in (12, 13) or data[0] != 0x50)


def test_what_the_published_atr_says() -> None:
    """B381A1: frames of 256 bytes, ISO/IEC 14443-4, FWI 10 (309.3 ms)."""
    atqb = Atqb.parse(ATQB)
    about = bytes.fromhex("000005E0B381A1")
    fwt_s = pytest.approx(0.3093 + 0.0036, abs=1e-4)
    assert atqb is not None
    assert tuple(atqb) == (bytes.fromhex("01020304"), about, True, 256, fwt_s)
