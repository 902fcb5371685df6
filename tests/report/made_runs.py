"""Folders of runs as the experiments leave them, with made-up figures: no network is trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FIGURES = (
    *("auroc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity"),
    *("specificity", "f1", "brier", "ece"),
)


def figure(value: float | None, half: float = 0.01, n: int = 624) -> dict[str, Any]:
    """A figure of results.json with an interval of that half width."""
    interval = None if value is None else [value - half, value + half]
    return {"value": value, "ci95": interval, "n": n}


def write_png(path: Path, gray: int = 128, size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0]), gray, np.uint8)).save(path)
    return path


def about(config: dict[str, Any], phantom: bool) -> dict[str, Any]:
    """What config.json holds."""
    return {
        "config": config,
        "data": {
            "kind": "PHANTOM" if phantom else "coronahack",
            "fingerprint": "ab" * 32,
            "archive": "archive.zip",
            "split": "",
        },
        "versions": {"python": "3.12.1", "covidjax": "0.1.0", "jax": "0.10.2"},
        "git_revision": "0123456789abcdef0123",
        "devices": ["cpu: cpu"],
        "machine": "Linux x86_64",
    }


def put(folder: Path, name: str, contents: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(contents), encoding="utf-8")


def classify(
    folder: Path,
    auroc: float = 0.973,
    half: float = 0.01,
    *,
    seed: int = 0,
    phantom: bool = False,
    border: float | None = 0.6,
    **changes: Any,
) -> Path:
    """A finished classifier; `changes` are keys of results.json."""
    config = {
        **{"experiment": "classify", "task": "pneumonia", "split": "official", "seed": seed},
        **{"folds": 5, "validation": "shifted", "validation_fraction": 0.15, "members": 1},
        **{"threshold": "validation", "select": "best", "mirror": True, "balance": "loss"},
        **{"bootstrap_samples": 2000, "batch_size": 64, "epochs": 12, "label_smoothing": 0.1},
        "ema": 0.99,
        "data": {"size": 64, "equalize": "clahe", "resize": "squash", "archive": "archive.zip"},
        "augment": {"rotation": 15.0, "scale": 0.2, "shift": 0.08, "gamma": 0.4,
                    "contrast": 0.3, "flip": 0.5, "erase": 0.3},
        "optimizer": {"name": "adamw", "learning_rate": 0.003, "warmup": 0.1,
                      "weight_decay": 0.001, "clip": 1.0},
        "model": {"name": "cnn", "widths": [16, 32], "convs": 2, "dropout": 0.2},
    }  # fmt: skip
    tested = {name: figure(0.9, 0.02) for name in FIGURES} | {"auroc": figure(auroc, half)}
    found: dict[str, Any] = {
        **{"experiment": "classify", "task": "pneumonia", "seed": seed, "seconds": 187.3},
        "data": "phantom" if phantom else "coronahack",
        **({"warning": "PHANTOM: synthetic"} if phantom else {}),
        "splits": {"validation": {n: figure(0.99, n=778) for n in FIGURES}, "test": tested},
        "classes": ["Normal", "Pneumonia"],
        "threshold": {"rule": "validation", "value": 0.61, "values": [0.61]},
        "confusion_matrix": {"test": [[205, 29], [16, 374]]},
        "calibration": {
            **{"method": "platt", "scale": "platt on validation; calibrated"},
            **{"verdict": "calibrated", "map": {"method": "platt", "slope": 0.76, "shift": [0, 1]}},
            **{key: dict.fromkeys(("brier", "ece", "log_loss", "slope"), figure(0.06))
               for key in ("before", "after")},
        },
        "subgroups": {"source": {"children of Guangzhou": {
            "n": 624, "groups": 400, "sensitivity": figure(0.97)}}},
        "operating_points": {
            "sensitivity_at_specificity_0.90": figure(0.951)
            | {"chosen_on_validation": {"sensitivity": figure(0.99), "specificity": figure(0.65)}}
        },
        "predictive_values": {
            "prevalence": [0.01, 0.1],
            "ppv": {"value": [0.07, 0.46], "low": [0.05, 0.4], "high": [0.1, 0.5]},
            "npv": {"value": [0.99, 0.98], "low": None, "high": None},
        },
        "decision_curve": {"prevalence": 0.6},
    }  # fmt: skip
    if border is not None:
        found["audit"] = {
            "run": {"auroc": tested["auroc"], "what": "the run's own score"},
            "border": {"auroc": figure(border), "what": "the border"},
            "verdict": "The border alone says enough.",
        }
        found["saliency"] = {
            "method": "Grad-CAM",
            "share_outside_thorax": figure(0.3),
            "even_map": 0.27,
            "randomisation": figure(0.1),
        }
    put(folder, "config.json", about(config, phantom))
    put(folder, "results.json", found | changes)
    for name in ("roc", "reliability", "audit"):
        write_png(folder / "figures" / f"{name}.png")
    return folder


def denoise(folder: Path, phantom: bool = False) -> Path:
    """A finished denoiser, clearly better than BM3D at level 25 and not at 50."""
    config = {
        **{"experiment": "denoise", "seed": 0, "bootstrap_samples": 2000, "batch_size": 8},
        **{"steps": 10000, "ema": 0.999, "data": {"size": 128}},
        "noise": {"kind": "gaussian", "low": 5.0, "high": 55.0},
        "loss": {"name": "psnr"},
        "model": {"name": "unet", "width": 32},
        "optimizer": {"name": "adamw", "learning_rate": 0.002, "warmup": 0.02,
                      "weight_decay": 0.0, "clip": 1.0},
    }  # fmt: skip
    tested = {
        "bm3d/gaussian/25/psnr": figure(31.38, 0.1, 312),
        "unet/gaussian/25/psnr": figure(32.75, 0.1, 312),
        "bm3d/gaussian/50/psnr": figure(27.9, 0.4, 312),
        "unet/gaussian/50/psnr": figure(28.1, 0.4, 312),
        "bm3d/gaussian/25/gmsd": figure(0.07, 0.001, 312),
        "unet/gaussian/25/gmsd": figure(0.05, 0.001, 312),
        "unet_minus_bm3d/gaussian/25/psnr": figure(1.37, 0.03, 312),
        "unet_minus_bm3d/gaussian/25/share_better": figure(1.0, 0.0, 312),
    }
    noisy, denoised = {"auroc": figure(0.94)}, {"auroc": figure(0.96), "regained": figure(None)}
    cases = {"gaussian/50": {"noisy": noisy, "unet": denoised}}
    found = {
        **{"experiment": "denoise", "task": "gaussian", "seed": 0, "seconds": 2002.4},
        "data": "phantom" if phantom else "coronahack",
        "splits": {"test": tested},
        "network": {"name": "unet", "parameters": 454912},
        "denoising": {"tuned": {"gaussian/25": {"bm3d": {}}}},
        "diagnosis": {"task": "pneumonia", "clean": {"auroc": figure(0.967)}, "cases": cases},
        "evaluated": {"tuning_images": 16},
    }
    put(folder, "config.json", about(config, phantom))
    put(folder, "results.json", found)
    write_png(folder / "figures" / "psnr_gaussian.png")
    return folder


def dip(folder: Path, phantom: bool = True) -> Path:
    """A finished Deep Image Prior."""
    config = {
        **{"experiment": "dip", "task": "denoise", "level": 25.0, "steps": 3000, "seed": 0},
        **{"bootstrap_samples": 2000, "noise": {"kind": "gaussian"}, "data": {"size": 64}},
        "model": {"name": "hourglass", "width": 32},
        "optimizer": {"learning_rate": 0.01},
        "stop": {"rule": "emv", "window": 100, "patience": 300},
    }
    found = {
        **{"experiment": "dip", "task": "denoise", "seed": 0, "seconds": 59.1},
        "data": "phantom" if phantom else "coronahack",
        "splits": {"test": {"dip/gaussian/25/psnr": figure(23.69, 0.1, 2),
                            "bm3d/gaussian/25/psnr": figure(29.12, 0.3, 2)}},
        "stop": {"fits": 2, "mean_steps": 190.0, "mean_stop": 161.0, "gap_db": None},
    }  # fmt: skip
    put(folder, "config.json", about(config, phantom))
    put(folder, "results.json", found)
    return folder


def tune(folder: Path) -> Path:
    """A finished search on the phantom."""
    config = {
        **{"experiment": "tune", "task": "pneumonia", "seed": 0, "data": {"size": 32}},
        **{"model": {"name": "cnn"}, "tuner": {"target": "cnn", "trials": 6, "pruner": "halving"}},
    }
    found = {
        **{"experiment": "tune", "task": "pneumonia", "data": "phantom", "seed": 0},
        **{"seconds": 158.4, "target": "configs/cnn.py:size=32"},
        "splits": {"validation": {f"{kind}/auroc": figure(value) for kind, value in
                                  (("best", 0.65), ("default", 0.47), ("gain", 0.18))}},
        "trials": {"total": 6, "complete": 4},
    }  # fmt: skip
    put(folder, "config.json", about(config, True))
    put(folder, "results.json", found)
    return folder


def look(folder: Path) -> Path:
    """A finished look at the data."""
    write_png(folder / "figures" / "class_counts.png", 90)
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "tables" / "counts.csv").write_text("level,images\nNormal,1576\n", encoding="utf-8")
    section = {
        **{"key": "counts", "title": "Counts", "paragraphs": []},
        "figures": [{"name": "class_counts", "caption": "Images by cause.", "alt": "Bars.",
                     "png": "figures/class_counts.png", "svg": None}],
        "tables": [{"name": "counts", "caption": "By level.", "csv": "tables/counts.csv",
                    "columns": ["level", "images"], "rows": 1}],
    }  # fmt: skip
    shared = {"experiment": "eda", "task": "", "data": "coronahack", "seed": 0}
    sentences = ["5,910 rows name 5,907 images."]
    put(folder, "config.json", about({"experiment": "eda", "seed": 0}, False))
    put(folder, "eda.json", {**shared, "sentences": sentences, "sections": [section]})
    put(folder, "results.json", {**shared, "seconds": 93.0, "splits": {}, "sentences": sentences})
    return folder


def all_kinds(home: Path) -> Path:
    """A folder with one of each, and what goes wrong: unfinished, damaged, no run."""
    classify(home / "cnn-0")
    classify(home / "cnn-1", 0.975, seed=1)
    classify(home / "weak", 0.8)
    classify(home / "phantom", 0.99, phantom=True)
    denoise(home / "dae")
    dip(home / "dip")
    tune(home / "tune")
    look(home / "eda")
    unfinished(home / "going")
    put(home / "damaged", "config.json", about({"experiment": "classify"}, False))
    (home / "damaged" / "results.json").write_text('{"experiment": "cla', encoding="utf-8")
    (home / "empty").mkdir()
    return home


def unfinished(folder: Path, lines: int = 5) -> Path:
    """A run in progress: a config and some lines of metrics."""
    config = {"experiment": "classify", "task": "covid", "model": {"name": "cnn"}}
    put(folder, "config.json", about(config, False))
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for step in range(1, lines + 1):
            file.write(json.dumps({"step": step, "split": "train", "loss": 1 / step}) + "\n")
    return folder
