"""plan_export: which files an export writes, decided before a pixel is read."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import urllib.parse
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ..storage import is_local
from ._export_axes import tiff_layout, zarr_layout
from ._export_files import check_name
from ._export_formats import (
    FOLDERS,
    RAW,
    STORES_ROTATION,
    check_packages,
    check_picture,
    estimate,
    format_of,
    split_ending,
)
from ._export_levels import (
    all_regions,
    channels_of,
    level_index,
    picture_of,
    pixel_size,
    region_window,
)
from ._export_open import export_source
from ._export_plan import Compression, ExportOptions, ExportPlan, PlannedFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..storage import MultiscaleImage, SOMATileDBContext
    from ._export_axes import TiffLayout, ZarrLayout
    from ._export_formats import Picture
    from ._export_plan import Format
    from ._export_source import ExportSource, ImageRegion

_FIELD: Final = re.compile(r"\{(name|index|region|label|level)(:0?\d{1,2}d?)?\}")
_COMPRESSIONS: Final = get_args(Compression)
#: What formats can be compressed with, the default first.
_CHOICES: Final[dict[Format, tuple[Compression, ...]]] = {
    "ome-tiff": ("zlib", "zstd", "none"),
    "ome-zarr": ("zstd", "zlib", "none"),
}
#: Off the grid by less, in parts of a pixel's length, is not turned.
_STRAIGHT: Final = 1e-6


def plan_export(
    image_or_uri: ExportSource | MultiscaleImage | str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    region: Any = None,
    level: int | str = 0,
    channels: Any = None,
    format: str | None = None,
    compression: str | None = None,
    pyramid: bool | None = None,
    mask: bool = False,
    fill_value: float = 0,
    alpha: bool = False,
    json: bool | None = None,
    overwrite: bool = False,
    context: SOMATileDBContext | None = None,
) -> ExportPlan:
    """Plan the export of regions of an image; reads no pixels and writes nothing.

    Parameters
    ----------
    image_or_uri : ExportSource, MultiscaleImage, str or path
        The image, or its address.
    destination : str or path
        File (or folder, of OME-Zarr and SOMA) to be made. Of several regions one each:
        ``{name}`` of the image, ``{index}`` from 1 (``{index:03}``), ``{region}`` (its
        name) and ``{level}`` in it are replaced; if none is there, the index is
        appended.
    region : sequence of float, ImageRegion, or list of these, optional
        ``(x_min, y_min[, z_min], x_max, y_max[, z_max])`` in image coordinates, the
        axes as in the image's coordinate space, half-open. The whole image by default.
    level : int or str
        Index or key of the level to cut.
    channels : int, str or sequence of these, optional
        Channels by index or name, in the order wanted; all by default. The channel
        axis stays.
    format : {"ome-tiff", "ome-zarr", "png", "npy", "soma"}, optional
        By default what the ending of `destination` says.
    compression : {"zlib", "zstd", "none"}, optional
        Of OME-TIFF (default zlib) and OME-Zarr (default zstd).
    pyramid : bool, optional
        Whether the file gets coarser levels of its own; by default OME-Zarr and SOMA
        images do, and OME-TIFF does not.
    mask : bool
        Whether pixels whose centres are outside a region's outline get `fill_value`.
    fill_value : float
        Value of these pixels.
    alpha : bool
        Whether these pixels are transparent instead: RGB and gray of 8 bits as PNG,
        RGB as OME-TIFF.
    json : bool, optional
        Whether a ``.json`` file beside each file says where the pixels come from; by
        default PNG and NPY get one.
    overwrite : bool
        Whether what is at the destination may be replaced.
    context : SOMATileDBContext, optional
        TileDB configuration, for addresses.

    Returns
    -------
    ExportPlan
        To be run by `write_export`.

    Raises
    ------
    RegionError
        If a region has no extent or lies outside the image.
    ArgumentError, ArgumentTypeError, LevelIndexError, LevelKeyError
        If another argument makes no sense.
    UnsupportedError
        If the format cannot hold the pixels, or needs a package that is missing.
    """
    source = export_source(image_or_uri, context)
    place = _local_path(destination, format)
    target = format_of(place, format)
    options = ExportOptions(
        compression=_compression(target, compression),
        pyramid=_pyramid(target, pyramid),
        mask=bool(mask or alpha),
        fill_value=fill_value,
        alpha=bool(alpha),
        json=target in RAW if json is None else bool(json),
        overwrite=bool(overwrite),
    )
    index = level_index(source, level)
    chosen = channels_of(source, channels)
    regions = all_regions(source, region)
    planner = _Planner(source, target, index, chosen, options)
    paths = _paths(place, source, index, regions)
    files = tuple(
        planner.file(one, path) for one, path in zip(regions, paths, strict=True)
    )
    csv = _csv_path(place) if len(files) > 1 else None
    plan = ExportPlan(
        source=source,
        level=index,
        format=target,
        channels=chosen,
        files=files,
        options=options,
        notes=planner.notes(files),
        csv_path=csv,
        context=context,
    )
    _check_paths(plan)
    return plan


class _Planner:
    """Plans files that differ in their regions only."""

    def __init__(
        self,
        source: ExportSource,
        target: Format,
        level: int,
        channels: tuple[int, ...] | None,
        options: ExportOptions,
    ) -> None:
        self._source = source
        self._target = target
        self._level = level
        self._channels = channels
        self._options = options

    def file(self, region: ImageRegion | None, path: str) -> PlannedFile:
        """Plan the file of one region."""
        source, level = self._source, self._level
        window = region_window(source, level, region)
        picture = picture_of(source, window, self._channels)
        if self._target == "ome-tiff" and picture.dtype == np.bool_:
            picture = dataclasses.replace(picture, dtype=np.dtype(np.uint8))
        check_picture(picture, self._target, repr(source.name))
        check_packages(self._target, self._options.compression)
        self._check_options(picture)
        starts, stops = zip(
            *(b for i, b in enumerate(window) if i != source.channel_axis), strict=True
        )
        factors = np.divide(source.spatial_shape(0), source.spatial_shape(level))
        to_world = source.level_to_world(level)
        to_world[:-1, -1] += to_world[:-1, :-1] @ np.asarray(starts, float)
        return PlannedFile(
            path=path,
            region=region,
            name=region.name if region else "",
            window=window,
            shape=picture.shape,
            dtype=picture.dtype,
            nbytes=picture.nbytes,
            estimated_bytes=estimate(picture, self._target, self._options),
            pixel_size=pixel_size(source, level),
            origin=tuple(float(value) for value in to_world[:-1, -1]),
            to_world=to_world,
            lower=tuple(float(v) for v in np.multiply(starts, factors)),
            upper=tuple(float(v) for v in np.multiply(stops, factors)),
            json_path=_json_path(path) if self._options.json else None,
        )

    def _check_options(self, picture: Picture) -> None:
        options = self._options
        if options.alpha:
            is_gray = picture.n_channels == 1 and not picture.is_rgb
            fits = picture.dtype == np.uint8 and (
                (picture.is_rgb and self._target in ("png", "ome-tiff"))
                or (is_gray and self._target == "png")
            )
            if not fits:
                msg = (
                    "Transparent pixels outside of a region can be exported of RGB as "
                    "png or ome-tiff, and of gray as png, 8 bits each; this is "
                    f"{picture.dtype} as {self._target}. Use a fill value instead."
                )
                raise UnsupportedError(msg)
        if options.mask:
            value = np.asarray(options.fill_value)
            with np.errstate(all="ignore"):
                is_same = np.array_equal(
                    value.astype(picture.dtype),
                    value,
                    equal_nan=value.dtype.kind == "f",
                )
            if not (
                is_same or (picture.dtype.kind in "fc" and value.dtype.kind in "fi")
            ):
                msg = (
                    f"fill_value {options.fill_value!r} does not fit into pixels of "
                    f"type {picture.dtype}."
                )
                raise ArgumentError(msg)

    def notes(self, files: Sequence[PlannedFile]) -> tuple[str, ...]:
        """Return what the files do not hold, as sentences."""
        notes = []
        linear = files[0].to_world[:-1, :-1]
        off = np.abs(linear - np.diag(np.diag(linear)))
        lengths = np.linalg.norm(linear, axis=0)
        if self._target not in STORES_ROTATION and (off > _STRAIGHT * lengths).any():
            where = (
                "it is in the .json file beside"
                if self._options.json
                else "it is not in the file"
            )
            notes.append(
                "The image is turned or sheared in world coordinates, which "
                f"{self._target} does not store: the bounding box along the image's "
                f"own axes is exported, and the rotation is lost ({where})."
            )
        elif self._target not in STORES_ROTATION and (np.diag(linear) < 0).any():
            notes.append(
                "The image is flipped in world coordinates; the file holds the pixels "
                "as they are stored, not flipped."
            )
        masked = [file for file in files if file.region and _is_outlined(file.region)]
        if masked and not self._options.mask:
            notes.append(
                f"{len(masked)} of {len(files)} regions are no rectangles along the "
                "image's axes: their bounding boxes are exported."
            )
        return (*notes, *self._axis_notes(files[0]))

    def _axis_notes(self, file: PlannedFile) -> list[str]:
        """Return what is different about axes and type."""
        source = self._source
        names = source.axis_names
        layout: TiffLayout | ZarrLayout
        if self._target == "ome-tiff":
            picture = picture_of(source, file.window, self._channels)
            layout = tiff_layout(names, is_rgb=picture.is_rgb)
        elif self._target == "ome-zarr":
            layout = zarr_layout(names)
        else:
            return []
        notes = []
        if not layout.is_same:
            order = ", ".join(names[i] for i in layout.order)
            notes.append(f"{self._target} needs another order of the axes: {order}.")
        if file.dtype != source.dtype:
            notes.append(f"Pixels of type {source.dtype} become {file.dtype}, 0 and 1.")
        return notes


def _is_outlined(region: ImageRegion) -> bool:
    """Tell whether the outline is another than the box."""
    if region.outline is None:
        return False
    corners = np.asarray(region.outline, float)
    axes = list(region.outline_axes)
    low, high = np.asarray(region.lower)[axes], np.asarray(region.upper)[axes]
    slack = 1e-6 * np.maximum(1, np.abs(high - low))
    on_edge = (np.abs(corners - low) <= slack) | (np.abs(corners - high) <= slack)
    return not on_edge.all()


# Choices ------------------------------------------------------------------------


def _compression(target: Format, wanted: str | None) -> Compression:
    if wanted is not None and wanted not in _COMPRESSIONS:
        msg = f"compression must be one of {', '.join(_COMPRESSIONS)}, got {wanted!r}"
        raise ArgumentError(msg)
    choices = _CHOICES.get(target)
    if choices is None:
        return "none" if target == "npy" else "zlib"
    if wanted is None:
        return choices[0]
    return cast("Compression", wanted)


def _pyramid(target: Format, wanted: bool | None) -> bool:
    if target in RAW:
        if wanted:
            msg = f"{target} holds one level; leave pyramid out."
            raise ArgumentError(msg)
        return False
    return target in FOLDERS if wanted is None else bool(wanted)


# Paths --------------------------------------------------------------------------


def _local_path(destination: Any, wanted: str | None) -> str:
    """Return a destination as an absolute path; as it is for SOMA on object stores."""
    if not isinstance(destination, str | os.PathLike):
        msg = (
            "destination must be a path or an address, got "
            f"{type(destination).__name__}"
        )
        raise ArgumentTypeError(msg)
    place = os.fspath(destination)
    if not isinstance(place, str):
        msg = "destination must be text, got bytes"
        raise ArgumentTypeError(msg)
    if not place.strip():
        msg = "The destination is empty; give the name of the file to be written."
        raise ArgumentError(msg)
    if place.startswith("file://"):
        place = urllib.parse.urlsplit(place).path
    elif not is_local(place):
        if format_of(place, wanted) == "soma":
            return place
        msg = (
            f"Cannot export to {place!r}: files are written to local folders. Choose "
            "one, or export as soma."
        )
        raise UnsupportedError(msg)
    if place.endswith(os.sep) and format_of(place, wanted) not in FOLDERS:
        msg = f"{place!r} is the name of a folder; give the name of a file in it."
        raise ArgumentError(msg)
    if "\0" in place:
        check_name(place)
    return os.path.abspath(os.path.expanduser(place))


def _paths(
    place: str,
    source: ExportSource,
    level: int,
    regions: Sequence[ImageRegion | None],
) -> list[str]:
    """Return the path of each region's file, no two the same."""
    folder, file_name = os.path.split(place)
    stem, ending = split_ending(file_name)
    if len(regions) > 1 and not _FIELD.search(stem):
        stem += "_{index}"
    taken: set[str] = set()
    paths = []
    for number, region in enumerate(regions, start=1):
        label = (region.name if region else "") or f"region{number}"
        values = {
            "name": source.name,
            "index": number,
            "region": label,
            "label": label,
            "level": level,
        }
        name = _FIELD.sub(functools.partial(_filled, values), stem)
        unique, again = name, 2
        while unique.lower() in taken:
            unique, again = f"{name}-{again}", again + 1
        taken.add(unique.lower())
        paths.append(os.path.join(folder, unique + ending))
    return paths


def _filled(values: dict[str, Any], match: re.Match[str]) -> str:
    """Return the value of a field of a name template, fit for a file name."""
    value, width = values[match[1]], (match[2] or ":")[1:].rstrip("d")
    if isinstance(value, int):
        return f"{value:{width}d}" if width else str(value)
    text = re.sub(r'[\x00-\x1f/\\<>:"|?*]', "_", str(value)).strip(". ")
    return text or "_"


def _csv_path(place: str) -> str:
    folder, name = os.path.split(place)
    stem = _FIELD.sub("", split_ending(name)[0]).strip(" _-.")
    return os.path.join(folder, f"{stem or 'regions'}.csv")


def _json_path(path: str) -> str:
    return f"{path}.json"


def _check_paths(plan: ExportPlan) -> None:
    for path in plan.paths:
        check_name(path)
    if plan.options.json and not is_local(plan.files[0].path):
        msg = "A .json file is written to local folders only; leave json out."
        raise ArgumentError(msg)
    own = plan.source.uri
    if own and is_local(own):
        inside = os.path.abspath(own.removeprefix("file://"))
        for path in plan.paths:
            if path == inside or path.startswith(inside + os.sep):
                msg = (
                    f"Cannot export to {path!r}: that is inside of the image that the "
                    "pixels come from. Choose another place."
                )
                raise ArgumentError(msg)
