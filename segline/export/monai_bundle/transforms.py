"""The plan's pre- and post-processing as MONAI's transforms."""

from segline.export.monai_bundle import places, planes
from segline.export.monai_bundle.metadata import Config
from segline.export.monai_bundle.scripts import taken_from
from segline.inference.planes import planes_of
from segline.plan import Intensity, Plan, Preprocessing

READER = f"${taken_from(places.SCRIPT, 'Reader')}()"


def preprocessing(settings: Preprocessing) -> list[Config]:
    """From a file to the plan's grid."""
    return [
        {
            "_target_": "LoadImaged",
            "keys": "image",
            "reader": READER,
            "ensure_channel_first": True,
        },
        {"_target_": "Orientationd", "keys": "image", "axcodes": settings.orientation},
        *_crop(settings),
        {
            "_target_": "Spacingd",
            "keys": "image",
            "pixdim": list(settings.spacing_mm),
            "mode": "bilinear",
            "padding_mode": "border",
        },
        *normalisation(settings.intensity, settings.foreground_above),
    ]


def _crop(settings: Preprocessing) -> list[Config]:
    """MONAI's margin is in voxels; the mask given to it is any with the box of foreground and margin."""
    if settings.foreground_above is None:
        return []
    box = (
        f"monai.transforms.generate_spatial_bounding_box(image, lambda voxels: voxels > "
        f"{settings.foreground_above!r}, margin=[math.ceil({settings.margin_mm!r} / round(mm, 6)) "
        "for mm in image.pixdim.tolist()], allow_smaller=True)"
    )
    # an empty box ends at 0: its last voxel is the volume's, and the whole volume is kept
    corners = "torch.tensor([first, [end - 1 for end in ends]]).unbind(1)"
    mask = f"torch.zeros(image.shape[1:], dtype=bool).index_put({corners}, torch.tensor(True))[None]"
    return [
        {
            "_target_": "CropForegroundd",
            "keys": "image",
            "source_key": "image",
            "select_fn": f"$lambda image: (lambda first, ends: {mask})(*{box})",
        }
    ]


def normalisation(rules: tuple[Intensity, ...], foreground_above: float | None) -> list[Config]:
    """Each channel by its own rule."""
    one_by_one = (
        rule.monai(f"image[{number}:{number + 1}]", foreground_above) for number, rule in enumerate(rules)
    )
    joined = f"$lambda image: torch.cat([{', '.join(one_by_one)}])"
    return [{"_target_": "Lambdad", "keys": "image", "func": joined}]


def postprocessing(plan: Plan) -> list[Config]:
    return [
        *_planes(plan),
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        *_largest_components(plan),
        {
            "_target_": "MapLabelValued",
            "keys": "pred",
            "orig_labels": list(range(len(plan.labels))),
            "target_labels": list(plan.label_values),
        },
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "writer": f"${taken_from(places.SCRIPT, 'Writer')}",
            "output_dir": "@output_dir",
            "output_postfix": "",
            "output_dtype": "$numpy.uint8",
            "resample": False,
            "separate_folder": False,
        },
    ]


def _planes(plan: Plan) -> list[Config]:
    if not plan.inference.planes:
        return []
    parted = taken_from(planes.SCRIPT, "parted")
    return [
        {
            "_target_": "Lambdad",
            "keys": "pred",
            "func": f"$lambda scores: {parted}(scores, {planes_of(plan)})",
        }
    ]


def _largest_components(plan: Plan) -> list[Config]:
    if not plan.inference.keep_largest:
        return []
    classes = [plan.label_values.index(value) for value in plan.inference.keep_largest]
    return [
        {
            "_target_": "KeepLargestConnectedComponentd",
            "keys": "pred",
            "applied_labels": classes,
            "is_onehot": False,
        }
    ]
