"""Spans of whole numbers, each from a first to one past its last: joined, cut and measured.

What these functions return is in order, overlaps nowhere and holds nothing empty.
"""

from collections.abc import Iterable

Span = tuple[int, int]


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return what lies in any of the spans."""
    some = [span for span in spans if span[0] < span[1]]
    if len(some) < 2:  # as most days are, of which a board's month has tens of thousands
        return some
    found: list[Span] = []
    for first, end in sorted(some):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((first, end))
    return found


def without(spans: Iterable[Span], cut: Iterable[Span]) -> list[Span]:
    """Return what lies in the spans and in no span of `cut`."""
    left = joined(spans)
    for first, end in joined(cut):
        left = [
            piece
            for one in left
            for piece in ((one[0], min(one[1], first)), (max(one[0], end), one[1]))
            if piece[0] < piece[1]
        ]
    return left


def within(spans: Iterable[Span], limits: Iterable[Span]) -> list[Span]:
    """Return what lies in the spans and in `limits` too."""
    some, kept = joined(spans), joined(limits)
    return joined([(max(a[0], b[0]), min(a[1], b[1])) for a in some for b in kept])


def length(spans: Iterable[Span]) -> int:
    """Return how much lies in the spans; what lies in several counts once."""
    return sum(end - first for first, end in joined(spans))
