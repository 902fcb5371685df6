"""What of a session was not as `docs/scaling.md` computes it, one line each."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.accelerator.parts import Row
from benchmarks.scaling_on_paper import HARDWARE, Assumed, Counted, Hardware, step_seconds

# What a device calls itself -> its data sheet. The first two are those of docs/scaling.md.
SHEETS = {
    "TPU v5 lite": HARDWARE[0],
    "H100": HARDWARE[1],
    "H200": Hardware(
        "H200 SXM", 989e12, 4800e9, 450e9, 8, 50e9, "https://www.nvidia.com/en-us/data-center/h200/"
    ),
    "A100": Hardware(
        "A100 SXM", 312e12, 2039e9, 300e9, 8, 25e9, "https://www.nvidia.com/en-us/data-center/a100/"
    ),
}
TOLERATED = 0.25  # share by which a time may differ from the computed one
CEILING = 0.1  # and a speed from its data sheet
IDLE = 0.05  # of the device's time


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Sentences about ceilings, steps and input that differ from what is computed."""
    matrix, memory = ceilings(rows)
    sheet = sheet_of(rows)
    if sheet:
        yield from _ceiling(
            "matrix products in bfloat16", matrix / 1e12, sheet.flops / 1e12, "TFLOP/s"
        )
        yield from _ceiling("memory", memory / 1e9, sheet.memory / 1e9, "GB/s")
    elif matrix and memory:
        sheet = Hardware("the measured speeds", matrix, memory, float("inf"), 1, float("inf"), "")
        yield "This device's data sheet is not known here: steps are computed from measured speeds."
    if sheet:
        for row in of_part(rows, "steps"):
            if row.get("dtype") == "bfloat16" and "_counted" in row:
                yield from _step(row, sheet)
    for row in of_part(rows, "input"):
        if row.get("idle", 0) > IDLE:
            yield (
                f"{row['name']}: the device computes nothing for {row['idle']:.0%} of an epoch; "
                "computed is that its input is always there in time."
            )


def of_part(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows of a part."""
    return [row for row in rows if row.get("part") == name]


def ceilings(rows: Sequence[Row], dtype: str = "bfloat16") -> tuple[float, float]:
    """Measured operations a second of matrix products, and bytes a second; 0: not measured."""
    measured = {row["name"]: row for row in of_part(rows, "devices")}
    product = measured.get(f"matrix product {dtype}, precision default", {})
    memory = measured.get("memory, read and written", {})
    return 1e12 * product.get("TFLOP/s", 0.0), 1e9 * memory.get("GB/s", 0.0)


def sheet_of(rows: Sequence[Row]) -> Hardware | None:
    """The data sheet of the devices that a session ran on, where it is known here."""
    names = [row["name"] for row in of_part(rows, "devices") if "devices" in row]
    return next((SHEETS[key] for key in SHEETS for name in names if key in name), None)


def _ceiling(what: str, measured: float, written: float, unit: str) -> Iterator[str]:
    if measured and abs(measured / written - 1) > CEILING:
        yield (
            f"{what}: {measured:,.0f} {unit}, {measured / written:.0%} of the data sheet's "
            f"{written:,.0f}."
        )


def _step(row: dict[str, Any], sheet: Hardware) -> Iterator[str]:
    """A line where a step's time differs from the computed one."""
    counted, assumed = Counted(**row["_counted"]), Assumed()
    devices, batch = int(row["devices"]), int(row["batch"])
    computed = 1e3 * sum(step_seconds(counted, batch, devices, sheet, assumed))
    ratio = row["ms a step"] / computed
    if abs(ratio - 1) > TOLERATED:
        reached = counted.flops * batch * 1e3 / row["ms a step"] / sheet.flops
        where = f"batch {batch}" + (f" a device, {devices} devices" if devices > 1 else "")
        yield (
            f"{row['name']}, {where}: {row['ms a step']:.3g} ms a step, computed {computed:.3g} "
            f"({ratio:.2f} times). It reaches {reached:.0%} of {sheet.flops / 1e12:,.3g} TFLOP/s; "
            f"assumed is {assumed.efficiency:.0%}, or {assumed.passes:g} passes through the memory."
        )
