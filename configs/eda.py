"""A look at the data before training: `eda.html`, figures as PNG and SVG, tables as CSV.

    python launch.py --config=configs/eda.py
    python launch.py --config=configs/eda.py --config.data.archive=ARCHIVE
    python launch.py --config=configs/eda.py --config.data.archive=ARCHIVE --config.run=runs/covid

The second takes 93 seconds and 1.1 GB on two cores for the 5,907 images at 224 px, the dataset's
preparation and UMAP included. TEST is described like TRAIN, but the small classifiers that compare
normalisations and sizes never see it. `pip install -e ".[eda]"` adds UMAP; without it t-SNE is
drawn. The third maps the features of a finished classification run as well.

Arguments behind the colon: data, seed.
"""

import ml_collections

from configs import common


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The config; `arg` is what stands behind the colon."""
    values = common.parse_arg(arg, {"data": "auto", "seed": 0})
    config = ml_collections.ConfigDict()
    config.experiment = "eda"
    config.seed = values["seed"]  # of samples, embedding and intervals
    config.run = ""  # workdir of a finished classification run, whose features are mapped too

    config.size = 0  # pixels a side that features are measured at; 0: `auto_size` of the data
    config.auto_size = ml_collections.ConfigDict({"coronahack": 224, "phantom": 128})
    config.scaling_images = 900  # of TRAIN, on which squash and pad are compared

    config.embedding = ml_collections.ConfigDict()
    config.embedding.method = "auto"  # umap, tsne, none; auto: umap where installed, else tsne
    config.embedding.images = 6000  # most points; small classes are kept whole

    config.data = ml_collections.ConfigDict()
    config.data.source = values["data"]  # auto, coronahack, phantom
    config.data.data_dir = ""  # of a prepared dataset; "": TFDS's own default
    config.data.archive = ""  # Kaggle's zip, or the folder it unpacks to

    config.phantom = ml_collections.ConfigDict()
    config.phantom.images = 500  # synthetic radiographs
    config.phantom.seed = 0  # of the phantom alone
    config.phantom.size = 128  # pixels, about; sizes vary
    config.phantom.shortcuts = ""  # planted ones, of letter,size,border,brightness

    config.quiet = False  # no progress bars
    return config
