"""The model card of a run: what it is, what it scored, and what it must not be used for.

After Mitchell et al. 2019, "Model Cards for Model Reporting". Every number comes from the run's
`results.json` and `config.json`; the sentences are in `model_card.md.j2`.
"""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from covidjax.audit.audit import comes_near
from covidjax.evidence.calibration import NAMES
from covidjax.evidence.predictions import TESTED
from covidjax.locking import temporary
from covidjax.runs.results import shown

TASK_WORDS = {
    "covid": "COVID-19 against normal",
    "pneumonia": "pneumonia of any cause against normal",
    "cause": "normal, bacterial, viral or COVID-19",
}
SHOWN_PREVALENCES = (0.001, 0.01, 0.1, 0.5)


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
    tested, strike, splits = _tested(results), struck(results), results["splits"]

    def cell(split: str, name: str) -> str:
        if name not in splits[split]:
            return "not measured"
        text = shown(splits[split][name])
        if few := splits[split][name].get("few_groups"):
            text += f" ({few})"
        gone = strike and name == "auroc" and split == tested
        gone |= split == "external" and name in results["external"]["struck"]
        return f"~~{text}~~" if gone else text

    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = resources.files("covidjax.classify").joinpath("model_card.md.j2").read_text("utf-8")
    text = environment.from_string(source).render(
        results=results,
        config=config,
        settings=config["config"],
        model=config["config"].get("model", {}),
        data=config["data"],
        task=TASK_WORDS.get(results["task"], results["task"]),
        classes=results["classes"],
        splits=splits,
        tested=tested,
        struck=strike,
        few_groups=any("few_groups" in one for part in splits.values() for one in part.values()),
        looked_at=_looked_at(results.get("saliency") or {}),
        predictive_values=predictive_values(results.get("predictive_values") or {}),
        calibration_names=NAMES,
        shown=shown,
        cell=cell,
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


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


def predictive_values(
    values: Mapping[str, Any],
) -> list[tuple[float, dict[str, Any], dict[str, Any]]]:
    """Prevalence, PPV and NPV at the prevalences that are shown."""
    found = []
    for share in SHOWN_PREVALENCES:
        if share in values.get("prevalence", ()):
            place = values["prevalence"].index(share)
            found.append((share, at(values["ppv"], place), at(values["npv"], place)))
    return found


def at(curve: Mapping[str, Any], place: int) -> dict[str, Any]:
    """One point of a curve with an interval, as a figure of results.json."""
    edges = None if curve["low"] is None else [curve["low"][place], curve["high"][place]]
    return {"value": curve["value"][place], "ci95": edges}


def _looked_at(saliency: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Share outside the thorax, of all images and of those of each class and each call."""
    kinds = {"all": saliency["share_outside_thorax"]} if saliency else {}
    for kind, word in (("class", "labeled"), ("call", "called")):
        parts = saliency.get(f"share_outside_by_{kind}", {})
        kinds |= {f"{word} {name}": row for name, row in parts.items()}
    return kinds


def _tested(results: Mapping[str, Any]) -> str:
    return next(name for name in TESTED if name in results["splits"])
