"""The audio project's networks: DCLS by rule, published weights, the published recipe."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, OPTIMIZERS

from helpers.published_networks import NETWORKS as PUBLISHED
from helpers.published_networks import file_of, published
from helpers.sounds import PROJECT
from mmdcls.checkpoint.load import load_into
from mmdcls.dcls import Dcls2d, position_owners
from mmdcls.errors import InputError
from projects.audio.audio import networks, spectrogram_network

SMALL = dict(depths=(1, 1, 1, 1), widths=(8, 16, 32, 64), num_classes=5)


@pytest.mark.parametrize("network", ["convnext", "convformer", "fastvit"])
def test_a_rule_makes_dcls_of_the_7x7_kernels(network):
    dense = spectrogram_network(network, **SMALL)
    rule = dict(kernel_size=23, interpolation="gaussian")
    made = spectrogram_network(network, **SMALL, dcls=rule, draw="torch").eval()
    kinds = [type(module) for module in made.modules()]
    large = [m for m in dense.modules() if getattr(m, "kernel_size", 0) == (7, 7)]
    assert kinds.count(Dcls2d) == sum(m.groups == m.in_channels == m.out_channels for m in large)
    counts = [sum(p.numel() for p in net.parameters()) for net in (dense, made)]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)
    assert made(torch.randn(2, 1, 64, 201)).shape == (2, 5)
    # One channel, 2 bands by 16 frames.
    first = next(module for module in made.modules() if isinstance(module, torch.nn.Conv2d))
    assert first.weight.shape == (8, 1, 2, 16) and first.stride == (2, 16)


@pytest.mark.parametrize("name", ["audio convformer", "audio fastvit"])
def test_published_weights_load(name):
    theirs = published(PUBLISHED[name])
    sizes = dict(depths=(2, 1, 2, 1), widths=(8, 16, 32, 64), num_classes=5)
    options = dict(mlp_ratios=(2, 2, 2, 2)) if "fastvit" in name else {}
    rule = dict(kernel_size=23, kernel_count=26, interpolation="gaussian")
    network = dict(type="audio.SpectrogramNetwork", network=name.split()[1], dcls=rule)
    model = dict(type="audio.SoundClassifier", backbone=network | sizes | options)
    model = MODELS.build(model).eval()
    report = load_into(model, dict(state_dict_ema=file_of(theirs)), "file")
    assert report.left == report.unused == ()
    image = torch.randn(PUBLISHED[name].image)
    with torch.no_grad():
        given, wanted = model(image), theirs(image)
    torch.testing.assert_close(given, wanted, rtol=1e-5, atol=1e-5 * wanted.std().item())


# Of arXiv 2309.13972, in millions; they were counted with the 1000 classes of ImageNet.
PARAMETERS = dict(convnext=28.6, convformer=26.8, fastvit=21.5)


@pytest.mark.slow
@pytest.mark.parametrize("network", PARAMETERS)
def test_the_published_recipe_builds_the_published_network(network):
    cfg = Config.fromfile(PROJECT / "configs" / f"audioset_{network}.py")
    cfg.model.backbone.num_classes = 1000
    model = MODELS.build(cfg.model)
    count = sum(parameter.numel() for parameter in model.backbone.parameters())
    assert round(count / 1e6, 1) == PARAMETERS[network]
    owners = position_owners(model).values()
    assert {(owner.kernel_size, owner.kernel_count) for owner in owners} == {((23, 23), 26)}


@pytest.mark.parametrize("fault", [ImportError("no timm"), RuntimeError("no operator nms")])
def test_without_timm_it_is_told_what_to_install(fault, monkeypatch):
    def fails(name):
        raise fault

    monkeypatch.setattr(networks, "import_module", fails)
    with pytest.raises(InputError, match=r"cannot be imported .* with a torchvision"):
        spectrogram_network("convnext", **SMALL)


def test_lamb_is_that_of_timm():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = OPTIMIZERS.build(dict(type="audio.Lamb", params=[weight], lr=0.1))
    assert type(optimizer).__name__ == "Lamb" and optimizer.defaults["lr"] == 0.1
