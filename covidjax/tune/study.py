"""The study in Optuna's storage: which trial is next, who runs it, and what became of it.

Several processes may work on one study. Under a lock of their folder they take a trial each; a
trial's own lock is held while it is trained. The kernel frees that lock when its process ends,
however it ends, so a trial that is `RUNNING` without it is lost: it is marked as failed, and its
parameters are tried again. A process with another folder (another machine) is judged by the time
since it was last seen.
"""

import re
import sys
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import filelock
import ml_collections
import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from covidjax import locking
from covidjax.tune.space import Space, suggest

SEEN_EVERY = 20.0  # seconds between two signs of life of a running trial
SILENT = 900.0  # seconds without one after which another machine's trial is lost
ATTEMPTS = 3  # a trial whose process dies so often is not tried again
UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)


class SeededSampler(optuna.samplers.BaseSampler):
    """TPE whose draws depend on the seed, the trial's number and the study so far.

    One generator for all trials would start anew with every process, and draw the same again.
    """

    def __init__(self, seed: int, startup: int) -> None:
        self.seed, self.startup = seed, startup
        self._latest: tuple[int, optuna.samplers.TPESampler] | None = None

    def _of(self, number: int) -> optuna.samplers.TPESampler:
        """The sampler of that trial, the same one for all of its parameters."""
        if self._latest is None or self._latest[0] != number:
            seed = int(np.random.SeedSequence([self.seed, number + 1]).generate_state(1)[0])
            # The liar: running trials of other workers count as bad, so nobody tries beside them.
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.startup, multivariate=True, constant_liar=True
            )
            self._latest = number, sampler
        return self._latest[1]

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, Any]:
        return self._of(trial.number).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        return self._of(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        sampler = self._of(trial.number)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


def make_pruner(name: str, evaluations: int, reduction: int) -> optuna.pruners.BasePruner:
    """The pruner `name`; a trial's resource is its share of the budget, in `evaluations` parts."""
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=reduction)
    return optuna.pruners.HyperbandPruner(
        min_resource=1, max_resource=evaluations, reduction_factor=reduction
    )


class Work:
    """A study as one process sees it."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        name: str,
        folder: Path,
        default: Mapping[str, Any],
    ) -> None:
        """Opens the study, and makes it, with the default as its first trial, where it is new.

        Args:
          config: of the tune experiment.
          name: of the study in its storage.
          folder: the workdir.
          default: Optuna parameter -> value.

        Raises:
          ValueError: the storage cannot be opened.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        tuner = config.tuner
        self.folder, self.total, self.default = folder, tuner.trials, dict(default)
        self.lock = filelock.FileLock(folder / ".study.lock")
        with self.lock:
            self.place = _token(folder / ".place")
            self.locks_work = _locks_work(folder / ".probe")
            self.study = optuna.create_study(
                storage=open_storage(tuner.storage, folder),
                study_name=name,
                direction="maximize",
                sampler=SeededSampler(config.seed, tuner.startup),
                pruner=make_pruner(tuner.pruner, config.evaluations, tuner.reduction),
                load_if_exists=True,
            )
            if not self.study.get_trials(deepcopy=False):
                self.study.enqueue_trial(self.default, user_attrs={"default": True})

    def trial_folder(self, number: int) -> Path:
        """Where a trial's files are."""
        return self.folder / "trials" / f"{number:04d}"

    @contextmanager
    def next_trial(self, space: Space) -> Iterator[tuple[optuna.Trial, dict[str, Any]] | None]:
        """Holds a new trial of the study, with its fields; None where all are taken."""
        with ExitStack() as held:
            with self.lock:
                self.revive()
                found = None
                if taken(self.study.get_trials(deepcopy=False)) < self.total:
                    trial = self.study.ask()
                    trial.set_user_attr("place", self.place)
                    folder = self.trial_folder(trial.number)
                    held.enter_context(locking.try_exclusive(folder / ".lock"))
                    held.enter_context(_signs_of_life(trial))
                    found = trial, suggest(trial, space)
            yield found

    def running(self) -> int:
        """How many trials are under way, in whatever process."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def over(self) -> int:
        """How many trials are over."""
        return len(counted(self.study.get_trials(deepcopy=False)))

    def best(self) -> FrozenTrial | None:
        """The complete trial with the highest figure, of equals the first; None without one."""
        ended = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max(ended, key=lambda t: (float(t.values[0]), -t.number), default=None)

    def revive(self) -> None:
        """Marks lost trials as failed and tries their parameters again. Needs the lock."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_lost(trial):
                self._again(trial, trial.user_attrs.get("attempt", 1) + 1)

    def give_back(self, number: int) -> None:
        """Of a running trial of ours that is stopped: the next process runs it."""
        with self.lock:
            trial = self.study.get_trials(deepcopy=False)[number]
            self._again(trial, trial.user_attrs.get("attempt", 1))

    def _again(self, trial: FrozenTrial, attempt: int) -> None:
        # In this order, and only if it is not there: a kill between the two loses nothing.
        known = retried(self.study.get_trials(deepcopy=False))
        if attempt <= ATTEMPTS and trial.number not in known:
            marks = {"retry_of": trial.number, "attempt": attempt}
            parameters = dict(trial.params)
            if trial.user_attrs.get("default"):  # a kill may have come before it had them
                marks, parameters = {**marks, "default": True}, self.default
            self.study.enqueue_trial(parameters, user_attrs=marks)
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        if trial.user_attrs.get("place") == self.place and self.locks_work:
            with locking.try_exclusive(self.trial_folder(trial.number) / ".lock") as free:
                return free
        started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        limit = SILENT if "place" in trial.user_attrs else 3 * SEEN_EVERY  # killed at its birth
        return time.time() - trial.user_attrs.get("seen", started) > limit


def open_storage(url: str, folder: Path) -> optuna.storages.RDBStorage:
    """The storage of that URL; for "" SQLite in the folder.

    Raises:
      ValueError: it cannot be opened; a password in the URL is not shown.
    """
    url = url or f"sqlite:///{(folder / 'study.db').absolute()}"
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else None
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=options)
    except Exception as error:  # whatever SQLAlchemy and the database's own driver raise
        reason = without_password(" ".join(str(error).split()))[:300]
        raise ValueError(
            f"config.tuner.storage={without_password(url)} cannot be opened: {reason}"
        ) from error


def without_password(text: str) -> str:
    """The text, with *** for the password of a URL in it."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


def retried(trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the lost trials, each of which has a later one in its place."""
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that are over, without the lost ones."""
    lost = retried(trials)
    return [t for t in trials if t.state not in UNFINISHED and t.number not in lost]


def taken(trials: Sequence[FrozenTrial]) -> int:
    """How many trials of the study are over or running."""
    lost = retried(trials)
    return sum(t.state != TrialState.WAITING and t.number not in lost for t in trials)


def reason(trial: FrozenTrial) -> str:
    """Why a trial failed or was pruned; "" for a complete one."""
    if trial.state == TrialState.COMPLETE:
        return ""
    attempt = trial.user_attrs.get("attempt", 1)
    return trial.user_attrs.get("reason") or f"its process died ({attempt} times)"


@contextmanager
def _signs_of_life(trial: optuna.Trial) -> Iterator[None]:
    """Says every 20 seconds, for other machines, that the trial is being trained."""
    over = Event()

    def tell() -> None:
        failed = ""
        while True:
            try:
                trial.set_user_attr("seen", time.time())
            except Exception as error:  # the storage's own kinds; the next time may go well
                if not failed:
                    failed = " ".join(str(error).split())[:200] or type(error).__name__
                    text = f"the study's storage does not answer ({failed}); it is tried again"
                    print(f"WARNING: trial {trial.number}: {text}", file=sys.stderr)
            if over.wait(SEEN_EVERY):
                return

    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _token(path: Path) -> str:
    """A name that no other folder has, made once."""
    if not path.exists():
        with locking.temporary(path) as file:
            file.write(uuid.uuid4().hex.encode())
    return path.read_text(encoding="utf-8")


def _locks_work(path: Path) -> bool:
    """Whether this file system's locks keep a second one out."""
    with locking.try_exclusive(path), locking.try_exclusive(path) as second:
        return not second
