"""Boxes of a pass: which parts of the finest level are jobs, and which are edges."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Final

from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._level_shapes import Shape
    from ._pass_geometry import PassGeometry

#: Fragments per level; TileDB's reads suffer from 64 on.
_MAX_FRAGMENTS: Final = 48
#: Edges are written in no more pieces than this, larger ones where they would be many.
_EDGE_PIECES: Final = 8
_ASKEW_PIECES: Final = 24
#: Enough jobs to keep threads and workers busy, unless they get too small.
_ENOUGH_JOBS: Final = 12
#: Boxes can be cut at multiples of this at the most, or there would be too few.
_MAX_UNIT: Final = 16384


class BoxCutter:
    """Cuts the finest level of a pass, its root, into boxes.

    Parameters
    ----------
    geometry : PassGeometry
        The levels of the pass.
    """

    def __init__(self, geometry: PassGeometry) -> None:
        self._geometry = geometry
        self._request = geometry.request
        self._limits = geometry.limits

    @property
    def interior(self) -> Shape:
        """Part of the root that whole tiles cover, from the origin on."""
        root = self._geometry.root
        if not self._geometry.n_streamed or self._geometry.way.in_pieces:
            return root
        if self._is_askew:
            return (0,) * len(root)
        return tuple(n // e * e for n, e in zip(root, self._write_grid, strict=True))

    @property
    def _write_grid(self) -> Shape:
        """Where boxes to write may be cut: at tiles, also those of a costly source."""
        tiles = self._geometry.source_tiles
        if self._is_askew:
            return tuple(tiles)
        extents = list(self._geometry.streamed_extents[0])
        if self._request.keeps_tiles_whole:
            for axis, n in enumerate(self._geometry.root):
                both = math.lcm(extents[axis], tiles[axis])
                extents[axis] = both if both <= n else extents[axis]
        return tuple(extents)

    @property
    def _is_askew(self) -> bool:
        """Whether boxes follow the source's tiles alone, as no grid is common to both.

        Such boxes are written in one piece each, so that they must be few.
        """
        one = self._geometry
        few = one.nbytes(one.root) // _ASKEW_PIECES <= self._limits.job_bytes
        if not (self._request.keeps_tiles_whole and one.n_streamed and few):
            return False
        return any(
            n % extent if tile >= n else extent % tile and tile % extent
            for n, extent, tile in zip(
                one.root, one.streamed_extents[0], one.source_tiles, strict=True
            )
        )

    @property
    def _cuts_tiles(self) -> bool:
        """Whether blocks of several levels would share tiles of a costly source."""
        if not self._request.keeps_tiles_whole:
            return False
        one = self._geometry
        return any(
            tile < n and math.lcm(tile, coarse) > min(4 * max(tile, coarse), n)
            for n, tile, coarse in zip(
                one.root, one.source_tiles, one.coarsest, strict=True
            )
        )

    @property
    def goes_together(self) -> bool:
        """Whether several levels can be made side by side."""
        if self._is_askew or self._cuts_tiles:
            return False
        return self._has_units and (
            self._geometry.way.in_pieces or self._streams_together
        )

    @property
    def _streams_together(self) -> bool:
        """Whether whole tiles fill all levels, and bands of all lie side by side."""
        one = self._geometry
        for level in one.levels[: one.n_streamed]:
            pairs = zip(
                self._request.shapes[level], self._request.extents[level], strict=True
            )
            if any(n % e for n, e in pairs):
                return False
        leading = range(one.band_axis)
        if one.n_streamed and any(one.coarsest[axis] > 1 for axis in leading):
            return False
        extents = one.streamed_extents
        return not any(e[axis] != extents[0][axis] for e in extents for axis in leading)

    @property
    def _has_units(self) -> bool:
        """Whether boxes can be cut at enough places."""
        return all(
            unit in (1, n) or unit <= max(_MAX_UNIT, n // 8)
            for unit, n in zip(self.units, self._geometry.root, strict=True)
        )

    @property
    def units(self) -> Shape:
        """Where jobs may be cut: multiples of this, in root pixels."""
        one = self._geometry
        units = []
        for axis, n in enumerate(self.interior):
            unit = one.coarsest[axis]
            for extents, factors in zip(
                one.streamed_extents, one.factors, strict=False
            ):
                unit = math.lcm(unit, extents[axis] * factors[axis])
            if self._request.keeps_tiles_whole:
                unit = math.lcm(unit, one.source_tile(axis))
            units.append(max(1, min(unit, n)))
        return tuple(units)

    @property
    def _job_units(self) -> Shape:
        """Where jobs are cut: channels that are made together stay together.

        Other ways than the usual one also keep tiles of the source together.
        """
        one = self._geometry
        units = list(self.units)
        if not one.way.is_usual:
            for axis, n in enumerate(self.interior):
                both = math.lcm(units[axis], one.source_tile(axis))
                if both <= min(n, 4 * max(units[axis], one.source_tile(axis))):
                    units[axis] = both
        channel = self._request.channel_axis
        if channel is not None and one.joins_channels:
            units[channel] = min(one.group, max(1, self.interior[channel]))
        return tuple(units)

    # Jobs

    def jobs(self, n_edges: int) -> list[Window]:
        """Return boxes of whole tiles that cover the interior."""
        if not min(self.interior):
            return []
        one, limits = self._geometry, self._limits
        units, axis = self._job_units, one.band_axis
        n_units = [-(-n // u) for n, u in zip(self.interior, units, strict=True)]
        cuts = [1] * len(units)
        streams = one.n_streams
        channel = self._request.channel_axis
        if channel is not None and one.joins_channels:
            cuts[channel] = n_units[channel]
        most = max(1, (_MAX_FRAGMENTS - n_edges) // streams)
        along = sorted(range(axis + 1, len(cuts)), key=lambda d: (d == channel, -d))
        order = [*range(axis + 1), *along]
        while self._open_bytes(cuts, axis) > limits.band_bytes:
            narrowing = self._by_tiles(cuts) if one.way.in_pieces else along
            if not _cut(cuts, n_units, narrowing, most):
                break
        enough = min(_ENOUGH_JOBS, one.nbytes(one.root) // limits.min_job_bytes)
        while math.prod(cuts) < enough and _cut(cuts, n_units, order, most):
            pass
        return _grid(self.interior, self._lengths(cuts))

    def _lengths(self, cuts: Sequence[int]) -> list[int]:
        return [
            math.ceil(math.ceil(n / unit) / count) * unit
            for n, unit, count in zip(self.interior, self._job_units, cuts, strict=True)
        ]

    def _by_tiles(self, cuts: Sequence[int]) -> list[int]:
        """Return the axes, the one that goes through most tiles of a piece first."""
        request, root = self._request, self._geometry.root
        n_tiles = [
            length * n / m / extent
            for length, n, m, extent in zip(
                self._lengths(cuts),
                request.source_shape,
                root,
                request.source_extents,
                strict=True,
            )
        ]
        return sorted(range(len(root)), key=n_tiles.__getitem__, reverse=True)

    def _open_bytes(self, cuts: Sequence[int], axis: int) -> int:
        """Return the bytes of what a job holds of its finest level at least."""
        one = self._geometry
        if not one.n_streamed:
            return 1
        lengths = self._lengths(cuts)
        if one.way.in_pieces:
            return one.nbytes(lengths)
        band = [*one.streamed_extents[0][: axis + 1], *lengths[axis + 1 :]]
        if not one.way.is_usual:
            band[axis] = max(band[axis], one.source_depth(axis) // one.way.parts)
        return one.nbytes(band) * one.n_streams

    # Edges

    def edges(self) -> list[Window]:
        """Return what whole tiles do not cover, in pieces."""
        one = self._geometry
        if not one.n_streamed:
            return []
        slabs: list[Window] = []
        inner, root = self.interior, one.root
        for axis, (start, stop) in enumerate(zip(inner, root, strict=True)):
            slab = [
                *((0, n) for n in inner[:axis]),
                (start, stop),
                *((0, n) for n in root[axis + 1 :]),
            ]
            if all(b > a for a, b in slab):
                slabs.append(tuple(slab))
        total = sum(one.nbytes(window_shape(slab)) for slab in slabs)
        n_pieces = _ASKEW_PIECES if self._is_askew else _EDGE_PIECES
        budget = max(self._limits.edge_bytes, total // n_pieces)
        return [piece for slab in slabs for piece in self._pieces(slab, budget)]

    def _pieces(self, slab: Window, budget: int) -> list[Window]:
        """Cut a slab into few pieces, along its longest axes, at tile borders."""
        lengths = list(window_shape(slab))
        tiles = self._write_grid
        while self._geometry.nbytes(lengths) > budget:
            counts = [-(-n // e) for n, e in zip(lengths, tiles, strict=True)]
            axis = max(range(len(lengths)), key=counts.__getitem__)
            if counts[axis] == 1:
                break
            lengths[axis] = -(-counts[axis] // 2) * tiles[axis]
        origin = [start for start, _ in slab]
        return [
            tuple((a + o, b + o) for (a, b), o in zip(box, origin, strict=True))
            for box in _grid(window_shape(slab), lengths)
        ]


def _cut(
    cuts: list[int], n_units: Sequence[int], axes: Sequence[int], most: int
) -> bool:
    """Cut once more along the first of some axes that allows it; tell whether."""
    for axis in axes:
        others = math.prod(cuts) // cuts[axis]
        longest = -(-n_units[axis] // cuts[axis])
        if longest == 1:
            continue
        # the next number of parts that makes the parts shorter
        more = -(-n_units[axis] // (longest - 1))
        if others * more <= most:
            cuts[axis] = more
            return True
    return False


def _grid(shape: Sequence[int], lengths: Sequence[int]) -> list[Window]:
    """Cut a shape into boxes, the last ones shorter."""
    return [
        tuple(
            (start, min(start + length, n))
            for start, length, n in zip(corner, lengths, shape, strict=True)
        )
        for corner in product(
            *(range(0, n, length) for n, length in zip(shape, lengths, strict=True))
        )
    ]
