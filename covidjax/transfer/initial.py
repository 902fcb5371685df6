"""A train state with weights that exist; and the check that they never saw the test images."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from covidjax.data import manifest
from covidjax.data.source import Prepared
from covidjax.data.splits import Fold, LeakError
from covidjax.runs import folder as runs
from covidjax.training import sharding
from covidjax.training.state import TrainState
from covidjax.transfer import convert, sources

RUN = "run:"


def load(init: str, network: str, variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The variables of our ResNet that `init` gives, and the layers that it leaves fresh.

    Args:
      init: `run:WORKDIR[#NETWORK]` or what `sources.read` takes.
      network: the one to be trained, such as "fold0": a run's network of that name is taken, if
        it has one and `init` names none.
      variables: fresh `params` and `batch_stats`, or their shapes.

    Raises:
      RunError, sources.SourceError, convert.MismatchError: nothing there, or nothing that fits.
    """
    if not init.startswith(RUN):
        return convert.from_torch(sources.read(init), variables)
    run, chosen = run_network(init, network)
    saved = runs.read_network(run, chosen)
    return convert.from_run(saved, variables, f"{RUN}{run.folder}{'#' * bool(chosen)}{chosen}")


def run_network(init: str, network: str) -> tuple[runs.Run, str]:
    """The run of `run:WORKDIR[#NETWORK]`, and the name of a network of it.

    Without `#NETWORK` the one called like `network`, else the first one of the same fold, else the
    first.

    Raises:
      RunError, SourceError: no such run or network.
    """
    name, _, wanted = init.removeprefix(RUN).partition("#")
    run = runs.read(name)
    networks = runs.networks(run)
    if not networks:
        raise sources.SourceError(f"config.init={init}: the run's checkpoints are gone")
    if wanted:
        if wanted not in networks:
            known = ", ".join(networks) if networks != [""] else "one without a name"
            raise sources.SourceError(
                f"config.init={init}: the run has no such network; it has {known}"
            )
        return run, wanted
    of_fold = [name for name in networks if name.split("-")[0] == network.split("-")[0]]
    return run, network if network in networks else (of_fold or networks)[0]


def begin(init: str, network: str, state: TrainState) -> TrainState:
    """The fresh state with the weights of `init` in place of the random ones, averages too.

    Raises:
      As `load`.
    """
    fresh = {"params": state.params, "batch_stats": state.batch_stats}
    mesh = jax.tree.leaves(fresh)[0].sharding.mesh
    gathered = jax.tree.map(np.asarray, sharding.whole(fresh, mesh))  # some may be cut
    variables, _ = load(init, network, gathered)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, fresh)
    # Two copies, for a donated state must not hold the same buffer twice.
    place = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=shardings)
    trained, averaged = place(variables), place(variables)
    return dataclasses.replace(
        state,
        params=trained["params"],
        batch_stats=trained["batch_stats"],
        ema_params=averaged["params"],
        ema_batch_stats=averaged["batch_stats"],
    )


def check(
    init: str,
    model: nn.Module,
    image_shape: tuple[int, int, int],
    networks: Sequence[tuple[str, Fold]],
    table: pd.DataFrame,
    prepared: Prepared,
) -> str:
    """Reads and compares everything before a run begins; one line for the reader.

    Args:
      init: as in `load`.
      model, image_shape: of the networks to be trained.
      networks: name and fold of each.
      table, prepared: the data.

    Raises:
      RunError, sources.SourceError, convert.MismatchError: nothing there, or nothing that fits.
      LeakError: an earlier run was trained on, or chose its epoch by, images of a fold's test part
        or of their groups.
    """
    image = jnp.zeros((1, *image_shape))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = {"params": shapes["params"], "batch_stats": shapes["batch_stats"]}
    is_run = init.startswith(RUN)
    for name, fold in networks:
        fresh = load(init, name, variables)[1]
        if not is_run:
            break  # the same file for all
        _check_unseen(init, name, fold, table, prepared)
    return f"Starting from {init}" + (f", with a fresh {', '.join(fresh)}" if fresh else "")


def _check_unseen(
    init: str, network: str, fold: Fold, table: pd.DataFrame, prepared: Prepared
) -> None:
    run, chosen = run_network(init, network)
    workdir, data = run.folder, run.data
    phantom = prepared.kind == "phantom"
    # Phantoms share their names, not their images.
    if phantom != (data["kind"] == "PHANTOM"):
        return
    if phantom and data["fingerprint"] != prepared.fingerprint:
        return
    try:
        split = manifest.read_rows(workdir / "split.csv")
    except manifest.ManifestError as error:
        raise sources.SourceError(
            f"config.init={init}: what it was trained on is not known: {error}"
        ) from error
    number = re.match(r"fold(\d+)", chosen)
    if number:
        split = split[split["fold"] == int(number[1])]
    seen = split[split["part"] != "test"]
    test = table.iloc[fold.test]
    shared = test[test["group"].isin(set(seen["group"])) | test["image"].isin(set(seen["image"]))]
    if len(shared):
        raise LeakError(
            f"config.init={init}: {len(shared)} of the {len(test)} test images of "
            f"{fold.name or 'the split'}, such as {shared['image'].iloc[0]}, or others of their "
            f"patients, were trained on in {workdir / 'checkpoints' / chosen}. Such a score would "
            "mean nothing. Train that run on a split that leaves them out: python -m "
            "covidjax.transfer.widen makes one."
        )
