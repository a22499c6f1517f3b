"""A run's folder: what each stage did and left, here or in a bucket, and its summary for machines.

Reads what other rooms wrote; computes and judges nothing.
"""
