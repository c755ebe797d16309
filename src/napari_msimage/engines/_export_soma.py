"""Export as SOMA image: a cut-out with its own levels, where it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..coordinates import AffineTransform, Axis, CoordinateSpace
from ..errors import AlreadyExistsError, ArgumentError
from ._store_plan import ImageToWrite, SceneToWrite
from ._store_write import write_store

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy.typing as npt

    from ..coordinates import CoordinateTransform
    from ._export_plan import ExportPlan, PlannedFile
    from ._export_writers import ExportPixels

_HINTS: Final = "napari_msimage"
_HINTS_VERSION: Final = 1


def write_soma(
    plan: ExportPlan, file: PlannedFile, pixels: ExportPixels
) -> Generator[int, None, None]:
    """Write a cut-out as an image of its own.

    One whose pixels are world coordinates becomes an image. Any other becomes a scene
    of one image, with the transform between them.

    Parameters
    ----------
    plan : ExportPlan
        The plan.
    file : PlannedFile
        Which part of it.
    pixels : ExportPixels
        Its pixels.

    Yields
    ------
    int
        Bytes done.

    Raises
    ------
    SOMAError
        As of `write_store`.
    """
    what = what_to_write(plan, file, pixels)
    replace = plan.options.overwrite
    steps = write_store(file.path, what, replace=replace, context=plan.context)
    try:
        for progress in steps:
            yield round(progress.fraction * file.nbytes)
    except AlreadyExistsError as err:
        text = str(err).replace("replace=True", "overwrite=True")
        raise AlreadyExistsError(text) from err


def what_to_write(
    plan: ExportPlan, file: PlannedFile, pixels: ExportPixels
) -> ImageToWrite | SceneToWrite:
    """Return the image, or the scene with an image, that a cut-out becomes."""
    source = plan.source
    names = source.coordinate_names or source.spatial_names[::-1]
    units = dict(zip(source.spatial_names, source.units, strict=True))
    space = CoordinateSpace(tuple(Axis(name, units[name]) for name in names))
    is_plain = np.array_equal(file.to_world, np.eye(len(file.to_world)))
    image = ImageToWrite(
        levels=(pixels,),
        coordinate_space=space if is_plain else CoordinateSpace.from_axis_names(names),
        data_axis_order=source.axis_names,
        metadata=_metadata(plan),
        more_levels=plan.options.pyramid,
        method="mode" if source.is_labels else "mean",
    )
    if is_plain:
        return image
    key = "labels" if source.is_labels else "image"
    transform = _from_world(file.to_world, source.spatial_names, names)
    return SceneToWrite(space, {key: image}, {key: transform})


def _from_world(
    to_world: npt.NDArray[np.float64],
    data_names: tuple[str, ...],
    names: tuple[str, ...],
) -> CoordinateTransform:
    """Return the transform from the scene to the image's pixels.

    Parameters
    ----------
    to_world : ndarray, (n_spatial + 1, n_spatial + 1)
        Augmented, axes in data axis order.
    data_names, names : tuple of str
        Spatial axes in data and in coordinate axis order.

    Raises
    ------
    ArgumentError
        If the matrix is singular.
    """
    order = [*(data_names.index(name) for name in names), len(names)]
    matrix = to_world[np.ix_(order, order)]
    try:
        return AffineTransform(names, names, matrix).inverse_transform()
    except ArgumentError as err:
        msg = (
            f"The transform {to_world.tolist()} to world coordinates flattens the "
            "image; give each axis of the layer a scale other than 0."
        )
        raise ArgumentError(msg) from err


def _metadata(plan: ExportPlan) -> dict[str, Any]:
    """Return the metadata of the cut-out: of the channels that it has."""
    metadata = dict(plan.source.metadata)
    text = metadata.get(_HINTS)
    hints = json.loads(text) if isinstance(text, str) else {"version": _HINTS_VERSION}
    changed = {**hints, **_changed_hints(plan, hints)}
    if changed != hints:
        metadata[_HINTS] = json.dumps(changed, ensure_ascii=False)
    return metadata


def _changed_hints(plan: ExportPlan, hints: dict[str, Any]) -> dict[str, Any]:
    """Return what a reader could not tell from the cut-out, or would tell wrongly."""
    source, axis = plan.source, plan.source.channel_axis
    found: dict[str, Any] = {}
    if source.is_labels:
        found["layer_type"] = "labels"
    if axis is None or plan.channels is None:
        return found
    is_part = plan.channels != tuple(range(source.shape(0)[axis]))
    given = hints.get("channels")
    if isinstance(given, list):
        if is_part:
            found["channels"] = [
                given[i] if i < len(given) else {} for i in plan.channels
            ]
    elif source.channel_names and not plan.is_rgb:
        found["channels"] = [{"name": source.channel_names[i]} for i in plan.channels]
    # Readers take three or four channels of 8 bits for colours.
    is_taken = len(plan.channels) in (3, 4) and source.dtype == np.uint8
    wish = hints.get("rgb", is_taken if len(plan.channels) in (3, 4) else False)
    if wish != plan.is_rgb or (is_part and "rgb" in hints):
        found["rgb"] = plan.is_rgb
    return found
