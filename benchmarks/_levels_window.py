"""How a napari window responds while the "Create levels" form makes levels of an image.

``python -m benchmarks._levels_window IMAGE`` copies the image, opens it, and measures
the gaps of a 10 ms Qt timer: at rest and while panning, with and without a run. Give it
a screen (xvfb-run) and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMER_MS = 10
_PAN_MS, _PAN_PIXELS = 20, 40
_REST_S, _PAN_S = 2.0, 2.5
_ROUNDS = 3
_ROW_PIXELS = 1200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", help="folder of a SOMA image, 16384 square or so")
    parser.add_argument("--screenshot", help="save the window in the middle of the run")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = f"{folder}/settings.yaml"
        image = f"{folder}/{Path(options.image).name}"
        shutil.copytree(options.image, image)
        answer = _measure(image, options)
    print(json.dumps(answer, indent=1), flush=True)
    os._exit(0)


def _measure(image: str, options: argparse.Namespace) -> dict[str, Any]:
    import napari

    sys.excepthook = lambda *err: sys.__excepthook__(*err)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.open(image, plugin="napari-msimage")
    _, form = viewer.window.add_plugin_dock_widget("napari-msimage", "Create levels")
    window = LevelsWindow(viewer, form)
    window.settle()
    answer: dict[str, Any] = {"rest_alone": window.gaps(_REST_S)}
    alone, running = [], []
    for number in range(options.rounds):
        alone.append(window.pan(2 * number))
        window.start()
        running.append(window.pan(2 * number + 1))
        if not window.is_running:
            raise SystemExit(
                "the run was over before the panning: larger image, please"
            )
        answer.setdefault("cancel_s", []).append(window.cancel())
    answer["pan_alone"], answer["pan_running"] = alone, running
    viewer.reset_view()
    window.settle()
    window.start()
    if options.screenshot:
        window.spin(1.5)
        viewer.window._qt_window.grab().save(options.screenshot)
    answer["rest_running"] = window.gaps(120, lambda: not window.is_running)
    answer["after"] = window.gaps(1.0)
    answer["message"] = form.message
    answer["ratio_of_longest"] = statistics.median(
        b["longest_ms"] / a["longest_ms"] for a, b in zip(alone, running, strict=True)
    )
    return answer


class LevelsWindow:
    """A viewer with the form, and what its event loop does."""

    def __init__(self, viewer: Any, form: Any) -> None:
        self._viewer, self._form = viewer, form

    @property
    def is_running(self) -> bool:
        return bool(self._form.cancel.enabled)

    def start(self) -> None:
        """Press Run, once there is a plan."""
        self._until(lambda: self._form.run.enabled, 30)
        self._form.run.native.click()

    def cancel(self) -> float:
        """Press Cancel; return the seconds until the form is ready again."""
        start = time.perf_counter()
        self._form.cancel.native.click()
        self._until(lambda: self._form.message.startswith("Cancelled"), 30)
        seconds = time.perf_counter() - start
        self._until(lambda: self._form.run.enabled, 30)
        return seconds

    def settle(self) -> None:
        """Wait for overviews, notices and first plans."""
        self.spin(3.0)
        self.gaps(120, lambda: not _is_overview_running())
        self.spin(1.0)

    def spin(self, seconds: float) -> None:
        self.gaps(seconds)

    def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        self.gaps(seconds, is_so)
        if not is_so():
            raise SystemExit(f"waited in vain; the form says: {self._form.message}")

    def pan(self, row: int) -> dict[str, float]:
        """Pan at 1:1 along fresh pixels; return the gaps of the timer meanwhile."""
        from qtpy.QtCore import QTimer

        camera, layer = self._viewer.camera, self._viewer.layers[0]
        low, _ = (bound[-2:] for bound in layer.extent.world)
        y, x = low[0] + 600 + row * _ROW_PIXELS, low[1] + 700
        camera.zoom = 1.0
        camera.center = (0, y, x)
        self.spin(0.7)
        steps = itertools.count(1)

        def step() -> None:
            camera.center = (0, y, x + next(steps) * _PAN_PIXELS)

        timer = QTimer()
        timer.setInterval(_PAN_MS)
        timer.timeout.connect(step)
        timer.start()
        found = self.gaps(_PAN_S)
        timer.stop()
        return {**found, "steps": next(steps) - 1}

    def gaps(
        self, seconds: float, is_over: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """Run the event loop; return the gaps between ticks of a 10 ms timer."""
        from qtpy.QtCore import QEventLoop, Qt, QTimer

        loop, gaps = QEventLoop(), []
        start = last = time.perf_counter()

        def tick() -> None:
            nonlocal last
            now = time.perf_counter()
            gaps.append(1000 * (now - last))
            last = now
            if now - start >= seconds or is_over():
                loop.quit()

        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.setInterval(_TIMER_MS)
        timer.timeout.connect(tick)
        timer.start()
        loop.exec()
        timer.stop()
        gaps.sort()
        return {
            "longest_ms": round(gaps[-1], 1),
            "99%_ms": round(gaps[int(0.99 * (len(gaps) - 1))], 1),
            "median_ms": round(gaps[len(gaps) // 2], 1),
            "seconds": round(time.perf_counter() - start, 2),
        }


def _is_overview_running() -> bool:
    names = {thread.name for thread in threading.enumerate()}
    return "napari-msimage overview" in names


if __name__ == "__main__":
    main()
