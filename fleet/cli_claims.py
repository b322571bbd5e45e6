"""`kazasu-fleet claims`: whether a claim's file is the one that the fleet signed."""

from pathlib import Path

import typer

from fleet import claim_file
from fleet.claim_file import FILE_BYTES_MAX, ClaimFileRefused, Seal
from fleet.cli_verify import FleetKey, InTongue, Tongue, altered, key_for, read_signed
from fleet.terminal import out
from programmes.calendar import local
from programmes.texts import Language, say

claims_app = typer.Typer(no_args_is_help=True, help="What transport companies claim.")


@claims_app.callback()
def _begin() -> None:
    """Keep `verify` a command of its own while it is the only one."""


@claims_app.command()
def verify(
    context: typer.Context,
    file: Path,
    fleet_key: FleetKey = None,
    language: InTongue = Tongue.JA,
) -> None:
    """Say whether a claim's file is as the fleet signed it. Ends with 0 when it is, else with 1.

    It needs the file and the public key alone, so anybody can on any machine.
    """
    body = read_signed(file, FILE_BYTES_MAX)
    try:
        seal = claim_file.check(body, key_for(context, fleet_key))
    except ClaimFileRefused as error:
        raise altered(f"claim.verify.{error.reason}", language) from error
    out.print(_matching(seal, language.language))


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
