"""Replays of months for the pages: one at a time in a thread, with its progress, and kept.

Rules: a page never waits for one; the same question is answered once; how many are kept and wait
has a limit; who stops the process does not wait for a replay.
"""

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from fleet.replay import Progress, Replayed, TooMuch

KEPT_MAX: Final = 40
"""Answers of about 200 bytes: a year's months under three tables."""
WAITING_MAX: Final = 5
"""Each takes a minute at most; whoever comes after is asked to come again."""
Key = tuple[int, str]
"""A proposal and a month."""
Run = Callable[[Progress], Replayed]
log = structlog.get_logger()


class Stopped(Exception):
    """The process ends."""


@dataclass
class Job:
    """One replay. `wrong` is a stable word: `too-much` or `failed`."""

    share: float = 0.0
    found: Replayed | None = None
    wrong: str = ""

    @property
    def is_over(self) -> bool:
        """True when there is an answer, or never will be."""
        return self.found is not None or bool(self.wrong)


class Replays:
    """Runs and keeps them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "replay")
        self._jobs: OrderedDict[Key, Job] = OrderedDict()
        self._stopped = threading.Event()

    def ask(self, key: Key, run: Run) -> Job | None:
        """Return the replay of this question, begun now when it is new; None when too many wait."""
        known = self._jobs.get(key)
        if known is not None and known.wrong != "failed":
            return known
        if sum(not job.is_over for job in self._jobs.values()) >= WAITING_MAX:
            return None
        job = self._jobs[key] = Job()
        while len(self._jobs) > KEPT_MAX:
            self._jobs.popitem(last=False)
        self._pool.submit(self._run, job, run)
        return job

    def _run(self, job: Job, run: Run) -> None:
        def progress(share: float) -> None:
            if self._stopped.is_set():
                raise Stopped
            job.share = share

        try:
            progress(0.0)
            job.found = run(progress)
        except Stopped:
            return
        except TooMuch:
            job.wrong = "too-much"
        except Exception:
            # nobody waits for this thread: the page says so, and the replay may be asked for again
            log.exception("replay.failed")
            job.wrong = "failed"

    def close(self) -> None:
        """Stop what runs; nothing is begun any more."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)


REPLAYS: Final = web.AppKey("replays", Replays)


async def keep(app: web.Application) -> AsyncIterator[None]:
    """Have them for as long as the process serves."""
    app[REPLAYS] = Replays()
    yield
    app[REPLAYS].close()
