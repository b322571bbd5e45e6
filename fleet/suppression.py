"""Which cells of a table are not shown, so that no person can be recognised in it: pure.

Rules: a cell of fewer than FEW people is hidden, all its figures together; so are others, until no
hidden cell follows from its row or column by subtraction, and what follows for several together
stands for at least FEW people where the table has a cell of so many. The sums of the columns are
shown elsewhere; a row's own sum is a cell like the others (the fiscal year beside its months).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

FEW: Final = 5
"""Below it a count is not published: the custom of Japanese statistics by small areas (秘匿)."""
Cell = tuple[str, str]
"""Row and column."""
_Point = tuple[int, str]
"""A row (0) or a column (1)."""


def is_few(people: int) -> bool:
    """True for a count that could be recognised; nobody is nobody."""
    return 0 < people < FEW


def hidden(people: Mapping[Cell, int]) -> frozenset[Cell]:
    """Return the cells to hide; `people`: how many stand behind each cell that is not empty."""
    found = {cell for cell, count in people.items() if is_few(count)}
    while _hide_more(people, found):
        pass
    return frozenset(found)


def _hide_more(people: Mapping[Cell, int], found: set[Cell]) -> bool:
    """Hide what is to be hidden too, each time the smallest that helps; False when all is well."""
    before = len(found)
    of_line = _lines(people)
    for line, here in _lines(found).items():
        rest = [cell for cell in of_line[line] if cell not in found]
        if rest and all(people[cell] < FEW for cell in here):
            found.add(_smallest(people, rest))
    for cell in sorted(following(found)):
        if is_few(people[cell]):
            near, far = (_reached(end, found - {cell}) for end in _ends(cell))
            shown = people.keys() - found if near.isdisjoint(far) else ()
            closing = [one for one in shown if _joins(one, near, far)]
            if rest := closing or [one for one in shown if not (near | far).isdisjoint(_ends(one))]:
                found.add(_smallest(people, rest))
    return len(found) > before


def _joins(cell: Cell, near: set[_Point], far: set[_Point]) -> bool:
    row, column = _ends(cell)
    return (row in near and column in far) or (row in far and column in near)


def _reached(start: _Point, cells: set[Cell]) -> set[_Point]:
    """Return all points to which hidden cells lead."""
    lines, found, ahead = _lines(cells), {start}, [start]
    while ahead:
        for cell in lines.get(ahead.pop(), ()):
            new = set(_ends(cell)) - found
            found |= new
            ahead.extend(new)
    return found


def _smallest(people: Mapping[Cell, int], cells: Iterable[Cell]) -> Cell:
    """Return the cell of the fewest people, but one of FEW or more when there is one."""
    return min(cells, key=lambda cell: (people[cell] < FEW, people[cell], cell))


def _ends(cell: Cell) -> tuple[_Point, _Point]:
    return (0, cell[0]), (1, cell[1])


def _lines(cells: Iterable[Cell]) -> dict[_Point, list[Cell]]:
    found: dict[_Point, list[Cell]] = defaultdict(list)
    for cell in sorted(cells):
        for point in _ends(cell):
            found[point].append(cell)
    return found


def following(cells: set[Cell]) -> set[Cell]:
    """Return those of the hidden cells that sums of rows and columns determine.

    Rows and columns are points and hidden cells the lines between them: just those lines that lie
    on no ring are determined (Gusfield, «A Graph Theoretic Approach to Statistical Data Security»,
    1988). Lines on no ring are found in one walk (Tarjan, 1974).
    """
    lines = _lines(cells)
    order: dict[_Point, int] = {}
    low: dict[_Point, int] = {}
    found: set[Cell] = set()
    for start in lines:
        if start in order:
            continue
        order[start] = low[start] = len(order)
        way: list[tuple[_Point, Cell | None, Iterator[Cell]]] = [(start, None, iter(lines[start]))]
        while way:
            point, by, ahead = way[-1]
            cell = next(ahead, None)
            if cell is None:
                way.pop()
                if way and by is not None:
                    before = way[-1][0]
                    low[before] = min(low[before], low[point])
                    if low[point] > order[before]:
                        found.add(by)
            elif cell != by:
                other = next(end for end in _ends(cell) if end != point)
                if other in order:
                    low[point] = min(low[point], order[other])
                else:
                    order[other] = low[other] = len(order)
                    way.append((other, cell, iter(lines[other])))
    return found
