"""The PN532's firmware V1.6: what each command does and answers (UM0701-02, chapter 7).

Commands that make the chip a card (Tg…), InPSL, InATR, InJumpFor…, InAutoPoll and the GPIOs are
not here, and are answered as an unknown command is: by a syntax error.
"""

import math
from collections.abc import Callable
from itertools import count
from typing import Final

from hw.sim import pn532_registers as ciu
from hw.sim.pn532_listing import TECHNOLOGY, list_targets
from hw.sim.pn532_radio import Radio, RadioError
from hw.sim.pn532_targets import OK, WRONG_CONTEXT, Targets

VERSION: Final = bytes.fromhex("32010607")  # PN532, firmware 1.6, ISO 14443 A and B, ISO 18092
BAUDS: Final = (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1288000)  # 7.2.8

AUTOMATIC_ATR_RES, AUTOMATIC_RATS = 0x04, 0x10  # SetParameters (7.2.9); both on after a reset
TARGETS_MAX: Final = 2

FIELD, TIMINGS, RETRIES_COM, RETRIES = 0x01, 0x02, 0x04, 0x05
ANALOG_A, ANALOG_F, ANALOG_B, ANALOG_FAST = 0x0A, 0x0B, 0x0C, 0x0D
ITEMS: Final = {
    FIELD: b"\x00",
    TIMINGS: b"\x00\x0b\x0a",
    RETRIES_COM: b"\x00",
    RETRIES: b"\xff\x01\xff",
    ANALOG_A: bytes.fromhex("59F43F114D85616F266287"),
    ANALOG_F: bytes.fromhex("69FF3F114185616F"),
    ANALOG_B: bytes.fromhex("FF1785"),
    ANALOG_FAST: bytes.fromhex("85158A8508B28501DA"),
}
"""RFConfiguration (7.3.1): items and what they are after a reset."""
NO_TIMEOUT: Final = 0
TIMEOUT_INDEX_MAX: Final = 0x10  # 3.28 s
RETRY_FOR_EVER: Final = 0xFF

_ANALOG_A: Final = (
    ciu.RF_CFG,
    ciu.GSN_ON,
    ciu.CW_GSP,
    ciu.MOD_GSP,
    ciu.DEMOD,
    ciu.RX_THRESHOLD,
    None,  # CIU_Demod while another's field is on
    ciu.GSN_OFF,
    ciu.MOD_WIDTH,
    ciu.MIF_NFC,
    ciu.TX_BIT_PHASE,
)
_ANALOG: Final = {
    "A": (ANALOG_A, _ANALOG_A),
    "F": (ANALOG_F, _ANALOG_A[:8]),
    "B": (ANALOG_B, (ciu.GSN_ON, ciu.MOD_GSP, ciu.RX_THRESHOLD)),
}
"""By technology: the item that is loaded, and the registers that its bytes go to."""

# Bytes that may follow MaxTg and BrTy of InListPassiveTarget, by BrTy (7.3.5): UIDs with cascade
# tags; a polling's payload; AFI and perhaps the method; nothing.
_REQUEST_BYTES: Final = {0: (0, 4, 8, 12), 1: (5,), 2: (5,), 3: (1, 2), 4: (0,)}


class Refused(Exception):
    """A command that the firmware does not know, or whose parameters make no sense."""


class Firmware:
    """The firmware after a reset, over one radio.

    What it leaves to the chip's other parts: `next_baud` is the speed that the host has asked for,
    `sleep` WakeUpEnable of a PowerDown that was answered.
    """

    def __init__(self, radio: Radio) -> None:
        self.next_baud: int | None = None
        self.sleep: int | None = None
        self._radio = radio
        self._items = dict(ITEMS)
        self._parameters = AUTOMATIC_ATR_RES | AUTOMATIC_RATS
        self._targets = Targets(radio)
        self._commands: dict[int, Callable[[bytes], bytes]] = {
            0x00: self._diagnose,
            0x02: self._get_firmware_version,
            0x06: self._read_register,
            0x08: self._write_register,
            0x10: self._set_serial_baud_rate,
            0x12: self._set_parameters,
            0x14: self._sam_configuration,
            0x16: self._power_down,
            0x32: self._rf_configuration,
            0x40: self._in_data_exchange,
            0x42: self._in_communicate_thru,
            0x44: self._in_deselect,
            0x4A: self._in_list_passive_target,
            0x52: self._in_release,
            0x54: self._in_select,
        }

    def run(self, command: int, data: bytes) -> bytes:
        """Carry out a command; its answer, which follows the code of the answer. Raises Refused."""
        if command not in self._commands:
            raise Refused(f"no command {command:02X}")
        return self._commands[command](data)

    # --- the chip itself -------------------------------------------------------------------------

    def _diagnose(self, data: bytes) -> bytes:
        """Test of the line (an echo), of ROM and of RAM."""
        if data[:1] == b"\x00":
            return data
        _require(data in (b"\x01", b"\x02"))
        return OK

    def _get_firmware_version(self, data: bytes) -> bytes:
        _require(not data)
        return VERSION

    def _read_register(self, data: bytes) -> bytes:
        _require(data and len(data) % 2 == 0)
        addresses = (int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
        return bytes(self._radio.registers.read(address) for address in addresses)

    def _write_register(self, data: bytes) -> bytes:
        _require(data and len(data) % 3 == 0)
        for at in range(0, len(data), 3):
            address = int.from_bytes(data[at : at + 2], "big")
            self._radio.registers.write(address, data[at + 2])
        self._radio.follow_registers()
        return b""

    def _set_serial_baud_rate(self, data: bytes) -> bytes:
        _require(len(data) == 1 and data[0] < len(BAUDS))
        self.next_baud = BAUDS[data[0]]
        return b""

    def _set_parameters(self, data: bytes) -> bytes:
        _require(len(data) == 1)
        self._parameters = data[0]
        return b""

    def _sam_configuration(self, data: bytes) -> bytes:
        _require(1 <= len(data) <= 3 and 1 <= data[0] <= 4)
        return b""

    def _power_down(self, data: bytes) -> bytes:
        _require(1 <= len(data) <= 2)
        self._switch(False)
        self.sleep = data[0]
        return OK

    def _rf_configuration(self, data: bytes) -> bytes:
        _require(data and len(data) - 1 == len(self._items.get(data[0], b"")))
        item, value = data[0], data[1:]
        _require(item != TIMINGS or max(value) <= TIMEOUT_INDEX_MAX)
        self._items[item] = value
        if item == FIELD:
            self._switch(bool(value[0] & 0x01))
        return b""

    def _switch(self, on: bool) -> None:
        self._radio.switch(on)
        if not on:
            self._targets = Targets(self._radio)

    # --- cards -----------------------------------------------------------------------------------

    def _in_list_passive_target(self, data: bytes) -> bytes:
        _require(len(data) >= 2 and 1 <= data[0] <= TARGETS_MAX)
        most, kind, request = data[0], data[1], data[2:]
        _require(len(request) in _REQUEST_BYTES.get(kind, ()))
        self._load_analog(TECHNOLOGY[kind][-1])
        retries = self._items[RETRIES][2]
        rats = bool(self._parameters & AUTOMATIC_RATS)
        for tries in count(1):
            found = list_targets(self._radio, kind, request, most, rats=rats)
            if found or (retries != RETRY_FOR_EVER and tries > retries):
                break
        self._targets = Targets(self._radio, found)
        told = (bytes([number]) + target.told for number, target in self._targets.found.items())
        return bytes([len(found)]) + b"".join(told)

    def _load_analog(self, technology: str) -> None:
        item, registers = _ANALOG[technology]
        for address, value in zip(registers, self._items[item], strict=True):
            if address is not None:
                self._radio.registers.write(address, value)

    def _in_communicate_thru(self, data: bytes) -> bytes:
        try:
            return OK + self._radio.communicate(data, self._timeout_us())
        except RadioError as error:
            return bytes([error.status])

    def _timeout_us(self) -> float:
        """The third byte of item 02: 0.1 ms times a power of two, or none at all."""
        index = self._items[TIMINGS][2]
        return math.inf if index == NO_TIMEOUT else 100 * 2.0 ** (index - 1)

    def _in_data_exchange(self, data: bytes) -> bytes:
        _require(data)
        return self._targets.exchange(data[0], data[1:], self._timeout_us())

    def _in_deselect(self, data: bytes) -> bytes:
        _require(len(data) == 1)
        return self._targets.deselect(data[0], release=False)

    def _in_release(self, data: bytes) -> bytes:
        _require(len(data) == 1)
        return self._targets.deselect(data[0], release=True)

    def _in_select(self, data: bytes) -> bytes:
        _require(len(data) == 1)
        return OK if data[0] in self._targets.found else WRONG_CONTEXT


def _require(makes_sense: object) -> None:
    if not makes_sense:
        raise Refused("the parameters make no sense")
