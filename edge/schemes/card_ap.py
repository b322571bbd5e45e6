"""`card-ap`: the user id (利用者ID) in a card application that the tenant has had put on the card.

J-LIS lends municipalities application space on the My Number Card by ordinance (条例等利用AP); its
names, files and layouts are not published, so all of them are the reader's configuration
(`[card_ap]` in edge.toml). The identifier is the bytes as read; an id of nothing but 00 or FF was
never written, and is none.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.schemes.allowlist import CardScheme, NoIdentifier, Reading, own_application
from wire.credential import IDENTIFIER_BYTES_MAX, Scheme

UNWRITTEN: Final = (b"\x00", b"\xff")


class CardAp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the id lies. Raises ValueError for an application that may not be selected."""

    aid: Annotated[str, Meta(pattern="^([0-9A-F]{2}){5,16}$")]
    """The application's name, in hex."""
    short_ef: Annotated[int, Meta(ge=1, le=30)]
    """The file's short id."""
    length: Annotated[int, Meta(ge=1, le=IDENTIFIER_BYTES_MAX)]
    offset: Annotated[int, Meta(ge=0, le=255)] = 0

    def __post_init__(self) -> None:
        self.scheme()

    def scheme(self) -> CardScheme:
        """Return how this reader reads it."""
        name = bytes.fromhex(self.aid)
        commands = own_application(name, self.short_ef, self.offset, self.length)
        select, read = sorted(commands, key=lambda command: command[1])

        def read_id(card: Reading) -> bytearray:
            card.ask(select)
            found = card.ask(read)
            if len(found) != self.length or any(found == one * len(found) for one in UNWRITTEN):
                raise NoIdentifier("no user id has been written to this card")
            return bytearray(found)

        return CardScheme(Scheme.CARD_AP, "106B", commands, read_id)
