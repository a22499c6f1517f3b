"""MONAI's networks."""

from segline.common.lean import hidden

with hidden("ignite", "matplotlib", "mlflow", "pandas", "skimage", "sklearn", "tensorboard"):
    from monai.networks import nets

__all__ = ["nets"]
