"""The task that a user writes and the plan that is made of it: frozen settings, and what each setting means.

No voxel, file of a data set or network is touched here.
"""
