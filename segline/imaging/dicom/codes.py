"""What a label's name means in SNOMED CT, so that whoever receives a mask knows it in any language."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A concept of a coding scheme."""

    value: str
    meaning: str
    scheme: str = "SCT"


@dataclass(frozen=True)
class Meaning:
    """What DICOM says of a segment: its property's category and type, and where in the body it is."""

    category: Code
    type: Code
    modifiers: tuple[Code, ...] = ()
    """Such as left, or anterior."""
    region: Code | None = None
    """The organ that has the lesion."""


_STRUCTURE = Code("91723000", "Anatomical Structure")
_ABNORMAL = Code("49755003", "Morphologically Abnormal Structure")
_TISSUE = Code("85756007", "Tissue")
_SUBSTANCE = Code("91720002", "Body Substance")

_ORGANS = {
    "adrenal gland": Code("23451007", "Adrenal gland"),
    "amygdala": Code("4958002", "Amygdala"),
    "aorta": Code("15825003", "Aorta"),
    "bladder": Code("89837001", "Bladder"),
    "bone": Code("272673000", "Bone"),
    "brain": Code("12738006", "Brain"),
    "brain stem": Code("119238007", "Brain Stem"),
    "breast": Code("76752008", "Breast"),
    "caudate": Code("11000004", "Caudate Nucleus"),
    "cerebellum": Code("113305005", "Cerebellum"),
    "colon": Code("71854001", "Colon"),
    "duodenum": Code("38848004", "Duodenum"),
    "esophagus": Code("32849002", "Esophagus"),
    "femur": Code("71341001", "Femur"),
    "gallbladder": Code("28231008", "Gallbladder"),
    "heart": Code("80891009", "Heart"),
    "hippocampus": Code("5366008", "Hippocampus"),
    "inferior vena cava": Code("64131007", "Inferior vena cava"),
    "kidney": Code("64033007", "Kidney"),
    "left atrium": Code("82471001", "Left atrium"),
    "left ventricle": Code("87878005", "Left ventricle"),
    "liver": Code("10200004", "Liver"),
    "lung": Code("39607008", "Lung"),
    "lymph node": Code("59441001", "Lymph Node"),
    "pancreas": Code("15776009", "Pancreas"),
    "portal vein": Code("32764006", "Portal vein"),
    "prostate": Code("41216001", "Prostate"),
    "putamen": Code("89278009", "Putamen"),
    "rectum": Code("34402009", "Rectum"),
    "right atrium": Code("73829009", "Right atrium"),
    "right ventricle": Code("53085002", "Right ventricle"),
    "small intestine": Code("30315005", "Small intestine"),
    "spinal cord": Code("2748008", "Spinal cord"),
    "spleen": Code("78961009", "Spleen"),
    "stomach": Code("69695003", "Stomach"),
    "thalamus": Code("42695009", "Thalamus"),
    "thyroid": Code("69748006", "Thyroid"),
    "trachea": Code("44567001", "Trachea"),
    "uterus": Code("35039007", "Uterus"),
    "vertebra": Code("51282000", "Vertebra"),
    "vessel": Code("59820001", "Blood Vessel"),
}
_LESIONS = {
    "cyst": Code("367643001", "Cyst"),
    "edema": Code("79654002", "Edema"),
    "enhancing": Code("C113842", "Enhancing Lesion", "NCIt"),
    "hemorrhage": Code("50960005", "Hemorrhage"),
    "lesion": Code("52988006", "Lesion"),
    "mass": Code("4147007", "Mass"),
    "necrosis": Code("6574001", "Necrosis"),
    "nodule": Code("27925004", "Nodule"),
    "non enhancing": Code("C81175", "Non-Enhancing Lesion", "NCIt"),
    "tumor": Code("108369006", "Neoplasm"),
}
_TISSUES = {
    "fat": Code("55603005", "Fat"),
    "gray matter": Code("389081007", "Gray Matter"),
    "muscle": Code("71616004", "Muscle"),
    "white matter": Code("389080008", "White Matter"),
}
_SUBSTANCES = {
    "blood": Code("87612001", "Blood"),
    "cerebrospinal fluid": Code("65216001", "Cerebrospinal Fluid"),
}
_MODIFIERS = {
    "anterior": Code("255549009", "Anterior"),
    "posterior": Code("255551008", "Posterior"),
    "left": Code("7771000", "Left"),
    "right": Code("24028007", "Right"),
}
_SYNONYMS = {
    "cancer": "tumor",
    "csf": "cerebrospinal fluid",
    "et": "enhancing",
    "gm": "gray matter",
    "grey": "gray",
    "haemorrhage": "hemorrhage",
    "hippocampal": "hippocampus",
    "necrotic": "necrosis",
    "neoplasm": "tumor",
    "nonenhancing": "non enhancing",
    "oedema": "edema",
    "oesophagus": "esophagus",
    "tumour": "tumor",
    "vertebrae": "vertebra",
    "wm": "white matter",
}
_FILLERS = {"and", "core", "of", "region", "structure", "the", "urinary", "whole"}
_KINDS: Sequence[tuple[Code, Mapping[str, Code]]] = (
    (_ABNORMAL, _LESIONS),
    (_SUBSTANCE, _SUBSTANCES),
    (_TISSUE, _TISSUES),
    (_STRUCTURE, _ORGANS),
)
"""In the order in which they are looked for: a tumour of the liver is a tumour."""


_UNDERSTOOD = {
    *_FILLERS,
    *_MODIFIERS,
    *(
        form
        for _, codes in _KINDS
        for phrase in codes
        for word in phrase.split()
        for form in (word, f"{word}s")
    ),
}


def meaning_of(label: str, task: str = "") -> Meaning:
    """What a label is; where its name says only which part, the task's name says of what.

    A name with a word that is not known is tissue, since a wrong code is worse than a vague one; the
    segment's label still says the name itself.

    >>> meaning_of("left kidney").type.meaning, meaning_of("left kidney").modifiers[0].meaning
    ('Kidney', 'Left')
    >>> meaning_of("Anterior", "hippocampus").type.meaning
    'Hippocampus'
    """
    words = _words(label)
    named = _named([*words, *(_words(task) if words and _MODIFIERS.keys() >= {*words} else [])])
    if named is None or not {*words} <= _UNDERSTOOD:
        return Meaning(_TISSUE, _TISSUE)
    category, phrase, code = named
    modifiers = tuple(_MODIFIERS[word] for word in words if word in _MODIFIERS and word not in phrase)
    region = _longest(_ORGANS, words) if category == _ABNORMAL else None
    return Meaning(category, code, modifiers, _ORGANS[region] if region else None)


def _words(name: str) -> list[str]:
    """Lower-case words, each as this module spells it."""
    spelt = (_SYNONYMS.get(word, word) for word in re.findall(r"[a-z]+", name.lower()))
    return " ".join(spelt).split()


def _named(words: Sequence[str]) -> tuple[Code, str, Code] | None:
    """Category, phrase and code of what some words name."""
    for category, codes in _KINDS:
        if (phrase := _longest(codes, words)) is not None:
            return category, phrase, codes[phrase]
    return None


def _longest(codes: Mapping[str, Code], words: Sequence[str]) -> str | None:
    """The longest phrase that stands in some words."""
    text = f" {' '.join(words)} "
    found = [phrase for phrase in codes if f" {phrase} " in text or f" {phrase}s " in text]
    return max(found, key=len, default=None)
