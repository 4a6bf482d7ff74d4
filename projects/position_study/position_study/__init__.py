"""What the configs of the study name: data, network, classifier, metrics, in mmengine's registries.

`custom_imports = dict(imports=["projects.position_study.position_study"])` registers it.
"""

from .backbone import StudyConvNeXt
from .classifier import StudyClassifier
from .data import ArrayDataset, StudyPreprocessor, whole_batch
from .kernels import KERNELS
from .metrics import ItemAccuracy, ItemIoU
from .resnet import study_resnet

__all__ = [
    "KERNELS",
    "ArrayDataset",
    "ItemAccuracy",
    "ItemIoU",
    "StudyClassifier",
    "StudyConvNeXt",
    "StudyPreprocessor",
    "study_resnet",
    "whole_batch",
]
