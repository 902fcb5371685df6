"""Hyperparameter search: each trial trains a network of the target, validation alone judges it."""

import hashlib
import json
import math
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import ml_collections
from tqdm import tqdm

from covidjax.data import source
from covidjax.runs import workdir
from covidjax.runs.config import check as check_fields
from covidjax.runs.config import is_free
from covidjax.runs.flat import flatten
from covidjax.training.figures import NonFiniteError
from covidjax.training.signals import StoppedError
from covidjax.tune import space as tune_space
from covidjax.tune import target as tune_target

if TYPE_CHECKING:
    import optuna

    from covidjax.tune.study import Work

# What makes a trial a failed one, and not the end of the study: it cannot be trained like this.
FAILURES = (ValueError, FloatingPointError, MemoryError, jax.errors.JaxRuntimeError)
WAIT_SECONDS = 1.0  # between two looks at the trials of other workers


def run(config: ml_collections.ConfigDict, folder: Path) -> dict[str, Any]:
    """Runs trials until the study has as many as it is to have, then writes what came of it.

    Several processes may do so at once, with one folder or with one storage.

    Raises:
      ValueError and its kind: a config that cannot work, no Optuna, wrong data, a workdir of
        another run, or a study without a single complete trial.
      StoppedError: the trial under way is given back to the study.
    """
    check(config)
    try:
        from covidjax.tune import report as tune_report
        from covidjax.tune import study as tune_study
    except ModuleNotFoundError as error:
        if error.name not in ("optuna", "sqlalchemy"):
            raise
        raise ValueError(
            f"tuning needs {error.name}, which is not installed: pip install -e '.[tune]'"
        ) from error
    space = tune_space.searched(config)
    target = tune_target.prepare(config)
    if target.prepared.kind == "phantom":
        print(source.phantom_banner(), file=sys.stderr, flush=True)
    if target.note:
        print(f"Note: {target.note}.", file=sys.stderr, flush=True)
    config = resolved(config, target.prepared.kind)
    recorded = config.copy_and_resolve_references()
    recorded.tuner.storage = tune_study.without_password(config.tuner.storage)
    workdir.join(folder, recorded, target.prepared, target.split)
    fields = flatten(config.to_dict())
    default = {name: tune_space.as_parameter(fields[name]) for name in space}
    work = tune_study.Work(config, study_name(config, target), folder, default)
    print(f"Results go to {folder}", flush=True)
    with tqdm(
        total=config.tuner.trials, desc="Trials", disable=config.quiet, dynamic_ncols=True
    ) as bar:
        while True:
            with work.next_trial(space) as taken:
                _advance(bar, work, target)
                if taken is not None:
                    run_trial(work, config, target, *taken, bar)
                elif not work.running():
                    break
                else:  # of other workers; should one of them die, its trial becomes free
                    time.sleep(WAIT_SECONDS)
    return tune_report.write(work, config, target, space)


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError for what can be seen without the data: one line that names the field."""
    tuner = config.tuner
    check_fields(config)
    if tuner.target not in tune_target.TARGETS or tuner.space not in tune_space.SPACES:
        known = ", ".join(tune_target.TARGETS)
        raise ValueError(
            f"config.tuner.target={tuner.target!r}: give target= behind the colon, {known}"
        )
    tune_space.searched(config)


def resolved(config: ml_collections.ConfigDict, kind: str) -> ml_collections.ConfigDict:
    """A copy with the budget that data of that kind have."""
    config = config.copy_and_resolve_references()
    for budget in ("steps", "epochs"):
        if budget in config:
            config[budget] = config[budget] or config[f"auto_{budget}"][kind]
    return config


def study_name(config: ml_collections.ConfigDict, target: tune_target.Target) -> str:
    """One name for all workers of the study, and another for any other study in the storage."""
    fields = flatten(json.loads(config.to_json()))
    # What is measured after the training is part of the name, as it has always been.
    measured = ("classifier", "evaluate.")
    same = {n: v for n, v in fields.items() if not is_free(n) or n.startswith(measured)}
    text = json.dumps([same, target.prepared.fingerprint, target.split], sort_keys=True)
    return f"covidjax-{config.tuner.space}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def run_trial(
    work: "Work",
    config: ml_collections.ConfigDict,
    target: tune_target.Target,
    trial: "optuna.Trial",
    fields: dict[str, Any],
    bar: tqdm,
) -> None:
    """Trains one trial and tells the study: complete, pruned, or failed with its reason."""
    import optuna

    from covidjax.tune import report as tune_report

    states = optuna.trial.TrialState
    folder = work.trial_folder(trial.number)
    default = bool(trial.user_attrs.get("default"))
    before = time.time(), time.process_time()

    def report(share: float, value: float) -> None:
        bar.set_postfix_str(f"trial {trial.number}: {value:.4f} at {share:.0%}; {_best(work)}")
        if not math.isfinite(value):
            raise NonFiniteError(f"validation {target.monitor} is {value} at {share:.0%}")
        # Rungs are shares of the budget, not steps: the batch size is searched too.
        part = config.evaluations if share >= 1 else max(1, int(share * config.evaluations))
        trial.report(value, part)
        # The default competes, but goes to its end, for the best is compared with it.
        if share < 1 and trial.should_prune() and not default:
            raise optuna.TrialPruned(f"pruned at {share:.0%} of its budget")

    value: float | None = None
    try:
        outcome = target.train(fields, folder, report)
        state, value = states.COMPLETE, outcome.value
        trial.set_user_attr("parameters", outcome.parameters)
    except optuna.TrialPruned as pruned:
        state = states.PRUNED
        trial.set_user_attr("reason", str(pruned))
    except FAILURES as error:
        state = states.FAIL
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        trial.set_user_attr("reason", reason)
        tqdm.write(f"Trial {trial.number} failed. {reason}", file=sys.stderr)
    except StoppedError:
        work.give_back(trial.number)
        raise
    finally:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        jax.clear_caches()  # each trial is another network
    trial.set_user_attr("seconds", round(time.time() - before[0], 2))
    trial.set_user_attr("cpu_seconds", round(time.process_time() - before[1], 2))
    work.study.tell(trial, value, state=state, skip_if_finished=True)
    tune_report.write_trial(work, target, trial.number, fields)
    if state == states.COMPLETE:
        tune_report.write_best_config(work, config)


def _advance(bar: tqdm, work: "Work", target: tune_target.Target) -> None:
    bar.n = work.over()
    bar.set_postfix_str(_best(work))


def _best(work: "Work") -> str:
    best = work.best()
    return f"best {best.value:.4f} of trial {best.number}" if best else "no complete trial yet"
