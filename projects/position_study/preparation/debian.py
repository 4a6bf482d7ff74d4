"""Packages of Debian as data: fetched and unpacked, not installed."""

import shutil
import subprocess
from pathlib import Path


def unpack(packages: list[str], folder: Path) -> Path:
    """Download the packages with apt and unpack them into the folder; exits with a sentence."""
    if missing := [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]:
        raise SystemExit(
            f"{' and '.join(missing)} is not there: unpack the Debian packages "
            f"{', '.join(packages)} elsewhere and give the folder as --source"
        )
    folder.mkdir(parents=True, exist_ok=True)
    print(f"downloading {', '.join(packages)}")
    fetched = subprocess.run(["apt-get", "download", "-qq", *packages], cwd=folder, check=False)
    archives = sorted(folder.glob("*.deb"))
    if fetched.returncode or len(archives) < len(packages):
        raise SystemExit(
            f"{', '.join(packages)} could not be downloaded: see apt's message above ('apt-get "
            f"update' may be due), or unpack them elsewhere and give the folder as --source"
        )
    for archive in archives:
        subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
    return folder
