"""The boxes of many regions at once are those of each one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.coordinates import pixel_box, pixel_boxes
from napari_msimage.errors import RegionError

BOUNDS = st.one_of(
    st.floats(-50, 50),
    st.integers(-40, 40).map(float),
    st.integers(-40, 40).map(lambda n: n + 9e-7),
    st.sampled_from([1e300, -1e300, np.inf, np.nan]),
)
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def box_or_message(lower, upper, finest, level):
    try:
        return pixel_box(lower, upper, finest, level, axis_names=("y", "x"))
    except RegionError as err:
        return str(err)


@given(
    st.lists(st.tuples(*[st.tuples(BOUNDS, BOUNDS)] * 2), min_size=1, max_size=6),
    SHAPES,
    SHAPES,
)
def test_many_boxes_are_those_of_each_region(corners, finest, level):
    level = tuple(min(pair) for pair in zip(finest, level, strict=True))
    lower, upper = zip(*corners, strict=True)
    expected = [box_or_message(*pair, finest, level) for pair in corners]
    messages = [one for one in expected if isinstance(one, str)]
    if messages:
        with pytest.raises(RegionError) as caught:
            pixel_boxes(lower, upper, finest, level, axis_names=("y", "x"))
        assert str(caught.value) == messages[0]
    else:
        boxes = pixel_boxes(lower, upper, finest, level)
        assert boxes.shape == (len(corners), 2, 2)
        np.testing.assert_array_equal(boxes, expected)
