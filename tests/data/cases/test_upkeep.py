"""Housekeeping of the cache of cases: listing, checking, collecting garbage, in a folder and in S3."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from segline.cli.main import main
from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.data.cases.upkeep import (
    as_table,
    collect_garbage,
    damaged,
    entries,
    remember_use,
    remove,
    unused,
)
from segline.storage.access import Access
from segline.storage.depot import Depot
from segline.storage.store import FOLDER_MARKER, seal

from ...s3_server import ACCESS_KEY, SECRET_KEY, S3Server, see_the_disk

DAY_S = 86_400


class Cache:
    """A depot, and the folder in which its objects lie."""

    def __init__(self, depot: Depot, disk: Path) -> None:
        self.depot, self.disk = depot, disk

    def add(self, key: str, days_ago: float = 0) -> None:
        folder = self.depot.path(f"cases/{key}")
        folder.mkdir(parents=True)
        (folder / "image.npy").write_bytes(key.encode() * 1000)
        seal(folder)
        self.depot.keep_folder(f"cases/{key}")
        self.age(f"cases/{key}", days_ago)

    def use(self, plan: str, keys: list[str], days_ago: float = 0) -> None:
        index = CaseIndex(plan_digest=plan, root="x", keys={k: k for k in keys}, computed=0, reused=0)
        remember_use(index, self.depot)
        self.age(f"uses/{plan}.json", days_ago)

    def age(self, name: str, days: float) -> None:
        then = time.time() - days * DAY_S
        path = self.disk / name
        for file in [path, *path.rglob("*")]:
            os.utime(file, (then, then))
        see_the_disk()

    def keys(self) -> list[str]:
        see_the_disk()
        return [entry.key for entry in entries(self.depot)]


@pytest.fixture(params=["folder", "s3"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    if request.param == "folder":
        yield Cache(Depot.here(tmp_path / "store"), tmp_path / "store")
        return
    server: S3Server = request.getfixturevalue("s3_server")
    with server.lent("housekeeping") as bucket:
        yield Cache(Access(server.settings, tmp_path / "here").depot("s3://housekeeping/s"), bucket / "s")


class TestEntries:
    def test_each_has_its_size_and_who_used_it_last(self, cache):
        cache.add("aa", days_ago=3)
        cache.add("bb")
        cache.use("plan1", ["aa"], days_ago=2)
        cache.use("plan2", ["aa"], days_ago=1)
        first, second = entries(cache.depot)
        assert (first.key, second.key, second.used) == ("aa", "bb", ())
        assert 2000 < first.size_bytes < 4000
        assert [round((first.used[0] - used).total_seconds() / DAY_S) for used in first.used] == [0, 1]
        assert first.last_wanted == first.used[0]
        assert second.last_wanted == second.made

    def test_a_half_stored_case_is_none(self, cache):
        cache.add("aa")
        cache.depot.store.delete(f"cases/aa/{FOLDER_MARKER}")
        assert cache.keys() == []

    def test_the_table_ends_with_the_sum(self, cache):
        cache.add("aa")
        cache.use("plan", ["aa"])
        lines = as_table(entries(cache.depot)).splitlines()
        assert lines[0].split() == ["CASE", "MIB", "MADE", "LAST", "USED", "PLANS"]
        assert (lines[1].split()[0], lines[1].split()[-1]) == ("aa", "1")
        assert lines[2] == "1 case, 0.0 MiB"

    def test_a_damaged_note_of_use_is_told(self, cache):
        cache.depot.store.write("uses/plan.json", b"{}")
        with pytest.raises(SeglineError, match=r"uses/plan\.json: not a list of cases; remove it"):
            entries(cache.depot)


class TestDamaged:
    def test_sound_cases_have_nothing_to_tell(self, cache):
        cache.add("aa")
        assert not list(damaged(cache.depot))

    def test_a_changed_byte_is_found(self, cache):
        for key in ("aa", "bb", "cc"):
            cache.add(key)
        path = cache.disk / "cases/bb/image.npy"
        path.write_bytes(b"x" + path.read_bytes()[1:])
        see_the_disk()
        ((key, fault),) = damaged(cache.depot)
        assert key == "bb"
        assert "damaged" in fault or "not what was written" in fault

    def test_what_is_removed_can_be_made_again(self, cache):
        cache.add("aa")
        remove(cache.depot, "aa")
        assert cache.keys() == []
        cache.add("aa")
        assert cache.keys() == ["aa"]


class TestGarbage:
    def test_only_what_nobody_made_or_used_for_long_goes(self, cache):
        for key, days in (("old", 40), ("used", 40), ("new", 5), ("forgotten", 90)):
            cache.add(key, days)
        cache.use("recent", ["used"], days_ago=10)
        cache.use("long-ago", ["forgotten"], days_ago=60)
        gone = collect_garbage(cache.depot, timedelta(days=30))
        assert [entry.key for entry in gone] == ["forgotten", "old"]
        assert cache.keys() == ["new", "used"]
        assert [note.key for note in (cache.depot.store / "uses").listed()] == ["recent.json"]
        assert not cache.depot.path("cases/old").exists()

    def test_a_look_removes_nothing(self, cache):
        cache.add("old", 40)
        assert len(unused(cache.depot, timedelta(days=30))) == 1
        assert cache.keys() == ["old"]

    def test_what_killed_processes_left_is_swept_once_it_is_old(self, cache):
        cache.add("half", 3)
        cache.depot.store.delete(f"cases/half/{FOLDER_MARKER}")
        for name, days in ((".writing-old", 3), (".writing-new", 0)):
            scratch = cache.depot.path(f"cases/{name}")
            scratch.mkdir(parents=True)
            then = time.time() - days * DAY_S
            os.utime(scratch, (then, then))
        collect_garbage(cache.depot, timedelta(days=30))
        see_the_disk()
        assert not cache.depot.store.stat("cases/half/image.npy")
        assert sorted(path.name for path in cache.depot.path("cases").glob(".writing-*")) == [".writing-new"]

    def test_less_than_a_day_is_refused(self, cache):
        with pytest.raises(SeglineError, match="less than a day"):
            collect_garbage(cache.depot, timedelta(hours=1))


Command = Callable[..., int]


@pytest.fixture
def command(cache: Cache, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Command:
    for name, value in {
        "S3_ENDPOINT": f"http://{s3_server.settings.endpoint}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "SEGLINE_SCRATCH": str(cache.depot.folder.parent),
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: main(["cache", *arguments, "--store", cache.depot.store.uri])


class TestCommand:
    def test_ls_verify_and_gc(self, cache, command, capsys):
        cache.add("aa", 40)
        cache.add("bb")
        assert command("ls") == command("verify") == command("gc", "--dry-run") == command("gc") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[3] == "2 cases, 0.0 MiB"
        assert [line for line in lines if "removed" in line] == [
            "1 case, 0.0 MiB would be removed",
            "1 case, 0.0 MiB removed",
        ]
        assert "every case is sound" in lines
        assert cache.keys() == ["bb"]

    def test_a_damaged_case_is_named_and_removed_on_demand(self, cache, command, capsys):
        cache.add("aa")
        (cache.disk / "cases/aa/image.npy").write_bytes(b"rot")
        see_the_disk()
        assert command("verify") == 2
        captured = capsys.readouterr()
        assert captured.out.startswith("[verify]") or captured.out.startswith("aa: ")
        assert "segline cache: 1 damaged; with --remove they are removed" in captured.err
        assert command("verify", "--remove") == 0
        assert cache.keys() == []

    def test_a_store_without_a_cache_has_no_cases(self, command, capsys):
        assert command("ls") == 0
        assert capsys.readouterr().out.endswith("0 cases, 0.0 MiB\n")


def test_a_note_of_use_is_the_index_of_the_run(tmp_path):
    cache = Cache(Depot.here(tmp_path), tmp_path)
    cache.use("plan", ["aa"])
    assert json.loads((tmp_path / "uses/plan.json").read_text())["keys"] == {"aa": "aa"}
