"""Classification: the class of a whole image, learned from a folder a class, answered by probabilities."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from segline.data.fingerprint import Fingerprint
    from segline.data.manifest import Manifest
    from segline.data.targets.classes import Classes
    from segline.evaluation.classes import yardstick
    from segline.inference import classes as answers
    from segline.model.package import Model
    from segline.plan import Plan, Task
    from segline.report.page import Section
    from segline.training.objectives import classes as objectives


class Classification:
    """See :class:`~segline.kinds.Kind`."""

    @property
    def targets(self) -> "Classes":
        """A class a case."""
        from segline.data.targets.classes import CLASSES

        return CLASSES

    def propose(self, manifest: "Manifest", fingerprint: "Fingerprint", task: "Task") -> "Plan":
        """One window that holds the whole image."""
        from segline.planning.wholes import plan_of_wholes

        return plan_of_wholes(manifest, fingerprint, task)

    @property
    def objective(self) -> "objectives.Classes":
        """Cross-entropy over whole images."""
        from segline.training.objectives.classes import CLASSES

        return CLASSES

    @property
    def answers(self) -> "answers.Classes":
        """The probability of each class."""
        from segline.inference.classes import CLASSES

        return CLASSES

    @property
    def yardstick(self) -> "yardstick.Classes":
        """Accuracy, and what else is counted in decisions and probabilities."""
        from segline.evaluation.classes.yardstick import CLASSES

        return CLASSES

    @property
    def pictures(self) -> "Section":
        """The images of the largest losses."""
        from segline.report.sections.classes.pictures import pictures

        return pictures

    @property
    def viewer(self) -> None:
        """The report shows the pictures themselves."""

    def bundle(self, model: "Model", folder: "Path") -> None:
        """Transforms, inferer and network, by MONAI's own names."""
        from segline.export.monai_bundle.classes import export_class_bundle

        export_class_bundle(model, folder)


KIND = Classification()
