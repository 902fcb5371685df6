"""Step time, all-reduce and input from 1 to 256 devices, COMPUTED from the networks' shapes.

    python -m benchmarks.scaling_on_paper              # the tables of docs/scaling.md
    python -m benchmarks.scaling_on_paper --measure    # on 1 to 8 virtual devices of the CPU

Nothing in the first is measured: counted are the operations, parameters and layers of the shipped
networks; the hardware's figures are its makers'; the shares of them that are reached are
assumptions, which flags change. The second measures what can be measured on a CPU: what the
compiled step really sends, and that virtual devices, which share the cores, are no faster.
"""

import argparse
import dataclasses
import importlib
import math
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

DEVICES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
VIRTUAL = (1, 2, 4, 8)
# Name -> (config file, argument, pixels a side, images a device).
NETWORKS = {
    "cnn, 64 px": ("cnn", "", 64, 64),
    "resnet-18, 224 px": ("resnet", "depth=18", 224, 64),
    "resnet-50, 224 px": ("resnet", "depth=50", 224, 64),
    "u-net (dae), 128 px": ("dae", "", 128, 32),
}


@dataclasses.dataclass(frozen=True)
class Hardware:
    """One device and what joins it to the others; bytes and operations a second.

    Attributes:
      flops: peak of the matrix units, bfloat16, dense.
      memory: bandwidth of the device's memory.
      link: to the other devices, in one direction.
      near: devices that are so joined; beyond them `far` is the link.
      source: of the figures.
    """

    name: str
    flops: float
    memory: float
    link: float
    near: int
    far: float
    source: str


HARDWARE = (
    # 400 GB/s are both directions of 4 ports; a ring along one axis of the torus uses 2 of them.
    Hardware(
        "TPU v5e", 197e12, 819e9, 100e9, 256, 100e9, "https://docs.cloud.google.com/tpu/docs/v5e"
    ),
    # NVLink: 900 GB/s are both directions. Beyond 8 one 400 Gbit/s adapter a GPU.
    Hardware(
        "H100 SXM", 989e12, 3350e9, 450e9, 8, 50e9, "https://www.nvidia.com/en-us/data-center/h100/"
    ),
)


@dataclasses.dataclass(frozen=True)
class Assumed:
    """What no data sheet tells.

    Attributes:
      efficiency: share of the peak that convolutions reach.
      passes: times that a step moves each layer's output through the memory, both ways together.
      reached: share of the link's bandwidth that an all-reduce reaches.
      latency: seconds of an all-reduce between two devices; it grows with the devices' logarithm.
    """

    efficiency: float = 0.3
    passes: float = 10.0
    reached: float = 0.7
    latency: float = 10e-6


@dataclasses.dataclass(frozen=True)
class Counted:
    """Of one network: a train step's operations and outputs an image, parameters, BatchNorms."""

    flops: int
    outputs: int
    parameters: int
    norms: int
    pixels: int


def count(config_name: str, argument: str, size: int) -> Counted:
    """Counts a shipped network, without computing anything."""
    from covidjax.classify import check as classify_check
    from covidjax.denoise import check as denoise_check

    config = importlib.import_module(f"configs.{config_name}").get_config(argument)
    check: Any = denoise_check if config.experiment == "denoise" else classify_check
    return count_model(check.create_model(config), size)


def count_model(model: Any, size: int) -> Counted:
    """Counts a network for gray images of size x size pixels."""
    import jax
    import jax.numpy as jnp

    from covidjax.training import flops

    found = flops.count(model, (size, size, 1))
    made = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 1)))
    norms = len(jax.tree.leaves(made.get("batch_stats", {}))) // 2
    return Counted(found.train, found.outputs, found.parameters, norms, size * size)


def all_reduce_bytes(parameters: int, devices: int) -> float:
    """Bytes that each device sends for the float32 gradients: a ring's 2 (n - 1) / n."""
    return 2 * (devices - 1) / devices * 4 * parameters


def step_seconds(
    counted: Counted, images: int, devices: int, on: Hardware, assumed: Assumed
) -> tuple[float, float]:
    """Seconds of computing, and of communication that follows it (none is hidden behind it).

    Computing takes what arithmetic or memory takes, whichever is longer. BatchNorm's statistics are
    those of the global batch: one small all-reduce a layer forwards and one backwards, as --measure
    counts them in the compiled step.
    """
    arithmetic = images * counted.flops / (on.flops * assumed.efficiency)
    memory = images * counted.outputs * 2 * assumed.passes / on.memory
    if devices == 1:
        return max(arithmetic, memory), 0.0
    link = (on.link if devices <= on.near else on.far) * assumed.reached
    small = (1 + 2 * counted.norms) * assumed.latency * math.log2(devices)
    return max(arithmetic, memory), all_reduce_bytes(counted.parameters, devices) / link + small


def heading(first: str, *others: str) -> Iterator[str]:
    """The first two lines of a table: names on the left, numbers on the right."""
    yield f"| {' | '.join((first, *others))} |"
    yield f"| --- |{' ---: |' * len(others)}"


def row(
    name: str, counted: Counted, images: int, devices: int, on: Hardware, assumed: Assumed
) -> str:
    """One line of Markdown; `images` a device (weak scaling)."""
    alone = images / step_seconds(counted, images, 1, on, assumed)[0]
    computing, talking = step_seconds(counted, images, devices, on, assumed)
    whole = computing + talking
    rate = devices * images / whole
    cells = (
        name,
        on.name,
        str(devices),
        f"{devices * images:,}",
        f"{1e3 * whole:.3g}",
        f"{talking / whole:.0%}",
        f"{all_reduce_bytes(counted.parameters, devices) / 1e6:.3g}",
        f"{rate:,.0f}",
        f"{rate / devices / alone:.0%}",
        f"{rate * counted.pixels / 1e6:,.0f}",
        f"{1e8 * devices / rate / 3600:.3g}",
    )
    return f"| {' | '.join(cells)} |"


def on_paper(assumed: Assumed) -> Iterator[str]:
    """Both tables, in Markdown: the networks, and each on all numbers of devices."""
    networks = {name: count(*what[:3]) for name, what in NETWORKS.items()}
    counts = ("operations a train step and image", "parameters", "BatchNorm layers")
    yield from heading("network", *counts, "layers' outputs an image")
    for name, counted in networks.items():
        yield (
            f"| {name} | {counted.flops / 1e9:.3g} GFLOP | {counted.parameters:,} | "
            f"{counted.norms} | {counted.outputs / 1e6:.3g} million |"
        )
    yield ""
    columns = ("devices", "global batch", "step, ms", "of it communication", "sent a device, MB")
    more = ("images/s", "efficiency", "input, MB/s", "device-hours for 100 million images")
    yield from heading("network (computed)", "hardware", *columns, *more)
    for name, counted in networks.items():
        for on in HARDWARE:
            for devices in DEVICES:
                yield row(name, counted, NETWORKS[name][3], devices, on, assumed)


def measure(batch: int, size: int, seconds: float) -> Iterator[str]:
    """Collectives and step times of the CNN on virtual devices of this machine's CPU."""
    import jax

    from benchmarks import ours
    from covidjax.classify import check as classify_check
    from covidjax.classify import loss as objective
    from covidjax.training import optimizer, sharding, state, steps

    config = ours.config_of("cnn")
    config.model.kernels = "plain"  # as on accelerators; the CPU's Winograd sums 36 planes, not 9
    model = classify_check.create_model(config)
    tx = optimizer.create(steps=1000, **config.optimizer.to_dict())
    loss_fn = objective.make_loss(model, model.num_classes, config.label_smoothing, None)
    ours.start()
    columns = ("virtual devices", "all-reduces", "bytes in them", "of gradients, computed")
    yield from heading(*columns, "images/s")
    for devices in VIRTUAL:
        mesh = sharding.make_mesh(jax.devices()[:devices])
        made = state.create(model, tx, (size, size, 1), jax.random.key(0), mesh)
        expected = 4 * state.parameter_count(made.params)
        data = sharding.to_device(ours.random_batch(batch, size), mesh)
        step = steps.compile_train_step(mesh, loss_fn=loss_fn, optimizer=tx, ema_decay=config.ema)
        compiled = step.lower(made, data, jax.random.key(1)).compile()  # type: ignore[attr-defined]
        number, sent = all_reduces(compiled.as_text())
        made, _ = compiled(made, data, jax.random.key(1))
        jax.block_until_ready(made)
        began, times = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            made, _ = compiled(made, data, jax.random.key(1))
            jax.block_until_ready(made)
            times += 1
        rate = times * batch / (time.perf_counter() - began)
        shown = f"{expected:,}" if devices > 1 else "0"
        yield f"| {devices} | {number} | {sent:,} | {shown} | {rate:.0f} |"


def all_reduces(program: str) -> tuple[int, int]:
    """How many there are in a compiled program's text, and the bytes of their results."""
    number, total = 0, 0
    for line in program.splitlines():
        match = re.search(r"= (.+?) all-reduce(-start)?\(", line)
        if match:
            number += 1
            for kind, shape in re.findall(r"([a-z]+\d+)\[([\d,]*)\]", match[1]):
                width = int(re.sub(r"\D", "", kind)) // 8
                total += width * math.prod(int(side) for side in shape.split(",") if side)
    return number, total


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling_on_paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for field in dataclasses.fields(Assumed):
        parser.add_argument(f"--{field.name}", type=float, default=field.default)
    parser.add_argument("--measure", action="store_true", help="on virtual devices of this CPU")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    options = parser.parse_args(arguments)
    if options.measure:
        import jax

        jax.config.update("jax_num_cpu_devices", max(VIRTUAL))
        lines = measure(options.batch, options.size, options.seconds)
    else:
        values = {field.name: getattr(options, field.name) for field in dataclasses.fields(Assumed)}
        lines = on_paper(Assumed(**values))
    for line in lines:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
