"""What has changed between the rows of a programme and former ones, worked out once for all places.

Rules: rows are known by their hash; a difference of more than half of the whole is none; as many
are kept as readers of some minutes ask for.
"""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from wire.envelope import MessageRefused
from wire.rows import Rows
from wire.rows_delta import Difference, difference

DIFFERENCES_MAX: Final = 16
"""Differences kept for the readers that come next: a version's readers come within minutes."""
DIFFERENCES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all that are kept; of one, see `Differences.between`."""


class Differences:
    """What has changed between rows, worked out once. Safe to use from several threads."""

    def __init__(self, rows: Callable[[str, bytes], Rows]) -> None:
        """`rows` opens those of a programme with this hash, or raises OSError or MessageRefused."""
        self._open = rows
        self._kept: OrderedDict[tuple[str, bytes, bytes], Difference | None] = OrderedDict()
        self._lock = threading.Lock()

    def between(self, programme: str, old: bytes, new: bytes) -> Difference | None:
        """Return what turns the rows `old` into `new`; None when that is not worth while.

        That is when it takes more than half of the whole, or the old ones are no longer there.
        One is made at a time: the readers of a new version wait for the same one.
        """
        key = (programme, old, new)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._make(programme, old, new)
                self._forget()
            self._kept.move_to_end(key)
            return self._kept[key]

    def _make(self, programme: str, old: bytes, new: bytes) -> Difference | None:
        with contextlib.ExitStack() as stack:
            try:
                one, other = (self._open(programme, name) for name in (old, new))
            except (OSError, MessageRefused):
                return None
            stack.callback(one.close)
            stack.callback(other.close)
            if one.row_bytes != other.row_bytes:
                return None
            return difference(one, other, other.count * other.row_bytes // 2)

    def _forget(self) -> None:
        while len(self._kept) > 1 and (
            len(self._kept) > DIFFERENCES_MAX
            or sum(one.size for one in self._kept.values() if one) > DIFFERENCES_BYTES_MAX
        ):
            self._kept.popitem(last=False)
