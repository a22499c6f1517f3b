"""What things are called on a cluster: in manifests, in compiled pipelines, and where they are looked for."""

NAMESPACE = "kubeflow"
"""Where Kubeflow Pipelines runs its pods, unless it serves many users."""


S3_SECRET = "segline-s3"
"""The keys of the object store, under the names of the variables that :class:`S3Settings` reads."""


SETTINGS = "segline-settings"
"""A ConfigMap: where the object store and MLflow are."""


LAUNCHER = "kfp-launcher"
"""The ConfigMap that tells Kubeflow Pipelines where artifacts go."""


RUN_LABEL = "pipelines.kubeflow.org/v2_component"
"""The label that Kubeflow Pipelines gives to the pods of runs."""


STAGE_LABEL = "app.kubernetes.io/component"
"""And what segline gives them: the name of the stage."""


GPU = "nvidia.com/gpu"


GPU_LABEL = "nvidia.com/gpu.present"
"""The label that NVIDIA's feature discovery gives to nodes with a GPU."""


GPU_PRODUCT = "nvidia.com/gpu.product"
"""And the one that names the GPU, such as ``NVIDIA-L4``."""


S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


S3_PLACE = ("S3_ENDPOINT", "AWS_REGION", "SEGLINE_BUCKET")
"""The object store, and the bucket in it, ``s3://segline``, that has runs and what is kept between them."""


TRACKING = "MLFLOW_TRACKING_URI"


TRACKERS = "segline-trackers"
"""A ConfigMap that need not be there: which trackers show a run beside MLflow."""


TRACKER_SETTINGS = ("TENSORBOARD", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL")


WANDB_SECRET = "segline-wandb"
"""A Secret that need not be there."""


WANDB_KEY = "WANDB_API_KEY"


TRACKED = ("train", "report")
"""The stages that show a run in these trackers."""
