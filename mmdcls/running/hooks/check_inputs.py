from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from mmdcls.checkpoint.fitting import is_stranger, misfits_of, refusal, weights_of
from mmdcls.checkpoint.load import is_foreign, weights_for
from mmdcls.checkpoint.resuming import KEY, check_optimizer, fault_of_layers, layers_of
from mmdcls.checkpoint.schedules import (
    refuse_equal_rates,
    warn_of_early_end,
    warn_of_kept_schedule,
)
from mmdcls.data.labels import (
    SeenLabels,
    all_are_ignored,
    are_of_binary_masks,
    check_labels,
)
from mmdcls.dcls.dense_loading import as_loaded
from mmdcls.errors import InputError
from mmdcls.registry import HOOKS
from mmdcls.wrapping import is_cut, unwrapped


@HOOKS.register_module()
class CheckInputs(Hook):
    """Refuse labels that the model has no class for, and checkpoints of another model.

    A checkpoint in a layout of others that is known (docs/weights.md) is turned into ours first.
    To resume or to test, all of the model must be in the checkpoint, with the kernel sizes and
    interpolations of its training; the auxiliary head and the same optimiser only to resume. For
    load_from in training, half of the backbone must be. Dense kernels are in it where loading turns
    them into elements (`mmdcls.Converted`), but to resume.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.incomplete: InputError | None = None
        self.seen = SeenLabels()
        self.warned: set[str] = set()
        self.worked = False  # whether an iteration of training or testing came to its end

    def before_run(self, runner: Runner) -> None:
        if is_cut(runner.model) and has_averages(runner):
            raise InputError(
                "EMAHook cannot copy a model that FSDP has cut up; take it out of custom_hooks, or "
                "train without FSDP."
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint.setdefault("meta", {})[KEY] = layers_of(unwrapped(runner.model))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = unwrapped(runner.model)
        file = runner._load_from or f"that was found in {runner.work_dir}"
        source = f"The checkpoint {file}"
        if not runner.cfg.get("resume") and is_foreign(model, checkpoint):
            if is_cut(runner.model):
                raise InputError(
                    f"{source} is in a layout of others, which FSDP does not load; turn it into "
                    f"ours with `mmdcls convert` first."
                )
            checkpoint["state_dict"], report = weights_for(model, checkpoint, file)
            runner.logger.info(str(report))
        given = weights_of(checkpoint)
        # A strategy may have cut the model up.
        wanted = getattr(runner, "model_state", None) or model.state_dict()
        if runner.cfg.get("resume"):
            if misfits_of(given, wanted):
                raise refusal(source, given, wanted, "resume with the config it was trained with")
            if "meta" not in checkpoint:
                raise InputError(
                    f"{source} holds weights only; use it as load_from, not to resume."
                )
            if "ema_state_dict" in checkpoint and not has_averages(runner):
                raise InputError(
                    f"{source} holds averages (EMAHook) as its weights, and the config has no "
                    f"EMAHook: training would go on from the averages; resume with it, or give the "
                    f"file as load_from."
                )
            check_optimizer(source, checkpoint, runner)
            warn_of_kept_schedule(f"the checkpoint {file}", checkpoint, runner)
        advice = "use it with the config it was trained with"
        given = as_loaded(model, given)
        if is_stranger(given, wanted):
            raise refusal(source, given, wanted, advice)
        if fault := fault_of_layers(source, checkpoint, model, advice):
            if runner.cfg.get("resume"):
                raise fault
            runner.logger.warning(str(fault))
            self.incomplete = fault
        needed = {k: v for k, v in wanted.items() if not k.startswith("auxiliary_head.")}
        if misfits_of(given, needed):
            advice = "test with the config it was trained with"
            self.incomplete = refusal(source, given, needed, advice)

    def before_train(self, runner: Runner) -> None:
        self.incomplete = None
        if runner.cfg.get("resume") and runner.iter >= runner.max_iters:
            runner.logger.warning(
                f"Nothing is left to train: the checkpoint is of iteration {runner.iter} of "
                f"{runner.max_iters}; to go on, make train_cfg longer, which leaves the schedule "
                f"as it was, or give the file as load_from to begin a new one."
            )
        else:
            warn_of_early_end(runner, bool(runner.cfg.get("resume")))
            refuse_equal_rates(runner)

    def before_val(self, runner: Runner) -> None:
        if self.incomplete:
            raise self.incomplete
        self.seen = SeenLabels()

    before_test = before_val

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        check_labels(runner.model, data_batch)
        if all_are_ignored(data_batch) and "nothing" not in self.warned:
            self.warned.add("nothing")
            runner.logger.warning(
                "In a batch every pixel is ignored (label 255): losses that are means over pixels, "
                "such as LovaszLoss, are nan for it in the log, and teach nothing."
            )

    def before_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        check_labels(runner.model, data_batch)
        self.seen.look(data_batch)

    before_test_iter = before_val_iter

    def after_val(self, runner: Runner) -> None:
        if are_of_binary_masks(self.seen.labels) and "binary" not in self.warned:
            self.warned.add("binary")
            runner.logger.warning(
                "No label map of the evaluation has a label other than 0 and 255, which is "
                "ignored; binary masks of 0 and 255 must be written as 0 and 1."
            )

    after_test = after_val

    def after_train_iter(self, runner: Runner, batch_idx: int, *others, **results) -> None:
        self.worked = True

    after_test_iter = after_train_iter


def has_averages(runner: Runner) -> bool:
    return any(isinstance(hook, EMAHook) for hook in runner.hooks)
