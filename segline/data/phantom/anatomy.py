"""A made-up abdomen: CT-like cases with a spleen, so that the whole line runs without network or patients.

A case is painted from signed fields in millimetres, so the same patient can be put on any grid. Only sums,
products, quotients and square roots touch the voxels: these round alike everywhere, so the bytes do not
depend on threads or vector instructions. Patient space is RAS+ with x = 0 in the midline, y = 0 in mid-body
and z = 0 at mid-spleen.
"""

from dataclasses import dataclass

from segline.data.phantom.shapes import Blob

_LONG_MM = 1e4


@dataclass(frozen=True)
class Tissue:
    """HU without contrast medium, what full enhancement adds, and the swing of its texture."""

    plain_hu: float
    uptake_hu: float = 0.0
    texture_hu: float = 4.0


TISSUES = {
    "fat": Tissue(-105),
    "skin": Tissue(5),
    "muscle": Tissue(52, 12, 5),
    "lung": Tissue(-840, 0, 25),
    "heart": Tissue(42, 90, 5),
    "bowel wall": Tissue(38, 45),
    "bowel fluid": Tissue(18, 0, 8),
    "colon content": Tissue(-20, 0, 45),
    "gas": Tissue(-960),
    "pancreas": Tissue(38, 55, 12),
    "liver": Tissue(57, 52, 5),
    "liver vessel": Tissue(40, 135),
    "gallbladder": Tissue(8),
    "spleen": Tissue(47, 78, 5),
    "renal cortex": Tissue(33, 165, 5),
    "renal medulla": Tissue(28, 60, 8),
    "renal sinus": Tissue(-50, 20, 25),
    "blood": Tissue(42, 120),
    "disc": Tissue(85),
    "cord": Tissue(25),
    "marrow": Tissue(150, 0, 30),
    "cortical bone": Tissue(480, 0, 40),
    "table": Tissue(-100),
}

BLOBS = {
    "body": Blob((0, -2, 0), (166, 116, _LONG_MM), boxiness=0.35),
    "cavity": Blob((0, 10, 0), (134, 84, _LONG_MM), boxiness=0.3),
    "heart": Blob((-28, 38, 92), (58, 46, 44), (0, 20, -25)),
    "liver right": Blob((80, 8, 0), (58, 68, 82), (-10, -10, 0), 0.25),
    "liver left": Blob((10, 44, 30), (76, 34, 34), (0, 14, 8), 0.2),
    "gallbladder": Blob((48, 52, -48), (15, 19, 26), (20, 0, 0)),
    "pancreas": Blob((-28, 6, -24), (58, 13, 15), (0, 14, 22), 0.2),
    "stomach": Blob((-58, 34, 8), (40, 36, 60), (18, -22, 0), 0.1),
    "spleen": Blob((-96, -34, 2), (40, 56, 52), (-22, 0, 14), 0.25),
    "hilum": Blob((-50, 0, -4), (28, 32, 46)),
    "kidney left": Blob((-60, -46, -48), (28, 29, 55), (-12, 12, 20), 0.1),
    "kidney right": Blob((62, -46, -66), (28, 29, 55), (-12, -12, -20), 0.1),
    "ascending colon": Blob((104, 2, -104), (23, 25, 52), boxiness=0.3),
    "descending colon": Blob((-108, -4, -100), (18, 19, 46), boxiness=0.3),
    "splenic flexure": Blob((-92, 42, -38), (24, 24, 40), (25, 12, 0), 0.3),
    "transverse colon": Blob((0, 70, -66), (95, 18, 22), (0, 0, 0), 0.4),
    "aorta": Blob((-9, -24, 0), (11, 11, _LONG_MM)),
    "vena cava": Blob((20, -18, 0), (14, 10, _LONG_MM)),
    "vertebra": Blob((0, -50, 0), (23, 18, _LONG_MM), boxiness=0.3),
    "arch": Blob((0, -76, 0), (17, 15, _LONG_MM)),
    "canal": Blob((0, -76, 0), (10, 9, _LONG_MM)),
    "transverse process": Blob((0, -78, 0), (40, 5, _LONG_MM), boxiness=0.5),
    "spinous process": Blob((0, -98, 0), (4, 20, _LONG_MM), boxiness=0.5),
}

MUSCLES = {
    "erector": Blob((36, -84, 0), (32, 21, _LONG_MM), (0, 0, 10), 0.3),
    "psoas": Blob((38, -46, -130), (17, 17, 95), (0, 8, 0)),
    "crus": Blob((16, -34, -5), (8, 16, 60)),
}
"""Muscles given for the right; the left ones are their mirror images."""
