"""What commands share that judge a file which the fleet has signed: its key, its size, the answer.

Rules: a verdict needs the file and the public key alone, so anybody can come to it on any machine.
"""

import enum
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fleet.books import read_signing_key
from fleet.config import ConfigRefused
from fleet.terminal import out, site_of
from programmes.texts import Language, say

EXIT_ALTERED: Final = 1


class Tongue(enum.Enum):
    """In which language a file is judged aloud."""

    JA = "ja"
    EN = "en"

    @property
    def language(self) -> Language:
        """As texts name it."""
        return "en" if self is Tongue.EN else "ja"


FleetKey = Annotated[
    Path | None, typer.Option(help="The fleet's public key; else the key of this fleet.")
]
InTongue = Annotated[Tongue, typer.Option(help="Of the answer.")]


def read_signed(file: Path, bytes_max: int) -> bytes:
    """Return a file's bytes. Raises typer.BadParameter for one that is too large."""
    if file.stat().st_size > bytes_max:
        raise typer.BadParameter(f"such a file has at most {bytes_max:,} bytes")
    return file.read_bytes()


def key_for(context: typer.Context, given: Path | None) -> ed25519.Ed25519PublicKey:
    """Return the public key to judge with. Raises ConfigRefused."""
    if given is None:
        return read_signing_key(site_of(context).config.signing_key).public_key()
    return read_public_key(given)


def read_public_key(path: Path) -> ed25519.Ed25519PublicKey:
    """Return the fleet's public key in a file (PEM). Raises ConfigRefused."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError as error:
        raise ConfigRefused(f"{path}: {error}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigRefused(f"{path}: the fleet's key is an Ed25519 key")
    return key


def altered(sentence: str, tongue: Tongue) -> typer.Exit:
    """Say what is wrong with a file; return what ends the command."""
    out.print(say(sentence, tongue.language))
    return typer.Exit(EXIT_ALTERED)
