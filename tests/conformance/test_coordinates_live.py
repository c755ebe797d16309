"""Axes, spaces and transforms against the live oracle: numbers, repr, JSON, errors."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import napari_msimage
from napari_msimage.coordinates import (
    coordinate_space_from_json,
    coordinate_space_to_json,
    transform_from_json,
    transform_to_json,
)

from .describe import space_facts, transform_facts
from .oracle import UpstreamError

ERRORS = (NotImplementedError, TypeError, KeyError, AttributeError, ValueError)

#: Class and arguments of transforms on the axes (x, y) or (a, b, c).
AB, XY, ABC = ("a", "b"), ("x", "y"), ("a", "b", "c")
TRANSFORMS = {
    "identity": ("IdentityTransform", AB, XY),
    "identity_3d": ("IdentityTransform", ABC, ("x", "y", "z")),
    "uniform": ("UniformScaleTransform", AB, XY, 2.5),
    "uniform_int": ("UniformScaleTransform", AB, XY, 3),
    "uniform_negative": ("UniformScaleTransform", AB, XY, -1),
    "uniform_3d": ("UniformScaleTransform", ABC, ABC, 0.1),
    "scale": ("ScaleTransform", AB, XY, [2.0, 0.5]),
    "scale_of_ints": ("ScaleTransform", AB, XY, (2, 3)),
    "scale_of_array": ("ScaleTransform", AB, XY, np.array([1 / 3, 20 / 7])),
    "scale_equal": ("ScaleTransform", AB, XY, [2.0, 2.0]),
    "scale_3d": ("ScaleTransform", ABC, ABC, [1, 2, 3]),
    "scale_1d": ("ScaleTransform", ("a",), ("x",), [4]),
    "affine": ("AffineTransform", AB, XY, [[1, 2, 3], [4, 5.5, 6]]),
    "affine_square": ("AffineTransform", AB, XY, [[0, -2], [1.5, 0]]),
    "affine_augmented": (
        "AffineTransform",
        AB,
        XY,
        np.array([[1, 0, 7], [0, 1, -8], [0, 0, 1]]),
    ),
    "affine_3d": ("AffineTransform", ABC, ABC, np.diag([1.0, 2.0, 3.0])),
    "affine_names": ("AffineTransform", ["a", "b"], ["x", "y"], [[1, 0], [0, 1]]),
}
BAD_TRANSFORMS = {
    "scale_too_short": ("ScaleTransform", AB, XY, [1.0]),
    "scale_too_long": ("ScaleTransform", AB, XY, [1.0, 2.0, 3.0]),
    "affine_too_small": ("AffineTransform", AB, XY, [[1.0]]),
    "affine_too_big": ("AffineTransform", AB, XY, np.eye(4)),
    "affine_wide": ("AffineTransform", AB, XY, np.ones((2, 4))),
    "affine_bad_last_row": (
        "AffineTransform",
        AB,
        XY,
        [[1, 0, 0], [0, 1, 0], [0, 1, 1]],
    ),
    "affine_one_row": ("AffineTransform", AB, XY, [1, 2, 3]),
    "identity_other_count": ("IdentityTransform", AB, ("x",)),
    "scale_other_count": ("ScaleTransform", AB, ("x",), [1, 2]),
}


def make(soma, spec):
    name, *arguments = spec
    return getattr(soma, name)(*arguments)


def kind_of(error):
    return next((kind for kind in ERRORS if isinstance(error, kind)), None)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_numbers_and_repr_are_equal(oracle, name):
    ours, theirs = (
        make(napari_msimage, TRANSFORMS[name]),
        make(oracle, TRANSFORMS[name]),
    )
    assert transform_facts(ours) == transform_facts(theirs)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_inverses_are_equal(oracle, name):
    ours, theirs = (
        make(napari_msimage, TRANSFORMS[name]),
        make(oracle, TRANSFORMS[name]),
    )
    mine = transform_facts(ours.inverse_transform())
    other = transform_facts(theirs.inverse_transform())
    for facts in (mine, other):
        facts.pop("repr")
    np.testing.assert_allclose(mine.pop("matrix"), other.pop("matrix"), rtol=1e-14)
    np.testing.assert_allclose(
        mine.pop("scale_factors", 0), other.pop("scale_factors", 0), rtol=1e-14
    )
    assert mine.pop("scale", 0) == pytest.approx(other.pop("scale", 0))
    assert mine == other


@pytest.mark.parametrize("name", TRANSFORMS)
def test_json_is_read_by_the_other(oracle, name):
    util = oracle.module("tiledbsoma._spatial_util")
    ours, theirs = (
        make(napari_msimage, TRANSFORMS[name]),
        make(oracle, TRANSFORMS[name]),
    )
    assert json.loads(transform_to_json(ours)) == json.loads(
        util.transform_to_json(theirs)
    )
    read_by_them = util.transform_from_json(transform_to_json(ours))
    read_by_us = transform_from_json(util.transform_to_json(theirs))
    assert transform_facts(read_by_us) == transform_facts(ours)
    assert transform_facts(read_by_them) == transform_facts(theirs)


@pytest.mark.parametrize(
    ("left", "right"),
    list(itertools.product(["identity", "uniform", "scale", "affine"], repeat=2)),
)
def test_products_are_equal(oracle, left, right):
    facts = []
    for soma in (napari_msimage, oracle):
        name, _, _, *arguments = TRANSFORMS[left]
        after = make(soma, (name, XY, ("u", "v"), *arguments))
        facts.append(transform_facts(after @ make(soma, TRANSFORMS[right])))
    assert facts[0] == facts[1]


@pytest.mark.parametrize("name", BAD_TRANSFORMS)
def test_what_upstream_refuses_is_refused(oracle, name):
    with pytest.raises(UpstreamError, match=r"\w") as theirs:
        make(oracle, BAD_TRANSFORMS[name])
    with pytest.raises(napari_msimage.SOMAError, match=r"\w{4}") as ours:
        make(napari_msimage, BAD_TRANSFORMS[name])
    assert kind_of(ours.value) is kind_of(theirs.value) is ValueError


def test_products_of_other_axes_are_refused(oracle):
    kinds = []
    for soma, base in ((oracle, UpstreamError), (napari_msimage, ValueError)):
        first, second = (make(soma, TRANSFORMS[name]) for name in ("scale", "affine"))
        with pytest.raises(base, match="ax") as info:
            second @ first
        kinds.append(kind_of(info.value))
    assert kinds == [ValueError, ValueError]


@pytest.mark.parametrize(
    "axes",
    [[("x", None), ("y", None)], [("ÿ x", "µm"), ("", "mm"), ("z", None)], [("x", "")]],
    ids=str,
)
def test_spaces_and_their_json_are_equal(oracle, axes):
    util = oracle.module("tiledbsoma._spatial_util")
    ours, theirs = (
        soma.CoordinateSpace([soma.Axis(*axis) for axis in axes])
        for soma in (napari_msimage, oracle)
    )
    assert space_facts(ours) == space_facts(theirs) == axes
    assert repr(ours) == repr(theirs)
    assert [repr(axis) for axis in ours] == [repr(axis) for axis in theirs]
    assert tuple(ours.axis_names) == tuple(theirs.axis_names)
    ours_json = coordinate_space_to_json(ours)
    theirs_json = util.coordinate_space_to_json(theirs)
    assert json.loads(ours_json) == json.loads(theirs_json)
    assert space_facts(util.coordinate_space_from_json(ours_json)) == axes
    assert space_facts(coordinate_space_from_json(theirs_json)) == axes


@pytest.mark.parametrize("names", [(), ("x", "x"), ("soma_x",)], ids=str)
def test_spaces_upstream_refuses_are_refused(oracle, names):
    for soma in (oracle, napari_msimage):
        with pytest.raises(ValueError, match=r"\w{4}"):
            soma.CoordinateSpace([soma.Axis(name) for name in names])


def test_spaces_are_sequences_of_axes(oracle):
    for soma in (napari_msimage, oracle):
        space = soma.CoordinateSpace.from_axis_names(("x", "y"))
        assert len(space) == 2
        assert space[0].name == "x"
        assert space[0].unit is None
        assert [axis.name for axis in space] == ["x", "y"]


def test_axes_and_spaces_compare_by_value():
    axis = napari_msimage.Axis("x", "µm")
    assert axis == napari_msimage.Axis("x", "µm")
    assert axis != napari_msimage.Axis("x")
    with pytest.raises(AttributeError, match="unit"):
        axis.unit = "mm"
    assert napari_msimage.CoordinateSpace([axis]) == napari_msimage.CoordinateSpace(
        (axis,)
    )


def test_family_is_upstreams(oracle):
    family = (
        "CoordinateTransform",
        "AffineTransform",
        "ScaleTransform",
        "UniformScaleTransform",
        "IdentityTransform",
    )
    for general, special in itertools.pairwise(family):
        assert issubclass(
            getattr(napari_msimage, special), getattr(napari_msimage, general)
        )
    assert oracle.evaluate("tiledbsoma.IdentityTransform.__mro__[1].__name__") == (
        napari_msimage.IdentityTransform.__mro__[1].__name__
    )
