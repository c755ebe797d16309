"""What the levels of one pass, their tiles and those of the source have in common."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._level_passes import PassRequest
    from ._level_shapes import Shape


@dataclasses.dataclass(frozen=True, slots=True)
class PassLimits:
    """How much memory the parts of a pass may take, and how many boxes there may be."""

    band_bytes: int
    """Bands of one job; jobs are made narrower for it."""
    block_bytes: int
    """Source pixels of a block."""
    read_bytes: int
    """Tiles of the source that a block touches, decoded."""
    edge_bytes: int
    """Pieces that edges are written in, if they do not get too many."""
    min_job_bytes: int
    """Jobs are not made smaller than this to have enough of them."""
    job_bytes: int
    """All that a running job takes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One of several ways to make the levels of a pass."""

    group: int | None = None
    """Channels made together, where they share tiles of the source; None for all."""
    band_axis: int | None = None
    """See `LevelPass`; None for the usual one."""
    in_pieces: bool = False
    """See `LevelPass`."""
    parts: int = 1
    """Blocks that share a tile of the source along the band axis; each decodes it."""

    @property
    def is_usual(self) -> bool:
        """Whether nothing special is wanted."""
        return self == Way()


@dataclasses.dataclass(frozen=True)
class PassGeometry:
    """The levels of a pass and the way to make them; data axis order throughout."""

    request: PassRequest
    limits: PassLimits
    levels: tuple[int, ...]
    n_streamed: int
    factors: tuple[Shape, ...]
    """Root size over level size, for each of the levels."""
    way: Way

    @property
    def root(self) -> Shape:
        return self.request.shapes[self.levels[0]]

    @property
    def coarsest(self) -> Shape:
        """Root pixels to a pixel of the coarsest level."""
        return self.factors[-1]

    @property
    def streamed_extents(self) -> list[Shape]:
        return [self.request.extents[i] for i in self.levels[: self.n_streamed]]

    @property
    def band_axis(self) -> int:
        """The first axis that shrinks; for one level, where bands get short enough."""
        if self.way.band_axis is not None:
            return self.way.band_axis
        ndim = len(self.root)
        if self.n_streamed != 1:
            last = self.factors[self.n_streamed - 1] if self.n_streamed else None
            steps = last or self.coarsest
            return next((d for d in range(ndim) if steps[d] > 1), 0)
        spatial = [d for d in range(ndim) if d != self.request.channel_axis]
        first = next((d for d in range(ndim) if self.coarsest[d] > 1), ndim)
        for axis in range(min(first, spatial[-2:][0]) + 1):
            band = self.streamed_extents[0][: axis + 1] + self.root[axis + 1 :]
            if self.nbytes(band) <= self.limits.band_bytes:
                return axis
        return min(first, spatial[-2:][0])

    # Channels

    @property
    def joins_channels(self) -> bool:
        """Whether channels are made together, as they share the source's tiles."""
        channel, extents = self.request.channel_axis, self.request.source_extents
        return channel is not None and extents[channel] > 1 < self.root[channel]

    @property
    def group(self) -> int:
        """Channels that are made together where they share the source's tiles."""
        channel = self.request.channel_axis
        n = 1 if channel is None else self.root[channel]
        return min(n, self.way.group or n)

    @property
    def n_groups(self) -> int:
        """Groups of channels, each of which is a job of its own."""
        channel = self.request.channel_axis
        return 1 if channel is None else -(-self.root[channel] // self.group)

    @property
    def is_split(self) -> bool:
        """Whether channels made together are written to a fragment each."""
        channel = self.request.channel_axis
        return bool(
            self.n_streamed
            and self.joins_channels
            and not self.way.in_pieces
            and channel is not None
            and channel < self.band_axis
        )

    @property
    def n_streams(self) -> int:
        """Fragments that a job writes per level."""
        channel = self.request.channel_axis
        if channel is None or not self.is_split:
            return 1
        return -(-self.group // self.streamed_extents[0][channel])

    # Tiles of the source

    def is_whole(self, axis: int) -> bool:
        """Tell whether a root pixel is a whole number of source pixels."""
        return self.request.source_shape[axis] % self.root[axis] == 0

    def source_tile(self, axis: int) -> int:
        """Return the least root pixels that are whole tiles of the source."""
        n, m = self.request.source_shape[axis], self.root[axis]
        extent = self.request.source_extents[axis]
        return extent // math.gcd(extent, n // m) if n % m == 0 else 1

    def source_depth(self, axis: int) -> int:
        """Return the root pixels of about one tile of the source."""
        n, m = self.request.source_shape[axis], self.root[axis]
        return min(m, -(-self.request.source_extents[axis] * m // n))

    @property
    def source_tiles(self) -> list[int]:
        return [self.source_tile(axis) for axis in range(len(self.root))]

    def nbytes(self, shape: Sequence[int]) -> int:
        """Return the bytes of pixels of a shape."""
        return math.prod(shape) * self.request.dtype.itemsize
