"""Spans of whole numbers, each from a first to one past its last: joined, cut and measured.

What these functions return is in order, overlaps nowhere and holds nothing empty.
"""

from collections.abc import Iterable

Span = tuple[int, int]


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return what lies in any of the spans."""
    found: list[Span] = []
    for first, end in sorted(span for span in spans if span[0] < span[1]):
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
    kept = joined(limits)
    return joined(
        (max(one[0], limit[0]), min(one[1], limit[1])) for one in joined(spans) for limit in kept
    )


def length(spans: Iterable[Span]) -> int:
    """Return how much lies in the spans; what lies in several counts once."""
    return sum(end - first for first, end in joined(spans))
