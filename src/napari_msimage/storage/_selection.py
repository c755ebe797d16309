"""Selection: the cells of an array that a chain of indexings and transposes picks."""

from __future__ import annotations

import itertools
import operator
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, LevelIndexError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    IndexItem: TypeAlias = SupportsIndex | slice | None

#: An axis with more tiles than this reports several tiles as one chunk.
MAX_CHUNKS_PER_AXIS = 2**16


@dataclass(frozen=True, slots=True)
class Selection:
    """Cells of an array, picked by basic indexing and transposing; pure arithmetic.

    Composing gives what numpy gives for the same steps; nothing is read.
    """

    ranges: tuple[range, ...]
    """The positions picked per dimension of the array, then one ``range`` of at most
    one position for each axis that ``np.newaxis`` added."""
    axes: tuple[int, ...]
    """For each axis of the result, its place in `ranges`; the rest are dropped."""
    n_dims: int
    """Number of dimensions of the array."""

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Selection:
        """Return the selection of every cell of an array of this shape."""
        n_dims = len(shape)
        return cls(tuple(map(range, shape)), tuple(range(n_dims)), n_dims)

    @classmethod
    def of_window(cls, window: Sequence[tuple[int, int]]) -> Selection:
        """Return the selection of the cells within half-open bounds per dimension."""
        ranges = tuple(range(start, stop) for start, stop in window)
        return cls(ranges, tuple(range(len(ranges))), len(ranges))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(len(self.ranges[dim]) for dim in self.axes)

    @property
    def size(self) -> int:
        """Number of cells of the result; 1 for a selection without axes."""
        size = 1
        for dim in self.axes:
            size *= len(self.ranges[dim])
        return size

    @property
    def sorted_ranges(self) -> tuple[range, ...]:
        """The positions per dimension of the array in increasing order, step > 0."""
        return tuple(r if r.step > 0 else r[::-1] for r in self.ranges[: self.n_dims])

    def index(self, key: object) -> Selection:
        """Compose with one more basic indexing, as ``array[key]``.

        Parameters
        ----------
        key : int, slice, Ellipsis, None or tuple of these
            Integers may be numpy integers, and negative; slices may be negative and
            stepped.

        Raises
        ------
        LevelIndexError
            If an integer is out of bounds, there are too many indices, or more than
            one ellipsis.
        ArgumentTypeError
            If an index is of another kind (arrays, lists and booleans included).
        ArgumentError
            If the step of a slice is zero.
        """
        items = _expand(key if isinstance(key, tuple) else (key,), len(self.axes))
        ranges = list(self.ranges)
        axes: list[int] = []
        rest = iter(enumerate(self.axes))
        for item in items:
            if item is None:
                axes.append(len(ranges))
                ranges.append(range(1))
                continue
            axis, dim = next(rest)
            if isinstance(item, slice):
                ranges[dim] = _slice(ranges[dim], item)
                axes.append(dim)
            else:
                ranges[dim] = _pick(ranges[dim], operator.index(item), axis)
        axes.extend(dim for _, dim in rest)
        return Selection(tuple(ranges), tuple(axes), self.n_dims)

    def transpose(self, order: Sequence[int] | None = None) -> Selection:
        """Compose with ``array.transpose(order)``; None reverses the axes.

        Raises
        ------
        ArgumentError
            If `order` is not a permutation of the axes (negative ones count from the
            end).
        ArgumentTypeError
            If an axis is not an integer.
        """
        if order is None:
            return Selection(self.ranges, self.axes[::-1], self.n_dims)
        n = len(self.axes)
        try:
            wanted = [operator.index(axis) for axis in order]
        except TypeError:
            msg = f"axes must be integers, got {tuple(order)!r}"
            raise ArgumentTypeError(msg) from None
        found = [axis + n if axis < 0 else axis for axis in wanted]
        if sorted(found) != list(range(n)):
            msg = (
                f"axes {tuple(wanted)!r} do not match the array: expected each of its "
                f"{n} axes once"
            )
            raise ArgumentError(msg)
        axes = tuple(self.axes[axis] for axis in found)
        return Selection(self.ranges, axes, self.n_dims)

    def apply(self, array: Any) -> Any:
        """Return an array of `n_dims` dimensions, indexed and transposed like this."""
        kept = [dim for dim in range(self.n_dims) if dim in self.axes]
        added = [dim for dim in self.axes if dim >= self.n_dims]
        key = [
            _as_slice(r) if dim in kept else r[0]
            for dim, r in enumerate(self.ranges[: self.n_dims])
        ]
        sizes = [slice(len(self.ranges[dim])) for dim in added]
        view = array[(*key, *(None for _ in added))][(..., *sizes)]
        place = {dim: axis for axis, dim in enumerate([*kept, *added])}
        return view.transpose([place[dim] for dim in self.axes])

    def in_array_order(self, result: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Show a result as the cells at `sorted_ranges`, in the array's axis order.

        Parameters
        ----------
        result : ndarray, shape `shape`
            Where the cells go.

        Returns
        -------
        ndarray
            A view: writing to it fills `result`.
        """
        place = {dim: axis for axis, dim in enumerate(self.axes)}
        n_dropped = self.n_dims - sum(dim < self.n_dims for dim in self.axes)
        spare = iter(range(result.ndim, result.ndim + n_dropped))
        order = [
            place[dim] if dim in place else next(spare) for dim in range(self.n_dims)
        ]
        added = [place[dim] for dim in self.axes if dim >= self.n_dims]
        cells = result[(..., *(None,) * n_dropped)].transpose(*order, *added)
        flips = [
            slice(None, None, -1) if r.step < 0 else slice(None)
            for r in self.ranges[: self.n_dims]
        ]
        return cells[(*flips, *(0 for _ in added))]

    def chunks(self, extents: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Return how many cells of each tile it picks, per axis, in dask's form.

        Parameters
        ----------
        extents : sequence of int, (n_dims,)
            Tile extents of the array.
        """
        found = []
        for dim in self.axes:
            length = len(self.ranges[dim])
            extent = extents[dim] if dim < self.n_dims else 1
            found.append(_chunk_lengths(self.ranges[dim], extent) if length else (0,))
        return tuple(found)


def _expand(items: tuple[Any, ...], n_axes: int) -> list[IndexItem]:
    """Check the items of an index and replace the ellipsis by whole slices."""
    for item in items:
        if not _is_basic(item):
            shown = " ".join(reprlib.repr(item).split())
            msg = (
                "only integers, slices, '...' and None can index a level, got "
                f"{shown} ({type(item).__name__}); read first, as "
                "np.asarray(level)[...]"
            )
            raise ArgumentTypeError(msg)
    n_used = sum(item is not None and item is not Ellipsis for item in items)
    if n_used > n_axes:
        msg = f"too many indices: the array has {n_axes} axes, {n_used} were indexed"
        raise LevelIndexError(msg)
    ellipses = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        msg = f"an index can have one ellipsis ('...'), got {len(ellipses)}: {items!r}"
        raise LevelIndexError(msg)
    if not ellipses:
        return list(items)
    (at,) = ellipses
    return [*items[:at], *[slice(None)] * (n_axes - n_used), *items[at + 1 :]]


def _is_basic(item: object) -> bool:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return True
    # numpy gives bools and 0-d arrays of them a meaning of their own (masks)
    is_array = isinstance(item, np.ndarray) and item.ndim > 0
    if is_array or isinstance(item, (bool, np.bool_)):
        return False
    try:
        operator.index(item)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _slice(positions: range, item: slice) -> range:
    try:
        return positions[item]
    except TypeError:
        msg = f"the bounds and step of a slice must be integers or None, got {item!r}"
        raise ArgumentTypeError(msg) from None
    except ValueError:
        msg = f"the step of a slice must not be zero, got {item!r}"
        raise ArgumentError(msg) from None


def _as_slice(positions: range) -> slice:
    if not positions:
        return slice(0, 0)
    # before the first cell: a negative stop would count from the end
    stop = positions.stop if positions.stop >= 0 else None
    return slice(positions.start, stop, positions.step)


def _pick(positions: range, index: int, axis: int) -> range:
    if not -len(positions) <= index < len(positions):
        msg = (
            f"index {index} is out of bounds for axis {axis} with size {len(positions)}"
        )
        raise LevelIndexError(msg)
    at = positions[index]
    return range(at, at + 1)


def _chunk_lengths(positions: range, extent: int) -> tuple[int, ...]:
    """Count the positions in each tile that holds any, in the order of `positions`."""
    n_tiles = abs(positions[-1] - positions[0]) // extent + 1
    extent *= -(-n_tiles // MAX_CHUNKS_PER_AXIS)
    if abs(positions.step) >= extent:
        return (1,) * len(positions)
    tiles = np.arange(positions[0] // extent, positions[-1] // extent, dtype=np.int64)
    if positions.step < 0:
        tiles = np.arange(positions[-1] // extent, positions[0] // extent)[::-1]
    edges = (tiles + 1) * extent
    step = abs(positions.step)
    if positions.step > 0:
        firsts = -(-(edges - positions[0]) // step)
    else:
        firsts = -(-(positions[0] - edges + 1) // step)
    bounds = [0, *firsts.tolist(), len(positions)]
    return tuple(b - a for a, b in itertools.pairwise(bounds))
