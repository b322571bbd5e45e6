"""The registers of the PN532's contactless interface unit (CIU) that matter to a reader.

The unit is a PN512: meanings and reset values are those of its data sheet, the addresses those of
the PN532 user manual (UM0701-02, 7.2.6) and of nfcpy's table (src/nfc/clf/pn53x.py). All other
addresses keep what is written to them, and are 0 before.
"""

from typing import Final

MODE: Final = 0x6301
TX_MODE: Final = 0x6302
RX_MODE: Final = 0x6303
TX_CONTROL: Final = 0x6304
TX_AUTO: Final = 0x6305
RX_THRESHOLD: Final = 0x6308
DEMOD: Final = 0x6309
MIF_NFC: Final = 0x630C
GSN_OFF: Final = 0x6313
MOD_WIDTH: Final = 0x6314
TX_BIT_PHASE: Final = 0x6315
RF_CFG: Final = 0x6316
GSN_ON: Final = 0x6317
CW_GSP: Final = 0x6318
MOD_GSP: Final = 0x6319
COMM_IRQ: Final = 0x6334
ERROR: Final = 0x6336
FIFO_DATA: Final = 0x6339
FIFO_LEVEL: Final = 0x633A
BIT_FRAMING: Final = 0x633D

CRC: Final = 0x80  # TxMode and RxMode: computed and appended, or checked and cut off
SPEED_SHIFT: Final = 4  # bits 4 to 6: 106 kbit/s times a power of two
FRAMING: Final = 0x03
FRAMINGS: Final = {0b00: "A", 0b10: "F", 0b11: "B"}  # 01 is active communication
FORCE_100_ASK: Final = 0x40  # TxAuto: Type A modulates fully
TRANSMITTERS: Final = 0x03  # TxControl: both drivers, and so the field, are on
LAST_BITS: Final = 0x07  # BitFraming: bits of the last byte that are sent; 0 is all eight
FLUSH: Final = 0x80  # FIFOLevel
SET: Final = 0x80  # CommIRq: the other bits that are written are set; without it they are cleared
FIFO_BYTES_MAX: Final = 64

# CommIRq after an exchange: sent, received or timer, idle again; with or without an error.
SENT, RECEIVED, IDLE, FAILED, TIMER = 0x40, 0x20, 0x10, 0x02, 0x01

_RESET: Final = {
    MODE: 0x3B,
    TX_CONTROL: 0x80,
    0x6306: 0x10,  # TxSel
    0x6307: 0x84,  # RxSel
    RX_THRESHOLD: 0x84,
    DEMOD: 0x4D,
    MIF_NFC: 0x62,
    0x630F: 0xEB,  # SerialSpeed
    GSN_OFF: 0x88,
    MOD_WIDTH: 0x26,
    TX_BIT_PHASE: 0x87,
    RF_CFG: 0x48,
    GSN_ON: 0x88,
    CW_GSP: 0x20,
    MOD_GSP: 0x20,
    0x6331: 0x20,  # Command: receiver off
    COMM_IRQ: 0x14,
    0x633B: 0x08,  # WaterLevel
    0x633C: 0x10,  # Control: initiator
}


class Registers:
    """The register file after a reset. Addresses are 16 bits, values 8."""

    def __init__(self) -> None:
        self._values = dict(_RESET)
        self._fifo = bytearray()
        self._stale = 0  # what an empty FIFO still shows

    def read(self, address: int) -> int:
        """Read a register; the FIFO loses the byte that is read."""
        if address == FIFO_LEVEL:
            return len(self._fifo)
        if address == FIFO_DATA:
            return self._fifo.pop(0) if self._fifo else self._stale
        return self._values.get(address, 0)

    def write(self, address: int, value: int) -> None:
        """Write a register as the host does it. A full FIFO takes no more."""
        if address == FIFO_LEVEL:
            if value & FLUSH:
                self._fifo.clear()
        elif address == FIFO_DATA:
            if len(self._fifo) < FIFO_BYTES_MAX:
                self._fifo.append(value)
        elif address == COMM_IRQ:
            former, bits = self.read(COMM_IRQ), value & ~SET
            self._values[COMM_IRQ] = former | bits if value & SET else former & ~bits
        else:
            self._values[address] = value

    @property
    def technology(self) -> str:
        """What is set for sending, such as "106B"; "none" when no card could answer it."""
        sends, hears = self.read(TX_MODE) & ~CRC, self.read(RX_MODE) & ~CRC
        framing = FRAMINGS.get(sends & FRAMING)
        speed = sends >> SPEED_SHIFT & 0x07
        same = hears & FRAMING == sends & FRAMING and hears >> SPEED_SHIFT & 0x07 == speed
        return f"{106 << speed}{framing}" if framing and same else "none"

    def set_technology(self, technology: str, *, crc: bool = True) -> None:
        """Set what is sent and heard from now on, whole bytes, as the firmware does it."""
        speed = (int(technology[:-1]) // 106).bit_length() - 1
        framing = next(code for code, letter in FRAMINGS.items() if letter == technology[-1])
        mode = (CRC if crc else 0) | speed << SPEED_SHIFT | framing
        self._values[TX_MODE] = self._values[RX_MODE] = mode
        self._values[TX_AUTO] = FORCE_100_ASK if technology.endswith("A") else 0
        self._values[BIT_FRAMING] = 0

    def leave(self, sent: bytes, error: int, events: int) -> None:
        """Show what an exchange leaves behind: interrupts, the error, the FIFO's last content."""
        self._values[ERROR] = error
        self._values[COMM_IRQ] = SENT | IDLE | events
        self._fifo.clear()
        self._stale = sent[0] if sent else 0
