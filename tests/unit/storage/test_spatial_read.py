"""Planning the read of a region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.coordinates import (
    AffineTransform,
    CoordinateSpace,
    IdentityTransform,
    ScaleTransform,
)
from napari_msimage.errors import ArgumentError, ArgumentTypeError, RegionError
from napari_msimage.storage._metadata import ImageSchema
from napari_msimage.storage._spatial_read import (
    SpatialRead,
    arrange,
    check_axis_order,
    plan_region,
    resolve_region_space,
)

XY = ("x", "y")
SPACE = CoordinateSpace.from_axis_names(XY)
SAME = IdentityTransform(XY, XY)
CYX = ImageSchema((2, 1, 0), True, (3, 97, 130), np.dtype("uint8"))
YXC = ImageSchema((1, 0, 2), True, (97, 130, 3), np.dtype("uint8"))
SHAPES = {CYX: (3, 97, 130), YXC: (97, 130, 3)}


def plan(region=None, channels=None, schema=CYX, transform=SAME):
    return plan_region(region, transform, SPACE, channels, SHAPES[schema], schema, "u")


def test_no_region_means_everything():
    whole = plan()
    assert (whole.start, whole.stop) == ((0, 0, 0), (3, 97, 130))
    assert whole.channels is None
    assert type(whole.transform) is IdentityTransform


def test_region_is_laid_on_the_stored_axes():
    assert plan((2.5, 3.5, 10, 20)).start == (0, 3, 2)
    assert plan((2.5, 3.5, 10, 20)).stop == (3, 21, 11)
    assert plan((2.5, 3.5, 10, 20), schema=YXC).start == (3, 2, 0)
    assert plan((2.5, 3.5, 10, 20), schema=YXC).stop == (21, 11, 3)


@given(st.data())
def test_block_transform_leads_back_to_where_the_pixels_lie(data):
    x, y = data.draw(st.floats(0, 120)), data.draw(st.floats(0, 90))
    half = ScaleTransform(XY, XY, [0.5, 0.5])
    read = plan((x, y, x + 5, y + 5), transform=half)
    _, y0, x0 = read.start
    corner = read.transform.augmented_matrix @ [0, 0, 1]
    np.testing.assert_allclose(corner, [2 * x0, 2 * y0, 1])
    assert corner[0] <= x
    assert corner[1] <= y


@pytest.mark.parametrize(
    ("channels", "start", "stop", "picked"),
    [
        (None, 0, 3, None),
        (1, 1, 2, None),
        (slice(1, 2), 1, 3, None),
        (slice(None, 1), 0, 2, None),
        ([2, 0], 0, 3, (2, 0)),
        ((1, 1), 1, 2, (0, 0)),
        (np.array([1, 2]), 1, 3, (0, 1)),
    ],
    ids=str,
)
def test_channels_by_number_slice_or_list(channels, start, stop, picked):
    read = plan(channels=channels)
    assert (read.start[0], read.stop[0], read.channels) == (start, stop, picked)


@pytest.mark.parametrize(
    ("channels", "kind"),
    [
        (3, ArgumentError),
        (-1, ArgumentError),
        (slice(2, 1), ArgumentError),
        (slice(0, 2, 2), ArgumentError),
        ([], ArgumentError),
        ([0, 3], ArgumentError),
        ([-1], ArgumentError),
        ([0.0], ArgumentTypeError),
        ([True], ArgumentTypeError),
        ("0", ArgumentTypeError),
        (1.0, ArgumentTypeError),
    ],
    ids=str,
)
def test_channels_that_make_no_sense_are_refused(channels, kind):
    with pytest.raises(kind, match=r"[Cc]hannel|Coordinate|coordinate|slice|Slices"):
        plan(channels=channels)


@pytest.mark.parametrize(
    "region",
    [
        (1, 2, 3),
        (1, 2, 3, float("nan")),
        (1, 2, 3, float("inf")),
        (130, 0, 140, 5),
        (-9, -9, -5, -5),
    ],
    ids=str,
)
def test_regions_that_hold_nothing_are_refused(region):
    with pytest.raises(RegionError, match=r"(?i)region|bounds"):
        plan(region)


@pytest.mark.parametrize("region", ["abcd", 5], ids=str)
def test_other_things_are_no_regions(region):
    with pytest.raises(ArgumentTypeError, match="expected a sequence of numbers"):
        plan(region)


# The region's own space


def test_affine_transform_of_the_region_is_followed():
    shift = AffineTransform(("a", "b"), XY, [[1, 0, 10], [0, 1, 20]])
    to_level, space = resolve_region_space(SPACE, SAME, shift, None)
    assert space.axis_names == ("a", "b")
    read = plan((0, 0, 4, 4), transform=to_level)
    assert read.start == (0, 20, 10)


@pytest.mark.parametrize(
    ("transform", "space", "match"),
    [
        (None, SPACE, "needs a region_transform"),
        (SAME, CoordinateSpace.from_axis_names(["x"]), "has 1 axes"),
        (SAME, CoordinateSpace.from_axis_names(["y", "x"]), "starts from"),
        (IdentityTransform(XY, ("a", "b")), None, "leads to the axes"),
    ],
)
def test_spaces_that_do_not_fit_are_refused(transform, space, match):
    with pytest.raises(ArgumentError, match=match):
        resolve_region_space(SPACE, SAME, transform, space)


@pytest.mark.parametrize("transform", [3, "text", np.eye(3)], ids=type)
def test_other_things_are_no_transforms(transform):
    with pytest.raises(ArgumentTypeError, match="must be a CoordinateTransform"):
        resolve_region_space(SPACE, SAME, transform, None)


# The result


def test_axes_are_arranged_by_name():
    block = np.zeros((3, 4, 5))
    names = ("soma_channel", "y", "x")
    assert arrange(block, names, None) is block
    assert arrange(block, names, ("x", "soma_channel", "y")).shape == (5, 3, 4)


@pytest.mark.parametrize("order", [("x",), ("x", "x"), ("x", "y", "z"), ("x", 3)])
def test_wrong_axis_orders_are_refused(order):
    with pytest.raises(ArgumentError, match="data_axis_order must hold each"):
        check_axis_order(order, XY)


@pytest.mark.parametrize("order", [5, {"x", "y"}, iter("xy")], ids=type)
def test_axis_orders_are_sequences(order):
    with pytest.raises(ArgumentTypeError, match="must be a sequence"):
        check_axis_order(order, XY)


def test_spatial_read_checks_its_spaces():
    with pytest.raises(ArgumentError, match="data coordinate space"):
        SpatialRead(
            np.zeros(1), CoordinateSpace.from_axis_names(("a", "b")), SPACE, SAME
        )
