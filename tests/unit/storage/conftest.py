"""Levels written with plain TileDB-Py, so that reading is tested by another hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiledb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LAST_CELL = 2**63 - 2


def create_level(
    uri: str,
    shape: Sequence[int],
    dtype: Any,
    tile: Sequence[int],
    *,
    attribute: str = "soma_data",
    dim_dtype: str = "int64",
    first: int = 0,
    current_domain: bool = True,
    sparse: bool = False,
) -> str:
    """Create an array as SOMA lays one out; the options make it one that is not."""
    dims = [
        tiledb.Dim(
            f"soma_dim_{i}",
            domain=(0, LAST_CELL - extent) if current_domain else (0, size - 1),
            tile=extent,
            dtype=dim_dtype,
        )
        for i, (size, extent) in enumerate(zip(shape, tile, strict=True))
    ]
    domain = tiledb.Domain(*dims)
    filters = tiledb.FilterList([tiledb.ZstdFilter(1)])
    schema = tiledb.ArraySchema(
        domain=domain,
        attrs=[tiledb.Attr(attribute, dtype=dtype, filters=filters)],
        sparse=sparse,
    )
    if current_domain:
        ctx = tiledb.default_ctx()
        rectangle = tiledb.NDRectangle(ctx, domain)
        for i, size in enumerate(shape):
            rectangle.set_range(i, first, size - 1)
        current = tiledb.CurrentDomain(ctx)
        current.set_ndrectangle(rectangle)
        schema.set_current_domain(current)
    tiledb.Array.create(uri, schema)
    return uri


def write_level(
    uri: str,
    pixels: np.ndarray,
    tile: Sequence[int],
    *,
    timestamp: int | None = None,
) -> str:
    """Create a level that holds these pixels."""
    create_level(uri, pixels.shape, pixels.dtype, tile)
    write_pixels(uri, pixels, timestamp=timestamp)
    return uri


def write_pixels(uri: str, pixels: np.ndarray, *, timestamp: int | None = None) -> None:
    """Write pixels at the origin of a level."""
    with tiledb.open(uri, "w", timestamp=timestamp) as array:
        array[tuple(slice(0, n) for n in pixels.shape)] = pixels


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Return pixels of odd sizes, all different, none a multiple of the tiles."""
    values = np.random.default_rng(7).integers(0, 2**16, size=(3, 97, 130))
    return values.astype(np.uint16)


@pytest.fixture(scope="session")
def level_uri(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> str:
    """Return the address of a level that holds `pixels`, in tiles of (1, 32, 48)."""
    uri = str(tmp_path_factory.mktemp("levels") / "level0")
    return write_level(uri, pixels, (1, 32, 48))


@pytest.fixture
def make_level(tmp_path: Path) -> Callable[..., str]:
    """Return a function that creates an empty level; see `create_level`."""

    def make(shape: Sequence[int], dtype: Any, tile: Sequence[int], **options: Any):
        return create_level(str(tmp_path / "made"), shape, dtype, tile, **options)

    return make


@pytest.fixture
def save_level(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes pixels as a level; see `write_level`."""

    def save(
        pixels: np.ndarray,
        tile: Sequence[int],
        *,
        uri: str | None = None,
        **options: Any,
    ) -> str:
        return write_level(uri or str(tmp_path / "saved"), pixels, tile, **options)

    return save


@pytest.fixture
def overwrite() -> Callable[..., None]:
    """Return a function that writes pixels over a level; see `write_pixels`."""
    return write_pixels
