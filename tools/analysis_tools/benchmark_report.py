"""What the benchmark found: ratios with what is aimed at, a page of tables, two pictures."""

from pathlib import Path
from statistics import median

import matplotlib
from benchmark_peers import FORMATS, GAUSSIAN, LARGE, OURS, PLAIN, PUBLISHED
from matplotlib.figure import Figure

matplotlib.use("Agg")


def faster_format(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Of plain peers that were run in both memory formats, the faster, under the peer's name.

    The published code hands its layers NCHW maps: it is shown as it is, and in the other format.
    """
    best = {}
    for name, values in seconds.items():
        peer, _, memory_format = name.rpartition(", ")
        chosen = memory_format in FORMATS and not peer.startswith("dcls")
        key = peer if chosen else name
        if key not in best or median(values) < median(best[key]):
            best[key] = values
    return best


def best_memory(memory: dict[str, float]) -> dict[str, float]:
    return {
        name: value[0] for name, value in faster_format({k: [v] for k, v in memory.items()}).items()
    }


def ratios(result: dict) -> list[tuple[str, float, str]]:
    """What, how many times, and what is aimed at."""
    step, look = (
        {k: median(v) for k, v in result[t].items()} for t in ("training step", "inference")
    )
    build = {name: median(values) for name, values in result["construction"].items()}
    ops = {
        int(size): {name: median(values) for name, values in table.items()}
        for size, table in result["convolutions"].items()
    }
    memory = best_memory(result["memory"])

    def beside(times: dict[str, float], how: str) -> float:
        return times[f"ours, {how}"] / times[f"{PLAIN}, {how}"]

    def published(of: str, times: dict[str, float], aims: dict[str, str]) -> list[tuple]:
        return [
            (
                f"{of}: dcls {version}, {format_} / ours",
                times[f"dcls {version}, {format_}"] / times[OURS],
                aims.get(version, "") if format_ == "NCHW" else "",
            )
            for version in PUBLISHED
            for format_ in FORMATS
        ]

    rows = [
        (
            "kernel construction: dcls gauss / ours",
            build["dcls gauss"] / build["ours, gaussian"],
            "50 or more",
        ),
        (
            "kernel construction: dcls v1 / ours",
            build["dcls v1"] / build["ours, bilinear_normalized"],
            "15 or more",
        ),
        ("17x17 convolution: F.conv2d / ours", ops[17]["F.conv2d"] / ops[17]["ours"], "10 or more"),
        ("convolution of ours: 51x51 / 7x7", ops[51]["ours"] / ops[7]["ours"], "6 or less"),
        ("training step: ours / plain 7x7", step[OURS] / step[PLAIN], "1.00 or less"),
        *published(
            "training step", step, dict(v0="4.5 or more", gauss="12 or more", v1="16 or more")
        ),
        (
            "training step: ours, gaussian 23x23/26 / bilinear 17x17/34",
            step[GAUSSIAN] / step[OURS],
            "1.10 or less",
        ),
        (
            "training step: ours / lower bound",
            step[OURS] / result["bound"]["seconds"],
            "1.5 or less",
        ),
        ("training step: float32 / bfloat16", step[OURS] / step["ours, bfloat16"], "2 or more"),
        ("training step, bfloat16: ours / plain 7x7", beside(step, "bfloat16"), ""),
        ("inference: ours / plain 7x7", look[OURS] / look[PLAIN], "1.05 or less"),
        *published("inference", look, dict(v0="5 or more", gauss="18 or more")),
        ("inference: plain 17x17 / plain 7x7", look[LARGE] / look[PLAIN], ""),
        ("inference: float32 / bfloat16", look[OURS] / look["ours, bfloat16"], "2 or more"),
        ("inference, bfloat16: ours / plain 7x7", beside(look, "bfloat16"), ""),
        (
            "peak memory of a step: ours / dcls gauss, NCHW",
            memory[OURS] / memory["dcls gauss, NCHW"],
            "0.40 or less",
        ),
        ("peak memory of a step: ours / plain 7x7", memory[OURS] / memory[PLAIN], "1.10 or less"),
    ]
    if "ours, compiled" in step:
        rows += [
            ("training step: eager / compiled", step[OURS] / step["ours, compiled"], ""),
            ("training step, compiled: ours / plain 7x7", beside(step, "compiled"), ""),
            ("inference: eager / compiled", look[OURS] / look["ours, compiled"], ""),
            ("inference, compiled: ours / plain 7x7", beside(look, "compiled"), ""),
        ]
    return rows


def spans(seconds: dict[str, list[float]]) -> list[str]:
    rows = ["| | ms | runs |", "|---|---|---|"]
    for name, values in seconds.items():
        low, middle, high = (1e3 * f(values) for f in (min, median, max))
        rows.append(f"| {name} | {middle:.1f} ({low:.1f} to {high:.1f}) | {len(values)} |")
    return rows


def report(result: dict) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"Made by `make bench` on {result['date']}: "
        + ", ".join(f"{key} {value}" for key, value in result["machine"].items())
        + ".",
        "",
    ]
    lines += [
        f"Backbone: {result['backbone']}, float32 unless said. Convolution alone: "
        f"{result['convolution']}, values and all gradients. A training step is the forward and "
        "the backward pass. The published layers are shown with NCHW maps, as the published models "
        "hand them, and with channels_last maps; other peers in their faster memory format. "
        "Everything in a table was run in turns in one process; times are medians with the fastest "
        "and the slowest run. Elements are spread over the whole kernel. "
        "Compiled, LayerNorm and GELU are one with their neighbours, for both peers. "
        "Denormals are flushed to zero for all: GELU's gradient is several times slower where it "
        "meets some.",
        "",
        "| ratio | measured | aim |",
        "|---|---|---|",
        *(f"| {what} | {value:.2f} | {aim} |" for what, value, aim in ratios(result)),
        "",
        "![time against kernel size](./images/benchmark_kernel_size.png)",
        "",
        "![where a step's time goes](./images/benchmark_parts.png)",
        "",
    ]
    for title in ("training step", "inference", "construction"):
        lines += [f"## {title.capitalize()}", "", *spans(result[title]), ""]
    lines += [
        "## Convolution alone",
        "",
        "Ours is the operator, our layer the operator and the construction of its kernel.",
        "",
    ]
    for size, table in result["convolutions"].items():
        lines += [f"{size}x{size}", "", *spans(table), ""]
    lines += [
        "## Peak memory of two training steps in a fresh process",
        "",
        "| | MB |",
        "|---|---|",
    ]
    lines += [f"| {name} | {value:.0f} |" for name, value in result["memory"].items()]
    bound = result["bound"]
    lines += [
        "",
        "## Lower bound",
        "",
        (
            f"{bound['operations'] / 1e9:.0f} GFLOP, depthwise convolutions included, at the "
            f"{bound['speed'] / 1e9:.0f} GFLOP/s of the fastest matrix product of the backbone's "
            f"shapes: {1e3 * bound['seconds']:.0f} ms."
        ),
    ]
    return "\n".join(lines) + "\n"


LABELS = {"ours": "our operator", "our layer": "our layer: operator and kernel construction"}


def draw(result: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel="kernel size", ylabel="ms, values and gradients", yscale="log")
    tables = result["convolutions"]
    for name in next(iter(tables.values())):
        times = [1e3 * median(table[name]) for table in tables.values()]
        axes.plot([int(size) for size in tables], times, marker="o", label=LABELS.get(name, name))
    axes.set_xticks([int(size) for size in tables])
    axes.set_title(f"depthwise convolution of {result['convolution']}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(folder / "benchmark_kernel_size.png", dpi=110)
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.add_subplot(xlabel="ms")
    for row, parts in enumerate(result["parts"].values()):
        start = 0.0
        for index, (part, time_) in enumerate(parts.items()):
            label = part if row == 0 else None
            axes.barh(row, time_, left=start, color=f"C{index}", label=label)
            start += time_
    axes.set_yticks(range(len(result["parts"])), list(result["parts"]))
    axes.set_title("where a training step's time goes")
    figure.legend(loc="outside right center", fontsize=8)
    figure.savefig(folder / "benchmark_parts.png", dpi=110)
