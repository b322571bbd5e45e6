"""No count of fewer than five people can be read from a table, or worked out from what it shows."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.suppression import FEW, Cell, hidden

ROWS, COLUMNS = "abcd", ("04", "05", "year")
Table = dict[Cell, int]


def test_fewer_than_five_are_hidden_and_so_is_the_next_by_which_they_could_be_found() -> None:
    months = {("bus-1", "05"): 3, ("bus-2", "05"): 9, ("bus-3", "05"): 30}
    months |= {("bus-1", "04"): 8, ("bus-2", "04"): 7, ("bus-3", "04"): 30}
    years = {("bus-1", "year"): 9, ("bus-2", "year"): 9, ("bus-3", "year"): 31}
    small = {"bus-1", "bus-2"}
    assert hidden(months | years) == {cell for cell in months if cell[0] in small}


def test_two_small_ones_are_not_left_with_a_sum_of_few() -> None:
    people = {("a", "05"): 1, ("b", "05"): 2, ("c", "05"): 50}
    assert hidden(people) == set(people)


@pytest.mark.parametrize("people", [{}, {("a", "05"): 5, ("b", "05"): 0}])
def test_where_there_are_enough_or_nobody_all_is_shown(people: Table) -> None:
    assert hidden(people) == frozenset()


def test_the_year_less_the_other_months_does_not_tell_either() -> None:
    people = {("a", "04"): 3, ("a", "05"): 9, ("a", "year"): 10}
    people |= {("b", "04"): 8, ("b", "05"): 9, ("b", "year"): 11}
    found = hidden(people)
    assert ("a", "04") in found
    assert not determined(people, found)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(ROWS), st.sampled_from(COLUMNS)), st.integers(1, 12), max_size=12
    )
)
def test_nothing_hidden_for_its_few_people_can_be_worked_out_while_there_is_more_to_hide(
    people: Table,
) -> None:
    found = hidden(people)
    assert {cell for cell, count in people.items() if count < FEW} <= found
    for row, column in (cell for cell in determined(people, found) if people[cell] < FEW):
        assert {one for one in people if row == one[0] or column == one[1]} <= found


def determined(people: Table, found: frozenset[Cell]) -> set[Cell]:
    """Whoever knows all sums and all that is shown: which hidden cells can he solve for?

    Gaussian elimination over the hidden cells; a cell is known when a row is left with it alone.
    """
    unknown = sorted(found)
    sums = [[one for one in unknown if one[0] == row] for row in {one[0] for one in unknown}]
    sums += [[one for one in unknown if one[1] == column] for column in {o[1] for o in unknown}]
    system = [[Fraction(one in line) for one in unknown] for line in sums]
    done = 0
    for column in range(len(unknown)):
        pivot = next((at for at in range(done, len(system)) if system[at][column]), None)
        if pivot is None:
            continue
        system[done], system[pivot] = system[pivot], system[done]
        head = system[done][column]
        system[done] = [value / head for value in system[done]]
        for at, line in enumerate(system):
            if at != done and line[column]:
                factor = line[column]
                system[at] = [a - factor * b for a, b in zip(line, system[done], strict=True)]
        done += 1
    alone = [[at for at, value in enumerate(line) if value] for line in system[:done]]
    return {unknown[line[0]] for line in alone if len(line) == 1}
