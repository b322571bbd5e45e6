"""The PN532 behind the head, command by command: this side owns frames, speed and reset.

What stands in NXP's user manual UM0701-02 by section: frames 6.2.1, HSU wake-up 7.2.11, SAM 7.2.10,
SetSerialBaudrate 7.2.9, InCommunicateThru 7.3.9. Upheld: one command at a time · nothing waits:
what takes time is a generator that yields how many ms it waits for the chip's next packet and gets
that packet, or None when none came · a command that nobody waits for any more is ended by an ACK ·
an answer that came damaged is asked for again once (NACK) · a chip that hangs is reset when that is
asked for, by its reset line, at whatever speed it was left.
"""

import headlink

ACK = b"\x00\x00\xff\x00\xff\x00"
NACK = b"\x00\x00\xff\xff\x00\x00"
START = b"\x00\x00\xff"
WAKE_UP = b"\x55\x55" + bytes(14)
"""Five rising edges on the line and some bytes' time."""
GET_FIRMWARE_VERSION = b"\x02"
SAM_NORMAL = b"\x14\x01\x00\x00"
"""No secure module, and no interrupt line to be watched."""
SET_SERIAL_BAUDRATE = 0x10
SPEED_CODES = {230_400: 0x05, 460_800: 0x06, 921_600: 0x07}
ASK_TYPE_B = b"\x42\x05\x00\x08"
"""InCommunicateThru of WUPB, all cards, one time slot (ISO/IEC 14443-3, 7.7)."""

HOST, CHIP, SYNTAX_ERROR = 0xD4, 0xD5, 0x7F
FIRST_SPEED = 115_200
LOW_MS = 1
"""RSTPDN: at least 20 ns (PN532/C1 data sheet, 13)."""
BOOT_MS = 10
"""From RSTPDN high to a chip that can be woken: 2 ms at most, by the data sheet."""
ACK_MS = 100
"""The chip acknowledges within 15 ms."""
OWN_MS = 100
"""For its answer to a command without the air."""
POLL_MS = 50
"""For InCommunicateThru's answer while nobody is there: RF timeout 1.6 ms."""
POLL_EVERY_MS = 10
DATA_MAX = 264
"""Of an extended frame, TFI included 265."""
BUFFER_MAX = 600
"""Bytes of noise before a frame; a frame has at most 276."""


class Failed(Exception):
    """A command has failed, with one of headlink's errors."""

    def __init__(self, error):
        super().__init__(error)
        self.error = error


def frame(packet):
    """Return TFI and data in a frame, extended when they are more than 255 bytes."""
    size = len(packet)
    if size < 256:
        head = bytes((size, -size & 0xFF))
    else:
        high, low = size >> 8, size & 0xFF
        head = bytes((0xFF, 0xFF, high, low, -(high + low) & 0xFF))
    return START + head + packet + bytes((-sum(packet) & 0xFF, 0))


class Decoder:
    """Makes packets of the chip's bytes: ACK, TFI and data, or b"" for one that came damaged."""

    def __init__(self):
        self._line = b""

    def forget(self):
        """Drop what was begun."""
        self._line = b""

    def feed(self, data):
        """Return the packets that are whole now, in order."""
        self._line += data
        packets = []
        while True:
            packet = self._next()
            if packet is None:
                self._line = self._line[-BUFFER_MAX:]
                return packets
            packets.append(packet)

    def _next(self):
        while True:
            at = self._line.find(START)
            if at < 0:
                self._line = self._line[-2:]
                return None
            line = self._line = self._line[at:]
            if len(line) < 6:
                return None
            if line[:6] in (ACK, NACK):
                self._line = line[6:]
                return line[:6]
            begins, size = self._size(line)
            if size < 0:
                return None
            if size:
                break
            self._line = line[1:]  # no frame begins here
        if len(line) < begins + size + 2:
            return None
        self._line = line[begins + size + 2 :]
        packet = line[begins : begins + size]
        good = (sum(packet) + line[begins + size]) & 0xFF == 0
        return packet if good else b""

    @staticmethod
    def _size(line):
        """Return where the packet begins and how long it is; 0: it is none, -1: more must come."""
        if line[3:5] != b"\xff\xff":
            good = (line[3] + line[4]) & 0xFF == 0
            return 5, line[3] if good else 0
        if len(line) < 8:
            return 8, -1
        size = line[5] << 8 | line[6]
        good = sum(line[5:8]) & 0xFF == 0 and size <= DATA_MAX + 1
        return 8, size if good else 0


class Nfc:
    """The chip on its line. `uart` has `init(baudrate)`, `write`, `read`; `reset` is RSTPDN's pin.

    `say(op, *values, tail=…)` is called with events.
    """

    def __init__(self, uart, reset, say):
        self._uart, self._reset, self._say = uart, reset, say
        self._decoder = Decoder()
        self._job = None
        self._done = None
        self._until_ms = 0
        self._cards = 0
        self._polls = False

    @property
    def is_busy(self):
        """True while a command is under way."""
        return self._job is not None

    def begin(self, now_ms, op, values, done):
        """Carry out NFC, NFC_RESET or NFC_POLL; `done(payload, error)` is called when it is over.

        What is under way is given up. Raises Refused.
        """
        self._end()
        self._polls = False
        if op is headlink.NFC:
            within_ms, command = values
            if not 0 < len(command) <= DATA_MAX:
                raise headlink.Refused(headlink.MALFORMED)
            job = self._command(command, within_ms)
        elif op is headlink.NFC_RESET:
            if values[0] not in headlink.NFC_SPEEDS:
                raise headlink.Refused(headlink.MALFORMED)
            job = self._restart(values[0])
        else:
            self._polls = values[0] == 1
            done(op.answer(), 0)
            return
        self._start(now_ms, job, lambda answer, error: done(_payload(op, answer), error))

    def tick(self, now_ms):
        """Take in what the chip has said, and give up what it does not say."""
        data = self._uart.read()
        if data:
            for packet in self._decoder.feed(data):
                self._go_on(now_ms, packet)
        while self._job is not None and now_ms >= self._until_ms:
            self._go_on(now_ms, None)
        if self._polls and self._job is None and now_ms >= self._until_ms:
            self._start(now_ms, self._command(ASK_TYPE_B, POLL_MS), self._polled)

    # --- what takes time --------------------------------------------------------------------------

    def _start(self, now_ms, job, done):
        self._decoder.forget()
        self._job, self._done = job, done
        self._go_on(now_ms, None)

    def _go_on(self, now_ms, packet):
        """Give the job what it waits for, and take note of how long it waits next."""
        if self._job is None:
            return
        try:
            self._until_ms = now_ms + self._job.send(packet)
        except StopIteration as ended:
            self._finish(now_ms, ended.value, 0)
        except Failed as failed:
            self._finish(now_ms, None, failed.error)

    def _finish(self, now_ms, answer, error):
        done, self._job, self._done = self._done, None, None
        self._until_ms = now_ms + POLL_EVERY_MS
        done(answer, error)

    def _end(self):
        """Give up what is under way: the chip ends a command at an ACK."""
        if self._job is not None:
            self._job.close()
            self._job = self._done = None
            self._uart.write(ACK)

    def _command(self, command, within_ms):
        """Return the answer's data, without TFI and code."""
        self._uart.write(frame(bytes((HOST,)) + command))
        if (yield ACK_MS) != ACK:
            raise Failed(headlink.SILENT)
        packet = yield within_ms
        if packet == b"":
            self._uart.write(NACK)
            packet = yield OWN_MS
        if packet is None:
            self._uart.write(ACK)
            raise Failed(headlink.SILENT)
        if packet[:1] == bytes((SYNTAX_ERROR,)):
            raise Failed(headlink.NO_COMMAND)
        if packet[:2] != bytes((CHIP, command[0] + 1)):
            raise Failed(headlink.GARBLED)
        return packet[2:]

    def _restart(self, baudrate):
        """Return the chip's version, awake and at this speed."""
        self._uart.init(FIRST_SPEED)
        self._reset.value(0)
        yield from _pause(LOW_MS)
        self._reset.value(1)
        yield from _pause(BOOT_MS)
        self._uart.write(WAKE_UP)
        version = yield from self._command(GET_FIRMWARE_VERSION, OWN_MS)
        yield from self._command(SAM_NORMAL, OWN_MS)
        if baudrate != FIRST_SPEED:
            code = SPEED_CODES[baudrate]
            yield from self._command(bytes((SET_SERIAL_BAUDRATE, code)), OWN_MS)
            self._uart.write(ACK)  # from here on it is there (7.2.9)
            yield from _pause(2)
            self._uart.init(baudrate)
            version = yield from self._command(GET_FIRMWARE_VERSION, OWN_MS)
        return version

    def _polled(self, answer, error):
        """A round of looking for cards by ourselves is over: status 0 is a card's answer."""
        if error:
            self._polls = False
        elif answer[:1] == b"\0":
            self._polls = False
            self._cards = (self._cards + 1) & 0xFF
            self._say(headlink.CARD, self._cards, tail=answer[1:])


def _pause(ms):
    """Wait, whatever is heard."""
    while (yield ms) is not None:
        pass


def _payload(op, answer):
    return b"" if answer is None else op.answer(tail=answer)
