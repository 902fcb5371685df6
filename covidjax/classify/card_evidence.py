"""The sections of a model card on the evidence beside the figures; "" where a run has none."""

from collections.abc import Mapping
from typing import Any

from covidjax.evidence.calibration import NAMES
from covidjax.runs.results import shown

SHOWN_PREVALENCES = (0.001, 0.01, 0.1, 0.5)
SHOWN_LEFT = 5  # images left out of an external test


def subgroups(results: Mapping[str, Any]) -> str:
    """What is known of the images, and the figures within it."""
    kinds = results.get("subgroups")
    if not kinds:
        return ""
    columns = {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"}
    if len(results["classes"]) > 2:
        columns = {"accuracy": "accuracy"}
    lines = [
        "## Subgroups",
        "",
        "As far as anything is known of the images. A difference goes with labels and hospitals, "
        "and shows no cause.",
        "",
        f"| subgroup | images (groups) | {' | '.join(columns.values())} |",
        f"| --- | ---: |{' --- |' * len(columns)}",
    ]
    for kind, parts in kinds.items():
        for name, row in parts.items():
            cells = [shown(row[figure]) if figure in row else "" for figure in columns]
            count = f"{row['n']:,} ({row['groups']:,})"
            lines.append(f"| {kind}: {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def audit(results: Mapping[str, Any]) -> str:
    """The shortcut audit's verdict and probes."""
    lines = ["## Shortcut audit", ""]
    audit = results.get("audit")
    if not audit:
        return "\n".join([*lines, "Not measured: nothing says how much of the score needs a lung."])
    lines += [f"**{audit['verdict']}**", "", "| what is seen | AUROC |", "| --- | --- |"]
    for name, probe in audit.items():
        if isinstance(probe, Mapping) and "auroc" in probe:
            what = probe.get("what", name.replace("_", " "))
            lines.append(f"| {what} | {shown(probe['auroc'])} |")
    return "\n".join(lines)


def saliency(results: Mapping[str, Any]) -> str:
    """Where the networks look, beside networks that have learnt nothing."""
    found = results.get("saliency")
    if not found:
        return ""
    lines = [
        "## Where the network looks",
        "",
        f"Share of {found['method']} outside the thorax's ellipse; a map that is the same "
        f"everywhere has {found['even_map']:.3f}. Networks with random weights look at the same "
        "images; where the difference to them holds 0, the share says nothing of what was learnt.",
        "",
        "| images | share outside | random weights | difference |",
        "| --- | --- | --- | --- |",
    ]
    kinds = {"all": found["share_outside_thorax"]}
    for kind, word in (("class", "labelled"), ("call", "called")):
        parts = found.get(f"share_outside_by_{kind}", {})
        kinds |= {f"{word} {name}": row for name, row in parts.items()}
    for name, row in kinds.items():
        random = row.get("random")
        against = row.get("against_random")
        cells = [shown(row), "" if random is None else f"{random:.3f}"]
        cells.append(shown(against) if against else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(
        [
            *lines,
            "",
            f"Rank correlation of the maps with those of networks with random weights: "
            f"{shown(found['randomisation'])}; near 1 they would show the image and not what was "
            "learnt. Examples: `figures/saliency.png`, `figures/occlusion.png`. A map inside the "
            "chest is no proof that the lung decides.",
        ]
    )


def external(results: Mapping[str, Any]) -> str:
    """Images of another hospital: what they were, and what was left out."""
    found = results.get("external")
    if not found:
        return ""
    counts = ", ".join(f"{count:,} {name}" for name, count in found["labels"].items())
    cut = found["threshold"]
    lines = [
        "## External test",
        "",
        f"{found['images']:,} images of the folder `{found['folder']}` ({counts}), none of which "
        "the run was trained with. Probabilities on the run's scale, the mean over the folds"
        + ("." if cut is None else f", called from {cut:.3f} on: the run's own threshold."),
    ]
    if "prevalence" in found:
        lines += ["", f"Share of positives {found['prevalence']:.3f}; {_ppv(found)}."]
    if found["struck"]:
        groups = ", ".join(f"{count:,} {name}" for name, count in found["groups"].items())
        lines += [
            "",
            f"Groups: {groups}. With fewer than 30 in a class the folder's share of positives says "
            "nothing, and the figures that depend on it are struck through.",
        ]
    if found["left_out"]:
        lines += ["", f"Left out ({len(found['left_out']):,}), such as:", ""]
        lines += [
            f"- `{name}`: {reason}" for name, reason in list(found["left_out"].items())[:SHOWN_LEFT]
        ]
    return "\n".join(lines)


def _ppv(found: Mapping[str, Any]) -> str:
    text = f"PPV there {shown(found['ppv'])}"
    return f"~~{text}~~" if "ppv" in found["struck"] else text


def calibration(results: Mapping[str, Any]) -> str:
    """What the probabilities are, and how far they can be believed."""
    found = results.get("calibration")
    if not found:
        return ""
    what = "Share of positives"
    if len(results["classes"]) > 2:
        what = (
            "Compared is the called class's probability with whether it was right: share of right"
        )
    lines = [
        "## Calibration",
        "",
        f"All probabilities, here, in the CSVs and by `predict`: {found['scale']}. What is "
        "fitted on validation is as good as validation is like the radiographs to come.",
        "",
        f"{what} {found['after']['prevalence']:.3f}, mean probability "
        f"{found['before']['mean_probability']:.3f} as the networks give it and "
        f"{found['after']['mean_probability']:.3f} on that scale.",
        "",
        "| | as the networks give it | on that scale |",
        "| --- | --- | --- |",
    ]
    for name, word in NAMES.items():
        cells = " | ".join(shown(found[key][name]) for key in ("before", "after"))
        lines.append(f"| {word} | {cells} |")
    return "\n".join(lines)


def operating(results: Mapping[str, Any]) -> str:
    """The threshold, points on the ROC curve, predictive values."""
    points, values = results.get("operating_points"), results.get("predictive_values")
    lines = ["## Operating points", ""]
    threshold = results["threshold"]
    if threshold["value"] is not None:
        text = f"Threshold on the probability of {results['classes'][1]} (rule: {threshold['rule']}"
        text += f"): {threshold['value']:.3f}."
        if len(threshold["values"]) > 1:
            each = ", ".join(f"{cut:.3f}" for cut in threshold["values"])
            if threshold["rule"] == "validation":
                text += (
                    f" Each fold's, from the validation images of all folds that it does not "
                    f"test: {each}."
                )
        lines += [text, ""]
    if points:
        lines += [
            "Looked up in the tested images themselves, and, beside it, what these got at the "
            "threshold that reaches the point on validation.",
            "",
            "| point on the ROC | value | sensitivity, specificity at validation's threshold |",
            "| --- | --- | --- |",
        ]
        for name, point in points.items():
            there = point.get("chosen_on_validation", {}).values()
            reached = ", ".join(shown(rate) for rate in there) or "not measured"
            lines.append(f"| {name.replace('_', ' ')} | {shown(point)} | {reached} |")
        lines.append("")
    if values:
        lines += ["| assumed prevalence | PPV | NPV |", "| ---: | --- | --- |"]
        for share in SHOWN_PREVALENCES:
            place = values["prevalence"].index(share)
            cells = [shown(at(values[name], place)) for name in ("ppv", "npv")]
            lines.append(f"| {100 * share:g} % | {' | '.join(cells)} |")
        lines += ["", "If sensitivity and specificity were the same there as here."]
    return "\n".join(lines).rstrip() if len(lines) > 2 else ""


def at(curve: Mapping[str, Any], place: int) -> dict[str, Any]:
    """One point of a curve with an interval, as a figure of results.json."""
    edges = None if curve["low"] is None else [curve["low"][place], curve["high"][place]]
    return {"value": curve["value"][place], "ci95": edges}
