"""plan_export: which files an export writes, decided before a pixel is read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import numpy as np

from ..errors import ArgumentError, RegionError, UnsupportedError
from ._export_axes import is_turned, tiff_layout, zarr_layout
from ._export_coarser import level_type
from ._export_fill import check_fill, fill_number
from ._export_formats import (
    FOLDERS,
    RAW,
    STORES_ROTATION,
    TITLES,
    check_packages,
    check_picture,
    estimate,
    format_of,
)
from ._export_levels import level_index
from ._export_open import export_source
from ._export_paths import (
    check_paths,
    csv_path,
    file_paths,
    json_path,
    local_place,
)
from ._export_plan import Compression, ExportOptions, ExportPlan, PlannedFile
from ._export_regions import (
    all_regions,
    channels_of,
    picture_of,
    pixel_size,
    region_window,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy.typing as npt

    from ..storage import MultiscaleImage, SOMATileDBContext
    from ._export_axes import TiffLayout, ZarrLayout
    from ._export_formats import Picture
    from ._export_plan import Format
    from ._export_source import ExportSource, ImageRegion

_COMPRESSIONS: Final = get_args(Compression)
#: What formats can be compressed with, the default first.
_CHOICES: Final[dict[Format, tuple[Compression, ...]]] = {
    "ome-tiff": ("zlib", "zstd", "none"),
    "ome-zarr": ("zstd", "zlib", "none"),
}


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
    fill_value: complex = 0,
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
    fill_value : float or complex
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
        If another argument makes no sense, or the destination is the image itself,
        inside of it or around it.
    UnsupportedError
        If the format cannot hold the pixels, or needs a package that is missing.
    """
    source = export_source(image_or_uri, context)
    place = local_place(destination, format)
    target = format_of(place, format)
    options = ExportOptions(
        compression=_compression(target, compression),
        pyramid=_pyramid(target, pyramid),
        mask=bool(mask or alpha),
        fill_value=fill_number(fill_value),
        alpha=bool(alpha),
        json=target in RAW if json is None else bool(json),
        overwrite=bool(overwrite),
    )
    index = level_index(source, level)
    chosen = channels_of(source, channels)
    regions = all_regions(source, region)
    planner = _Planner(source, target, index, chosen, options)
    paths = file_paths(place, source, index, regions)
    files = planner.files(regions, paths)
    csv = csv_path(place) if len(files) > 1 else None
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
    check_paths(plan)
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
        self._to_world = source.level_to_world(level)
        self._pixel_size = pixel_size(source, level)
        self._factors = np.divide(source.spatial_shape(0), source.spatial_shape(level))

    def files(
        self, regions: Sequence[ImageRegion | None], paths: Sequence[str]
    ) -> tuple[PlannedFile, ...]:
        """Plan the files of all regions; of several, errors name the one."""
        files = []
        for number, (region, path) in enumerate(
            zip(regions, paths, strict=True), start=1
        ):
            try:
                files.append(self.file(region, path))
            except RegionError as err:
                if len(regions) == 1:
                    raise
                name = f" {region.name!r}" if region and region.name else ""
                msg = f"Region {number} of {len(regions)}{name}: {err}"
                raise RegionError(msg) from err
        check_packages(self._target, self._options.compression)
        return tuple(files)

    def file(self, region: ImageRegion | None, path: str) -> PlannedFile:
        """Plan the file of one region."""
        source, level = self._source, self._level
        window = region_window(source, level, region)
        picture = picture_of(source, window, self._channels)
        if self._target == "ome-tiff" and picture.dtype == np.bool_:
            picture = dataclasses.replace(picture, dtype=np.dtype(np.uint8))
        check_picture(picture, self._target, repr(source.name))
        self._check_options(picture)
        starts, stops = zip(
            *(b for i, b in enumerate(window) if i != source.channel_axis), strict=True
        )
        to_world = self._to_world.copy()
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
            pixel_size=self._pixel_size,
            origin=tuple(float(value) for value in to_world[:-1, -1]),
            to_world=to_world,
            lower=tuple(float(v) for v in np.multiply(starts, self._factors)),
            upper=tuple(float(v) for v in np.multiply(stops, self._factors)),
            json_path=json_path(path) if self._options.json else None,
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
            check_fill(options.fill_value, picture.dtype)

    def notes(self, files: Sequence[PlannedFile]) -> tuple[str, ...]:
        """Return what the files do not hold, as sentences."""
        notes = []
        linear = files[0].to_world[:-1, :-1]
        if self._target not in STORES_ROTATION and is_turned(files[0].to_world):
            where = (
                "it is in the .json file beside"
                if self._options.json
                else "it is not in the file"
            )
            notes.append(
                "The image is turned or sheared in world coordinates, which "
                f"{TITLES[self._target]} does not store: the bounding box along the "
                f"image's own axes is exported, and the rotation is lost ({where})."
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
            notes.append(f"{TITLES[self._target]} gets the axes in the order {order}.")
        if file.dtype != source.dtype:
            notes.append(f"Pixels of type {source.dtype} become {file.dtype}, 0 and 1.")
        if self._options.pyramid and level_type(file.dtype) is None:
            notes.append(
                f"Pixels of type {file.dtype} get no coarser levels: they cannot be "
                "averaged."
            )
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
    return not on_edge.all() or _area(corners) < (1 - 1e-6) * float(np.prod(high - low))


def _area(corners: npt.NDArray[np.float64]) -> float:
    """Return the area of a polygon that does not cross itself."""
    rows, columns = (corners - corners[0]).T
    crossed = rows * np.roll(columns, -1) - columns * np.roll(rows, -1)
    return abs(float(crossed.sum())) / 2


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
            msg = f"{TITLES[target]} holds one level; leave pyramid out."
            raise ArgumentError(msg)
        return False
    return target in FOLDERS if wanted is None else bool(wanted)
