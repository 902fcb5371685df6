"""The files of a study: a line and a folder a trial, the best as a config, results and figures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from covidjax.locking import temporary
from covidjax.runs import results
from covidjax.tune import study as tune_study
from covidjax.tune.space import Space, as_fields, as_parameter, changed, table
from covidjax.tune.target import Target

FEWEST_FOR_IMPORTANCE = 4  # trials
NAMES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
OPTIMISTIC = "the best was chosen by this figure, so it is optimistic; the default's is not"


def write(
    work: tune_study.Work, config: ml_collections.ConfigDict, target: Target, space: Space
) -> dict[str, Any]:
    """Writes `trials.csv`, the figures, `best_config.json` and, last, `results.json`.

    Raises:
      ValueError: no trial of the study is complete.
    """
    path = work.folder / "results.json"
    with work.lock:
        trials = tune_study.counted(work.study.get_trials())
        if path.exists() and results.read_results(work.folder)["trials"]["total"] == len(trials):
            print(f"{work.folder} is finished: see {path}")
            return results.read_results(work.folder)
        best = work.best()
        if best is None:
            reasons = "; ".join(sorted({tune_study.reason(trial) for trial in trials}))
            raise ValueError(f"none of {len(trials)} trials was completed: {reasons[:600]}")
        found = gather(best, config, target, trials, space)
        _write_table(work.folder / "trials.csv", target, trials, space)
        _write_figures(work.folder / "figures", config, target, trials, found, space)
        write_best_config(work, config)
        results.write_results(path, found)
    print(f"{summary(found)}\nFigures, trials.csv and best_config.json are in {work.folder}")
    return results.read_results(work.folder)


def gather(
    best: FrozenTrial,
    config: ml_collections.ConfigDict,
    target: Target,
    trials: Sequence[FrozenTrial],
    space: Space,
) -> dict[str, Any]:
    """What `results.json` holds."""
    from covidjax.tune.figures import front  # and with it matplotlib, at the end only

    default = next((t for t in trials if t.user_attrs.get("default")), None)
    figures = {"best": best.value, "default": default.value if default else None}
    if best.value is not None and default is not None and default.value is not None:
        figures["gain"] = best.value - default.value
    states = [NAMES[trial.state] for trial in trials]
    phantom = target.prepared.kind == "phantom"
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return {
        "experiment": "tune",
        "task": target.task,
        "data": target.prepared.kind,
        **({"warning": results.PHANTOM_WARNING} if phantom else {}),
        "seed": config.seed,
        "seconds": round(sum(t.user_attrs.get("seconds", 0.0) for t in trials), 1),
        "splits": {
            "validation": {
                f"{name}/{target.monitor}": {"value": value, "ci95": None, "n": target.images}
                for name, value in figures.items()
            }
        },
        "optimistic": OPTIMISTIC,
        "note": target.note,
        "target": config.tuner.config,
        "command": _command(config),
        "budget": target.budget,
        "trials": {"total": len(trials), **{n: states.count(n) for n in NAMES.values()}},
        "best": described(best, space),
        "default": described(default, space) if default else None,
        "failures": {
            str(t.number): tune_study.reason(t) for t in trials if t.state == TrialState.FAIL
        },
        "importances": importances(trials, space, config.seed),
        "pareto": {
            name: [complete[i].number for i in front(_costs(complete, name), _values(complete))]
            for name in ("parameters", "cpu_seconds", "seconds")
        },
    }


def described(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """A trial in words and numbers."""
    known = trial.user_attrs
    return {
        "number": trial.number,
        "state": NAMES[trial.state],
        "value": trial.value,
        "reason": tune_study.reason(trial),
        "fields": as_fields(trial.params, space),
        **{name: known.get(name) for name in ("parameters", "seconds", "cpu_seconds")},
        **{name: known[name] for name in ("default", "retry_of", "attempt") if name in known},
    }


def write_trial(
    work: tune_study.Work, target: Target, number: int, fields: Mapping[str, Any]
) -> None:
    """Writes `trial.json` into a trial's folder, beside its `metrics.jsonl`."""
    trial = work.study.get_trials(deepcopy=False)[number]
    phantom = target.prepared.kind == "phantom"
    found = {
        "data": target.prepared.kind,
        **({"warning": results.PHANTOM_WARNING} if phantom else {}),
        **described(trial, {}),
        "fields": dict(fields),
    }
    results.write_results(work.trial_folder(number) / "trial.json", found)


def write_best_config(work: tune_study.Work, config: ml_collections.ConfigDict) -> None:
    """Writes `best_config.json`: the fields in which the best so far is no default."""
    rows = table(config)
    best = work.best()
    if best is not None:
        fields = changed(config, as_fields(best.params, rows), rows)
        results.write_results(work.folder / "best_config.json", fields)


def importances(
    trials: Sequence[FrozenTrial], space: Space, seed: int
) -> dict[str, dict[str, Any]]:
    """fANOVA's shares of the variance (Hutter et al. 2014), of two figures.

    `complete`: the final figure of the trials that were not pruned, which are the better ones.
    `first`: the figure after the first part of the budget, of all trials that got so far. Empty
    where there are too few trials or all have one figure.
    """
    ended = {t.number: t.value for t in trials if t.state == TrialState.COMPLETE}
    first = {
        t.number: t.intermediate_values[min(t.intermediate_values)]
        for t in trials
        if t.intermediate_values
    }
    found = {}
    for name, values in (("complete", ended), ("first", first)):
        study = judged_by(trials, values, space)
        known = study.get_trials(deepcopy=False)
        shares: dict[str, float] = {}
        if len(known) >= FEWEST_FOR_IMPORTANCE and len({t.value for t in known}) > 1:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
            shares = dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
        found[name] = {"n": len(known), "shares": shares}
    return found


def judged_by(
    trials: Sequence[FrozenTrial], values: Mapping[int, float | None], space: Space
) -> optuna.Study:
    """A study in memory of the trials that have a value, a number each, and all searched fields."""
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        if trial.number in values and trial.distributions.keys() == space.keys():
            study.add_trial(
                optuna.trial.create_trial(
                    params=trial.params,
                    distributions=trial.distributions,
                    value=values[trial.number],
                )
            )
    return study


def summary(found: Mapping[str, Any]) -> str:
    """Some lines: how many trials, the best beside the default, and what to do with it."""
    lines = [results.PHANTOM_WARNING] if "warning" in found else []
    counts = ", ".join(f"{n} {name}" for name, n in found["trials"].items() if name != "total")
    lines.append(f"{found['trials']['total']} trials: {counts}")
    for name, figure in found["splits"]["validation"].items():
        value = "undefined" if figure["value"] is None else f"{figure['value']:.4f}"
        lines.append(f"  {name:18} {value}  (validation, n={figure['n']:,})")
    lines.append(f"  {OPTIMISTIC}")
    lines.append(f"The best in full: {found['command']}")
    return "\n".join(lines)


def _command(config: ml_collections.ConfigDict) -> str:
    return f"python launch.py --config={config.tuner.config} --config.override=best_config.json"


def _values(trials: Sequence[FrozenTrial]) -> list[float]:
    return [trial.value for trial in trials if trial.value is not None]


def _costs(trials: Sequence[FrozenTrial], name: str) -> list[float]:
    return [trial.user_attrs[name] for trial in trials]


def _write_table(path: Path, target: Target, trials: Sequence[FrozenTrial], space: Space) -> None:
    rows = []
    for trial in trials:
        row = described(trial, space)
        row |= {name: as_parameter(value) for name, value in row.pop("fields").items()}
        rows.append(row | ({"data": "PHANTOM"} if target.prepared.kind == "phantom" else {}))
    with temporary(path) as file:
        pd.DataFrame(rows).to_csv(file, index=False, lineterminator="\n")


def _write_figures(
    folder: Path,
    config: ml_collections.ConfigDict,
    target: Target,
    trials: Sequence[FrozenTrial],
    found: Mapping[str, Any],
    space: Space,
) -> None:
    import jax

    from covidjax.tune import figures as tune_figures

    points = [
        tune_figures.Point(
            trial.number,
            NAMES[trial.state],
            math.nan if trial.value is None else trial.value,
            trial.params,
            trial.user_attrs.get("parameters"),
            trial.user_attrs.get("cpu_seconds"),
            trial.user_attrs.get("seconds"),
            bool(trial.user_attrs.get("default")),
        )
        for trial in trials
    ]
    ended = {t.number: t.value for t in trials if t.state == TrialState.COMPLETE}
    shared: dict[str, Any] = {
        "shown": target.shown,
        "phantom": target.prepared.kind == "phantom",
        "title": f"Tuning {config.tuner.config.removeprefix('configs/')}, {target.budget}",
    }
    tune_figures.write_history(folder / "history.png", points, **shared)
    study = judged_by(trials, ended, space)
    if study.trials:
        tune_figures.write_parallel(folder / "parallel.png", study, **shared)
    tune_figures.write_importances(folder / "importances.png", found["importances"], **shared)
    on_cpu = jax.default_backend() == "cpu"
    tune_figures.write_pareto(folder / "pareto.png", points, on_cpu=on_cpu, **shared)
