"""Every config field once: its default, its meaning, its range, and whether it decides the result.

`--help`, the checks, the resume rule, the report and `docs/fields.md` read these tables, by
`runs/config.py`. The networks' fields are in `runs/model_fields.py`.
"""

import math
from collections.abc import Mapping

from covidjax.runs.field import Field, Fields, below, changed, number, place, share

SEED = number(0, "of everything that is drawn at random", high=2**31 - 1)
BOOTSTRAP = number(2000, "resamples of the 95 % intervals that are bootstrapped", low=2)
QUIET = Field(False, "no progress bars", free=True)
DTYPE = Field("float32", "of activations; the rest stays float32", ("float32", "bfloat16"))
SELECT = Field("best", "which evaluation's weights are used", ("best", "last"))
SOURCES = {
    "source": Field("auto", "where images come from", ("auto", "coronahack", "phantom"), free=True),
    "data_dir": place('folder of a prepared dataset; "": the default of TFDS'),
    "archive": place("Kaggle's zip, or the folder it unpacks to; NAME=PATH,... of several"),
}
PHANTOM = below("phantom", {
    "images": number(500, "synthetic radiographs", low=12, high=10_000),
    "seed": number(0, "of the phantom alone"),
    "size": number(128, "pixels, about; sizes vary", low=48, high=1024),
    "shortcuts": Field("", "planted ones, among letter,size,border,brightness"),
})  # fmt: skip
DATA = {
    **below("data", SOURCES),
    "data.manifest": place("split.csv of another run, whose split is taken"),
    "data.size": number(128, "pixels a side", low=28, high=512),
    "data.equalize": Field("none", "of gray levels", ("none", "histogram", "clahe")),
    "data.resize": Field("squash", "to a square: squash, or pad with black", ("squash", "pad")),
    **PHANTOM,
}
OPTIMIZER = below("optimizer", {
    "name": Field("adamw", "sgd: with Nesterov's momentum", ("adamw", "sgd")),
    "learning_rate": Field(3e-3, "its peak, before a cosine to 1 %", above=0, below=math.inf),
    "warmup": share(0.1, "share of the updates with a rising rate"),
    "weight_decay": number(1e-3, "of kernels, not of biases and scales"),
    "momentum": share(0.9, "of sgd"),
    "clip": number(1.0, "largest norm of the gradient; 0: none"),
    "accumulate": number(1, "batches an update", low=1),
})  # fmt: skip
DEVICES = {
    "sharding": Field(
        "data", "fsdp: the state is cut over the devices", ("data", "fsdp"), free=True
    ),
    "shards": number(0, "of fsdp: devices that hold one copy together; 0: all", free=True),
    "shard_from": number(65536, "of fsdp: bytes of the smallest array that is cut", free=True),
    "accumulate": number(1, "micro-batches that a batch is cut into, to save memory", low=1),
    "checkpoint_dir": place('gs://BUCKET/FOLDER or another; "": in the workdir'),
    "keep": number(2, "newest checkpoints that are kept", low=1, free=True),
}
TRAINING = {
    "seed": SEED,
    "validation_fraction": Field(
        0.15, "of the training images, groups whole", above=0, high=0.5
    ),
    "select": SELECT,
    "bootstrap_samples": BOOTSTRAP,
    "batch_size": number(64, "images of a batch, over all devices", low=1),
    "evaluations": number(5, "on validation, over the run; each one saves", low=1),
    "patience": number(0, "evaluations without a better figure before training stops; 0: never"),
    "steps_per_dispatch": number(0, "steps sent to the devices at once; 0: 1 on CPUs, 8 elsewhere"),
    "log_every": number(10, "steps between lines of training figures", low=1, free=True),
    "ema": share(0.99, "decay of the averaged weights, which are the ones evaluated"),
    "dtype": DTYPE,
    "profile": place("steps to trace for xprof, as 10:15, into WORKDIR/profile"),
    "quiet": QUIET,
    **OPTIMIZER,
    **DEVICES,
}  # fmt: skip


def lengths(name: str, coronahack: int, phantom: int) -> Fields:
    """`name` and `auto_name`, which says it for each kind of data."""
    what = f"of the run; 0: `auto_{name}` of the data"
    auto = f"{name} for data of this kind"
    return {
        name: number(0, what),
        f"auto_{name}.coronahack": number(coronahack, auto, low=1, free=True),
        f"auto_{name}.phantom": number(phantom, auto, low=1, free=True),
    }


CLASSIFY = {
    "task": Field(
        "covid", "covid and pneumonia: each against Normal; cause: 4 classes",
        ("covid", "pneumonia", "cause"),
    ),
    "defaults_for": Field("covid", "the task whose defaults these are"),
    "split": Field("kfold", "official: Kaggle's TRAIN and TEST", ("official", "kfold")),
    "folds": number(5, "of kfold; grouped and stratified", low=2),
    "fold": Field("all", "all, or the number of one"),
    "folds_from": place("folder of finished runs fold0, fold1, ... to make fold=all of"),
    "part": Field("", 'kfold on TRAIN or TEST alone; "": on both', ("", "TRAIN", "TEST")),
    "members": number(1, "networks whose probabilities are averaged", low=1),
    "validation": Field(
        "auto", "shifted: both ends of every film series, for official; random: groups, for kfold",
        ("auto", "shifted", "random"),
    ),
    "threshold": Field("validation", "best balanced accuracy there, or a calibrated probability"),
    "calibration": Field(
        "platt", "map of the probabilities, fitted on validation",
        ("none", "temperature", "shift", "platt", "beta", "isotonic"),
    ),
    "mirror": Field(True, "predict the mean over an image and its mirror image"),
    "audit": Field(True, "what is reached without lungs, and what features tell of the source"),
    "saliency": Field(True, "Grad-CAM and occlusion, and whether they lie in the thorax"),
    "external": place("folder of other radiographs with a CSV: image,label[,group][,patient]"),
    "balance": Field(
        "loss", "of the classes: weights in the loss, equal sampling, or none",
        ("loss", "sampling", "none"),
    ),
    "label_smoothing": share(0.1, "share of the target spread over all classes"),
    **lengths("epochs", 12, 12),
    **changed(TRAINING, {}, {
        "seed": "of everything: weights, order, augmentation, splits, bootstrap",
        "select": "which epoch's weights are evaluated",
        "patience": "evaluations without a better AUROC before training stops; 0: never",
        "bootstrap_samples": "of the intervals of Grad-CAM's shares",
        "dtype": "of activations; statistics and logits stay float32",
    }),
    **changed(DATA, {"data.size": 64, "data.equalize": "clahe"}),
    **below("augment", {
        "rotation": number(15.0, "degrees, each way"),
        "scale": number(0.2, "of the logarithm of the zoom, each way"),
        "stretch": number(0.15, "of the logarithm of height against width, each way"),
        "shift": number(0.08, "of the side, each way"),
        "flip": number(0.5, "probability of a left-right mirror", high=1),
        "gamma": number(0.4, "of the logarithm of the exponent of a tone curve, each way"),
        "contrast": number(0.3, "of the logarithm of the factor around mid-gray, each way"),
        "brightness": number(0.15, "of the offset, images being in [0, 1], each way"),
        "shading": number(0.2, "amplitude of a smooth random gain over the image"),
        "blur": number(0.8, "largest share of a 3 x 3 blur mixed in; negative draws sharpen"),
        "noise": number(0.05, "largest standard deviation of white noise"),
        "erase": number(0.3, "largest side, of the image's, of one erased rectangle", high=1),
    }),
}  # fmt: skip
TRANSFER = {
    "init": Field("", 'weights to start from: a file, hf://OWNER/NAME or run:WORKDIR; "": random'),
    "transfer.strategy": Field("finetune", "with init", ("finetune", "gradual", "probe")),
    "transfer.layer_decay": Field(
        0.7, "of the rate: fc 1, layer4 0.7, ..., stem 0.17", above=0, high=1
    ),
    "transfer.freeze_batch_norm": Field(False, "keep the statistics of the weights"),
}
NOISES = ("gaussian", "low_dose", "speckle", "salt_and_pepper", "grid")
TURNS = ("turns", "mirror", "none")
DENOISE = {
    "noise.kind": Field("gaussian", "see covidjax/data/noise.py", NOISES),
    "noise.low": Field(5.0, "each image's level is drawn from low to high; equal: fixed"),
    "noise.high": Field(55.0, "in the kind's unit"),
    "noise.validation": Field("", 'levels to validate at, as 15,25,50; "": the usual ones'),
    "noise.blur": Field(0.0, "pixels; of the detector, correlates the noise"),
    "noise.dead": Field(0.0, "share of dead pixels besides"),
    "noise.grid": Field(0.0, "of 255; amplitude of grid lines besides"),
    "noise.absorption": Field(3.0, "D of low_dose"),
    "noise.photons": Field(3000.0, "N0 of low_dose, a pixel"),
    "noise.electronic": Field(3.0, "sigma_e of low_dose, in photons"),
    "validation": Field(
        "shifted", "both ends of every film series, or a random part", ("shifted", "random")
    ),
    "validation_images": number(64, "that every validation denoises at each level", low=1),
    "ensemble": Field("none", "mean over an image's 2 (mirror) or 8 (turns) views", TURNS),
    "patch": number(0, "pixels a side of the random part that is seen; 0: the whole image"),
    "augment": Field("mirror", "left-right; turns: all mirrors and quarter turns", TURNS),
    "loss.name": Field(
        "psnr", "psnr: the log of the squared error", ("psnr", "l1", "charbonnier", "mse")
    ),
    "loss.ssim": number(0.0, "weight of 1 - SSIM"),
    "loss.spectrum": number(0.0, "weight of the difference of the amplitude spectra"),
    "classifier": place("run:WORKDIR of a classifier: is the diagnosis kept?"),
    **below("evaluate", {
        "noises": place('kinds of noise, as gaussian,low_dose; "": the trained one'),
        "levels": place('as 15,25,50, of one kind; "": the usual ones of each'),
        "methods": place(
            'to compare with, tuned on validation; "": none',
            "noisy,gaussian,median,tv,nl_means,wavelet,bm3d,bm3d_fast",
        ),
        "images": number(0, "of TEST, evenly taken; 0: `auto_images` of the data", free=True),
        "auto_images.coronahack": number(624, "images for data of this kind", low=1, free=True),
        "auto_images.phantom": number(24, "images for data of this kind", low=1, free=True),
        "tuning_images": number(16, "of validation, that tune the methods", low=1, free=True),
        "timing_images": number(12, "whose seconds are taken, one by one", low=1, free=True),
        "edges": number(16, "synthetic ones, whose width is measured", low=2, free=True),
        "examples": number(2, "images on the sheet of pictures", low=1, free=True),
    }),
    **lengths("steps", 10_000, 300),
    **changed(TRAINING, {
        "batch_size": 8, "evaluations": 20, "log_every": 50, "ema": 0.999,
        "optimizer.learning_rate": 2e-3, "optimizer.warmup": 0.02, "optimizer.weight_decay": 0.0,
    }, {
        "seed": "of everything: weights, order, views, noise, splits, bootstrap",
        "patience": "evaluations without a better PSNR before training stops; 0: never",
        "dtype": "of activations; the result stays float32",
    }),
    **DATA,
}  # fmt: skip
DIP = {
    **changed({"seed": SEED}, {}, {
        "seed": "of everything: noise, weights, inputs, perturbations, bootstrap",
    }),
    "task": Field("denoise", "what was done to the image", ("denoise", "inpaint", "super")),
    "split": Field("test", "whose images: of Kaggle's TEST, or of TRAIN", ("test", "validation")),
    "images": number(4, "of the split, drawn at random", low=1),
    "data_seed": number(0, "of which images are drawn"),
    "members": number(1, "fits of an image, whose mean and spread are shown", low=1),
    "noise.kind": Field("gaussian", "of denoise", NOISES),
    "level": Field(25.0, "in the noise's unit: covidjax/data/noise.py", above=0, below=math.inf),
    "mask": Field("letters", "of inpaint: drawn letters, or white regions", ("letters", "white")),
    "factor": Field(2, "of super: 2 or 4"),
    "model.name": Field("hourglass", "the network", ("hourglass", "unet", "deep_decoder")),
    "model.width": number(32, "channels", low=1),
    "model.scales": number(5, "how often the side is halved", low=1, high=8),
    "steps": number(3000, "at most", low=1),
    "optimizer.learning_rate": Field(0.01, "of Adam", above=0, below=math.inf),
    "perturbation": number(1 / 30, "standard deviation of the noise on the input, at each step"),
    "average": share(0.99, "share of the old average of the outputs, a step"),
    "stop.rule": Field("emv", "variance of the outputs; none: never", ("wmv", "emv", "none")),
    "stop.window": number(100, "outputs of wmv; no rule judges before so many", low=2),
    "stop.share": share(0.03, "of the newest output, for emv"),
    "stop.tolerance": number(0.15, "above the smallest variance, a share, that counts as small"),
    "stop.patience": number(300, "steps without a small variance", low=1),
    "chunk": number(50, "steps between two looks at whether a fit has ended or diverged", low=1),
    "at_once": number(2, "fits at a time on each device", low=1, free=True),
    "init": Field("", "run:WORKDIR, whose weights.npz the fits begin with"),
    "save_weights": Field(False, "keep the first image's fitted weights as weights.npz"),
    "reptile.rounds": number(0, "fits to learn weights from first; 0: none"),
    "reptile.images": number(100, "of TRAIN, clean, that they are learned on", low=1),
    "reptile.steps": number(200, "of each fit", low=1),
    "reptile.rate": Field(0.5, "of the way to the fitted weights, falling to 0", above=0),
    "compare": Field("bm3d", 'of denoise: classical methods beside, as bm3d,median; "": none'),
    "tune_images": number(4, "of TRAIN, that choose the methods' parameters", low=1),
    "denoiser": Field("", "finished run of configs/dae.py beside"),
    "frames": number(0, "steps between two pictures of an animation; 0: none"),
    "bootstrap_samples": BOOTSTRAP,
    **DATA,
    "quiet": QUIET,
}  # fmt: skip
EDA = {
    **changed({"seed": SEED}, {}, {"seed": "of samples, embedding and intervals"}),
    "run": Field("", "workdir of a finished classification run, whose features are mapped too"),
    "size": number(0, "pixels a side that is measured; 0: `auto_size` of the data", high=512),
    "auto_size.coronahack": number(224, "size for data of this kind", low=28, high=512),
    "auto_size.phantom": number(128, "size for data of this kind", low=28, high=512),
    "scaling_images": number(900, "of TRAIN, on which squash and pad are compared", low=60),
    "embedding.method": Field(
        "auto", "umap where installed, else tsne", ("auto", "umap", "tsne", "none")
    ),
    "embedding.images": number(6000, "most points; small classes are kept whole", low=50),
    **below("data", SOURCES),
    **PHANTOM,
    "quiet": QUIET,
}
REPORT = {
    "runs": Field("runs/*", "folders and patterns, comma between"),
    "title": Field("", '"": one that names what the runs did'),
    "figures": number(5, "of each run in a section, at most"),
    "serve": Field(False, "no report: a page of the runs, on this machine alone"),
    "port": number(8477, "of that page, on 127.0.0.1; 0: any that is free", high=65_535),
}
TUNER = below("tuner", {
    "experiment": Field("denoise", "of each trial"),
    "target": Field("dae", "what is tuned"),
    "space": Field("unet", "the table of covidjax/tune/space.py"),
    "config": Field("", "what takes the best fields"),
    "trials": number(40, "of the study, all workers together", low=1, free=True),
    "fields": Field("", 'to search, comma between; "": all of the table that are not set'),
    "storage": place('of Optuna, as a URL; "": SQLite in the workdir'),
    "pruner": Field(
        "halving", "hyperband: three brackets, for 100 trials or more",
        ("hyperband", "halving", "none"),
    ),
    "reduction": number(3, "of so many trials one goes on at each rung", low=2),
    "startup": number(10, "random trials before TPE has enough to go by", low=1),
})  # fmt: skip
TABLES: Mapping[str, Fields] = {
    "classify": CLASSIFY, "denoise": DENOISE, "dip": DIP, "eda": EDA, "report": REPORT,
}  # fmt: skip
