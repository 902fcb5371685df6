"""The model card of a run: what it is, what it scored, and what it must not be used for.

After Mitchell et al. 2019, "Model Cards for Model Reporting". Every number comes from the run's
`results.json` and `config.json`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covidjax.audit.audit import comes_near
from covidjax.classify import card_evidence
from covidjax.evidence.predictions import TESTED
from covidjax.locking import temporary
from covidjax.runs.results import shown

TASK_WORDS = {
    "covid": "COVID-19 against normal",
    "pneumonia": "pneumonia of any cause against normal",
    "cause": "normal, bacterial, viral or COVID-19",
}
NOT_FOR = (
    "Diagnosis, triage, screening or any other decision about a patient. It is no medical device.",
    "Films of another hospital, scanner or age group than those it was trained on: the children's "
    "films are of one hospital, the adults' were collected from publications.",
    "Lateral views, photographs of films, CT slices.",
    "Evidence that a disease can be seen in a radiograph: the labels come with a hospital, an age, "
    "a format and a period, and a network may have learnt any of them.",
)


def write_model_card(path: Path, results: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Writes `model_card`'s text."""
    with temporary(path) as file:
        file.write(model_card(results, config).encode())


def model_card(results: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
      results: contents of `results.json`. Parts that are missing (`audit`, `calibration`, ...) are
        named as not measured, or left out.
      config: contents of `config.json`.

    Returns:
      The text. The AUROC is struck through (~~0.998~~) where the audit's border probe comes near
      it, as `audit.comes_near` defines: it overlaps the interval, or nearly reaches the score.
    """
    sections = [
        _about(results, config),
        _data(results, config),
        _figures(results),
        card_evidence.subgroups(results),
        card_evidence.audit(results),
        card_evidence.saliency(results),
        card_evidence.external(results),
        card_evidence.calibration(results),
        card_evidence.operating(results),
        _limits(results),
        _commands(config),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def struck(results: Mapping[str, Any]) -> bool:
    """Whether the tested AUROC must be printed struck through: the border alone comes near it.

    An audit that is there and cannot be read strikes it too: nothing then says that it stands.
    """
    if "audit" not in results:
        return False
    try:
        border = results["audit"]["border"]["auroc"]
        headline = results["splits"][_tested(results)]["auroc"]
        if border["ci95"] is None or headline["ci95"] is None:  # too few patients
            return False
        return comes_near(border, headline)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration):
        return True


def _about(results: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    settings = config["config"]
    model, size = settings.get("model", {}), settings.get("data", {}).get("size")
    task = TASK_WORDS.get(results["task"], results["task"])
    members = settings.get("members", 1)
    several = f", {members} networks averaged" if members > 1 else ""
    lines = [f"# Model card: {model.get('name', 'network')}, {results['task']}"]
    if "warning" in results:
        lines += ["", f"**{results['warning']}**"]
    lines += [
        "",
        f"A {model.get('name', 'network')} for chest radiographs, {size} x {size} pixels, that "
        f"gives probabilities: {task} (classes {', '.join(results['classes'])}){several}. Made by "
        "covidjax for research and teaching.",
    ]
    return "\n".join(lines)


def _data(results: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    settings, data = config["config"], config["data"]
    counts = {split: [sum(row) for row in matrix] for split, matrix in _matrices(results).items()}
    if settings.get("split") == "kfold":
        part = settings.get("part") or "all parts"
        split = (
            f"grouped, stratified cross-validation in {settings.get('folds')} folds "
            f"({part}; fold {settings.get('fold')})"
        )
    else:
        split = "Kaggle's TRAIN and TEST"
    lines = [
        "## Data and split",
        "",
        f"- Source: {data['kind']}, archive `{data['archive']}`, fingerprint "
        f"`{data['fingerprint']}`",
        f"- Split: {split}; validation taken out of the training part "
        f"({settings.get('validation')}); no known group (patient or examination) on two sides; "
        f"who was trained on: `split.csv`",
        "",
        f"| images | {' | '.join(results['classes'])} |",
        f"| --- |{' ---: |' * len(results['classes'])}",
    ]
    lines += [f"| {name} | {' | '.join(f'{n:,}' for n in row)} |" for name, row in counts.items()]
    grouping = results.get("grouping")
    if grouping:
        without = grouping["without_shared"]["auroc"]
        lines += [
            "",
            f"{grouping['shared_with_training']:,} tested images bear the same number in "
            "`personN` as an image of training or validation, of another cause; whether they are "
            f"the same child is not known. Without them the AUROC is {shown(without)}; with all "
            f"groups of a number taken as one, {shown(grouping['by_number']['auroc'])}.",
        ]
    return "\n".join(lines)


def _figures(results: Mapping[str, Any]) -> str:
    tested = _tested(results)
    splits = results["splits"]
    lines = [
        "## Figures",
        "",
        f"Value and 95 % interval over patients (docs/statistics.md). `{tested}` chose nothing; "
        "`validation` chose epoch, calibration and threshold, so its figures are optimistic.",
        "",
        f"| figure | {' | '.join(splits)} |",
        f"| --- |{' --- |' * len(splits)}",
    ]
    strike = struck(results)
    for name in splits[tested]:
        cells = []
        for split, figures in splits.items():
            text = shown(figures[name]) if name in figures else "not measured"
            if few := figures.get(name, {}).get("few_groups"):
                text += f" ({few})"
            gone = (strike and name == "auroc" and split == tested) or (
                split == "external" and name in results["external"]["struck"]
            )
            cells.append(f"~~{text}~~" if gone else text)
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    if any("few_groups" in figure for figures in splits.values() for figure in figures.values()):
        lines += ["", "In round brackets: groups of the class that has the fewest, where under 50."]
    if "ensemble" in results:
        lines += [
            "",
            f"`predict` averages all {results['ensemble']['networks']} networks of the folds. That "
            "mean was not evaluated: each image here was predicted by the fold that did not train "
            "on it.",
        ]
    if strike:
        lines += ["", "Struck through: the image's border alone comes near it (see the audit)."]
    across = results.get("across_folds", {}).get("auroc")
    if across:
        lines += [
            "",
            f"AUROC of the folds: mean {across['mean']:.3f}, standard deviation "
            f"{across['sd']:.3f}, {across['lowest']:.3f} to {across['highest']:.3f}.",
        ]
    return "\n".join(lines)


def _limits(results: Mapping[str, Any]) -> str:
    lines: Sequence[str] = NOT_FOR
    if results["data"] == "phantom":
        lines = ("Anything: it was trained on synthetic images, and knows nothing of patients.",)
    return "\n".join(["## Not to be used for", "", *(f"- {line}" for line in lines)])


def _commands(config: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    revision = config.get("git_revision") or "unknown"
    return "\n".join(
        [
            "## Made with",
            "",
            "All settings are in `config.json`. WORKDIR is the folder of this card.",
            "",
            "```",
            "python -m covidjax.predict --run=WORKDIR IMAGE...",
            "python -m covidjax.compare WORKDIR OTHER_WORKDIR",
            "```",
            "",
            f"Revision {revision}; {versions}; {', '.join(config.get('devices', []))}.",
        ]
    )


def _tested(results: Mapping[str, Any]) -> str:
    return next(name for name in TESTED if name in results["splits"])


def _matrices(results: Mapping[str, Any]) -> Mapping[str, Sequence[Sequence[int]]]:
    return results.get("confusion_matrix", {})
