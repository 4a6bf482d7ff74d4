import hashlib
from pathlib import Path

from mmdcls.errors import InputError


def check_sha256(path: Path, expected: str | None, source: str | Path) -> None:
    """Raises InputError where the file has another checksum; the file is called by its source."""
    if expected is None:
        return
    expected = expected.strip().lower().removeprefix("sha256:")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    found = digest.hexdigest()
    if found != expected:
        raise InputError(
            f"{source} has sha256 {found}, and not {expected}: it is damaged, or another file."
        )
