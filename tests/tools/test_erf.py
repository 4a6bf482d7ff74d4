"""The tool that draws effective receptive fields: its files, its networks, what it refuses."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from helpers.catalogue import leaf_of, load
from helpers.provocations import load_tool
from helpers.untrained import write_untrained
from mmdcls.analysis.networks import built, dense
from mmdcls.analysis.receptive_field import effective_receptive_field
from mmdcls.checkpoint.trained import load_trained

SIDE = 96
erf = load_tool("analysis_tools/erf")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "pictures" / "noise.png"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def test_it_leaves_a_raw_array_of_each_network_a_table_and_a_picture(tmp_path, picture, capsys):
    config, checkpoint = write_untrained(leaf_of("upernet", "tiny_"), tmp_path)
    out = tmp_path / "out"
    flags = ["--checkpoint", checkpoint, "--side", str(SIDE), "--out", str(out)]
    erf.main([config, str(picture), *flags])
    names = {"start", "trained", "dense_start"}
    assert {path.name for path in out.iterdir()} == {
        *(f"{name}.npy" for name in names),
        "areas.md",
        "erf.png",
    }
    model = load_trained(config, checkpoint).model
    image = erf.prepared(picture, model, SIDE)
    expected = effective_receptive_field(model.backbone, [image])
    assert np.array_equal(np.load(out / "trained.npy"), expected.numpy())
    table = (out / "areas.md").read_text()
    assert table in capsys.readouterr().out
    rows = [line.split(" | ")[:2] for line in table.splitlines()[2:]]
    networks = ("start", "trained", "dense start")
    assert rows == [[f"| {name}", of] for name in networks for of in ("field", "log10")]


def test_another_network_stands_beside_it_in_place_of_the_dense_one(tmp_path, picture):
    config, checkpoint = write_untrained(leaf_of("upernet", "tiny_"), tmp_path)
    flags = ["--against", config, "--against-checkpoint", checkpoint, "--side", str(SIDE)]
    erf.main([config, str(picture), *flags, "--out", str(tmp_path / "out")])
    found = {path.stem: np.load(path) for path in (tmp_path / "out").glob("*.npy")}
    assert set(found) == {"start", "against_start", "against_trained"}
    assert np.array_equal(found["start"], found["against_start"])


def test_images_are_normalised_as_the_model_wants_them(picture):
    model = built(load(leaf_of("demo", "mini_upernet")))
    pixels = torch.from_numpy(cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)).float()
    mean, std = (torch.tensor(numbers).float() for numbers in ([87, 99, 106], [18, 25, 37]))
    expected = ((pixels - mean) / std).permute(2, 0, 1)
    torch.testing.assert_close(erf.prepared(picture, model, SIDE), expected)


def test_the_dense_start_has_a_weight_in_every_cell_as_convnext_draws_it():
    cfg = dense(load(leaf_of("demo", "mini_upernet")))
    backbone = erf.at_the_start(cfg, 0, is_dense=True).backbone
    kernels = [m.weight for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert {kernel.shape[2:] for kernel in kernels} == {(7, 7)}
    for kernel in kernels:
        assert (kernel != 0).all()
        assert kernel.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--side", "64"], "2 x 2 cells has no middle cell"),
        (["--against-checkpoint", "a.pth"], "give that as well"),
        (["--layer", "no.such"], "no.such"),
    ],
)
def test_what_does_not_serve_ends_with_a_sentence(flags, words, tmp_path, picture, capsys):
    config = str(leaf_of("demo", "mini_upernet"))
    with pytest.raises(SystemExit) as stopped:
        erf.main([config, str(picture), "--out", str(tmp_path / "out"), *flags])
    assert words in f"{stopped.value} {capsys.readouterr().err}"
