"""What can be chosen for the layers that are to be saved: channels and levels."""

from __future__ import annotations

from typing import Any, Final

#: Text and value, as for a combo box.
Choice = tuple[str, Any]

_MIN_AXES: Final = 3


def channel_choices(layers: list[Any]) -> list[Choice]:
    """Return the ways to make channels of layers.

    Parameters
    ----------
    layers : list of napari layers
        Image and labels layers that are checked.

    Returns
    -------
    list of (str, value)
        "none"; "layers" for a channel per image layer; or the index of an axis.
    """
    plain = [x for x in layers if x._type_string == "image" and not x.rgb]
    is_one = len(layers) == 1
    choices: list[Choice] = [
        ("no channel axis" if is_one else "separate images", "none")
    ]
    if len(plain) > 1:
        choices.append(("one channel per layer", "layers"))
    shapes = {_shape(layer) for layer in plain}
    if len({len(shape) for shape in shapes}) == 1:
        (first, *others) = shapes
        if len(first) >= _MIN_AXES:
            label = plain[0].axis_labels
            choices += [
                (_axis_in_words(axis, size, label[axis], is_known=not others), axis)
                for axis, size in enumerate(first)
            ]
    return choices


def level_choices(layers: list[Any]) -> list[Choice]:
    """Return what can become the finest level of layers.

    Parameters
    ----------
    layers : list of napari layers
        Image and labels layers that are checked.

    Returns
    -------
    list of (str, value)
        "all", "current", or the index of a level.
    """
    choices: list[Choice] = [("all levels", "all")]
    multiscale = [layer for layer in layers if layer.multiscale]
    if not multiscale:
        return choices
    choices.append(("from the level on screen", "current"))
    n_levels = min(len(layer.data) for layer in multiscale)
    first = multiscale[0].data
    for level in range(1, n_levels):
        shape = f" ({' x '.join(map(str, first[level].shape))})"
        choices.append(
            (f"from level {level}{shape if len(layers) == 1 else ''}", level)
        )
    return choices


def _shape(layer: Any) -> tuple[int, ...]:
    """Return the shape of a layer's finest level."""
    level = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(size) for size in level.shape)


def _axis_in_words(axis: int, size: int, label: Any, *, is_known: bool) -> str:
    name = str(label)
    is_named = (
        name and not name.lstrip("-").isdecimal() and not name.startswith("axis ")
    )
    words = f"axis {axis} ({name})" if is_named else f"axis {axis}"
    return f"{words}: " + (f"size {size}" if is_known else "channels")
