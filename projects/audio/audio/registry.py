"""Where configs find the project's parts: `type="audio.X"`."""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import Registry

MODELS = Registry("model", parent=MMENGINE_MODELS, scope="audio")
DATASETS = Registry("dataset", parent=MMENGINE_DATASETS, scope="audio")
METRICS = Registry("metric", parent=MMENGINE_METRICS, scope="audio")
OPTIMIZERS = Registry("optimizer", parent=MMENGINE_OPTIMIZERS, scope="audio")
