"""Collections: making, walking and changing them."""

from __future__ import annotations

import warnings

import pyarrow as pa
import pytest

from .describe import class_name
from .scene_store import IMAGE, T0, SceneStore

NAMES = ["plain", "a b", "a/b", "µ*?", "100%", "é(1)'~", "日本"]


class CollectionsSuite(SceneStore):
    def fill(self):
        """A collection with a member of every type that both libraries make."""
        with self.collection() as made:
            made.add_new_collection("inner")
            made.add_new_collection("scene", self.soma.Scene)
            made.add_new_collection("image", self.soma.MultiscaleImage, **IMAGE)
            made.add_new_dense_ndarray("array", type=pa.uint8(), shape=(3, 4))

    def test_new_collection_is_empty_and_open_for_writing(self):
        made = self.collection()
        assert made.soma_type == "SOMACollection"
        assert (made.mode, made.closed, made.uri) == ("w", False, self.uri)
        assert (len(made), list(made), made.members()) == (0, [], {})
        made.close()
        assert made.closed

    def test_existing_place_is_refused(self):
        self.collection().close()
        with self.unchanged(), self.raises("SOMAError", match="already"):
            self.collection()

    def test_exists_tells_collections_from_scenes_and_images(self):
        assert not self.soma.Collection.exists(self.uri)
        self.fill()
        assert self.soma.Collection.exists(self.uri)
        assert not self.soma.Scene.exists(self.uri)
        assert not self.soma.Collection.exists(f"{self.uri}/scene")
        assert self.soma.Scene.exists(f"{self.uri}/scene")
        assert not self.soma.Collection.exists(f"{self.uri}/image")
        assert not self.soma.Collection.exists(f"{self.uri}/array")

    def test_opening_the_wrong_type_is_refused(self):
        self.fill()
        for kind, place in [
            ("Collection", "scene"),
            ("Collection", "image"),
            ("Scene", "inner"),
            ("Scene", "image"),
            ("MultiscaleImage", "scene"),
        ]:
            with self.raises("SOMAError", match="not a 'SOMA.*open it with"):
                getattr(self.soma, kind).open(f"{self.uri}/{place}")

    @pytest.mark.parametrize("mode", ["r", "w", "d"])
    def test_members_open_as_what_they_are_in_the_same_mode(self, mode):
        self.fill()
        opened = self.open_collection(mode)
        assert list(opened) == ["array", "image", "inner", "scene"]
        assert {key: class_name(opened[key]) for key in opened} == {
            "array": "DenseNDArray",
            "image": "MultiscaleImage",
            "inner": "Collection",
            "scene": "Scene",
        }
        assert {opened[key].mode for key in opened} == {mode}
        assert len(opened) == 4
        assert "inner" in opened
        assert "nope" not in opened
        with self.raises(KeyError, match="nope.*'array'"):
            opened["nope"]
        assert opened.get("nope") is None

    def test_closing_closes_members(self):
        self.fill()
        opened = self.open_collection()
        children = [opened[key] for key in opened]
        opened.close()
        assert all(child.closed for child in children)
        assert list(opened) == ["array", "image", "inner", "scene"]
        with self.raises("SOMAError", match="closed"):
            _ = opened.metadata["soma_object_type"]

    @pytest.mark.parametrize("name", NAMES)
    def test_names_are_percent_encoded(self, name):
        with self.collection() as made:
            made.add_new_collection(name)
        opened = self.open_collection()
        assert list(opened) == [name]
        assert opened[name].soma_type == "SOMACollection"

    @pytest.mark.parametrize("name", ["", ".", ".."])
    def test_names_of_the_folder_itself_are_refused(self, name):
        made = self.collection()
        expected = "SOMAError" if name == "" else ValueError
        with self.raises(expected, match="folder"):
            made.add_new_collection(name)
        assert list(made) == []

    def test_taken_key_is_refused(self):
        made = self.collection()
        inner = made.add_new_collection("inner")
        with self.raises(KeyError, match="already.*'inner'"):
            made.add_new_collection("inner")
        with self.raises("SOMAError", match="already.*'inner'"):
            made.set("inner", inner)

    def test_kinds_that_are_none_are_refused(self):
        made = self.collection()
        for kind in (self.soma.Axis, self.soma.ScaleTransform):
            with self.raises(TypeError, match="kind must be"):
                made.add_new_collection("x", kind)
        assert list(made) == []

    def test_options_of_the_kind_are_checked(self):
        made = self.collection()
        with self.raises(TypeError, match="level_shape"):
            made.add_new_collection("x", self.soma.MultiscaleImage, type=pa.uint8())
        with self.raises(TypeError, match="nonsense"):
            made.add_new_collection("x", nonsense=1)
        assert list(made) == []

    def test_relative_uri_is_a_relative_member(self):
        with self.collection() as made:
            made.add_new_collection("inner", uri="other")
        opened = self.open_collection()
        assert opened.members()["inner"][0].endswith(f"{self.uri}/other")

    def test_absolute_uri_is_a_member_outside(self):
        place = self.sibling("elsewhere")
        with self.collection() as made:
            made.add_new_collection("inner", uri=place)
        opened = self.open_collection()
        assert opened.members()["inner"][0].endswith(place)
        assert opened["inner"].soma_type == "SOMACollection"

    def test_taken_uri_is_refused(self):
        made = self.collection()
        made.add_new_collection("inner", uri="other")
        with self.raises("SOMAError", match="already"):
            made.add_new_collection("second", uri="other")
        assert list(made) == ["inner"]

    def test_members_of_a_writing_session_come_last(self):
        with self.collection() as made:
            made.add_new_collection("b")
        opened = self.open_collection("w")
        opened.add_new_collection("a")
        assert list(opened) == ["b", "a"]
        opened.close()
        assert list(self.open_collection()) == ["a", "b"]

    def test_existing_objects_become_members(self):
        other = self.keep(self.soma.Collection.create(self.sibling("other")))
        other.metadata["note"] = "kept"
        other.close()
        other = self.keep(self.soma.Collection.open(other.uri))
        with self.collection() as made:
            assert made.set("outside", other, use_relative_uri=False) is not None
            made["outside2"] = other
            assert not other.closed
        assert not other.closed
        opened = self.open_collection()
        assert list(opened) == ["outside", "outside2"]
        assert opened["outside"].metadata["note"] == "kept"
        assert opened["outside2"].metadata["note"] == "kept"

    def test_values_that_are_no_objects_are_refused(self):
        made = self.collection()
        expected = TypeError if self.is_ours else AttributeError
        with self.raises(expected, match="member must be"):
            made.set("x", 5)
        assert "x" not in made

    def test_members_are_deleted_in_mode_d(self):
        self.fill()
        with self.open_collection("d") as opened:
            del opened["scene"]
            with self.raises(KeyError, match="nope"):
                del opened["nope"]
            assert list(opened) == ["array", "image", "inner"]
        assert list(self.open_collection()) == ["array", "image", "inner"]
        assert self.soma.Scene.exists(f"{self.uri}/scene"), "only the entry goes"

    def test_members_are_deleted_in_mode_w_with_a_warning_from_ours(self):
        self.fill()
        opened = self.open_collection("w")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            del opened["scene"]
        opened.close()
        assert list(self.open_collection()) == ["array", "image", "inner"]

    def test_nothing_is_deleted_from_a_reader(self):
        self.fill()
        opened = self.open_collection()
        with self.raises("SOMAError", match="mode"):
            del opened["scene"]

    @pytest.mark.parametrize("mode", ["r", "d"])
    def test_nothing_is_added_without_mode_w(self, mode):
        self.fill()
        opened = self.open_collection(mode)
        inner = opened["inner"]
        if self.is_ours:  # upstream: writes the folder, then fails with another error
            with self.unchanged(), self.raises("SOMAError", match="mode"):
                opened.add_new_collection("new")
            with self.unchanged(), self.raises("SOMAError", match="mode"):
                opened.set("new", inner)
        with self.raises("SOMAError", match="mode"):
            opened.verify_open_for_writing()
        with self.raises("SOMAError", match="mode"):
            opened.metadata["a"] = 1

    def test_metadata_is_written_when_closed(self):
        with self.collection() as made:
            made.metadata["note"] = "kept"
            made.add_new_collection("inner").metadata["deep"] = 2
        opened = self.open_collection()
        assert opened.metadata["note"] == "kept"
        assert opened["inner"].metadata["deep"] == 2

    def test_reopening_saves_and_changes_the_mode(self):
        made = self.collection()
        made.add_new_collection("inner")
        made.metadata["note"] = "kept"
        made.reopen("r")
        assert made.mode == "r"
        assert made["inner"].mode == "r"
        assert made.metadata["note"] == "kept"
        made.reopen("w")
        made.add_new_collection("second")
        made.close()
        assert list(self.open_collection()) == ["inner", "second"]

    def test_bad_modes_and_addresses_are_refused(self):
        self.fill()
        with self.raises(ValueError, match="mode"):
            self.open_collection("rw")
        with self.raises(TypeError, match="str"):
            self.soma.Collection.open(5)
        with self.raises("SOMAError", match="nothing is stored|not exist"):
            self.soma.Collection.open(self.sibling("nowhere"))

    def test_direct_construction_is_refused(self):
        for kind in (self.soma.Collection, self.soma.Scene):
            with self.raises(TypeError, match="not made directly"):
                kind()


class CollectionHistorySuite(SceneStore):
    @pytest.fixture(autouse=True)
    def _history(self, _store):
        with self.collection(tiledb_timestamp=T0) as made:
            made.add_new_collection("first").metadata["step"] = 1
        with self.open_collection("w", tiledb_timestamp=T0 + 1000) as made:
            made.add_new_collection("second")
            made["first"].metadata["step"] = 2
        with self.open_collection("d", tiledb_timestamp=T0 + 2000) as made:
            del made["first"]

    def test_nothing_is_there_before(self):
        assert not self.soma.Collection.exists(self.uri, tiledb_timestamp=T0 - 1)
        assert self.soma.Collection.exists(self.uri, tiledb_timestamp=T0)
        with self.raises("SOMAError", match="soma_object_type"):
            self.open_collection(tiledb_timestamp=T0 - 1)

    @pytest.mark.parametrize(
        ("age", "keys"),
        [(0, ["first"]), (1000, ["first", "second"]), (2000, ["second"])],
    )
    def test_members_of_the_time_are_shown(self, age, keys):
        assert list(self.open_collection(tiledb_timestamp=T0 + age)) == keys

    @pytest.mark.parametrize(("age", "step"), [(0, 1), (999, 1), (1000, 2)])
    def test_members_open_at_that_time(self, age, step):
        opened = self.open_collection(tiledb_timestamp=T0 + age)
        assert opened["first"].tiledb_timestamp_ms == T0 + age
        assert opened["first"].metadata["step"] == step

    def test_writers_see_the_present(self):
        assert list(self.open_collection("w", tiledb_timestamp=T0)) == ["second"]

    def test_reopening_moves_in_time(self):
        opened = self.open_collection(tiledb_timestamp=T0)
        opened.reopen("r", tiledb_timestamp=T0 + 1000)
        assert list(opened) == ["first", "second"]
        assert opened["first"].metadata["step"] == 2
