"""Schema of one level's TileDB array: made, checked and described."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tiledb

from ..errors import AlreadyExistsError, ArgumentError, FormatError
from ._context import is_local, storage_errors
from ._datatypes import to_dtype
from ._metadata import ENCODING_VERSION, OBJECT_TYPE, VERSION_WRITTEN
from ._probe import kind_of
from ._soma_types import ARRAY_TYPE
from ._staging import remove_object, staged_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._layout import Layout

ATTRIBUTE: Final = "soma_data"
_MAX_TILE_BYTES: Final = 2**30


@dataclass(frozen=True, slots=True)
class ArraySchema:
    """What a `DenseNDArray` is like, in data axis order."""

    dim_names: tuple[str, ...]
    """Names of the dimensions: ``soma_dim_0``, ``soma_dim_1`` …"""
    shape: tuple[int, ...]
    """Current size of every dimension."""
    maxshape: tuple[int, ...]
    """Size up to which every dimension can be resized."""
    tile_extents: tuple[int, ...]
    """Storage block along every dimension."""
    dtype: np.dtype[Any]
    """Type of the cells."""
    filters: tuple[str, ...]
    """Filters of the cells, in the order they are applied when writing."""


def create_array(
    uri: str,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    layout: Layout,
    ctx: Any,
    timestamp_ms: int,
) -> None:
    """Make a dense SOMA array; locally it appears complete or not at all.

    Raises
    ------
    AlreadyExistsError
        If something is stored at the URI.
    """
    kind = kind_of(uri, ctx)
    is_empty = kind == "folder" and is_local(uri) and not os.listdir(uri)
    if kind != "missing" and not is_empty:
        msg = (
            f"Cannot create an array at {uri!r}: something ({kind}) is already there. "
            "Choose another place."
        )
        raise AlreadyExistsError(msg)
    with storage_errors("create the array", uri):
        schema = _tiledb_schema(shape, dtype, layout, ctx)
        if is_local(uri):
            with staged_folder(uri) as staged:
                _create_at(staged, schema, ctx, timestamp_ms)
            return
        try:
            _create_at(uri, schema, ctx, timestamp_ms)
        except BaseException:
            remove_object(uri, ctx)
            raise


def _create_at(uri: str, schema: Any, ctx: Any, timestamp_ms: int) -> None:
    tiledb.Array.create(uri, schema, ctx=ctx)
    with tiledb.open(uri, "w", timestamp=timestamp_ms, ctx=ctx) as array:
        array.meta[OBJECT_TYPE] = ARRAY_TYPE
        array.meta[ENCODING_VERSION] = VERSION_WRITTEN


def _tiledb_schema(
    shape: Sequence[int], dtype: np.dtype[Any], layout: Layout, ctx: Any
) -> Any:
    """Return the schema that tiledbsoma 2.3 writes, with the layout's own choices."""
    dims = [
        tiledb.Dim(
            f"soma_dim_{i}",
            domain=(0, 2**63 - 2 - extent),
            tile=extent,
            dtype="int64",
            filters=filters,
            ctx=ctx,
        )
        for i, (extent, filters) in enumerate(
            zip(layout.tile_extents, layout.dim_filters, strict=True)
        )
    ]
    domain = tiledb.Domain(*dims, ctx=ctx)
    attribute = tiledb.Attr(ATTRIBUTE, dtype=dtype, filters=layout.filters, ctx=ctx)
    schema = tiledb.ArraySchema(
        domain=domain,
        attrs=[attribute],
        capacity=layout.capacity,
        offsets_filters=tiledb.FilterList(
            [
                tiledb.DoubleDeltaFilter(),
                tiledb.BitWidthReductionFilter(),
                tiledb.ZstdFilter(),
            ]
        ),
        ctx=ctx,
    )
    schema.set_current_domain(current_domain(domain, shape, ctx))
    return schema


def current_domain(domain: Any, shape: Sequence[int], ctx: Any) -> Any:
    """Return a TileDB current domain ``[0, size - 1]`` per dimension."""
    rectangle = tiledb.NDRectangle(ctx, domain)
    for i, size in enumerate(shape):
        rectangle.set_range(i, 0, size - 1)
    current = tiledb.CurrentDomain(ctx)
    current.set_ndrectangle(rectangle)
    return current


def read_schema(schema: Any, uri: str) -> ArraySchema:
    """Check that a TileDB schema is a SOMA dense array's, and describe it.

    Raises
    ------
    FormatError
        If it is sparse, or has other dimensions or attributes.
    """
    if schema.sparse:
        raise _not_soma(uri, "it is sparse")
    domain = schema.domain
    dims = [domain.dim(i) for i in range(schema.ndim)]
    if not 1 <= len(dims) <= 5:
        raise _not_soma(uri, f"it has {len(dims)} dimensions, not 1 to 5")
    for i, dim in enumerate(dims):
        low = dim.domain[0]
        if dim.name != f"soma_dim_{i}" or dim.dtype != np.int64 or int(low) != 0:
            reason = (
                f"dimension {i} is {dim.name!r} of type {dim.dtype} from {low}, not "
                f"'soma_dim_{i}' of type int64 from 0"
            )
            raise _not_soma(uri, reason)
    if schema.nattr != 1 or schema.attr(0).name != ATTRIBUTE:
        names = [schema.attr(i).name for i in range(schema.nattr)]
        raise _not_soma(uri, f"its attributes are {names}, not ['{ATTRIBUTE}']")
    attribute = schema.attr(0)
    if attribute.isvar or attribute.isnullable:
        raise _not_soma(uri, "its cells have variable length or can be null")
    try:
        dtype = to_dtype(attribute.dtype)
    except TypeError as err:
        raise _not_soma(uri, f"its cells have type {attribute.dtype}") from err
    extents = tuple(int(dim.tile) for dim in dims)
    shape = tuple(high + 1 for high in _upper_bounds(schema, dims))
    # a dense tile is unpacked whole; clip to what the level uses
    used = (min(e, s) for e, s in zip(extents, shape, strict=True))
    if int(np.prod(list(used), dtype=object)) * dtype.itemsize > _MAX_TILE_BYTES:
        raise _not_soma(uri, f"one tile, {extents}, takes more than 1 GiB")
    return ArraySchema(
        dim_names=tuple(dim.name for dim in dims),
        shape=shape,
        maxshape=tuple(int(dim.domain[1]) + 1 for dim in dims),
        tile_extents=extents,
        dtype=dtype,
        filters=tuple(type(one).__name__ for one in attribute.filters),
    )


def _upper_bounds(schema: Any, dims: Sequence[Any]) -> list[int]:
    current = schema.current_domain
    if current.is_empty:  # written before TileDB had current domains
        return [int(dim.domain[1]) for dim in dims]
    return [int(current.ndrectangle.range(i)[1]) for i in range(len(dims))]


def _not_soma(uri: str, reason: str) -> FormatError:
    return FormatError(
        f"The array at {uri!r} is not a SOMA dense array: {reason}. It may be damaged "
        "or made by another program."
    )


def check_resize(schema: ArraySchema, shape: Sequence[int]) -> str:
    """Return why an array cannot be resized to `shape`, or an empty text."""
    if len(shape) != len(schema.shape):
        return f"the array has {len(schema.shape)} dimensions, not {len(shape)}"
    if any(new < old for new, old in zip(shape, schema.shape, strict=True)):
        return f"an array can only grow, and its shape is {schema.shape}"
    if any(new > limit for new, limit in zip(shape, schema.maxshape, strict=True)):
        return f"the largest possible shape is {schema.maxshape}"
    return ""


def resize_array(uri: str, shape: Sequence[int], ctx: Any) -> None:
    """Grow the current domain of an array to `shape`.

    Raises
    ------
    ArgumentError
        If it would shrink or exceed the largest possible shape.
    """
    with storage_errors("resize the array", uri):
        schema = tiledb.ArraySchema.load(uri, ctx)
        if reason := check_resize(read_schema(schema, uri), shape):
            msg = f"Cannot resize the array at {uri!r} to {tuple(shape)}: {reason}"
            raise ArgumentError(msg)
        evolution = tiledb.ArraySchemaEvolution(ctx)
        evolution.expand_current_domain(current_domain(schema.domain, shape, ctx))
        evolution.array_evolve(uri)
