"""What lies on a dead reader's card, as the messages that its network half would have sent.

For a card that no spare device starts from: whoever has its state folder and its private key gets
every entry that can be read, in signed batches, one a line. What the ledger has already it
recognises; what is damaged is declared lost, as always. Nothing is written to the card.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.journal import FOLDER
from edge.shelf import Shelf
from edge.uplink import cut_batch
from wire.envelope import Purpose, Signer
from wire.topics import parse_reader

_FIRST: Final = 0
"""Nothing is taken for known: the marks on the card may be younger than a restored ledger."""


class CardRefused(ValueError):
    """Nothing can be read with these; the sentence says why."""


def read_signer(key: Path) -> Signer:
    """Return what signs with a reader's private key. Raises CardRefused."""
    try:
        found = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise CardRefused(f"{key}: {error}") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise CardRefused(f"{key} is no P-256 key of a reader")
    return Signer(found)


def batches(state: Path, reader: str, signer: Signer) -> Iterator[bytes]:
    """Yield every batch of every journal in a state folder, signed, oldest first.

    `reader` is the full name `tenant/reader`. Raises CardRefused, and OSError for a card that
    cannot be read on.
    """
    try:
        parse_reader(reader)
    except ValueError as error:
        raise CardRefused(str(error)) from error
    shelf = Shelf(state / FOLDER, reader)
    try:
        views = shelf.views()
        if not views:
            raise CardRefused(f"{state / FOLDER} holds no journal")
        for view in views:
            through = _FIRST
            while batch := cut_batch(view, through):
                through = batch.last
                yield signer.seal(Purpose.BATCH, reader, batch)
    finally:
        shelf.close()
