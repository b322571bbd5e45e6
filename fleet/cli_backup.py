"""`kazasu-fleet backup | restore`: a copy of both databases, and putting it back."""

from pathlib import Path
from typing import Annotated

import typer

from fleet import backup
from fleet import restore as restoring
from fleet.terminal import guard, out, site_of, who


def back_up(
    context: typer.Context,
    folder: Path,
    keep: Annotated[int | None, typer.Option(help="Keep only so many, the newest.")] = None,
) -> None:
    """Copy both databases while the fleet works; the copy is read again before it counts."""
    site = site_of(context)
    made = backup.back_up(site.config, folder, site.now_ms(), keep)
    counts = backup.read_manifest(made).counts
    out.print(f"{made}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    out.print("keep fleet.toml and the keys that it names elsewhere: they are not in it")


def restore(
    context: typer.Context,
    folder: Path,
    reason: Annotated[str, typer.Option(callback=guard, help="Why, kept for who asks later.")],
) -> None:
    """Put a backup back; the present state is kept aside, and readers send what it lost."""
    site = site_of(context)
    aside = restoring.restore(site.config, folder, who(), reason, site.now_ms())
    out.print(f"{folder} is restored; what was there before is kept as {aside}")
    out.print(
        "next: start ingest, dispatch and the rest; readers send again by themselves what the"
    )
    out.print("ledger lost, as long as they hold it (7 days); then run `kazasu-fleet audit verify`")
    out.print("who was erased or stopped after the backup was made is there again: do it again")
