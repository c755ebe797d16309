"""Finished arrays become levels of an image: all of them in one commit, or none."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final, Literal

from ..errors import AlreadyExistsError, SOMAError
from ._context import normalize_uri, storage_errors
from ._group import load_group
from ._image_levels import Level
from ._level_journal import Journal, NewLevel, OldLevel, array_mark
from ._level_recovery import discard_old, undo_levels
from ._member_places import member_for, relative_member
from ._metadata import LEVEL_PREFIX
from ._names import directory_name
from ._staging import remove_object, sync_folder, sync_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._group import GroupContents, Member
    from ._image_lock import ImageLock
    from ._levels_job import LevelsJob
    from ._staged_array import StagedArray

_logger: Final = logging.getLogger(__name__)
_FOLDERS: Final = ("__group", "__meta")

#: "uncertain": failed, and undoing it failed as well.
Outcome = Literal["open", "registered", "uncertain"]


class Registration:
    """One attempt to make arrays levels of an image, where they are.

    Parameters
    ----------
    job : LevelsJob
        Which image.
    arrays : sequence of StagedArray
        Complete arrays, for an image that is not local in their final places.
    """

    def __init__(self, job: LevelsJob, arrays: Sequence[StagedArray]) -> None:
        self._job = job
        self._arrays = arrays
        self._clock = job.load_state().clock
        self._levels: tuple[NewLevel, ...] = ()
        #: Metadata entries that go before the new members come.
        self._hidden: list[str] = []
        #: Whether the last commit writes metadata.
        self._has_entries = False
        self._outcome: Outcome = "open"

    @property
    def outcome(self) -> Outcome:
        """What has become of it; after a failure that was undone: open."""
        return self._outcome

    def run(self) -> dict[str, str]:
        """Register the arrays, and return their addresses from now on.

        Raises
        ------
        AlreadyExistsError
            If somebody else has taken a key meanwhile.
        SOMAError
            If the image cannot be changed. In both cases it is as before.
        """
        self._plan()
        try:
            self._outcome = "uncertain"
            self._move_in()
            present = self._commit()
            self._outcome = "registered"
        except BaseException:
            self._outcome = "uncertain"
            self._roll_back()
            raise
        self._clean_up(present)
        return {one.key: self._final_uri(one) for one in self._levels}

    def _plan(self) -> None:
        """Check that the image can still take the levels, and note what they change."""
        job = self._job
        state = job.load_state()
        keys = (array.key for array in self._arrays)
        job.check_free(job.fresh(keys), state.members)
        places = self._places()
        present = self._present()
        self._levels = tuple(
            NewLevel(
                array.key,
                places[array.key],
                self._mark(array.uri) or "",
                array.shape,
                self._old_level(array.key, present, array.key in state.members),
            )
            for array in self._arrays
        )
        job.put_levels(state, self._wishes())
        self._hidden = [
            LEVEL_PREFIX + one.key
            for one in self._levels
            if LEVEL_PREFIX + one.key in present.metadata
            and not one.has_entry(present, job.uri)
        ]

    def _places(self) -> dict[str, str]:
        return {a.key: a.uri.rpartition("/")[2] for a in self._arrays}

    def _mark(self, _path: str) -> str | None:
        return None

    def _old_level(self, key: str, present: GroupContents, is_level: bool) -> OldLevel:
        entry = present.metadata.get(LEVEL_PREFIX + key)
        if isinstance(entry, bytes):
            entry = entry.decode("utf-8", "replace")
        if not isinstance(entry, str):
            entry = None
        member = present.members.get(key)
        if member is None:
            return OldLevel(entry)
        address = self._job.address
        uri = normalize_uri(member.uri)
        folder = uri.removeprefix(address + "/") if is_level else uri
        inside = folder != uri and not any(
            part.startswith("__") or part in ("", ".", "..")
            for part in folder.split("/")
        )
        return OldLevel(
            entry,
            member_for(address, key, uri, member.is_relative).stored,
            member.is_relative,
            member.is_array,
            folder if inside else None,
            self._mark(uri) if inside else None,
        )

    def _wishes(self) -> list[tuple[Level, Member]]:
        address = self._job.address
        return [
            (
                Level(one.key, one.shape),
                relative_member(one.key, one.directory, address),
            )
            for one in self._levels
        ]

    def _move_in(self) -> None:
        """Bring the arrays to their final places."""

    def _commit(self) -> GroupContents:
        """Take the arrays into the group; return what it holds then."""
        job, state = self._job, self._job.load_state()
        self._clock = state.clock
        try:
            # A member must never meet the shape of another array.
            for entry in self._hidden:
                state.metadata.drop(entry)
            state.flush()
            keys = (one.key for one in self._levels)
            job.check_free(job.fresh(keys), state.members)
            job.put_levels(state, self._wishes())
            self._has_entries = bool(state.metadata.changes()[0])
            state.flush()
            state.clock.settle()
            if not self._is_complete(present := self._present()):
                msg = f"Somebody else is changing the levels of {job.uri!r}; try again"
                raise AlreadyExistsError(msg)
        except AlreadyExistsError:  # in the moment between two looks
            job.check_free((one.key for one in self._levels), self._others())
            raise
        return present

    def _others(self) -> list[str]:
        """Return the keys that stand for somebody else's arrays."""
        present = self._present()
        address = self._job.address
        return [
            one.key
            for one in self._levels
            if one.key in present.members and not one.is_member(present, address)
        ]

    def _present(self) -> GroupContents:
        job = self._job
        return load_group(job.address, job.ctx, self._clock.present_ms)

    def _is_complete(self, present: GroupContents) -> bool:
        return all(
            one.is_member(present, self._job.address)
            and one.has_entry(present, self._job.uri)
            for one in self._levels
        )

    def _roll_back(self) -> None:
        """Give the image its former state back; what fails then is only logged."""
        try:
            with storage_errors("undo the change of the image", self._job.uri):
                self._undo(self._present())
        except SOMAError:
            _logger.warning("%r is left half-changed", self._job.uri, exc_info=True)
        else:
            self._outcome = "open"

    def _undo(self, present: GroupContents) -> None:
        job = self._job
        undo_levels(self._levels, present, job.address, job.ctx, self._clock)

    def _clean_up(self, present: GroupContents) -> None:
        """Remove the arrays that were replaced, as far as that works."""
        used = {normalize_uri(member.uri) for member in present.members.values()}
        for one in self._levels:
            uri = f"{self._job.address}/{one.old.folder}"
            if one.old.folder and uri not in used:
                remove_object(uri, self._job.ctx)

    def _final_uri(self, level: NewLevel) -> str:
        return f"{self._job.address}/{level.directory}"


class LocalRegistration(Registration):
    """One attempt to move arrays into a local image, and make them its levels.

    Parameters
    ----------
    job : LevelsJob
        Which image.
    arrays : sequence of StagedArray
        Complete arrays in a folder inside the image's.
    lock : ImageLock
        The image's lock, held; keeps the journal.
    """

    def __init__(
        self, job: LevelsJob, arrays: Sequence[StagedArray], lock: ImageLock
    ) -> None:
        super().__init__(job, arrays)
        self._lock = lock
        self._moved: list[tuple[str, str]] = []
        self._known_files: frozenset[tuple[str, str]] = frozenset()

    def _plan(self) -> None:
        super()._plan()
        self._known_files = self._group_files()
        staging = os.path.basename(os.path.dirname(self._arrays[0].uri))
        self._lock.write(Journal(staging, self._levels).to_record())
        self._lock.keep = True
        sync_folder(self._job.address)

    def _places(self) -> dict[str, str]:
        places: dict[str, str] = {}
        for array in self._arrays:
            places[array.key] = directory_name(
                array.key,
                lambda name: (
                    name in places.values()
                    or os.path.lexists(os.path.join(self._job.address, name))
                ),
            )
        return places

    def _mark(self, path: str) -> str | None:
        return array_mark(path)

    def _move_in(self) -> None:
        for array, level in zip(self._arrays, self._levels, strict=True):
            sync_folders(array.uri)
            target = self._final_uri(level)
            _move(array.uri, target)
            self._moved.append((array.uri, target))
        sync_folder(self._job.address)

    def _undo(self, present: GroupContents) -> None:
        if not self._take_back_files(present):
            super()._undo(present)
        while self._moved:
            source, target = self._moved[-1]
            os.rename(target, source)
            self._moved.pop()
        self._lock.keep = False

    def _take_back_files(self, present: GroupContents) -> bool:
        """Remove the files that the commits have made, if it is certain which.

        Works on a full disk, and leaves the image byte for byte as it was.
        """
        new = self._group_files() - self._known_files
        is_complete = self._is_complete(present)
        is_listed = any(o.is_member(present, self._job.address) for o in self._levels)
        is_hidden = any(entry not in present.metadata for entry in self._hidden)
        expected = {
            "__group": int(is_listed),
            "__meta": int(is_hidden or (is_complete and bool(self._hidden)))
            + int(is_complete and self._has_entries),
        }
        found = [folder for folder, _ in new]
        if any(found.count(folder) != n for folder, n in expected.items()):
            return False  # somebody else has changed the image at the same time
        for folder, name in sorted(new, key=_newest_first):
            os.remove(os.path.join(self._job.address, folder, name))
        return True

    def _group_files(self) -> frozenset[tuple[str, str]]:
        """Return folder and name of the group's own files."""
        return frozenset(
            (folder, name)
            for folder in _FOLDERS
            for name in os.listdir(os.path.join(self._job.address, folder))
        )

    def _clean_up(self, present: GroupContents) -> None:
        discard_old(self._levels, present, self._job.address)
        self._lock.keep = False


def _newest_first(file: tuple[str, str]) -> tuple[int, bool]:
    """Sort group files; what announces members goes before them."""
    folder, name = file
    return -int(name.split("_")[2]), folder != "__meta"


def _move(source: str, target: str) -> None:
    """Rename a folder, never over anything: not even over an empty folder."""
    if os.name == "nt":
        os.rename(source, target)
        return
    os.mkdir(target)  # fails if there is something; renaming would replace it
    try:
        os.rename(source, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.rmdir(target)
        raise
