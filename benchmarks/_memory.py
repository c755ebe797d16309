"""How much memory a piece of work takes at most, above what the process has already."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import Self

_PROC = Path("/proc/self")
_POLL_S = 0.005


class PeakMemory:
    """Context manager; afterwards `megabytes` is the peak of resident memory, or None.

    Linux only. Asks the kernel for the high-water mark, after resetting it; where that
    is not allowed, looks every 5 ms. Pages of mapped files count.
    """

    megabytes: float | None = None

    def __enter__(self) -> Self:
        gc.collect()
        self._thread: threading.Thread | None = None
        if not (_PROC / "status").exists():
            return self
        try:
            (_PROC / "clear_refs").write_text("5")  # proc(5): resets VmHWM
        except OSError:
            self._highest = 0
            self._done = threading.Event()
            self._thread = threading.Thread(target=self._poll, daemon=True)
            self._thread.start()
        self._start = _kilobytes("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if not (_PROC / "status").exists():
            return
        if self._thread is None:
            peak = _kilobytes("VmHWM")
        else:
            self._done.set()
            self._thread.join()
            peak = self._highest
        self.megabytes = (peak - self._start) * 1024 / 1e6

    def _poll(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE") // 1024
        while True:
            resident = int((_PROC / "statm").read_text().split()[1]) * page
            self._highest = max(self._highest, resident)
            if self._done.wait(_POLL_S):
                return


def _kilobytes(name: str) -> int:
    for line in (_PROC / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)
