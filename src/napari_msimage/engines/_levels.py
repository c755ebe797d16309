"""create_levels: make the levels of a plan, out of core, all or nothing."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from ..errors import (
    AccessError,
    ArgumentError,
    ArgumentTypeError,
    BusyError,
    DoesNotExistError,
    SOMAError,
)
from ..storage import (
    STAGING_MARK,
    ArrayWriter,
    LevelSpec,
    MultiscaleImage,
    SOMATileDBContext,
    is_abandoned,
    is_local,
    normalize_uri,
    stage_levels,
)
from ._level_facts import opened
from ._level_jobs import LevelJob, Piece, run_job
from ._level_names import new_keys
from ._level_passes import LevelPass, PassRequest, plan_passes
from ._level_plan import LevelPlan
from ._level_planning import check_open_now, plan_levels
from ._progress import Progress, run
from ._windows import window_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from ._pixel_source import GivenLevel

_log = logging.getLogger(__name__)
#: How often a run looks whether it is wanted any more, and tells how far it is.
_PULSE_S: Final = 0.1


def create_levels(
    uri_or_image: str | os.PathLike[str] | MultiscaleImage,
    plan: LevelPlan | None = None,
    *,
    client: Any = None,
    progress: Callable[[Progress], object] | None = None,
    context: SOMATileDBContext | None = None,
) -> tuple[str, ...]:
    """Make levels that an image lacks, from its finest level; all of them or none.

    The image is read and written block by block: memory does not depend on its size.
    An open image that is passed shows the new levels afterwards; what is pending in it
    is written first.

    Parameters
    ----------
    uri_or_image : str, path or MultiscaleImage
        The image, or its address.
    plan : LevelPlan, optional
        What to make; by default what `plan_levels` proposes.
    client : distributed.Client or str, optional
        A dask cluster, or the address of its scheduler, to do the work; its workers
        have to reach the image by the same address. By default threads of this process.
    progress : callable, optional
        Called with a `Progress` in bytes of the source, several times a second.
    context : SOMATileDBContext, optional
        TileDB configuration, for an address.

    Returns
    -------
    tuple of str
        Keys of the new levels, finest first.

    Raises
    ------
    ArgumentError, ArgumentTypeError, LevelKeyError, UnsupportedError
        If the plan does not fit the image (any more), or the image that is passed shows
        a time in the past; see `plan_levels`.
    ModeError
        If the image that is passed is closed.
    BusyError
        If somebody else is making levels of this image.
    AlreadyExistsError
        If another program has added a level of the same key meanwhile.
    AccessError
        If the image cannot be written to.
    StorageError
        If the disk is too small or full, or reading or writing fails.
    DoesNotExistError
        If the image is not there, or was removed meanwhile.
    ClusterError
        If the cluster cannot be reached (after 5 s), or goes away.

    Notes
    -----
    When it fails, or the process dies, the image is what it was; what a dead process
    has left is removed by the next run. The pixels are the same for any number of
    threads and workers.
    """
    image = uri_or_image if isinstance(uri_or_image, MultiscaleImage) else None
    if image is not None:
        check_open_now(image)
        if image.mode != "r":
            image.reopen(image.mode)
    keys = run(
        write_levels(uri_or_image, plan, client=client, context=context), progress
    )
    if image is not None and not image.closed and keys:
        image.reopen(image.mode)
    return keys


def write_levels(
    uri_or_image: str | os.PathLike[str] | MultiscaleImage,
    plan: LevelPlan | None = None,
    *,
    client: Any = None,
    context: SOMATileDBContext | None = None,
) -> Generator[Progress, None, tuple[str, ...]]:
    """Do what `create_levels` does, step by step; an engine, see `run`.

    Closing the generator stops the work within the block at hand, a fraction of a
    second, and leaves the image as it was. Parameters and errors are those of
    `create_levels`.

    Yields
    ------
    Progress
        Bytes of the source passed over, and to be passed over.

    Returns
    -------
    tuple of str
        Keys of the new levels, finest first.
    """
    if isinstance(uri_or_image, MultiscaleImage):
        check_open_now(uri_or_image)
        context = uri_or_image.context
    context = (context or SOMATileDBContext()).replace(timestamp=None)
    with opened(uri_or_image, context) as image:
        uri = normalize_uri(image.uri)
    plan = plan_levels(uri, context=context) if plan is None else plan
    if not isinstance(plan, LevelPlan):
        msg = (
            f"plan must be a LevelPlan, as plan_levels makes it, got "
            f"{type(plan).__name__}"
        )
        raise ArgumentTypeError(msg)
    source_uri = _check_plan(plan, uri, context)
    if not plan:
        _remove_leftovers(plan, uri, context)
        return ()
    specs = [
        LevelSpec(level.key, level.shape, level.tile_extents, plan.platform_config)
        for level in plan.levels
    ]
    replaced = [level.key for level in plan.levels if level.replaces]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_image_may_vanish(uri))
        workers = stack.enter_context(_workers(plan, client, uri))
        staged = stack.enter_context(
            stage_levels(uri, specs, replace=replaced, context=context)
        )
        making = LevelsRun(plan, source_uri, context, staged, workers)
        yield from making.all_passes()
        staged.register()
    return tuple(level.key for level in plan.levels)


def _check_plan(plan: LevelPlan, uri: str, context: SOMATileDBContext) -> str:
    """Return the address of the source, if the image is as it was planned for."""
    with MultiscaleImage.open(uri, context=context) as image:
        found = tuple((key, shape) for key, (_, shape) in image.levels().items())
        facts = (image.data_axis_order, image.dtype, found)
        if facts != (plan.axis_names, plan.dtype, plan.existing):
            msg = (
                f"The image at {uri!r} is not as it was planned for: it has the levels "
                f"{dict(found)} of {image.dtype}; the plan is for "
                f"{dict(plan.existing)} of {plan.dtype}. Plan again with plan_levels."
            )
            raise ArgumentError(msg)
        level = image.level_array(0)
        if level.shape != plan.source_shape:
            msg = (
                f"The array of level {plan.source_key!r} of {uri!r} has shape "
                f"{level.shape}, the image's metadata say {plan.source_shape}; levels "
                "cannot be made of it"
            )
            raise ArgumentError(msg)
        level.close()
        return image.level_uri(0)


def _remove_leftovers(plan: LevelPlan, uri: str, context: SOMATileDBContext) -> None:
    """Put right what dead programs left, also if there is nothing to make.

    That is a matter of making levels: one is begun and given up.
    """
    if not is_local(uri) or not any(
        name.startswith(STAGING_MARK) and is_abandoned(os.path.join(uri, name))
        for name in os.listdir(uri)
    ):
        return
    keys, shapes = zip(*plan.existing, strict=True)
    free = (
        tuple(
            n if axis == plan.channel_axis else min(n, size)
            for axis, n in enumerate(plan.source_shape)
        )
        for size in range(1, len(shapes) + 2)
    )
    for shape in free:
        if shape in shapes:
            continue
        spec = LevelSpec(new_keys(keys, 1)[0], shape)
        try:
            with stage_levels(uri, [spec], context=context):
                return
        except (AccessError, BusyError) as err:
            _log.info("Leftovers in %s stay: %s", uri, err)
            return


@contextlib.contextmanager
def _image_may_vanish(uri: str) -> Iterator[None]:
    """Say so when work failed because the image was removed meanwhile."""
    try:
        yield
    except SOMAError as err:
        if is_local(uri) and not os.path.exists(
            os.path.join(uri, "__tiledb_group.tdb")
        ):
            msg = (
                f"The image at {uri!r} was removed or moved while its levels were "
                "being made; the levels were not added."
            )
            raise DoesNotExistError(msg) from err
        raise


# The run ------------------------------------------------------------------------


class Workers(Protocol):
    """Who does the jobs of a pass: threads here, or a cluster."""

    def do(
        self, jobs: Sequence[LevelJob]
    ) -> Generator[tuple[int, list[Piece]], None, None]:
        """Do jobs, in any order.

        Yields, several times a second, the root pixels done since, and the pieces of
        the jobs that were finished since. Stops all jobs when it is closed.
        """
        ...


class Targets(Protocol):
    """Arrays that wait for their pixels."""

    @property
    def uris(self) -> Mapping[str, str]:
        """Address of each level's array by key."""
        ...

    @property
    def timestamp_ms(self) -> int:
        """Timestamp to write all pixels with, ms since 1970-01-01 UTC."""
        ...


class LevelsRun:
    """One run: the passes one after the other.

    Parameters
    ----------
    plan : LevelPlan
        What to make.
    source_uri : str
        Address of the stored source.
    context : SOMATileDBContext
        TileDB configuration.
    staged : Targets
        Where to write.
    workers : Workers
        Who does the jobs.
    given : GivenLevel, optional
        Pixels of this process to read instead of the stored source.
    request : PassRequest, optional
        What the passes depend on; by default that of the plan.
    """

    def __init__(
        self,
        plan: LevelPlan,
        source_uri: str,
        context: SOMATileDBContext,
        staged: Targets,
        workers: Workers,
        given: GivenLevel | None = None,
        request: PassRequest | None = None,
    ) -> None:
        self._plan = plan
        self._source_uri = source_uri
        self._context = context
        self._staged = staged
        self._workers = workers
        self._given = given
        self._request = request or request_of(plan)

    def all_passes(self) -> Generator[Progress, None, None]:
        """Make all levels; yields the progress."""
        passes = plan_passes(self._request)
        source_bytes = math.prod(self._plan.source_shape) * self._plan.dtype.itemsize
        total = source_bytes * len(passes)
        yield Progress(0, total)
        for number, one in enumerate(passes):
            n_pixels = math.prod(self._plan.levels[one.levels[0]].shape)
            done = 0
            for more in self._pass(one):
                done += more
                yield Progress(
                    number * source_bytes + source_bytes * done // n_pixels, total
                )

    def _pass(self, one: LevelPass) -> Iterator[int]:
        kept: dict[int, npt.NDArray[Any]] = {}
        for position in range(one.n_streamed, len(one.levels)):
            shape = self._plan.levels[one.levels[position]].shape
            kept[position] = np.empty(shape, self._plan.dtype)
        with contextlib.closing(self._workers.do(self._jobs(one))) as results:
            for n_pixels, pieces in results:
                for position, box, pixels in pieces:
                    kept[position][window_slices(box)] = pixels
                yield n_pixels
        for position, pixels in kept.items():
            uri = self._staged.uris[self._plan.levels[one.levels[position]].key]
            with ArrayWriter(uri, self._staged.timestamp_ms, self._context) as writer:
                writer.write((0,) * pixels.ndim, pixels.shape, pixels)
            yield 0

    def _jobs(self, one: LevelPass) -> list[LevelJob]:
        levels = [self._plan.levels[i] for i in one.levels]
        streamed = levels[: one.n_streamed]
        boxes = [(box, one.in_pieces) for box in one.jobs]
        boxes += [(box, True) for box in one.edges]
        return [
            LevelJob(
                source_uri=self._source_uri,
                source_timestamp_ms=self._staged.timestamp_ms,
                context=self._context,
                method=self._plan.method,
                dtype=self._plan.dtype,
                source_shape=self._plan.source_shape,
                source_extents=self._plan.source_extents,
                shapes=tuple(level.shape for level in levels),
                targets=tuple(self._staged.uris[level.key] for level in streamed),
                extents=tuple(level.tile_extents for level in streamed),
                timestamp_ms=self._staged.timestamp_ms,
                box=box,
                step=one.step,
                band_axis=one.band_axis,
                split_axis=self._plan.channel_axis if one.is_split else None,
                snap=one.snap,
                is_edge=is_edge,
                given=self._given,
            )
            for box, is_edge in boxes
        ]


def request_of(plan: LevelPlan) -> PassRequest:
    """Return what the passes of a plan depend on."""
    return PassRequest(
        plan.source_shape,
        plan.source_extents,
        plan.dtype,
        plan.method,
        tuple(level.shape for level in plan.levels),
        tuple(level.tile_extents for level in plan.levels),
        plan.channel_axis,
    )


# Threads ------------------------------------------------------------------------


@contextlib.contextmanager
def _workers(plan: LevelPlan, client: Any, uri: str) -> Iterator[Workers]:
    if client is None:
        yield ThreadWorkers(plan.n_threads)
        return
    from ._level_cluster import cluster_workers

    with cluster_workers(client, uri) as workers:
        yield workers


class ThreadWorkers:
    """Does jobs in threads of this process.

    Parameters
    ----------
    n_threads : int
        How many.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads

    def do(
        self, jobs: Sequence[LevelJob]
    ) -> Generator[tuple[int, list[Piece]], None, None]:
        """Do jobs; see `Workers`."""
        cancelled = threading.Event()
        done: queue.SimpleQueue[int] = queue.SimpleQueue()
        pool = ThreadPoolExecutor(self._n_threads, "napari-msimage levels")
        pending: set[Future[list[Piece]]] = {
            pool.submit(run_job, job, cancelled.is_set, done.put) for job in jobs
        }
        try:
            while pending:
                finished, pending = wait(pending, _PULSE_S, FIRST_COMPLETED)
                pieces = [piece for future in finished for piece in future.result()]
                yield sum(done.get() for _ in range(done.qsize())), pieces
        finally:
            cancelled.set()
            pool.shutdown(cancel_futures=True)
