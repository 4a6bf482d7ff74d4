"""What pyproject.toml cannot say: extras that share lists, and what a wheel has beside the code."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# Copied into a wheel as mmdcls/.mim, where OpenMMLab's tools and mmdcls.shipped look for it.
SHIPPED = [
    "configs",
    "tools",
    "model-index.yml",
    *(f"models/cells.{kind}" for kind in ("safetensors", "md", "png", "png.license")),
]
# mmcv and mmseg import these without declaring them.
UNDECLARED = ["ftfy", "regex", "setuptools<82"]
TOOLS = ["matplotlib", "pycocotools", "safetensors", "scipy", "tqdm", "tifffile"]
DEPLOY = ["onnx", "onnxscript", "onnxruntime"]
# A torch for GPUs brings it; beside one for CPUs it has an interpreter.
TRITON = "triton>=3.3; platform_system == 'Linux'"

extras = dict(
    openmmlab=[
        "mmengine>=0.10",
        "mmcv>=2.0,<2.2",
        "mmdet>=3.3",
        "mmsegmentation>=1.2",
        *UNDECLARED,
        *TOOLS,
    ],
    onedl=[
        "onedl-mmengine",
        "onedl-mmcv",
        "onedl-mmdetection",
        "onedl-mmsegmentation",
        *UNDECLARED,
        *TOOLS,
    ],
    deploy=DEPLOY,
    gpu=[TRITON],
    # What the analyze_logs.py of mmseg and mmdet draw with.
    analysis=["seaborn"],
    # Networks that mmseg's TIMMBackbone builds; timm brings torchvision.
    timm=["timm>=1.0"],
    # Networks, figures, formats beside WAV, and Grad-CAM of projects/audio.
    audio=["timm>=1.0", "scikit-learn", "soundfile", "captum"],
    # mmpretrain imports torchvision without declaring it.
    cls=["mmpretrain>=1.2", "torchvision"],
    # matplotlib and scikit-learn are what examples/digits.py needs.
    test=[
        "pytest",
        "pytest-xdist",
        "hypothesis",
        "dcls==0.1.1",
        *DEPLOY,
        "matplotlib",
        "scikit-learn",
        # What projects/delays reads SHD with.
        "h5py",
        "tensorboard",
    ],
    # The site, `make docs`, and what runs the notebook. ruff sets the signatures of the reference.
    docs=["mkdocs-material", "mkdocstrings-python", "ruff", "nbclient", "ipykernel"],
    dev=["ruff", "pyrefly"],
)


class BuildWithShipped(build_py):
    """Only a wheel has copies; a clone and an editable installation have the folders themselves."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        # What an earlier build left may be gone from the sources.
        shutil.rmtree(self.target(), ignore_errors=True)
        for path in self.shipped():
            copy = self.target() / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(ROOT / path), str(copy))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copies = [] if self.editable_mode else self.shipped()
        return [
            *super().get_outputs(include_bytecode),
            *(str(self.target() / path) for path in copies),
        ]

    def target(self) -> Path:
        return Path(self.build_lib, "mmdcls", ".mim")

    @staticmethod
    def shipped() -> list[Path]:
        found = [path for name in SHIPPED for path in (ROOT / name, *(ROOT / name).rglob("*"))]
        files = (path.relative_to(ROOT) for path in found if path.is_file())
        return sorted(path for path in files if "__pycache__" not in path.parts)


setup(
    packages=find_packages(include=["mmdcls*"]),
    package_data=dict(mmdcls=["py.typed"]),
    install_requires=["torch>=2.6"],
    extras_require=extras,
    cmdclass=dict(build_py=BuildWithShipped),
    # A path, not a finder, which loses against a folder of this name, such as the clone's own.
    options=dict(editable_wheel=dict(mode="compat")),
)
