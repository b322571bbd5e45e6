"""`kazasu-provision`: identities, keys and broker policy of a town, credentials of its members."""

import contextlib
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from provisioning.vault import ProvisioningRefused

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

Folder = Annotated[Path, typer.Argument(help="Folder that holds the town's identities.")]
TownFile = Annotated[Path, typer.Option("--town", help="The town: tenant, ports, places.")]
Programme = Annotated[str, typer.Option("--programme", help="Such as senior-pass.")]


_WHAT_TO_DO: Final[Mapping[int, str]] = {
    errno.ENOENT: "there is no such file: check the path",
    errno.EISDIR: "this is a folder: name a file",
    errno.ENOTDIR: "a part of this path is no folder: check the path",
    errno.EACCES: "this user may not open it: look at its owner and mode",
    errno.ENOSPC: "the disk is full: make room, then try again",
}


def _explain(error: Exception) -> str:
    """Return a sentence: what an operating system's error means here, or the error's own."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError):
        return str(error)
    what = _WHAT_TO_DO.get(cause.errno or 0, cause.strerror or str(cause))
    return f"{cause.filename}: {what}" if cause.filename else what


def _refused(error: Exception) -> NoReturn:
    _err.print(f"kazasu-provision: {_explain(error)}", markup=False)
    for line in getattr(error, "lines", []):
        _err.print(f"  {line}", markup=False)
    raise typer.Exit(1)


@app.command()
def local(folder: Folder, town: TownFile) -> None:
    """Make or complete everything that a town on one machine needs; private keys are kept."""
    from provisioning.local import make_local
    from provisioning.town import read_town
    from wire.clock import SystemClock

    try:
        read = read_town(town)
        make_local(folder, read, SystemClock())
    except (ProvisioningRefused, OSError) as error:
        _refused(error)
    _out.print(f"{read.tenant}: {len(read.place)} readers in {folder}", markup=False)


@app.command()
def broker(folder: Folder, town: TownFile) -> None:
    """Write only the broker's configuration and access lists again, such as for other ports."""
    from provisioning.local import make_broker
    from provisioning.town import read_town

    try:
        make_broker(folder, read_town(town))
    except (ProvisioningRefused, OSError) as error:
        _refused(error)
    _out.print(f"mosquitto -c {folder / 'broker' / 'mosquitto.conf'}", markup=False)


@app.command()
def sd(
    folder: Folder,
    town: TownFile,
    reader: Annotated[str, typer.Option("--reader", help="The place whose reader it becomes.")],
    boot: Annotated[Path, typer.Option("--boot", help="The card's FAT partition, mounted.")],
    form: Annotated[
        str, typer.Option("--form", help="cloud-init (Trixie), older (Bookworm), or auto.")
    ] = "auto",
    wifi: Annotated[
        str, typer.Option("--wifi", help="Name of its Wi-Fi; the password is asked for.")
    ] = "",
    wheels: Annotated[
        Path | None, typer.Option("--wheels", help="Folder of the program's wheels.")
    ] = None,
    overlay: Annotated[
        list[Path], typer.Option("--overlay", help="A device-tree overlay (.dtbo); may repeat.")
    ] = [],  # noqa: B006  # typer's way to say none
) -> None:
    """Write one reader's card: who it is, where it calls, and a claim that is good once."""
    from provisioning.claims import DAYS
    from provisioning.sd import FORMS, Card, form_of, place_of, prepare
    from provisioning.town import read_town
    from provisioning.wifi import Wifi
    from wire.clock import SystemClock

    try:
        chosen = form_of(boot) if form == "auto" else next((f for f in FORMS if f == form), None)
        if chosen is None:
            raise ProvisioningRefused(f"--form is cloud-init, older or auto, not {form!r}")
        read = read_town(town)
        place = place_of(read, reader)
        password = typer.prompt("Wi-Fi password", hide_input=True, err=True) if wifi else ""
        network = Wifi.of(wifi, password) if wifi else None
        card = Card(place, chosen, network, wheels, tuple(overlay))
        prepare(folder, read, card, boot, SystemClock())
    except (ProvisioningRefused, OSError) as error:
        _refused(error)
    said = f"{reader}: {chosen}, its claim is good once and for {DAYS} days"
    _out.print(said, markup=False)


@app.command()
def door(
    folder: Folder,
    town: TownFile,
    listen: Annotated[str, typer.Option("--listen", help="Address to listen on.")] = "",
) -> None:
    """Give new readers their certificates, each for the claim on its card; runs until stopped."""
    from provisioning.door import Door, Enrolment
    from provisioning.town import read_town
    from wire.clock import SystemClock

    try:
        read = read_town(town)
        host = listen or ("" if read.host else "127.0.0.1")
        server = Door(Enrolment(folder, read, SystemClock()), folder, host, read.ports.door)
    except (ProvisioningRefused, OSError) as error:
        _refused(error)
    _out.print(f"{read.tenant}: new readers call at port {read.ports.door}", markup=False)
    with contextlib.suppress(KeyboardInterrupt), server:
        server.serve_forever()


@app.command()
def epoch(
    folder: Folder,
    programme: Programme,
    yes: Annotated[
        bool, typer.Option("--yes", help="Leave members behind who were not seen since the last.")
    ] = False,
) -> None:
    """Begin a new key epoch of a programme, after a theft; then run `local` and import again.

    Members move to it at their next tap. Readers hold two epochs: whoever was not seen since the
    one before began is no longer found, so from the third epoch on this asks for --yes.
    """
    from provisioning.keys import KeyRing
    from wire.clock import SystemClock

    try:
        ring = KeyRing.read(folder / "keys" / "programme-keys.json")
        number = ring.begin_epoch(programme, SystemClock().now_ms(), leave_behind=yes)
    except (ProvisioningRefused, OSError) as error:
        _refused(error)
    _out.print(f"{programme}: epoch {number}", markup=False)


@app.command()
def credentials(
    source: Annotated[Path, typer.Argument(metavar="IN.csv", help="scheme, identifier, …")],
    target: Annotated[Path, typer.Argument(metavar="OUT.csv", help="Must not exist.")],
    keys: Annotated[Path, typer.Option("--keys", help="keys/programme-keys.json")],
    programme: Programme,
) -> None:
    """Turn card identifiers into credentials, the form in which the fleet takes members in."""
    from provisioning.credentials import write_credentials
    from provisioning.keys import KeyRing

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    try:
        key = KeyRing.read(keys).present(programme)
        with Progress(*columns, console=_err, transient=True) as bar:
            size = source.stat().st_size if source.exists() else 0
            task = bar.add_task(source.name, total=size or None)
            count = write_credentials(
                source, target, key, lambda done: bar.update(task, completed=done)
            )
    except (ProvisioningRefused, OSError) as error:
        _refused(error)
    said = f"{target}: {count} credentials of {programme}, key epoch {key.epoch}"
    _out.print(said, markup=False)


def main() -> None:
    """Run the command line."""
    app()
