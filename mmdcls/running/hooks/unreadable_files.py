from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmdcls.data.reading import FILES, NamingPipeline, fault_of, is_local, parts_of, watch
from mmdcls.dcls.arguments import check_choice, check_whole
from mmdcls.errors import InputError
from mmdcls.registry import HOOKS

POLICIES = ("stop", "skip")


@HOOKS.register_module()
class UnreadableFiles(Hook):
    """What training does with an image or a label map that cannot be read.

    policy: "stop" ends training with the name of the file, as `mmdcls train` does without this
        hook. "skip" takes another sample in its place, counts, and names new ones in the log; where
        more than half of a data set cannot be read, training ends. Validation and tests never skip.
    interval: iterations between two looks at the count; the last look is at the end of an epoch.
    """

    def __init__(self, policy: str = "stop", interval: int = 500) -> None:
        check_choice("policy", policy, POLICIES)
        check_whole("interval", interval, least=1)
        self.policy = policy
        self.interval = interval
        self.prepared = False
        self.named: set[str] = set()
        self.reported = 0

    def prepare(self, dataset: Dataset) -> None:
        """Set what a watched data set does; to be called before worker processes copy it."""
        self.prepared = True
        for part in parts_of(dataset):
            if self.policy == "skip":
                if not isinstance(getattr(part, "pipeline", None), NamingPipeline):
                    raise InputError(
                        f"mmdcls.UnreadableFiles cannot skip in {type(part).__name__}, which has "
                        f"no pipeline that loads its files; use policy='stop', or a data set of "
                        f"mmengine."
                    )
                part.pipeline.skip_in(len(part))

    def before_train(self, runner: Runner) -> None:
        if self.prepared:
            return
        loader = runner.train_dataloader
        if loader.num_workers and hasattr(runner.train_loop, "dataloader_iterator"):
            raise InputError(
                "mmdcls.UnreadableFiles comes too late for worker processes that run already; "
                "train by `mmdcls train`, or set train_dataloader.num_workers=0 and "
                "train_dataloader.persistent_workers=False."
            )
        watch(loader.dataset)
        self.prepare(loader.dataset)

    def after_train_iter(self, runner: Runner, batch_idx: int, *others, **results) -> None:
        if self.every_n_train_iters(runner, self.interval):
            self.report(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self.report(runner)

    def report(self, runner: Runner) -> None:
        total, new = 0, []
        for part in parts_of(runner.train_dataloader.dataset):
            skipped = getattr(getattr(part, "pipeline", None), "skipped", None)
            if skipped is None:
                continue
            total += int(skipped.sum())
            for index in skipped.nonzero().flatten().tolist():
                sample = part.get_data_info(index)
                paths = [sample.get(key) for key in FILES]
                new += [p for p in paths if is_local(p) and p not in self.named and fault_of(p)]
        if total > self.reported:
            self.reported = total
            self.named.update(new)
            names = f"; new since the last report: {', '.join(new)}" if new else ""
            runner.logger.warning(
                f"{total} samples were skipped so far, for {len(self.named)} files that cannot be "
                f"read{names}."
            )
