"""Cut the empty borders off a dense kernel."""

from torch import Tensor


def trimmed(
    kernel: Tensor, padding: tuple[int, ...] | str, dilation: tuple[int, ...]
) -> tuple[Tensor, tuple[int, ...] | str]:
    """The kernel without borders of zeros, and the padding with which it computes the same.

    kernel  (out, in/groups, *kernel_size)

    Of every axis, as many cells go from one end as from the other, no more than there is padding,
    and at least one stays. Only exact zeros are cut, so that no value changes: bilinear and
    triangle kernels lose the cells that no element reaches, Gaussian ones those that are too far
    from every element.
    """
    if padding == "valid":
        return kernel, padding
    used = kernel.detach() != 0
    sides = []
    for axis, size in enumerate(kernel.shape[2:]):
        cells = used.movedim(axis + 2, 0).flatten(1).any(1).nonzero().flatten().tolist()
        margin = min(cells[0], size - 1 - cells[-1]) if cells else size
        margin = min(margin, (size - 1) // 2)
        if padding != "same":
            margin = min(margin, padding[axis] // dilation[axis])
            sides.append(padding[axis] - margin * dilation[axis])
        kernel = kernel.narrow(axis + 2, margin, size - 2 * margin)
    return kernel, padding if padding == "same" else tuple(sides)
