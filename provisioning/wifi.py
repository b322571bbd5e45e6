"""A Wi-Fi as a card names it: never with the password that people type, which may open more.

What stands on the card is the 256-bit key that WPA makes of name and password (IEEE 802.11, J.4):
it opens this one network, and the password does not follow from it faster than by trying.
"""

import hashlib
import json
from typing import Final, NamedTuple, Self

from provisioning.vault import ProvisioningRefused

SSID_BYTES_MAX: Final = 32
PASSWORD_CHARACTERS: Final = range(8, 64)
ROUNDS: Final = 4096


class Wifi(NamedTuple):
    """One network: its name, and its key as 64 hex digits."""

    ssid: str
    key: str

    @classmethod
    def of(cls, ssid: str, password: str) -> Self:
        """Return the network of a name and a password. Raises ProvisioningRefused."""
        name = ssid.encode()
        if not 1 <= len(name) <= SSID_BYTES_MAX or not ssid.isprintable():
            raise ProvisioningRefused("a Wi-Fi's name has 1 to 32 bytes, all of them printable")
        if (
            len(password) not in PASSWORD_CHARACTERS
            or not password.isascii()
            or not password.isprintable()
        ):
            raise ProvisioningRefused("a Wi-Fi's password has 8 to 63 characters of ASCII")
        key = hashlib.pbkdf2_hmac("sha1", password.encode(), name, ROUNDS, 32)
        return cls(ssid, key.hex())

    def netplan(self) -> str:
        """Return it as cloud-init's network-config has it (netplan, version 2)."""
        return (
            "wifis:\n"
            "  wlan0:\n"
            "    dhcp4: true\n"
            "    optional: true\n"
            "    regulatory-domain: JP\n"
            "    access-points:\n"
            f"      {json.dumps(self.ssid)}:\n"
            f'        password: "{self.key}"\n'
        )

    def keyfile(self) -> str:
        """Return it as NetworkManager keeps it; the name as bytes, so that any name can be said."""
        name = "".join(f"{byte};" for byte in self.ssid.encode())
        return (
            "[connection]\nid=kazasu\ntype=wifi\nautoconnect=true\n\n"
            f"[wifi]\nmode=infrastructure\nssid={name}\n\n"
            f"[wifi-security]\nkey-mgmt=wpa-psk\npsk={self.key}\n\n"
            "[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"
        )
