"""Names of labels become codes that DICOM's own dictionary has, or a vague one where a word is not known."""

import pytest
from pydicom.sr.codedict import codes as dictionary

from segline.imaging.dicom import codes
from segline.imaging.dicom.codes import meaning_of


@pytest.mark.parametrize(
    ("label", "task", "category", "kind", "modifiers"),
    [
        ("spleen", "", "Anatomical Structure", "Spleen", []),
        ("Anterior", "hippocampus", "Anatomical Structure", "Hippocampus", ["Anterior"]),
        ("hippocampus_posterior", "", "Anatomical Structure", "Hippocampus", ["Posterior"]),
        ("left atrium", "heart", "Anatomical Structure", "Left atrium", []),
        ("right kidney", "", "Anatomical Structure", "Kidney", ["Right"]),
        ("Lungs", "", "Anatomical Structure", "Lung", []),
        ("oedema", "brain", "Morphologically Abnormal Structure", "Edema", []),
        ("non-enhancing tumor", "brain", "Morphologically Abnormal Structure", "Non-Enhancing Lesion", []),
        ("enhancing tumour", "brain", "Morphologically Abnormal Structure", "Enhancing Lesion", []),
        ("tumour core", "brain", "Morphologically Abnormal Structure", "Neoplasm", []),
        ("cerebrospinal fluid", "iseg", "Body Substance", "Cerebrospinal Fluid", []),
        ("grey matter", "iseg", "Tissue", "Gray Matter", []),
        ("WM", "iseg", "Tissue", "White Matter", []),
        ("portal vein thrombus", "liver", "Tissue", "Tissue", []),
        ("Anterior", "unheard", "Tissue", "Tissue", []),
        ("background 7", "", "Tissue", "Tissue", []),
    ],
)
def test_a_label_means(label: str, task: str, category: str, kind: str, modifiers: list[str]) -> None:
    meaning = meaning_of(label, task)
    assert (meaning.category.meaning, meaning.type.meaning) == (category, kind)
    assert [code.meaning for code in meaning.modifiers] == modifiers


def test_a_lesion_is_of_its_organ() -> None:
    meaning = meaning_of("liver tumour")
    assert meaning.type.meaning == "Neoplasm"
    assert meaning.region is not None and meaning.region.meaning == "Liver"


def test_every_code_is_dicoms() -> None:
    concepts = (getattr(dictionary.SCT, name) for name in dictionary.SCT.dir())
    snomed = {(concept.value, concept.meaning) for concept in concepts}
    kinds = [code for _, by_name in codes._KINDS for code in by_name.values()]
    known = [*kinds, *codes._MODIFIERS.values(), *(category for category, _ in codes._KINDS)]
    assert {(code.value, code.meaning) for code in known if code.scheme == "SCT"} <= snomed
    lesions = {name: getattr(dictionary.cid7159, name) for name in ("EnhancingLesion", "NonEnhancingLesion")}
    assert {(code.value, code.meaning) for code in lesions.values()} == {
        (code.value, code.meaning) for code in known if code.scheme == "NCIt"
    }
