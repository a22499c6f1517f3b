"""A data set's files in a depot, by content."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.data.kept_files import bring_dataset, keep_dataset
from segline.data.manifest import Manifest
from segline.data.phantom.scanner import write_phantom
from segline.data.verification import verify
from segline.storage.access import Access

from ..s3_server import S3Server, see_the_disk


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("data") / "Phantom"
    write_phantom(folder, 2)
    return verify(folder)


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[Path]:
    with s3_server.lent("raw") as folder:
        yield folder


@pytest.fixture
def here(s3_server: S3Server, bucket: Path, tmp_path: Path) -> Access:
    assert bucket.is_dir()
    return Access(s3_server.settings, tmp_path / "here")


@pytest.fixture
def there(here: Access, tmp_path: Path) -> Access:
    """The same from another machine."""
    return replace(here, scratch=tmp_path / "there")


def test_another_machine_needs_no_more_than_the_manifest(phantoms, here, there):
    kept = keep_dataset(here.depot("s3://raw/store"), phantoms)
    assert kept.root == "s3://raw/store"
    assert kept.digest == phantoms.digest
    brought = bring_dataset(kept, there)
    assert verify(Path(phantoms.root)).cases == brought.cases
    for case in brought.cases:
        assert (brought.image(case).array == phantoms.image(case).array).all()
        assert (brought.label(case).array == phantoms.label(case).array).all()


def test_only_the_asked_for_cases_are_brought(phantoms, here, there):
    kept = keep_dataset(here.depot("s3://raw/store"), phantoms)
    folder = Path(bring_dataset(kept, there, ["phantom_001"]).root)
    assert sorted(path.name for path in folder.rglob("*.nii.gz")) == ["phantom_001.nii.gz"] * 2


def test_a_file_is_stored_once_whatever_its_name(phantoms, here, bucket, tmp_path):
    depot = here.depot("s3://raw/store")
    keep_dataset(depot, phantoms)
    before = {path: path.stat().st_mtime_ns for path in (bucket / "store/files").iterdir()}
    shutil.copytree(phantoms.root, tmp_path / "copy")
    told = []
    keep_dataset(depot, verify(tmp_path / "copy"), lambda _, text: told.append(text))
    assert (len(before), told) == (4, [])
    assert {path: path.stat().st_mtime_ns for path in (bucket / "store/files").iterdir()} == before


def test_a_rotten_file_is_told_and_not_kept(phantoms, here, there, bucket):
    kept = keep_dataset(here.depot("s3://raw/store"), phantoms)
    rotten = phantoms.cases[0].label
    (bucket / f"store/files/{rotten.sha256}").write_bytes(b"rot")
    see_the_disk()
    with pytest.raises(SeglineError, match=f"files/{rotten.sha256}: damaged"):
        bring_dataset(kept, there)
    assert not list((there.scratch).rglob("labelsTr/phantom_000.nii.gz"))


def test_a_case_that_is_not_there_is_named(phantoms, here):
    kept = keep_dataset(here.depot("s3://raw/store"), phantoms)
    with pytest.raises(SeglineError, match="nobody: no such case"):
        bring_dataset(kept, here, ["nobody"])


def test_a_path_cannot_lead_out_of_the_folder(phantoms, here):
    kept = keep_dataset(here.depot("s3://raw/store"), phantoms)
    case = kept.cases[0]
    evil = case.model_copy(update={"label": case.label.model_copy(update={"path": "../../evil"})})
    with pytest.raises(SeglineError, match="evil"):
        bring_dataset(kept.model_copy(update={"cases": (evil,)}), here)


def test_data_on_this_machine_are_used_in_place(phantoms, tmp_path):
    access = Access(None, tmp_path)
    assert keep_dataset(access.depot(tmp_path / "store"), phantoms) == phantoms
    assert bring_dataset(phantoms, access) == bring_dataset(phantoms, None) == phantoms
    assert not (tmp_path / "store").exists()
