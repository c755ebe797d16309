"""Ways to damage the good image: metadata, arrays, TileDB's own files.

Each returns a function that takes the path of a copy of the good image and changes it.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import tiledb

import napari_msimage

from .cases import CASES_BY_NAME
from .store_suite import write_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPACE = "soma_coordinate_space"
SCHEMA = "soma_multiscale_image_schema"
LEVEL0 = "soma_level_level0"
TYPE, VERSION = "soma_object_type", "soma_encoding_version"
SPATIAL_VERSION = "soma_spatial_encoding_version"
GOOD_SCHEMA = {
    "data_axis_permutation": [2, 1, 0],
    "shape": [3, 37, 53],
    "has_channel_axis": True,
    "datatype": "C",
}


def make_good(path: Path) -> None:
    """Write the good image."""
    write_case(napari_msimage, CASES_BY_NAME["cyx"], str(path))


def with_metadata(**entries: Any) -> Callable[[Path], None]:
    """Set metadata entries of the group; None removes one."""

    def build(path: Path) -> None:
        with tiledb.Group(str(path), "w") as group:
            for key, value in entries.items():
                if value is None:
                    del group.meta[key]
                else:
                    group.meta[key] = value

    return build


def with_schema(**entries: Any) -> Callable[[Path], None]:
    """Change the image's schema entry; ``...`` removes a key."""
    schema = {**GOOD_SCHEMA, **entries}
    kept = {key: value for key, value in schema.items() if value is not ...}
    return with_metadata(**{SCHEMA: json.dumps(kept)})


def with_array(**options: Any) -> Callable[[Path], None]:
    """Replace the array of level0 by another one."""

    def build(path: Path) -> None:
        shutil.rmtree(path / "level0")
        make_array(path / "level0", **options)

    return build


def make_array(
    path: Path,
    *,
    shape: tuple[int, ...] = (3, 37, 53),
    dtype: Any = "uint8",
    tile: int = 16,
    sparse: bool = False,
    names: tuple[str, ...] = ("soma_data",),
    dim_name: str = "soma_dim_{}",
    dim_type: str = "int64",
    current: bool = True,
    soma: bool = True,
    nullable: bool = False,
    variable: bool = False,
) -> None:
    """Write an array that is almost a SOMA dense array."""
    top = 2**31 - 2 - tile if dim_type == "int32" else 2**62
    dims = [
        tiledb.Dim(
            dim_name.format(i),
            domain=(0, top if current else size - 1),
            tile=min(tile, top if current else size),
            dtype=dim_type,
        )
        for i, size in enumerate(shape)
    ]
    domain = tiledb.Domain(*dims)
    attrs = [
        tiledb.Attr(name, dtype=dtype, nullable=nullable, var=variable)
        for name in names
    ]
    schema = tiledb.ArraySchema(domain=domain, attrs=attrs, sparse=sparse)
    if current:
        rectangle = tiledb.NDRectangle(tiledb.default_ctx(), domain)
        for number, size in enumerate(shape):
            rectangle.set_range(number, 0, size - 1)
        wanted = tiledb.CurrentDomain(tiledb.default_ctx())
        wanted.set_ndrectangle(rectangle)
        schema.set_current_domain(wanted)
    tiledb.Array.create(str(path), schema)
    with tiledb.open(str(path), "w") as array:
        if soma:
            array.meta[TYPE] = "SOMADenseNDArray"
            array.meta[VERSION] = "1.1.0"


def with_level_shape(shape: tuple[int, ...], **options: Any) -> Callable[[Path], None]:
    """An array of another shape that the metadata knows about."""

    def build(path: Path) -> None:
        with_metadata(**{LEVEL0: json.dumps(list(shape))})(path)
        with_array(shape=shape, **options)(path)

    return build


def first_file(path: Path, folder: str) -> Path:
    """The oldest file of one of TileDB's folders."""
    return min(entry for entry in (path / folder).iterdir() if entry.is_file())


def cut(folder: str, keep: Callable[[int], int]) -> Callable[[Path], None]:
    """Cut every file of a folder short."""

    def build(path: Path) -> None:
        for entry in list((path / folder).iterdir()):
            if entry.is_file():
                data = entry.read_bytes()
                entry.write_bytes(data[: keep(len(data))])

    return build


def overwritten(folder: str, offset: int, data: bytes) -> Callable[[Path], None]:
    """Overwrite some bytes of every file of a folder."""

    def build(path: Path) -> None:
        for entry in (path / folder).iterdir():
            if entry.is_file():
                content = bytearray(entry.read_bytes())
                content[offset : offset + len(data)] = data
                entry.write_bytes(bytes(content))

    return build


def noise(folder: str) -> Callable[[Path], None]:
    """Replace every file of a folder by random bytes of the same length."""

    def build(path: Path) -> None:
        rng = np.random.default_rng(0)
        for entry in (path / folder).iterdir():
            if entry.is_file():
                entry.write_bytes(rng.bytes(entry.stat().st_size))

    return build


def stray(folder: str, name: str) -> Callable[[Path], None]:
    """Add a file that does not belong there."""

    def build(path: Path) -> None:
        (path / folder / name).write_bytes(b"stray")

    return build


def removed(folder: str) -> Callable[[Path], None]:
    """Remove a folder."""
    return lambda path: shutil.rmtree(path / folder)


def replaced(build: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Something else in the place of the good image."""

    def run(path: Path) -> None:
        shutil.rmtree(path)
        build(path)

    return run


def make_group(path: Path, **metadata: str) -> None:
    tiledb.Group.create(str(path))
    with tiledb.Group(str(path), "w") as group:
        for key, value in metadata.items():
            group.meta[key] = value


def soma_group(kind: str) -> Callable[[Path], None]:
    return replaced(lambda path: make_group(path, **{TYPE: kind, VERSION: "1.1.0"}))


def fragment_of(path: Path) -> Path:
    return min((path / "level0" / "__fragments").iterdir())


def level_is_a_group(path: Path) -> None:
    shutil.rmtree(path / "level0")
    make_group(path / "level0")


def many_members(path: Path) -> None:
    with tiledb.Group(str(path), "w") as group:
        for number in range(300):
            group.add(f"file:///nowhere/{number}", name=f"m{number}", type=tiledb.Array)
