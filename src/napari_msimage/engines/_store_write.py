"""Write a new image, or a scene of images, from arrays: streaming, all or nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import AlreadyExistsError, ArgumentError, StorageError, UnsupportedError
from ..storage import (
    LevelSpec,
    MultiscaleImage,
    Scene,
    SOMATileDBContext,
    check_uri,
    create_level_array,
    directory_name,
    is_inside,
    is_local,
    kind_of,
    normalize_uri,
    now_ms,
    remove_object,
)
from ._levels import LevelsRun, ThreadWorkers
from ._pixel_source import GivenLevel
from ._pixel_source_folder import zarr_folders
from ._progress import Progress
from ._staging import staged_folder
from ._store_plan import ImageToWrite, SceneToWrite, plan_store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from ..storage import StagedArray
    from ._pixel_source import PixelSource
    from ._store_plan import ImagePlan, LevelsStep, StorePlan

#: Where a scene keeps its images.
_IMAGES: Final = "img"
_TILEDB_MARKS: Final = ("__tiledb_group.tdb", "__schema")


def write_store(
    uri: str,
    what: ImageToWrite | SceneToWrite,
    *,
    replace: bool = False,
    context: SOMATileDBContext | None = None,
) -> Generator[Progress, None, tuple[str, ...]]:
    """Write arrays as a new image or scene; an engine, see `run`.

    On local disks it appears when it is complete and checked, or not at all: it is
    written to a temporary folder beside `uri`, which is renamed at the end and removed
    on an error or when the generator is closed. On object stores, which cannot rename,
    all arrays are written in their final places before the groups that make them an
    image. Pixels are read block by block, by a few threads; memory does not depend on
    the size of the image, but on that of the blocks in which a lazy source computes.

    Parameters
    ----------
    uri : str
        Where it shall be.
    what : ImageToWrite or SceneToWrite
        What to write.
    replace : bool
        Whether a SOMA image or scene at `uri` may be replaced. It stays as it is until
        the new one is complete and checked; local disks only.
    context : SOMATileDBContext, optional
        TileDB configuration.

    Yields
    ------
    Progress
        Bytes of pixels passed over, and to be passed over.

    Returns
    -------
    tuple of str
        Address of what was written: one entry.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If levels, names or `uri` make no sense; raised before anything is written.
    AlreadyExistsError
        If there is something at `uri`, and it may not or cannot be replaced.
    UnsupportedError
        If something on an object store is to be replaced.
    DoesNotExistError
        If the folder around `uri` is missing.
    AccessError, StorageError
        If the place cannot be written to, the disk is too small or full, a source
        fails, or what was written is not as it should be.
    """
    plan = plan_store(what)
    # One context for all steps: what is in memory is visible within one only.
    context = context or SOMATileDBContext()
    destination = normalize_uri(check_uri(uri))
    _check_destination(destination, what, context)
    with contextlib.ExitStack() as stack:
        if is_local(destination):
            staging = staged_folder(destination, plan.nbytes, replace=replace)
            target = stack.enter_context(staging)
        else:
            _check_remote(destination, context, replace=replace)
            target = destination
        writer = _Writer(target, what, plan, context)
        if target == destination:
            stack.enter_context(_removed_on_failure(writer))
        yield from writer.write()
    return (uri,)


def _check_destination(
    destination: str, what: ImageToWrite | SceneToWrite, context: SOMATileDBContext
) -> None:
    """Refuse places inside of other TileDB objects, and the sources' own."""
    images = [what] if isinstance(what, ImageToWrite) else list(what.images.values())
    for level in (level for image in images for level in image.levels):
        source = getattr(level, "uri", None)
        if not isinstance(source, str):
            continue
        found = normalize_uri(source)
        if found == destination or is_inside(found, destination):
            msg = (
                f"Cannot write to {destination!r}: the pixels to be written come from "
                "there. Choose another place."
            )
            raise ArgumentError(msg)
    if not is_local(destination):
        return
    for level in (level for image in images for level in image.levels):
        _check_outside_zarr(destination, level)
    for folder in Path(destination).parents:
        if any(os.path.exists(folder / mark) for mark in _TILEDB_MARKS):
            msg = (
                f"Cannot write to {destination!r}: that is inside of the TileDB object "
                f"{str(folder)!r}. Choose a place outside of it."
            )
            raise ArgumentError(msg)


def _check_outside_zarr(destination: str, level: PixelSource) -> None:
    """Refuse a place inside of the zarr folder of a source, or around it."""
    # what a link leads to may not exist yet
    place = os.path.realpath(destination)
    for folder in zarr_folders(level):
        if place == folder or is_inside(place, folder) or is_inside(folder, place):
            msg = (
                f"Cannot write to {destination!r}: the pixels to be written come from "
                f"the zarr folder {folder!r}. Choose a place outside of it."
            )
            raise ArgumentError(msg)


def _check_remote(
    destination: str, context: SOMATileDBContext, *, replace: bool
) -> None:
    kind = kind_of(destination, context.tiledb_ctx(destination))
    if kind in ("missing", "folder"):
        return
    if replace:
        msg = (
            f"There is something ({kind}) at {destination!r}. Object stores cannot "
            "rename, so that it cannot be replaced in one step; write to another "
            "address and remove the old one afterwards."
        )
        raise UnsupportedError(msg)
    msg = (
        f"There is something ({kind}) at {destination!r} already; it is left as it is. "
        "Choose another address or remove it first."
    )
    raise AlreadyExistsError(msg)


@contextlib.contextmanager
def _removed_on_failure(writer: _Writer) -> Iterator[None]:
    """Remove what was written when the block fails."""
    try:
        yield
    except BaseException:
        writer.remove()
        raise


class _Writer:
    """Writes what was planned to a place where nothing is."""

    def __init__(
        self,
        target: str,
        what: ImageToWrite | SceneToWrite,
        plan: StorePlan,
        context: SOMATileDBContext,
    ) -> None:
        self._target = target
        self._what = what
        self._context = context
        self._timestamp_ms = context.open_timestamp_ms(None) or now_ms()
        self._is_registered = False
        self._images = [
            _ImageWriter(
                uri, image, plan.images[name], context, self._timestamp_ms, name
            )
            for name, uri, image in self._places()
        ]

    def _places(self) -> Iterator[tuple[str, str, ImageToWrite]]:
        if isinstance(self._what, ImageToWrite):
            yield "", self._target, self._what
            return
        taken: set[str] = set()
        for name, image in self._what.images.items():
            folder = directory_name(name, taken.__contains__)
            taken.add(folder)
            yield name, f"{self._target}/{_IMAGES}/{folder}", image

    def write(self) -> Iterator[Progress]:
        """Write all pixels, then the groups; yields the progress."""
        total = sum(image.nbytes for image in self._images)
        before = 0
        yield Progress(0, total)
        for image in self._images:
            for done in image.write_pixels():
                yield Progress(before + done, total)
            before += image.nbytes
        for image in self._images:
            image.register()
        if isinstance(self._what, SceneToWrite):
            self._register_scene(self._what)
        yield Progress(total, total)

    def remove(self) -> None:
        """Remove what was written, and nothing that others put there meanwhile."""
        if self._is_registered:
            remove_object(self._target, self._context.tiledb_ctx(self._target))
            return
        for image in self._images:
            image.remove()

    def _register_scene(self, scene: SceneToWrite) -> None:
        with Scene.create(
            self._target, coordinate_space=scene.coordinate_space, context=self._context
        ) as group:
            self._is_registered = True
            group.metadata.update(scene.metadata)
            images = group.add_new_collection(_IMAGES, uri=_IMAGES)
            for name, image in zip(scene.images, self._images, strict=True):
                with MultiscaleImage.open(image.uri, context=self._context) as stored:
                    images.set(name, stored, use_relative_uri=True)
                if name in scene.transforms:
                    group.set_transform_to_multiscale_image(
                        name, transform=scene.transforms[name]
                    )


class _ImageWriter:
    """Writes one image: arrays first, then the group that makes them its levels."""

    def __init__(
        self,
        uri: str,
        image: ImageToWrite,
        plan: ImagePlan,
        context: SOMATileDBContext,
        timestamp_ms: int,
        name: str,
    ) -> None:
        self.uri = uri
        self.timestamp_ms = timestamp_ms
        self._of_image = f" of image {name!r}" if name else ""
        self._image = image
        self._plan = plan
        self._context = context
        self._arrays: list[StagedArray] = []
        self._is_registered = False

    @property
    def nbytes(self) -> int:
        """Bytes of pixels to be passed over."""
        return sum(step.nbytes for step in self._plan.steps)

    @property
    def uris(self) -> Mapping[str, str]:
        """Address of each level's array by key."""
        return {array.key: array.uri for array in self._arrays}

    def write_pixels(self) -> Iterator[int]:
        """Make and fill the arrays; yields the bytes done so far."""
        taken = self._is_taken()
        for level in self._plan.levels:
            spec = LevelSpec(
                level.key, level.shape, level.tile_extents, self._image.platform_config
            )
            uri = f"{self.uri}/{directory_name(level.key, taken)}"
            self._arrays.append(
                create_level_array(
                    uri,
                    spec,
                    self._plan.dtype,
                    self._plan.channel_axis,
                    timestamp_ms=self.timestamp_ms,
                    context=self._context,
                )
            )
        before = 0
        for step in self._plan.steps:
            with contextlib.closing(self._run(step).all_passes()) as progress:
                for one in progress:
                    yield before + one.done
            before += step.nbytes
        for array in self._arrays:
            array.check(self._context.tiledb_ctx(array.uri))

    def _is_taken(self) -> Callable[[str], bool]:
        """Return what tells of folders that dead programs have left."""
        ctx = self._context.tiledb_ctx(self.uri)
        return lambda name: kind_of(f"{self.uri}/{name}", ctx) != "missing"

    def _run(self, step: LevelsStep) -> LevelsRun:
        given = None
        if step.source is not None:
            key = self._plan.levels[step.source].key
            name = f"level {key!r}{self._of_image}"
            pixels = self._image.levels[step.source]
            given = GivenLevel(name, pixels, self._plan.dtype)
        return LevelsRun(
            step.plan,
            self._arrays[0].uri,
            self._context,
            self,
            ThreadWorkers(step.plan.n_threads),
            given,
            step.request,
        )

    def remove(self) -> None:
        """Remove the image, or its arrays if they are none yet."""
        arrays = [array.uri for array in self._arrays]
        for uri in [self.uri] if self._is_registered else arrays:
            remove_object(uri, self._context.tiledb_ctx(uri))

    def register(self) -> None:
        """Make the arrays an image, and check it."""
        plan, image = self._plan, self._image
        names = [array.uri.rpartition("/")[2] for array in self._arrays]
        first = plan.levels[0]
        with MultiscaleImage.create(
            self.uri,
            type=plan.dtype,
            level_shape=first.shape,
            level_key=first.key,
            level_uri=names[0],
            coordinate_space=image.coordinate_space,
            data_axis_order=plan.axis_names,
            has_channel_axis=plan.channel_axis is not None,
            context=self._context,
        ) as new:
            self._is_registered = True
            new.metadata.update(image.metadata)
            for level, name in zip(plan.levels[1:], names[1:], strict=True):
                new.add_new_level(level.key, uri=name, shape=level.shape)
        with MultiscaleImage.open(self.uri, context=self._context) as stored:
            got = tuple(shape for _, shape in stored.levels().values())
            expected = tuple(level.shape for level in plan.levels)
            if got != expected or stored.dtype != plan.dtype:
                msg = (
                    f"The image just written at {self.uri!r} has levels {got} of "
                    f"{stored.dtype}; expected {expected} of {plan.dtype}."
                )
                raise StorageError(msg)
