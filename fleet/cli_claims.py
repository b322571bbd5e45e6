"""`kazasu-fleet claims`: whether a claim's file is the one that the fleet signed."""

import enum
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fleet import claim_file
from fleet.books import read_signing_key
from fleet.claim_file import FILE_BYTES_MAX, ClaimFileRefused, Seal
from fleet.config import ConfigRefused
from fleet.terminal import out, site_of
from programmes.calendar import local
from programmes.texts import Language, say

claims_app = typer.Typer(no_args_is_help=True, help="What transport companies claim.")
EXIT_ALTERED: Final = 1


class Tongue(enum.Enum):
    """In which language a file is judged aloud."""

    JA = "ja"
    EN = "en"


@claims_app.callback()
def _begin() -> None:
    """Keep `verify` a command of its own while it is the only one."""


@claims_app.command()
def verify(
    context: typer.Context,
    file: Path,
    fleet_key: Annotated[
        Path | None, typer.Option(help="The fleet's public key; else the key of this fleet.")
    ] = None,
    language: Annotated[Tongue, typer.Option(help="Of the answer.")] = Tongue.JA,
) -> None:
    """Say whether a claim's file is as the fleet signed it. Ends with 0 when it is, else with 1.

    It needs the file and the public key alone, so anybody can on any machine.
    """
    if file.stat().st_size > FILE_BYTES_MAX:
        raise typer.BadParameter(f"a claim has at most {FILE_BYTES_MAX} bytes")
    key = read_public_key(fleet_key) if fleet_key else own_key(context)
    said: Language = "en" if language is Tongue.EN else "ja"
    try:
        seal = claim_file.check(file.read_bytes(), key)
    except ClaimFileRefused as error:
        out.print(say(f"claim.verify.{error.reason}", said))
        raise typer.Exit(EXIT_ALTERED) from error
    out.print(_matching(seal, said))


def _matching(seal: Seal, language: Language) -> str:
    return say(
        "claim.verify.matching",
        language,
        claim=seal.claim,
        programme=seal.programme,
        company=seal.organisation,
        month=seal.month,
        lines=f"{seal.lines:,}",
        yen=f"{seal.subsidy_yen:,}",
        at=f"{local(seal.at_ms):%Y-%m-%d %H:%M}",
    )


def own_key(context: typer.Context) -> ed25519.Ed25519PublicKey:
    """Return the public key of this fleet."""
    return read_signing_key(site_of(context).config.signing_key).public_key()


def read_public_key(path: Path) -> ed25519.Ed25519PublicKey:
    """Return the fleet's public key in a file (PEM). Raises ConfigRefused."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError as error:
        raise ConfigRefused(f"{path}: {error}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigRefused(f"{path}: the fleet's key is an Ed25519 key")
    return key
