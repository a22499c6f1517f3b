"""Segmentation: the label of each voxel, learned from label maps, answered by masks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from segline.data.fingerprint import Fingerprint
    from segline.data.manifest import Manifest
    from segline.data.targets.label_maps import LabelMaps
    from segline.evaluation.masks import yardstick
    from segline.inference import masks as answers
    from segline.model.package import Model
    from segline.plan import Plan, Task
    from segline.report.page import Section
    from segline.report.viewer_page import Viewer
    from segline.training.objectives import masks as objectives


class Segmentation:
    """See :class:`~segline.kinds.Kind`."""

    @property
    def targets(self) -> "LabelMaps":
        """A label map a case."""
        from segline.data.targets.label_maps import LABEL_MAPS

        return LABEL_MAPS

    def propose(self, manifest: "Manifest", fingerprint: "Fingerprint", task: "Task") -> "Plan":
        """After nnU-Net's reasoning."""
        from segline.planning.plans import make_plan

        return make_plan(manifest, fingerprint, task)

    @property
    def objective(self) -> "objectives.Masks":
        """Dice and cross-entropy over patches."""
        from segline.training.objectives.masks import MASKS

        return MASKS

    @property
    def answers(self) -> "answers.Masks":
        """A mask on the volume's own grid."""
        from segline.inference.masks import MASKS

        return MASKS

    @property
    def yardstick(self) -> "yardstick.Masks":
        """Dice, surface distances and what else is counted in two masks."""
        from segline.evaluation.masks.yardstick import MASKS

        return MASKS

    @property
    def pictures(self) -> "Section":
        """Slices with truth and error, and the median case in the round."""
        from segline.report.sections.masks import pictures

        return pictures

    @property
    def viewer(self) -> "Viewer":
        """A page with three cases in all their slices."""
        from segline.report.viewer_page import write_viewer

        return write_viewer

    def bundle(self, model: "Model", folder: "Path") -> None:
        """Transforms, inferer and network, by MONAI's own names."""
        from segline.export.monai_bundle import export_bundle

        export_bundle(model, folder)


KIND = Segmentation()
