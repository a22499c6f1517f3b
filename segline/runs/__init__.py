"""A run's folder: what each stage did and left, here or in a bucket, and its summary for machines."""
