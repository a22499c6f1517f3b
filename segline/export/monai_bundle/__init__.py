"""MONAI bundles: a model package as a folder that ``python -m monai.bundle run`` executes.

The bundle predicts with MONAI's own transforms, inferer and evaluator, without segline. It needs ``fire``
and ``pytorch-ignite`` beside MONAI, and ``scikit-image`` where only the largest component of a label is kept,
and writes a mask of label values for every volume, on its own grid::

    python -m monai.bundle run --bundle_root BUNDLE --config_file BUNDLE/configs/inference.json
        --meta_file BUNDLE/configs/metadata.json --dataset_dir IMAGES --output_dir MASKS
"""

from segline.export.monai_bundle.writing import export_bundle

__all__ = ["export_bundle"]
