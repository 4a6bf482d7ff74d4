"""Whatever a config gives to a registered piece: it works, or one sentence names the field."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from torch import nn

from helpers.tiny import Tiny, batch
from mmdcls import registry
from mmdcls.dcls import INITIAL_SPREADS, INTERPOLATIONS, DclsNd

EXAMPLES = 150
# Beyond this, a model is not worth its time here; it has been built without memory.
MOST_PARAMETERS, MOST_CELLS = 200_000, 1_000

WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from((-1, 0, 10**9, 10**30, -(10**30), 1e300, -1e-9, float("nan"), float("inf"))),
    st.integers(-4, 4),
    st.floats(-2, 2),
    st.text(max_size=4),
    st.sampled_from(("2", "1e-3", "True", "auto", "bilinear")),
    st.lists(st.one_of(st.none(), st.integers(-2, 3), st.text(max_size=2)), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(-2, 2), max_size=2),
    st.sampled_from((object(), len, int, b"1", {1, 2}, 1j, torch.ones(2), range(3))),
)
WHOLE = st.integers(1, 5)
FLAG = st.booleans()
NAME = st.sampled_from(tuple(INTERPOLATIONS))
RATE = st.floats(0, 1)


def mostly(right: st.SearchStrategy) -> st.SearchStrategy:
    # one_of would draw from each of the many branches of WRONG as often.
    return st.sampled_from((right, right, right, WRONG)).flatmap(lambda chosen: chosen)


class Piece(NamedTuple):
    """A registered piece as configs give it.

    needed: values without which it cannot be; drawn values replace them.
    fields: what a config may give, with values that are right, at least on their own.
    use: what is done with the piece that was built.
    """

    needed: dict[str, Any]
    fields: dict[str, st.SearchStrategy]
    use: Callable[[Any], None]


def convolve(layer: nn.Module) -> None:
    axes = layer.weight.dim() - 2 if not isinstance(layer, DclsNd) else layer.axes
    if isinstance(layer, DclsNd) and max(layer.kernel_size) <= 9:
        layer(torch.randn(1, layer.in_channels, *(12,) * axes)).sum().backward()


def extract(backbone: nn.Module) -> None:
    if max(backbone.stages[0].kernel_size) <= 9:
        channels = backbone.downsample_layers[0][0].in_channels
        maps = backbone.train()(torch.randn(1, channels, 32, 32))
        assert len(maps) == len(backbone.out_indices)


def transform(network: nn.Module) -> None:
    if isinstance(network, DclsNd) and max(network.kernel_size) <= 9:
        convolve(network)


def optimise(constructor: Any) -> None:
    net = nn.ModuleDict(dict(backbone=tiny_backbone(), head=nn.Conv2d(4, 4, 1)))
    wrapper = constructor(net)
    wrapper.update_params(sum(parameter.square().sum() for parameter in net.parameters()))


def tiny_backbone() -> nn.Module:
    return registry.MODELS.build(dict(type="mmdcls.DclsConvNeXt", **BACKBONE))


def train(hook: Any) -> None:
    """Two iterations as a Runner calls them, and an evaluation."""
    with TemporaryDirectory() as folder:
        train_in(folder, hook)


def train_in(folder: str, hook: Any) -> None:
    net = Tiny()
    runner = SimpleNamespace(
        model=net,
        hooks=[hook],
        iter=0,
        epoch=0,
        max_iters=2,
        max_epochs=2,
        train_loop=None,
        val_loop=None,
        cfg={},
        work_dir=folder,
        log_dir=folder,
        logger=logging.getLogger("registered_pieces"),
        visualizer=SimpleNamespace(add_scalars=ignore, add_image=ignore),
        optim_wrapper=None,
        param_schedulers=None,
    )
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    for runner.iter in range(2):
        hook.before_train_iter(runner, runner.iter, batch())
        losses = net(**batch(), mode="loss")
        sum(losses.values()).backward()
        hook.after_train_iter(runner, runner.iter, batch(), losses)
    hook.after_train(runner)
    hook.before_val(runner)
    net.eval()(**batch(), mode="predict")
    hook.after_val(runner)


def ignore(*values: Any, **options: Any) -> None:
    pass


def step(wrapper: Any) -> None:
    wrapper.update_params(
        sum(p.square().sum() for p in wrapper.optimizer.param_groups[0]["params"])
    )


CONV = dict(in_channels=4, out_channels=4, kernel_size=3, kernel_count=2)
BACKBONE = dict(
    arch=dict(depths=(1, 1, 1, 1), channels=(4, 4, 4, 4)), kernel_size=3, kernel_count=2
)
CONVOLUTION = Piece(
    CONV,
    dict(
        in_channels=WHOLE,
        out_channels=WHOLE,
        kernel_size=WHOLE,
        kernel_count=WHOLE,
        stride=WHOLE,
        padding=st.one_of(st.integers(0, 3), st.sampled_from(("same", "valid"))),
        dilation=st.just(1),
        groups=WHOLE,
        bias=FLAG,
        padding_mode=st.sampled_from(("zeros", "reflect", "replicate", "circular")),
        where_kernel_size=st.one_of(st.none(), WHOLE),
        where_depthwise=st.one_of(st.none(), FLAG),
        dcls_kernel_size=st.one_of(st.none(), WHOLE),
        interpolation=NAME,
        initial_spread=st.sampled_from(tuple(INITIAL_SPREADS)),
        share_positions=st.just(False),
    ),
    convolve,
)
NO_OPTIONS = Piece({}, {}, train)
OPTIMIZER = st.fixed_dictionaries(
    {},
    optional=dict(
        type=mostly(st.sampled_from(("SGD", "AdamW", torch.optim.Adam))),
        lr=mostly(RATE),
        weight_decay=mostly(RATE),
    ),
)
CUSTOM_KEYS = st.dictionaries(
    st.one_of(st.sampled_from(("head", "stages.0", "")), st.integers(0, 1)),
    st.one_of(
        st.fixed_dictionaries(
            {},
            optional=dict(lr_mult=mostly(RATE), decay_mult=mostly(RATE), typo=RATE),
        ),
        WRONG,
    ),
    max_size=2,
)
RULE = st.fixed_dictionaries(
    {},
    optional=dict(
        where=mostly(st.just(".*")),
        where_depthwise=mostly(FLAG),
        where_kernel_size=mostly(st.just(3)),
        where_stride=mostly(st.just(1)),
        kernel_size=mostly(st.just(3)),
        kernel_count=mostly(WHOLE),
        interpolation=mostly(NAME),
        initial_spread=mostly(st.sampled_from(tuple(INITIAL_SPREADS))),
        share=mostly(st.sampled_from(("stage", "layer"))),
        start=mostly(st.sampled_from(("dense", "random"))),
        typo=RATE,
    ),
)
SIZES = st.one_of(st.lists(WHOLE, min_size=4, max_size=4), WRONG)
PIECES = {
    "Dcls1d": CONVOLUTION,
    "Dcls2d": CONVOLUTION,
    "Dcls3d": CONVOLUTION,
    "DclsConvNeXt": Piece(
        BACKBONE,
        dict(
            arch=st.one_of(
                st.sampled_from(("tiny", "huge")),
                st.fixed_dictionaries({}, optional=dict(depths=SIZES, channels=SIZES)),
            ),
            depths=st.one_of(st.none(), SIZES),
            channels=st.one_of(st.none(), SIZES),
            in_channels=WHOLE,
            kernel_size=WHOLE,
            kernel_count=WHOLE,
            interpolation=NAME,
            initial_spread=st.sampled_from(tuple(INITIAL_SPREADS)),
            share_positions=FLAG,
            drop_path_rate=st.floats(0, 0.9),
            layer_scale_init_value=RATE,
            use_grn=FLAG,
            out_indices=st.lists(st.integers(-1, 4), max_size=4),
            frozen_stages=st.integers(-2, 5),
            with_cp=FLAG,
            init_cfg=st.sampled_from(
                (None, [], dict(type="Nothing"), dict(), [dict(type="Xavier", layer="Conv2d")])
            ),
        ),
        extract,
    ),
    "Converted": Piece(
        dict(network="Conv2d", dcls=dict(where=".*"), in_channels=4, out_channels=4, kernel_size=3),
        dict(
            network=st.sampled_from(("Conv2d", "torch.nn.Conv2d", nn.Conv2d)),
            dcls=st.one_of(RULE, st.lists(RULE, max_size=2)),
        ),
        transform,
    ),
    "CheckInputs": NO_OPTIONS,
    "ClampPositions": NO_OPTIONS,
    "RoundPositions": NO_OPTIONS,
    # Has no options, and needs a GPU and a backbone; tested where hooks are.
    "GraphedBackbone": Piece({}, {}, ignore),
    "Repulsion": Piece({}, dict(weight=RATE, begin=st.integers(0, 2), by_epoch=FLAG), train),
    "AnnealSigma": Piece(
        dict(from_width=2.0, to_width=0.5, end=2),
        dict(
            from_width=st.floats(0, 3),
            to_width=st.floats(0, 3),
            begin=st.integers(0, 2),
            end=st.integers(0, 4),
            by_epoch=FLAG,
            kind=st.sampled_from(("geometric", "linear", "cosine")),
            learnable=FLAG,
        ),
        train,
    ),
    "StopOnNonFinite": NO_OPTIONS,
    # These have to do with a Runner's files, and are tested there.
    "CheckpointHook": Piece(
        {},
        dict(
            interval=WHOLE,
            max_keep_ckpts=WHOLE,
            save_begin=WHOLE,
            by_epoch=FLAG,
            save_optimizer=FLAG,
            save_param_scheduler=FLAG,
            save_last=FLAG,
            save_best=st.sampled_from((None, "auto", ["mIoU"])),
            filename_tmpl=st.sampled_from((None, "at_{}.pth", "{}{}", "none.pth")),
        ),
        ignore,
    ),
    "ExactResume": Piece({}, {}, ignore),
    "KeepPredictions": Piece(
        {},
        dict(
            output_dir=st.sampled_from((None, "labels")),
            show_dir=st.sampled_from((None, "pictures")),
            backend_args=st.sampled_from((None, dict(backend="local"))),
        ),
        ignore,
    ),
    "UnreadableFiles": Piece(
        {}, dict(policy=st.sampled_from(("stop", "skip")), interval=WHOLE), ignore
    ),
    # Works among processes, where it is tested.
    "FSDPStrategy": Piece({}, {}, ignore),
    "PositionHealth": Piece(
        {},
        dict(
            interval=WHOLE,
            # Pictures take longer than all the rest.
            picture_interval=st.sampled_from((0, 3, 5000)),
            grace=RATE,
            most_at_border=RATE,
            most_at_centre=RATE,
            most_at_floor=RATE,
            least_movement=RATE,
            most_near_another=RATE,
        ),
        train,
    ),
    # Has no options; what it computes is tested where the schedules are.
    "PositionTravel": Piece({}, {}, ignore),
    "Pretrained": Piece(
        dict(checkpoint="nowhere.pth"),
        dict(
            checkpoint=st.sampled_from(("a.pth", "https://a.b/c.pth")),
            sha256=st.sampled_from((None, 64 * "a")),
            key=st.sampled_from((None, "model")),
            interpolation=st.one_of(st.none(), NAME),
            axis_order=st.sampled_from((None, "height_first", "width_first")),
        ),
        # What it does with files is tested where files are.
        ignore,
    ),
    "DclsOptimWrapperConstructor": Piece(
        dict(optim_wrapper_cfg=dict(optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.1))),
        dict(
            optim_wrapper_cfg=st.fixed_dictionaries(
                dict(optimizer=OPTIMIZER),
                optional=dict(type=mostly(st.just("mmdcls.AmpOptimWrapper"))),
            ),
            paramwise_cfg=st.fixed_dictionaries(
                {},
                optional=dict(
                    decay_rate=mostly(RATE),
                    decay_type=mostly(st.just("stage_wise")),
                    num_layers=mostly(WHOLE),
                    position_lr_mult=mostly(RATE),
                    position_travel=mostly(RATE),
                    custom_keys=mostly(CUSTOM_KEYS),
                    typo=RATE,
                ),
            ),
        ),
        optimise,
    ),
    "AmpOptimWrapper": Piece(
        {},
        dict(
            loss_scale=st.sampled_from(("dynamic", 512.0, 512, dict(init_scale=2.0))),
            dtype=st.sampled_from((None, "bfloat16")),
            use_fsdp=FLAG,
            accumulative_counts=WHOLE,
            clip_grad=st.fixed_dictionaries(
                {},
                optional=dict(
                    type=mostly(st.sampled_from(("norm", "value"))),
                    max_norm=mostly(RATE),
                    clip_value=mostly(RATE),
                    norm_type=mostly(WHOLE),
                    foreach=mostly(FLAG),
                    typo=RATE,
                ),
            ),
        ),
        step,
    ),
}
# Values in dicts of a field are named by their own names.
WITHIN = {
    "dcls": (
        *("where", "kernel_size", "kernel_count", "interpolation", "initial_spread"),
        *("share", "start"),
    ),
    "optim_wrapper_cfg": ("optim_wrapper", "optimizer"),
    "paramwise_cfg": (
        *("decay_rate", "decay_type", "num_layers", "position_lr_mult", "custom_keys"),
        *("position_travel", "paramwise_cfg"),
    ),
}


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    """Runners leave their default scope behind, in which other names are known."""
    with DefaultScope.overwrite_default_scope("mmengine"):
        yield


REGISTRIES = registry.registered()


def test_every_registered_piece_is_in_the_table():
    assert set(PIECES) == set(REGISTRIES)


def build(name: str, config: dict) -> Any:
    if name == "AmpOptimWrapper":
        config = config | dict(optimizer=torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))
    return REGISTRIES[name].build(dict(type=f"mmdcls.{name}", **config))


def is_small(module: nn.Module) -> bool:
    return sum(parameter.numel() for parameter in module.parameters()) <= MOST_PARAMETERS


def build_and_use(name: str, config: dict) -> None:
    if REGISTRIES[name] is registry.MODELS:
        with torch.device("meta"):
            if not is_small(build(name, config)):
                return
    piece = build(name, config)
    PIECES[name].use(piece)


@st.composite
def configs(draw: st.DrawFn, piece: Piece) -> dict:
    chosen = draw(st.lists(st.sampled_from(sorted(piece.fields)), unique=True, max_size=4))
    return piece.needed | {name: draw(mostly(piece.fields[name])) for name in chosen}


# A layer of conv_cfg is plain where the kernel has another size.
LAWS = [(name, piece) for name, piece in PIECES.items() if piece.fields] + [
    (name, CONVOLUTION._replace(needed=CONV | dict(where_kernel_size=4)))
    for name in ("Dcls1d", "Dcls2d", "Dcls3d")
]


@pytest.mark.parametrize(("name", "piece"), LAWS, ids=[name for name, _ in LAWS])
def test_it_works_or_a_sentence_names_the_field(name, piece):
    tried: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES)
    @given(configs(piece))
    def law(config: dict) -> None:
        tried["all"] += 1
        try:
            build_and_use(name, config)
            tried["worked"] += 1
        except ValueError as error:
            text = str(error)
            names = [word for field in config for word in (field, *WITHIN.get(field, ()))]
            assert any(word in text for word in names), (text, config)
            # A table of what there is to name may follow.
            assert "\n" not in text.replace(repr(config), "").partition(":\n  ")[0], text

    law()
    print(f"{name}: {tried['all']} configs tried, {tried['worked']} worked")
    # Nearly all refused, or none, would say that the strategies look at one side only.
    assert tried["all"] >= EXAMPLES / 2 and tried["all"] / 20 < tried["worked"] < tried["all"]


@pytest.mark.parametrize("name", PIECES)
def test_it_works_with_what_it_needs_and_refuses_unknown_names(name):
    build_and_use(name, PIECES[name].needed)
    # This one passes what it knows to mmengine's, and so must look at the names itself.
    kind = ValueError if name == "CheckpointHook" else TypeError
    with pytest.raises(kind, match="typo|takes no arguments"):
        build(name, {**PIECES[name].needed, "typo": 1})


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, piece in PIECES.items() for field in piece.fields]
)
def test_what_no_field_can_be_is_refused_in_every_field(name, field):
    for value in (object(), b"1", 1j, float("nan"), -(10**30), {1, 2}):
        with pytest.raises(ValueError, match=field.removesuffix("_cfg")):
            build(name, {**PIECES[name].needed, field: value})
