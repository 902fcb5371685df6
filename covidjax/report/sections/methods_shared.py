"""What several experiments have in common: the optimiser, averaged weights, and the intervals."""

from collections.abc import Sequence
from typing import Any

from covidjax.report.document import Block, Equation, Heading, Paragraph, prose
from covidjax.report.sections import words
from covidjax.runs.folder import Run

TITLE = "Optimisation and intervals"
OPTIMISERS = {
    "adamw": prose("AdamW [@adamw]"),
    "sgd": prose("stochastic gradient descent with Nesterov's momentum"),
}


def optimisation(runs: Sequence[Run]) -> Paragraph:
    """How classifiers, or denoisers, were trained; `shared` has the equations."""
    names = sorted({str(run.setting("optimizer.name")) for run in runs})
    length = "epochs" if any(run.experiment == "classify" for run in runs) else "steps"
    return Paragraph(
        prose(
            "It was minimised by {optimiser} for {length} " + length + " of batches of {batch}: "
            "weight decay {decay}, gradients clipped to norm {clip}, peak of the learning rate "
            "$\\eta_{max}$ = {rate} after a share $w$ = {warmup} of all updates, average of the "
            "weights with $\\alpha$ = {ema}.",
            optimiser=words.joined([OPTIMISERS.get(name, (name,)) for name in names]),
            length=words.alike(runs, length, number),
            batch=words.alike(runs, "batch_size"),
            decay=words.alike(runs, "optimizer.weight_decay", number),
            clip=words.alike(runs, "optimizer.clip", number),
            rate=words.alike(runs, "optimizer.learning_rate", number),
            warmup=words.alike(runs, "optimizer.warmup", number),
            ema=words.alike(runs, "ema", number),
        )
    )


def shared(runs: Sequence[Run]) -> list[Block]:
    """The equations of what is trained, and how the intervals of all runs were made."""
    found: list[Block] = []
    if any(run.experiment in ("classify", "denoise") for run in runs):
        found += [
            Paragraph(
                prose(
                    "Over the first updates the learning rate $\\eta$ rises linearly, then it "
                    "falls along a cosine [@cosine] to a hundredth of its peak; $t$ of $T$ updates:"
                )
            ),
            Equation(
                r"\eta(t) = \eta_{max} \left( 0.01 + 0.99 \cdot \frac{1}{2} "
                r"\left( 1 + \cos \, \frac{\pi (t - w T)}{(1 - w) T} \right) \right), "
                r"\quad t \geq w T"
            ),
            Paragraph(
                prose(
                    "The weights that were evaluated are a running average $\\bar{\\theta}$ "
                    "[@averaging] of those trained, $\\theta$:"
                )
            ),
            Equation(r"\bar{\theta}_t = \alpha \bar{\theta}_{t-1} + (1 - \alpha) \theta_t"),
        ]
    resampled = [run for run in runs if run.experiment in ("denoise", "dip")]
    if resampled:
        found.append(
            Paragraph(
                prose(
                    "Intervals of image quality are 95 % percentile intervals of {samples} "
                    "bootstrap resamples of groups, not of images, for the images of one patient "
                    "are not independent [@field2007].",
                    samples=_samples(resampled),
                )
            )
        )
    return [Heading(TITLE), *found] if found else []


def _samples(runs: Sequence[Run]) -> str:
    counts = sorted({int(run.setting("bootstrap_samples", 2000)) for run in runs})
    return " or ".join(f"{count:,}" for count in counts)


def number(value: Any) -> str:
    """A setting as it is written: 0.001, 10,000."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
