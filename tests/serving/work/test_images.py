from pathlib import Path

from segline.serving.work.images import Images, Kept


def kept(folder: Path) -> Kept:
    return Kept(folder, (folder / "image.nii.gz",))


def test_an_image_is_had_by_its_name_until_it_is_removed(tmp_path: Path) -> None:
    removed: list[Path] = []
    images = Images(removed.append, keep_s=60, most=5)
    name = images.add(kept(tmp_path))
    assert images.get(name) and images.add(kept(tmp_path), "mine") == "mine"
    assert images.remove(name) and not images.remove(name)
    assert images.get(name) is None and removed == [tmp_path]


def test_one_of_the_same_name_takes_its_place(tmp_path: Path) -> None:
    removed: list[Path] = []
    images = Images(removed.append, keep_s=60, most=5)
    images.add(kept(tmp_path / "a"), "x")
    images.add(kept(tmp_path / "b"), "x")
    assert removed == [tmp_path / "a"] and len(images.all) == 1


def test_the_longest_unused_goes_where_there_are_too_many(tmp_path: Path) -> None:
    removed: list[Path] = []
    images = Images(removed.append, keep_s=60, most=2)
    for name in "ab":
        images.add(kept(tmp_path / name), name)
    images.get("a")
    images.add(kept(tmp_path / "c"), "c")
    assert removed == [tmp_path / "b"]


def test_what_is_not_used_for_a_while_goes(tmp_path: Path) -> None:
    removed: list[Path] = []
    images = Images(removed.append, keep_s=0, most=2)
    images.add(kept(tmp_path), "a")
    assert images.get("a") is None and removed == [tmp_path]
