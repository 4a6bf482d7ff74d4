import pytest
import torch
from torch import nn

from mmdcls.dcls import Dcls2d
from mmdcls.study.measures import kernel_figures, outside_share, shapes_of_inputs


def test_the_share_of_a_kernel_outside_its_middle_by_hand():
    conv = nn.Conv2d(2, 2, 9, padding="same", groups=2)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 4, 4] = 3.0
        conv.weight[0, 0, 0, 4] = -1.0
        conv.weight[1, 0, 1, 7] = 5.0
    assert outside_share(conv).tolist() == [0.25, 0.0]


def test_dilation_carries_cells_outside():
    conv = nn.Conv2d(1, 1, 3, padding=4, dilation=4)
    nn.init.ones_(conv.weight)
    assert outside_share(conv).tolist() == pytest.approx([8 / 9])


def test_kernels_of_zeros_have_no_share():
    conv = nn.Conv2d(1, 1, 3)
    nn.init.zeros_(conv.weight)
    assert outside_share(conv).tolist() == []


def test_figures_of_elements_by_hand():
    layer = Dcls2d(1, 1, 17, padding=8, kernel_count=3)
    with torch.no_grad():
        layer.positions[:, 0, 0] = torch.tensor([[3.0, 0.0, 0.0], [4.0, 6.0, 6.4]])
        layer.weight[0, 0] = torch.tensor([1.0, 1.0, -2.0])
    figures = kernel_figures(nn.Sequential(layer, nn.Conv2d(1, 1, 4, stride=4)))
    assert figures["mean_distance"] == pytest.approx((5 + 6 + 6.4) / 3)
    assert figures["near_another"] == pytest.approx(2 / 3)
    assert figures["outside_7x7"] == 1.0


def test_a_network_without_elements_has_no_figures_of_them():
    assert set(kernel_figures(nn.Conv2d(1, 1, 9, padding=4))) == {"outside_7x7"}
    assert kernel_figures(nn.Linear(2, 2)) == {}


def test_the_first_tensor_that_a_module_is_called_with():
    net = nn.Linear(2, 2)
    with shapes_of_inputs(net) as shapes:
        net(torch.zeros(5, 2))
        net(torch.zeros(7, 2))
    net(torch.zeros(9, 2))
    assert shapes == [(5, 2)]
