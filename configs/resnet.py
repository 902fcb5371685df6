"""ResNet v1.5, from scratch or from weights that exist.

    python launch.py --config=configs/resnet.py
    python launch.py --config=configs/resnet.py:task=covid --config.data.archive=ARCHIVE

On two CPU cores the first takes 3 minutes on the phantom, which is too small to train a ResNet
from scratch (AUROC 0.61). The second takes 7 minutes (5 folds: AUROC 0.987, which
tells adults from children as well as it does COVID-19).

`init` names the weights to start from, of the same depth:
  PATH.safetensors, or PATH.pth where PyTorch is installed: torchvision's or timm's state dict
  hf://OWNER/NAME: of the Hugging Face hub, such as hf://timm/resnet18.tv_in1k or
    hf://microsoft/resnet-50 (pip install ".[transfer]")
  run:WORKDIR, run:WORKDIR#fold2: an earlier, finished run of this config; refused where it was
    trained on images that are tested now (python -m covidjax.transfer.widen makes a split for it)

    python launch.py --config=configs/resnet.py:init=hf://timm/resnet18.tv_in1k,size=224

`--config.transfer.strategy` says what learns:
  finetune: all layers, the lower ones at a smaller rate (`layer_decay`). To begin with.
  probe: nothing but a linear classifier, on features that are computed once. Minutes, and a look at
    what the weights know by themselves.
  gradual: from the classifier down, layer by layer, over the first half of the run. Where finetune
    does worse than probe, and so spoils the weights early on.
`freeze_batch_norm` keeps the statistics that the weights came with: for batches under 16 or so, and
for weights of similar images (run:); not for photographs' weights, whose statistics are not those
of radiographs.

Of this advice, finetune before probe was measured, with one seed from a network of `pneumonia` at
64 px (AUROC of finetune and probe, for `cause` on validation 0.844 and 0.822; for `covid` out of
fold 0.998 and 0.967). The rest is what the literature recommends (Howard and Ruder 2018 for
layer_decay and gradual); layer_decay, gradual, freeze_batch_norm and weights of photographs were
not compared. docs/transfer.md has what pretraining itself brought.

Arguments behind the colon: task, split, data, size, fold, seed, depth, init.
"""

from typing import Any

import ml_collections

from configs import common
from covidjax.runs.fields import TRANSFER


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, common.CLASSIFY_ARGS | {"depth": 18, "init": ""})
    config = common.classify(values, "resnet", transfer=TRANSFER)
    config.model.depth, config.init = values["depth"], values["init"]
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-2
    if config.task == "covid":
        config.batch_size = 32
        config.auto_epochs.coronahack = 5
        config.auto_epochs.phantom = 24
    return config


def sweep(config: ml_collections.ConfigDict) -> dict[str, dict[str, dict[str, Any]]]:
    """What `--sweep=NAME` runs: sweep -> point -> fields. The first one is the default."""
    sweeps = common.classify_sweeps(config)
    if not config.init:  # weights are of one depth
        sweeps["depths"] = common.grid({"model.depth": (18, 34, 50)})
    return sweeps
