"""`kazasu-fleet card-proof`: whether this fleet is set up to judge the certificates of cards.

A card proves itself at a desk, where its challenge is made; here is only what the fleet's keeper
tries beforehand, with the certificate of a card of his own.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fleet.config import ConfigRefused
from fleet.terminal import out, site_of
from wire.limits import CARD_CERTIFICATE_BYTES_MAX

card_proof_app = typer.Typer(no_args_is_help=True, help="Cards that prove themselves by their PIN.")


@card_proof_app.callback()
def _group() -> None:
    """Keep `check` a command of its own, also while it is the only one."""


@card_proof_app.command()
def check(
    context: typer.Context,
    certificate: Annotated[Path, typer.Argument(help="User authentication, DER or PEM.")],
) -> None:
    """Judge a card's certificate: authority, kind, dates, revocation. Ends with 0: good, 1: not.

    This asks the authority about it, in the name of who is approved.
    """
    from fleet.card_proof import CardProofs, Reason

    site = site_of(context)
    settings = site.config.card_certificates
    if settings is None:
        raise ConfigRefused(f"{site.config_path}: there is no [card_certificates]")
    proofs = CardProofs(settings)
    verdict = asyncio.run(proofs.check(_der(certificate), site.now_ms()))
    out.print(f"{verdict.reason}: {verdict.why}")
    raise typer.Exit(0 if verdict.reason is Reason.OK else 1)


def _der(path: Path) -> bytes:
    """Return the DER of a certificate's file; what cannot be read is judged as it is."""
    with path.open("rb") as file:
        data = file.read(2 * CARD_CERTIFICATE_BYTES_MAX)
    if not data.startswith(b"-----BEGIN"):
        return data
    try:
        return x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
    except ValueError:
        return data
