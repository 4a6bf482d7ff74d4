"""What the ways of a network's convolutions take, as a table to print."""

from collections.abc import Iterator, Sequence

from .profiling import PLAIN, Profile, Timing
from .report import aligned

HEAD = ("computation", "way", "ms", PLAIN)


def report(profiles: Sequence[Profile]) -> str:
    """A table for each convolution, and what all of them take together."""
    return "\n".join([*(section(profile) for profile in profiles), total(profiles)])


def section(profile: Profile) -> str:
    convolution = profile.convolution
    map_size, kernel_size = (
        " x ".join(map(str, size)) for size in (convolution.size, convolution.kernel_size)
    )
    stride, _, dilation = convolution.geometry
    walk = "".join(
        f", {name} {' x '.join(map(str, cells))}"
        for name, cells in dict(stride=stride, dilation=dilation).items()
        if max(cells) > 1
    )
    times = "once" if profile.count == 1 else f"{profile.count} times"
    what = f"{convolution.channels} channels, map {map_size}, kernel {kernel_size}{walk}"
    title = f"{what}: {times}\n"
    if profile.why_not:
        title += f"by the framework alone: {profile.why_not}\n"
    if not profile.computations:
        return title
    rows = list(rows_of(profile))
    lines = aligned([HEAD, *(row for row, _ in rows)]).splitlines()
    width = max(map(len, lines))
    notes = ["", *(note for _, note in rows)]
    return title + "".join(
        f"{line.ljust(width)}  {note}".rstrip() + "\n"
        for line, note in zip(lines, notes, strict=True)
    )


def rows_of(profile: Profile) -> Iterator[tuple[list[str], str]]:
    """The cells of each line, and what is said behind them."""
    for computation in profile.computations:
        name, plain = computation.name, computation.plain
        for way, timing in computation.ways.items():
            note = timing.why_not or ("chosen" if way == computation.chosen else "")
            yield [name, way, figure(timing), figure(plain)], note
            name, plain = "", Timing(None, "said above")


def figure(timing: Timing) -> str:
    return "" if timing.milliseconds is None else f"{timing.milliseconds:.2f}"


def total(profiles: Sequence[Profile]) -> str:
    """Of the chosen ways, where each has been timed."""
    ours, plain = 0.0, 0.0
    for profile in profiles:
        chosen = [one.ways[one.chosen] for one in profile.computations if one.chosen]
        timings = [*chosen, *(one.plain for one in profile.computations)]
        if not chosen or any(timing.milliseconds is None for timing in timings):
            return "no sum: not all that the layers take has been timed\n"
        ours += profile.count * sum(timing.milliseconds for timing in chosen)
        plain += profile.count * sum(one.plain.milliseconds for one in profile.computations)
    return f"all together, as often as met: {ours:.1f} ms as chosen, {plain:.1f} ms {PLAIN}\n"
