"""DclsConvNeXt: shapes, sharing, freezing, formats, and what it refuses."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch.testing import assert_close

from mmdcls.dcls import INTERPOLATIONS, ElementPositions
from mmdcls.models.arguments import ARCHS

SMALL = dict(
    arch=dict(depths=(2, 1, 3, 1), channels=(8, 12, 16, 20)), kernel_size=7, kernel_count=5
)


def build(**options):
    torch.manual_seed(0)
    return MODELS.build({"type": "mmdcls.DclsConvNeXt", **SMALL, **options})


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("share_positions", [True, False])
@pytest.mark.parametrize("size", [(64, 64), (97, 130), (33, 65)], ids=str)
def test_maps_have_the_strides_of_a_pyramid(interpolation, share_positions, size):
    backbone = build(interpolation=interpolation, share_positions=share_positions)
    maps = backbone(torch.randn(2, 3, *size))
    height, width = (extent // 4 for extent in size)
    for level, channels in zip(maps, SMALL["arch"]["channels"], strict=True):
        assert level.shape == (2, channels, height, width)
        height, width = height // 2, width // 2


@pytest.mark.parametrize("kernel_size", [6, 7, (3, 9), (4, 5)], ids=str)
def test_every_kernel_size_keeps_the_size_of_the_maps(kernel_size):
    level = build(kernel_size=kernel_size, out_indices=(0,))(torch.randn(1, 3, 64, 48))[0]
    assert level.shape[2:] == (16, 12)


@pytest.mark.parametrize("use_grn", [False, True])
@pytest.mark.parametrize("share_positions", [True, False])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_parameter_gets_a_gradient(interpolation, share_positions, use_grn):
    backbone = build(
        interpolation=interpolation,
        share_positions=share_positions,
        layer_scale_init_value=1.0,
        use_grn=use_grn,
    )
    maps = backbone(torch.randn(2, 3, 64, 64))
    sum((level * torch.randn_like(level)).sum() for level in maps).backward()
    without = [
        name
        for name, parameter in backbone.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not without


def test_shared_positions_belong_to_the_stage_once():
    backbone = build(interpolation="gaussian")
    names = [f"stages.{stage}.{name}" for stage in range(4) for name in ("positions", "sigma")]
    in_state = [key for key in backbone.state_dict() if key.endswith((".positions", ".sigma"))]
    in_optimiser = [
        name for name, _ in backbone.named_parameters() if name.endswith((".positions", ".sigma"))
    ]
    assert in_state == in_optimiser == names
    assert backbone.stages[2].positions.shape == (2, 16, 1, 5)


def test_own_positions_belong_to_each_block():
    backbone = build(share_positions=False)
    owners = [
        name
        for name, module in backbone.named_modules()
        if isinstance(module, ElementPositions) and module.positions is not None
    ]
    assert owners == [
        f"stages.{stage}.{block}.dwconv"
        for stage, depth in enumerate(SMALL["arch"]["depths"])
        for block in range(depth)
    ]


def test_blocks_with_equal_positions_compute_the_same_whoever_owns_them():
    shared, own = build(share_positions=True), build(share_positions=False)
    state = shared.state_dict()
    for stage, depth in enumerate(SMALL["arch"]["depths"]):
        positions = state.pop(f"stages.{stage}.positions")
        for block in range(depth):
            state[f"stages.{stage}.{block}.dwconv.positions"] = positions
    own.load_state_dict(state)
    x = torch.randn(1, 3, 64, 64)
    assert_close(shared(x), own(x))


@pytest.mark.parametrize("options", [{}, dict(share_positions=False), dict(with_cp=True)], ids=str)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_maps_are_contiguous_in_nchw(options, mode):
    backbone = getattr(build(**options), mode)()
    for image in (
        torch.randn(2, 3, 64, 64),
        torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last),
    ):
        with torch.set_grad_enabled(mode == "train"):
            assert all(level.is_contiguous() for level in backbone(image))


def test_roi_align_reads_the_maps_as_they_are():
    from mmcv.ops import roi_align

    backbone = build().eval()
    with torch.no_grad():
        level = backbone(torch.randn(1, 3, 64, 64))[0]
    rois = torch.tensor([[0, 1.0, 2.0, 9.0, 12.0], [0, 0.0, 0.0, 15.0, 15.0]])
    found = roi_align(level, rois, (3, 3), 1.0, 0, "avg", True)
    # A fresh copy in plain order cannot be misread.
    copied = torch.tensor(level.tolist())
    assert_close(found, roi_align(copied, rois, (3, 3), 1.0, 0, "avg", True))


def test_response_normalisation_changes_nothing_at_the_start():
    without, with_it = (build(layer_scale_init_value=1.0, use_grn=use) for use in (False, True))
    missing = with_it.load_state_dict(without.state_dict(), strict=False).missing_keys
    assert all(".grn." in name for name in missing)
    x = torch.randn(2, 3, 64, 96)
    assert all(map(torch.equal, without(x), with_it(x)))


def test_recomputing_activations_changes_no_number():
    plain, saving = build(drop_path_rate=0.3), build(drop_path_rate=0.3, with_cp=True)
    x = torch.randn(2, 3, 64, 64)
    gradients = []
    for backbone in (plain, saving):
        torch.manual_seed(1)
        sum(level.square().sum() for level in backbone(x)).backward()
        gradients.append({name: p.grad for name, p in backbone.named_parameters()})
    assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("frozen_stages", [-1, 0, 1, 2, 4])
def test_frozen_stages_neither_learn_nor_switch_to_training(frozen_stages):
    backbone = build(frozen_stages=frozen_stages, drop_path_rate=0.5).train()
    for stage in range(4):
        frozen = stage < frozen_stages
        assert backbone.stages[stage].training is not frozen
        assert all(p.requires_grad is not frozen for p in backbone.stages[stage].parameters())
        stem_or_frozen = frozen or (stage == 0 and frozen_stages == 0)
        parameters = backbone.downsample_layers[stage].parameters()
        assert all(p.requires_grad is not stem_or_frozen for p in parameters)


@pytest.mark.parametrize("out_indices", [(0,), (1, 3), (2,), (0, 1, 2, 3)], ids=str)
def test_maps_of_chosen_stages_equal_those_of_all(out_indices):
    every, some = build(), build(out_indices=out_indices)
    some.load_state_dict(every.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 64)
    maps = every(x)
    assert_close(some(x), tuple(maps[index] for index in out_indices))
    sum(level.sum() for level in some(x)).backward()
    assert all(parameter.grad is not None for parameter in some.parameters())


def test_drop_path_grows_from_zero_to_its_rate():
    backbone = build(drop_path_rate=0.6)
    rates = [
        getattr(block.drop_path, "drop_prob", 0.0) for stage in backbone.stages for block in stage
    ]
    assert rates == pytest.approx([0.1 * index for index in range(7)])


def test_initialisation_is_the_published_one():
    backbone = build(arch="tiny", kernel_size=17, kernel_count=34, interpolation="gaussian")
    for stage in backbone.stages:
        positions = stage.positions.detach()
        assert positions.std() == pytest.approx(0.5, rel=0.05)
        assert positions.abs().max() <= 8
        assert (stage.sigma == 0.23).all()
        for block in stage:
            assert block.dwconv.weight.detach().std() == pytest.approx(0.02, rel=0.05)
            assert (block.dwconv.bias == 0).all() and (block.pwconv1.bias == 0).all()
            assert block.pwconv2.weight.detach().std() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("arch", ARCHS)
def test_every_arch_builds_with_its_channels(arch):
    with torch.device("meta"):
        backbone = build(arch=arch)
    assert [norm.weight.shape[0] for norm in (backbone.norm0, backbone.norm3)] == [
        ARCHS[arch]["channels"][0],
        ARCHS[arch]["channels"][3],
    ]


def test_depths_and_channels_take_the_place_of_those_of_a_named_arch(tmp_path):
    """Also in a child config, which cannot give a dict in place of a name."""
    (tmp_path / "base.py").write_text('backbone = dict(type="mmdcls.DclsConvNeXt", arch="tiny")')
    child = tmp_path / "child.py"
    child.write_text(
        '_base_ = "base.py"\nbackbone = dict(depths=[2, 1, 3, 1], channels=[8, 12, 16, 20])'
    )
    with torch.device("meta"):
        given = MODELS.build(Config.fromfile(child).backbone)
        deep = MODELS.build(dict(type="mmdcls.DclsConvNeXt", depths=(1, 1, 1, 1)))
    assert given.depths == (2, 1, 3, 1) and given.channels == (8, 12, 16, 20)
    assert deep.depths == (1, 1, 1, 1) and deep.channels == ARCHS["tiny"]["channels"]


def test_positions_stay_shared_through_copies_and_assigned_states():
    backbone = build().eval()
    copied = copy.deepcopy(backbone)
    assigned = build()
    assigned.load_state_dict(
        {key: value.clone() for key, value in backbone.state_dict().items()}, assign=True
    )
    x = torch.randn(1, 3, 64, 64)
    for other in (copied, assigned.eval()):
        with torch.no_grad():
            before = other(x)
            other.stages[2].positions += 1.0
            after = other(x)
            assert_close(before[1], after[1])
            assert not torch.allclose(before[2], after[2])
            assert_close(backbone(x), before)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_torch_compile_takes_the_backbone_whole(interpolation):
    torch.compiler.reset()
    backbone = build(interpolation=interpolation, layer_scale_init_value=1.0)
    x = torch.randn(1, 3, 64, 64)
    # fullgraph raises where there is more than one graph.
    compiled = torch.compile(backbone, fullgraph=True, backend="aot_eager")
    gradients = []
    for one in (compiled, backbone):
        maps = one(x)
        backbone.zero_grad()
        sum(level.square().sum() for level in maps).backward()
        gradients.append([p.grad.clone() for p in backbone.parameters()])
    assert_close(compiled(x), backbone(x), rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_one_memory_format_runs_from_stem_to_norms(interpolation, mode):
    backbone = getattr(build(interpolation=interpolation), mode)()
    seen = []

    def watch(module, inputs, output):
        seen.extend(t.is_contiguous(memory_format=torch.channels_last) for t in (inputs[0], output))

    for stage in backbone.stages:
        for block in stage.children():
            block.register_forward_hook(watch)
            block.dwconv.register_forward_hook(watch)
    with torch.inference_mode(mode == "eval"):
        backbone(torch.randn(2, 3, 64, 96))
    assert len(seen) == 4 * sum(SMALL["arch"]["depths"])
    assert all(seen)


def test_autocast_runs_the_backbone_in_bfloat16_and_keeps_parameters_in_float32():
    backbone = build(layer_scale_init_value=1.0)
    x = torch.randn(1, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        inside = []
        backbone.stages[0][0].dwconv.register_forward_hook(lambda m, i, o: inside.append(o.dtype))
        maps = backbone(x)
    assert inside == [torch.bfloat16]
    for level, exact in zip(maps, backbone(x), strict=True):
        assert (level - exact).norm() < 0.02 * exact.norm()
    sum(level.float().square().sum() for level in maps).backward()
    assert all(p.grad.dtype == torch.float32 for p in backbone.parameters())


REFUSED = [
    (dict(arch="huge"), ("'huge'", "tiny", "depths")),
    (dict(arch=dict(depths=(1, 1, 1, 1))), ("depths", "channels")),
    (dict(arch=dict(depths=(1, 1), channels=(8, 8))), ("arch.depths", "(1, 1)", "4")),
    (dict(arch=dict(depths=(1, 1, 1, 0), channels=(8,) * 4)), ("arch.depths", "0")),
    (dict(depths=(1, 1)), ("depths=(1, 1)", "4")),
    (dict(channels=(8, 8, 8, 0)), ("channels", "0")),
    (dict(out_indices=(4,)), ("(4,)", "0 to 3")),
    (dict(out_indices=()), ("out_indices", "0 to 3")),
    (dict(out_indices=(1, 1)), ("(1, 1)", "once")),
    (dict(frozen_stages=5), ("frozen_stages=5", "-1")),
    (dict(frozen_stages=3, out_indices=(0, 1)), ("frozen_stages=3", "2")),
    (dict(drop_path_rate="0.1"), ("drop_path_rate='0.1'", "below 1")),
    (dict(layer_scale_init_value="1"), ("layer_scale_init_value='1'", "number")),
    (dict(drop_path_rate=1.0), ("drop_path_rate=1.0", "below 1")),
    (dict(interpolation="cubic"), ("'cubic'", "bilinear", "gaussian")),
    (dict(kernel_count=0), ("kernel_count=0", "at least 1")),
    (dict(kernel_size=(7, 7, 7)), ("kernel_size", "(7, 7, 7)", "2")),
]


@pytest.mark.parametrize("options, words", REFUSED, ids=str)
def test_wrong_arguments_are_named(options, words):
    with pytest.raises(ValueError) as error:
        build(**options)
    assert all(word in str(error.value) for word in words), str(error.value)
