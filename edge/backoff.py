"""How long to wait after a failure: longer each time, and never all readers at once.

«Full jitter»: a uniform draw between nothing and a limit that doubles, which spreads a whole fleet
over the time best (Marc Brooker, «Exponential Backoff And Jitter», AWS Architecture Blog, 2015).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

BASE_S: Final = 1.0
"""The first limit: a broker that was just restarted is back within a second."""
CAP_S: Final = 60.0
"""The last limit: 100,000 readers that wait 30 s on average knock 3,300 times a second, below the
5,000 batches a second that the fleet is built for."""


@dataclass
class Backoff:
    """Counts failures in a row; `draw` gives uniform numbers from 0 to 1."""

    base_s: float = BASE_S
    cap_s: float = CAP_S
    draw: Callable[[], float] = random.random
    failures: int = field(default=0, init=False)

    def next_s(self) -> float:
        """Count one more failure and return how long to wait for the next try."""
        limit = min(self.cap_s, self.base_s * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return limit * self.draw()

    def reset(self) -> None:
        """Something worked."""
        self.failures = 0
