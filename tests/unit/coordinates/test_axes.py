"""Axis and CoordinateSpace: values with checks."""

from __future__ import annotations

import copy
import pickle

import pytest

from napari_msimage.coordinates import Axis, CoordinateSpace, coordinate_space_from
from napari_msimage.errors import ArgumentError, ArgumentTypeError


def test_axis_has_no_unit_by_default():
    assert repr(Axis("x")) == "Axis(name='x', unit=None)"


def test_axes_are_equal_by_value():
    assert Axis("x", "um") == Axis(name="x", unit="um")
    assert hash(Axis("x", "um")) == hash(Axis("x", "um"))
    assert Axis("x", "um") != Axis("x")


@pytest.mark.parametrize("name", ["", "x y", "é/ü", "Soma_x", "soma"])
def test_axis_takes_any_name_without_the_prefix(name):
    assert Axis(name).name == name


def test_axis_refuses_the_reserved_prefix():
    with pytest.raises(ValueError, match=r"'soma_x' starts with 'soma_'"):
        Axis("soma_x")


@pytest.mark.parametrize("name", [None, 3, b"x"])
def test_axis_refuses_a_name_that_is_no_string(name):
    with pytest.raises(TypeError, match=r"Axis name is .* expected a string"):
        Axis(name)


def test_axis_refuses_a_unit_that_is_no_string():
    with pytest.raises(ArgumentTypeError, match="Unit of axis 'x' is 3"):
        Axis("x", 3)


@pytest.mark.parametrize("attribute", ["name", "unit"])
def test_axis_is_frozen(attribute):
    with pytest.raises(AttributeError, match=f"cannot assign to field '{attribute}'"):
        setattr(Axis("x"), attribute, "y")


def test_space_is_a_sequence_of_axes():
    x, y, z = Axis("x", "um"), Axis("y", "um"), Axis("z")
    space = CoordinateSpace([x, y, z])
    assert list(space) == [x, y, z]
    assert len(space) == 3
    assert space[-1] == z
    assert space[1:] == (y, z)
    assert space.index(y) == 1
    assert Axis("x") not in space
    assert space.axes == (x, y, z)
    assert space.axis_names == ("x", "y", "z")


def test_space_repr_shows_axes_and_units():
    assert repr(CoordinateSpace((Axis("x", "um"),))) == (
        "CoordinateSpace(axes=(Axis(name='x', unit='um'),))"
    )


def test_spaces_are_equal_by_value_and_order():
    xy = CoordinateSpace.from_axis_names(("x", "y"))
    assert xy == CoordinateSpace((Axis("x"), Axis("y")))
    assert hash(xy) == hash(CoordinateSpace((Axis("x"), Axis("y"))))
    assert xy != CoordinateSpace.from_axis_names(("y", "x"))
    assert xy != (Axis("x"), Axis("y"))


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda space: pickle.loads(pickle.dumps(space))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_space_survives_copying(duplicate):
    space = CoordinateSpace((Axis("x", "um"), Axis("y")))
    assert duplicate(space) == space


def test_from_axis_names_takes_each_character_of_a_string():
    assert CoordinateSpace.from_axis_names("xy").axis_names == ("x", "y")


def test_space_refuses_no_axes():
    with pytest.raises(ArgumentError, match="expected at least one"):
        CoordinateSpace(())


def test_space_refuses_duplicate_names():
    with pytest.raises(ArgumentError, match=r"\['x', 'y', 'x'\]; they must differ"):
        CoordinateSpace.from_axis_names(("x", "y", "x"))


@pytest.mark.parametrize("axes", ["xy", ["x"], [Axis("x"), None]])
def test_space_refuses_what_is_no_axis(axes):
    with pytest.raises(ArgumentTypeError, match="expected an Axis"):
        CoordinateSpace(axes)


def test_space_refuses_what_is_no_sequence():
    with pytest.raises(ArgumentTypeError, match="are 3; expected a sequence of Axis"):
        CoordinateSpace(3)


def test_from_axis_names_refuses_what_is_no_sequence():
    with pytest.raises(ArgumentTypeError, match="axis_names is 3"):
        CoordinateSpace.from_axis_names(3)


@pytest.mark.parametrize("names", [("x", "y"), ["x", "y"], "xy", iter("xy")])
def test_space_is_made_from_names(names):
    assert coordinate_space_from(names) == CoordinateSpace((Axis("x"), Axis("y")))


def test_space_is_left_as_it_is():
    space = CoordinateSpace((Axis("x", "um"),))
    assert coordinate_space_from(space) is space


@pytest.mark.parametrize("value", [5, None, object()])
def test_space_is_made_from_nothing_else(value):
    with pytest.raises(ArgumentTypeError, match="coordinate_space must be"):
        coordinate_space_from(value)
