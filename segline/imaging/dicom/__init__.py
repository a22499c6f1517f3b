"""DICOM: the images of one series as one volume, if they are one even, parallel stack; read by pydicom."""

from segline.imaging.dicom.series import declared_series, read_file, read_series

__all__ = ["declared_series", "read_file", "read_series"]
