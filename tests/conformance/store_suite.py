"""What every suite of behaviours stands on: a library, a place for stores, helpers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

import napari_msimage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from .cases import ImageCase
    from .oracle import Oracle


class StoreSuite:
    """Base of the suites. A subclass says where stores live and who opens them.

    ``self.soma`` is the package under test, ``self.uri`` a free address.
    """

    soma: Any
    uri: str
    #: Whether the library under test is ours: its errors and messages are checked.
    is_ours: ClassVar[bool] = True
    #: Whether `uri` is a path whose files can be looked at.
    is_on_disk: ClassVar[bool] = True

    @pytest.fixture(autouse=True)
    def _store(self, place: tuple[Any, str]) -> Iterator[None]:
        self.soma, self.uri = place
        self._opened: list[Any] = []
        yield
        for thing in reversed(self._opened):
            with contextlib.suppress(Exception):
                thing.close()

    def keep(self, thing: Any) -> Any:
        """Close `thing` at the end of the test."""
        self._opened.append(thing)
        return thing

    def sibling(self, name: str) -> str:
        """Another free address, next to `uri`."""
        return f"{self.uri.rpartition('/')[0]}/{name}"

    # The library ----------------------------------------------------------------

    def create(self, uri: str | None = None, **options: Any) -> Any:
        """A new image, by default uint8 (10, 20) without channel axis; open in w."""
        options = {
            "type": pa.uint8(),
            "level_shape": (10, 20),
            "has_channel_axis": False,
            **options,
        }
        image = self.soma.MultiscaleImage.create(uri or self.uri, **options)
        return self.keep(image)

    def open(self, mode: str = "r", uri: str | None = None, **options: Any) -> Any:
        return self.keep(
            self.soma.MultiscaleImage.open(uri or self.uri, mode, **options)
        )

    def space(self, *axes: str | tuple[str, str | None]) -> Any:
        """A coordinate space from names, or from (name, unit) pairs."""
        pairs = [(axis, None) if isinstance(axis, str) else axis for axis in axes]
        return self.soma.CoordinateSpace([self.soma.Axis(*pair) for pair in pairs])

    def write_case(
        self, case: ImageCase, uri: str | None = None, **options: Any
    ) -> str:
        """Write the image of a case and close it; return its URI."""
        return write_case(self.soma, case, uri or self.uri, **options)

    def write_levels(self, *levels: tuple[str, np.ndarray], **options: Any) -> None:
        """Write an image of given pixels at `uri` and close it."""
        key, pixels = levels[0]
        options = {
            "type": pa.from_numpy_dtype(pixels.dtype),
            "level_shape": pixels.shape,
            "level_key": key,
            **options,
        }
        with self.create(**options) as image:
            write(image[key], pixels)
            for key, pixels in levels[1:]:
                write(image.add_new_level(key, shape=pixels.shape), pixels)

    @contextlib.contextmanager
    def raises(self, kind: Any, *, match: str) -> Iterator[None]:
        """Expect an error, given by its built-in or "SOMAError".

        Ours must be a SOMAError as well, with a message that matches (any case).
        """
        if kind == "SOMAError":
            kind = self.soma.SOMAError
        pattern = f"(?i){match}" if self.is_ours else None
        with pytest.raises(kind, match=pattern) as info:
            yield
        if self.is_ours:
            assert isinstance(info.value, napari_msimage.SOMAError)
            assert len(str(info.value)) >= 20, "the message helps nobody"

    @contextlib.contextmanager
    def unchanged(self, *images: Any) -> Iterator[None]:
        """Check that the store and the images in memory are the same afterwards."""
        before = [memory_facts(image) for image in images], self._disk()
        yield
        assert ([memory_facts(image) for image in images], self._disk()) == before

    def _disk(self) -> dict[str, str]:
        if not self.is_on_disk:
            return {}
        return tree_facts(self.uri.rpartition("/")[0])


class LocalStore(StoreSuite):
    """Ours, in a local folder."""

    @pytest.fixture
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
        return napari_msimage, fresh_path(tmp_path_factory)


class MemoryStore(StoreSuite):
    """Ours, in TileDB's memory file system."""

    is_on_disk = False

    @pytest.fixture
    def place(self) -> tuple[Any, str]:
        return napari_msimage, f"mem://{uuid.uuid4().hex}/pyramid.soma"


class UpstreamStore(StoreSuite):
    """The oracle, in a local folder: proves that the expectations are true."""

    is_ours = False

    @pytest.fixture
    def place(
        self, tmp_path_factory: pytest.TempPathFactory, oracle: Oracle
    ) -> tuple[Any, str]:
        return oracle, fresh_path(tmp_path_factory)


def fresh_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A free path; without the name of the test, which messages should not match."""
    return str(tmp_path_factory.mktemp("t") / "stores" / "pyramid.soma")


def full(ndim: int) -> tuple[slice, ...]:
    """Coordinates of all cells."""
    return (slice(None),) * ndim


def write(array: Any, pixels: np.ndarray) -> None:
    """Write all cells of a level."""
    array.write(full(pixels.ndim), pixels)


def write_case(soma: Any, case: ImageCase, uri: str, **options: Any) -> str:
    """Write the image of a case with a library; return its URI."""
    key, shape = case.first
    space = soma.CoordinateSpace([soma.Axis(*axis) for axis in case.axes])
    options = {"has_channel_axis": case.has_channel, **options}
    if case.order is not None:
        options["data_axis_order"] = case.order
    with soma.MultiscaleImage.create(
        uri,
        type=pa.from_numpy_dtype(case.dtype),
        level_shape=shape,
        level_key=key,
        coordinate_space=space,
        **options,
    ) as image:
        write(image[key], case.pixels(key))
        for other in list(case.levels)[1:]:
            added = image.add_new_level(other, shape=case.levels[other])
            write(added, case.pixels(other))
    return uri


def memory_facts(image: Any) -> dict[str, Any]:
    """What an open image knows, without touching pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "keys": list(image.keys()),
            "levels": list(image.levels().items()),
            "level_count": image.level_count,
            "space": [(axis.name, axis.unit) for axis in image.coordinate_space],
            "mode": image.mode,
            "closed": image.closed,
            "metadata": None if image.closed else sorted(image.metadata),
        }


def tree_facts(root: str) -> dict[str, str]:
    """Every directory and file below a path, files with a hash of their bytes."""
    facts = {}
    for folder, names, files in os.walk(root):
        facts.update(
            {
                os.path.relpath(os.path.join(folder, name), root): "folder"
                for name in names
            }
        )
        for name in files:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                facts[os.path.relpath(path, root)] = f"link to {os.readlink(path)}"
                continue
            with open(path, "rb") as stream:
                digest = hashlib.sha256(stream.read()).hexdigest()
            facts[os.path.relpath(path, root)] = digest
    return facts
