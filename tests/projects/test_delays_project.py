"""Networks with learned delays: their neurons, their tasks, and what is told of them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmdcls.dcls import position_owners
from mmdcls.errors import InputError
from mmdcls.study.records import read_records
from mmdcls.study.run import run_cells
from projects.delays import demo, prepare, prepare_vowels, report
from projects.delays.delays import DelayNetwork, Polychrony, ReversedDigits
from projects.delays.delays.network import KINDS, RECURRENT, Recurrence, learnable
from projects.delays.delays.neurons import ALPHA, fire, integrate
from projects.delays.delays.polychrony import CHANNELS, clips_of, offsets_of, recovered
from projects.delays.spikes import raster_of
from projects.delays.tables import DIGITS, TABLES
from projects.delays.training import train_delays
from projects.delays.truths import distances, mackey_glass, train_truth


@pytest.mark.parametrize("tau", [1.005, 2.0, 10.0])
def test_spikes_and_gradients_are_those_of_spikingjelly(tau):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
    torch.manual_seed(0)
    currents = torch.randn(5, 7, 40).requires_grad_()
    theirs = neuron.LIFNode(
        tau=tau,
        decay_input=False,
        detach_reset=True,
        step_mode="m",
        surrogate_function=surrogate.ATan(alpha=ALPHA),
    )
    expected = theirs(currents.movedim(-1, 0)).movedim(0, -1)
    spikes = fire(currents, tau)
    assert torch.equal(spikes, expected) and 0.05 < spikes.mean() < 0.5
    against = torch.randn_like(spikes)
    assert torch.equal(
        torch.autograd.grad(spikes, currents, against)[0],
        torch.autograd.grad(expected, currents, against)[0],
    )


def test_a_neuron_leaks_fires_and_begins_anew():
    currents = torch.tensor([[[0.6, 0.6, 0.6, 0.6, 0.0, 1.0]]], dtype=torch.float64)
    # Potentials before spikes: .6, .9, 1.05, .6 after the reset, .3, 1.15.
    assert fire(currents, 2.0).flatten().tolist() == [0, 0, 1, 0, 0, 1]
    expected = [0.6, 0.9, 1.05, 1.125, 0.5625, 1.28125]
    torch.testing.assert_close(
        integrate(currents, 2.0).flatten(), torch.tensor(expected, dtype=torch.float64)
    )


def test_what_neurons_send_each_other_is_one_step_late():
    currents = torch.zeros(1, 2, 4)
    currents[0, 0, 0] = 1
    swapped = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    train = fire(currents, 1.5, lambda spikes: spikes @ swapped)
    assert train.tolist() == [[[1, 0, 1, 0], [0, 1, 0, 1]]]


@pytest.mark.parametrize("kind", ["learned", "fixed"])
def test_an_axon_delays_by_one_step_to_as_many_as_its_kernel_has(kind):
    torch.manual_seed(0)
    layer = Recurrence(kind, 3, 6)
    with torch.no_grad():
        layer.axons.positions[0].flatten().copy_(torch.tensor([-3.0, 0.0, 2.0]))
        layer.axons.positions.copy_(torch.tensor([-3.0, 0.0, 2.0]).view(1, 3, 1, 1))
        layer.weights.weight.copy_(torch.eye(3))
        layer.axons.on_cells = True
    recur = layer.begin()
    arrived = [recur(torch.full((1, 3), float(t == 0))) for t in range(6)]
    # What is handed over for step t is added at step t + 1.
    times = torch.cat(arrived).argmax(0) + 1
    assert times.tolist() == [6, 3, 1]


def network(**changes) -> DelayNetwork:
    torch.manual_seed(0)
    options = dict(channels=6, classes=4, hidden=[5], kernel_size=7)
    return DelayNetwork(**{**options, **changes})


def rasters(count: int = 8, steps: int = 20) -> torch.Tensor:
    return (torch.rand(count, 6, steps) < 0.2).to(torch.uint8)


def test_without_delays_and_memory_the_direction_of_time_cannot_be_seen():
    x = rasters()
    blind = network(delays="none", tau=1.0).eval()
    torch.testing.assert_close(blind(x), blind(x.flip(-1)))
    for changes in (dict(tau=1.0), dict(delays="none", tau=5.0)):
        sees = network(**changes).eval()
        assert not torch.allclose(sees(x), sees(x.flip(-1)))


def test_every_layer_with_delays_makes_sequences_longer_by_half_a_kernel():
    assert network().potentials(rasters()).shape == (8, 4, 26)
    assert network(delays="none").potentials(rasters()).shape == (8, 4, 20)


@pytest.mark.parametrize("recurrent", RECURRENT)
@pytest.mark.parametrize("delays", KINDS)
def test_a_network_can_be_pickled(delays, recurrent):
    x, net = rasters(), network(delays=delays, recurrent=recurrent).eval()
    assert torch.equal(pickle.loads(pickle.dumps(net))(x), net(x))


def test_parameters_are_those_that_training_decides():
    assert learnable(network()) == 2 * (6 * 5 + 5 * 4) + 2 * 5
    assert learnable(network(delays="fixed")) == learnable(network(delays="none")) == 60
    counts = {name: arm for name, arm in DIGITS.items() if name in ("learned", "fixed", "none")}
    built = {}
    for name, arm in counts.items():
        options = dict(channels=32, classes=40, hidden=[32], kernel_size=15, tau=2.0)
        changes = {key[6:]: value for key, value in arm.changes.items() if key[:6] == "model."}
        built[name] = learnable(DelayNetwork(**{**options, **changes}))
    assert built == dict(learned=4672, fixed=4736, none=4736)


@pytest.mark.parametrize(
    "changes", [dict(delays="all"), dict(readout="first"), dict(recurrent="none")]
)
def test_what_a_network_cannot_be_is_told(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=f"{name}=.* must be one of"):
        network(**changes)


def test_true_delays_bring_all_spikes_of_a_class_together():
    offsets = offsets_of(3)
    assert recovered(20 - offsets, offsets) == 1
    assert recovered(20 - offsets + 1, offsets) == 1
    assert recovered(np.zeros_like(offsets), offsets) < 0.3
    inputs, labels = clips_of("training", 3)
    assert inputs.shape == (2000, CHANNELS, 60) and inputs.dtype == np.uint8
    delayed = np.zeros((2000, 80))
    for clip, label in enumerate(labels):
        for channel in range(CHANNELS):
            shift = 20 - offsets[label, channel]
            delayed[clip, shift : shift + 60] += inputs[clip, channel]
    together = np.lib.stride_tricks.sliding_window_view(delayed, 3, 1).sum(-1).max(1)
    assert 17 < together.mean() < 21
    # Of no class more spikes than of another.
    rates = [inputs[labels == label].mean((0, 2)) for label in range(10)]
    assert np.std(rates) < 0.004


def test_clips_of_a_task_are_always_the_same_and_parts_differ():
    for first, second in zip(clips_of("test", 1), clips_of("test", 1), strict=True):
        assert (first == second).all()
    assert (clips_of("training", 1)[0] != clips_of("test", 1)[0]).any()
    assert (offsets_of(1) != offsets_of(2)).any()
    assert len(Polychrony("validation")) == 1000
    with pytest.raises(ValueError, match="part='dev' must be one of training"):
        Polychrony("dev")


@pytest.fixture
def digits(tmp_path):
    random = np.random.default_rng(0)
    arrays = {}
    for part in prepare.PARTS:
        arrays[f"{part}_rasters"] = (random.random((6, 32, 40)) < 0.1).astype(np.uint8)
        arrays[f"{part}_labels"] = np.arange(6, dtype=np.uint8)
    path = tmp_path / "data/delays/digits.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **arrays)
    for part in prepare.PARTS:
        arrays[f"{part}_rasters"] = random.standard_normal((6, 12, 29)).astype(np.float32)
    np.savez(path.with_name("vowels.npz"), **arrays)
    return path


def test_a_clip_and_its_reverse_have_the_same_frames(digits):
    both = ReversedDigits(str(digits), "test", both=True)
    assert len(both) == 12
    batch = both.__getitems__(list(range(12)))
    assert torch.equal(batch["inputs"][6:], batch["inputs"][:6].flip(-1))
    assert batch["labels"].tolist() == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]
    np.random.seed(0)
    one = ReversedDigits(str(digits), "test", both=False)
    batch = one.__getitems__(list(range(6)) * 20)
    for raster, label in zip(batch["inputs"], batch["labels"], strict=True):
        plain = torch.from_numpy(one.rasters[label // 2])
        assert torch.equal(raster, plain.flip(-1) if label % 2 else plain)
    assert set(batch["labels"].tolist()) == set(range(12))
    with pytest.raises(InputError, match="prepare"):
        ReversedDigits("nowhere.npz", "test", both=True)


def test_a_band_fires_where_it_becomes_louder_or_softer():
    rate = 22050
    time = np.arange(int(0.6 * rate)) / rate
    tone = np.where((time > 0.2) & (time < 0.4), np.sin(2 * np.pi * 1000 * time), 0)
    raster = raster_of((tone * 20000).astype(np.int16), rate)
    assert raster.shape == (32, 40)
    rises, falls = raster[:16], raster[16:]
    band = rises.sum(1).argmax()
    # The tone begins in frame 13 and ends in frame 26.
    assert abs(rises[band].argmax() - 13) <= 1
    assert abs(len(falls[band]) - 1 - falls[band][::-1].argmax() - 26) <= 1


@pytest.mark.parametrize("name", [name for name in TABLES if TABLES[name].truth is None])
def test_cells_of_every_table_train(name, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "projects.delays.delays.polychrony.PARTS", dict(training=8, validation=8, test=40)
    )
    short = {"train_cfg.max_epochs": 2, "train_dataloader.batch_size": 4}
    cells = TABLES[name].cells(range(1))
    assert len({cell.arm for cell in cells}) == len(TABLES[name].arms)
    cells = [replace(cell, overrides={**cell.overrides, **short}) for cell in cells[:5]]
    outcome = run_cells(cells, tmp_path / "results", 0, train=train_delays)
    assert outcome.failed == []
    records = list(read_records(tmp_path / "results").values())
    assert len(records) == len(cells)
    assert all("learnable" in record["after"] for record in records)
    (page, *pictures) = report.write_report(tmp_path / "results")
    assert "| --- |" in page.read_text()
    assert len(pictures) == (name == "polychrony")


@pytest.mark.parametrize("name", [name for name in TABLES if TABLES[name].truth is not None])
def test_cells_of_known_truths_train(name, tmp_path):
    cells = [
        replace(cell, overrides={**cell.overrides, "train_cfg.max_iters": 3})
        for cell in TABLES[name].cells(range(2))
    ]
    outcome = run_cells(cells, tmp_path, 0, train=train_truth)
    assert outcome.failed == []
    for record in read_records(tmp_path).values():
        moved = record["before"]["delays"] != record["after"]["delays"]
        assert moved == (record["arm"] == "learned")
    (page,) = report.write_report(tmp_path)
    assert "fixed at random" in page.read_text()


@pytest.mark.parametrize(("hops", "within"), [([5], 0.3), ([3, 8], 0.3)], ids=str)
def test_positions_find_how_many_hops_away_the_class_is(hops, within):
    (cell,) = (cell for cell in TABLES["hops_5"].cells(range(1)) if cell.arm == "learned")
    record = train_truth(replace(cell, overrides={"train_dataloader.hops": hops}))
    assert record["after"]["delays"] == pytest.approx(hops, abs=within)
    assert record["test"]["accuracy"] > 98


def test_hops_are_the_shortest_ways():
    torch.manual_seed(0)
    whole = distances(4, 0.0)
    rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
    expected = (rows[:, None] - rows).abs() + (columns[:, None] - columns).abs()
    assert torch.equal(whole, expected)
    assert (distances(4, 1.0) == torch.eye(16).long() - 1).all()


def test_the_series_obeys_its_equation():
    series = mackey_glass(17, 400).double()
    assert series.min() > 0.2 and series.max() < 1.5 and series.std() > 0.15
    # By central differences, of a unit to either side.
    slope = (series[2:] - series[:-2]) / 2
    old, x = series[1 : 1 + len(slope) - 17], series[18 : 18 + len(slope) - 17]
    expected = 0.2 * old / (1 + old**10) - 0.1 * x
    assert (slope[17:] - expected).abs().mean() < 0.1 * slope.std()


def test_the_demo_draws_what_it_learned(tmp_path, monkeypatch, capsys):
    def short(cell):
        changes = {**cell.overrides, "train_cfg.max_epochs": 2}
        return train_delays(replace(cell, overrides=changes))

    monkeypatch.setattr("projects.delays.demo.train_delays", short)
    monkeypatch.setattr(
        "projects.delays.delays.polychrony.PARTS", dict(training=64, validation=8, test=40)
    )
    demo.main(["--out", str(tmp_path)])
    assert (tmp_path / "delays.png").stat().st_size > 10000
    assert "with 400 parameters" in capsys.readouterr().out


def test_fixed_delays_are_whole_and_stay_where_they_are():
    net = network(delays="fixed")
    owners = list(position_owners(net).values())
    assert len(owners) == 2 and all(owner.on_cells for owner in owners)
    assert not any(owner.positions.requires_grad for owner in owners)


def test_vowels_are_padded_and_some_of_each_speaker_are_for_validation():
    lines = [
        ":".join(
            [*[",".join([f"{12 * i + c}.5"] * (7 + i % 3)) for c in range(12)], str(i // 6 + 1)]
        )
        for i in range(12)
    ]
    text = "@classLabel true 1 2\n@data\n" + "\n".join(lines) + "\n"
    arrays = prepare_vowels.arrays_of(text, text)
    assert arrays["training_labels"].tolist() == [0, 1]
    assert arrays["validation_labels"].tolist() == [0] * 5 + [1] * 5
    assert arrays["test_rasters"].shape == (12, 12, 29)
    for index, series in enumerate(arrays["test_rasters"]):
        length = 7 + index % 3
        assert (series[:, :length] == 12 * index + np.arange(12)[:, None] + 0.5).all()
        assert (series[:, length:] == 0).all()


def test_a_file_that_is_no_wheel_is_told(tmp_path):
    path = tmp_path / "other.whl"
    path.write_text("{}")
    with pytest.raises(SystemExit, match=r"other.whl cannot be read .*; download espeakng-loader"):
        prepare.main(["--source", str(path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"other.whl has no .*; download aeon"):
        prepare_vowels.main(["--source", str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
