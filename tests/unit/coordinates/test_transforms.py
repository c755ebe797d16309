"""The transform family: construction, composition, inverse, repr, points."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

from napari_msimage.coordinates import (
    AffineTransform,
    CoordinateTransform,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
)
from napari_msimage.errors import ArgumentError, ArgumentTypeError, UnsupportedError

XY = ("x", "y")
ROTATE = [[0, -1, 5], [1, 0, 7]]


def affine(matrix=ROTATE, input_axes=XY, output_axes=XY):
    return AffineTransform(input_axes, output_axes, matrix)


def one_of_each():
    return [
        affine(),
        ScaleTransform(XY, XY, [2, 3]),
        UniformScaleTransform(XY, XY, 4),
        IdentityTransform(XY, XY),
    ]


class Warp(CoordinateTransform):
    """A transform of another family."""

    def __matmul__(self, other):
        return self

    def inverse_transform(self):
        return self

    def _contents_lines(self):
        yield "  warped"


def test_each_class_is_a_special_case_of_the_one_before():
    assert IdentityTransform.__mro__[:5] == (
        IdentityTransform,
        UniformScaleTransform,
        ScaleTransform,
        AffineTransform,
        CoordinateTransform,
    )


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract class CoordinateTransform"):
        CoordinateTransform(XY, XY)


class TestAxes:
    def test_a_string_is_one_name(self):
        transform = IdentityTransform("xy", ["long name"])
        assert transform.input_axes == ("xy",)
        assert transform.output_axes == ("long name",)

    def test_numpy_strings_become_plain_ones(self):
        transform = IdentityTransform(np.array(XY), XY)
        assert "input axes: ('x', 'y')" in repr(transform)

    @pytest.mark.parametrize(
        "build",
        [
            lambda given: AffineTransform(given, ("a",), [[1]]),
            lambda given: ScaleTransform(given, ("a",), [1]),
            lambda given: UniformScaleTransform(given, ("a",), 1),
            lambda given: IdentityTransform(given, ("a",)),
        ],
        ids=["affine", "scale", "uniform", "identity"],
    )
    def test_numbers_of_axes_must_be_equal(self, build):
        with pytest.raises(ValueError, match=r"must be equal|one factor for each"):
            build(("x", "y"))

    @pytest.mark.parametrize("names", [3, None, b"xy"])
    def test_what_is_no_sequence_of_names_is_refused(self, names):
        with pytest.raises(ArgumentTypeError, match=r"input_axes is .* axis names"):
            IdentityTransform(names, XY)

    def test_a_name_that_is_no_string_is_refused(self):
        with pytest.raises(ArgumentTypeError, match=r"output_axes has 1 \(int\)"):
            IdentityTransform(XY, ("x", 1))

    def test_no_names_are_refused(self):
        with pytest.raises(ArgumentError, match="input_axes is empty"):
            IdentityTransform((), ())


class TestNumbers:
    @pytest.mark.parametrize(
        ("matrix", "expected"),
        [
            ([[1, 2], [3, 4]], [[1, 2, 0], [3, 4, 0], [0, 0, 1]]),
            ([[1, 2, 5], [3, 4, 6]], [[1, 2, 5], [3, 4, 6], [0, 0, 1]]),
            ([[1, 2, 5], [3, 4, 6], [0, 0, 1]], [[1, 2, 5], [3, 4, 6], [0, 0, 1]]),
        ],
        ids=["linear", "with-translation", "augmented"],
    )
    def test_matrix_of_any_form_is_completed(self, matrix, expected):
        result = affine(matrix).augmented_matrix
        np.testing.assert_array_equal(result, expected, strict=False)
        assert result.dtype == np.float64

    def test_one_axis_with_translation(self):
        np.testing.assert_array_equal(
            AffineTransform("x", "a", [[2, 5]]).augmented_matrix, [[2, 5], [0, 1]]
        )

    @pytest.mark.parametrize(
        "matrix", [np.ones(4), np.eye(4), np.ones((3, 2)), 1.0, []], ids=str
    )
    def test_matrix_of_another_shape_is_refused(self, matrix):
        with pytest.raises(ValueError, match=r"matrix has shape .* expected \(2, 2\)"):
            affine(matrix)

    @pytest.mark.parametrize("last_row", [[0, 0, 2], [1, 0, 1], [0, math.nan, 1]])
    def test_wrong_last_row_is_refused(self, last_row):
        with pytest.raises(ValueError, match=r"expected \[0.0, 0.0, 1.0\]"):
            affine([[1, 0, 0], [0, 1, 0], last_row])

    def test_ragged_matrix_is_refused(self):
        with pytest.raises(ValueError, match="expected rows of equal length"):
            affine([[1, 2], [3]])

    @pytest.mark.parametrize(
        "matrix", ["a", [["1", "2"], ["3", "4"]], [[1, None], [0, 1]], [[1j, 0]], None]
    )
    def test_what_is_no_real_number_is_refused(self, matrix):
        with pytest.raises(TypeError, match="expected real numbers"):
            affine(matrix)

    def test_numbers_too_large_are_refused(self):
        with pytest.raises(ArgumentError, match="too large for floating point"):
            affine([[10**400, 0], [0, 1]])

    def test_fractions_are_numbers(self):
        scale = ScaleTransform(XY, XY, [Fraction(1, 4), 2])
        assert scale.scale_factors.tolist() == [0.25, 2.0]

    def test_scale_factors_of_any_shape_but_the_right_size(self):
        scale = ScaleTransform(XY, XY, [[2, 3]])
        assert scale.scale_factors.tolist() == [2.0, 3.0]
        assert scale.augmented_matrix.tolist() == [[2, 0, 0], [0, 3, 0], [0, 0, 1]]

    @pytest.mark.parametrize("factors", [3, [1], [1, 2, 3]])
    def test_wrong_number_of_factors_is_refused(self, factors):
        with pytest.raises(ValueError, match="expected one factor for each"):
            ScaleTransform(XY, XY, factors)

    def test_uniform_scale_has_scale_and_factors(self):
        scale = UniformScaleTransform(XY, XY, np.float32(0.5))
        assert scale.scale == 0.5
        assert type(scale.scale) is float
        assert scale.scale_factors.tolist() == [0.5, 0.5]

    @pytest.mark.parametrize("scale", [[1], np.ones(2)], ids=str)
    def test_uniform_scale_wants_a_single_number(self, scale):
        with pytest.raises(TypeError, match="expected a single number"):
            UniformScaleTransform(XY, XY, scale)

    def test_uniform_scale_refuses_text(self):
        with pytest.raises(TypeError, match="scale is '2'; expected real numbers"):
            UniformScaleTransform(XY, XY, "2")

    def test_identity_has_scale_one(self):
        identity = IdentityTransform(("x", "y", "z"), ("a", "b", "c"))
        assert identity.scale == 1.0
        np.testing.assert_array_equal(identity.augmented_matrix, np.eye(4))

    def test_numbers_given_are_copied(self):
        matrix = np.eye(3)
        transform = affine(matrix)
        matrix[0, 0] = 9
        assert transform.augmented_matrix[0, 0] == 1

    @pytest.mark.parametrize("transform", one_of_each(), ids=lambda t: type(t).__name__)
    def test_numbers_returned_are_copies(self, transform):
        before = transform.augmented_matrix
        transform.augmented_matrix[:] = 9
        np.testing.assert_array_equal(transform.augmented_matrix, before)

    def test_factors_returned_are_copies(self):
        scale = ScaleTransform(XY, XY, [2, 3])
        scale.scale_factors[:] = 9
        assert scale.scale_factors.tolist() == [2.0, 3.0]

    def test_not_finite_numbers_are_kept(self):
        transform = affine([[math.inf, 0, math.nan], [0, 1, 0]])
        assert math.isnan(transform.augmented_matrix[0, 2])
        assert ScaleTransform(XY, XY, [math.inf, 1]).scale_factors[0] == math.inf

    def test_thousands_of_axes_need_no_matrix(self):
        names = [str(position) for position in range(50_000)]
        identity = IdentityTransform(names, names)
        assert identity.inverse_transform().input_axes[-1] == "49999"


class TestComposition:
    @pytest.mark.parametrize("outer", range(4))
    @pytest.mark.parametrize("inner", range(4))
    def test_class_is_the_more_general_one(self, outer, inner):
        transforms = one_of_each()
        result = transforms[outer] @ transforms[inner]
        assert type(result) is type(transforms[min(outer, inner)])

    def test_right_hand_side_is_applied_first(self):
        shift = affine([[1, 0, 10], [0, 1, 20]])
        scale = ScaleTransform(XY, XY, [2, 3])
        assert (scale @ shift).transform_points([[1, 1]]).tolist() == [[22, 63]]
        assert (shift @ scale).transform_points([[1, 1]]).tolist() == [[12, 23]]

    def test_axes_are_the_outermost_ones(self):
        first = IdentityTransform(XY, ("a", "b"))
        second = UniformScaleTransform(("a", "b"), ("u", "v"), 2)
        result = second @ first
        assert (result.input_axes, result.output_axes) == (XY, ("u", "v"))

    @pytest.mark.parametrize("outer", range(4))
    @pytest.mark.parametrize("inner", range(4))
    def test_inner_axes_must_match(self, outer, inner):
        first = one_of_each()[inner]
        second = one_of_each()[outer] @ IdentityTransform(("a", "b"), XY)
        with pytest.raises(ValueError, match=r"ends in axes \('x', 'y'\)"):
            second @ first

    @pytest.mark.parametrize("transform", one_of_each(), ids=lambda t: type(t).__name__)
    @pytest.mark.parametrize("other", [3, None, np.eye(2), "x"], ids=str)
    def test_what_is_no_transform_is_refused(self, transform, other):
        with pytest.raises(NotImplementedError, match="right-hand side must be"):
            transform @ other

    def test_an_array_on_the_left_is_refused(self):
        with pytest.raises(TypeError, match="unsupported operand"):
            np.eye(2) @ affine()

    def test_another_family_is_refused(self):
        with pytest.raises(UnsupportedError, match="AffineTransform @ Warp"):
            affine() @ Warp(XY, XY)

    @pytest.mark.parametrize("swap", [False, True])
    def test_identity_leaves_infinities_alone(self, swap):
        infinite = affine([[math.inf, 0, 1], [0, 2, 0]])
        identity = IdentityTransform(XY, XY)
        result = identity @ infinite if swap else infinite @ identity
        np.testing.assert_array_equal(
            result.augmented_matrix, infinite.augmented_matrix
        )

    def test_overflow_is_silent(self):
        huge = UniformScaleTransform(XY, XY, 1e300)
        assert (huge @ huge).scale == math.inf


class TestInverse:
    @pytest.mark.parametrize("transform", one_of_each(), ids=lambda t: type(t).__name__)
    def test_inverse_keeps_the_class_and_swaps_the_axes(self, transform):
        moved = IdentityTransform(XY, ("a", "b")) @ transform
        inverse = moved.inverse_transform()
        assert type(inverse) is type(transform)
        assert (inverse.input_axes, inverse.output_axes) == (("a", "b"), XY)
        np.testing.assert_allclose(
            (inverse @ moved).augmented_matrix, np.eye(3), atol=1e-12
        )

    def test_inverse_of_a_translation_goes_back(self):
        inverse = affine(ROTATE).inverse_transform()
        assert inverse.transform_points([[5, 7]]).tolist() == [[0, 0]]

    @pytest.mark.parametrize(
        ("transform", "axis"),
        [
            (ScaleTransform(XY, XY, [1, 0]), "axis 'y' is 0.0"),
            (ScaleTransform(XY, XY, [math.nan, 1]), "axis 'x' is nan"),
            (ScaleTransform(XY, XY, [1, math.inf]), "axis 'y' is inf"),
            (ScaleTransform(XY, XY, [1e-320, 1]), "axis 'x' is 1e-320"),
            (UniformScaleTransform(XY, XY, 0), "axis 'x' is 0.0"),
        ],
        ids=["zero", "nan", "inf", "tiny", "uniform"],
    )
    def test_useless_factor_is_named(self, transform, axis):
        with pytest.raises(ArgumentError, match=axis):
            transform.inverse_transform()

    @pytest.mark.parametrize(
        ("matrix", "reason"),
        [
            ([[1, 2], [0, 0]], "output axis 'b' is constant"),
            ([[0, 2], [0, 3]], "input axis 'x' has no effect"),
            ([[1, 2], [2, 4]], "it is singular"),
            ([[0.1, 0.2], [0.3, 0.6]], "it is singular"),
            ([[math.nan, 0], [0, 1]], "not finite"),
            ([[1, 0, math.inf], [0, 1, 0]], "not finite"),
            ([[1e-320, 0], [0, 1]], "too large"),
            ([[1e-200, 0, 1e200], [0, 1, 0]], "too large"),
        ],
    )
    def test_matrix_without_inverse_is_refused(self, matrix, reason):
        with pytest.raises(ArgumentError, match=f"Cannot invert .*{reason}"):
            affine(matrix, output_axes=("a", "b")).inverse_transform()

    def test_axes_of_very_different_size_are_not_singular(self):
        matrix = np.diag([1e-12, 1e12]) @ [[0.6, -0.8], [0.8, 0.6]]
        inverse = affine(matrix).inverse_transform().augmented_matrix[:-1, :-1]
        np.testing.assert_allclose(inverse @ matrix, np.eye(2), atol=1e-9)


class TestRepr:
    """The texts are those of tiledbsoma 2.3.0."""

    def test_affine(self):
        assert repr(affine([[1, 2], [3, 4]], output_axes=("a", "b"))) == (
            "<AffineTransform\n"
            "  input axes: ('x', 'y')\n"
            "  output axes: ('a', 'b')\n"
            "  augmented matrix:\n"
            "    [[1. 2. 0.]\n"
            "     [3. 4. 0.]\n"
            "     [0. 0. 1.]]>"
        )

    def test_scale(self):
        assert repr(ScaleTransform(XY, XY, [1, 2.5])) == (
            "<ScaleTransform\n"
            "  input axes: ('x', 'y')\n"
            "  output axes: ('x', 'y')\n"
            "  scales: [1.  2.5]>"
        )

    def test_uniform_scale(self):
        assert repr(UniformScaleTransform("x", "a", 2)) == (
            "<UniformScaleTransform\n"
            "  input axes: ('x',)\n"
            "  output axes: ('a',)\n"
            "  scale: 2.0>"
        )

    def test_identity(self):
        assert repr(IdentityTransform("x", "a")) == (
            "<IdentityTransform\n  input axes: ('x',)\n  output axes: ('a',)>"
        )


class TestPoints:
    def test_points_are_moved_and_translated(self):
        points = [[0, 0], [1, 2], [-1, 0.5]]
        expected = [[5, 7], [3, 8], [4.5, 6]]
        assert affine(ROTATE).transform_points(points).tolist() == expected

    def test_no_points_give_no_points(self):
        assert affine().transform_points(np.empty((0, 2))).shape == (0, 2)

    def test_three_axes(self):
        scale = ScaleTransform("xyz", "abc", [1])
        assert scale.transform_points([[4.0]]).tolist() == [[4.0]]
        scale = ScaleTransform(tuple("xyz"), tuple("abc"), [1, 2, 3])
        assert scale.transform_points([[1, 1, 1]]).tolist() == [[1, 2, 3]]

    def test_points_given_are_left_alone(self):
        points = np.ones((2, 2))
        affine().transform_points(points)
        np.testing.assert_array_equal(points, np.ones((2, 2)))

    @pytest.mark.parametrize("points", [[1, 2], [[1, 2, 3]], 1.0, [[[1, 2]]]], ids=str)
    def test_points_of_another_shape_are_refused(self, points):
        with pytest.raises(ArgumentError, match=r"expected \(n_points, 2\)"):
            affine().transform_points(points)

    def test_points_that_are_no_numbers_are_refused(self):
        with pytest.raises(ArgumentTypeError, match=r"points is .* real numbers"):
            affine().transform_points([["1", "2"]])


def test_transforms_compare_by_identity():
    transform = affine()
    assert transform == transform
    assert transform != affine()
    assert len({transform, affine()}) == 2


@pytest.mark.parametrize("transform", one_of_each(), ids=lambda t: type(t).__name__)
def test_transforms_survive_pickling(transform):
    result = pickle.loads(pickle.dumps(transform))
    assert type(result) is type(transform)
    assert repr(result) == repr(transform)
    np.testing.assert_array_equal(result.augmented_matrix, transform.augmented_matrix)
