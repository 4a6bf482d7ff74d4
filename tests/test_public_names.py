"""Names that other people's configs, programs and checkpoints have in them; they stay."""

import argparse
from importlib import import_module

import pytest
import torch
from mmengine.runner import Runner

import mmdcls.dcls
import mmdcls.timm
from helpers.training import training
from mmdcls.commands import COMMANDS
from mmdcls.registry import registered

REGISTERED = {
    "model": {"Converted", "Dcls1d", "Dcls2d", "Dcls3d", "DclsConvNeXt"},
    "hook": {
        "AnnealSigma",
        "CheckInputs",
        "CheckpointHook",
        "ClampPositions",
        "ExactResume",
        "GraphedBackbone",
        "KeepPredictions",
        "PositionHealth",
        "PositionTravel",
        "Repulsion",
        "RoundPositions",
        "StopOnNonFinite",
        "UnreadableFiles",
    },
    "optim wrapper constructor": {"DclsOptimWrapperConstructor"},
    "optim wrapper": {"AmpOptimWrapper"},
    "strategy": {"FSDPStrategy"},
    "weight initializer": {"Pretrained"},
}
LAYER_NAMES = {
    "INITIAL_SPREADS",
    "Dcls1d",
    "Dcls2d",
    "Dcls3d",
    "DclsNd",
    "DepthwiseConv2d",
    "DepthwiseConv3d",
    "ElementPositions",
    "INTERPOLATIONS",
    "Shares",
    "Synapse",
    "WIDTH_CURVES",
    "anneal_width_",
    "clamp_model_",
    "clamp_positions_",
    "construct_kernel",
    "delay_table",
    "figures_table",
    "group_table",
    "merged",
    "parameter_groups",
    "position_figures",
    "position_limits",
    "position_owners",
    "position_warnings",
    "step",
    "whole_delays",
    "repulsion",
    "repulsion_loss",
    "rounded",
    "scheduled_rates",
    "set_width_",
    "start_positions",
}
TIMM_NAMES = {
    "dcls_caformer_s18",
    "dcls_convformer_s18",
    "dcls_convnext_base",
    "dcls_convnext_small",
    "dcls_convnext_tiny",
    "dcls_convnext_tiny_gaussian",
    "dcls_fastvit_sa24",
    "dcls_fastvit_sa36",
}
SHARED_FLAGS = {"config", "--work-dir", "--cfg-options", "--launcher", "--local_rank"}
TOOL_FLAGS = {
    "train": {"--resume", "--amp", "--auto-scale-lr"},
    "test": {"checkpoint", "--tta", "--show-dir", "--out"},
}
COMMAND_NAMES = {
    "config",
    "convert",
    "convs",
    "deploy",
    "doctor",
    "flops",
    "list",
    "predict",
    "profile",
    "test",
    "train",
}
# Of mmdcls.analysis: modules, and what programs import of them.
ANALYSIS_NAMES = {
    "counting": {"multiply_adds", "parameters"},
    "receptive_field": {"area_table", "effective_receptive_field"},
}
PARAMETERS = {
    "stages.0.positions",
    "stages.0.0.dwconv.weight",
    "stages.0.0.dwconv.bias",
    "norm0.weight",
}


def test_what_configs_name():
    found = {(registry.name, name) for name, registry in registered().items()}
    assert found >= {(kind, name) for kind, names in REGISTERED.items() for name in names}


def test_what_configs_call_for_their_base():
    assert "config_path" in mmdcls.__all__


def test_what_programs_import():
    assert set(mmdcls.dcls.__all__) >= LAYER_NAMES


@pytest.mark.parametrize("module", ANALYSIS_NAMES)
def test_what_programs_import_of_the_analysis(module):
    assert set(dir(import_module(f"mmdcls.analysis.{module}"))) >= ANALYSIS_NAMES[module]


def test_what_timm_creates():
    assert set(mmdcls.timm.__all__) >= TIMM_NAMES


def test_commands():
    assert set(COMMANDS) >= COMMAND_NAMES


@pytest.mark.parametrize("tool", TOOL_FLAGS)
def test_flags_of_tools(tool, monkeypatch):
    known = set()
    add_argument = argparse.ArgumentParser.add_argument

    def add(parser, *names, **options):
        known.update(names)
        return add_argument(parser, *names, **options)

    monkeypatch.setattr(argparse.ArgumentParser, "add_argument", add)
    with pytest.raises(SystemExit):
        import_module(f"mmdcls.commands.{tool}").parse_arguments(["--help"])
    assert known >= SHARED_FLAGS | TOOL_FLAGS[tool]


def test_keys_of_checkpoints(tmp_path):
    hooks = [dict(type="mmdcls.ExactResume"), dict(type="mmdcls.PositionHealth")]
    hooks.append(dict(type="mmdcls.CheckInputs"))
    Runner.from_cfg(training(tmp_path, hooks)).train()
    content = torch.load(tmp_path / "iter_4.pth", weights_only=True)
    assert set(content) >= {"state_dict", "meta", "random_states", "position_health"}
    assert set(content["state_dict"]) >= {f"backbone.{name}" for name in PARAMETERS}
    assert set(content["meta"]) >= {"dcls", "iter"}
    assert content["meta"]["dcls"]["backbone.stages.0"] == [[7, 7], "bilinear"]
