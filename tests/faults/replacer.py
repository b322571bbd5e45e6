"""Replaces a reader's files without pause, as the network half does, and says what is durable.

`python -m tests.faults.replacer TARGET SOURCE ...`: TARGET becomes each SOURCE in turn; the number
of the turn is printed only when `edge.durable` has returned.
"""

import itertools
import sys
from pathlib import Path

from edge.durable import replace_file


def replace(target: Path, sources: list[bytes]) -> None:
    """Go on until the disk is gone."""
    for turn in itertools.count():
        try:
            replace_file(target, sources[turn % len(sources)])
        except OSError:
            return
        print(turn, flush=True)


if __name__ == "__main__":
    replace(Path(sys.argv[1]), [Path(source).read_bytes() for source in sys.argv[2:]])
