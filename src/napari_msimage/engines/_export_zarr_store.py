"""A Zarr folder whose last write can be waited for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from zarr.storage import LocalStore

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer


class EndingStore(LocalStore):
    """A folder that is not written to any more once it was ended.

    Zarr writes several chunks of an assignment at a time. When one fails, the
    assignment fails at once while the others go on, and would make anew what the caller
    has removed.

    Parameters
    ----------
    root : str
        The folder.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._changed = threading.Condition()
        self._n_writing = 0
        self._is_ended = False

    async def set(self, key: str, value: Buffer) -> None:
        """Write a chunk, or metadata; see `zarr.abc.store.Store`.

        Raises
        ------
        OSError
            If the system refuses, or the folder was ended.
        """
        with self._changed:
            if self._is_ended:
                msg = f"{self.root} is not written to any more"
                raise OSError(msg)
            self._n_writing += 1
        try:
            await super().set(key, value)
        finally:
            with self._changed:
                self._n_writing -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Refuse what is still to be written, and wait for what is being written."""
        with self._changed:
            self._is_ended = True
            self._changed.wait_for(lambda: not self._n_writing)
