"""What `mmdcls list` shows of a config is what the config builds, and what its metafile says."""

import re

import pytest
from mmengine.config import Config

from helpers.catalogue import LEAVES, build_without_memory, load
from mmdcls import commands, zoo
from mmdcls.dcls import Dcls2d

ENTRIES = {entry.name.rpartition("/")[2]: entry for entry in zoo.entries()}


def test_every_config_is_listed():
    assert list(ENTRIES) == [path.stem for path in LEAVES]


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_the_kernel_is_that_of_the_layers(path):
    model = build_without_memory(load(path))
    layers = [layer for layer in model.modules() if isinstance(layer, Dcls2d)]
    kernels = [text.split(", ") for text in ENTRIES[path.stem].kernel.split("; ")]
    # A rule gives kernels of one row a single one as well, and larger ones to dilated convolutions.
    sizes = {max(map(int, extent.split("x"))) for extent, *_ in kernels}
    found = {max(layer.kernel_size) for layer in layers}
    assert sizes <= found and min(sizes) == min(found)
    assert {layer.interpolation for layer in layers} == {kernel[2] for kernel in kernels}
    counts = {elements.split()[0] for _, elements, _ in kernels}
    if counts != {"a"}:
        assert {str(layer.kernel_count) for layer in layers} == counts


@pytest.mark.parametrize(
    ("name", "task", "figures"),
    [
        (
            "dcls-convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512",
            "semantic segmentation",
            {"ADE20K mIoU": 47.1, "ADE20K mIoU(ms+flip)": 47.1},
        ),
        (
            "cascade-mask-rcnn_dcls-convnext-t_fpn_4conv1fc-giou_amp-ms-crop-3x_coco",
            "instance segmentation",
            {"COCO box AP": 51.2, "COCO mask AP": 44.5},
        ),
        (
            "dcls-convnext-tiny_32xb128_in1k",
            "classification",
            {"ImageNet-1k Top 1 Accuracy": 82.5},
        ),
    ],
)
def test_figures_and_weights_are_the_published_ones(name, task, figures, capsys):
    entry = ENTRIES[name]
    assert (entry.task, entry.figures) == (task, figures)
    assert entry.weights.startswith("https://zenodo.org/record/7112021/files/")
    commands.main(["list", name])
    shown = capsys.readouterr().out
    for text in (name, task, entry.kernel, *map(str, figures.values()), entry.weights):
        assert text in shown


@pytest.mark.parametrize("pattern", ["upernet", "-T_*coco", "DETECTION", "instance segmentation"])
def test_a_pattern_chooses(pattern):
    found = {entry.name for entry in zoo.entries(pattern)}
    expected = {
        entry.name
        for entry in ENTRIES.values()
        if all(
            part in f"{entry.name} | {entry.task}".lower() for part in pattern.lower().split("*")
        )
    }
    assert found == expected != set()


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("mask2former_dcls-convnext-t_8xb2-lsj-50e_coco", "instance segmentation"),
        ("dino-4scale_dcls-convnext-t_8xb2-12e_coco", "object detection"),
    ],
)
def test_heads_with_queries_have_the_task_that_they_are_judged_by(name, task):
    assert ENTRIES[name].task == task


def test_a_pattern_of_nothing_is_refused():
    with pytest.raises(SystemExit, match="No config is called 'nothing'"):
        commands.main(["list", "nothing"])


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_a_copy_says_what_the_config_and_its_bases_say(path, tmp_path):
    copy = tmp_path / "mine.py"
    commands.main(["config", path.stem, "-o", str(copy), "--cfg-options", "randomness.seed=1"])
    assert not re.search("^_base_", copy.read_text(), re.MULTILINE)
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({"randomness.seed": 1})
    assert Config.fromfile(copy).to_dict() == cfg.to_dict()


@pytest.mark.parametrize(("name", "words"), [("mine.py", "may have been edited"), ("x", "NAME.py")])
def test_a_copy_replaces_no_file_and_is_one_that_mmengine_reads(name, words, tmp_path):
    (tmp_path / "mine.py").write_text("edited = True")
    with pytest.raises(SystemExit, match=words):
        commands.main(["config", LEAVES[0].stem, "-o", str(tmp_path / name)])
    assert (tmp_path / "mine.py").read_text() == "edited = True"
