"""New levels of an existing image: made aside, and registered all together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    ModeError,
)
from ._context import (
    check_context,
    check_uri,
    is_local,
    normalize_uri,
    now_ms,
    storage_errors,
)
from ._group import Member
from ._image_levels import Level, channel_position
from ._image_lock import ImageLock
from ._layout import plan_layout
from ._level_journal import Journal
from ._level_recovery import recover, remove_tree
from ._level_registration import LocalRegistration, Registration
from ._levels_job import LevelsJob
from ._metadata import check_shape
from ._names import check_level_key, directory_name
from ._probe import kind_of
from ._staged_array import StagedArray
from ._staging import check_space, remove_object, staging_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ._context import SOMATileDBContext
    from ._level_registration import Outcome


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """One level to be made."""

    key: str
    """Level key."""
    shape: tuple[int, ...]
    """Shape in data axis order, channel axis included."""
    tile_extents: tuple[int, ...] | None = None
    """Tile extents, data axis order; None for the layout's own choice."""
    platform_config: Any = None
    """Overrides tile extents and filters, as for tiledbsoma."""


class StagedLevels:
    """Arrays that are being written, and do not belong to the image yet.

    Made by `stage_levels`.
    """

    def __init__(
        self,
        job: LevelsJob,
        arrays: Sequence[StagedArray],
        registration: Callable[[], Registration],
    ) -> None:
        self._job = job
        self._arrays = arrays
        self._registration = registration
        self._uris = {array.key: array.uri for array in arrays}
        self._timestamp_ms = now_ms()
        self._pid = os.getpid()
        self._state: Outcome | Literal["closed"] = "open"

    @property
    def uris(self) -> Mapping[str, str]:
        """Address of each level's array by key; several processes may write to it.

        Write disjoint blocks of whole tiles, fewer than 64 per array. Once registered,
        the addresses are the final ones.
        """
        return MappingProxyType(self._uris)

    @property
    def timestamp_ms(self) -> int:
        """Timestamp to write all pixels with, ms since 1970-01-01 UTC."""
        return self._timestamp_ms

    @property
    def is_registered(self) -> bool:
        """Whether the arrays are levels of the image now."""
        return self._state == "registered"

    def register(self) -> None:
        """Check the arrays and make them levels of the image, all or none.

        Nobody may write to them any more. When it fails the image is as before, and
        it can be tried again.

        Raises
        ------
        StorageError
            If pixels are missing, an array has 64 fragments or more, or writing fails.
        AlreadyExistsError
            If somebody else has added a level of the same key meanwhile.
        DoesNotExistError
            If the image was removed meanwhile.
        ModeError
            If that was done already, the ``with`` block has ended, or this is another
            process.
        """
        self._check_open()
        job = self._job
        if kind_of(job.address, job.ctx) != "group":
            raise job.removed_meanwhile()
        with storage_errors("add levels to the image", job.uri):
            registration = self._registration()
            for array in self._arrays:
                array.check(job.ctx)
            try:
                self._uris = registration.run()
            finally:
                self._state = registration.outcome

    def close(self) -> bool:
        """End the ``with`` block; tell whether to remove the arrays, in this process.

        Not if they belong to the image, or might.
        """
        unused = self._state == "open" and os.getpid() == self._pid
        if self._state == "open":
            self._state = "closed"
        return unused

    def _check_open(self) -> None:
        reason = {
            "registered": "that was done already",
            "uncertain": "that failed half-way; it is undone by the next stage_levels",
            "closed": "the with block of stage_levels has ended",
        }.get(self._state)
        if os.getpid() != self._pid:
            reason = "that is for the process that has called stage_levels"
        if reason:
            keys = ", ".join(map(repr, self._uris))
            msg = f"Cannot register the levels {keys} of {self._job.uri!r}: {reason}"
            raise ModeError(msg)


@contextlib.contextmanager
def stage_levels(
    uri: str,
    specs: Sequence[LevelSpec],
    *,
    replace: bool | Collection[str] = False,
    task: str = "making levels",
    context: SOMATileDBContext | None = None,
) -> Iterator[StagedLevels]:
    """Make the arrays of new levels; `StagedLevels.register` adds them to the image.

    All or nothing: when the ``with`` block ends without that, the image is as before.
    The arrays of a local image are made in one folder inside it, and its lock is held
    meanwhile; what programs that died have left is put right first. Elsewhere arrays
    are made in their final places, and nothing keeps two programs from adding the same
    level.

    Parameters
    ----------
    uri : str
        Address of the image.
    specs : sequence of LevelSpec
        The levels.
    replace : bool or collection of str
        Whether they, or those of these keys, may take the keys of existing levels.
        Their arrays are removed then, if they lie in the image's folder. A level of
        the same shape is replaced in one step; else it is missing for a moment.
    task : str
        What is being done, for the messages that others get.
    context : SOMATileDBContext, optional
        TileDB configuration, without a timestamp.

    Yields
    ------
    StagedLevels
        Where to write pixels.

    Raises
    ------
    DoesNotExistError, FormatError
        If there is no image, or a damaged one.
    LevelKeyError
        If a key is taken, and levels are not to be replaced.
    ArgumentError, ArgumentTypeError
        If specs make no sense or do not fit the image, or the context has a timestamp.
    BusyError
        If another program, or this one, is adding levels to the image.
    AccessError
        If the image cannot be changed.
    StorageError
        If the disk has too little space, or writing fails.

    Notes
    -----
    A forked child neither holds the lock nor cleans up.
    """
    address = normalize_uri(check_uri(uri))
    specs = _check_specs(specs)
    may_replace = frozenset(spec.key for spec in specs if replace)
    if not isinstance(replace, bool):
        may_replace &= frozenset(replace)
    job = LevelsJob(uri, address, _check_context(context), may_replace)
    job.check_image()
    if is_local(address):
        with _stage_locally(job, specs, task) as staged:
            yield staged
    else:
        with _stage_in_place(job, specs) as staged:
            yield staged


@contextlib.contextmanager
def _stage_locally(
    job: LevelsJob, specs: Sequence[LevelSpec], task: str
) -> Iterator[StagedLevels]:
    pid = os.getpid()
    staging = os.path.join(job.address, staging_name())
    try:
        with ImageLock(job.uri, job.address, task) as lock:
            recover(lock, job.address, job.ctx)
            arrays = _plan_arrays(job, specs, lambda number, _: f"{staging}/{number}")
            with storage_errors("make levels of the image", job.uri):
                nbytes = sum(array.nbytes for array in arrays)
                check_space(job.address, nbytes, job.uri)
            lock.write(Journal(os.path.basename(staging)).to_record())

            def registration() -> Registration:
                if not lock.is_current():
                    raise job.removed_meanwhile()
                return LocalRegistration(job, arrays, lock)

            staged = StagedLevels(job, arrays, registration)
            try:
                for array in arrays:
                    array.create(job.ctx, staged.timestamp_ms)
                yield staged
            finally:
                staged.close()
                if os.getpid() == pid:
                    # also if the removal is interrupted
                    keep, lock.keep = lock.keep, True
                    remove_tree(staging)
                    lock.keep = keep or os.path.lexists(staging)
    finally:
        if os.getpid() == pid:
            _remove_skeleton(job.address)


@contextlib.contextmanager
def _stage_in_place(
    job: LevelsJob, specs: Sequence[LevelSpec]
) -> Iterator[StagedLevels]:
    def place(_: int, key: str) -> str:
        name = directory_name(
            key, lambda n: kind_of(f"{job.address}/{n}", job.ctx) != "missing"
        )
        return f"{job.address}/{name}"

    arrays = _plan_arrays(job, specs, place)
    staged = StagedLevels(job, arrays, lambda: Registration(job, arrays))
    made: list[StagedArray] = []
    try:
        for array in arrays:
            array.create(job.ctx, staged.timestamp_ms)
            made.append(array)
        yield staged
    finally:
        if staged.close():
            for array in made:
                remove_object(array.uri, job.ctx)


def _plan_arrays(
    job: LevelsJob, specs: Sequence[LevelSpec], place: Callable[[int, str], str]
) -> list[StagedArray]:
    """Check the levels against the image as it is now, and plan their arrays."""
    state = job.load_state()
    channel = channel_position(state.schema)
    levels = [Level(spec.key, spec.shape) for spec in specs]
    job.put_levels(
        state, [(one, Member(one.key, "", is_relative=True)) for one in levels]
    )
    arrays = []
    for number, spec in enumerate(specs):
        layout = plan_layout(
            spec.shape,
            state.schema.dtype,
            channel,
            spec.platform_config,
            spec.tile_extents,
        )
        uri = place(number, spec.key)
        arrays.append(
            StagedArray(spec.key, uri, spec.shape, state.schema.dtype, layout)
        )
    return arrays


def _check_context(context: SOMATileDBContext | None) -> SOMATileDBContext:
    context = check_context(context)
    if context.timestamp_ms:
        msg = (
            f"Levels are made at the present time, but the context has the timestamp "
            f"{context.timestamp_ms}; use context.replace(timestamp=None)"
        )
        raise ArgumentError(msg)
    return context


def _check_specs(specs: Any) -> list[LevelSpec]:
    if not isinstance(specs, Sequence) or not all(
        isinstance(spec, LevelSpec) for spec in specs
    ):
        msg = f"specs must be a sequence of LevelSpec, got {specs!r}"
        raise ArgumentTypeError(msg)
    keys = [check_level_key(spec.key) for spec in specs]
    if not keys or len(set(keys)) != len(keys):
        msg = f"Expected one or more levels with different keys, got {keys!r}"
        raise ArgumentError(msg)
    return [
        LevelSpec(
            spec.key,
            check_shape(spec.shape, f"The shape of level {spec.key!r}"),
            spec.tile_extents,
            spec.platform_config,
        )
        for spec in specs
    ]


def _remove_skeleton(address: str) -> None:
    """Remove the folder of an image that somebody removed while we wrote in it."""
    if not os.path.lexists(os.path.join(address, "__tiledb_group.tdb")):
        with contextlib.suppress(OSError):
            os.rmdir(address)
