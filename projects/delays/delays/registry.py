"""What configs call `delays.X`."""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry

DATASETS = Registry("dataset", parent=MMENGINE_DATASETS, scope="delays")
FUNCTIONS = Registry("function", parent=MMENGINE_FUNCTIONS, scope="delays")
METRICS = Registry("metric", parent=MMENGINE_METRICS, scope="delays")
MODELS = Registry("model", parent=MMENGINE_MODELS, scope="delays")
