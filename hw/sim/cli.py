"""`kazasu-sim`: the town on this machine, and what can be done to it while it runs."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from hw.sim.control import NoDemo, Order, send

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

DEMO_PEOPLE_MAX = 5000
CUT_S_MAX = 3600.0
HOLD_S_MAX = 60.0

Pid = Annotated[int | None, typer.Option("--pid", help="Of which demo, when more than one runs.")]


@app.command()
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=5, max=86_400, help="Play the morning in so many seconds, then end."),
    ] = None,
    report: Annotated[
        bool, typer.Option(help="At the end, give the whole account, or the verdict alone.")
    ] = True,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people.")] = 1,
    rate: Annotated[
        float, typer.Option(min=1, max=1000, help="Town seconds per second, without --seconds.")
    ] = 30,
    people: Annotated[
        int | None,
        typer.Option(
            min=1, max=DEMO_PEOPLE_MAX, help="Default: as many as there is time for, 300."
        ),
    ] = None,
    card_ms: Annotated[
        float, typer.Option(min=0, max=100, help="What a card thinks per command: 10 or 25.")
    ] = 10,
    folder: Annotated[
        Path | None,
        typer.Option(help="Keep everything in this new folder; else it goes at the end."),
    ] = None,
    heads: Annotated[
        bool,
        typer.Option("--heads", help="Each reader has a head: its firmware runs on MicroPython."),
    ] = False,
) -> None:
    """Start broker, fleet and seven readers, let people tap, and give account at the end."""
    from hw.sim.demo import Options, run

    options = Options(seconds, report, seed, rate, people, card_ms, folder, heads)
    raise typer.Exit(asyncio.run(run(options, _out)))


@app.command()
def kill(
    name: Annotated[
        str, typer.Argument(help="A reader, such as bus-2; broker; fleet, or one of its processes.")
    ],
    pid: Pid = None,
) -> None:
    """Kill processes of the demo that runs, as kill -9 does; they are started again after 2 s."""
    _give(Order("kill", name), pid)


@app.command()
def cut(
    name: Annotated[str, typer.Argument(help="A reader, such as school-1.")],
    duration: Annotated[str, typer.Option("--for", help="Such as 30s or 2m.")] = "30s",
    pid: Pid = None,
) -> None:
    """Cut a reader off from the fleet for a while: nothing comes through, nobody is told."""
    try:
        seconds = parse_seconds(duration)
    except ValueError as error:
        _refused(error)
    _give(Order("cut", name, seconds), pid)


@app.command()
def hold(
    reader: Annotated[str, typer.Argument(help="A reader, such as desk-1 or taxi-1.")],
    card: Annotated[
        str,
        typer.Argument(
            help="A member's number, such as M5001; or a name that you think up, such as hanako: "
            "a My Number Card that nobody else has, the same one for the same name."
        ),
    ],
    seconds: Annotated[
        float, typer.Option(min=0.1, max=HOLD_S_MAX, help="How long it is held at most.")
    ] = 3.0,
    pid: Pid = None,
) -> None:
    """Hold a card to a reader of the demo that runs, until it answers; say what people see."""
    _give(Order("hold", reader, seconds, card), pid)


def parse_seconds(text: str) -> float:
    """Return a duration such as `30s`, `1.5m` or `20` (seconds) in seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)?", text.strip())
    seconds = float(match[1]) * (60 if match[2] == "m" else 1) if match else 0.0
    if not 0 < seconds <= CUT_S_MAX:
        raise ValueError(f"{text!r} is no time up to an hour: write it as 30s or 2m")
    return seconds


def _give(order: Order, pid: int | None) -> None:
    try:
        answer = send(order, pid)
    except (NoDemo, OSError) as error:
        _refused(error)
    if not answer.done:
        _refused(answer.said)
    _out.print(answer.said, markup=False)


def _refused(error: object) -> NoReturn:
    _err.print(f"kazasu-sim: {error}", markup=False)
    raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app()
