import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_msimage import MultiscaleImage
from napari_msimage.plugin._demo import is_blank, sample_store
from napari_msimage.samples import tissue

SIZE = 1100


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    return sample_store(tmp_path_factory.mktemp("made"), size=SIZE, say=lambda _: None)


@pytest.fixture
def store(made_once, tmp_path):
    return Path(shutil.copytree(made_once, tmp_path / made_once.name))


@pytest.fixture
def said():
    return []


class TestSampleStore:
    def test_holds_tissue_and_smaller_levels(self, store):
        with MultiscaleImage.open(str(store)) as image:
            shapes = [image.level_shape(i) for i in range(image.level_count)]
            assert shapes == [(1100, 1100, 3), (550, 550, 3), (275, 275, 3)]
            assert np.array_equal(
                np.asarray(image.level_array(0)), tissue((SIZE, SIZE))
            )

    def test_whole_store_is_used_again(self, store, said):
        before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
        assert sample_store(store.parent, size=SIZE, say=said.append) == store
        assert said == [f"Using the sample image {store}"]
        assert before == {path: path.stat().st_mtime_ns for path in store.rglob("*")}

    @pytest.mark.parametrize("damage", ["level missing", "group missing", "pixels cut"])
    def test_broken_store_is_replaced(self, store, said, damage):
        if damage == "level missing":
            shutil.rmtree(store / "level1")
        elif damage == "group missing":
            shutil.rmtree(store / "__group")
        else:
            for path in (store / "level0" / "__fragments").rglob("*.tdb"):
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        sample_store(store.parent, size=SIZE, say=said.append)
        assert said[0] == f"Replacing the incomplete sample image {store}"
        with MultiscaleImage.open(str(store)) as image:
            assert np.array_equal(
                np.asarray(image.level_array(0)), tissue((SIZE, SIZE))
            )

    def test_nothing_else_is_left_in_the_folder(self, made_once):
        assert list(made_once.parent.iterdir()) == [made_once]


class TestIsBlank:
    def test_picture_is_not_blank(self):
        canvas = np.zeros((300, 400, 4), np.uint8)
        canvas[50:250, 50:350, :3] = tissue((200, 300))
        assert not is_blank(canvas)

    def test_empty_canvas_is_blank(self):
        assert is_blank(np.full((300, 400, 4), 38, np.uint8))

    def test_a_line_of_text_is_blank(self):
        canvas = np.zeros((300, 400, 4), np.uint8)
        canvas[140:150, 100:300, :3] = tissue((10, 200))
        assert is_blank(canvas)
