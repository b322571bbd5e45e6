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
    while more := set(_more(people, found)):
        found |= more
    return frozenset(found)


def _more(people: Mapping[Cell, int], found: set[Cell]) -> Iterator[Cell]:
    """Yield what is to be hidden too, the smallest that helps; nothing when all is well."""
    alone = following(found)
    shown: dict[_Point, list[Cell]] = defaultdict(list)
    for cell in people.keys() - found:
        for point in _ends(cell):
            shown[point].append(cell)
    for line, here in _lines(found).items():
        if shown[line] and all(people[cell] < FEW for cell in here):
            yield _smallest(people, shown[line])
    for cell in alone:
        row, column = _ends(cell)
        if rest := shown[row] or shown[column]:
            yield _smallest(people, rest)


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
