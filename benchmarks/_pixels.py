"""The picture that everybody stores: a mosaic and its levels, made on demand."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_msimage import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 2048
_COARSEST = 512


@cache
def pictures(image: str | None, n_levels: int) -> list[np.ndarray[Any, Any]]:
    """Return the picture that is mirrored, at every level; (y, x, 3) uint8.

    The mean of a mosaic is the mosaic of means where the picture's sides are multiples
    of the downsampling factor, so it is cropped to that.
    """
    if image is None:
        picture = samples.tissue((512, 512))
    else:
        from skimage.io import imread

        picture = np.asarray(imread(image))
        if picture.ndim != 3 or picture.dtype != np.uint8 or picture.shape[2] < 3:
            msg = f"{image!r} is {picture.shape} {picture.dtype}; need (y, x, 3) uint8"
            raise SystemExit(msg)
    step = 2 ** (n_levels - 1)
    height, width = (n // step * step for n in picture.shape[:2])
    if not height or not width:
        raise SystemExit(f"{image!r} is too small; need at least {step} pixels a side")
    levels = samples.pyramid(picture[:height, :width, :3], axes=(0, 1), until=1)
    return levels[:n_levels]


def mosaics(size: int, image: str | None) -> list[samples.TissueMosaic]:
    """Return the levels, (3, size / 2**k, size / 2**k), until 512 pixels are enough."""
    n_levels = 1
    while size // 2 ** (n_levels - 1) > _COARSEST:
        n_levels += 1
    if size % 2 ** (n_levels - 1):
        raise SystemExit(f"--size must be a multiple of {2 ** (n_levels - 1)}")
    return [
        samples.TissueMosaic((size >> k,) * 2, channels_first=True, picture=picture)
        for k, picture in enumerate(pictures(image, n_levels))
    ]


def blocks(size: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield (3, 2048, 2048) boxes that cover a level."""
    for y in range(0, size, BLOCK):
        for x in range(0, size, BLOCK):
            yield (
                slice(0, 3),
                slice(y, min(y + BLOCK, size)),
                slice(x, min(x + BLOCK, size)),
            )
