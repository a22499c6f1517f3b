"""The task that a user writes and the plan that is made of it: frozen settings, and what each setting means.

No voxel, file of a data set or network is touched here.
"""

from segline.plan.cost import batch_bytes, require_affordable
from segline.plan.ensemble import Ensemble
from segline.plan.gate import Agreement, Gate, by_figure
from segline.plan.inference import Inference
from segline.plan.inference.blending import PROFILES
from segline.plan.inference.planes import CentreLine, Plane
from segline.plan.networks import NETWORKS, Network, SegResNet, UNet
from segline.plan.part import Share
from segline.plan.plan import Plan
from segline.plan.preprocessing import Preprocessing
from segline.plan.preprocessing.normalisation import (
    Intensity,
    IntensityWindow,
    Maximum,
    Mean,
    MinMax,
    ZScore,
)
from segline.plan.promotion import PromotionRule
from segline.plan.split import Split
from segline.plan.task import Task, merged
from segline.plan.training import Augmentation, Training
from segline.plan.training.optimizers import AdamW, Sgd
from segline.plan.training.schedules import Cosine, Polynomial

__all__ = [
    "NETWORKS",
    "PROFILES",
    "AdamW",
    "Agreement",
    "Augmentation",
    "CentreLine",
    "Cosine",
    "Ensemble",
    "Gate",
    "Inference",
    "Intensity",
    "IntensityWindow",
    "Maximum",
    "Mean",
    "MinMax",
    "Network",
    "Plan",
    "Plane",
    "Polynomial",
    "Preprocessing",
    "PromotionRule",
    "SegResNet",
    "Sgd",
    "Share",
    "Split",
    "Task",
    "Training",
    "UNet",
    "ZScore",
    "batch_bytes",
    "by_figure",
    "merged",
    "require_affordable",
]
