"""What the experiments share: the argument parser and the classifiers' defaults."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from covidjax.data.augment import Augmentation
from covidjax.data.noise import NOISES
from covidjax.runs.fields import nearest


def parse_arg(arg: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The `key=value,...` behind a config file's colon.

    Args:
      arg: such as "size=64,task=pneumonia"; None or "" for none.
      fields: the known keys with their defaults, whose types the values take.

    Returns:
      All of `fields`, with the values given.

    Raises:
      ValueError: an unknown key or a value of another type, in one line that names the nearest key.
    """
    values = dict(fields)
    for item in filter(None, (arg or "").split(",")):
        key, equals, text = item.partition("=")
        if key not in fields:
            raise ValueError(f"config argument {key!r} is unknown{nearest(key, list(fields))}")
        if not equals or not text:
            raise ValueError(f"config argument {item!r}: write {key}=VALUE")
        try:
            values[key] = type(fields[key])(text)
        except ValueError as error:
            kind = type(fields[key]).__name__
            raise ValueError(f"config argument {key}={text!r}: expected {kind}") from error
    return values


# The keys that every classifier's config takes behind the colon.
CLASSIFY_ARGS = {
    "task": "covid",
    "split": "",
    "data": "auto",
    "size": 64,
    "fold": "all",
    "seed": 0,
}


def classify(arg: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """The defaults of every classifier; `arg` is what `parse_arg` returned."""
    config = ml_collections.ConfigDict()
    config.experiment = "classify"
    config.task = arg["task"]  # covid, pneumonia (each against Normal), cause (4 classes)
    # Kaggle's TEST has no COVID-19, so that task is cross-validated.
    config.defaults_for = arg["task"]  # so that a task set elsewhere is noticed
    default_split = "kfold" if arg["task"] == "covid" else "official"
    config.split = arg["split"] or default_split  # official (Kaggle's TRAIN and TEST), kfold
    config.folds = 5  # of kfold; grouped and stratified
    config.fold = arg["fold"]  # all, or the number of one
    config.folds_from = ""  # a folder of finished runs fold0, fold1, ... to make fold=all of
    config.part = ""  # kfold on TRAIN or TEST alone; "" for both
    config.seed = arg["seed"]  # of everything: weights, order, augmentation, splits, bootstrap
    config.members = 1  # networks whose probabilities are averaged

    # The images that choose epoch, threshold and calibration. shifted: the lowest and the highest
    # film numbers of every series. random: groups drawn at random.
    config.validation = "auto"  # shifted (for split=official), random (for kfold)
    config.validation_fraction = 0.15  # of the training images, groups whole
    config.threshold = "validation"  # best balanced accuracy there, or a calibrated probability
    config.calibration = "platt"  # on validation; or shift, temperature, beta, isotonic, none
    config.select = "best"  # or last: which epoch's weights are evaluated
    config.mirror = True  # predict the mean over an image and its mirror
    config.bootstrap_samples = 2000  # of the intervals of Grad-CAM's shares

    # The evidence beside the figures; both are made from the checkpoints at the end of the run.
    config.audit = True  # what is reached without lungs, and what the features tell of the source
    config.saliency = True  # Grad-CAM and occlusion, and whether they lie in the thorax
    config.external = ""  # a folder of other radiographs with a CSV: image,label[,group][,patient]

    add_data(config, arg, equalize="clahe")

    config.batch_size = 64  # global: over all devices
    config.epochs = 0  # 0: `auto_epochs` of the data
    config.auto_epochs = ml_collections.ConfigDict({"coronahack": 12, "phantom": 12})
    config.evaluations = 5  # on validation, over the run; each one saves
    config.patience = 0  # evaluations without a better AUROC before it stops; 0: never
    config.steps_per_dispatch = 0  # sent to the devices at once; 0: 1 on CPUs, 8 elsewhere
    config.log_every = 10  # steps between lines of training figures

    config.balance = "loss"  # class weights; sampling: equally many of each class; none
    config.label_smoothing = 0.1  # share of the target spread over all classes
    config.ema = 0.99  # decay of the averaged weights, which are the ones evaluated
    config.dtype = "float32"  # bfloat16: activations; statistics and logits stay float32
    # Ranges of random framing and film, see covidjax/data/augment.py.
    config.augment = ml_collections.ConfigDict(dataclasses.asdict(Augmentation()))

    add_optimizer(config)
    add_devices(config)

    config.profile = ""  # steps to trace for xprof, as 10:15, into WORKDIR/profile
    config.quiet = False  # no progress bars
    return config


def add_data(config: ml_collections.ConfigDict, arg: Mapping[str, Any], equalize: str) -> None:
    """Adds where the images come from and how they are prepared."""
    config.data = ml_collections.ConfigDict()
    config.data.source = arg["data"]  # auto, coronahack, phantom
    config.data.data_dir = ""  # of a prepared dataset; "": TFDS's own default
    config.data.archive = ""  # Kaggle's zip, or the folder it unpacks to; NAME=PATH,... of several
    config.data.manifest = ""  # a split.csv of another run
    config.data.size = arg["size"]  # pixels a side
    config.data.equalize = equalize  # none, histogram, clahe
    config.data.resize = "squash"  # squash, pad

    config.phantom = ml_collections.ConfigDict()
    config.phantom.images = 500  # synthetic radiographs
    config.phantom.seed = 0  # of the phantom alone
    config.phantom.size = 128  # pixels, about; sizes vary
    config.phantom.shortcuts = ""  # planted ones, of letter,size,border,brightness


def grid(fields: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """The points of a sweep over all values of all fields: "size64-width16": {field: value}."""
    points = {}
    for values in itertools.product(*fields.values()):
        changes = dict(zip(fields, values, strict=True))
        name = "-".join(f"{field.rpartition('.')[2]}{value}" for field, value in changes.items())
        points[name] = changes
    return points


def classify_sweeps(config: ml_collections.ConfigDict) -> dict[str, dict[str, dict[str, Any]]]:
    """What every classifier can be swept over: sweep -> point -> fields."""
    sweeps = {"seeds": grid({"seed": range(3)})}
    if config.split == "kfold":
        sweeps["folds"] = grid({"fold": [str(number) for number in range(config.folds)]})
    sweeps["sizes"] = grid({"data.size": (32, 64, 128)})
    return sweeps


def add_optimizer(config: ml_collections.ConfigDict) -> None:
    """Adds the optimiser, as the classifiers have it."""
    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.name = "adamw"  # adamw, sgd (Nesterov)
    config.optimizer.learning_rate = 3e-3  # the peak, before a cosine to 1 %
    config.optimizer.warmup = 0.1  # share of the updates
    config.optimizer.weight_decay = 1e-3  # of kernels, not of biases and scales
    config.optimizer.momentum = 0.9  # of sgd
    config.optimizer.clip = 1.0  # largest norm of the gradient; 0: none
    config.optimizer.accumulate = 1  # batches an update


def add_devices(config: ml_collections.ConfigDict) -> None:
    """Adds how the work is spread over devices, and what is kept; see docs/multihost.md."""
    config.sharding = "data"  # fsdp: parameters and optimiser state are cut over the devices
    config.shards = 0  # of fsdp: devices that hold one copy together; 0: all
    config.shard_from = 65536  # of fsdp: bytes of the smallest array that is cut
    config.accumulate = 1  # micro-batches that a batch is cut into, for less memory
    config.checkpoint_dir = ""  # gs://BUCKET/FOLDER or another; "": checkpoints in the workdir
    config.keep = 2  # newest checkpoints that are kept


def unknown(name: str, value: str, known: list[str]) -> str:
    """The line that a wrong value of a config argument gets."""
    return f"config argument {name}={value!r} is unknown{nearest(value, known)}"


def denoise(arg: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """The defaults of every denoiser; `arg` is what `parse_arg` returned."""
    if arg["noise"] not in NOISES:
        raise ValueError(unknown("noise", arg["noise"], list(NOISES)))
    config = ml_collections.ConfigDict()
    config.experiment = "denoise"
    config.seed = arg["seed"]  # of everything: weights, order, views, noise, splits, bootstrap

    # The noise: see covidjax/data/noise.py, which has the units and the formulas.
    low, high = level_range(arg["level"], arg["noise"])
    config.noise = ml_collections.ConfigDict({"kind": arg["noise"]})
    config.noise.low = low  # each image's level is drawn between the two; equal: fixed
    config.noise.high = high
    config.noise.validation = (
        ""  # levels to validate at, as 15,25,50; "": the usual ones in the range
    )
    config.noise.blur = 0.0  # pixels; of the detector, correlates the noise
    config.noise.dead = 0.0  # share of dead pixels besides
    config.noise.grid = 0.0  # of 255; amplitude of grid lines besides
    config.noise.absorption = 3.0  # D of low_dose
    config.noise.photons = 3000.0  # N0 of low_dose, a pixel
    config.noise.electronic = 3.0  # sigma_e of low_dose, in photons

    # Kaggle's split; validation is taken out of TRAIN by group, TEST is looked at once, at the end.
    config.validation = "shifted"  # both ends of every film series; random: a random part
    config.validation_fraction = 0.15  # of the training images, groups whole
    config.validation_images = 64  # of them, that every validation denoises at each level
    config.select = "best"  # or last: which weights are evaluated
    config.ensemble = "none"  # mirror, turns: the mean over an image's 2 or 8 views
    config.bootstrap_samples = 2000  # of the 95 % intervals

    add_data(config, arg, equalize="none")

    config.patch = 0  # pixels a side of the random part that is seen; 0: the whole image
    config.augment = "mirror"  # left-right; turns: all mirrors and quarter turns; none
    config.batch_size = 8  # global: over all devices
    config.steps = 0  # batches; 0: `auto_steps` of the data
    config.auto_steps = ml_collections.ConfigDict({"coronahack": 10000, "phantom": 300})
    config.evaluations = 20  # on validation, over the run; each one saves
    config.patience = 0  # evaluations without a better PSNR before it stops; 0: never
    config.steps_per_dispatch = 0  # sent to the devices at once; 0: 1 on CPUs, 8 elsewhere
    config.log_every = 50  # steps between lines of training figures

    config.loss = ml_collections.ConfigDict()
    config.loss.name = "psnr"  # psnr (log of the squared error), l1, charbonnier, mse
    config.loss.ssim = 0.0  # weight of 1 - SSIM
    config.loss.spectrum = 0.0  # weight of the difference of the amplitude spectra
    config.ema = 0.999  # decay of the averaged weights, which are the ones evaluated
    config.dtype = "float32"  # bfloat16: activations; the result stays float32

    add_optimizer(config)
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup = 0.02
    config.optimizer.weight_decay = 0.0

    add_evaluation(config)
    add_devices(config)

    config.profile = ""  # steps to trace for xprof, as 10:15, into WORKDIR/profile
    config.quiet = False  # no progress bars
    return config


def add_evaluation(config: ml_collections.ConfigDict) -> None:
    """Adds what is measured of denoised images, see covidjax/denoise/evaluate.py.

    A finished run is evaluated again where these are given other values.
    """
    config.classifier = ""  # run:WORKDIR of a classifier: is the diagnosis kept?
    config.evaluate = ml_collections.ConfigDict()
    config.evaluate.noises = ""  # kinds of noise, as gaussian,low_dose; "": the trained one
    config.evaluate.levels = ""  # as 15,25,50, of one kind; "": the usual ones of each
    methods = "noisy,gaussian,median,tv,nl_means,wavelet,bm3d,bm3d_fast"
    config.evaluate.methods = methods  # to compare with, tuned on validation; "": none
    config.evaluate.images = 0  # TEST images, evenly taken; 0: `auto_images` of the data
    config.evaluate.auto_images = ml_collections.ConfigDict({"coronahack": 624, "phantom": 24})
    config.evaluate.tuning_images = 16  # of validation, that tune the methods
    config.evaluate.timing_images = 12  # whose seconds are taken, one by one
    config.evaluate.edges = 16  # synthetic ones, whose width is measured
    config.evaluate.examples = 2  # images on the sheet of pictures


def level_range(text: str, kind: str) -> tuple[float, float]:
    """The numbers of "25" or "5-55"; of "" the range of the noise's kind.

    Raises:
      ValueError: neither.
    """
    if not text:
        return NOISES[kind].low, NOISES[kind].high
    low, dash, high = text.partition("-")
    try:
        return float(low), float(high if dash else low)
    except ValueError as error:
        raise ValueError(f"config argument level={text!r}: write a number, or LOW-HIGH") from error
