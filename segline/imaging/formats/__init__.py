"""Formats of files besides NIfTI and DICOM."""
