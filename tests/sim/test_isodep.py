"""The card's half of ISO/IEC 14443-4 against nfcpy's own reader half."""

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

import nfc.clf
import nfc.tag.tt4
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.sim.isodep import COMMAND_BYTES_MAX, FRAME_BYTES, BlockProtocol, Reply

FWT_S = 4096 / 13.56e6 * 2**10  # FWI 10; it gives nfcpy three retries

apdus = st.lists(st.binary(min_size=1, max_size=1200), min_size=1, max_size=4)
frame_sizes = st.sampled_from(FRAME_BYTES)


class EchoChip:
    """Answers each APDU with `answer`, or with the APDU itself, and counts them."""

    def __init__(self, answer: bytes | None = None, cpu_us: int = 0) -> None:
        self.commands: list[bytes] = []
        self._answer = answer
        self._cpu_us = cpu_us

    def __call__(self, command: bytes) -> Reply:
        self.commands.append(command)
        return Reply(command[::-1] if self._answer is None else self._answer, self._cpu_us)


class Link:
    """What IsoDepInitiator needs of a front end, over a channel that loses chosen frames."""

    def __init__(self, card: BlockProtocol, losses: Iterator[str]) -> None:
        self.card = card
        self.replies: list[Reply] = []
        self._losses = losses

    def exchange(self, data: bytes, timeout: float) -> bytearray:
        loss = next(self._losses)
        reply = None if loss == "request" else self.card.receive(bytes(data))
        if reply is None or loss == "answer":
            raise nfc.clf.TimeoutError("lost")
        self.replies.append(reply)
        return bytearray(reply.data)


def reader(
    card: BlockProtocol, fsc: int = 256, losses: Iterable[str] = ()
) -> nfc.tag.tt4.IsoDepInitiator:
    return nfc.tag.tt4.IsoDepInitiator(Link(card, chain(losses, repeat(""))), fsc, FWT_S)


@given(apdus, frame_sizes, frame_sizes)
def test_apdus_of_any_length_pass_both_ways_in_frames_of_any_size(
    commands: list[bytes], fsd: int, fsc: int
) -> None:
    chip = EchoChip()
    initiator = reader(BlockProtocol(chip, fsd=fsd), fsc)
    answers = [bytes(initiator.exchange(command)) for command in commands]
    assert answers == [command[::-1] for command in commands]
    assert chip.commands == commands


@given(st.binary(max_size=1500), frame_sizes)
def test_no_block_is_longer_than_the_readers_frame(answer: bytes, fsd: int) -> None:
    initiator = reader(BlockProtocol(EchoChip(answer), fsd=fsd))
    assert bytes(initiator.exchange(b"\x00")) == answer
    assert all(len(reply.data) + 2 <= fsd for reply in initiator.clf.replies)


# At most two frames in a row are lost, then two get through: nfcpy tries a block four times.
loss = st.sampled_from(
    [[""], ["request"], ["answer"], ["request", "answer"], ["answer", "request"], ["answer"] * 2]
)


@given(apdus, frame_sizes, st.lists(loss, max_size=40))
def test_a_lost_frame_is_recovered_and_executes_nothing_twice(
    commands: list[bytes], fsd: int, losses: list[list[str]]
) -> None:
    chip = EchoChip()
    channel = chain.from_iterable([*lost, "", ""] for lost in losses)
    initiator = reader(BlockProtocol(chip, fsd=fsd), 64, channel)
    answers = [bytes(initiator.exchange(command)) for command in commands]
    assert answers == [command[::-1] for command in commands]
    assert chip.commands == commands


def test_a_presence_check_between_apdus_disturbs_nothing() -> None:
    chip = EchoChip()
    initiator = reader(BlockProtocol(chip, fsd=256))
    for command in (b"one", b"two", b"three"):
        initiator.exchange(None)
        assert bytes(initiator.exchange(command)) == command[::-1]
    assert chip.commands == [b"one", b"two", b"three"]


@pytest.mark.parametrize(("cpu_ms", "extensions"), [(100, 0), (101, 1), (350, 3)])
def test_a_card_that_thinks_long_asks_for_time_and_thinks_no_longer_in_all(
    cpu_ms: int, extensions: int
) -> None:
    card = BlockProtocol(EchoChip(cpu_us=1000 * cpu_ms), fsd=256, wtx_us=100_000)
    initiator = reader(card)
    assert bytes(initiator.exchange(b"abc")) == b"cba"
    replies = initiator.clf.replies
    assert [reply.data for reply in replies[:-1]] == [b"\xf2\x01"] * extensions
    assert sum(reply.cpu_us for reply in replies) == 1000 * cpu_ms


def test_a_lost_answer_is_sent_again_without_thinking_again() -> None:
    card = BlockProtocol(EchoChip(cpu_us=5000), fsd=256)
    assert card.receive(b"\x02abc") == Reply(b"\x02cba", 5000)
    assert card.receive(b"\xb2") == Reply(b"\x02cba")


def test_a_card_with_an_identifier_hears_only_its_own_blocks() -> None:
    card = BlockProtocol(EchoChip(), fsd=256, cid=5)
    assert card.receive(b"\x02abc") is None
    assert card.receive(b"\x0a\x04abc") is None
    assert card.receive(b"\x0a\x05abc") == Reply(b"\x0a\x05cba")


def test_a_deselected_card_is_silent() -> None:
    card = BlockProtocol(EchoChip(), fsd=256)
    assert card.receive(b"\xc2") == Reply(b"\xc2")
    assert card.deselected
    assert card.receive(b"\x02abc") is None


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_noise_raises_nothing(frames: list[bytes]) -> None:
    card = BlockProtocol(EchoChip(), fsd=256, wtx_us=0)
    for frame in frames:
        reply = card.receive(frame)
        assert reply is None or reply.data


def test_a_frame_beyond_the_cards_own_size_is_not_heard() -> None:
    card = BlockProtocol(EchoChip(), fsd=256)
    assert card.receive(b"\x02" + bytes(254)) is None
    assert card.receive(b"\x02" + bytes(253)) is not None


def test_a_chain_of_blocks_without_end_is_not_heard_any_longer() -> None:
    card = BlockProtocol(EchoChip(), fsd=256)
    blocks = (bytes([0x12 | number % 2]) + bytes(253) for number in range(1000))
    heard = sum(card.receive(block) is not None for block in blocks)
    assert heard == COMMAND_BYTES_MAX // 253
