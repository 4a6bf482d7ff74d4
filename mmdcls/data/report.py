"""What `mmdcls check` prints."""

from collections.abc import Sequence

from .survey import SIZES, Survey


def report(name: str, seen: Survey, classes: Sequence[str]) -> str:
    """One split: its images, and how often each class is there."""
    head = f"{name}: {seen.images} images"
    if seen.sizes:
        most = [f"{h} x {w} ({count})" for (h, w), count in seen.sizes.most_common(SIZES)]
        rest = len(seen.sizes) - len(most)
        head += f" of {', '.join(most)}{f' and {rest} more sizes' if rest > 0 else ''}"
        head += f"; {', '.join(f'{mode} ({count})' for mode, count in seen.modes.most_common())}"
    if seen.turned:
        head += f"; {seen.turned} turned by their EXIF tag"
    lines = [head]
    for what, counts in (("objects", seen.objects), ("pixels", seen.pixels)):
        if counts:
            lines += table(what, counts, classes)
    return "\n".join(lines)


def table(what: str, counts: dict[int, int], classes: Sequence[str]) -> list[str]:
    names = {**dict(enumerate(classes)), **{k: f"({k})" for k in counts if k >= len(classes)}}
    if what == "pixels" and 255 in counts:
        names[255] = "no class"
    width, total = max(map(len, names.values())), sum(counts.values())
    return [
        f"  {label:{width}}  {counts.get(key, 0):>12,} {what}  {counts.get(key, 0) / total:7.2%}"
        for key, label in names.items()
    ]
