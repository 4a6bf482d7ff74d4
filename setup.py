from setuptools import find_packages, setup

# mmcv and mmseg import these without declaring them.
UNDECLARED = ["ftfy", "regex", "setuptools<82"]
DEMO = ["matplotlib", "pycocotools", "tqdm", "tifffile"]

# Checkpoints of others come in this format as well.
FORMATS = ["safetensors"]

extras = dict(
    openmmlab=[
        "mmengine>=0.10",
        "mmcv>=2.0,<2.2",
        "mmdet>=3.3",
        "mmsegmentation>=1.2",
        *UNDECLARED,
        *DEMO,
        *FORMATS,
    ],
    onedl=[
        "onedl-mmengine",
        "onedl-mmcv",
        "onedl-mmdetection",
        "onedl-mmsegmentation",
        *UNDECLARED,
        *DEMO,
        *FORMATS,
    ],
    test=["pytest", "hypothesis", "dcls==0.1.1", *FORMATS],
    dev=["ruff"],
)

setup(
    name="mmdcls",
    version="0.1.0",
    packages=find_packages(include=["mmdcls*"]),
    install_requires=["torch>=2.6"],
    extras_require=extras,
    python_requires=">=3.10",
    entry_points=dict(console_scripts=["mmdcls = mmdcls.cli:main"]),
)
