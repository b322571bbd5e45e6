"""The reader head in the path: the real firmware, its link, a real protocol on every line.

nfcpy's chip class → the agent's link → pty → firmware under MicroPython → pty → PN532 → card
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.frontends import Card, CardGone, FrontEndFault, Technology
from edge.frontends.opening import open_front_end
from edge.frontends.pn532 import Pn532
from edge.head import LINK_S, Head, HeadGone, HeadRefused, found
from edge.schemes import REGISTER
from edge.schemes.allowlist import Reading
from hw.sim.cards import FeliCaCard, StaffToken
from hw.sim.pn532 import Fault
from tests.edge.head_kit import NOISES, SPLIT, Headed, Noise, front_end, headed
from tests.edge.reader_kit import identifier, my_number_card
from tests.timing import IN_TIME
from wire import headlink
from wire.credential import Scheme
from wire.headlink import Op

pytestmark = IN_TIME  # a chip that is silent for 100 ms is given up

ALL: tuple[Technology, ...] = ("106B", "212F", "106A")
SPEEDS = (115_200, 921_600)
IDM = bytes.fromhex("0114D5A2B3C4E5F6")
UID = bytes.fromhex("04A1B2C3D4E5F6")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Headed]:
    with headed(tmp_path) as opened:
        yield opened


def held(device: Pn532) -> Card:
    card = device.sense(ALL)
    assert card
    return card


def read(card: Card) -> bytes:
    end_s = time.monotonic() + 1
    scheme = REGISTER[Scheme.COMMON_AP]
    return bytes(scheme.read(Reading(card, scheme.commands, lambda: end_s - time.monotonic())))


@pytest.mark.parametrize("baudrate", SPEEDS)
def test_each_kind_of_card_is_found_and_read_through_the_firmware(
    reader: Headed, baudrate: int
) -> None:
    device = front_end(reader, baudrate)
    assert reader.chip.baud == baudrate
    resident, transit = my_number_card(7), FeliCaCard(IDM)
    reader.chip.place(resident)
    assert read(held(device)) == identifier(resident, Scheme.COMMON_AP)
    reader.chip.place(transit)
    assert held(device).sensed_id == IDM
    reader.chip.place(StaffToken(UID))
    assert held(device).sensed_id == UID
    reader.chip.remove()
    assert device.sense(ALL) is None


def test_the_lamp_is_lit_the_buzzer_sounds_and_the_relay_pulses_once(reader: Headed) -> None:
    yes = headlink.MEANINGS.index("yes")
    reader.head.ask(headlink.SHOW, yes, 1)
    eventually(lambda: any(any(light) for light in reader.board.lamp) and reader.board.tone_hz)
    reader.head.ask(headlink.RELAY, 80)
    assert eventually(lambda: reader.board.output("RELAY") == 1)
    assert eventually(lambda: reader.board.output("RELAY") == 0)
    assert reader.board.pulses("RELAY") == 1


def eventually(holds: object, within_s: float = 5.0) -> bool:
    assert callable(holds)
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    return True


def test_a_new_agent_hears_of_an_old_head_that_it_does_not_know_an_operation(
    reader: Headed,
) -> None:
    later = Op("later", 0x7E)
    with pytest.raises(HeadRefused) as refused:
        reader.head.ask(later)
    assert refused.value.errno == headlink.UNKNOWN
    with pytest.raises(HeadRefused) as refused:
        reader.head.ask(Op("relay", headlink.RELAY.code))  # as an older agent may ask
    assert refused.value.errno == headlink.MALFORMED
    assert reader.head.ask(headlink.PING)


def test_an_answer_of_another_form_is_refused_and_such_a_greeting_is_no_heads(
    reader: Headed,
) -> None:
    reader.head.ask(headlink.PING)
    reader.board.mangle = Other(lambda payload: payload + b"!")
    with pytest.raises(HeadRefused, match="another form"):
        reader.head.ask(headlink.PING)
    with pytest.raises(HeadRefused, match="another form"):
        reader.head.ask(headlink.SENSE)
    reader.head.close()
    opened = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(HeadGone, match="another form"):
            reader.head.ask(headlink.PING)
    assert len(os.listdir("/proc/self/fd")) == opened
    reader.board.mangle = None
    assert reader.head.ask(headlink.PING)


def test_a_head_of_another_protocol_is_not_spoken_to(reader: Headed) -> None:
    reader.board.mangle = Other(lambda payload: b"\x02" + payload[1:])
    with pytest.raises(HeadGone, match="protocol 2, not 1: update it"):
        reader.head.ask(headlink.PING)
    assert not reader.head.is_open


class Other:
    """A later head, whose answers are other ones."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        self._change, self._stream = change, headlink.Stream()

    def __call__(self, data: bytes, to_head: bool) -> bytes:
        """See sim.Head.mangle."""
        if to_head:
            return data
        frames = self._stream.feed(data)
        return b"".join(
            headlink.pack(kind, seq, op, self._change(payload)) for kind, seq, op, payload in frames
        )


def test_a_request_that_comes_again_is_done_once(reader: Headed) -> None:
    reader.head.ask(headlink.PING)
    reader.head.close()
    line = headlink.pack(headlink.REQUEST, 77, headlink.RELAY.code, headlink.RELAY.ask(30))
    fd = os.open(reader.board.path, os.O_RDWR | os.O_NOCTTY)
    try:
        for _ in range(5):
            os.write(fd, b"\0" + line)
            time.sleep(0.1)
    finally:
        os.close(fd)
    assert reader.board.pulses("RELAY") == 1


def test_what_was_given_up_makes_no_pulse_be_forgotten(reader: Headed) -> None:
    """The chip is silent, the agent dies, another opens the door, and its answer is lost."""
    reader.head.ask(headlink.PING)
    reader.head.close()
    reader.chip.fail_next(Fault.COMMAND_LOST)
    asked = [
        (1, headlink.NFC, headlink.NFC.ask(500, tail=b"\x02")),
        (2, headlink.RELAY, headlink.RELAY.ask(20)),
    ]
    lines = [headlink.pack(headlink.REQUEST, seq, op.code, payload) for seq, op, payload in asked]
    fd = os.open(reader.board.path, os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(fd, b"\0" + b"".join(lines))
        time.sleep(0.3)  # by now the head has given up the chip
        os.write(fd, b"\0" + lines[1])
        time.sleep(0.2)
    finally:
        os.close(fd)
    assert reader.board.pulses("RELAY") == 1


def test_after_a_restart_of_the_head_no_pulse_is_made_that_may_have_been_made(
    reader: Headed,
) -> None:
    reader.head.ask(headlink.PING)
    openings = reader.head.openings
    reader.board.reset()
    eventually(lambda: reader.board.starts == 2)
    with pytest.raises(HeadGone):
        reader.head.ask(headlink.RELAY, 30)
    assert reader.board.pulses("RELAY") == 0
    eventually(Path(reader.board.path).exists)
    reader.head.ask(headlink.RELAY, 30)  # which looks for it, and greets it
    assert reader.head.openings == openings + 1
    assert eventually(lambda: reader.board.pulses("RELAY") == 1)


def test_the_head_looks_for_cards_by_itself_and_says_so_once(reader: Headed) -> None:
    device = front_end(reader)
    assert device.sense(("106B",)) is None  # which loads what Type B needs into the chip
    reader.head.ask(headlink.NFC_POLL, 1)
    reader.head.hear(0.2)  # of its senses, perhaps
    assert headlink.CARD not in reader.head.events
    resident = my_number_card(7)
    reader.chip.place(resident)
    assert eventually(lambda: reader.head.hear(0.01) and headlink.CARD in reader.head.events)
    number, atqb = reader.head.events.pop(headlink.CARD)
    assert number == 1
    assert atqb[0] == 0x50  # ISO/IEC 14443-3, 7.9
    time.sleep(0.1)
    reader.head.hear(0.01)
    assert headlink.CARD not in reader.head.events
    assert read(held(device)) == identifier(resident, Scheme.COMMON_AP)


def test_a_chip_that_hangs_is_reset_by_its_line_whatever_speed_it_was_left_at(
    reader: Headed,
) -> None:
    device = front_end(reader, 921_600)
    reader.chip.fail_next(Fault.HANGS)
    with pytest.raises(FrontEndFault):
        device.sense(ALL)
    device.restart()
    reader.chip.place(StaffToken(UID))
    assert held(device).sensed_id == UID


@pytest.mark.parametrize(
    "fault", [Fault.COMMAND_LOST, Fault.BYTE_LOST, Fault.BAD_CHECKSUM, Fault.ERROR_FRAME]
)
def test_what_goes_wrong_between_head_and_chip_is_mended_or_said_in_time(
    reader: Headed, fault: Fault
) -> None:
    device = front_end(reader)
    reader.chip.place(StaffToken(UID))
    for _ in range(5):
        reader.chip.fail_next(fault)
        began_s = time.monotonic()
        with contextlib.suppress(FrontEndFault):
            card = device.sense(ALL)
            assert card is None or card.sensed_id == UID
        assert time.monotonic() - began_s < 2.5
    reader.chip.fail_next()
    assert held(device).sensed_id == UID


@pytest.mark.parametrize("kind", [*NOISES, SPLIT])
def test_on_a_bad_link_no_card_is_taken_for_another_and_no_call_hangs(
    reader: Headed, kind: str
) -> None:
    device = front_end(reader)
    resident = my_number_card(7)
    right = identifier(resident, Scheme.COMMON_AP)
    reader.chip.place(resident)
    reader.board.mangle = noise = Noise(kind, seed=1)
    good = 0
    for _ in range(25):
        began_s = time.monotonic()
        with contextlib.suppress(FrontEndFault, CardGone):
            card = device.sense(("106B",))
            if card:
                assert read(card) == right
                good += 1
        assert time.monotonic() - began_s < 3.0
    assert noise.done > 20
    assert good > 5
    reader.board.mangle = None
    assert read(held(device)) == right


@pytest.mark.parametrize("kind", [*NOISES, SPLIT])
def test_on_a_bad_link_each_pulse_that_was_answered_was_made_once(
    reader: Headed, kind: str
) -> None:
    reader.head.ask(headlink.PING)
    reader.board.mangle = Noise(kind, seed=2, every=3)
    answered = given_up = 0
    for _ in range(20):
        try:
            reader.head.ask(headlink.RELAY, 1)
            answered += 1
        except HeadGone:
            given_up += 1
        time.sleep(0.03)  # of a door
    assert answered > 10
    assert answered <= reader.board.pulses("RELAY") <= answered + given_up


def test_pulled_out_at_any_frame_of_a_tap_it_is_found_again(reader: Headed) -> None:
    device = front_end(reader)
    resident = my_number_card(7)
    right = identifier(resident, Scheme.COMMON_AP)
    reader.chip.place(resident)
    for frame in range(1, 20):
        left = [frame]

        def pull(data: bytes, to_head: bool, left: list[int] = left) -> bytes:
            left[0] -= 1
            if left[0] == 0:
                reader.board.unplug()
                return b""
            return data

        reader.board.mangle = pull
        began_s = time.monotonic()
        with contextlib.suppress(FrontEndFault, CardGone):
            card = device.sense(("106B",))
            assert card is None or read(card) in (right, None)
        assert time.monotonic() - began_s < 3.0
        reader.board.mangle = None
        reader.board.plug()
        eventually(Path(reader.board.path).exists)
        device.restart()
        assert read(held(device)) == right


def test_a_head_that_is_away_is_said_to_be_at_once_and_found_when_it_is_back(
    reader: Headed,
) -> None:
    reader.head.ask(headlink.PING)
    reader.board.unplug()
    eventually(lambda: not Path(reader.board.path).exists())
    for _ in range(2):
        began_s = time.monotonic()
        with pytest.raises(HeadGone):
            reader.head.ask(headlink.PING)
        assert time.monotonic() - began_s < LINK_S + 0.1
    reader.board.plug()
    eventually(Path(reader.board.path).exists)
    assert reader.head.ask(headlink.PING)


def test_two_agents_do_not_share_a_head(reader: Headed) -> None:
    reader.head.ask(headlink.PING)
    with pytest.raises(HeadGone, match="another program uses it"):
        Head(str(reader.board.path)).ask(headlink.PING)


def test_a_head_is_found_by_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.head.BY_ID", str(tmp_path / "usb-Kazasu_Reader_head_{}-if00"))
    with pytest.raises(OSError, match="none is plugged in"):
        found("")
    for number in ("e661410403123456", "e661410403999999"):
        (tmp_path / f"usb-Kazasu_Reader_head_{number}-if00").touch()
    (tmp_path / "usb-Other_Modem_1-if00").touch()
    with pytest.raises(OSError, match="name one by its number"):
        found("")
    assert found("e661410403999999").endswith("999999-if00")
    with pytest.raises(OSError, match="none is plugged in"):
        found("*")
    assert found("/dev/ttyACM7") == "/dev/ttyACM7"


def test_a_front_end_is_opened_by_the_heads_name_alone(reader: Headed) -> None:
    device = open_front_end(f"head:{reader.board.path}@921600", "0003")
    assert reader.chip.baud == 921_600
    device.close()


def test_a_head_that_somebody_else_opened_anew_leaves_no_deaf_chip_behind(reader: Headed) -> None:
    """Such as the lamp's request. The chip was reset: it sleeps, and does not just find nothing."""
    device = front_end(reader)
    reader.board.reset()
    eventually(lambda: reader.board.starts == 2)
    with pytest.raises(HeadGone):
        reader.head.ask(headlink.PING)
    eventually(Path(reader.board.path).exists)
    reader.head.ask(headlink.PING)
    reader.chip.place(my_number_card(7))
    with pytest.raises(FrontEndFault):
        device.sense(ALL)
    assert held(device).technology == "106B"
