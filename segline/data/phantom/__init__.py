"""Made-up patients, so that the whole line runs without network or anybody's images.

An abdomen in CT with a spleen, and a chest in MR with a left atrium.
"""
