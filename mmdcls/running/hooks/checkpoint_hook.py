import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from mmengine._strategy import BaseStrategy, SingleDeviceStrategy
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as MmengineCheckpointHook
from mmengine.runner import Runner

from mmdcls.checkpoint.fitting import misfits_of, refusal, weights_of
from mmdcls.checkpoint.whole import (
    MARKER,
    is_same,
    newest_whole,
    part_of,
    put_in_place,
    remove_parts,
    write_whole,
)
from mmdcls.dcls.arguments import check_flag, check_text, check_whole
from mmdcls.errors import InputError
from mmdcls.registry import HOOKS
from mmdcls.wrapping import unwrapped

# Its last parameter stands for options that no runner takes.
OPTIONS = {
    name: parameter
    for name, parameter in signature(MmengineCheckpointHook).parameters.items()
    if parameter.kind is not Parameter.VAR_KEYWORD
}


def check_texts(name: str, value: object) -> None:
    for text in value if isinstance(value, (list, tuple)) else [value]:
        if text is not None:
            check_text(name, text, "or a list of texts, or None")


class LateRemoval:
    """A file backend that removes when it is told to, and not what was written meanwhile."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._removals: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._removals[path] = self._backend.remove

    def rmtree(self, path: str) -> None:
        self._removals[path] = self._backend.rmtree

    def remove_now(self, written: set[str]) -> None:
        for path, removal in self._removals.items():
            if path not in written:
                removal(path)


class WholeSaves:
    """A runner to its checkpoint hook, whose files get their names when they are whole."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.written: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def save_checkpoint(self, out_dir: str, filename: str, *arguments, **options) -> None:
        path = Path(out_dir) / filename
        self.written.add(os.path.join(out_dir, filename))
        try:
            self._runner.save_checkpoint(out_dir, part_of(path).name, *arguments, **options)
            if is_main_process():
                put_in_place(path)
        finally:
            if is_main_process():
                part_of(path).unlink(missing_ok=True)


@HOOKS.register_module()
class CheckpointHook(MmengineCheckpointHook):
    """mmengine's CheckpointHook, with its arguments, for a run that may be killed at any moment.

    A checkpoint is written beside its place and renamed when all of it is on the disk. An older one
    is removed after that, so there is room needed for one more than max_keep_ckpts. To resume, the
    newest checkpoint that is whole and of this model is taken. Remote backends, and strategies that
    write a folder, save as in mmengine.

    Raises InputError when a checkpoint cannot be written, and when all to resume from are of
    another model; ValueError for options, of which mmengine would find some wrong only when it
    saves.
    """

    def __init__(self, **options) -> None:
        if unknown := [name for name in options if name not in OPTIONS]:
            raise ValueError(
                f"mmdcls.CheckpointHook has no option {unknown[0]!r}; it has {', '.join(OPTIONS)}"
            )
        given = {name: options.get(name, OPTIONS[name].default) for name in OPTIONS}
        for name, least in dict(interval=-1, max_keep_ckpts=-1, save_begin=0).items():
            check_whole(name, given[name], least)
        for name in ("by_epoch", "save_optimizer", "save_param_scheduler", "save_last"):
            check_flag(name, given[name])
        for name in ("save_best", "rule", "published_keys"):
            check_texts(name, given[name])
        if given["out_dir"] is not None:
            check_text("out_dir", str(given["out_dir"]) or None, "the path of a folder")
        template = given["filename_tmpl"]
        if template is not None and not (isinstance(template, str) and template.count("{}") == 1):
            raise ValueError(
                f"filename_tmpl={template!r} must be text with one {{}} for the number of the step"
            )
        super().__init__(**options)

    def before_run(self, runner: Runner) -> None:
        if runner._resume is True and runner._load_from is None and is_local(runner.work_dir):
            runner._load_from = self._choose(runner)

    def _choose(self, runner: Runner) -> str | None:
        strangers = []

        def check(path: Path, content: Mapping) -> None:
            if "meta" not in content:
                raise ValueError("holds weights only")
            # A strategy may have cut the model up.
            wanted = getattr(runner, "model_state", None) or unwrapped(runner.model).state_dict()
            given = weights_of(content)
            if misfits_of(given, wanted):
                source, advice = f"The checkpoint {path}", "resume with the config of its training"
                strangers.append(refusal(source, given, wanted, advice))
                raise ValueError("is of another model")

        work_dir = Path(runner.work_dir)
        # As mmengine makes it of the option, once training begins.
        out_dir = Path(self.out_dir or work_dir.parent, work_dir.name)
        path, passed_over = newest_whole(work_dir, self.filename_tmpl, check, out_dir)
        if path is None and strangers:
            raise strangers[0]
        for other, fault in passed_over.items():
            runner.logger.warning(f"The checkpoint {other} is passed over: it {fault}.")
        if path is None:
            # mmengine would follow the mark.
            runner._resume = False
            runner.logger.warning(
                f"There is no checkpoint to resume from in {runner.work_dir}: training starts from "
                f"the beginning."
            )
        elif not any(is_same(path.parent, folder) for folder in (work_dir, out_dir)):
            runner.logger.warning(
                f"There is no checkpoint in {work_dir}: training goes on from {path}, in the "
                f"folder that its {MARKER} names."
            )
        return None if path is None else str(path)

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._keep_to_out_dir()
        strategy = getattr(runner, "strategy", None)
        self.whole = (
            is_local(self.out_dir)
            and not self.backend_args
            and not self.file_client_args
            and (strategy is None or writes_a_file(strategy))
        )
        if self.whole and is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                remove_parts(Path(folder))

    def _keep_to_out_dir(self) -> None:
        """A new best checkpoint replaces the one before, unless that is of the run we come from."""

        def own(path: str | None) -> str | None:
            return path and os.path.join(self.out_dir, os.path.basename(path))

        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = own(self.best_ckpt_path)
        elif self.save_best is not None:
            paths = self.best_ckpt_path_dict
            self.best_ckpt_path_dict = {name: own(path) for name, path in paths.items()}

    @contextmanager
    def _careful(self, runner: Runner) -> Iterator[WholeSaves]:
        """The runner with saves that appear whole; what they replace goes when they are there."""
        backend, self.file_backend = self.file_backend, LateRemoval(self.file_backend)
        saves = WholeSaves(runner)
        try:
            yield saves
            self.file_backend.remove_now(saves.written)
        except OSError as error:
            folder, out_dir = Path(runner.work_dir), Path(self.out_dir)
            last = newest_whole(folder, self.filename_tmpl, out_dir=out_dir)[0]
            kept = f"the last whole one, {last}, is kept" if last else "there is none before it"
            raise InputError(
                f"A checkpoint could not be written to {self.out_dir} ({error.strerror or error}); "
                f"{kept}; make room or give another work dir, and train on with --resume."
            ) from error
        finally:
            self.file_backend = backend

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if not self.whole:
            super()._save_checkpoint_with_step(runner, step, meta)
        elif isinstance(runner, WholeSaves):  # once more, after a new best one
            self._save_step(runner, step, meta)
        else:
            with self._careful(runner) as saves:
                self._save_step(saves, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.whole or not self.save_best:
            super()._save_best_checkpoint(runner, metrics)
        else:
            with self._careful(runner) as saves:
                super()._save_best_checkpoint(saves, metrics)

    def _save_step(self, runner: WholeSaves, step: int, meta: dict) -> None:
        """As in mmengine, but for the order: save, mark, and only then remove."""
        name = self.filename_tmpl.format(step)
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                self._remove(self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        self.last_ckpt = os.path.join(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args,
        )
        if is_main_process():
            write_whole(Path(runner.work_dir) / MARKER, self.last_ckpt)

    def _remove(self, name: str) -> None:
        path = os.path.join(self.out_dir, name)
        if is_main_process() and os.path.isfile(path):
            self.file_backend.remove(path)


def writes_a_file(strategy: BaseStrategy) -> bool:
    """Where a strategy does not, it writes a folder, each process its share."""
    is_full = getattr(strategy, "_is_full_state_dict", None)
    return is_full() if is_full else isinstance(strategy, SingleDeviceStrategy)


def is_local(path: str) -> bool:
    return "://" not in path
