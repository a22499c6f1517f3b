"""Trainings in several processes: as one over ranks or GPUs, or side by side from seeds of their own."""
