"""The depot: worked on in place in a folder, through a working copy in S3."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.storage.access import Access, is_uri
from segline.storage.depot import Depot
from segline.storage.store import seal

from ..s3_server import S3Server, see_the_disk

Machine = Callable[[str], Depot]
"""The depot as one of several machines sees it."""


@pytest.fixture
def machine(s3_server: S3Server, tmp_path: Path) -> Iterator[Machine]:
    bucket = s3_server.bucket("depot")
    yield lambda name: Access(s3_server.settings, tmp_path / name).depot("s3://depot/kept")
    shutil.rmtree(bucket)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestRemote:
    def test_a_file_kept_on_one_machine_is_brought_to_another(self, machine):
        here, there = machine("here"), machine("there")
        write(here.path("notes/a.json"), "a")
        here.keep_file("notes/a.json")
        assert there.bring_file("notes/a.json").read_text() == "a"
        assert here.folder != there.folder

    def test_a_file_that_nobody_kept_is_a_path_to_write_to(self, machine):
        assert not machine("here").bring_file("timing-caches/sm90").exists()

    def test_the_stores_file_is_the_one_that_counts(self, machine):
        here, there = machine("here"), machine("there")
        write(here.path("cache"), "old")
        here.keep_file("cache")
        there.bring_file("cache")
        write(here.path("cache"), "new")
        here.keep_file("cache")
        assert there.bring_file("cache").read_text() == "new"

    def test_of_many_small_files_only_those_that_lack_are_moved(self, machine):
        here, there = machine("here"), machine("there")
        for name in ("a", "b"):
            write(here.path(f"portraits/{name}.json"), name)
        here.keep_files("portraits")
        write(there.path("portraits/b.json"), "mine")
        write(there.path("portraits/c.json"), "c")
        folder = there.bring_files("portraits")
        assert {path.name: path.read_text() for path in folder.iterdir()} == {
            "a.json": "a",
            "b.json": "mine",
            "c.json": "c",
        }
        there.keep_files("portraits")
        assert (here.bring_files("portraits") / "c.json").read_text() == "c"
        assert here.path("portraits/b.json").read_text() == "b"

    def test_a_folder_is_there_for_others_once_it_is_kept(self, machine):
        here, there = machine("here"), machine("there")
        write(here.path("cases/k/image.npy"), "image")
        assert not there.has_folder("cases/k")
        here.keep_folder("cases/k")
        assert there.has_folder("cases/k")
        assert (there.bring_folder("cases/k") / "image.npy").read_text() == "image"

    def test_the_first_whole_folder_under_a_key_stays(self, machine):
        here, there = machine("here"), machine("there")
        for depot, text in ((here, "first"), (there, "second")):
            write(depot.path("cases/k/image.npy"), text)
            depot.keep_folder("cases/k")
        assert (machine("third").bring_folder("cases/k") / "image.npy").read_text() == "first"

    def test_folders_are_brought_several_at_a_time_and_told(self, machine):
        here, there, told = machine("here"), machine("there"), []
        for key in ("cases/a", "cases/b", "cases/c"):
            write(here.path(f"{key}/x"), key)
            here.keep_folder(key)
        write(there.path("cases/a/x"), "here already")
        there.bring_folders(
            ["cases/a", "cases/b", "cases/c"], "cases", lambda done, text: told.append((done, text))
        )
        assert told == [(0.5, "1 of 2 cases fetched"), (1.0, "2 of 2 cases fetched")]
        assert there.path("cases/c/x").read_text() == "cases/c"

    def test_a_forgotten_file_is_gone_here_and_there(self, machine):
        here = machine("here")
        write(here.path("checkpoints/k.pt"), "state")
        here.keep_file("checkpoints/k.pt")
        here.forget_file("checkpoints/k.pt")
        see_the_disk()
        assert not here.path("checkpoints/k.pt").exists()
        assert not machine("there").bring_file("checkpoints/k.pt").exists()


class TestHere:
    def test_everything_is_worked_on_in_place(self, tmp_path):
        depot = Access(None, tmp_path / "scratch").depot(tmp_path / "store")
        write(depot.path("cases/k/image.npy"), "image")
        seal(depot.path("cases/k"))
        depot.keep_folder("cases/k")
        assert depot.has_folder("cases/k")
        assert depot.bring_folder("cases/k") == tmp_path / "store/cases/k"
        assert depot.store.contents("cases/k") is not None
        assert not (tmp_path / "scratch").exists()

    def test_file_uri_and_folder_are_the_same(self, tmp_path):
        access = Access(None, tmp_path)
        assert access.depot(f"file://{tmp_path}/store") == access.depot(tmp_path / "store")


class TestAccess:
    @pytest.mark.parametrize(
        ("environment", "folder"),
        [
            ({"SEGLINE_SCRATCH": "/fast", "HOME": "/home/me"}, "/fast"),
            ({"XDG_CACHE_HOME": "/caches", "HOME": "/home/me"}, "/caches/segline"),
            ({"HOME": "/home/me"}, "/home/me/.cache/segline"),
        ],
    )
    def test_where_working_copies_lie_comes_from_the_environment(self, environment, folder):
        assert Access.from_environment(environment).scratch == Path(folder)

    def test_an_object_store_needs_credentials(self, tmp_path):
        with pytest.raises(SeglineError, match="s3://bucket/x: no credentials for the object store"):
            Access(None, tmp_path).depot("s3://bucket/x")

    @pytest.mark.parametrize(
        ("location", "uri"), [("s3://b/k", True), (Path("store"), False), ("file:///s", False)]
    )
    def test_only_object_stores_are_elsewhere(self, location, uri):
        assert is_uri(location) == uri
