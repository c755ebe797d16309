"""Writing images and scenes from arrays: levels, lazy sources, all or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage import samples
from napari_msimage.coordinates import (
    AffineTransform,
    Axis,
    CoordinateSpace,
    IdentityTransform,
    ScaleTransform,
)
from napari_msimage.engines import (
    ImageToWrite,
    SceneToWrite,
    _staging,
    plan_store,
    run,
    write_store,
)
from napari_msimage.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    StorageError,
    UnsupportedError,
)
from napari_msimage.storage import (
    MultiscaleImage,
    Scene,
    SOMATileDBContext,
    staging_name,
)

SPACE = CoordinateSpace((Axis("x", "micrometer"), Axis("y", "micrometer")))
CHANNEL = "soma_channel"


def image(pixels, order=("y", "x"), **options):
    names = [name for name in reversed(order) if name != CHANNEL]
    levels = pixels if isinstance(pixels, tuple) else (pixels,)
    space = CoordinateSpace.from_axis_names(tuple(names))
    return ImageToWrite(levels, space, order, **options)


def noise(shape, dtype="u1", seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype)


def read_levels(uri, context=None):
    with MultiscaleImage.open(str(uri), context=context) as stored:
        return [stored[key].read() for key in stored.levels()]


def mean_level(pixels, shape, axes):
    """Return the exact area-weighted mean, rounded half up; slow."""
    sums = pixels.astype(object)
    for axis in axes:
        n, m = pixels.shape[axis], shape[axis]
        weights = np.zeros((m, n), object)
        for k in range(m):
            for i in range(k * n // m, -(-(k + 1) * n // m)):
                low = max(Fraction(k * n, m), Fraction(i))
                high = min(Fraction((k + 1) * n, m), Fraction(i + 1))
                weights[k, i] = (high - low) * Fraction(m, n)
        sums = np.moveaxis(np.tensordot(weights, sums, (1, axis)), 0, axis)
    return np.vectorize(lambda v: int((v + Fraction(1, 2)) // 1))(sums)


def listing(folder):
    return sorted(entry.name for entry in os.scandir(folder))


# Levels


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 61), st.integers(1, 61)),
    channels=st.sampled_from([None, "first", "last"]),
    dtype=st.sampled_from(["u1", "i2", "u4"]),
)
def test_made_levels_are_exact_means_of_the_finest(
    tmp_path_factory, shape, channels, dtype
):
    order, full, axes = ("y", "x"), shape, (0, 1)
    if channels == "first":
        order, full, axes = (CHANNEL, "y", "x"), (2, *shape), (1, 2)
    elif channels == "last":
        order, full, axes = ("y", "x", CHANNEL), (*shape, 3), (0, 1)
    pixels = noise(full, dtype)
    uri = str(tmp_path_factory.mktemp("store") / "image.soma")
    run(write_store(uri, image(pixels, order, max_side=9)))
    finest, *others = read_levels(uri)
    np.testing.assert_array_equal(finest, pixels)
    sides = [max(level.shape[axis] for axis in axes) for level in (finest, *others)]
    assert sides[-1] <= 9
    assert all(side > 9 for side in sides[:-1])
    for level in others:
        np.testing.assert_array_equal(level, mean_level(pixels, level.shape, axes))


@pytest.mark.parametrize(
    ("shape", "order", "keeps"),
    [
        ((2048, 4096, 3), ("y", "x", CHANNEL), True),
        ((3, 2048, 4096), (CHANNEL, "y", "x"), True),
        ((2047, 4099), ("y", "x"), False),
        ((48, 700, 900), ("z", "y", "x"), True),
    ],
    ids=["colours last", "channels first", "odd", "volume"],
)
def test_large_images_are_streamed(tmp_path, shape, order, keeps, monkeypatch):
    monkeypatch.setattr("napari_msimage.engines._level_passes.MEMORY_BYTES", 2**18)
    pixels = noise(shape)
    what = image(pixels, order)
    steps = plan_store(what).images[""].steps
    assert (len(steps) == 1) == keeps
    uri = str(tmp_path / "image.soma")
    run(write_store(uri, what))
    levels = read_levels(uri)
    np.testing.assert_array_equal(levels[0], pixels)
    whole = [ax for ax, name in enumerate(order) if name != CHANNEL]
    for level in levels[1:]:
        box = tuple(
            slice(0, 8) if ax in whole else slice(None) for ax in range(len(shape))
        )
        factor = [-(-n // m) for n, m in zip(shape, level.shape, strict=True)]
        if all(n % m == 0 for n, m in zip(shape, level.shape, strict=True)):
            near = tuple(slice(0, 8 * f) if f > 1 else slice(None) for f in factor)
            part = pixels[near]
            expected = mean_level(part, level[box].shape, whole)
            np.testing.assert_array_equal(level[box], expected)


def test_given_levels_stay_and_coarser_ones_are_made_of_the_finest(tmp_path):
    fine = noise((1200, 1000))
    coarse = np.zeros((600, 500), "u1")
    uri = str(tmp_path / "image.soma")
    what = image((fine, coarse), max_side=300, method="stride")
    run(write_store(uri, what))
    levels = read_levels(uri)
    assert [level.shape for level in levels] == [(1200, 1000), (600, 500), (300, 250)]
    assert not levels[1].any()
    np.testing.assert_array_equal(levels[2], fine[1::4, 1::4])
    keys = list(MultiscaleImage.open(uri).levels())
    assert keys == ["level0", "level1", "level2"]


def test_the_plan_says_what_will_be(tmp_path):
    what = image(samples.TissueMosaic((2**18, 2**18)), ("y", "x", CHANNEL))
    plan = plan_store(what)
    assert plan.nbytes > 2**36 * 3
    assert plan.peak_bytes < 250 * 2**20
    text = str(plan)
    assert "level0  262144 x 262144 x 3  tiles 512 x 512 x 3  192 GiB" in text
    assert "level9  512 x 512 x 3" in text
    assert text.count("made") == 9


# Lazy sources


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((3000, 2600), (1000, 1000)),
        ((3001, 2599), (1024, 1024)),
        ((2600, 2600), (96, 160)),
        ((40, 900, 1100), (1, 900, 1100)),
        ((2600, 2600), (1301, 1301)),
        ((1300, 2600), (100, 2600)),
    ],
)
def test_each_chunk_of_a_lazy_source_is_computed_once(tmp_path, shape, chunks):
    import dask.array as da

    computed = Counter()

    def make(block_info=None):
        place = block_info[None]["array-location"]
        computed[tuple(a for a, _ in place)] += 1
        grid = np.ix_(*(np.arange(a, b) for a, b in place))
        return (sum(k * axis for k, axis in enumerate(grid, 3)) % 65521).astype("u2")

    whole = da.core.normalize_chunks(chunks, shape)
    lazy = da.map_blocks(make, chunks=whole, dtype="u2", meta=np.empty(0, "u2"))
    order = ("z", "y", "x")[-len(shape) :]
    uri = str(tmp_path / "image.soma")
    run(write_store(uri, image(lazy, order)))
    assert set(computed.values()) == {1}
    np.testing.assert_array_equal(read_levels(uri)[0], lazy.compute())


def test_a_huge_lazy_source_starts_at_once_and_can_be_stopped(tmp_path, monkeypatch):
    import dask.array as da

    monkeypatch.setattr(_staging, "check_space", lambda *_: None)
    lazy = da.zeros((450_000, 450_000), chunks=(9000, 9000), dtype="u1")
    uri = tmp_path / "huge.soma"
    engine = write_store(str(uri), image(lazy))
    for progress in engine:
        if progress.done:
            break
    assert 0 < progress.done < progress.total
    engine.close()
    assert listing(tmp_path) == []


def test_other_array_likes_are_asked_by_one_thread_at_a_time(tmp_path):
    pixels = noise((2500, 2000))

    class Fragile:
        shape, dtype, busy = pixels.shape, pixels.dtype, False

        def __getitem__(self, key):
            assert not self.busy
            Fragile.busy = True
            part = pixels[key].copy()
            Fragile.busy = False
            return part

    uri = str(tmp_path / "image.soma")
    run(write_store(uri, image(Fragile())))
    np.testing.assert_array_equal(read_levels(uri)[0], pixels)


def test_memory_is_bounded(tmp_path):
    script = f"""
        import threading
        import numpy as np
        from napari_msimage import samples
        from napari_msimage.coordinates import CoordinateSpace
        from napari_msimage.engines import ImageToWrite, run, write_store

        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096

        pixels = samples.TissueMosaic((8000, 11000))
        pixels[:10]
        space = CoordinateSpace.from_axis_names(("x", "y"))
        image = ImageToWrite((pixels,), space, ("y", "x", "soma_channel"))
        start, most = resident(), 0
        def report(_):
            global most
            most = max(most, resident() - start)
        run(write_store({str(tmp_path / "image.soma")!r}, image), report)
        print(most)
    """
    code = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250 * 2**20 < 8000 * 11000 * 3


# Scenes


def scene():
    affine = AffineTransform(("x", "y"), ("x", "y"), [[1, 0.5, 3], [0, 1, 2]])
    scale = ScaleTransform(("x", "y"), ("x", "y"), [2.0, 4.0])
    images = {
        "H&E 1": image(noise((40, 30)), metadata={"stain": "H&E"}),
        "h&e 1": image(noise((3, 21, 20), seed=2), (CHANNEL, "y", "x")),
        "loose": image(noise((9, 8), seed=3)),
    }
    transforms = {"H&E 1": scale, "h&e 1": affine}
    return SceneToWrite(SPACE, images, transforms, metadata={"slide": "S1"})


def test_a_scene_holds_images_transforms_and_metadata(tmp_path):
    uri = str(tmp_path / "scene.soma")
    what = scene()
    assert run(write_store(uri, what)) == (uri,)
    assert listing(tmp_path) == ["scene.soma"]
    with Scene.open(uri) as stored:
        assert stored.coordinate_space == SPACE
        assert stored.metadata["slide"] == "S1"
        assert set(stored.img) == set(what.images)
        assert not stored.img.members_outside()
        assert stored.img["H&E 1"].metadata["stain"] == "H&E"
        for name, expected in what.transforms.items():
            found = stored.get_transform_to_multiscale_image(name)
            assert type(found) is type(expected)
            np.testing.assert_array_equal(
                found.augmented_matrix, expected.augmented_matrix
            )
        for name, one in what.images.items():
            pixels = stored.img[name]["level0"].read()
            np.testing.assert_array_equal(pixels, one.levels[0])


def test_a_scene_is_written_in_place_elsewhere(tmp_path):
    uri, context = "mem://scene", SOMATileDBContext()
    run(write_store(uri, scene(), context=context))
    with Scene.open(uri, context=context) as stored:
        assert len(stored.img) == 3
    with pytest.raises(AlreadyExistsError, match=r"something \(group\) at 'mem://"):
        run(write_store(uri, scene(), context=context))
    with pytest.raises(UnsupportedError, match="cannot rename"):
        run(write_store(uri, scene(), replace=True, context=context))


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("kind", ["image", "scene"])
def test_who_comes_second_takes_nothing_away_elsewhere(kind, steps):
    def make(value):
        one = image(np.full((900, 800), value, "u1"))
        return one if kind == "image" else SceneToWrite(SPACE, {"a": one}, {})

    uri, context = f"mem://race-{kind}-{steps}", SOMATileDBContext()
    late = write_store(uri, make(1), context=context)
    for _ in range(steps):
        next(late)
    run(write_store(uri, make(2), context=context))
    with pytest.raises(AlreadyExistsError, match="already there"):
        run(late)
    place = uri if kind == "image" else f"{uri}/img/a"
    assert (read_levels(place, context)[0] == 2).all()


def test_a_scene_is_all_or_nothing(tmp_path):
    class Broken:
        shape, dtype = (9, 8), np.dtype("u1")

        def __getitem__(self, key):
            msg = "the drive is gone"
            raise OSError(msg)

    what = scene()
    images = {**what.images, "loose": image(Broken())}
    what = SceneToWrite(SPACE, images, what.transforms)
    with pytest.raises(
        StorageError, match=r"'level0' of image 'loose' .*OSError: the drive"
    ):
        run(write_store(str(tmp_path / "scene.soma"), what))
    assert listing(tmp_path) == []


def test_bad_scenes_are_refused():
    with pytest.raises(ArgumentError, match="at least one image"):
        plan_store(SceneToWrite(SPACE, {}, {}))
    lost = {"b": IdentityTransform(("x", "y"), ("x", "y"))}
    with pytest.raises(ArgumentError, match="transform for 'b'"):
        plan_store(SceneToWrite(SPACE, {"a": image(noise((9, 8)))}, lost))
    with pytest.raises(ArgumentTypeError, match="ImageToWrite or a SceneToWrite"):
        plan_store(noise((9, 8)))
    with pytest.raises(ArgumentError, match="method must be one of"):
        plan_store(image(noise((9, 8)), method="cubic"))
    grows = {"b": image((noise((9, 8)), noise((19, 8))))}
    with pytest.raises(ArgumentError, match="Image 'b': Level 'level1' has shape"):
        plan_store(SceneToWrite(SPACE, grows, {}))


# Replacing


def test_what_is_there_is_replaced_only_on_wish(tmp_path):
    uri = str(tmp_path / "image.soma")
    old, new = noise((40, 30)), noise((50, 20), seed=1)
    run(write_store(uri, image(old)))
    with pytest.raises(AlreadyExistsError, match="replace=True"):
        run(write_store(uri, image(new)))
    np.testing.assert_array_equal(read_levels(uri)[0], old)
    run(write_store(uri, image(new), replace=True))
    np.testing.assert_array_equal(read_levels(uri)[0], new)
    assert listing(tmp_path) == ["image.soma"]


def test_only_soma_objects_are_replaced(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(AlreadyExistsError, match="no SOMA image or scene"):
        run(write_store(str(tmp_path / "notes"), image(noise((9, 8))), replace=True))
    run(write_store(str(tmp_path / "image.soma"), image(noise((9, 8)))))
    (tmp_path / "link.soma").symlink_to(tmp_path / "image.soma")
    with pytest.raises(AlreadyExistsError, match="no SOMA image or scene"):
        run(
            write_store(str(tmp_path / "link.soma"), image(noise((9, 8))), replace=True)
        )
    assert listing(tmp_path) == ["image.soma", "link.soma", "notes"]
    assert listing(tmp_path / "notes") == ["thesis.txt"]


def test_only_what_can_be_replaced_is_offered_to_be(tmp_path):
    (tmp_path / "notes").mkdir()
    run(write_store(str(tmp_path / "image.soma"), image(noise((9, 8)))))
    (tmp_path / "link.soma").symlink_to(tmp_path / "image.soma")
    for name in ("notes", "link.soma", "image.soma"):
        with pytest.raises(AlreadyExistsError, match="Choose another place") as caught:
            run(write_store(str(tmp_path / name), image(noise((9, 8)))))
        assert ("replace=True" in str(caught.value)) == (name == "image.soma")


@pytest.mark.parametrize("kind", ["SOMAExperiment", "SOMADataFrame", "group"])
def test_other_soma_objects_are_not_replaced(tmp_path, kind, monkeypatch):
    uri = str(tmp_path / "study.soma")
    run(write_store(uri, image(noise((9, 8)))))
    monkeypatch.setattr(_staging, "probe", lambda uri: kind)
    with pytest.raises(AlreadyExistsError, match="no SOMA image or scene"):
        run(write_store(uri, image(noise((5, 5))), replace=True))
    assert read_levels(uri)[0].shape == (9, 8)
    assert listing(tmp_path) == ["study.soma"]


@pytest.mark.parametrize("is_there", [False, True])
def test_copies_that_people_made_are_left_alone(tmp_path, is_there):
    uri = str(tmp_path / "image.soma")
    copy = tmp_path / "image.soma.old.2024"
    run(write_store(str(copy), image(noise((9, 8)))))
    os.utime(copy, (0, 0))
    for _ in range(1 + is_there):
        run(write_store(uri, image(noise((5, 5))), replace=True))
    assert listing(tmp_path) == ["image.soma", copy.name]


@pytest.mark.parametrize("step", [1, 2])
def test_a_failing_swap_gives_the_old_one_back(tmp_path, monkeypatch, step):
    uri = str(tmp_path / "image.soma")
    old = noise((40, 30))
    run(write_store(uri, image(old)))
    rename, calls = os.rename, []

    def refuse(source, destination):
        if uri in (source, destination):
            calls.append(source)
            if len(calls) == step:
                msg = "the system says no"
                raise OSError(msg)
        rename(source, destination)

    monkeypatch.setattr(_staging.os, "rename", refuse)
    with pytest.raises(StorageError, match="the system says no"):
        run(write_store(uri, image(noise((9, 8))), replace=True))
    assert listing(tmp_path) == ["image.soma"]
    np.testing.assert_array_equal(read_levels(uri)[0], old)


@pytest.mark.parametrize("is_new_there", [False, True])
def test_a_swap_that_a_dead_process_began_is_put_right(tmp_path, is_new_there):
    uri = tmp_path / "image.soma"
    old = noise((40, 30))
    run(write_store(str(uri), image(old)))
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    aside = staging_name().replace(f"_{os.getpid()}_", f"_{dead}_")
    uri.rename(f"{uri}.old.{aside}")
    if is_new_there:
        run(write_store(str(tmp_path / "new.soma"), image(noise((9, 8)))))
        (tmp_path / "new.soma").rename(uri)
    with pytest.raises(AlreadyExistsError, match="something at"):
        run(write_store(str(uri), image(noise((5, 5)))))
    assert listing(tmp_path) == ["image.soma"]
    shape = (9, 8) if is_new_there else (40, 30)
    assert read_levels(uri)[0].shape == shape
