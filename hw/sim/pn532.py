"""A PN532 module on a serial line: the real protocol on a pty, with cards in its field.

It stands in the place of the module on a UART. Read on in `pn532_uart` (the line), `pn532_firmware`
(the commands) and `pn532_radio` (the air). Upheld: a command ends at once when the host sends an
ACK or another command, and when the chip is reset or unplugged · whatever comes over the line, the
chip lives; what ends its thread all the same is raised by `close` and by every order.
"""

import enum
import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Final

from hw.sim.card import Card
from hw.sim.field import Field, Frame
from hw.sim.pn532_firmware import Firmware, Refused
from hw.sim.pn532_frames import ACK, NACK, SYNTAX_ERROR, frame
from hw.sim.pn532_radio import Radio
from hw.sim.pn532_uart import Interrupted, Uart
from hw.sim.serial_line import SerialLine

# What the chip thinks about any command beyond line and air. No figure is published: between 0.5
# ms, a guess, and 1.5 ms, reckoned from a log of nfcpy on a Raspberry Pi 3 (its tracker, 131: 12
# bytes out and 10 in at 115,200 baud within 5 ms), in which Linux had its share.
COMMAND_MS: Final = 1.0

# How long an order may take that the chip's thread carries out: it does nothing that lasts.
ORDER_S_MAX: Final = 5.0
LOOK_S: Final = 0.05

TFI_HOST: Final = 0xD4
TFI_CHIP: Final = 0xD5


class Fault(enum.Enum):
    """What can go wrong with one command."""

    COMMAND_LOST = "a byte of the command is lost on its way, so the chip hears none"
    BYTE_LOST = "a byte of the answer is lost on its way"
    BAD_CHECKSUM = "the answer's data checksum is wrong"
    ERROR_FRAME = "the chip refuses the command as a syntax error"
    HANGS = "the chip acknowledges and hangs until it is reset"


class PN532:
    """A chip on a pty of its own, served by a thread until closed. It is asleep, as after power-on.

    `path` is what a host opens; with `link` it is a symbolic link of that name. `left_at`: an agent
    that died has left it awake and at this speed. `paced=False`: nothing takes time. `transcript`
    is called from the chip's thread with each `Frame` on the air. `type_b_mod_gsp_min`: see
    `pn532_radio.Radio`; 0x10 is a module that is deaf with nfcpy's own setting. `seed` is for the
    time slots that FeliCa cards draw. All methods may be called from any other thread.
    """

    def __init__(
        self,
        *,
        link: Path | None = None,
        left_at: int | None = None,
        paced: bool = True,
        transcript: Callable[[Frame], None] | None = None,
        type_b_mod_gsp_min: int = 0,
        seed: int = 0,
    ) -> None:
        self._paced = paced
        self._type_b_mod_gsp_min = type_b_mod_gsp_min
        self._rng = random.Random(seed)
        self._field = Field(transcript)
        self._faults: deque[Fault] = deque()
        self._orders: SimpleQueue[tuple[Callable[[], None], Event]] = SimpleQueue()
        self._closed = False
        self._error: BaseException | None = None
        self._line = SerialLine(link)
        self._power_on()
        if left_at:
            self._uart.baud, self._uart.wakes = left_at, None
        self._thread = Thread(target=self._run, name=f"PN532 {self.path}", daemon=True)
        self._thread.start()

    def __enter__(self) -> "PN532":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The serial device that a host opens. Raises OSError when unplugged and without `link`."""
        return self._line.path

    @property
    def baud(self) -> int:
        """The chip's speed on the line, in bits per second."""
        return self._uart.baud

    @property
    def card(self) -> Card | None:
        """The (first) card in the field."""
        cards = self._field.cards
        return cards[0] if cards else None

    def place(self, *cards: Card) -> None:
        """Hold these cards, and no others, over the module."""
        self._field.place(*cards)

    def remove(self) -> None:
        """Take away what is held there. An answer that is still on its way is lost."""
        self._field.place()

    def fail_next(self, *faults: Fault) -> None:
        """Let the next commands go wrong, one fault each, in this order."""
        self._faults.extend(faults)

    def reset(self) -> None:
        """Pulse RSTPDN: all is as after power-on, and a chip that hangs works again."""
        self._order(self._power_on)

    def unplug(self) -> None:
        """Take the module away, also from a host that has it open; it loses its power."""
        self._order(self._unplug)

    def plug(self) -> None:
        """Plug the module in again. Without `link` its path is a new one."""
        self._order(self._plug)

    def close(self) -> None:
        """Stop serving and give the pty back. Raises RuntimeError if the chip's thread had died."""
        try:
            self._order(self._stop)
        finally:
            self._thread.join(ORDER_S_MAX)
            self._line.close()

    def _order(self, act: Callable[[], None]) -> None:
        """Have the chip's thread do something, and wait until it is done."""
        done = Event()
        self._orders.put((act, done))
        self._line.wake()
        deadline_s = time.monotonic() + ORDER_S_MAX
        while not done.wait(LOOK_S):
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                raise RuntimeError("the chip's thread does not work") from self._error

    # --- the chip's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closed:
                self._step()
        except BaseException as error:
            self._error = error
            raise

    def _step(self) -> None:
        try:
            if packet := self._uart.next_packet():
                self._handle(packet)
        except Interrupted:
            return

    def _obey(self) -> bool:
        """Carry out the orders that have come; True if there were any."""
        obeyed = False
        while not self._orders.empty():
            act, done = self._orders.get()
            act()
            done.set()
            obeyed = True
        return obeyed

    def _stop(self) -> None:
        self._closed = True

    def _unplug(self) -> None:
        self._line.unplug()
        self._power_on()

    def _plug(self) -> None:
        self._line.plug()
        self._power_on()

    def _power_on(self) -> None:
        self._uart = uart = Uart(self._line, self._obey, paced=self._paced)
        self._radio = Radio(
            self._field,
            uart.wait_us,
            lambda: 1e6 * uart.clock_s,
            self._rng,
            paced=self._paced,
            type_b_mod_gsp_min=self._type_b_mod_gsp_min,
        )
        self._firmware = Firmware(self._radio)
        self._answer = b""  # the latest, for a NACK
        self._hangs = False

    def _handle(self, packet: bytes) -> None:
        if self._hangs:
            return
        if packet == ACK:
            self._uart.take_speed()
        elif packet == NACK:
            self._uart.send(self._answer)
        elif packet[0] == TFI_HOST and len(packet) > 1:
            self._command(packet[1], packet[2:], self._faults.popleft() if self._faults else None)

    def _command(self, code: int, data: bytes, fault: Fault | None) -> None:
        if fault is Fault.COMMAND_LOST:
            return
        self._uart.send(frame(ACK))
        if fault is Fault.HANGS:
            self._hangs = True
            return
        self._uart.wait_us(1000 * COMMAND_MS)
        packet = SYNTAX_ERROR if fault is Fault.ERROR_FRAME else self._answered(code, data)
        self._answer = frame(packet)
        self._uart.send(_damaged(self._answer, fault))
        self._uart.next_baud, self._firmware.next_baud = self._firmware.next_baud, None
        if (wakes := self._firmware.sleep) is not None:
            self._uart.sleep(wakes)
            self._firmware.sleep = None

    def _answered(self, code: int, data: bytes) -> bytes:
        """Carry out a command; the packet that answers it."""
        try:
            answer = self._firmware.run(code, data)
        except Refused:
            return SYNTAX_ERROR
        return bytes([TFI_CHIP, code + 1]) + answer


def _damaged(data: bytes, fault: Fault | None) -> bytes:
    middle = len(data) // 2
    if fault is Fault.BYTE_LOST:
        return data[:middle] + data[middle + 1 :]
    if fault is Fault.BAD_CHECKSUM:
        return data[:-2] + bytes([data[-2] ^ 0xFF]) + data[-1:]
    return data
