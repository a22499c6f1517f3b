"""segline: labelled medical volumes in, a validated, exported segmentation model out."""

__version__ = "0.1.0"
