"""Volumes: how they are made, the networks of all arms, and that every table trains and is told."""

import gzip
import io
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from mmdcls.dcls import Dcls3d, DepthwiseConv2d, DepthwiseConv3d
from mmdcls.errors import InputError
from mmdcls.study.cells import base_config
from mmdcls.study.records import read_records
from mmdcls.study.run import run_cells
from projects.position_study.preparation.arrays import write_arrays
from projects.volumes import picture, prepare, report, reproduce
from projects.volumes.volumes import VolumeDataset, VolumeSegmentor, volume_network
from projects.volumes.volumes.networks import KERNELS
from projects.volumes.volumes.segmentor import IGNORED

each_arm = pytest.mark.parametrize("arm", reproduce.ARMS)


def nifti_of(volume: np.ndarray) -> bytes:
    header = bytearray(352)
    struct.pack_into("<8h", header, 40, 3, *volume.shape, 1, 1, 1, 1)
    struct.pack_into("<h", header, 70, 2)
    struct.pack_into("<f", header, 108, 352)
    return bytes(header) + volume.astype(np.uint8).tobytes(order="F")


def wheel_of(path, members: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_nifti_file_is_read_with_its_first_axis_fastest():
    volume = np.random.default_rng(0).integers(256, size=(3, 4, 5), dtype=np.uint8)
    np.testing.assert_array_equal(prepare.nifti(nifti_of(volume)), volume)
    with pytest.raises(SystemExit, match="4 axes"):
        prepare.nifti(struct.pack("<40x8h", 4, 1, 1, 1, 1, 1, 1, 1) + bytes(300))


def test_the_brain_is_cut_into_coronal_slabs_of_the_likeliest_tissue(tmp_path):
    size = (6, 233, 4)
    kinds = {name: np.zeros(size, np.uint8) for name in ("t1", "gm", "wm")}
    kinds["t1"][2:] = np.arange(233, dtype=np.uint8)[None, :, None]
    kinds["gm"][2], kinds["wm"][4] = 200, 200
    members = {prepare.TEMPLATE.format(k): gzip.compress(nifti_of(v)) for k, v in kinds.items()}
    arrays = prepare.brain(wheel_of(tmp_path / "wheel", members))
    slices = {}
    for part, (begin, end) in prepare.SLABS.items():
        image, maps = arrays[f"{part}_images"][0, 0], arrays[f"{part}_maps"][0]
        assert image.shape == maps.shape == ((end - begin) // 2, 3, 2)
        # Along the second axis nothing is known before index 2; there lie grey, then white matter.
        assert [set(np.unique(maps[:, row])) for row in range(3)] == [{0}, {2}, {3}]
        slices[part] = set(np.unique(image[:, 1:]))
    assert not slices["training"] & slices["test"] and not slices["validation"] & slices["test"]
    assert not slices["training"] & slices["validation"]


def test_nuclei_are_one_volume_in_every_part(tmp_path):
    random, members = np.random.default_rng(0), {}
    for kind, most in (("img", 400), ("mask", 3)):
        file = io.BytesIO()
        tifffile.imwrite(file, random.integers(most, size=(5, 6, 7), dtype=np.uint16))
        members[prepare.STACK.format(kind)] = file.getvalue()
    arrays = prepare.nuclei(wheel_of(tmp_path / "wheel", members))
    assert set(np.unique(arrays["test_maps"])) == {0, 1}
    for kind in ("images", "maps"):
        np.testing.assert_array_equal(arrays[f"training_{kind}"], arrays[f"test_{kind}"])


def test_parts_of_the_cells_share_no_column(monkeypatch):
    recording = np.zeros((4, 2, 30, 576), np.uint16)
    # Phase contrast by column, within the range that is kept; the stain by row.
    recording[1] = 6900 + 4 * np.arange(576)
    recording[0] = np.arange(30)[:, None]
    recording[2, :, 5:12, ::9] = 1
    monkeypatch.setattr(prepare, "read_recording", lambda wheel: recording)
    arrays = prepare.cells(None)
    greys = {part: arrays[f"{part}_images"][0, 1] for part in prepare.COLUMNS}
    for part, (begin, end) in prepare.COLUMNS.items():
        assert greys[part].shape == (2, 30, end - begin)
    assert greys["training"].max() < greys["validation"].min()
    assert greys["validation"].max() < greys["test"].min()


def test_what_is_no_such_wheel_is_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="download nilearn"):
        prepare.brain(wheel_of(tmp_path / "wheel", {"nothing": b""}))
    with pytest.raises(SystemExit, match="download stardist"):
        prepare.nuclei(tmp_path / "missing")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Noise in place of every data set; the image repeats the classes, so that windows can be told.

    Classes are 0, 1 and, once, what is not scored.
    """
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in prepare.SETS:
        channels = base_config(reproduce.CONFIGS / f"{name}.py").model.backbone.in_channels
        classes = ["background", "nucleus", "more", "most"]
        count = base_config(reproduce.CONFIGS / f"{name}.py").model.backbone.num_classes
        # Of the cells the nucleus comes last.
        classes = ["background", "cell", "nucleus"] if count == 3 else classes[:count]
        arrays = dict(classes=np.array(classes))
        for part in ("training", "validation", "test"):
            maps = random.integers(count, size=(1, 6, 10, 9), dtype=np.uint8)
            order = np.arange(channels, dtype=np.uint8)[:, None, None, None]
            arrays[f"{part}_images"] = 10 * maps[:, None] + order
            maps[0, 0, 0, 0] = IGNORED
            arrays[f"{part}_maps"] = maps
        write_arrays(tmp_path / f"data/volumes/{name}.npz", arrays)
    return tmp_path


def test_windows_of_image_and_classes_are_the_same_place(written):
    data = VolumeDataset("data/volumes/cells.npz", "training", (4, 5, 6), (-1, -2, -3))
    np.random.seed(0)
    firsts = set()
    for _ in range(20):
        item = data[0]
        assert item["images"].shape == (2, 4, 5, 6)
        known = item["targets"] != IGNORED
        assert torch.equal(item["images"][0][known], 10 * item["targets"][known])
        firsts.add(tuple(item["targets"].flatten().tolist()))
    assert len(firsts) > 10
    whole = VolumeDataset("data/volumes/cells.npz", "test")[0]
    turned = VolumeDataset("data/volumes/cells.npz", "test", channels=[1, 0])[0]
    assert torch.equal(turned["images"].flip(0), whole["images"])
    assert whole["targets"].shape == (6, 10, 9) and len(data) == 1


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(file="nowhere.npz"), "prepare"),
        (dict(part="more"), "no part 'more'"),
        (dict(crop=(7, 5, 5)), "larger than"),
        (dict(channels=[2]), "of its 2, from 0"),
        (dict(channels=[]), "of its 2, from 0"),
        (dict(flips=(-1, 0)), "flips has the axis 0; there are -3, -2, -1"),
    ],
)
def test_data_that_cannot_be_had_is_a_sentence(options, words, written):
    with pytest.raises(InputError, match=words):
        VolumeDataset(**{**dict(file="data/volumes/cells.npz", part="training"), **options})


class Seen(nn.Module):
    """Scores of two classes: of the second the input, of the first its opposite."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shape = x.shape[2:]
        return torch.cat([-x, x], 1)


def test_the_segmentor_fills_sides_up_and_tells_only_what_was_asked():
    model = VolumeSegmentor(Seen(), multiple=(2, 4, 4))
    x, truth = torch.randn(1, 1, 5, 8, 3), torch.randint(2, (1, 5, 8, 3))
    (sample,) = model(x, truth, "predict")
    assert model.backbone.shape == (6, 8, 4)
    assert torch.equal(sample["pred_sem_seg"]["data"], (x[0, 0] > 0).long())
    assert torch.equal(sample["gt_sem_seg"]["data"], truth[0])


def test_the_loss_passes_over_what_is_not_scored():
    model = VolumeSegmentor(Seen())
    x, truth = torch.randn(1, 1, 4, 4, 4), torch.randint(2, (1, 4, 4, 4))
    truth[:, :2] = IGNORED
    losses = [
        model(part, labels, "loss")["loss"]
        for part, labels in ((x, truth), (x[:, :, 2:], truth[:, 2:]))
    ]
    torch.testing.assert_close(*losses)


def network_of(arm: str, keep_frames: bool = False) -> nn.Module:
    pytest.importorskip("monai")
    torch.manual_seed(0)
    return volume_network(2, 3, reproduce.ARMS[arm], keep_frames)


@pytest.mark.parametrize("keep_frames", [False, True])
@each_arm
def test_the_network_of_an_arm_keeps_sizes_and_its_kernels(arm, keep_frames):
    network, length = network_of(arm, keep_frames), 5 if keep_frames else 4
    assert network(torch.randn(1, 2, length, 8, 12)).shape == (1, 3, length, 8, 12)
    kinds = dict(frames=DepthwiseConv2d, dense=DepthwiseConv3d, dcls=Dcls3d)
    kind = kinds[reproduce.ARMS[arm]["type"]]
    spatial = [module for module in network.modules() if type(module) is kind]
    assert len(spatial) == 5
    assert all(max(conv.stride) == 1 and conv.groups == conv.in_channels for conv in spatial)


def test_arms_have_as_many_parameters_but_the_largest_dense_one():
    count = {arm: sum(p.numel() for p in network_of(arm).parameters()) for arm in reproduce.ARMS}
    equal = [count[arm] for arm in reproduce.ARMS if arm != "dense_7"]
    assert max(equal) / min(equal) < 1.1
    assert count["dense_7"] > 2 * max(equal)


def test_only_frame_by_frame_do_frames_not_see_each_other():
    x = torch.randn(1, 2, 8, 8, 8)
    changed = x.clone()
    changed[:, :, 0] = 0
    moved = {}
    for arm in reproduce.ARMS:
        network = network_of(arm).eval()
        with torch.no_grad():
            moved[arm] = not torch.allclose(network(x)[:, :, 4:], network(changed)[:, :, 4:])
    assert moved == {arm: arm != "frames_7" for arm in reproduce.ARMS}


def test_frames_that_are_kept_stay_in_their_places():
    network = network_of("dense_3", keep_frames=True).double()
    for block in network.modules():
        if hasattr(block, "norm"):
            # Which sees all frames.
            block.norm = nn.Identity()
            middle = torch.zeros_like(block.conv1.weight)
            middle[:, :, 1] = block.conv1.weight[:, :, 1]
            block.conv1.weight.data = middle
    x = torch.randn(1, 2, 4, 8, 8).double().requires_grad_()
    for frame in range(4):
        (grad,) = torch.autograd.grad(network(x)[:, :, frame].square().sum(), x)
        seen = grad.abs().sum((0, 1, 3, 4)) > 0
        assert seen.tolist() == [other == frame for other in range(4)]


def test_a_kernel_that_is_not_known_is_a_sentence():
    with pytest.raises(InputError, match=", ".join(KERNELS)):
        volume_network(1, 2, dict(type="sparse"), keep_frames=False)


@pytest.mark.slow
@pytest.mark.parametrize("table", reproduce.SEEDS)
def test_cells_of_every_table_train(table, written):
    pytest.importorskip("monai")
    short = {
        "train_cfg.max_iters": 2,
        "train_dataloader.dataset.crop": (4, 8, 8),
        "model.backbone.filters": 2,
    }
    cells = reproduce.cells_of(table, range(1))
    # Of the choice one of each kind.
    cells = cells[:: 1 if table != "choose" else 4]
    cells = [replace(cell, overrides={**cell.overrides, **short}) for cell in cells]
    outcome = run_cells(cells, written / "results", 0)
    assert outcome.failed == []
    records = read_records(written / "results").values()
    assert len(records) == len(cells) and all(record["steps"] == 2 for record in records)
    assert all(bool(record["test"]) == (table != "choose") for record in records)
    (page,) = report.write_report(written / "results")
    assert "| --- |" in page.read_text()


@pytest.mark.slow
def test_the_network_learns_a_volume_by_heart():
    torch.manual_seed(0)
    model = VolumeSegmentor(network_of("dcls_bilinear"))
    place = torch.stack(torch.meshgrid(*[torch.arange(12.0) - 6] * 3, indexing="ij"))
    truth = (place.norm(dim=0) < 4).long()[None]
    x = truth[:, None].float() + 0.5 * torch.randn(1, 2, 12, 12, 12)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        model(x, truth, "loss")["loss"].backward()
        optimiser.step()
    predicted = model(x, truth, "predict")[0]["pred_sem_seg"]["data"]
    both, either = (predicted * truth[0]).sum(), (predicted + truth[0]).clamp(max=1).sum()
    assert both / either > 0.95


def record_of(arm: str, seed: int, nucleus: float) -> dict:
    metrics = dict(IoU_nucleus=nucleus, mIoU=50.0)
    return dict(
        table="cells",
        arm=arm,
        seed=seed,
        parameters=1000,
        multiply_adds=2_000_000,
        seconds_per_step=0.5,
        validation=metrics,
        test=metrics,
    )


def test_differences_are_paired_by_seed():
    records = [record_of("frames_7", seed, 60.0 + 5 * seed) for seed in range(3)]
    records += [record_of("dense_3", seed, 64.0 + 5 * seed) for seed in range(3)]
    text = report.summary_of(records)
    assert "+4.0 [+4.0, +4.0]" in text and "-4.0 [-4.0, -4.0]" in text
    assert report.summary_of([]) == "Nothing is trained."


@each_arm
def test_what_was_chosen_is_the_best_on_the_validation_part(arm):
    records = read_records(report.RESULTS).values()
    figures = {
        record["arm"]: record["validation"]["IoU_nucleus"]
        for record in records
        if record["table"] == "choose"
        and record["overrides"]["model.backbone.kernel"].items()
        >= {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in reproduce.ARMS[arm].items()
        }.items()
    }
    rate, spread = reproduce.CHOSEN[arm]
    assert max(figures, key=figures.get) == "_".join(filter(None, (arm, f"{rate:g}", spread)))


def test_what_is_not_scored_is_grey_in_the_picture():
    maps = np.array([[[0, 1, 2, IGNORED]]], np.uint8)
    colours = picture.coloured(maps)[0, 0]
    assert np.array_equal(colours[:3], picture.COLOURS)
    assert np.array_equal(colours[3], picture.UNSCORED)


def test_the_config_with_dcls_is_that_arm_of_the_study():
    cell = reproduce.cell_of("cells", "dcls_bilinear", 0)
    own = base_config(reproduce.CONFIGS / "cells_dcls.py")
    kernel = dict(cell.overrides["model.backbone.kernel"])
    kernel.pop("_delete_")
    # The published spread is the default.
    assert kernel.pop("initial_spread") == "normal"
    assert own.model.backbone.kernel == kernel
    assert own.optim_wrapper.optimizer.lr == cell.overrides["optim_wrapper.optimizer.lr"]
