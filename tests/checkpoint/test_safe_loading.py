"""mmengine's checkpoints load with weights_only=True, and nothing more dangerous does."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader

import mmdcls  # noqa: F401  importing it is what is tested


def test_a_history_buffer_survives_the_round_trip(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 2])
    buffer.update(4.0, 3)
    torch.save(dict(buffer=buffer), tmp_path / "file.pth")
    loaded = torch.load(tmp_path / "file.pth", weights_only=True)["buffer"]
    assert loaded.current() == 4.0
    assert loaded.mean() == pytest.approx(buffer.mean())
    for mine, theirs in zip(loaded.data, buffer.data, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int32, np.bool_])
def test_numpy_scalars_of_a_log_load(tmp_path, kind):
    hub = MessageHub.get_instance(f"hub_{kind.__name__}")
    hub.update_info("value", kind(1))
    torch.save(hub.state_dict(), tmp_path / "file.pth")
    loaded = torch.load(tmp_path / "file.pth", weights_only=True)
    assert loaded["runtime_info"]["value"] == kind(1)


def test_the_names_stay_after_mmengine_loaded_a_file(tmp_path):
    torch.save(dict(buffer=HistoryBuffer([1.0], [1])), tmp_path / "file.pth")
    CheckpointLoader.load_checkpoint(str(tmp_path / "file.pth"))
    assert torch.load(tmp_path / "file.pth", weights_only=True)["buffer"].current() == 1.0


@pytest.mark.parametrize("knows", [True, False], ids=["this torch", "a torch without them"])
def test_mmengine_reads_safetensors(knows, tmp_path, monkeypatch):
    torch_files = pytest.importorskip("safetensors.torch")
    path = str(tmp_path / "file.safetensors")
    torch_files.save_file(dict(weight=torch.arange(3.0)), path)
    if not knows:
        monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read by torch"))
    loaded = CheckpointLoader.load_checkpoint(path, map_location="cpu")
    assert loaded["weight"].tolist() == [0, 1, 2]


class Reaches:
    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize(
    "owner, name",
    [
        (HistoryBuffer, "__init__"),
        (HistoryBuffer, "register_statistics"),
        (np.ndarray, "tofile"),
        (torch.Tensor, "numpy"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_getattr_is_granted_for_the_statistics_of_a_log_only(tmp_path, owner, name):
    torch.save(Reaches(owner, name), tmp_path / "file.pth")
    with pytest.raises(Exception, match=r"no Runner writes|Unsupported"):
        torch.load(tmp_path / "file.pth", weights_only=True)


class Runs:
    def __reduce__(self):
        return print, ("run on load",)


def test_code_in_a_checkpoint_is_still_refused(tmp_path, capsys):
    torch.save(Runs(), tmp_path / "file.pth")
    with pytest.raises(Exception, match="print"):
        torch.load(tmp_path / "file.pth", weights_only=True)
    assert "run on load" not in capsys.readouterr().out
