"""Where a run writes before its first iteration, and how a refused one takes that back."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

from mmdcls.config import nodes
from mmdcls.errors import InputError

VISUALIZER = "visualizer.save_dir"


class Traces:
    """What a run makes, apart from what other processes write into the same folders meanwhile."""

    def __init__(self, cfg: Config) -> None:
        self.folders = folders_of(cfg)
        self.work_dir = self.folders["work_dir"].absolute()
        self.others = set(self.work_dir.iterdir()) if self.work_dir.is_dir() else set()
        self.made = [self.work_dir / Path(cfg.filename).name] if cfg.filename else []
        if VISUALIZER in self.folders:
            self.made.append(self.folders[VISUALIZER] / "vis_data")
        self.made = [path for path in self.made if not path.exists()]
        lines = {part for folder in self.folders.values() for part in (folder, *folder.parents)}
        self.made_folders = [folder for folder in lines if not folder.exists()]

    def check(self) -> None:
        """Raises InputError where a folder cannot be made, for a file has its name."""
        for where, folder in self.folders.items():
            for part in (folder, *folder.parents):
                if part.exists() and not part.is_dir():
                    raise InputError(
                        f"{where}={str(folder)!r} cannot be a folder, for {part} is a file; name "
                        f"another folder."
                    )

    def remove(self) -> None:
        for path in (*self.made, *self.log_folders()):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()
        for folder in sorted(self.made_folders, reverse=True):
            # One that is not empty is somebody else's as well.
            with suppress(OSError):
                folder.rmdir()

    def log_folders(self) -> set[Path]:
        """The Runner's own folder, which bears the time of its start, and holds its log."""
        handlers = MMLogger.get_current_instance().handlers
        files = [h.baseFilename for h in handlers if isinstance(h, logging.FileHandler)]
        folders = {Path(file).parent for file in files}
        return {folder for folder in folders - self.others if folder.parent == self.work_dir}


def folders_of(cfg: Config) -> dict[str, Path]:
    """The folders that are made, by their keys in the config."""
    given = {"work_dir": cfg.work_dir, VISUALIZER: (cfg.get("visualizer") or {}).get("save_dir")}
    for writers in ("val_evaluator", "test_evaluator", "custom_hooks"):
        for path, node in nodes(writers, cfg.get(writers)):
            given[f"{path}.output_dir"] = node.get("output_dir")
            if file := node.get("out_file_path"):
                given[f"folder of {path}.out_file_path"] = Path(file).parent
    return {where: Path(folder) for where, folder in given.items() if folder}
