"""The link's frames on both sides: what is said arrives whole, or not at all."""

import random

import headlink

STREAMS = 100_000


def refused(act):
    try:
        act()
    except headlink.Damaged:
        return True
    return False


def test_a_frame_of_every_length_comes_back_as_it_was():
    for size in range(headlink.PAYLOAD_MAX + 1):
        for fill in (b"\0", b"\x01", b"\xff"):
            line = headlink.pack(headlink.REQUEST, 7, 0x10, fill * size)
            assert len(line) <= headlink.WIRE_MAX
            assert line.find(b"\0") == len(line) - 1
            assert headlink.unpack(line[:-1]) == (headlink.REQUEST, 7, 0x10, fill * size)
    try:
        headlink.pack(headlink.REQUEST, 7, 0x10, bytes(headlink.PAYLOAD_MAX + 1))
    except ValueError:
        return
    raise AssertionError("a frame that is too long was packed")


def test_the_form_on_the_line_is_the_published_one():
    # COBS by the paper's table 1; CRC-32 of "123456789" is CBF43926 (zlib)
    assert headlink.stuff(b"\0") == b"\x01\x01"
    assert headlink.stuff(b"\x11\x22\0\x33") == b"\x03\x11\x22\x02\x33"
    assert headlink.stuff(b"\x11\0\0\0") == b"\x02\x11\x01\x01\x01"
    assert headlink.crc32(b"123456789") == 0xCBF43926
    ping = headlink.pack(headlink.REQUEST, 1, headlink.PING.code, b"")
    assert ping == b"\x08\x01\x01\x02\x48\xe3\x96\x09\x00", ping


def test_whatever_comes_in_pieces_is_put_together():
    frames = [(headlink.EVENT, n, 0x81, bytes(range(n))) for n in range(40)]
    line = b"".join([headlink.pack(*frame) for frame in frames])
    for size in (1, 2, 3, 7, 64, len(line)):
        stream, found = headlink.Stream(), []
        for at in range(0, len(line), size):
            found += stream.feed(line[at : at + size])
        assert found == frames
        assert stream.damaged == 0


def test_of_a_changed_frame_nothing_arrives_and_the_next_one_does():
    good = headlink.pack(headlink.REQUEST, 9, 0x21, b"\x64\x00")
    for at in range(len(good) - 1):
        for change in (1, 0x80, 0xFF):
            bad = good[:at] + bytes((good[at] ^ change,)) + good[at + 1 :]
            stream = headlink.Stream()
            assert stream.feed(bad + good) == [(headlink.REQUEST, 9, 0x21, b"\x64\x00")]
            assert stream.damaged >= 1


def test_random_streams_give_no_frame_stop_nothing_and_fill_no_memory():
    """100,000 streams in one: each ends in a good frame, which alone arrives."""
    random.seed(4)
    stream, good = headlink.Stream(), headlink.pack(headlink.RESPONSE, 1, 2, b"\x01\0\0\0")
    for number in range(STREAMS):
        noise = random.getrandbits(30).to_bytes(4, "little") * (number % 5) + good[: number % 9]
        found = stream.feed(noise)
        assert found == [], found
        assert len(stream._line) < headlink.WIRE_MAX
        assert stream.feed(b"\0" + good) == [(headlink.RESPONSE, 1, 2, b"\x01\0\0\0")]


def test_a_line_without_an_end_is_given_up_and_counted_once():
    stream, good = headlink.Stream(), headlink.pack(headlink.REQUEST, 1, 2, b"")
    for _ in range(100):
        assert stream.feed(b"\x55" * 100) == []
        assert len(stream._line) < headlink.WIRE_MAX
    assert stream.damaged == 1
    assert stream.feed(b"\0" + good) == [(headlink.REQUEST, 1, 2, b"")]


def test_values_are_those_of_the_operation_and_a_tail_only_where_it_has_one():
    assert headlink.NFC.read_asked(headlink.NFC.ask(500, tail=b"\x02")) == (500, b"\x02")
    assert headlink.SENSE.read_answered(headlink.SENSE.answer(1, 0, -55, 13_800, 4)) == (
        1,
        0,
        -55,
        13_800,
        4,
    )
    assert headlink.PING.read_asked(b"") == ()
    assert refused(lambda: headlink.PING.read_asked(b"\0"))
    assert refused(lambda: headlink.NFC.read_asked(b"\0"))


def test_no_two_operations_have_the_same_number_or_name():
    every = headlink.OPS + headlink.EVENTS
    assert len(headlink.BY_CODE) == len(every) == len({op.name for op in every})


def test_an_answer_is_recalled_for_the_same_request_alone():
    memory = headlink.Memory()
    first, second = (1, 5, 0x21, b"\x64\x00"), (1, 6, 0x21, b"\x64\x00")
    assert memory.recall(first) == b""
    memory.keep(first, b"answer")
    assert memory.recall(first) == b"answer"
    assert memory.recall(second) == b""
