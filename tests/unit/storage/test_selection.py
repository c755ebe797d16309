"""Composing indexings gives what numpy gives, shape by shape and cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage.errors import ArgumentError, ArgumentTypeError, LevelIndexError
from napari_msimage.storage._selection import MAX_CHUNKS_PER_AXIS, Selection


def bounds(size):
    return st.none() | st.integers(-size - 2, size + 2)


def slices(size):
    steps = st.none() | st.integers(-size - 1, size + 1).filter(bool)
    return st.builds(slice, bounds(size), bounds(size), steps)


@st.composite
def keys(draw, shape):
    """Draw a basic index that fits the shape, with ellipsis and new axes mixed in."""
    n_used = draw(st.integers(0, len(shape)))
    from_end = draw(st.booleans())
    sizes = shape[len(shape) - n_used :] if from_end else shape[:n_used]
    items = []
    for size in sizes:
        positions = st.integers(-size, size - 1) if size else slices(size)
        items.append(draw(slices(size) | positions | positions.map(_numpy_int)))
    if from_end or draw(st.booleans()):
        items.insert(0 if from_end else len(items), ...)
    for _ in range(draw(st.integers(0, 1))):
        items.insert(draw(st.integers(0, len(items))), None)
    return tuple(items) if len(items) != 1 or draw(st.booleans()) else items[0]


def _numpy_int(value):
    return value if isinstance(value, slice) else np.int32(value)


@st.composite
def steps(draw, shape):
    """Draw one step of a chain: ("index", key) or ("transpose", order)."""
    if draw(st.integers(0, 3)):
        return "index", draw(keys(shape))
    return "transpose", tuple(draw(st.permutations(range(len(shape)))))


def take(step, selection, cells):
    kind, how = step
    if kind == "index":
        return selection.index(how), cells[how]
    return selection.transpose(how), cells.transpose(how)


def read(selection, cells):
    """Read a selection the way a store is read: in array order, positions rising."""
    result = np.empty(selection.shape, cells.dtype)
    if result.size:
        target = selection.in_array_order(result)
        target[...] = cells[np.ix_(*selection.sorted_ranges)]
    return result


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_chains_of_indexings_match_numpy(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    cells = np.arange(np.prod(shape)).reshape(shape)
    selection, expected = Selection.whole(shape), cells
    for _ in range(data.draw(st.integers(1, 4))):
        step = data.draw(steps(expected.shape))
        selection, expected = take(step, selection, expected)
        expected = np.asarray(expected)
    assert selection.shape == expected.shape
    assert selection.size == expected.size
    np.testing.assert_array_equal(read(selection, cells), expected)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_chunks_count_the_cells_of_each_tile(data):
    size, extent = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 50)))
    selection = Selection.whole((size,))
    tiles = np.arange(size) // extent
    for _ in range(2):
        key = data.draw(slices(len(tiles)))
        selection, tiles = selection.index(key), tiles[key]
    (chunks,) = selection.chunks((extent,))
    borders = np.flatnonzero(np.diff(tiles)) + 1
    expected = np.diff([0, *borders, len(tiles)])
    assert chunks == tuple(expected.tolist())


def test_chunks_follow_transposes_and_drop_picked_axes():
    selection = Selection.whole((3, 97, 130)).transpose((2, 0, 1)).index(np.s_[:, 1])
    assert selection.chunks((1, 32, 64)) == ((64, 64, 2), (32, 32, 32, 1))


def test_new_axis_is_one_chunk():
    assert Selection.whole((5,)).index(None).chunks((2,)) == ((1,), (2, 2, 1))


def test_chunks_of_a_level_cut_very_fine_are_bounded():
    (chunks,) = Selection.whole((10 * MAX_CHUNKS_PER_AXIS + 3,)).chunks((1,))
    assert len(chunks) <= MAX_CHUNKS_PER_AXIS
    assert sum(chunks) == 10 * MAX_CHUNKS_PER_AXIS + 3


def test_huge_levels_cost_nothing():
    selection = Selection.whole((1, 2**40, 2**40)).index(np.s_[0, ::-3, 5:])
    assert selection.shape == (-(-(2**40) // 3), 2**40 - 5)
    assert selection.size == selection.shape[0] * selection.shape[1]


@pytest.mark.parametrize("index", [3, -4, np.int64(99)], ids=str)
def test_integer_out_of_bounds_is_an_index_error(index):
    with pytest.raises(LevelIndexError, match="out of bounds for axis 1 with size 3"):
        Selection.whole((5, 3)).index((0, index))
    with pytest.raises(IndexError, match="out of bounds for axis 1 with size 3"):
        np.zeros((5, 3))[0, index]


def test_integer_into_an_empty_axis_is_an_index_error():
    with pytest.raises(LevelIndexError, match="out of bounds for axis 0 with size 0"):
        Selection.whole((5,)).index(slice(2, 2)).index(0)


def test_too_many_indices_are_an_index_error():
    with pytest.raises(LevelIndexError, match="has 2 axes, 3 were indexed"):
        Selection.whole((5, 3)).index((0, 0, 0))


def test_two_ellipses_are_an_index_error():
    with pytest.raises(LevelIndexError, match=r"can have one ellipsis.*got 2"):
        Selection.whole((5, 3)).index((..., 0, ...))


@pytest.mark.parametrize(
    "key",
    [True, np.True_, [0, 1], np.array([0, 1]), np.zeros((5, 3), bool), 1.0, "a"],
    ids=["bool", "numpy bool", "list", "array", "mask", "float", "text"],
)
def test_other_kinds_of_index_are_refused(key):
    with pytest.raises(ArgumentTypeError, match=r"only integers, slices.*np\.asarray"):
        Selection.whole((5, 3)).index((key, 0))


def test_array_scalar_is_an_integer():
    assert Selection.whole((5, 3)).index(np.array(2)).ranges[0] == range(2, 3)


def test_slice_with_float_bound_is_refused():
    with pytest.raises(ArgumentTypeError, match=r"slice must be integers.*1\.5"):
        Selection.whole((5,)).index(slice(1.5))


def test_zero_step_is_refused():
    with pytest.raises(ArgumentError, match="must not be zero"):
        Selection.whole((5,)).index(slice(None, None, 0))


@pytest.mark.parametrize("order", [(0,), (0, 0), (0, 2), ()], ids=str)
def test_transpose_wants_each_axis_once(order):
    with pytest.raises(ArgumentError, match="expected each of its 2 axes once"):
        Selection.whole((5, 3)).transpose(order)


def test_transpose_wants_integers():
    with pytest.raises(ArgumentTypeError, match="axes must be integers"):
        Selection.whole((5, 3)).transpose((0, "x"))


def test_transpose_takes_negative_axes():
    assert Selection.whole((5, 3)).transpose((-1, 0)).shape == (3, 5)


@given(data=st.data())
def test_applying_a_selection_is_the_same_as_its_steps(data):
    array = np.arange(5 * 4 * 3).reshape(5, 4, 3)
    selection, expected = Selection.whole(array.shape), array
    for _ in range(data.draw(st.integers(0, 3))):
        key = tuple(
            data.draw(
                st.sampled_from(
                    [slice(None), slice(None, None, -1), slice(1, None, 2), slice(0, 0)]
                )
            )
            for _ in range(data.draw(st.integers(0, expected.ndim)))
        )
        if data.draw(st.booleans()):
            key = (None, *key)
        selection, expected = selection.index(key), expected[key]
        selection, expected = selection.transpose(), expected.transpose()
    result = selection.apply(array)
    assert result.shape == selection.shape
    np.testing.assert_array_equal(result, expected)


def test_applying_a_selection_drops_what_an_integer_picked():
    array = np.arange(24).reshape(2, 3, 4)
    selection = Selection.whole(array.shape).index((1, slice(None), -1))
    np.testing.assert_array_equal(selection.apply(array), array[1, :, -1])
