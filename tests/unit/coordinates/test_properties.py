"""Laws of transforms, regions and JSON forms, over random numbers and dimensions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_msimage.coordinates import (
    AffineTransform,
    Axis,
    CoordinateSpace,
    IdentityTransform,
    Region,
    ScaleTransform,
    UniformScaleTransform,
    block_transform,
    coordinate_space_from_json,
    coordinate_space_to_json,
    region_to_box,
    region_to_soma_box,
    transform_from_json,
    transform_region,
    transform_to_json,
)
from napari_msimage.errors import ArgumentError

law = settings(deadline=None, max_examples=150)

RANKS = st.integers(1, 4)
# Hundredths, because the tolerances below cannot hold for numbers like 1e-300.
NUMBERS = st.integers(-10_000, 10_000).map(lambda number: number / 100)
FACTORS = st.floats(0.01, 100) | st.floats(-100, -0.01)
COORDINATES = st.floats(-1e6, 1e6)
FAMILY = (AffineTransform, ScaleTransform, UniformScaleTransform, IdentityTransform)


def axes(letter, rank):
    return tuple(f"{letter}{position}" for position in range(rank))


def lists(numbers, size):
    return st.lists(numbers, min_size=size, max_size=size)


@st.composite
def transforms(draw, rank, start="p", end="q", factors=FACTORS, numbers=NUMBERS):
    names = (axes(start, rank), axes(end, rank))
    kind = draw(st.sampled_from(FAMILY))
    if kind is IdentityTransform:
        return IdentityTransform(*names)
    if kind is UniformScaleTransform:
        return UniformScaleTransform(*names, draw(factors))
    if kind is ScaleTransform:
        return ScaleTransform(*names, draw(lists(factors, rank)))
    rows = draw(lists(lists(numbers, rank + 1), rank))
    return AffineTransform(*names, rows)


@st.composite
def chains(draw, length):
    """Transforms that can be applied one after the other, first to last."""
    rank = draw(RANKS)
    letters = "pqrstu"
    return [
        draw(transforms(rank, letters[step], letters[step + 1]))
        for step in range(length)
    ]


@st.composite
def regions(draw, rank, numbers=COORDINATES):
    return Region.from_value(draw(lists(numbers, 2 * rank)), rank)


@law
@given(chains(3))
def test_composition_is_associative(chain):
    first, second, third = chain
    left, right = (third @ second) @ first, third @ (second @ first)
    assert type(left) is type(right)
    assert (left.input_axes, left.output_axes) == (right.input_axes, right.output_axes)
    np.testing.assert_allclose(
        left.augmented_matrix, right.augmented_matrix, rtol=1e-9, atol=1e-6
    )


@law
@given(chains(2))
def test_composition_is_the_product_of_matrices(chain):
    first, second = chain
    np.testing.assert_allclose(
        (second @ first).augmented_matrix,
        second.augmented_matrix @ first.augmented_matrix,
        rtol=1e-12,
    )


@law
@given(chains(2))
def test_composition_has_the_more_general_class(chain):
    kinds = [FAMILY.index(type(transform)) for transform in chain]
    assert type(chain[1] @ chain[0]) is FAMILY[min(kinds)]


@law
@given(st.data())
def test_points_follow_the_matrix(data):
    rank = data.draw(RANKS)
    transform = data.draw(transforms(rank))
    points = np.array(data.draw(st.lists(lists(NUMBERS, rank), min_size=1, max_size=5)))
    matrix = transform.augmented_matrix
    np.testing.assert_allclose(
        transform.transform_points(points),
        points @ matrix[:-1, :-1].T + matrix[:-1, -1],
        rtol=1e-9,
        atol=1e-9,
    )


@law
@given(chains(1))
def test_inverse_undoes_the_transform(chain):
    (transform,) = chain
    linear = transform.augmented_matrix[:-1, :-1]
    assume(np.linalg.cond(linear) < 1e3)
    inverse = transform.inverse_transform()
    assert type(inverse) is type(transform)
    for product in (inverse @ transform, transform @ inverse):
        assert product.input_axes == product.output_axes
        np.testing.assert_allclose(
            product.augmented_matrix, np.eye(len(linear) + 1), atol=1e-5
        )


@law
@given(chains(2))
def test_inverse_of_a_product_is_the_product_of_inverses(chain):
    first, second = chain
    for transform in chain:
        assume(np.linalg.cond(transform.augmented_matrix[:-1, :-1]) < 1e3)
    whole = (second @ first).inverse_transform()
    parts = first.inverse_transform() @ second.inverse_transform()
    assert type(whole) is type(parts)
    np.testing.assert_allclose(
        whole.augmented_matrix,
        parts.augmented_matrix,
        rtol=1e-4,
        atol=1e-4 * np.abs(parts.augmented_matrix).max(),
    )


@law
@given(RANKS.flatmap(lambda rank: lists(lists(st.integers(-2, 2), rank), rank)))
def test_exactly_the_singular_matrices_have_no_inverse(rows):
    names = axes("p", len(rows))
    transform = AffineTransform(names, names, rows)
    # Determinants of such small integer matrices are whole numbers.
    if round(np.linalg.det(np.array(rows, dtype=float))) == 0:
        with pytest.raises(ArgumentError, match="Cannot invert"):
            transform.inverse_transform()
    else:
        product = transform.inverse_transform() @ transform
        np.testing.assert_allclose(
            product.augmented_matrix, np.eye(len(rows) + 1), atol=1e-9
        )


ANY_FLOAT = st.floats()


@law
@given(
    RANKS.flatmap(lambda n: transforms(n, factors=ANY_FLOAT, numbers=ANY_FLOAT)),
)
def test_transform_survives_json(transform):
    result = transform_from_json(transform_to_json(transform))
    assert type(result) is type(transform)
    assert repr(result) == repr(transform)
    np.testing.assert_array_equal(result.augmented_matrix, transform.augmented_matrix)


SPACES = st.lists(
    st.builds(
        Axis,
        st.text().filter(lambda name: not name.startswith("soma_")),
        st.none() | st.text(),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda axis: axis.name,
).map(CoordinateSpace)


@law
@given(SPACES)
def test_coordinate_space_survives_json(space):
    assert coordinate_space_from_json(coordinate_space_to_json(space)) == space


FIELDS = "name unit transform_type transform input_axes output_axes scale matrix"
WORDS = st.sampled_from([*FIELDS.split(), *(kind.__name__ for kind in FAMILY)])
JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner),
).map(json.dumps)


@law
@given(st.text() | JSON_TEXTS)
def test_any_text_is_read_or_refused(text):
    for read in (coordinate_space_from_json, transform_from_json):
        try:
            result = read(text)
        except ArgumentError:
            continue
        assert isinstance(result, (CoordinateSpace, AffineTransform))


@law
@given(st.data())
def test_transformed_region_is_the_bounding_box_of_its_corners(data):
    rank = data.draw(RANKS)
    region, transform = data.draw(regions(rank)), data.draw(transforms(rank))
    corners = list(itertools.product(*zip(region.minimum, region.maximum, strict=True)))
    moved = transform.transform_points(corners)
    result = transform_region(region, transform)
    assert result.minimum == tuple(moved.min(axis=0))
    assert result.maximum == tuple(moved.max(axis=0))


@law
@given(st.data())
def test_transformed_region_covers_transformed_points(data):
    rank = data.draw(RANKS)
    region, transform = data.draw(regions(rank)), data.draw(transforms(rank))
    point = [
        data.draw(st.floats(low, high))
        for low, high in zip(region.minimum, region.maximum, strict=True)
    ]
    result = transform_region(region, transform)
    (moved,) = transform.transform_points([point])
    assert (np.array(result.minimum) <= moved).all()
    assert (moved <= np.array(result.maximum)).all()


@law
@given(st.data())
def test_box_covers_the_part_of_the_region_inside_the_level(data):
    rank = data.draw(RANKS)
    region = data.draw(regions(rank, st.floats(-20, 120)))
    shape = data.draw(lists(st.integers(1, 99), rank))
    box = region_to_box(region, shape)
    for low, high, size, start, stop in zip(
        region.minimum, region.maximum, shape, box.start, box.stop, strict=True
    ):
        assert 0 <= start <= stop <= size
        touched = [
            pixel
            for pixel in range(size)
            if (low < pixel + 1 and high > pixel) or (low == high == pixel)
        ]
        assert list(range(start, stop)) == touched


@law
@given(st.data())
def test_soma_box_holds_the_covering_box(data):
    rank = data.draw(RANKS)
    region = data.draw(regions(rank, st.floats(-20, 120)))
    shape = data.draw(lists(st.integers(1, 99), rank))
    box = region_to_box(region, shape)
    assume(not box.is_empty)
    soma_box = region_to_soma_box(region, shape)
    for inner, outer in zip(box.start, soma_box.start, strict=True):
        assert outer == inner
    for inner, outer, size in zip(box.stop, soma_box.stop, shape, strict=True):
        assert inner <= outer <= min(inner + 1, size)


@law
@given(st.data())
def test_block_pixels_lead_back_to_level_pixels(data):
    rank = data.draw(RANKS)
    to_level = data.draw(transforms(rank))
    assume(np.linalg.cond(to_level.augmented_matrix[:-1, :-1]) < 1e3)
    region = data.draw(regions(rank, st.floats(0, 90)))
    box = region_to_soma_box(region, [100] * rank)
    back = block_transform(to_level, box)
    pixels = (to_level @ back).transform_points(np.zeros((1, rank)))
    np.testing.assert_allclose(pixels, [box.start], atol=1e-3)
