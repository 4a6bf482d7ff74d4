"""What the configs for ADE20K and COCO start from, and how a run starts from something else."""

from pathlib import Path
from urllib.error import URLError

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

from helpers import synthetic
from helpers.catalogue import LEAVES
from helpers.code_bases import CODE_BASES
from helpers.provocations import Trial, expect, new_trial
from helpers.published_convnext import PublishedConvNeXt, assert_same_maps, randomised, saved
from mmdcls.checkpoint import download

ZENODO = "https://zenodo.org/record"
HUB = "https://huggingface.co/timm"
# The published files, and the architecture, kernel size, elements and interpolation in them.
STARTS = {
    f"{ZENODO}/7112021/files/convnext_dcls_tiny_1k_224_ema.pth": ("tiny", 17, 34, "bilinear"),
    f"{ZENODO}/7112021/files/convnext_dcls_small_1k_224_ema.pth": ("small", 17, 40, "bilinear"),
    f"{ZENODO}/7112021/files/convnext_dcls_base_1k_224_ema.pth": ("base", 17, 40, "bilinear"),
    f"{ZENODO}/8029747/files/convnext_dcls_gauss_tiny_1k_224_ema.pth": ("tiny", 23, 26, "gaussian"),
    **{
        f"{HUB}/convnext_{arch}.dinov3_lvd1689m/resolve/main/model.safetensors": (
            (arch, 17, 49, "bilinear")
        )
        for arch in ("tiny", "base")
    },
}
DENSE_TASKS = ("upernet", "cascade_mask_rcnn", "mask_rcnn", "mask2former", "dino")
OF_CONVNEXT = [
    leaf for leaf in LEAVES if leaf.parent.name in DENSE_TASKS and "dcls-convnext-" in leaf.stem
]
every_leaf = pytest.mark.parametrize(
    "leaf",
    OF_CONVNEXT,
    ids=lambda path: path.stem,
)


@every_leaf
def test_a_leaf_names_the_file_that_has_its_kernels(leaf):
    cfg = Config.fromfile(leaf)
    backbone = cfg.model.backbone
    start = dict(type="mmdcls.Pretrained", checkpoint=cfg.checkpoint_file)
    assert backbone.init_cfg.to_dict() == start
    kernels = (backbone.kernel_size, backbone.kernel_count, backbone.interpolation)
    assert STARTS[cfg.checkpoint_file] == (backbone.arch, *kernels)


def test_all_published_files_are_used():
    named = {Config.fromfile(leaf).checkpoint_file for leaf in OF_CONVNEXT}
    assert named == set(STARTS)


def thin(leaf: Path) -> Config:
    """Without an option for init_cfg, which is what is looked at here."""
    cfg = Config.fromfile(leaf)
    options = synthetic.thin_model(cfg)
    del options["model.backbone.init_cfg"]
    cfg.merge_from_dict(options)
    return cfg


def dense_of(cfg: Config) -> PublishedConvNeXt:
    """The dense ConvNeXt of a config's sizes."""
    arch = cfg.model.backbone.arch
    options = dict(kernel_size=7, kernel_count=0, version=None)
    return randomised(PublishedConvNeXt(arch.depths, arch.channels, **options), 0)


@pytest.mark.parametrize(
    "leaf", [leaf for leaf in LEAVES if "-dinov3-" in leaf.stem], ids=lambda path: path.stem
)
@pytest.mark.parametrize("code_base", ["original, DINOv3", "timm", "Hugging Face DINOv3"])
def test_dinov3_starts_are_exact_and_reach_17_cells(leaf, code_base, tmp_path):
    cfg = thin(leaf)
    theirs = dense_of(cfg)
    cfg.model.backbone.init_cfg.checkpoint = saved(CODE_BASES[code_base](theirs), tmp_path)
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    assert_same_maps(backbone.eval(), theirs)
    assert all(stage.kernel_size == (17, 17) for stage in backbone.stages)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(download, "urlopen", refuse)
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def published_start(folder: Path) -> Trial:
    trial = new_trial("seg", folder)
    start = dict(type="mmdcls.Pretrained", checkpoint=trial.cfg.checkpoint_file)
    trial.cfg.model.backbone.init_cfg = start
    return trial


def test_a_failed_download_ends_in_a_sentence_that_says_the_options(tmp_path, offline):
    trial = published_start(tmp_path)
    options = ("model.backbone.init_cfg.checkpoint=FILE", "model.backbone.init_cfg=None")
    expect((trial.cfg.checkpoint_file, "no route to host", *options), trial.refusal("train"))
    assert not trial.work_dir.exists()


@pytest.mark.slow
@pytest.mark.parametrize("option", ["model.backbone.init_cfg.checkpoint", "checkpoint_file"])
def test_one_option_starts_from_another_file(option, tmp_path, offline):
    trial = published_start(tmp_path)
    file = saved(dense_of(trial.cfg).state_dict(), tmp_path)
    trial.run("train", "--cfg-options", f"{option}={file}")
    assert f"{file} (original ConvNeXt): loaded" in log_of(trial)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["model.backbone.init_cfg", "checkpoint_file"])
def test_one_option_starts_from_random_weights_and_tests_ask_for_no_file(option, tmp_path, offline):
    trial = published_start(tmp_path)
    trial.run("train", "--cfg-options", f"{option}=None")
    assert "loaded" not in log_of(trial)
    trial.run("test", str(trial.work_dir / "iter_1.pth"))


@pytest.mark.slow
def test_a_run_is_resumed_without_the_file_it_started_from(tmp_path, offline):
    trial = published_start(tmp_path)
    option = "model.backbone.init_cfg=None"
    trial.run("train", "--cfg-options", option)
    assert option in trial.refusal("train", "--resume")
    trial.cfg.experiment_name = trial.cfg.visualizer.name = "resumed"
    longer = ["--cfg-options", option, "train_cfg.max_iters=2"]
    trial.run("train", "--resume", *longer)
    assert (trial.work_dir / "iter_2.pth").is_file()


@pytest.mark.slow
def test_checkpoint_file_that_nothing_starts_from_is_refused_with_what_works(tmp_path):
    trial = new_trial("seg", tmp_path)
    del trial.cfg.model.backbone.init_cfg
    file = saved(dense_of(trial.cfg).state_dict(), tmp_path)
    option = "model.backbone.init_cfg"
    advised = [f"{option}.type=mmdcls.Pretrained", f"{option}.checkpoint="]
    sentence = trial.refusal("train", "--cfg-options", f"checkpoint_file={file}")
    expect(("does not start from it", *advised), sentence)
    trial.run("train", "--cfg-options", advised[0], advised[1] + file)
    assert f"{file} (original ConvNeXt): loaded" in log_of(trial)


def log_of(trial: Trial) -> str:
    (log,) = trial.work_dir.glob("*/*.log")
    return log.read_text()
