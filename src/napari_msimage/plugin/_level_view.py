"""A level as napari sees it: reading for display never raises, one notice per image."""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import SOMAError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

_LOGGER = logging.getLogger(__name__)

#: After a failed read the store is left alone for this long, then twice as long, ...
_FIRST_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 60.0


class ReadFailures:
    """What went wrong while an image was shown, shared by all its layers.

    The first failure is told to the user; further ones are silent until a read has
    worked again. In between, reads are not even tried for a while, so that a dead
    server does not stop the window at every step of the mouse.

    Parameters
    ----------
    name : str
        Of the image, for the user.
    tell : callable
        Takes the sentence for the user, or None once the image can be read again;
        called in the thread of the read.
    clock : callable, optional
        Seconds, going up.
    """

    def __init__(
        self,
        name: str,
        tell: Callable[[str | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._tell = tell
        self._clock = clock
        self._pause = 0.0
        self._silent_until = -math.inf

    @property
    def is_failing(self) -> bool:
        """Whether the last read failed."""
        return self._pause > 0

    def should_try(self) -> bool:
        """Tell whether it is time to try the store (again)."""
        return self._clock() >= self._silent_until

    def note_success(self) -> None:
        """Remember that the store answers, and tell the user if that is news."""
        if not self.is_failing:
            return
        self._pause = 0.0
        self._silent_until = -math.inf
        self._tell(None)

    def note_failure(self, err: SOMAError) -> None:
        """Remember that a read failed, and tell the user if that is news."""
        is_news = not self.is_failing
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._silent_until = self._clock() + self._pause
        _LOGGER.info("Reading %s for display failed: %s", self.name, err)
        if is_news:
            self._tell(
                f"{self.name!r} cannot be read; what is not loaded yet stays empty. "
                f"{err}"
            )


class LevelView:
    """A lazy array over a level that keeps napari alive when the store is not.

    Indexing composes, ``np.asarray`` reads. When a read for napari's own display
    fails, zeros are returned and `ReadFailures` tells the user; for every other caller
    the error is raised, so that nobody computes with pixels that are not there.

    Parameters
    ----------
    level : array-like
        Shape, dtype, indexing; ``chunks`` if it has any.
    failures : ReadFailures, optional
        Shared by the image's layers. Without, as after unpickling, errors are raised.
    """

    def __init__(self, level: Any, failures: ReadFailures | None = None) -> None:
        self.level = level
        self.failures = failures

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells per axis, napari's axis order."""
        return tuple(self.level.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type."""
        dtype: np.dtype[Any] = np.dtype(self.level.dtype)
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes when decoded."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> Any:
        """Tile sizes per axis, as dask has them; None when the level has none."""
        return getattr(self.level, "chunks", None)

    def __getitem__(self, key: Any) -> LevelView:
        return type(self)(self.level[key], self.failures)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Read the cells; see the class for what happens when that fails."""
        is_display = _is_called_by_napari(sys._getframe(1))
        if is_display and self.failures and not self.failures.should_try():
            return np.zeros(self.shape, dtype or self.dtype)
        try:
            cells = np.asarray(self.level, dtype=dtype)
        except SOMAError as err:
            if not (is_display and self.failures):
                raise
            self.failures.note_failure(err)
            return np.zeros(self.shape, dtype or self.dtype)
        if self.failures:
            self.failures.note_success()
        return cells.copy() if copy else cells

    def __reduce__(self) -> tuple[type[LevelView], tuple[Any]]:
        return type(self), (self.level,)  # what was told to whom stays here

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.level!r})"


def _is_called_by_napari(frame: Any) -> bool:
    """Tell whether the code that asked for pixels is napari's, numpy aside."""
    while frame is not None:
        room = frame.f_globals.get("__name__", "").partition(".")[0]
        if room != "numpy":
            return bool(room == "napari")
        frame = frame.f_back
    return False
