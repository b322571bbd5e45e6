"""A PN532 module, on a line or behind the head: nfcpy's chip class, Type B found first and fastest.

nfcpy's own `sense` takes 70 ms from a card in the field to its first answer at 115,200 baud: it
lists each technology anew, lets the firmware select a Type B card, takes that back, and sets all
registers again before every block. Here the field stays on, the registers that tell Type B from the
others are learnt once and written back when they were lost, and then a poll is one command (WUPB,
5 ms) and a block is one command.

Upheld: the technology that the place names first is polled before each of the others · of a wallet
with a My Number Card and another Type B card the former is found · a card that
was spoken to loses its power before the next round, so that it is found again as it was · the chip
is found at whatever speed a crash has left it · what the chip says wrong is FrontEndFault, also
where nfcpy's own Chipset.Error would go through everything (nfcpy 1.0.4, `sense`) · after one
everything is set again: a chip that was reset by a dip of its power is deaf and says nothing of it.
"""

import contextlib
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import nfc.clf.pn53x

from edge.frontends import Crowded, FrontEndFault, Technology
from edge.frontends.isodep import Atqb, FoundCard, Garbled, Silence, TypeBCard
from edge.frontends.pn532_chip import FAULTS, FELICA_212, TYPE_A, Module, registers_of_type_b

NO_ANSWER: Final = 0x01
CHIP_FAULT: Final = 0x7F
"""Status of a command (UM0701-02, 7.1): nothing came from the card; from here on, and by nfcpy's
reckoning, it is the chip that is at fault. What lies between came garbled."""
WUPB: Final = bytes.fromhex("050008")
"""Wakes all Type B cards, one time slot (ISO/IEC 14443-3, 7.7)."""
SLOTS: Final = 4
WUPB_IN_SLOTS: Final = bytes.fromhex("05000A")
"""The same in four time slots, of which each card draws one; two cards differ three times in four.
The markers of the other slots are 15, 25 and 35 (14443-3, 7.6 and 7.8)."""
DRAWS_MAX: Final = 3
"""Two cards that drew the same slot draw again, some 25 ms later; 1 time in 64 all draws fail."""
MY_NUMBER_CARD: Final = bytes.fromhex("B381A1")
"""Its protocol info (pcsc-tools' list of ATRs). Many a wallet also has a licence in it (9181C1)."""
FELICA_POLLING: Final = "00{system}0100"
"""Polling of one system, asking for its code, one time slot (FeliCa user's manual, 4.4.2)."""
UID_BYTES_MAX: Final = 10

FIELD: Final = 0x01
TIMINGS: Final = 0x02
"""Items of RFConfiguration (7.3.1)."""
FIELD_OFF_S: Final = 0.0051
FIELD_ON_S: Final = 0.005
"""ISO/IEC 14443-3, 5.2 and PC/SC: a card without power for 5.1 ms has forgotten everything, and is
ready 5 ms after it got some."""
POLL_S: Final = 0.0016
"""For the answer to WUPB, which begins within 0.3 ms (14443-3, 7.1.6) and takes 1.3 ms."""
CHIP_S: Final = 0.1
"""Beyond the card's own time: the longest answer on the air (24 ms) and on the line (24 ms)."""
CANCEL_S: Final = 0.06
"""The same where the caller's time ends before the chip's: then the command is cancelled."""
TIMEOUTS_S: Final = tuple(100e-6 * 2.0**n for n in range(16))
"""By index minus one (UM0701-02, 7.3.1, item 02): 0.1 ms to 3.28 s."""
ROUNDED: Final = 0.97
"""25 ms and 100 ms are meant to be 25.6 and 102.4 ms."""


@contextlib.contextmanager
def _faults(what: str) -> Iterator[None]:
    """Let nothing but FrontEndFault out for what the chip or the line did wrong."""
    try:
        yield
    except FrontEndFault:
        raise
    except FAULTS as error:
        raise FrontEndFault(f"{what}: {error or type(error).__name__}") from error


class Pn532:
    """See edge.frontends.FrontEnd. `felica_system` is four hex digits."""

    def __init__(self, module: Module, felica_system: str) -> None:
        """Open a module on its line or behind the head. Raises FrontEndFault."""
        self.waited_ns = 0
        self._felica = bytes.fromhex(FELICA_POLLING.format(system=felica_system))
        self._type_b: list[tuple[str, int]] = []
        self._former: TypeBCard | None = None
        self._forget()
        self._module = module
        module.open()
        try:
            self.restart()
        except BaseException:
            module.close()
            raise

    def _forget(self) -> None:
        """Take nothing for granted: neither registers nor field, nor what a card has heard."""
        self._doubtful = True
        self._loaded: Technology | None = None
        self._timeout = 0
        self._field = self._spoken_to = True

    def restart(self) -> None:
        """See edge.frontends.FrontEnd: the line is tested, and everything is set again."""
        self._forget()
        with _faults("the PN532 cannot be restarted"):
            self._chip = self._module.start()
            self._type_b = registers_of_type_b(self._chip, self._felica)
        self._doubtful = False

    @contextlib.contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        """As `_faults`, and after one the chip may be any other than the one that was set up."""
        try:
            with _faults(what):
                yield
        except FrontEndFault:
            self._doubtful = True
            raise

    # --- finding ---------------------------------------------------------------------------------

    def sense(self, technologies: Sequence[Technology]) -> TypeBCard | FoundCard | None:
        """See edge.frontends.FrontEnd; the first technology is polled before each other one."""
        polls: dict[Technology, Callable[[], TypeBCard | FoundCard | None]] = {
            "106B": self._poll_b,
            "212F": self._poll_f,
            "106A": self._poll_a,
        }
        first, *others = technologies
        started_ns = time.monotonic_ns()
        try:
            with self._watched("the PN532 cannot look for cards"):
                if self._doubtful:
                    self.restart()
                self._switch_field()
                for other in others or [first]:
                    for technology in dict.fromkeys((first, other)):
                        if card := polls[technology]():
                            return card
        finally:
            self.waited_ns += time.monotonic_ns() - started_ns
        return None

    def _switch_field(self) -> None:
        """Give the field its power back, and take it first from a card that was spoken to."""
        if self._spoken_to and self._field:
            self._chip.rf_configuration(FIELD, b"\x00")
            self._field = False
            time.sleep(FIELD_OFF_S)
        if not self._field:
            self._chip.rf_configuration(FIELD, b"\x01")
            self._field, self._spoken_to = True, False
            time.sleep(FIELD_ON_S)

    def _poll_b(self) -> TypeBCard | None:
        if self._loaded != "106B":
            self._chip.write_register(*self._type_b)
            self._loaded = "106B"
        started_ns = time.monotonic_ns()
        self._set_timeout(POLL_S)
        try:
            atqb = self._ask_for_atqb(WUPB) or self._tell_apart()
        except Silence:
            self._former = None
            return None
        self._spoken_to = True
        self._former = TypeBCard(atqb, self, _us_since(started_ns), self._former)
        return self._former

    def _ask_for_atqb(self, frame: bytes) -> Atqb | None:
        """Return the one card that answers; None when several did. Raises Silence."""
        try:
            return Atqb.parse(bytes(self._chip.in_communicate_thru(frame, POLL_S + CHIP_S)))
        except nfc.clf.pn53x.Chipset.Error as error:
            if error.errno >= CHIP_FAULT:
                raise
            if error.errno == NO_ANSWER:
                raise Silence from error
            return None

    def _tell_apart(self) -> Atqb:
        """Of two cards in a wallet return the one My Number Card. Raises Crowded."""
        self._spoken_to = True
        for _ in range(DRAWS_MAX):
            found = self._drawn()
            if len(found) < 2 or None in found:
                continue
            cards = [atqb for atqb in found if atqb and atqb.about.endswith(MY_NUMBER_CARD)]
            if len(cards) == 1:
                return cards[0]
            break
        raise Crowded("two Type B cards at once")

    def _drawn(self) -> list[Atqb | None]:
        """Return the answers in the time slots in which any came; None is more than one card's."""
        found = []
        for slot in range(SLOTS):
            frame = bytes([slot << 4 | WUPB[0]]) if slot else WUPB_IN_SLOTS
            with contextlib.suppress(Silence):
                found.append(self._ask_for_atqb(frame))
        return found

    def _poll_f(self) -> FoundCard | None:
        started_ns = time.monotonic_ns()
        found = self._list(FELICA_212, self._felica)
        if found is None or len(found) < 18 or found[1] != 0x01:
            return None
        system, wanted = bytes(found[18:20]), self._felica[1:3]
        if system not in (b"", wanted) and wanted != b"\xff\xff":
            return None
        return FoundCard("212F", bytes(found[2:10]), _us_since(started_ns), bytes(found[10:18]))

    def _poll_a(self) -> FoundCard | None:
        started_ns = time.monotonic_ns()
        found = self._list(TYPE_A, b"")
        if (
            found is None
            or len(found) < 4
            or not 0 < found[3] <= min(len(found) - 4, UID_BYTES_MAX)
        ):
            return None
        self._spoken_to = True  # it was selected, and answers no poll until it has lost its power
        return FoundCard(
            "106A", bytes(found[4 : 4 + found[3]]), _us_since(started_ns), bytes(found[:3])
        )

    def _list(self, kind: int, request: bytes) -> bytearray | None:
        """InListPassiveTarget of one target: its data, or None; Type B's registers are lost."""
        self._loaded, self._timeout = None, 0
        found: bytearray | None = self._chip.in_list_passive_target(1, kind, request)
        return found

    # --- talking ---------------------------------------------------------------------------------

    def exchange(self, frame: bytes, within_s: float) -> bytes:
        """See edge.frontends.isodep.Air."""
        started_ns = time.monotonic_ns()
        try:
            with self._watched("the PN532 cannot talk to the card"):
                return self._exchange(frame, within_s)
        finally:
            self.waited_ns += time.monotonic_ns() - started_ns

    def _exchange(self, frame: bytes, within_s: float) -> bytes:
        chip_s = self._set_timeout(within_s)
        ends_first = within_s < ROUNDED * chip_s
        host_s = within_s + CANCEL_S if ends_first else chip_s + CHIP_S
        try:
            return bytes(self._chip.in_communicate_thru(frame, host_s))
        except nfc.clf.pn53x.Chipset.Error as error:
            if error.errno >= CHIP_FAULT:
                raise
            raise (Silence if error.errno == NO_ANSWER else Garbled)(str(error)) from error
        except OSError as error:
            if error.errno == errno.ETIMEDOUT and ends_first:
                raise Silence("the caller's time is over") from error
            raise

    def _set_timeout(self, within_s: float) -> float:
        """Let the chip wait at least ROUNDED of a time for a card; return how long it will."""
        fitting = (n for n, s in enumerate(TIMEOUTS_S, 1) if s >= ROUNDED * within_s)
        index: int = next(fitting, len(TIMEOUTS_S))
        if index != self._timeout:
            self._chip.rf_configuration(TIMINGS, bytes((0x0A, 0x0B, index)))
            self._timeout = index
        return TIMEOUTS_S[index - 1]

    def close(self) -> None:
        """See edge.frontends.FrontEnd."""
        self._module.close()


def _us_since(started_ns: int) -> int:
    return (time.monotonic_ns() - started_ns) // 1000
