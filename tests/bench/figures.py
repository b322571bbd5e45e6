"""Figures of a bench: quantiles, and tables as text for the terminal and for docs/benchmarks.md."""

import datetime
import math
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Table:
    """One table of results: a title, what was measured, columns and rows, and goals met or not."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    goals: Sequence[tuple[str, bool]] = ()

    def markdown(self) -> str:
        """The table as Markdown, its goals beneath."""
        lines = [f"## {self.title}", "", self.about, ""]
        lines += [_row(self.columns), _row(["---"] * len(self.columns)), *map(_row, self.rows)]
        goals = [f"- {'met' if met else '**not met**'}: {goal}" for goal, met in self.goals]
        return "\n".join([*lines, *([""] if goals else []), *goals])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def quantile(values: Iterable[float], q: float) -> float:
    """The smallest measured value that a share `q` does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def spread(values: Iterable[float], unit: float = 1.0, digits: int = 2) -> list[str]:
    """p50, p95 and p99 as cells; values are divided by `unit`."""
    ordered = sorted(values)
    return [f"{quantile(ordered, q) / unit:.{digits}f}" for q in (0.5, 0.95, 0.99)]


def timed_us(act: Callable[[], object], times: int) -> list[float]:
    """How long an act took each time, in µs."""
    took = []
    for _ in range(times):
        started = perf_counter_ns()
        act()
        took.append((perf_counter_ns() - started) / 1000)
    return took


def machine() -> str:
    """What these figures were measured on, in one line."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} × {model}, {memory_gib:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


HEAD: Final = """# Benchmarks

Made by `scripts/bench`; a part that is run alone writes its own section anew and leaves the rest.
Figures of one machine compare with each other, not with those of another; a Raspberry Pi is some
five times slower, and an SD card's sync 10 to 100 times."""


def write_page(tables: Sequence[Table]) -> None:
    """Write the sections of docs/benchmarks.md that were measured now; new ones come last."""
    kept = PAGE.read_text("utf-8").split("\n## ")[1:] if PAGE.exists() else []
    sections = {text.partition("\n")[0]: f"## {text.strip()}" for text in kept}
    today = datetime.datetime.now(datetime.UTC).date()
    for table in tables:
        sections[table.title] = f"{table.markdown()}\n\n{today}: {machine()}."
    PAGE.write_text("\n\n".join([HEAD, *sections.values()]) + "\n", "utf-8")
