"""What the templates know of the runs: groups of them, answers to "is there any", and words."""

import types
from collections.abc import Mapping, Sequence
from typing import Any

from covidjax.report import markdown, tables, tables_classify, tables_denoise, tables_runs, words
from covidjax.report.collect import looks_at_test
from covidjax.report.markdown import Markdown, md
from covidjax.runs.folder import Run, is_figure

EQUALIZED = {
    "none": "with their gray levels as they are",
    "histogram": "with their histogram equalized over the image",
    "clahe": "equalized by contrast-limited adaptive histograms (8 x 8 tiles, clip limit 2)",
}
SELECTED = {"best": "that did best on validation", "last": "at the end of training"}
BALANCED = {
    "loss": "weighted so that every class counts the same in all",
    "sampling": "drawn so that every class comes equally often",
    "none": "all weighted alike",
}
VALIDATION = {
    "shifted": "both ends of every series of image numbers, to imitate TEST's shift",
    "random": "at random",
}
# What each field of `data.augment.Augmentation` does to an image in training.
AUGMENTED = {
    "rotation": "rotated by up to {rotation} degrees",
    "scale": "zoomed (logarithm of the factor up to {scale})",
    "stretch": "stretched (logarithm of height against width up to {stretch})",
    "shift": "shifted by up to {shift} of their side",
    "flip": "mirrored left to right with probability {flip}",
    "gamma": "their gray levels raised to a random power (logarithm up to {gamma})",
    "contrast": "their contrast changed (logarithm of the factor up to {contrast})",
    "brightness": "their brightness shifted by up to {brightness} of the range",
    "shading": "shaded smoothly (gain up to {shading})",
    "blur": "blurred or sharpened (share of a 3 x 3 binomial blur up to {blur})",
    "noise": "covered with white noise (standard deviation up to {noise})",
    "erase": "one rectangle with sides of up to {erase} of the image's set to its mean",
}


def of(runs: Sequence[Run]) -> dict[str, Any]:
    """The runs by experiment and by what they hold, as the templates call them."""
    by = {name: [run for run in runs if run.experiment == name] for name in _NAMES.values()}
    found: dict[str, Any] = {plural: by[name] for plural, name in _NAMES.items()}
    described = {f"described_{plural}": [r for r in some if r.settings] for plural, some in
                 found.items()}  # fmt: skip
    tested = [run for run in found["classifiers"] if words.tested(run)]
    real = [run for run in runs if not run.phantom]
    networks = [run for run in runs if run.experiment != "eda"]
    return {
        **found,
        **described,
        **_of_classifiers(found["classifiers"], tested),
        **_of_real(real),
        "all_runs": runs,
        "runs": runs,
        "described": any(described[f"described_{p}"] for p in _NAMES if p != "looks"),
        "without_config": [run for run in networks if not run.settings],
        "phantoms": [run for run in runs if run.phantom],
        "real_data": bool(real) or not runs,
        "phantom_data": len(real) < len(runs),
        "archives": _archives(runs),
        "seeds": sorted({str(run.results.get("seed")) for run in networks}),
        "stops": [(r, r.results["stop"]) for r in found["priors"] if _has(r, "stop")],
        "tuning_images": sorted({_tuning(run) for run in found["denoisers"] if _tuned(run)}),
        "has_diagnosis": any("diagnosis" in run.results for run in found["denoisers"]),
        "newly_described_noise": _new_noise(found["priors"], found["denoisers"]),
        "resampled": [*found["denoisers"], *found["priors"]],
        "samples": _samples([*found["denoisers"], *found["priors"]]),
    }


_NAMES = {
    "classifiers": "classify",
    "denoisers": "denoise",
    "priors": "dip",
    "searches": "tune",
    "looks": "eda",
}


def _of_classifiers(runs: Sequence[Run], tested: Sequence[Run]) -> dict[str, Any]:
    audited = [run for run in tested if "verdict" in (_mapping(run, "audit"))]
    return {
        "tested": tested,
        "tasks": sorted({words.task(str(run.results.get("task"))) for run in runs}),
        "tested_tasks": sorted({words.task(str(run.results.get("task"))) for run in tested}),
        "audited": audited,
        "unaudited": [run for run in tested if run not in audited],
        "explained": [run for run in tested if is_figure(_outside(run))],
        "clahe": any(run.setting("data.equalize") == "clahe" for run in runs),
        "has_decision_curve": any(_has(run, "decision_curve") for run in runs),
        "has_audit": any("audit" in run.results for run in runs),
        "has_saliency": any("saliency" in run.results for run in runs),
        "has_subgroups": any("subgroups" in run.results for run in runs),
        "any_external": any("external" in run.results["splits"] for run in tested),
        "on_test": any(words.tested(run) == "test" for run in tested),
    }


def _of_real(runs: Sequence[Run]) -> dict[str, Any]:
    """What limits the figures of real images."""
    classifiers = [run for run in runs if run.experiment == "classify"]
    seeds = {(run.experiment, run.results.get("seed")) for run in runs if run.experiment != "eda"}
    return {
        "real_classifiers": classifiers,
        "real_tasks": {run.results.get("task") for run in classifiers},
        "real_on_test": any(words.tested(run) == "test" for run in classifiers),
        "real_external": any("external" in run.results["splits"] for run in classifiers),
        "real_unaudited": [run for run in classifiers if "audit" not in run.results],
        "real_denoisers": any(run.experiment == "denoise" for run in runs),
        "certain": [run for run in classifiers if _certain(run)],
        "one_seed": bool(runs) and len(seeds) == len({name for name, _ in seeds}) == 1,
    }


def _mapping(run: Run, name: str) -> Mapping[str, Any]:
    found = run.results.get(name)
    return found if isinstance(found, Mapping) else {}


def _has(run: Run, name: str) -> bool:
    return isinstance(run.results.get(name), Mapping)


def _outside(run: Run) -> Any:
    return _mapping(run, "saliency").get("share_outside_thorax")


def _certain(run: Run) -> bool:
    interval = run.results["splits"].get(words.tested(run), {}).get("auroc", {}).get("ci95")
    return bool(interval) and interval[1] >= 1


def _archives(runs: Sequence[Run], most: int = 3) -> list[str]:
    """The archives, each with its fingerprint; of many the first ones and how many more."""
    found = {
        f"{run.data['archive']} (fingerprint {str(run.data.get('fingerprint', ''))[:16]}, "
        f"{run.data.get('kind')})": None
        for run in runs
        if run.data.get("archive")
    }
    named = list(found)
    return [*named[:most], f"{len(named) - most} more"] if len(named) > most else named


def _tuned(run: Run) -> bool:
    return any(run.results.get("denoising", {}).get("tuned", {}).values())


def _tuning(run: Run) -> str:
    """How many images tuned the methods: of the last evaluation, which may be newer."""
    evaluated = run.results.get("evaluated", {})
    return str(evaluated.get("tuning_images", run.setting("evaluate.tuning_images", "some")))


def _new_noise(priors: Sequence[Run], denoisers: Sequence[Run]) -> list[Run]:
    """Deep Image Priors against a noise that the denoisers' part has not described."""
    told = {run.setting("noise.kind") for run in denoisers}
    return [
        run
        for run in priors
        if run.setting("task") == "denoise" and run.setting("noise.kind") not in told
    ]


def _samples(runs: Sequence[Run]) -> str:
    counts = sorted({int(run.setting("bootstrap_samples", 2000)) for run in runs})
    return " or ".join(f"{count:,}" for count in counts)


def augmentations(runs: Sequence[Run]) -> Markdown:
    """What the runs do to an image in training, "" where nothing."""
    used = [name for name in AUGMENTED if any(run.setting(f"augment.{name}") for run in runs)]
    return Markdown(
        "; ".join(
            md(AUGMENTED[name], **{name: words.alike(runs, f"augment.{name}", words.number)})
            for name in used
        )
    )


def calibration_methods(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """How the probabilities were put on one scale, of the runs that say."""
    known = [run for run in runs if "map" in (run.results.get("calibration") or {})]
    return list(words.grouped(known, lambda r: str(r.results["calibration"]["method"])).items())


def parameters(runs: Sequence[Run]) -> str:
    """ " (454,912 parameters)" of networks that say, else ""."""
    counts = {run.results.get("network", {}).get("parameters") for run in runs}
    known = [f"{count:,}" for count in sorted(c for c in counts if isinstance(c, int))]
    return f" ({words.listed(known)} parameters)" if known else ""


def grouped(runs: Sequence[Run], field: str) -> list[tuple[Any, list[Run]]]:
    """The runs by a field of their configs."""
    return list(words.grouped(runs, lambda run: run.setting(field)).items())


def settings(runs: Sequence[Run], field: str) -> list[str]:
    """All values of a field."""
    return sorted({str(run.setting(field)) for run in runs})


def with_setting(runs: Sequence[Run], field: str) -> list[Run]:
    """The runs that have a field."""
    return [run for run in runs if run.setting(field) is not None]


def _in(table: Mapping[str, str]) -> Any:
    return lambda value: table.get(str(value), str(value))


def threshold(rule: Any) -> str:
    """A rule of `config.threshold` in words."""
    chosen = "the threshold with the best balanced accuracy on validation"
    return chosen if rule == "validation" else f"the threshold {rule}"


def mirrored(on: Any) -> str:
    """`config.mirror` in words."""
    return "the mean over an image and its mirror image" if on else "that of the image as it is"


def sequence(values: Any) -> str:
    """Several numbers of a field in words."""
    return words.listed([str(v) for v in values]) if isinstance(values, list) else str(values)


# What templates call, beside the writer's own.
FUNCTIONS: dict[str, Any] = {
    "alike": words.alike,
    "augmentations": augmentations,
    "balanced": _in(BALANCED),
    "calibration_methods": calibration_methods,
    "code": markdown.code,
    "counted": words.counted,
    "equalized": _in(EQUALIZED),
    "first_large": words.first_large,
    "grouped": grouped,
    "guard": markdown.guard,
    "joined": markdown.joined,
    "level_unit": words.level_unit,
    "looks_at_test": looks_at_test,
    "md": md,
    "mirrored": mirrored,
    "names": words.names,
    "network": words.network,
    "number": words.number,
    "or_random": lambda init: init or "random",
    "parameters": parameters,
    "selected": _in(SELECTED),
    "sequence": sequence,
    "settings": settings,
    "shown": tables.shown,
    "threshold": threshold,
    "validation": _in(VALIDATION),
    "with_setting": with_setting,
    "tables": types.SimpleNamespace(
        audits=tables_classify.audits,
        calibration=tables_classify.calibration_and_values,
        classification=tables_classify.classification,
        denoising=tables_denoise.denoising,
        gains=tables_denoise.gains,
        others=tables_runs.others,
        places=tables_runs.places,
        priors=tables_denoise.priors,
        ranges=tables_classify.ranges,
        searches=tables_denoise.searches,
        settings=tables_runs.settings,
        split_counts=tables_runs.split_counts,
    ),
}
