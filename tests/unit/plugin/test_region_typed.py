"""Typed bounds and the whole image as regions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image

from napari_msimage.errors import LevelIndexError, RegionError
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_outline import level_box
from napari_msimage.plugin._region_typed import (
    pixel_region,
    whole_region,
    world_region,
)

SHAPES = [(61, 83), (35, 48), (19, 26)]


def source_of(shapes=tuple(SHAPES), **arguments):
    levels = [np.zeros(shape, np.uint8) for shape in shapes]
    layer = Image(levels, multiscale=True, name="tissue", **arguments)
    return layers_to_export([layer]).source


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_whole_image(level):
    source = source_of()
    rows, columns = SHAPES[level]
    box = level_box(source, whole_region(source), level)
    assert box == ((0, rows), (0, columns))


@given(st.integers(0, 2), st.data())
@settings(max_examples=200, deadline=None)
def test_whole_pixels_of_a_level_are_those_pixels(level, data):
    source = source_of()
    box = []
    for size in SHAPES[level]:
        start = data.draw(st.integers(0, size - 1))
        box.append((start, data.draw(st.integers(start + 1, size))))
    lower, upper = zip(*box, strict=True)
    region = pixel_region(source, lower, upper, level=level)
    assert level_box(source, region, level) == tuple(box)


def test_parts_of_pixels_and_edges():
    source = source_of()
    region = pixel_region(source, (2.5, None), (3.25, 7.5), name="a")
    assert (region.lower, region.upper) == ((2.5, 0), (3.25, 7.5))
    assert region.name == "a"
    assert level_box(source, region, 0) == ((2, 4), (0, 8))
    region = pixel_region(source, (-5, 0), (1000, 1), level=-1)
    assert (region.lower[0], region.upper[0]) == (0, 61)


def test_world_units():
    source = source_of(scale=(0.5, 2), translate=(10, 20))
    # pixel 0 is centred on the translation
    region = world_region(source, (9.75 + 1, 19 + 4), (9.75 + 3, 19 + 8))
    assert (region.lower, region.upper) == ((2, 2), (6, 4))
    assert region.outline is None
    region = world_region(source, (None, 23), (12.75, None))
    assert (region.lower, region.upper) == ((0, 2), (6, 83))


def test_turned_images_get_the_typed_box_as_outline():
    source = source_of(rotate=30)
    world = np.array([(20, 10), (20, 30), (40, 30), (40, 10)], float)
    region = world_region(source, (20, 10), (40, 30))
    corners = np.array(
        [(np.linalg.inv(source.to_world) @ [*corner, 1])[:2] for corner in world]
    )
    assert np.allclose(region.outline, corners)
    assert region.lower == pytest.approx(np.maximum(corners.min(axis=0), 0))


def test_volumes():
    source = source_of([(9, 61, 83), (5, 31, 42)], scale=(3, 1, 1))
    region = world_region(source, (4.5, None, 2.5), (10.5, None, 7.5))
    assert level_box(source, region, 0) == ((2, 4), (0, 61), (3, 8))


@pytest.mark.parametrize("make", [pixel_region, world_region])
@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ((np.nan, 0), (5, 5), "not finite along 'y': nan, 5"),
        ((0, 0), (5, np.inf), "not finite along 'x'"),
        ((5, 0), (2, 5), "bounds reversed along 'y': from 5 to 2"),
        ((0, 4), (5, 4), "no extent along 'x': from 4 to 4"),
        ((0, 90), (5, 99), "lies outside of 'tissue': along 'x' it spans"),
        ((0,), (5, 5), "1 lower and 2 upper bounds"),
    ],
    ids=["nan", "infinite", "reversed", "empty", "outside", "count"],
)
def test_bad_bounds(make, lower, upper, message):
    with pytest.raises(RegionError, match=message):
        make(source_of(), lower, upper)


def test_levels_that_are_not_there():
    with pytest.raises(LevelIndexError, match="levels 0 to 2"):
        pixel_region(source_of(), (0, 0), (5, 5), level=3)
