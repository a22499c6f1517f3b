"""Content digests."""

import doctest
import math

import pytest

from segline.common import digests

ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
ABC_MD5 = "900150983cd24fb0d6963f7d28e17f72"


def test_the_documented_examples_hold():
    assert doctest.testmod(digests).failed == 0


def test_a_file_is_digested_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digests.sha256_of_file(tmp_path / "a") == ABC_SHA256


def test_the_name_of_a_file_does_not_matter(tmp_path):
    for name in ("a", "b.nii.gz"):
        (tmp_path / name).write_bytes(b"same")
    assert digests.sha256_of_file(tmp_path / "a") == digests.sha256_of_file(tmp_path / "b.nii.gz")


def test_json_is_digested_in_canonical_form():
    assert digests.sha256_of_json({"b": [1, 2], "a": None}) == digests.sha256_of_json(
        {"a": None, "b": [1, 2]}
    )


@pytest.mark.parametrize("other", [{"a": [2, 1]}, {"a": [1, 2, 2]}, {"A": [1, 2]}, {"a": ["1", "2"]}])
def test_different_values_have_different_digests(other):
    assert digests.sha256_of_json({"a": [1, 2]}) != digests.sha256_of_json(other)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_lacks_is_refused(value):
    with pytest.raises(ValueError):
        digests.sha256_of_json({"a": value})


def test_a_stream_is_digested_whatever_its_chunks():
    assert digests.md5_of_chunks([b"a", b"", b"bc"]) == digests.md5_of_chunks([b"abc"]) == ABC_MD5


def test_a_file_is_cut_into_chunks_that_join_to_it(tmp_path):
    payload = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(payload)
    chunks = list(digests.file_chunks(tmp_path / "a"))
    assert len(chunks) == 2
    assert b"".join(chunks) == payload


def test_an_empty_file_has_no_chunks(tmp_path):
    (tmp_path / "a").touch()
    assert list(digests.file_chunks(tmp_path / "a")) == []
