"""What any program needs: files that appear whole, digests, documents, errors, locks, processes, progress.

Knows nothing of medicine, of networks or of any other room.
"""
