"""`card-ap`: the user id (利用者ID) in a card application that the tenant has had put on the card.

J-LIS lends municipalities application space on the My Number Card by ordinance (条例等利用AP); its
names, files and layouts are not published, so all of them are the reader's configuration
(`[card_ap]` in edge.toml). The identifier is the bytes as read; an id of nothing but 00 or FF was
never written, and is none.
"""

from typing import Final

from edge.config import CardAp
from edge.schemes.allowlist import CardScheme, NoIdentifier, Reading, own_application
from wire.credential import Scheme

UNWRITTEN: Final = (b"\x00", b"\xff")


def scheme(where: CardAp) -> CardScheme:
    """Return how this reader reads it.

    Raises ValueError for an application that may not be selected.
    """
    commands = own_application(bytes.fromhex(where.aid), where.short_ef, where.offset, where.length)
    select, read = sorted(commands, key=lambda command: command[1])

    def read_id(card: Reading) -> bytearray:
        card.ask(select)
        found = card.ask(read)
        if len(found) != where.length or any(found == one * len(found) for one in UNWRITTEN):
            raise NoIdentifier("no user id has been written to this card")
        return bytearray(found)

    return CardScheme(Scheme.CARD_AP, "106B", commands, read_id)
