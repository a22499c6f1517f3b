"""What the next step needs, made ahead."""

import threading

import pytest

from segline.training.batches.prefetching import Prefetched


def test_items_are_those_of_their_numbers_in_any_order():
    items = Prefetched(lambda number: number * number)
    assert [items[number] for number in (0, 1, 2, 7, 8, 3)] == [0, 1, 4, 49, 64, 9]


def test_the_next_one_is_made_before_it_is_asked_for():
    begun = threading.Event()

    def make(number: int) -> int:
        if number == 1:
            begun.set()
        return number

    items = Prefetched(make)
    assert items[0] == 0
    assert begun.wait(10)


def test_each_is_made_once_when_asked_for_in_order():
    made: list[int] = []
    items = Prefetched(lambda number: made.append(number) or number)
    for number in range(5):
        assert items[number] == number
    assert made[:5] == [0, 1, 2, 3, 4]
    assert len(made) <= 6


def test_what_goes_wrong_is_raised_for_its_own_number():
    items = Prefetched(lambda number: 1 // (1 - number))
    assert items[0] == 1
    with pytest.raises(ZeroDivisionError):
        items[1]
