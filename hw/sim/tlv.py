"""BER-TLV objects as chip cards store them (ISO/IEC 8825-1)."""


def tlv(tag: int, *values: bytes) -> bytes:
    """Write an object of up to 65535 bytes with the shortest length field."""
    value = b"".join(values)
    head = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    if len(value) < 0x80:
        return head + bytes([len(value)]) + value
    if len(value) < 0x100:
        return head + bytes([0x81, len(value)]) + value
    return head + b"\x82" + len(value).to_bytes(2, "big") + value
