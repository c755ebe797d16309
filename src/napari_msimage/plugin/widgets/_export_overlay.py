"""The outline of what will be exported, drawn over the canvas; no layer of its own."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

#: Name of the overlay in napari's scene.
_NAME: Final = "msimage_export"
_COLOR: Final = (1.0, 0.85, 0.0, 1.0)
_HALO: Final = (0.0, 0.0, 0.0, 0.6)
_WIDTH: Final = 2.0
_HALO_WIDTH: Final = 4.0
#: A line without length, of which nothing is drawn.
_NOTHING: Final = np.zeros((1, 2, 2))


class ExportOutline:
    """Draws lines on the canvas of a viewer, over all layers.

    It is one of napari's overlays: the list of layers, the selection, the extent of
    the scene and undo do not know it.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._overlays = viewer.scene.overlays
        self._overlay: Any = None
        self._segments: npt.NDArray[np.float64] | None = None

    @property
    def segments(self) -> npt.NDArray[np.float64] | None:
        """What is drawn, as for `show`; None if nothing is."""
        return self._segments

    def show(self, segments: npt.NDArray[np.float64] | None) -> None:
        """Draw other lines.

        Parameters
        ----------
        segments : ndarray, (n, 2, n_displayed), optional
            Canvas coordinates of both ends, the horizontal axis last; None to hide.
        """
        if segments is None or not len(segments):
            self._segments = None
            # Mesa's software renderer (22.3) crashes in the next image that is drawn
            # after lines were made invisible and a layer was removed
            if self._overlay is not None:
                self._overlay.segments = _NOTHING
            return
        self._segments = segments
        if self._overlay is None:
            self._overlay = _overlay_type()(segments=segments)
            self._overlays[_NAME] = self._overlay
            self._overlay.visible = True
        else:
            self._overlay.segments = segments

    def close(self) -> None:
        """Take the lines away."""
        if self._overlay is not None and self._overlays.get(_NAME) is self._overlay:
            del self._overlays[_NAME]
        self._overlay = self._segments = None


def follow_visibility(widget: Any, on_change: Callable[[bool], object]) -> None:
    """Have a function called when a Qt widget is hidden or shown, not minimised.

    Parameters
    ----------
    widget : QWidget
        The form: hidden by the eye of its dock, or behind another tab.
    on_change : callable
        A bound method that takes whether it can be seen.
    """
    from qtpy.QtCore import QEvent, QObject
    from qtpy.QtWidgets import QDockWidget

    listener = weakref.WeakMethod(on_change)
    kinds = {QEvent.Type.Show: True, QEvent.Type.Hide: False}

    class Follower(QObject):
        dock: Any = None

        def eventFilter(self, watched: Any, event: Any) -> bool:
            kind = event.type()
            if kind in kinds and not event.spontaneous():
                self.follow_dock()
                self.tell(kinds[kind])
            return False

        def follow_dock(self) -> None:
            """Listen to the dock: a tab in front of it hides no widget for Qt."""
            dock = widget.parent()
            while dock is not None and not isinstance(dock, QDockWidget):
                dock = dock.parent()
            if dock is not None and dock is not self.dock:
                dock.visibilityChanged.connect(self.tell)
            self.dock = dock

        def tell(self, is_visible: bool) -> None:
            if (tell := listener()) is not None:
                tell(is_visible)

    widget.installEventFilter(Follower(widget))


@functools.cache
def _overlay_type() -> Any:
    """Return napari's model of the overlay, and register how it is drawn."""
    from napari._vispy.overlays.base import ViewerOverlayMixin, VispySceneOverlay
    from napari._vispy.utils.visual import overlay_to_visual
    from napari.components.overlays import SceneOverlay
    from vispy.scene.visuals import Compound, Line  # type: ignore[import-untyped]

    class OutlineOverlay(SceneOverlay):  # type: ignore[misc]
        segments: Any = None
        blending: Any = "translucent_no_depth"

    class VispyOutlineOverlay(
        ViewerOverlayMixin,  # type: ignore[misc]
        VispySceneOverlay,  # type: ignore[misc]
    ):
        def __init__(self, **kwargs: Any) -> None:
            # method "gl": lines keep their width on the screen
            self._lines = [
                Line(color=color, width=width, connect="segments", method="gl")
                for color, width in ((_HALO, _HALO_WIDTH), (_COLOR, _WIDTH))
            ]
            super().__init__(node=Compound(self._lines), **kwargs)
            self.overlay.events.segments.connect(self._on_segments)
            self.reset()
            self._on_segments()

        def _on_segments(self) -> None:
            ends = np.concatenate(self.overlay.segments)[:, ::-1]
            # the same number of columns in 2-D and 3-D: a buffer cannot change it
            points = np.zeros((len(ends), 3), dtype=np.float32)
            points[:, : ends.shape[1]] = ends
            for line in self._lines:
                line.set_data(pos=points)

        def close(self) -> None:
            self.overlay.events.segments.disconnect(self._on_segments)
            super().close()

    overlay_to_visual[OutlineOverlay] = VispyOutlineOverlay
    return OutlineOverlay
