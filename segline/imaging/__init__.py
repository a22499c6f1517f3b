"""Voxels in the patient: volumes and their files, to the plan's grid and exactly back.

Knows nothing of networks, and of a data set only single files.
"""

from segline.common.processes.lean import hidden

with hidden("pydicom"):
    import nibabel  # noqa: F401
