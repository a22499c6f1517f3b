"""Formats of files, each known by its first bytes; those besides NIfTI and DICOM are read here."""
