"""Axes of exported pixels as OME names and orders them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from ..storage import CHANNEL_AXIS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

#: OME-Zarr has at least two axes of space.
_MIN_SPACE: Final = 2
#: Off the grid by less, in parts of a pixel's length, is not turned.
STRAIGHT: Final = 1e-6
_RANK: Final = {"time": 0, "channel": 1, "space": 2}


@dataclasses.dataclass(frozen=True, slots=True)
class TiffLayout:
    """How axes become those of a TIFF."""

    order: tuple[int, ...]
    """Axes of the pixels in the order in which they are stored."""
    letters: str
    """What they are there, one letter each: T, Z, C, S, Y, X."""

    @property
    def is_same(self) -> bool:
        """Whether the order is that of the pixels."""
        return self.order == tuple(range(len(self.order)))


def tiff_layout(axis_names: tuple[str, ...], *, is_rgb: bool) -> TiffLayout:
    """Return how axes are stored: as they are, as far as OME allows that.

    Parameters
    ----------
    axis_names : tuple of str
        Of the pixels, the channel axis as ``soma_channel``.
    is_rgb : bool
        Whether channels become samples of one picture.
    """
    letters = ome_letters(axis_names)
    if is_rgb:
        letters = letters.replace("C", "S")
    order = list(range(len(letters)))
    rows = [letters.index("Y"), letters.index("X")]
    channel = letters.find("S")
    rest = [i for i in order if i not in rows]
    if channel >= 0:
        rest.remove(channel)
        is_last = channel > letters.index("Y")
        order = [*rest, *rows, channel] if is_last else [*rest, channel, *rows]
    else:
        order = [*rest, *rows]
    return TiffLayout(tuple(order), "".join(letters[i] for i in order))


def ome_letters(axis_names: tuple[str, ...]) -> str:
    """Return letters for axes: by their names, else the last two are y and x.

    Parameters
    ----------
    axis_names : tuple of str
        With or without the channel axis, which is C.
    """
    spatial = [name for name in axis_names if name != CHANNEL_AXIS]
    known = {name.upper() for name in spatial}
    if known <= set("TZYX") and {"Y", "X"} <= known and len(known) == len(spatial):
        found = {name: name.upper() for name in spatial}
    else:
        found = dict(zip(spatial, "TZYX"[-len(spatial) :], strict=True))
    return "".join(found.get(name, "C") for name in axis_names)


@dataclasses.dataclass(frozen=True, slots=True)
class ZarrLayout:
    """How axes become those of OME-Zarr; all tuples in the order stored."""

    order: tuple[int, ...]
    """Axes of the pixels."""
    axis_names: tuple[str, ...]
    """What they are called in the image."""
    names: tuple[str, ...]
    """What they are called in OME-Zarr."""
    kinds: tuple[str, ...]
    """``time``, ``channel`` or ``space``."""

    @property
    def is_same(self) -> bool:
        """Whether the order is that of the pixels."""
        return self.order == tuple(range(len(self.order)))


def zarr_layout(axis_names: tuple[str, ...]) -> ZarrLayout:
    """Return how axes are stored: as they are, as far as OME-Zarr allows that.

    Parameters
    ----------
    axis_names : tuple of str
        Of the pixels, the channel axis as ``soma_channel``.

    Notes
    -----
    OME-Zarr 0.5, section "axes" metadata: time comes first, then channels, then space.
    """
    kinds = dict.fromkeys(axis_names, "space")
    if CHANNEL_AXIS in kinds:
        kinds[CHANNEL_AXIS] = "channel"
    n_space = sum(kind == "space" for kind in kinds.values())
    for name in axis_names:
        if name.lower() in ("t", "time") and n_space > _MIN_SPACE:
            kinds[name] = "time"
    order = sorted(range(len(axis_names)), key=lambda i: _RANK[kinds[axis_names[i]]])
    ordered = tuple(axis_names[i] for i in order)
    taken = set(axis_names)
    channel = "c" if "c" not in taken else "channel"
    return ZarrLayout(
        tuple(order),
        ordered,
        tuple(channel if name == CHANNEL_AXIS else name for name in ordered),
        tuple(kinds[name] for name in ordered),
    )


def is_turned(to_world: npt.NDArray[np.float64]) -> bool:
    """Tell whether pixels are turned or sheared in world coordinates.

    Parameters
    ----------
    to_world : ndarray, (n_spatial + 1, n_spatial + 1)
        Augmented.
    """
    linear = to_world[:-1, :-1]
    off = np.abs(linear - np.diag(np.diag(linear)))
    return bool((off > STRAIGHT * np.linalg.norm(linear, axis=0)).any())


def ome_origin(
    to_world: npt.NDArray[np.float64], sizes: Sequence[int]
) -> tuple[float, ...]:
    """Return where OME formats, which know no flips, have the low corner of pixels.

    Parameters
    ----------
    to_world : ndarray, (n_spatial + 1, n_spatial + 1)
        From pixels, pixel i covering [i, i + 1).
    sizes : sequence of int, (n_spatial,)
        Numbers of pixels.

    Returns
    -------
    tuple of float
        Along a flipped axis, the world coordinate where the last pixel ends, so that
        the file covers the same place.
    """
    origin, steps = to_world[:-1, -1], np.diag(to_world[:-1, :-1])
    if is_turned(to_world):
        return tuple(map(float, origin))
    ends = origin + steps * np.asarray(sizes, float)
    return tuple(map(float, np.where(steps < 0, ends, origin)))
