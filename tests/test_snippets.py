"""Every program, config and command on a page runs as it stands, or a reason says why it does not.

What has a form of its own is tested here by that form. All else has a row of `PROGRAMS` or of
`COMMANDS`: names with which it is run here, the test that runs it, or the reason why none does.
"""

import json
import re
import runpy
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, MODELS, init_default_scope

import mmdcls.dcls
from helpers import synthetic
from helpers.catalogue import CONFIGS
from helpers.pages import ROOT, Block, blocks, commands
from helpers.small_networks import several
from mmdcls.commands import COMMANDS as OURS

ALONE = {}
TIMM = "needs published weights, which are not downloaded; "
# By page and the beginning of the block.
PROGRAMS = {
    ("README.md", "import torch"): ALONE,
    ("docs/start.md", "import torch"): ALONE,
    ("docs/your_own_network.md", "import torch"): ALONE,
    ("docs/positions.md", "import torch"): "tests/test_positions_page.py::"
    "test_the_program_runs_and_freezes_positions_alone",
    ("docs/positions.md", '_base_ = "mmseg::'): "tests/test_positions_page.py::"
    "test_the_config_outside_of_a_clone_builds",
    ("docs/wheel.md", "_base_ = __import__"): "tests/test_shipped.py::"
    "test_the_config_of_the_page_inherits",
    ("docs/your_own_loop.md", ""): "tests/dcls/test_digits.py::test_the_code_of_the_page_runs",
    ("docs/speed.md", "custom_hooks"): "tests/engine/test_graphed_calls.py::"
    "test_a_config_adds_it_to_the_hooks_that_it_inherits",
    ("docs/deploy.md", "plain = "): dict(mmdcls=mmdcls, model=several()),
    ("docs/deploy.md", "import cv2"): "tests/deploy/test_deploy.py::"
    "test_onnx_runtime_computes_the_logits_at_any_size",
    ("docs/weights.md", "from mmdcls.dcls"): dict(conv=torch.nn.Conv2d(2, 2, 7)),
    ("docs/timm.md", "import timm"): ALONE,
    ("docs/timm.md", "backbone = timm"): TIMM + "tests/test_timm.py loads files of their layout",
    ("docs/timm.md", "import torch"): TIMM + "tests/checkpoint/test_published_networks.py loads "
    "files of their layout",
    ("docs/faq.md", '"""python complete.py'): "tests/test_snippets.py::"
    "test_the_program_of_the_faq_completes_a_file",
    ("configs/classification/README.md", "init_cfg"): "tests/configs/test_classification.py::"
    "test_our_tool_trains_a_classifier_whose_averages_fill_a_segmentor",
    ("projects/kernel_makers/README.md", ""): dict(x=torch.randn(1, 64, 9, 9)),
    ("projects/audio/README.md", '_base_ = "projects/audio'): "a fragment with names of one's own; "
    "tests/projects/test_audio_clips.py::test_a_folder_of_clips reads such data",
    ("projects/delays/README.md", "from mmdcls.dcls"): dict(
        layer=mmdcls.dcls.Dcls1d(2, 3, 5, padding="causal", kernel_count=1)
    ),
    ("projects/volumes/README.md", ""): "a fragment; projects/volumes/reproduce.py calls it so",
}
# By the beginning of a command; the longest counts.
MINUTES = "takes minutes to hours; "
INSTALLS = "changes the environment that the tests run in"
COMMANDS = {
    "make demo": MINUTES + "tests/tools/test_demo_tools.py has its parts",
    "make test": "is what runs the tests",
    "make docs": "tests/test_site.py::test_every_link_and_anchor_within_the_site_is_there",
    "pip": INSTALLS,
    ".venv/bin/pip": INSTALLS,
    ".venv/bin/python -m pip": INSTALLS,
    ".venv/bin/python -m pytest": "runs tests",
    "pip install notebook": "tests/test_notebook.py::"
    "test_it_runs_to_a_picture_of_elements_that_have_moved",
    "python examples/digits.py": "tests/dcls/test_digits.py::"
    "test_it_learns_and_shows_elements_that_have_moved",
    **{
        f"mmdcls {name}": "tests/commands/test_examples.py::test_the_example_of_a_command_runs"
        for name in OURS
    },
    "python tools/train.py": "tests/tools/test_tools.py::"
    "test_training_writes_checkpoints_that_load_safely",
    "python tools/test.py": "tests/tools/test_tools.py::"
    "test_a_checkpoint_is_tested_drawn_and_its_predictions_kept",
    "python tools/demo.py": MINUTES + "tests/tools/test_demo_tools.py has its parts",
    "python tools/prepare_cells.py": "tests/tools/test_prepare_cells.py::"
    "test_every_frame_has_an_image_and_a_label_map_of_its_size",
    "python tools/publish_models.py": MINUTES + "tests/tools/test_publish_models.py::"
    "test_a_model_is_trained_once_and_its_card_has_the_figures_of_the_file trains a small one",
    "python -m projects.audio.predict": "tests/projects/test_audio_project.py::"
    "test_tools_train_and_test_it_and_it_predicts",
    "make setup &&": INSTALLS,
    "mmdcls predict --model": "tests/test_models.py::"
    "test_the_model_predicts_on_its_image_without_anything_given",
    "python tools/analysis_tools/draw_": "tests/tools/test_demo_tools.py has their functions",
    "python tools/analysis_tools/erf.py": "tests/tools/test_erf.py::"
    "test_it_leaves_a_raw_array_of_each_network_a_table_and_a_picture",
    "python tools/analysis_tools/sweep_kernel_size.py": "tests/tools/test_sweep_kernel_size.py::"
    "test_a_sweep_trains_every_size_and_adds_what_is_asked_for_later",
    "bash tools/dist_train.sh": "tests/tools/test_tools.py::"
    "test_two_processes_train_and_test_together",
    "tools/dist_train.sh": "tests/tools/test_tools.py::test_two_processes_train_and_test_together",
    "tools/dist_test.sh": "tests/tools/test_tools.py::test_two_processes_train_and_test_together",
    "NNODES=2": "tests/running/test_distributed.py::"
    "test_two_machines_train_as_one_process_and_the_first_alone_writes",
    "GPUS=16 tools/slurm_train.sh": "tests/running/test_slurm.py::"
    "test_variables_choose_the_size_of_a_job",
    "torchrun": "tests/tools/test_tools.py::test_two_processes_train_and_test_together",
    'bash "$(python': "tests/installation/test_wheel.py has the scripts in the wheel, and "
    "tests/tools/test_tools.py runs them",
    ".venv/bin/python -m projects.position_study": MINUTES + "tests/projects trains a cell",
    ".venv/bin/python -m projects.audio": MINUTES + "tests/projects trains a cell",
    ".venv/bin/python -m projects.delays": MINUTES + "tests/projects trains a cell",
    ".venv/bin/python -m projects.kernel_makers": MINUTES + "tests/projects trains a cell",
    ".venv/bin/python -m projects.volumes": MINUTES + "tests/projects trains a cell",
    "PYTHONPATH=. .venv/bin/python tools/train.py": MINUTES + "tests/projects trains it shortly",
    "PYTHONPATH=. python tools/test.py": "tests/test_models.py::"
    "test_the_delays_are_tested_by_the_tool",
    "PYTHONPATH=. .venv/bin/python tools/test.py": "tests/test_models.py::"
    "test_the_delays_are_tested_by_the_tool",
    ".venv/bin/python tools": MINUTES + "tests/projects trains a cell",
    'SHIPPED="$(': "tests/installation/test_wheel.py has the tools in the wheel",
    'python "$SHIPPED/': "tests/installation/test_wheel.py has the tools in the wheel",
    # Parts of a command.
    "--cfg-options": "tests/tools/test_tools.py::"
    "test_options_are_read_as_by_mmengine_but_paths_keep_their_spaces",
    "CONFIG=": "gives a name to what follows",
}

PYTHON = blocks("python")
OWN_DATA = [block for block in PYTHON if block.text.startswith('_base_ = "configs/')]
OWN_DATA_OF_METHODS = [block for block in PYTHON if block.text.startswith('_base_ = "../')]
FRAGMENTS = [block for block in PYTHON if block.text.startswith("model = dict(")]
HOOK = re.compile(r"dict\(type=\"mmdcls\.[^()]*\)(?=,|  #|$)", re.MULTILINE)
SETTINGS = [block for block in PYTHON if block.text.startswith(("optim_wrapper", "dict(type="))]
PIECES = sorted({piece for block in SETTINGS for piece in HOOK.findall(block.text)})
FORMED = [*OWN_DATA, *OWN_DATA_OF_METHODS, *FRAGMENTS, *SETTINGS]


def row_of(block: Block) -> tuple[str, str] | None:
    rows = (row for row in PROGRAMS if block.page == row[0] and block.text.startswith(row[1]))
    return next(rows, None)


def beginning_of(command: str) -> str | None:
    return max((name for name in COMMANDS if command.startswith(name)), key=len, default=None)


def test_every_program_has_a_form_or_a_row_and_every_row_a_program():
    rest = [block for block in PYTHON if block not in FORMED]
    assert [(block.page, block.first) for block in rest if row_of(block) is None] == []
    assert {row_of(block) for block in rest} == set(PROGRAMS)
    assert len(PIECES) >= 8 and len(FRAGMENTS) >= 4 and len(OWN_DATA) == 2


def test_every_command_has_a_row_and_every_row_a_command():
    given = {command: page for page, command in commands()}
    assert {c: page for c, page in given.items() if beginning_of(c) is None} == {}
    used = {beginning_of(command) for command in given}
    assert {row for row in COMMANDS if row not in used and not row.startswith("mmdcls ")} == set()


@pytest.mark.parametrize(
    "named",
    sorted({row for row in [*PROGRAMS.values(), *COMMANDS.values()] if isinstance(row, str)}),
)
def test_what_a_row_names_is_there(named):
    for path, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", named):
        assert f"def {name}" in (ROOT / path).read_text(), named


@pytest.mark.parametrize(
    "block",
    [block for block in PYTHON if isinstance(PROGRAMS.get(row_of(block)), dict)],
    ids=lambda block: f"{block.page}-{block.first}",
)
def test_a_program_runs(block):
    if block.page == "docs/timm.md":
        pytest.importorskip("timm")
    exec(block.text, dict(PROGRAMS[row_of(block)]))


OPTION = re.compile(r"(?<= )--[a-z][\w-]*")
WITH_OPTIONS = sorted(
    {
        (program, option)
        for _, command in commands()
        for program in re.findall(r"(?:^| )(mmdcls \w+|python tools/[\w/]+\.py)", command)[:1]
        for option in OPTION.findall(command.partition(program)[2])
    }
)


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted({program for program, _ in WITH_OPTIONS}))
def test_every_option_that_a_page_gives_is_one_of_the_program(program, monkeypatch, capsys):
    kind, name = program.split()
    with pytest.raises(SystemExit):
        if kind == "mmdcls":
            import_module(f"mmdcls.commands.{name}").main(["--help"])
        else:
            monkeypatch.syspath_prepend((ROOT / name).parent)
            monkeypatch.setattr(sys, "argv", [name, "--help"])
            runpy.run_path(str(ROOT / name), run_name="__main__")
    text = capsys.readouterr().out
    assert [option for of, option in WITH_OPTIONS if of == program and option not in text] == []


@pytest.mark.parametrize("block", OWN_DATA, ids=lambda block: block.text.split("/")[1])
def test_a_config_for_own_data_builds_model_and_data(tmp_path, block):
    assert len(block.text.splitlines()) <= 15
    data = tmp_path / "data"
    path = tmp_path / "mine.py"
    path.write_text(block.text.replace("configs/", f"{CONFIGS}/").replace("data/mine", str(data)))
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({**synthetic.write_data(cfg, data), **synthetic.thin_model(cfg)})
    init_default_scope(cfg.default_scope)
    for split in synthetic.SPLITS:
        dataset = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
        assert len(dataset) == synthetic.IMAGES
        assert dataset[0]["data_samples"].img_path
        assert dataset.metainfo["classes"] == cfg.mine.metainfo.classes
    model = MODELS.build(cfg.model)
    counts = {m.num_classes for m in model.modules() if getattr(m, "num_classes", 1) > 1}
    assert counts == {len(cfg.mine.metainfo.classes)}


def test_configs_for_own_data_of_a_method_are_on_its_page():
    # tests/configs/test_configs.py trains what it finds there.
    assert {Path(block.page).parts[0] for block in OWN_DATA_OF_METHODS} == {"configs"}


@pytest.mark.parametrize("block", FRAGMENTS, ids=lambda block: block.page)
def test_a_fragment_fits_a_config_of_anybody(tmp_path, block):
    base = dict(model=dict(type="mmdet.RetinaNet", backbone=dict(type="mmdet.ResNet", depth=18)))
    if "DclsConvNeXt" in block.text:
        base["model"]["backbone"] = {}
    Config(base).dump(tmp_path / "base.py")
    (tmp_path / "mine.py").write_text(f'_base_ = "base.py"\n{block.text}')
    backbone = MODELS.build(Config.fromfile(tmp_path / "mine.py").model.backbone)
    assert any(name.endswith("positions") for name, _ in backbone.named_parameters())


@pytest.mark.parametrize("piece", PIECES)
def test_every_hook_takes_what_is_written(piece):
    HOOKS.build(eval(piece, dict(dict=dict)))


def test_the_program_of_the_faq_completes_a_file(tmp_path, monkeypatch):
    (program,) = (block.text for block in PYTHON if block.page == "docs/faq.md")
    (tmp_path / "complete.py").write_text(program)
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((4, 6, 3), "uint8"))
    content = dict(images=[dict(file_name="one.png")], annotations=[dict(bbox=[0, 0, 2, 3])])
    (tmp_path / "some.json").write_text(json.dumps(content))
    given = ["complete.py", str(tmp_path / "some.json"), str(tmp_path)]
    monkeypatch.setattr(sys, "argv", given)
    runpy.run_path(str(tmp_path / "complete.py"), run_name="__main__")
    completed = json.loads((tmp_path / "some.json").read_text())
    assert completed["images"] == [dict(file_name="one.png", height=4, width=6)]
    assert completed["annotations"] == [dict(bbox=[0, 0, 2, 3], area=6, iscrowd=0)]
