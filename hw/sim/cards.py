"""The cards that people hold over a reader, as `antenna.Antenna` takes them.

A card is made from plain data or drawn from a seed; the same seed gives the same card, byte for
byte. Each holds to what a reader may count on: a Type B PUPI and a phone's UID may be new at each
activation; a FeliCa IDm and a token's UID never change. Read on in `typeb`, `typea`, `felica` and
`torn`; the My Number Card is in `mynumber`, and all kinds by name in `variants`.
"""

import random
from typing import Final

from hw.sim.card import Card
from hw.sim.chip import APDU_MS, Chip
from hw.sim.felica import FeliCaCard
from hw.sim.files import Application
from hw.sim.torn import TornAway
from hw.sim.typea import Phone, StaffToken
from hw.sim.typeb import TypeBCard

__all__ = (
    "APDU_MS",
    "Card",
    "Chip",
    "FeliCaCard",
    "Phone",
    "StaffToken",
    "TornAway",
    "TypeBCard",
    "foreign_eid",
)

TRAVEL_DOCUMENT_AP: Final = bytes.fromhex("A0000002471001")
"""ICAO Doc 9303: a passport's and many identity cards'."""
OLDER_PROTOCOL: Final = bytes.fromhex("B38191")
"""As `typeb.MY_NUMBER_PROTOCOL`, but FWI 9 (155 ms)."""


def foreign_eid(rng: random.Random) -> TypeBCard:
    """Draw a foreign identity card: Type B, a PUPI anew each time, none of our applications."""
    chip = Chip({TRAVEL_DOCUMENT_AP: Application()})
    return TypeBCard(chip, rng, protocol=OLDER_PROTOCOL)
