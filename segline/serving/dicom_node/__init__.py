"""A PACS's neighbour: images come in by C-STORE, segmentations go back the same way.

Whatever is to be done yet lies in the spool folder, so that a killed node goes on where it was.
"""
