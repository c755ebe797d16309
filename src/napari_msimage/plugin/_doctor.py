"""What a napari window needs on this machine and does not find, as advice."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
from typing import Final

#: Shared libraries that Qt and OpenGL load on Linux, and who ships them on Debian 12.
DEBIAN_PACKAGES: Final = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
_QT_BINDINGS: Final = ("PyQt6", "PySide6", "PyQt5")
#: Qt aborts the process when it finds no display, so it is tried in another one.
_OPEN_QT: Final = "from qtpy.QtWidgets import QApplication; QApplication([])"


def find_problems() -> list[str]:
    """Return what keeps napari from opening a window here, and the remedy.

    Returns
    -------
    list of str
        One sentence or two for each problem; empty if a window can open.
    """
    problems = []
    missing = _missing_libraries()
    if missing:
        packages = " ".join(DEBIAN_PACKAGES[library] for library in missing)
        problems.append(
            f"System libraries are missing: {', '.join(missing)}. On Debian or Ubuntu, "
            f"install them with: apt-get install {packages}"
        )
    if not any(importlib.util.find_spec(binding) for binding in _QT_BINDINGS):
        problems.append(
            'No Qt binding is installed. Install one with: pip install "napari[pyqt6]"'
        )
    if not has_display():
        problems.append(
            "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set. "
            "A virtual one comes with the Debian packages xvfb and xauth: put "
            '`xvfb-run -a -s "-screen 0 1400x900x24"` before the command.'
        )
    return problems or _try_qt()


def has_display() -> bool:
    """Return whether windows have somewhere to open; assumed where it is not X11."""
    if not sys.platform.startswith("linux"):
        return True
    return any(
        os.environ.get(name)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    )


def _missing_libraries() -> list[str]:
    if not sys.platform.startswith("linux"):
        return []
    missing = []
    for library in DEBIAN_PACKAGES:
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(library)
    return missing


def _try_qt() -> list[str]:
    attempt = subprocess.run(
        [sys.executable, "-c", _OPEN_QT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if attempt.returncode == 0:
        return []
    lines = attempt.stderr.strip().splitlines() or [f"exit code {attempt.returncode}"]
    return [f"Qt does not start: {lines[-1]}"]
