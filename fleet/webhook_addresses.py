"""Which addresses may be told of changed enrolments.

Rules: an address is https; http is for this machine alone, and only whoever has its command line
may name that; no address leads to this machine's own services or to what tells machines in a cloud
their secrets; a city's own network is where its systems are, so it is allowed, and named.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

URL_MAX: Final = 400
"""Characters of an address."""


class WebhookRefused(ValueError):
    """It cannot be added or changed; the sentence says why. `reason` is a stable word."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason: Final = reason


def check_url(url: str, *, this_machine: bool = False) -> str:
    """Return an address that may be told. Raises WebhookRefused.

    `this_machine`: http to loopback is allowed too.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or len(url) > URL_MAX or not url.isascii() or not url.isprintable():
        raise WebhookRefused("url", "write an address such as https://library.example.jp/kazasu")
    if parts.username is not None or parts.fragment or " " in url:
        raise WebhookRefused("url", "an address names no user, no password and no part of a page")
    if is_this_machine(host):
        if not this_machine:
            raise WebhookRefused("this-machine", "this machine itself is not told anything")
    elif parts.scheme != "https":
        raise WebhookRefused("https", "only https keeps what is told to itself: begin with https")
    if parts.scheme not in ("http", "https"):
        raise WebhookRefused("https", "an address begins with https://")
    if literal := _address(host):
        check_address(literal, this_machine=this_machine)
    return url


def is_this_machine(host: str) -> bool:
    """True for the names and addresses of loopback."""
    found = _address(host)
    return host == "localhost" or host.endswith(".localhost") or bool(found and found.is_loopback)


def is_private(url: str) -> bool:
    """True when the address itself says that it is inside the city's own network."""
    found = _address(urlsplit(url).hostname or "")
    return found is not None and found.is_private


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return _plain(found)


def _plain(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 one stands for, where it does: ::ffff:127.0.0.1."""
    return getattr(address, "ipv4_mapped", None) or address


def check_address(address: _Address, *, this_machine: bool = False) -> None:
    """Raise WebhookRefused for an address at which no other system of a city answers.

    Loopback (this machine's own services), link-local (169.254.169.254 tells machines in a cloud
    their secrets), multicast and what is no address at all. Private ranges are where a city's
    systems are.
    """
    address = _plain(address)
    if address.is_loopback and this_machine:
        return
    if (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    ):
        raise WebhookRefused("address", f"{address} is no address of another system")
