"""How often somebody may ask: a bucket each, that fills by itself."""

from collections import OrderedDict

from wire.clock import Clock


class Pace:
    """Says who asks too often; of `most` askers, beyond which the longest unseen is forgotten."""

    def __init__(self, clock: Clock, per_s: float, burst: int, most: int) -> None:
        self._clock = clock
        self._per_s, self._burst, self._most = per_s, burst, most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, asker: str) -> float:
        """Return how long somebody must wait before this request; 0: it is let in."""
        now_s = self._clock.monotonic_ns() / 1e9
        left, since_s = self._left.pop(asker, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - since_s) * self._per_s)
        is_let_in = left >= 1
        self._left[asker] = (left - is_let_in, now_s)
        while len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0 if is_let_in else (1 - left) / self._per_s
