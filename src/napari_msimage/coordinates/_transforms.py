"""Transforms between coordinate spaces: identity, scales and affine maps.

Every transform maps points as ``output = linear @ input + translation``; the augmented
matrix holds both, with a last row of zeros and a one. Each class is a special case of
the one before it: affine, scale, uniform scale, identity.

Matrices and factors may hold NaN or infinity, because upstream accepts and stores such
transforms and reading them back must work; inverting one, or sending a region through
it, is refused.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ._axes import axis_names_from
from ._matrices import complete_matrix, float_array, invert_affine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from ._matrices import FloatArray


class CoordinateTransform(abc.ABC):
    """A map from one coordinate space to another, known by their axis names.

    ``a @ b`` applies ``b`` first. Transforms compare by identity.

    Parameters
    ----------
    input_axes, output_axes : str or sequence of str
        Axis names, coordinate axis order. A plain string is one name.
    """

    # Without this numpy would take ``array @ transform`` for a product of arrays.
    __array_ufunc__: ClassVar[None] = None

    def __init__(
        self, input_axes: str | Sequence[str], output_axes: str | Sequence[str]
    ) -> None:
        self._input_axes = axis_names_from(input_axes, "input_axes")
        self._output_axes = axis_names_from(output_axes, "output_axes")

    @property
    def input_axes(self) -> tuple[str, ...]:
        """Axis names of the space that points come from."""
        return self._input_axes

    @property
    def output_axes(self) -> tuple[str, ...]:
        """Axis names of the space that points are mapped to."""
        return self._output_axes

    @abc.abstractmethod
    def __matmul__(self, other: object) -> CoordinateTransform:
        """Apply `other` first, then this transform."""

    @abc.abstractmethod
    def inverse_transform(self) -> CoordinateTransform:
        """Transform that leads back from the output to the input space."""

    @abc.abstractmethod
    def _contents_lines(self) -> Iterable[str]:
        """Lines of the repr that follow the axes."""

    def __repr__(self) -> str:
        lines = [
            type(self).__name__,
            f"  input axes: {self._input_axes}",
            f"  output axes: {self._output_axes}",
            *self._contents_lines(),
        ]
        return "<" + "\n".join(lines) + ">"

    def _check_matmul(self, other: object) -> None:
        """Refuse what cannot stand on the right of ``self @``."""
        if not isinstance(other, CoordinateTransform):
            msg = (
                f"{type(self).__name__} @ {type(other).__name__} is not supported; "
                "the right-hand side must be a coordinate transform."
            )
            raise UnsupportedError(msg)
        if other.output_axes != self.input_axes:
            msg = (
                f"Cannot apply {type(self).__name__} after {type(other).__name__}: "
                f"the first to be applied ends in axes {other.output_axes!r}, the "
                f"second starts from {self.input_axes!r}. They must be equal."
            )
            raise ArgumentError(msg)


class AffineTransform(CoordinateTransform):
    """A linear map followed by a translation.

    Parameters
    ----------
    input_axes, output_axes : str or sequence of str, (n_axes,)
        Axis names, coordinate axis order; as many in as out.
    matrix : array_like of float, (n_axes, n_axes[+ 1]) or (n_axes + 1, n_axes + 1)
        Linear map alone (no translation), with the translation as last column, or
        the whole augmented matrix, whose last row must be ``0 ... 0 1``. Rows belong
        to output axes, columns to input axes.

    Raises
    ------
    ArgumentError
        If the numbers of axes differ or the matrix does not fit them.
    ArgumentTypeError
        If an axis name is not a string, or the matrix is not made of real numbers.
    """

    _matrix: FloatArray

    def __init__(
        self,
        input_axes: str | Sequence[str],
        output_axes: str | Sequence[str],
        matrix: npt.ArrayLike,
    ) -> None:
        super().__init__(input_axes, output_axes)
        self._check_ranks()
        self._matrix = complete_matrix(
            float_array(matrix, "matrix"), len(self._output_axes)
        )

    @property
    def augmented_matrix(self) -> FloatArray:
        """Copy of the augmented matrix, (n_axes + 1, n_axes + 1)."""
        return self._matrix.copy()

    def transform_points(self, points: npt.ArrayLike) -> FloatArray:
        """Map points, translation included.

        Parameters
        ----------
        points : array_like of float, (n_points, n_axes)
            In the input space, coordinate axis order.

        Returns
        -------
        ndarray of float64, (n_points, n_axes)
            In the output space.

        Raises
        ------
        ArgumentError
            If the shape does not fit.
        ArgumentTypeError
            If they are not real numbers.
        """
        array = float_array(points, "points")
        n_axes = len(self._input_axes)
        if array.ndim != 2 or array.shape[1] != n_axes:
            msg = (
                f"Points have shape {array.shape}; expected (n_points, {n_axes}) for "
                f"axes {self._input_axes!r}."
            )
            raise ArgumentError(msg)
        matrix = self.augmented_matrix
        mapped = np.zeros_like(array)
        # Axis after axis, in the order that regions are summed up: rounding is
        # monotone, so a transformed region covers the transformed points exactly.
        with np.errstate(over="ignore", invalid="ignore"):
            for axis in range(n_axes):
                mapped += array[:, axis, np.newaxis] * matrix[:-1, axis]
            mapped += matrix[:-1, -1]
        return mapped

    def inverse_transform(self) -> AffineTransform:
        """Transform that leads back from the output to the input space.

        Raises
        ------
        ArgumentError
            If the linear map is singular to working precision, or not finite.
        """
        matrix = self.augmented_matrix
        try:
            inverse = invert_affine(matrix, self._input_axes, self._output_axes)
        except ArgumentError as err:
            msg = f"Cannot invert the {type(self).__name__} {matrix.tolist()}: {err}"
            raise ArgumentError(msg) from err
        return AffineTransform(self._output_axes, self._input_axes, inverse)

    def __matmul__(self, other: object) -> CoordinateTransform:
        self._check_matmul(other)
        if not isinstance(other, AffineTransform):
            msg = (
                f"{type(self).__name__} @ {type(other).__name__} is not supported; "
                "only affine transforms and their special cases can be combined."
            )
            raise UnsupportedError(msg)
        return _compose(self, other)

    def _contents_lines(self) -> Iterable[str]:
        yield "  augmented matrix:"
        for line in str(self._matrix).split("\n"):
            yield f"    {line}"

    def _check_ranks(self) -> None:
        if len(self._input_axes) != len(self._output_axes):
            msg = (
                f"{type(self).__name__} got input axes {self._input_axes!r} and output "
                f"axes {self._output_axes!r}; their numbers must be equal."
            )
            raise ArgumentError(msg)


class ScaleTransform(AffineTransform):
    """Multiplication by one factor per axis.

    Parameters
    ----------
    input_axes, output_axes : str or sequence of str, (n_axes,)
        Axis names, coordinate axis order; as many in as out.
    scale_factors : array_like of float, (n_axes,)
        Factor of each axis.

    Raises
    ------
    ArgumentError
        If the numbers of axes and factors differ.
    ArgumentTypeError
        If an axis name is not a string, or a factor is not a real number.
    """

    def __init__(
        self,
        input_axes: str | Sequence[str],
        output_axes: str | Sequence[str],
        scale_factors: npt.ArrayLike,
    ) -> None:
        CoordinateTransform.__init__(self, input_axes, output_axes)
        self._check_ranks()
        factors = float_array(scale_factors, "scale_factors")
        if factors.size != len(self._input_axes):
            msg = (
                f"scale_factors have shape {factors.shape}; expected one factor for "
                f"each of the axes {self._input_axes!r}."
            )
            raise ArgumentError(msg)
        self._scale_factors = factors.reshape(-1)

    @property
    def scale_factors(self) -> FloatArray:
        """Copy of the factors, (n_axes,), coordinate axis order."""
        return self._scale_factors.copy()

    @property
    def augmented_matrix(self) -> FloatArray:
        """Augmented matrix, (n_axes + 1, n_axes + 1)."""
        # Made on demand: a short JSON text can name thousands of axes.
        return np.diag(np.append(self._scale_factors, 1.0))

    def inverse_transform(self) -> ScaleTransform:
        """Transform that divides by the factors.

        Raises
        ------
        ArgumentError
            If a factor is zero or not finite (or so small that its inverse is not).
        """
        return ScaleTransform(
            self._output_axes, self._input_axes, self._inverse_factors()
        )

    def _inverse_factors(self) -> FloatArray:
        with np.errstate(divide="ignore", over="ignore"):
            inverse: FloatArray = 1.0 / self._scale_factors
        valid = np.isfinite(self._scale_factors) & np.isfinite(inverse)
        if not valid.all():
            axis = int(np.argmin(valid))
            msg = (
                f"Cannot invert a {type(self).__name__}: the factor of axis "
                f"{self._input_axes[axis]!r} is {float(self._scale_factors[axis])!r}; "
                "expected a finite number other than zero."
            )
            raise ArgumentError(msg)
        return inverse

    def _contents_lines(self) -> Iterable[str]:
        yield f"  scales: {self._scale_factors}"


class UniformScaleTransform(ScaleTransform):
    """Multiplication of all axes by the same factor.

    Parameters
    ----------
    input_axes, output_axes : str or sequence of str, (n_axes,)
        Axis names, coordinate axis order; as many in as out.
    scale : float
        The factor.

    Raises
    ------
    ArgumentError
        If the numbers of axes differ.
    ArgumentTypeError
        If an axis name is not a string, or the factor is not one real number.
    """

    def __init__(
        self,
        input_axes: str | Sequence[str],
        output_axes: str | Sequence[str],
        scale: float | np.floating | np.integer,
    ) -> None:
        factor = float_array(scale, "scale")
        if factor.ndim:
            msg = f"scale is {scale!r}; expected a single number."
            raise ArgumentTypeError(msg)
        self._scale = float(factor)
        names = axis_names_from(input_axes, "input_axes")
        super().__init__(names, output_axes, [self._scale] * len(names))

    @property
    def scale(self) -> float:
        """The factor of all axes."""
        return self._scale

    def inverse_transform(self) -> UniformScaleTransform:
        """Transform that divides by the factor.

        Raises
        ------
        ArgumentError
            If the factor is zero or not finite (or so small that its inverse is not).
        """
        inverse = float(self._inverse_factors()[0])
        return UniformScaleTransform(self._output_axes, self._input_axes, inverse)

    def _contents_lines(self) -> Iterable[str]:
        yield f"  scale: {self._scale}"


class IdentityTransform(UniformScaleTransform):
    """The same numbers under (possibly) other axis names.

    Parameters
    ----------
    input_axes, output_axes : str or sequence of str, (n_axes,)
        Axis names, coordinate axis order; as many in as out.

    Raises
    ------
    ArgumentError
        If the numbers of axes differ.
    ArgumentTypeError
        If an axis name is not a string.
    """

    def __init__(
        self, input_axes: str | Sequence[str], output_axes: str | Sequence[str]
    ) -> None:
        super().__init__(input_axes, output_axes, 1.0)

    def inverse_transform(self) -> IdentityTransform:
        """Identity in the other direction."""
        return IdentityTransform(self._output_axes, self._input_axes)

    def _contents_lines(self) -> Iterable[str]:
        return ()


def _compose(outer: AffineTransform, inner: AffineTransform) -> AffineTransform:
    """Apply `inner`, then `outer`; the result has the more general class of the two."""
    axes = (inner.input_axes, outer.output_axes)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        match outer, inner:
            case IdentityTransform(), IdentityTransform():
                return IdentityTransform(*axes)
            case UniformScaleTransform(), UniformScaleTransform():
                return UniformScaleTransform(*axes, outer.scale * inner.scale)
            case ScaleTransform(), ScaleTransform():
                return ScaleTransform(*axes, outer.scale_factors * inner.scale_factors)
            # With an identity the product would only spoil infinities (0 * inf).
            case _, IdentityTransform():
                return AffineTransform(*axes, outer.augmented_matrix)
            case IdentityTransform(), _:
                return AffineTransform(*axes, inner.augmented_matrix)
            case _:
                product = outer.augmented_matrix @ inner.augmented_matrix
                return AffineTransform(*axes, product)
