import json

import pytest

from segline.data.manifest import Manifest
from segline.data.pseudonyms import Pseudonyms

PSEUDONYMS = {"scan_1": "a" * 12, "scan_10": "b" * 12, "7": "c" * 12}


@pytest.fixture
def names() -> Pseudonyms:
    return Pseudonyms(PSEUDONYMS)


def test_a_pseudonym_is_the_start_of_the_contents_digest(phantoms: Manifest) -> None:
    case = phantoms.cases[0]
    assert Pseudonyms.of(phantoms)[case.name] == case.digest[:12]


def test_cases_of_the_same_content_are_told_apart_as_in_the_manifest(phantoms: Manifest) -> None:
    first = phantoms.cases[0]
    twin = first.model_copy(update={"name": "twin"})
    names = Pseudonyms.of(phantoms.model_copy(update={"cases": (first, twin)}))
    assert (names[first.name], names["twin"]) == (first.short_digest, f"{first.short_digest}-2")
    assert names.hide(f"{first.name}, twin") == f"{first.short_digest}, {first.short_digest}-2"


def test_names_are_hidden_wherever_they_stand_alone(names: Pseudonyms) -> None:
    assert names.hide("scan_1.nii.gz: scan_10, (scan_1)") == f"{'a' * 12}.nii.gz: {'b' * 12}, ({'a' * 12})"
    assert names.hide("scan_100 rescan_1") == "scan_100 rescan_1"


def test_strings_and_keys_of_json_are_hidden_and_numbers_stay(names: Pseudonyms) -> None:
    document = {"scan_1": [7, "7", {"file": "scan_10.nii.gz"}], "none": None}
    hidden = json.loads(names.hide_in_json(json.dumps(document)))
    assert hidden == {"a" * 12: [7, "c" * 12, {"file": f"{'b' * 12}.nii.gz"}], "none": None}


def test_embedded_images_of_a_page_stay_as_they_are(names: Pseudonyms) -> None:
    image = "data:image/png;base64,AAAA/7/scan+scan=="
    assert names.hide_in_page(f'<img src="{image}" alt="scan_1">') == f'<img src="{image}" alt="{"a" * 12}">'


def test_a_bare_number_cannot_be_told_from_a_figure(names: Pseudonyms) -> None:
    assert not names.telling
    assert Pseudonyms({"scan_1": "a" * 12}).telling


def test_without_a_data_set_nothing_is_hidden() -> None:
    assert Pseudonyms.of(None).hide("scan_1") == "scan_1"
