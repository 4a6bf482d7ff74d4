"""What `mmdcls check` prints."""

from collections.abc import Sequence

from .labels import IGNORED
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
    if doubt := doubts(seen.pixels, len(classes)):
        lines.append(f"  {doubt}")
    return "\n".join(lines)


def doubts(pixels: dict[int, int], classes: int) -> str | None:
    """A sentence where labels look like those of another list of classes.

    No error: labels may be sparse, and of few classes.
    """
    empty = classes - sum(label < classes for label in pixels)
    if 4 * pixels.get(IGNORED, 0) <= 3 * sum(pixels.values()) or 2 * empty <= classes:
        return None
    return (
        f"most pixels have no class, and {empty} of {classes} classes no pixel: if that is not "
        f"meant, metainfo, reduce_zero_label and num_classes are those of other data"
    )


def table(what: str, counts: dict[int, int], classes: Sequence[str]) -> list[str]:
    names = {**dict(enumerate(classes)), **{k: f"({k})" for k in counts if k >= len(classes)}}
    if what == "pixels" and IGNORED in counts:
        names[IGNORED] = "no class"
    width, total = max(map(len, names.values())), sum(counts.values())
    return [
        f"  {label:{width}}  {counts.get(key, 0):>12,} {what}  {counts.get(key, 0) / total:7.2%}"
        for key, label in names.items()
    ]
