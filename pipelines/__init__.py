"""The DAG, its tasks, and the entry points that run it."""
