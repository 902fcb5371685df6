"""Writes a run's networks as one file: `python -m covidjax.export --run=WORKDIR --out=FILE`

FILE is a `jax.export` (StableHLO) program for CPU, CUDA and TPU that needs JAX and nothing of this
project: gray images, uint8 [b, height, width] of any b, height and width, air black, to calibrated
probabilities float32 [b, classes]. Resizing, equalization, normalization, the mirror, the mean over
networks and the calibration are inside. FILE.json has the classes, the threshold and the shortcut
audit's verdict.

    import jax, json, pathlib
    program = jax.export.deserialize(bytearray(pathlib.Path("FILE").read_bytes()))
    probabilities = program.call(images)

JAX reads such a file for six months after the version that wrote it was released; FILE.json names
that version. It is compiled anew for each size of images. `predict` decodes large JPEG files at a
reduced scale, as training did, so its probabilities for them differ (by up to 0.02 in 13 of the
archive's).
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import covidjax
from covidjax import locking
from covidjax.classify import check as classify_check
from covidjax.classify import loss as objective
from covidjax.classify import trained
from covidjax.cli.commands import documented, path_argument, run_command
from covidjax.data import preprocess_jax
from covidjax.evidence import recalibration
from covidjax.runs import results
from tfds_coronahack.paths import readable

PLATFORMS = ("cpu", "cuda", "tpu")
PROMISE = (
    "by the JAX that wrote it, {}, and by those that are released in the six months after it; then "
    "export the run again"
)
WARNING = "research only: no medical device, and no more than the verdict says"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status, 2 where nothing was written."""
    parser = documented("covidjax.export", __doc__)
    parser.add_argument(
        "--run", type=path_argument, required=True, help="workdir of a finished run"
    )
    parser.add_argument(
        "--out", type=path_argument, required=True, help="file to write; FILE.json beside it"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace that file")
    options = parser.parse_args(arguments)
    return run_command("export", lambda: _write(options.run, options.out, options.overwrite))


def _write(folder: Path, out: Path, overwrite: bool) -> int:
    described = out.with_name(out.name + ".json")
    if not overwrite and (there := [path for path in (out, described) if path.exists()]):
        raise ValueError(f"{there[0]} is there; give another --out, or --overwrite")
    run = trained.load(folder)
    program = export(run)
    with locking.temporary(out) as file:
        file.write(program)
    results.write_results(described, describe(run))
    mark = " (PHANTOM)" if run.phantom else ""
    megabytes = f"{len(program) / 1e6:,.1f} MB{mark}"
    print(f"{readable(out)}: {megabytes}\n{readable(described)}: classes and threshold")
    return 0


def export(run: trained.Trained) -> bytes:
    """The serialized program of a run, for `jax.export.deserialize`."""
    shape = jax.export.symbolic_shape("b, height, width")
    images = jax.ShapeDtypeStruct(shape, jnp.uint8)
    program = jax.export.export(jax.jit(make_program(run)), platforms=PLATFORMS)(images)
    return bytes(program.serialize())


def make_program(run: trained.Trained) -> Callable[[jax.Array], jax.Array]:
    """uint8 [b, height, width] -> calibrated probabilities float32 [b, classes], weights inside.

    As `trained.make_predict`, by XLA's own kernels: which others are fastest depends on the device
    that compiles, and the program has to run on all.
    """
    config = run.config.copy_and_resolve_references()
    if "kernels" in config.model:
        config.model.kernels = "plain"
    predict = objective.make_predict(classify_check.create_model(config), config.mirror)
    networks = list(run.networks.values())

    def program(images: jax.Array) -> jax.Array:
        data = config.data
        prepared = preprocess_jax.prepare_images(images, data.size, data.equalize, data.resize)
        found = [
            predict(part["params"], part["batch_stats"], prepared[..., None]) for part in networks
        ]
        return recalibration.combine(run.map, jnp.stack(found), run.config.members, jnp)

    return program


def describe(run: trained.Trained) -> dict[str, Any]:
    """What stands in FILE.json."""
    data = run.config.data
    return {
        "task": run.config.task,
        "data": "PHANTOM" if run.phantom else "coronahack",
        "classes": list(run.classes),
        "probabilities": run.scale,
        "threshold": run.threshold,
        "call": "class 1 where its probability is at least the threshold"
        if run.threshold is not None
        else "the most probable class",
        "verdict": run.verdict,
        "warning": WARNING,
        "written_by": {"jax": jax.__version__, "covidjax": covidjax.__version__},
        "readable": PROMISE.format(jax.__version__),
        "networks": len(run.networks),
        "platforms": list(PLATFORMS),
        "input": {
            "dtype": "uint8",
            "shape": ["b", "height", "width"],
            "colour": "gray, one channel, 0 to 255",
            "air": "black (0)",
        },
        "inside": {
            "size": data.size,
            "resize": data.resize,
            "equalize": data.equalize,
            "mirror": bool(run.config.mirror),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
