"""DICOM: the images of one series as one volume, if they are one even, parallel stack; read by pydicom."""
