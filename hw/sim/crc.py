"""The checksums that frames carry on the air, for where a reader computes or checks them itself."""

from typing import Final

CCITT_REFLECTED: Final = 0x8408  # x^16 + x^12 + x^5 + 1, low bit first
CCITT: Final = 0x1021
INIT_A: Final = 0x6363  # ISO/IEC 14443-3, 6.2.4
INIT_B: Final = 0xFFFF  # 7.2; sent inverted


def crc(technology: str, data: bytes) -> bytes:
    """Give the two bytes that follow these on the air in a technology such as "106B"."""
    if technology.endswith("F"):
        return _felica(data)
    if technology.endswith("B"):
        return (_reflected(INIT_B, data) ^ 0xFFFF).to_bytes(2, "little")
    return _reflected(INIT_A, data).to_bytes(2, "little")


def _reflected(register: int, data: bytes) -> int:
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (CCITT_REFLECTED if register & 1 else 0)
    return register


def _felica(data: bytes) -> bytes:
    """JIS X 6319-4: begins with zero, high bit and high byte first."""
    register = 0
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = register << 1 ^ (CCITT if register & 0x8000 else 0)
        register &= 0xFFFF
    return register.to_bytes(2, "big")
