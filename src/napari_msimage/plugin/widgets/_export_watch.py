"""Listens to what an export depends on: view, layers, shapes, looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

#: What an image's place and pixels depend on.
_IMAGE_EVENTS: Final = (
    "data",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
)
#: What its colours on the canvas depend on.
_LOOK_EVENTS: Final = (
    "visible",
    "opacity",
    "blending",
    "contrast_limits",
    "gamma",
    "colormap",
    "contour",
    "selected_label",
    "show_selected_label",
)
#: What changes pixels, which a run may have passed already.
_PIXEL_EVENTS: Final = ("data", "paint", "labels_update")
_SHAPE_EVENTS: Final = (*_IMAGE_EVENTS, "set_data", "edge_width", "features", "text")


class ExportWatch:
    """Connects a form to a viewer's events, as long as it is open.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    on_camera : callable
        Called when the camera or the edges of the canvas have moved.
    on_view : callable
        Called when the sliders have moved, or other axes are displayed.
    on_layers : callable
        Called when layers came, went, moved or were renamed.
    on_selection : callable
        Called when other layers were selected.
    on_image : callable
        Called when the place or the pixels of a watched layer have changed.
    on_look : callable
        Called when its colours have changed.
    on_pixels : callable
        Called with a watched layer whose pixels were changed.
    """

    def __init__(
        self,
        viewer: Any,
        *,
        on_camera: Callable[[], object],
        on_view: Callable[[], object],
        on_layers: Callable[[], object],
        on_selection: Callable[[], object],
        on_image: Callable[[], object],
        on_look: Callable[[], object],
        on_pixels: Callable[[Any], object],
    ) -> None:
        self._on = {
            "camera": on_camera,
            "view": on_view,
            "layers": on_layers,
            "selection": on_selection,
            "image": on_image,
            "look": on_look,
        }
        self._on_pixels = on_pixels
        self._images: list[Any] = []
        self._shapes: Any = None
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        canvas, layers = viewer.canvas, viewer.layers
        self._connections: list[tuple[Any, Callable[[Any], None]]] = [
            (camera.center, self._camera),
            (camera.zoom, self._camera),
            (canvas.events.size, self._camera),
            (canvas.grid.events, self._view),
            *((event, self._view) for event in (dims.point, dims.order, dims.ndisplay)),
            (layers.events.inserted, self._layers),
            (layers.events.removed, self._layers),
            (layers.events.reordered, self._layers),
            (layers.selection.events.changed, self._selection),
        ]
        for event, listener in self._connections:
            event.connect(listener)

    def watch(self, images: Iterable[Any], shapes: Any) -> None:
        """Listen to these layers, and to no others."""
        images = list(images)
        for layer in self._images:
            if layer not in images:
                self._listen_to_image(layer, is_on=False)
        for layer in images:
            if layer not in self._images:
                self._listen_to_image(layer, is_on=True)
        self._images = images
        if shapes is not self._shapes:
            if self._shapes is not None:
                self._listen_to_shapes(self._shapes, is_on=False)
            if shapes is not None:
                self._listen_to_shapes(shapes, is_on=True)
            self._shapes = shapes

    def close(self) -> None:
        """Listen to nothing any more."""
        self.watch((), None)
        for event, listener in self._connections:
            event.disconnect(listener)
        self._connections = []

    def _listen_to_image(self, layer: Any, *, is_on: bool) -> None:
        listeners = (
            (_IMAGE_EVENTS, self._image),
            (_LOOK_EVENTS, self._look),
            (_PIXEL_EVENTS, self._pixels),
            (("name",), self._layers),
        )
        for names, listener in listeners:
            for name in names:
                event = getattr(layer.events, name, None)
                if event is not None:
                    (event.connect if is_on else event.disconnect)(listener)

    def _listen_to_shapes(self, layer: Any, *, is_on: bool) -> None:
        events = [getattr(layer.events, name, None) for name in _SHAPE_EVENTS]
        selected = getattr(layer.selected_data, "events", None)
        events.append(getattr(selected, "items_changed", None))
        for event in events:
            if event is not None:
                (event.connect if is_on else event.disconnect)(self._image)

    def _camera(self, _: Any = None) -> None:
        self._on["camera"]()

    def _view(self, _: Any = None) -> None:
        self._on["view"]()

    def _layers(self, _: Any = None) -> None:
        self._on["layers"]()

    def _selection(self, _: Any = None) -> None:
        self._on["selection"]()

    def _image(self, *_: Any) -> None:
        self._on["image"]()

    def _look(self, _: Any = None) -> None:
        self._on["look"]()

    def _pixels(self, event: Any) -> None:
        self._on_pixels(event.source)
