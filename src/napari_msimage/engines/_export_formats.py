"""File formats of an export: endings, what they hold, and how large files become."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
from typing import TYPE_CHECKING, Any, Final, get_args

from ..errors import ArgumentError, UnsupportedError
from ._export_plan import Format
from ._level_plan import bytes_in_words

if TYPE_CHECKING:
    import numpy as np

    from ._export_plan import ExportOptions

FORMATS: Final[tuple[Format, ...]] = get_args(Format)

#: Endings in lower case; longer ones first.
_ENDINGS: Final[dict[str, Format]] = {
    ".ome.tiff": "ome-tiff",
    ".ome.tif": "ome-tiff",
    ".tiff": "ome-tiff",
    ".tif": "ome-tiff",
    ".ome.zarr": "ome-zarr",
    ".zarr": "ome-zarr",
    ".png": "png",
    ".npy": "npy",
    ".soma": "soma",
}
#: Formats that are folders.
FOLDERS: Final[tuple[Format, ...]] = ("ome-zarr", "soma")
#: Formats that keep neither place nor pixel size, and get a ``.json`` file beside.
RAW: Final[tuple[Format, ...]] = ("png", "npy")
#: Formats that store a rotation.
STORES_ROTATION: Final[tuple[Format, ...]] = ("soma",)
#: Pixels that an image of Pillow may have here.
MAX_PNG_PIXELS: Final = 200_000_000

_PNG_TYPES: Final = ("uint8", "uint16")
_TIFF_TYPES: Final = (
    *("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float32", "float64", "complex64", "complex128"),
)
_ZARR_TYPES: Final = (*_TIFF_TYPES, "int64", "uint64", "float16")
_SOMA_TYPES: Final = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64"),
)
_TYPES: Final[dict[Format, tuple[str, ...]]] = {
    "ome-tiff": _TIFF_TYPES,
    "ome-zarr": _ZARR_TYPES,
    "soma": _SOMA_TYPES,
}
#: What formats are called, to begin a sentence with.
TITLES: Final[dict[Format, str]] = {
    "ome-tiff": "OME-TIFF",
    "ome-zarr": "OME-Zarr",
    "png": "PNG",
    "npy": "NPY",
    "soma": "SOMA",
}
#: Size of compressed pixels over their size in memory: tissue, and microscopy.
_RATIOS: Final = {"uint8": 0.5, "uint16": 0.6, "labels": 0.1, "other": 0.85}
_PACKAGES: Final[dict[Format, tuple[str, ...]]] = {
    "ome-tiff": ("tifffile",),
    "png": ("PIL",),
    "ome-zarr": ("zarr",),
}
#: Coarser levels add this much.
_PYRAMID: Final = 4 / 3


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What a format needs to know of an image to be written."""

    shape: tuple[int, ...]
    """Pixels per axis, of the exported channels."""
    dtype: np.dtype[Any]
    """Pixel type."""
    axis_names: tuple[str, ...]
    """Data axis order."""
    channel_axis: int | None
    """Position of the channel axis."""
    is_rgb: bool
    """Whether the channels are colours."""
    is_labels: bool
    """Whether pixels are numbers of objects."""

    @property
    def n_channels(self) -> int:
        """Number of channels, 1 without a channel axis."""
        return 1 if self.channel_axis is None else self.shape[self.channel_axis]

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape without the channel axis."""
        return tuple(n for i, n in enumerate(self.shape) if i != self.channel_axis)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize


def format_of(path: str, wanted: str | None) -> Format:
    """Return the format of a file.

    Parameters
    ----------
    path : str
        Where it is going to be.
    wanted : str, optional
        Name of the format; by default the ending of the path says.

    Raises
    ------
    ArgumentError
        If there is no such format.
    """
    choices = ", ".join(FORMATS)
    if wanted is not None:
        if wanted not in FORMATS:
            msg = f"format must be one of {choices}, got {wanted!r}"
            raise ArgumentError(msg)
        return wanted
    for ending, found in _ENDINGS.items():
        if path.lower().rstrip("/").endswith(ending):
            return found
    msg = (
        f"Cannot tell the format of {path!r}; end it with one of "
        f"{', '.join(_ENDINGS)}, or give format, one of {choices}."
    )
    raise ArgumentError(msg)


def split_ending(path: str) -> tuple[str, str]:
    """Return a path without its ending, and the ending; ``""`` if it has none."""
    for ending in _ENDINGS:
        if path.lower().endswith(ending):
            return path[: -len(ending)], path[-len(ending) :]
    return os.path.splitext(path)


def refusal(picture: Picture, target: Format) -> str | None:
    """Say why a format cannot hold an image; None if it can."""
    dtype, title = picture.dtype.name, TITLES[target]
    if target == "png":
        return _png_refusal(picture)
    if target in _TYPES and dtype not in _TYPES[target]:
        others = [name for name in ("ome-tiff", "ome-zarr") if dtype in _TYPES[name]]
        return (
            f"{title} cannot hold pixels of type {dtype}. Export as "
            f"{' or '.join([*others, 'npy'])}."
        )
    if target in ("ome-tiff", "ome-zarr") and len(picture.spatial_shape) < 2:
        return (
            f"{title} holds pictures of two spatial axes or more, the image has one. "
            "Export as npy."
        )
    if target in ("ome-tiff", "ome-zarr") and len(picture.spatial_shape) > 3:
        return (
            f"{title} holds up to three spatial axes here, the image has "
            f"{len(picture.spatial_shape)}. Export as npy or soma."
        )
    return None


def _png_refusal(picture: Picture) -> str | None:
    sizes = picture.spatial_shape
    is_gray = picture.n_channels == 1
    if len(sizes) < 2:
        return "PNG holds pictures of two axes, the image has one. Export as npy."
    if sum(n > 1 for n in sizes) > 2:
        return (
            f"PNG holds one plane, the region has {' x '.join(map(str, sizes))} pixels."
            " Choose a region of one plane, or export as ome-tiff."
        )
    if picture.dtype.name not in _PNG_TYPES:
        return (
            f"PNG holds 8 or 16 bits without sign, the pixels are {picture.dtype}. "
            "Export as ome-tiff or npy."
        )
    if not is_gray and not (picture.is_rgb and picture.n_channels in (3, 4)):
        return (
            f"PNG holds gray or RGB, the image has {picture.n_channels} channels. "
            "Choose one channel, or export as ome-tiff."
        )
    if not is_gray and picture.dtype.name == "uint16":
        return (
            "PNG holds RGB of 8 bits here, the pixels have 16. Export as ome-tiff, or "
            "choose one channel."
        )
    if math.prod(sizes) > MAX_PNG_PIXELS:
        return (
            f"PNG is for figures, up to {MAX_PNG_PIXELS // 10**6} megapixels; the "
            f"region has {math.prod(sizes) / 1e6:,.0f}. Choose a coarser level or a "
            "smaller region, or export as ome-tiff."
        )
    return None


def check_picture(picture: Picture, target: Format, subject: str) -> None:
    """Check that a format can hold an image.

    Raises
    ------
    UnsupportedError
        If not; says what to do.
    """
    if reason := refusal(picture, target):
        msg = f"Cannot export {subject}: {reason}"
        raise UnsupportedError(msg)


def check_packages(target: Format, compression: str | None = None) -> None:
    """Check that the packages for a format are installed.

    Raises
    ------
    UnsupportedError
        Names the one that is missing.
    """
    for package in _PACKAGES.get(target, ()):
        if importlib.util.find_spec(package) is None:
            extra = (
                "pip install 'napari-msimage[zarr]'"
                if target == "ome-zarr"
                else f"pip install {'pillow' if package == 'PIL' else package}"
            )
            msg = f"{TITLES[target]} needs the package {package!r}: {extra}"
            raise UnsupportedError(msg)
    if (
        target == "ome-tiff"
        and compression == "zstd"
        and importlib.util.find_spec("imagecodecs") is None
    ):
        msg = (
            "OME-TIFF with zstd needs the package 'imagecodecs': pip install "
            "'napari-msimage[zstd]'. Or choose zlib."
        )
        raise UnsupportedError(msg)


def estimate(picture: Picture, target: Format, options: ExportOptions) -> int:
    """Return the size of a file, roughly."""
    kind = "labels" if picture.is_labels else picture.dtype.name
    ratio = _RATIOS.get(kind, _RATIOS["other"])
    is_plain = target == "npy" or (
        target in ("ome-tiff", "ome-zarr") and options.compression == "none"
    )
    size = picture.nbytes * (1.0 if is_plain else ratio)
    return round(size * (_PYRAMID if options.pyramid else 1)) + 1024


def most_bytes(n_bytes: int, target: Format, options: ExportOptions) -> int:
    """Return the disk space that a file may take while it is being written."""
    # Coarser levels of a TIFF are there twice for a while.
    factor = 5 / 3 if options.pyramid and target == "ome-tiff" else _PYRAMID
    return round(n_bytes * (factor if options.pyramid else 1.0) * 1.02) + 2**16


__all__ = ["FORMATS", "Picture", "bytes_in_words", "check_picture", "estimate"]
