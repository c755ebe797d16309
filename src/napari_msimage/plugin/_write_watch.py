"""Whether layers are still what they were when their saving began."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import SaveError
from ._layer_source import WRITTEN_TYPES, subject_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..engines import Progress

_TRANSFORM: Final = ("scale", "translate", "rotate", "shear")
#: What layers emit when pixels are put into the same array.
_EDITS: Final = ("data", "paint", "labels_update")


class LayerWatch:
    """Notes what layers are, and tells when one changes or goes, from the start on.

    Looks do not count: what is stored is how a layer looked in the beginning. Pixels
    that a program changes in an array, without telling the layer, cannot be noticed.

    Parameters
    ----------
    layers : sequence of napari layers or layer tuples
        What is being saved; tuples and layers of types that are not saved are passed
        over.
    layer_lists : sequence of napari.components.LayerList
        Where layers may be removed from.
    """

    def __init__(self, layers: Sequence[Any], layer_lists: Sequence[Any] = ()) -> None:
        self._states = [
            _State.of(layer, layer_lists) for layer in layers if _is_written(layer)
        ]

    def check(self) -> None:
        """Raise if something has changed.

        Raises
        ------
        SaveError
            Which layer, what happened to it, and what to do.
        """
        for state in self._states:
            problem = state.problem()
            if problem is not None:
                msg = (
                    f"{state.subject} {problem} while it was being saved; nothing was "
                    "written. Save again, and leave the layers as they are until it "
                    "has finished."
                )
                raise SaveError(msg)

    def guard(
        self, engine: Generator[Progress, None, tuple[str, ...]]
    ) -> Generator[Progress, None, tuple[str, ...]]:
        """Do what an engine does, as long as nothing changes; an engine itself.

        Its last step, which puts what was written in its place, is taken right after
        a look at the layers.
        """
        try:
            while True:
                self.check()
                try:
                    step = next(engine)
                except StopIteration as stop:
                    written: tuple[str, ...] = stop.value
                    return written
                yield step
        finally:
            engine.close()
            self.close()

    def close(self) -> None:
        """Stop listening to the layers."""
        for state in self._states:
            state.stop_listening()


def _is_written(layer: Any) -> bool:
    is_layer = hasattr(layer, "as_layer_data_tuple")
    return is_layer and str(layer._type_string) in WRITTEN_TYPES


@dataclasses.dataclass(eq=False)
class _State:
    """One layer, as it was."""

    layer: Any
    subject: str
    lists: list[Any]
    arrays: list[Any]
    shapes: list[tuple[int, ...]]
    transform: list[Any]
    units: tuple[str, ...]
    is_edited: bool = False

    @classmethod
    def of(cls, layer: Any, layer_lists: Sequence[Any]) -> _State:
        arrays = _arrays(layer)
        state = cls(
            layer=layer,
            subject=subject_of(layer.name, layer._type_string == "labels"),
            lists=[one for one in layer_lists if layer in one],
            arrays=arrays,
            shapes=_shapes(arrays),
            transform=_transform(layer),
            units=_units(layer),
        )
        for emitter in state._emitters():
            # keeps a weak reference
            emitter.connect(state._on_edit)
        return state

    def problem(self) -> str | None:
        """Return what happened to the layer, as in "was removed"; None if nothing."""
        if any(self.layer not in one for one in self.lists):
            return "was removed"
        arrays = _arrays(self.layer)
        is_same = len(arrays) == len(self.arrays) and all(
            one is other for one, other in zip(arrays, self.arrays, strict=True)
        )
        if not is_same or self.is_edited:
            return "got other pixels"
        if _shapes(arrays) != self.shapes:
            return "got another shape"
        pairs = zip(_transform(self.layer), self.transform, strict=True)
        if not all(np.array_equal(one, other) for one, other in pairs):
            return "got another transform"
        return None if _units(self.layer) == self.units else "got other units"

    def stop_listening(self) -> None:
        for emitter in self._emitters():
            emitter.disconnect(self._on_edit)

    def _emitters(self) -> list[Any]:
        events = self.layer.events
        return [getattr(events, name) for name in _EDITS if hasattr(events, name)]

    def _on_edit(self, event: Any = None) -> None:
        self.is_edited = True


def _arrays(layer: Any) -> list[Any]:
    return list(layer.data) if layer.multiscale else [layer.data]


def _shapes(arrays: Sequence[Any]) -> list[tuple[int, ...]]:
    return [tuple(array.shape) for array in arrays]


def _transform(layer: Any) -> list[Any]:
    parts = [np.array(getattr(layer, name)) for name in _TRANSFORM]
    return [*parts, np.array(layer.affine.affine_matrix)]


def _units(layer: Any) -> tuple[str, ...]:
    return tuple(str(unit) for unit in layer.units)
