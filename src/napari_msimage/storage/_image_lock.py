"""The lock of one local image: one program at a time adds or replaces levels."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakSet

from ..errors import AccessError, BusyError, DoesNotExistError
from ._context import storage_errors
from ._staging import host_hash, is_old, is_running

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Lies in the image's folder while somebody changes its levels.
LOCK_NAME: Final = "__msimage.lock"
_MAX_BYTES: Final = 2**20
#: Not through a link: an image from elsewhere must not make us write elsewhere.
_OPEN_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
#: Where Windows locks a byte: it lets nobody read what is locked.
_LOCKED_BYTE: Final = 2**30


class ImageLock:
    """Exclusive lock of a local image, which dies with the process that holds it.

    A file in the image's folder, locked by the operating system. It holds lines of
    JSON: who holds the lock, and the records that the holder leaves for whoever comes
    after its death. On file systems that cannot lock, the file itself is the lock as
    long as its writer lives.

    Parameters
    ----------
    uri : str
        Address of the image as the user gave it, for messages.
    folder : str
        Absolute path of the image.
    task : str
        What is going to be done, as in "making levels".

    Raises
    ------
    BusyError
        If somebody holds the lock, in this process or another.
    AccessError
        If the image's folder cannot be written to.
    DoesNotExistError
        If the folder is gone.
    StorageError
        If writing fails.
    """

    def __init__(self, uri: str, folder: str, task: str) -> None:
        self.path = os.path.join(folder, LOCK_NAME)
        #: Whether the file stays when the lock is released: its records are needed.
        self.keep = False
        self._uri = uri
        self._task = task
        self._descriptor: int | None = None
        self.previous: tuple[dict[str, Any], ...] = ()
        """Records that owners left who died, oldest first."""
        with self._errors():
            self._acquire()
        _held.add(self)
        try:
            self._append(self._owner())
        except BaseException:
            self.keep = bool(self.previous)
            self.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def write(self, record: Mapping[str, Any]) -> None:
        """Leave a record for whoever comes after this process dies; flushed to disk.

        Raises
        ------
        StorageError
            If writing fails.
        """
        self._append(record)

    def forget_previous(self) -> None:
        """Drop the records of dead owners, once they have been dealt with.

        Raises
        ------
        StorageError
            If writing fails.
        """
        self.previous = ()
        with self._errors():
            os.ftruncate(self._open_descriptor(), 0)
        self._append(self._owner())

    def is_current(self) -> bool:
        """Tell whether the lock's file still lies in the image's folder."""
        return self._descriptor is not None and _is_at(self._descriptor, self.path)

    def release(self) -> None:
        """Give the lock up; its file goes first, so that nobody finds it unlocked."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        _held.discard(self)
        try:
            if self.keep:
                # where the system cannot lock: nobody holds it now
                with contextlib.suppress(OSError):
                    _write(descriptor, {"pid": 0})
            elif _is_at(descriptor, self.path) and os.name != "nt":
                with contextlib.suppress(OSError):
                    os.remove(self.path)
        finally:
            os.close(descriptor)
        if os.name == "nt" and not self.keep:  # cannot remove what is open
            with contextlib.suppress(OSError):
                os.remove(self.path)

    def leave_to_parent(self) -> None:
        """Close this forked child's copy; the lock stays with the parent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _acquire(self) -> None:
        while self._descriptor is None:
            # not inherited by programs that are started
            descriptor = os.open(self.path, _OPEN_FLAGS, 0o666)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    msg = f"{self.path!r} is not a file; remove it"
                    raise OSError(msg)
                self._lock(descriptor)
                # its holder may have removed it between our opening and locking
                if _is_at(descriptor, self.path):
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            locked = _lock_file(descriptor)
        except BlockingIOError as err:
            raise self._busy(_read(descriptor)) from err
        records = _read(descriptor)
        if not locked and _is_alive(_last_owner(records), self.path):
            raise self._busy(records)
        self.previous = tuple(record for record in records if "pid" not in record)

    def _busy(self, records: list[dict[str, Any]]) -> BusyError:
        owner = _last_owner(records)
        pid, host = owner.get("pid"), owner.get("host")
        who = f"process {pid} on {host!r}"
        if not pid:
            who = "another program"
        elif pid == os.getpid() and owner.get("hash") == host_hash():
            who = "this program itself"
        since = f" since {owner['since']}" if "since" in owner else ""
        task = f" ({owner['task']})" if "task" in owner else ""
        return BusyError(
            f"Cannot start {self._task} in the image at {self._uri!r}: {who} has been "
            f"changing its levels{since}{task}. Wait until that is done, or stop it, "
            f"and try again. (If nothing is running there, remove {self.path!r}.)"
        )

    def _owner(self) -> dict[str, Any]:
        now = datetime.datetime.now().astimezone()
        return {
            "host": socket.gethostname(),
            "hash": host_hash(),
            "pid": os.getpid(),
            "since": now.isoformat(" ", "seconds"),
            "task": self._task,
        }

    def _append(self, record: Mapping[str, Any]) -> None:
        with self._errors():
            _write(self._open_descriptor(), record)

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            msg = f"The lock {self.path!r} is not held any more"
            raise ValueError(msg)
        return self._descriptor

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            with storage_errors("lock the image", self._uri):
                yield
        except AccessError as err:
            msg = (
                f"Cannot start {self._task} in the image at {self._uri!r}: its folder "
                f"is read-only for this program ({err.__cause__}). Change its "
                "permissions, or copy the image to where you can write."
            )
            raise AccessError(msg) from err.__cause__
        except DoesNotExistError as err:
            msg = (
                f"Cannot start {self._task} in the image at {self._uri!r}: its folder "
                "does not exist any more. Check whether it was moved or removed."
            )
            raise DoesNotExistError(msg) from err.__cause__


def _lock_file(descriptor: int) -> bool:
    """Lock an open file; False if the file system cannot.

    Raises
    ------
    BlockingIOError
        If another descriptor holds the lock.
    """
    taken = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        if err.errno in taken:
            raise BlockingIOError(*err.args) from err
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _read(descriptor: int) -> list[dict[str, Any]]:
    """Return the records of the file; a line cut short by a crash is none."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    records = []
    for line in os.read(descriptor, _MAX_BYTES).split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


def _write(descriptor: int, record: Mapping[str, Any]) -> None:
    # The line before may have been cut short; an empty line does no harm.
    line = b"\n" + json.dumps(record).encode() + b"\n"
    os.lseek(descriptor, 0, os.SEEK_END)
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


def _last_owner(records: list[dict[str, Any]]) -> dict[str, Any]:
    return next((r for r in reversed(records) if "pid" in r), {})


def _is_alive(owner: Mapping[str, Any], path: str) -> bool:
    """Tell whether the writer of a lock file that cannot be locked is at work."""
    pid = owner.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    if owner.get("hash") == host_hash() and os.name != "nt":
        return is_running(pid)
    return not is_old(path)


_held: Final[WeakSet[ImageLock]] = WeakSet()


def _leave_all_to_parent() -> None:
    for lock in list(_held):
        lock.leave_to_parent()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)
