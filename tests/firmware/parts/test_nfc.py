"""The bridge to the PN532: frames, and what it does when the chip does not do its share."""

import random

import headlink
import nfc

STREAMS = 100_000


class Uart:
    """A line whose other end says what the test gives it."""

    def __init__(self):
        self.baud = 0
        self.sent = []
        self.heard = b""

    def init(self, baudrate):
        self.baud = baudrate

    def write(self, data):
        self.sent.append(data)

    def read(self):
        heard, self.heard = self.heard, b""
        return heard or None


class Pin:
    def __init__(self):
        self.levels = []

    def value(self, level):
        self.levels.append(level)


class Bench:
    """A bridge with what came of each request, and a clock of its own."""

    def __init__(self):
        self.uart, self.reset, self.events, self.came = Uart(), Pin(), [], []
        self.nfc = nfc.Nfc(self.uart, self.reset, lambda *said, tail=b"": self.events.append(said))
        self.now_ms = 0

    def ask(self, op, *values):
        self.nfc.begin(self.now_ms, op, values, lambda *came: self.came.append(came))

    def says(self, *packets):
        self.uart.heard = b"".join(packets)
        self.nfc.tick(self.now_ms)

    def wait(self, ms):
        for _ in range(ms):
            self.now_ms += 1
            self.nfc.tick(self.now_ms)


def answer(code, data=b""):
    return nfc.frame(bytes((0xD5, code + 1)) + data)


def test_a_frame_is_that_of_the_manual():
    # UM0701-02, 6.2.1.1 and 6.2.1.2: GetFirmwareVersion; 264 bytes of data
    assert nfc.frame(b"\xd4\x02") == b"\x00\x00\xff\x02\xfe\xd4\x02\x2a\x00"
    long = nfc.frame(b"\xd5\x41" + bytes(263))
    assert long[:8] == b"\x00\x00\xff\xff\xff\x01\x09\xf6"
    assert len(long) == 8 + 265 + 2
    for size in (1, 2, 254, 255, 256, 265):
        packet = bytes((0xD5,)) * size
        assert nfc.Decoder().feed(nfc.frame(packet)) == [packet]


def test_a_command_goes_out_in_a_frame_and_its_answer_comes_without():
    bench = Bench()
    bench.ask(headlink.NFC, 500, b"\x02")
    assert bench.uart.sent == [nfc.frame(b"\xd4\x02")]
    assert bench.nfc.is_busy
    bench.says(nfc.ACK)
    bench.says(answer(2, b"\x32\x01\x06\x07"))
    assert bench.came == [(b"\x32\x01\x06\x07", 0)]
    assert not bench.nfc.is_busy


def test_an_answer_that_comes_damaged_is_asked_for_again_once():
    bench = Bench()
    bench.ask(headlink.NFC, 500, b"\x02")
    good = answer(2, b"\x32")
    bad = good[:-2] + b"\x00\x00"
    bench.says(nfc.ACK, bad)
    assert bench.uart.sent[-1] == nfc.NACK
    bench.says(good)
    assert bench.came == [(b"\x32", 0)]
    bench.ask(headlink.NFC, 500, b"\x02")
    bench.says(nfc.ACK, bad)
    bench.says(bad)
    assert bench.came[-1] == (b"", headlink.GARBLED)


def test_a_chip_that_is_silent_is_given_up_in_time_and_its_command_ended():
    bench = Bench()
    bench.ask(headlink.NFC, 500, b"\x02")
    bench.wait(nfc.ACK_MS - 1)
    assert not bench.came
    bench.wait(1)
    assert bench.came == [(b"", headlink.SILENT)]
    bench.ask(headlink.NFC, 300, b"\x42")
    bench.says(nfc.ACK)
    bench.wait(299)
    assert len(bench.came) == 1
    bench.wait(1)
    assert bench.came[-1] == (b"", headlink.SILENT)
    assert bench.uart.sent[-1] == nfc.ACK


def test_a_new_command_ends_the_one_under_way_which_says_nothing_any_more():
    bench = Bench()
    bench.ask(headlink.NFC, 500, b"\x42")
    bench.ask(headlink.NFC, 500, b"\x02")
    assert bench.uart.sent[1:] == [nfc.ACK, nfc.frame(b"\xd4\x02")]
    bench.says(nfc.ACK, answer(2, b"\x32"))
    assert bench.came == [(b"\x32", 0)]


def test_what_the_chip_does_not_know_is_an_error_of_its_own():
    bench = Bench()
    bench.ask(headlink.NFC, 500, b"\x99")
    bench.says(nfc.ACK, nfc.frame(b"\x7f"))
    assert bench.came == [(b"", headlink.NO_COMMAND)]


def test_a_reset_pulls_the_line_and_brings_the_chip_to_its_speed():
    bench = Bench()
    bench.ask(headlink.NFC_RESET, 921_600)
    assert bench.reset.levels == [0]
    assert bench.uart.baud == 115_200
    bench.wait(nfc.LOW_MS + nfc.BOOT_MS + 1)
    assert bench.reset.levels == [0, 1]
    bench.says(nfc.ACK, answer(0x02, b"\x32\x01\x06\x07"))
    bench.says(nfc.ACK, answer(0x14))
    bench.says(nfc.ACK, answer(0x10))
    assert bench.uart.sent[-1] == nfc.ACK
    assert bench.uart.baud == 115_200
    bench.wait(3)
    assert bench.uart.baud == 921_600
    bench.says(nfc.ACK, answer(0x02, b"\x32\x01\x06\x07"))
    assert bench.came == [(b"\x32\x01\x06\x07", 0)]


def test_what_cannot_be_asked_is_refused_and_ends_nothing_else():
    bench = Bench()
    for op, values in (
        (headlink.NFC_RESET, (12_345,)),
        (headlink.NFC, (500, b"")),
        (headlink.NFC, (500, bytes(265))),
    ):
        error = 0
        try:
            bench.ask(op, *values)
        except headlink.Refused as refused:
            error = refused.error
        assert error == headlink.MALFORMED


def test_it_looks_for_cards_by_itself_until_one_answers():
    bench = Bench()
    bench.ask(headlink.NFC_POLL, 1)
    assert bench.came == [(b"", 0)]
    for _ in range(3):
        bench.wait(nfc.POLL_EVERY_MS + 1)
        assert bench.uart.sent[-1] == nfc.frame(b"\xd4" + nfc.ASK_TYPE_B)
        bench.says(nfc.ACK, answer(0x42, b"\x01"))  # nobody there
    bench.wait(nfc.POLL_EVERY_MS + 1)
    bench.says(nfc.ACK, answer(0x42, b"\x00" + bytes(12)))
    assert bench.events == [(headlink.CARD, 1)]
    asked = len(bench.uart.sent)
    bench.wait(100)
    assert len(bench.uart.sent) == asked


def test_a_command_ends_its_looking_for_cards():
    bench = Bench()
    bench.ask(headlink.NFC_POLL, 1)
    bench.wait(nfc.POLL_EVERY_MS + 1)
    bench.ask(headlink.NFC, 500, b"\x02")
    bench.says(nfc.ACK, answer(2, b"\x32"))
    assert bench.came[-1] == (b"\x32", 0)
    asked = len(bench.uart.sent)
    bench.wait(100)
    assert len(bench.uart.sent) == asked


def test_random_streams_stop_nothing_and_fill_no_memory():
    """100,000 streams in one; a command begins with nothing of them, and its answer is found."""
    random.seed(5)
    decoder, good = nfc.Decoder(), answer(2, b"\x32\x01\x06\x07")
    for number in range(STREAMS):
        noise = random.getrandbits(30).to_bytes(4, "little") * (number % 5) + good[: number % 11]
        for packet in decoder.feed(noise):
            assert len(packet) <= nfc.DATA_MAX + 1
        assert len(decoder._line) <= nfc.BUFFER_MAX
        if number % 2:
            decoder.forget()
            assert decoder.feed(good) == [b"\xd5\x03\x32\x01\x06\x07"]
