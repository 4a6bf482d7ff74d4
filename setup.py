from setuptools import find_packages, setup

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
    # mmpretrain imports torchvision without declaring it.
    cls=["mmpretrain>=1.2", "torchvision"],
    # The last two are what examples/digits.py needs.
    test=[
        "pytest",
        "pytest-xdist",
        "hypothesis",
        "dcls==0.1.1",
        *DEPLOY,
        "matplotlib",
        "scikit-learn",
    ],
    dev=["ruff"],
)

setup(
    name="mmdcls",
    version="0.1.0",
    packages=find_packages(include=["mmdcls*"]),
    install_requires=["torch>=2.6"],
    extras_require=extras,
    python_requires=">=3.10",
    # A path, not a finder, which loses against a folder of this name, such as the clone's own.
    options=dict(editable_wheel=dict(mode="compat")),
    entry_points=dict(console_scripts=["mmdcls = mmdcls.commands:main"]),
)
