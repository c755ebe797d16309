"""SOMA's closed coordinates, as half-open boxes."""

from __future__ import annotations

import enum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.errors import ArgumentError, ArgumentTypeError
from napari_msimage.storage._soma_coords import (
    box_to_slices,
    check_mode,
    check_result_order,
    coords_to_box,
)

SHAPE = (3, 10, 20)


@pytest.mark.parametrize(
    ("coords", "start", "stop"),
    [
        ((), (0, 0, 0), (3, 10, 20)),
        ([1], (1, 0, 0), (2, 10, 20)),
        ((None, 9, slice(0, 0)), (0, 9, 0), (3, 10, 1)),
        ((slice(None), slice(2, 4), slice(8, 500)), (0, 2, 8), (3, 5, 20)),
        ((slice(1, None), slice(None, 3)), (1, 0, 0), (3, 4, 20)),
        ((np.int64(2), slice(np.int8(1), np.int8(2))), (2, 1, 0), (3, 3, 20)),
    ],
    ids=str,
)
def test_slices_include_both_ends_and_are_clipped(coords, start, stop):
    assert coords_to_box(coords, SHAPE, "u") == (start, stop)


@given(st.data())
def test_box_selects_what_numpy_selects_one_further(data):
    size = data.draw(st.integers(1, 30))
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start, 2 * size))
    cells = np.arange(size)
    box = coords_to_box((slice(start, stop),), (size,), "u")
    selected = cells[box_to_slices(*box)]
    assert selected.tolist() == cells[start : stop + 1].tolist()


@pytest.mark.parametrize(
    ("coords", "match"),
    [
        ((0, 0, 0, 0), "4 coordinates"),
        ((3,), r"outside \[0, 3\)"),
        ((-1,), r"outside \[0, 3\)"),
        ((slice(3, 5),), "selects nothing of dimension 0"),
        ((None, slice(4, 3)), "selects nothing of dimension 1"),
        ((slice(-1, 2),), "selects nothing"),
        ((slice(0, -1),), "selects nothing"),
        ((slice(0, 2, 1),), "step"),
    ],
    ids=str,
)
def test_coordinates_that_select_nothing_are_refused(coords, match):
    with pytest.raises(ArgumentError, match=match):
        coords_to_box(coords, SHAPE, "u")


@pytest.mark.parametrize(
    "coords",
    [None, 5, "abc", slice(None), ([0],), (1.0,), ("a",), (slice(0.0, 1),), (...,)],
    ids=str,
)
def test_coordinates_of_another_type_are_refused(coords):
    with pytest.raises(ArgumentTypeError, match="coord"):
        coords_to_box(coords, SHAPE, "u")


def test_modes():
    assert [check_mode(mode) for mode in "rwd"] == ["r", "w", "d"]
    for mode in ("a", "", None, "rw", 5):
        with pytest.raises(ArgumentError, match="mode must be"):
            check_mode(mode)


class Order(enum.Enum):
    COLUMN = "column-major"


def test_result_orders_are_text_or_upstreams_enumeration():
    assert check_result_order("column-major")
    assert check_result_order(Order.COLUMN)
    assert not check_result_order("row-major")
    for order in ("auto", None, 5):
        with pytest.raises(ArgumentError, match="result_order must be"):
            check_result_order(order)
