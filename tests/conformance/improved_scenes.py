"""Collections and scenes, where this package does better than tiledbsoma 2.3."""

from __future__ import annotations

import gc
import os
import warnings

import numpy as np
import pyarrow as pa
import pytest

import napari_msimage
from napari_msimage import AffineTransform, IdentityTransform, ScaleTransform
from napari_msimage.storage import _collection

from .describe import transform_facts
from .scene_store import IMAGE, PIXELS, T0, XY, SceneStore
from .store_suite import write


class ImprovedCollectionsSuite(SceneStore):
    def test_reopening_saves_what_members_changed(self):
        """Upstream: what an open member changed is not there until it is closed."""
        made = self.collection()
        made.add_new_collection("inner").metadata["deep"] = 2
        made.reopen("r")
        assert made["inner"].metadata["deep"] == 2

    def test_members_of_a_closed_collection_do_not_open(self):
        """Upstream: they do, as closed objects."""
        made = self.collection()
        made.add_new_collection("inner")
        made.close()
        with self.raises("SOMAError", match="closed"):
            made["inner"]

    def test_removed_key_can_be_used_again_in_a_folder_of_its_own(self):
        """Upstream: its folder is in the way, and the key is lost."""
        made = self.collection()
        made.add_new_collection("inner").metadata["age"] = "old"
        made.close()
        with self.open_collection("d") as opened:
            del opened["inner"]
        with self.open_collection("w") as opened:
            opened.add_new_collection("inner").metadata["age"] = "new"
        opened = self.open_collection()
        assert opened["inner"].metadata["age"] == "new"
        assert opened.members()["inner"][0].endswith("inner,2")
        old = self.keep(self.soma.Collection.open(f"{self.uri}/inner"))
        assert old.metadata["age"] == "old"

    def test_key_added_in_this_session_can_be_removed_and_added_again(self):
        """Upstream: 'Cannot delete previously-mutated key'."""
        made = self.collection()
        made.add_new_collection("inner")
        with pytest.warns(DeprecationWarning, match="mode 'd'"):
            del made["inner"]
        made.add_new_collection("inner").metadata["second"] = 1
        made.close()
        assert self.open_collection()["inner"].metadata["second"] == 1

    def test_closed_member_opens_again(self):
        made = self.collection()
        with made.add_new_collection("inner") as inner:
            inner.metadata["a"] = 1
        made["inner"].metadata["b"] = 2
        made.close()
        assert {"a", "b"} <= set(self.open_collection()["inner"].metadata)

    def test_member_keeps_its_collection_alive(self):
        """Upstream: the collection is collected, and closes its members."""
        with self.collection() as made:
            made.add_new_collection("inner")
        inner = self.soma.Collection.open(self.uri)["inner"]
        gc.collect()
        assert not inner.closed
        assert list(inner.metadata)

    def test_same_member_is_the_same_object(self):
        made = self.collection()
        inner = made.add_new_collection("inner")
        assert made["inner"] is inner
        other = self.keep(self.soma.Collection.create(self.sibling("other")))
        made.set("other", other, use_relative_uri=False)
        assert made["other"] is other

    @pytest.mark.parametrize("name", ["__x", "a\0b", "x" * 101, 5])
    def test_impossible_keys_are_refused(self, name):
        made = self.collection()
        with (
            self.unchanged(),
            self.raises((ValueError, TypeError), match="key"),
        ):
            made.add_new_collection(name)

    def test_own_folder_is_no_place_for_a_member(self):
        made = self.collection()
        with self.raises(ValueError, match="own folder"):
            made.add_new_collection("x", uri=".")
        with self.raises(ValueError, match="own folder"):
            made.set("x", made)

    def test_too_many_members_are_refused(self, monkeypatch):
        monkeypatch.setattr(_collection, "MAX_MEMBERS", 1)
        made = self.collection()
        made.add_new_collection("one")
        with self.raises(ValueError, match="no room for 'two'"):
            made.add_new_collection("two")

    def test_two_sessions_may_add_different_members(self):
        self.collection().close()
        one, two = self.open_collection("w"), self.open_collection("w")
        one.add_new_collection("one")
        two.add_new_collection("two")
        one.close()
        two.close()
        assert list(self.open_collection()) == ["one", "two"]

    def test_same_key_in_two_sessions_is_refused_in_the_second(self):
        self.collection().close()
        one, two = self.open_collection("w"), self.open_collection("w")
        one.add_new_collection("new", uri="of_one")
        two.add_new_collection("new", uri="of_two")
        one.close()
        with self.raises("SOMAError", match="Another session has added a member 'new'"):
            two.close()
        assert not two.closed
        with pytest.warns(DeprecationWarning, match="mode 'd'"):
            del two["new"]
        two.close()
        members = self.open_collection().members()
        assert members["new"][0].endswith("of_one")

    def test_types_of_members_are_told_without_opening_them(self):
        made = self.collection()
        made.add_new_collection("scene", self.soma.Scene)
        made.add_new_dense_ndarray("array", type=pa.uint8(), shape=(3, 4))
        made.close()
        opened = self.open_collection()
        assert opened.member_type("scene") == "SOMAScene"
        assert opened.member_type("array") == "SOMADenseNDArray"
        with self.raises(KeyError, match="'nope'"):
            opened.member_type("nope")

    def test_dataframes_and_sparse_arrays_are_not_made(self):
        made = self.collection()
        with self.raises(NotImplementedError, match="use tiledbsoma"):
            made.add_new_dataframe("x", schema=None)
        with self.raises(NotImplementedError, match="use tiledbsoma"):
            made.add_new_sparse_ndarray("x", type=pa.uint8(), shape=(3,))

    def test_emptying_works_in_every_way(self):
        made = self.collection()
        for key in "abc":
            made.add_new_collection(key)
        made.close()
        opened = self.open_collection("d")
        assert opened.pop("b").soma_type == "SOMACollection"
        assert opened.popitem()[0] == "a"
        opened.clear()
        with self.raises(KeyError, match="no member to remove"):
            opened.popitem()
        opened.close()
        assert list(self.open_collection()) == []

    def test_member_reopened_on_its_own_leaves_its_collection_alone(self):
        made = self.collection(tiledb_timestamp=T0)
        inner = made.add_new_collection("inner")
        inner.reopen("w", tiledb_timestamp=T0 + 1000)
        inner.metadata["late"] = 1
        made.metadata["early"] = 1
        made.close()
        old = self.open_collection(tiledb_timestamp=T0)
        assert old.metadata["early"] == 1
        assert "late" not in old["inner"].metadata
        new = self.open_collection(tiledb_timestamp=T0 + 1000)
        assert new["inner"].metadata["late"] == 1

    def test_open_collections_are_neither_copied_nor_pickled(self):
        import copy
        import pickle

        made = self.collection()
        for copying in (copy.copy, pickle.dumps):
            with self.raises(TypeError, match="pass its uri"):
                copying(made)

    def test_repr_counts_members(self):
        made = self.collection()
        made.add_new_collection("inner")
        assert repr(made) == f"<Collection {self.uri!r} (open for 'w', 1 member)>"
        made.close()
        assert "(CLOSED for 'w', 1 member)" in repr(made)


class ImprovedScenesSuite(SceneStore):
    def test_transform_goes_with_its_image(self):
        """Upstream: it stays, and is given to whatever gets the key next."""
        made = self.scene()
        self.add_image(made)
        made.close()
        with self.open_scene("d") as opened:
            del opened.img["hires"]
        opened = self.open_scene("w")
        assert "soma_scene_registry_hires" not in opened.img.metadata
        with self.raises(KeyError, match="no member 'hires'"):
            opened.get_transform_to_multiscale_image("hires")
        self.add_image(opened, transform=None)
        with self.raises(KeyError, match="no transform to 'hires'"):
            opened.get_transform_to_multiscale_image("hires")

    def test_transform_left_behind_is_not_given_to_a_new_image(self):
        made = self.scene()
        made.img.metadata["soma_scene_registry_hires"] = '{"of": "another"}'
        self.add_image(made, transform=None)
        assert "soma_scene_registry_hires" not in made.img.metadata

    @pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
    def test_transforms_of_no_use_are_refused(self, number):
        """Upstream: stores them, and cannot invert what it reads."""
        made = self.scene()
        for transform in (
            ScaleTransform(XY, XY, [1, number]),
            AffineTransform(XY, XY, [[1, 0, number], [0, 1, 0]]),
        ):
            with self.raises(ValueError, match="finite"):
                self.add_image(made, transform=transform)
        assert list(made.img) == []

    @pytest.mark.parametrize("transform", [5, "identity", [[1, 0], [0, 1]]])
    def test_transforms_that_are_none_are_refused(self, transform):
        """Upstream: AttributeError."""
        made = self.scene()
        with self.raises(TypeError, match="transform must be"):
            self.add_image(made, transform=transform)

    def test_singular_transform_has_no_inverse_and_says_so(self):
        made = self.scene()
        self.add_image(made, transform=ScaleTransform(XY, XY, [0, 1]))
        with self.raises(ValueError, match="invert"):
            made.get_transform_from_multiscale_image("hires")

    def test_failed_image_leaves_nothing_behind(self, monkeypatch):
        """Upstream: the image stays in its collection, without a transform."""
        made = self.scene()
        made.img.metadata["keep"] = 1
        made.reopen("w")
        with (
            self.unchanged(),
            self.raises("SOMAError", match="ends in the axes"),
        ):
            self.add_image(made, transform=self.scaling(to=("a", "b")))

        def fail(*_args, **_kwargs):
            raise OSError("no space left on device")

        monkeypatch.setattr(_collection.MultiscaleImage._state_class, "load", fail)
        with self.unchanged(), pytest.raises(OSError, match="no space left"):
            self.add_image(made)
        monkeypatch.undo()
        assert list(made.img) == []
        self.add_image(made)
        made.close()
        assert self.open_scene().img.members()["hires"][0].endswith("img/hires")

    def test_images_do_not_hold_images(self):
        """Upstream: makes one inside another."""
        made = self.scene()
        self.add_image(made)
        with self.raises(TypeError, match="not a collection"):
            made.add_new_multiscale_image(
                "x", ["img", "hires"], transform=None, **IMAGE
            )
        with self.raises(TypeError, match="sequence of keys"):
            made.add_new_multiscale_image("x", 5, transform=None, **IMAGE)

    def test_images_in_img_are_collections_content(self):
        made = self.keep(self.soma.Scene.create(self.uri))
        with self.raises(TypeError, match="must be a Collection"):
            made.add_new_dense_ndarray("img", type=pa.uint8(), shape=(3, 4))
        with self.raises(TypeError, match="must be a Collection"):
            made.add_new_collection("img", self.soma.MultiscaleImage, **IMAGE)

    def test_dataframes_are_not_made(self):
        made = self.scene()
        for name in ("point_cloud", "geometry"):
            add = getattr(made, f"add_new_{name}_dataframe")
            with self.raises(NotImplementedError, match=rf"tiledbsoma.*{name}"):
                add("spots", "img", transform=None, schema=None)

    def test_changed_axes_of_the_image_are_noticed(self):
        made = self.scene()
        self.add_image(made)
        stale = IdentityTransform(XY, ("u", "v"))
        made.img.metadata["soma_scene_registry_hires"] = (
            napari_msimage.coordinates.transform_to_json(stale)
        )
        found = made.get_transform_to_multiscale_image("hires")
        assert transform_facts(found) == transform_facts(stale)
        with self.raises("SOMAError", match="ends in the axes.*Set it again"):
            made.get_transform_to_multiscale_image("hires", level=0)

    def test_two_sessions_may_register_different_transforms(self):
        made = self.scene()
        for key in ("a", "b"):
            self.add_image(made, key, transform=None)
        made.close()
        one, two = self.open_scene("w"), self.open_scene("w")
        one.set_transform_to_multiscale_image("a", transform=self.scaling((2, 3)))
        two.set_transform_to_multiscale_image("b", transform=self.scaling((4, 5)))
        one.close()
        two.close()
        opened = self.open_scene()
        for key, factors in (("a", [2.0, 3.0]), ("b", [4.0, 5.0])):
            to = opened.get_transform_to_multiscale_image(key)
            assert to.scale_factors.tolist() == factors

    def test_last_write_to_an_image_opened_twice_in_a_session_wins(self):
        made = self.scene(tiledb_timestamp=T0)
        for value in range(5):
            image = (
                made.img["hires"]
                if "hires" in made.img
                else made.add_new_multiscale_image(
                    "hires", "img", transform=None, **IMAGE
                )
            )
            write(image["level0"], np.full_like(PIXELS, value))
            image.close()
        made.close()
        assert (self.open_scene().img["hires"]["level0"].read() == 4).all()

    def test_new_space_of_a_new_image_wins(self):
        """Upstream: written at the same millisecond as the first, either may win."""
        for number in range(5):
            uri = self.sibling(f"s{number}")
            with self.soma.Scene.create(uri, coordinate_space=XY) as made:
                made.add_new_collection("img")
                self.add_image(made)
                made.set_transform_to_multiscale_image(
                    "hires",
                    transform=self.scaling(),
                    coordinate_space=self.space(("x", "px"), ("y", "px")),
                )
            with self.soma.Scene.open(uri) as opened:
                assert opened.img["hires"].coordinate_space[0].unit == "px"

    def test_scene_that_nobody_closed_is_written_when_collected(self):
        made = self.soma.Scene.create(self.uri)
        made.add_new_collection("img")
        del made
        gc.collect()
        assert list(self.open_scene()) == ["img"]


class ImprovedCollectionFolderSuite(SceneStore):
    """On disk only: places outside, leftovers, links."""

    def test_members_outside_are_told(self):
        made = self.collection()
        made.add_new_collection("inside")
        made.add_new_collection("outside", uri=self.sibling("elsewhere"))
        made.add_new_collection("link")
        made.close()
        os.rename(f"{self.uri}/link", self.sibling("moved"))
        os.symlink(self.sibling("moved"), f"{self.uri}/link")
        outside = self.open_collection().members_outside()
        assert sorted(outside) == ["link", "outside"]
        assert outside["outside"].endswith(self.sibling("elsewhere"))

    def test_moved_scene_still_finds_its_members(self):
        made = self.scene()
        self.add_image(made, "a b")
        made.close()
        os.rename(self.uri, self.sibling("moved"))
        moved = self.keep(self.soma.Scene.open(self.sibling("moved")))
        pixels = moved.img["a b"]["level0"].read()
        np.testing.assert_array_equal(pixels, PIXELS)

    def test_lost_member_is_said_and_the_rest_can_be_read(self):
        made = self.collection()
        made.add_new_collection("here")
        made.add_new_collection("lost")
        made.close()
        os.rename(f"{self.uri}/lost", self.sibling("lost"))
        opened = self.open_collection()
        assert list(opened) == ["here", "lost"]
        assert opened["here"].soma_type == "SOMACollection"
        with self.raises("SOMAError", match="nothing is stored"):
            opened["lost"]

    def test_existing_folder_with_content_is_kept_when_creation_fails(self):
        place = self.sibling("full")
        os.makedirs(f"{place}/__meta")
        made = self.collection()
        with self.unchanged(), self.raises("SOMAError", match="__meta"):
            made.add_new_collection("x", uri=place)
        assert list(made) == []

    def test_unfinished_session_leaves_a_readable_scene(self):
        made = self.scene()
        self.add_image(made, "first")
        made.close()
        opened = self.open_scene("w")
        self.add_image(opened, "second")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            seen = self.open_scene()
            assert list(seen.img) == ["first"]
        opened.close()
        assert list(self.open_scene().img) == ["first", "second"]
