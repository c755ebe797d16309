"""Sentences for the user: where they are shown, and when a question can be asked."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOGGER = logging.getLogger(__name__)

Severity = Literal["info", "warning", "error"]


def tell(message: str, severity: Severity = "info") -> None:
    """Show a sentence as a napari notification; without a window, log it.

    Safe from any thread, and while napari draws: it is shown once control is back at
    the event loop.
    """
    if has_window():
        run_soon(lambda: _notify_in_view(message, severity))
    else:
        _LOGGER.log(logging.getLevelNamesMapping()[severity.upper()], "%s", message)


def _notify_in_view(message: str, severity: Severity, tries: int = 150) -> None:
    """Notify, but not before napari's command line has shown its window."""
    import napari

    viewer = napari.current_viewer() if tries and _is_napari_command() else None
    if viewer is None or viewer.window._qt_window.isVisible():
        _notify(message, severity)
        return
    from qtpy.QtCore import QTimer

    QTimer.singleShot(200, lambda: _notify_in_view(message, severity, tries - 1))


def _notify(message: str, severity: Severity) -> None:
    from napari.utils import notifications

    show = {
        "info": notifications.show_info,
        "warning": notifications.show_warning,
        "error": notifications.show_error,
    }
    show[severity](message)


def run_soon(action: Callable[[], None], delay_ms: int = 0) -> None:
    """Run something in the window's thread a little later; at once without one."""
    if not has_window():
        action()
        return
    if is_window_thread():
        from qtpy.QtCore import QTimer

        QTimer.singleShot(delay_ms, action)
    else:
        # a timer of another thread would never fire
        from superqt.utils import ensure_main_thread

        ensure_main_thread(lambda: run_soon(action, delay_ms))()


def has_window() -> bool:
    """Tell whether a Qt application exists; never makes or imports one."""
    widgets = sys.modules.get("qtpy.QtWidgets")
    return widgets is not None and widgets.QApplication.instance() is not None


def is_interactive() -> bool:
    """Tell whether a person at the window waits for what this code does.

    True within the event loop (drag and drop, menus) and in napari's own command
    line; false in scripts, notebooks, tests, and other threads: these get exceptions.
    """
    if not has_window() or not is_window_thread():
        return False
    return _loop_level() > 0 or _is_napari_command()


def is_window_thread() -> bool:
    """Tell whether this is the thread of the Qt application, which has to exist."""
    from qtpy.QtCore import QThread
    from qtpy.QtWidgets import QApplication

    app: Any = QApplication.instance()
    return bool(QThread.currentThread() is app.thread())


def _loop_level() -> int:
    from qtpy.QtCore import QThread

    thread: Any = QThread.currentThread()
    return int(thread.loopLevel())


def _is_napari_command() -> bool:
    script = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    folder, name = os.path.split(script)
    if name == "__main__.py":
        return os.path.basename(folder) == "napari"
    return os.path.splitext(name)[0] in ("napari", "napari-script")


def ask_about_outside(uri: str, members: Mapping[str, str]) -> bool:
    """Ask whether what an image or a scene keeps outside its folder may be opened.

    Parameters
    ----------
    uri : str
        The image or scene.
    members : mapping of str to str
        Keys and addresses of the levels or members.
    """
    from qtpy.QtWidgets import QApplication, QMessageBox

    box = QMessageBox(QApplication.activeWindow())
    box.setObjectName("msimage-outside")
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Parts outside the folder")
    box.setText(
        f"{uri!r} keeps parts outside its own folder. Opening them reads those places "
        "with your permissions."
    )
    lines = [f"{key}: {place}" for key, place in members.items()]
    box.setInformativeText("\n".join(lines) + "\n\nOpen them?")
    box.setStandardButtons(
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No
    )
    box.setDefaultButton(QMessageBox.StandardButton.No)
    return bool(box.exec() == QMessageBox.StandardButton.Yes)
