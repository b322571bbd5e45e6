"""The frames between a PN532 and its host (UM0701-02, 6.2.1): pure, without line or clock.

A packet is TFI (D4 from the host, D5 from the chip, 7F for a syntax error) and its data. Upheld:
what is no whole frame with both checksums right is nothing, and the next one is found behind it.
"""

from collections.abc import Iterator

START = b"\x00\xff"  # start code
ACK = b"\x00\xff"  # what stands for LEN and LCS in an ACK frame, and for the packet here
NACK = b"\xff\x00"
EXTENDED = b"\xff\xff"
SYNTAX_ERROR = b"\x7f"  # the packet of an error frame
PACKET_BYTES_MAX = 265  # TFI and data (6.2.1.2)
NORMAL_BYTES_MAX = 255


def frame(packet: bytes) -> bytes:
    """Give the whole frame of a packet (or ACK, NACK): the extended kind where it must be."""
    if packet in (ACK, NACK):
        return b"\x00" + START + packet + b"\x00"
    size = len(packet)
    if size <= NORMAL_BYTES_MAX:
        head = bytes([size, -size & 0xFF])
    else:
        length = size.to_bytes(2, "big")
        head = EXTENDED + length + bytes([_checksum(length)])
    return b"\x00" + START + head + packet + bytes([_checksum(packet), 0x00])


def _checksum(data: bytes | bytearray) -> int:
    """What makes the sum of data and checksum zero, modulo 256."""
    return -sum(data) & 0xFF


class Decoder:
    """Finds packets in a stream of bytes that comes in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def forget(self) -> None:
        """Let go of a frame that was begun."""
        self._buffer.clear()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each packet that is whole now: ACK, NACK, or one that begins with its TFI."""
        self._buffer += data
        while packet := self._next():
            yield packet

    def _next(self) -> bytes | None:
        """Cut the next packet off the buffer; None when more bytes are needed."""
        while (start := self._buffer.find(START)) >= 0:
            del self._buffer[: start + len(START)]
            head = self._buffer[:5]
            if head[:2] in (ACK, NACK):
                del self._buffer[:2]
                return bytes(head[:2])
            at, size = _length(head)
            if size is not None and not 1 <= size <= PACKET_BYTES_MAX:
                continue
            if size is None or len(self._buffer) < at + size + 1:
                self._buffer[:0] = START  # wait for the rest
                return None
            packet, checksum = bytes(self._buffer[at : at + size]), self._buffer[at + size]
            del self._buffer[: at + size + 1]
            if checksum == _checksum(packet):
                return packet
        del self._buffer[:-1]  # the last byte may begin a start code
        return None


def _length(head: bytearray) -> tuple[int, int | None]:
    """Where a packet begins and its size: 0 if the checksum is wrong, None if bytes are missing."""
    if head[:2] == EXTENDED:
        at, length, sum_ = 5, head[2:4], head[2:5]
    else:
        at, length, sum_ = 2, head[:1], head[:2]
    if len(head) < at:
        return at, None
    return at, int.from_bytes(length, "big") if sum(sum_) & 0xFF == 0 else 0
