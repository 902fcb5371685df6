"""How the denoisers, Deep Image Priors and searches were made, from their configs."""

from collections.abc import Sequence

from covidjax.report.document import Block, Equation, Heading, Paragraph, Spans, prose
from covidjax.report.sections import words
from covidjax.report.sections.methods_shared import number, optimisation
from covidjax.runs.folder import Run

# Of each kind of noise: a sentence, and its formula.
NOISES: dict[str, tuple[Spans, str]] = {
    "gaussian": (
        prose(
            "Gaussian noise of standard deviation $\\sigma$ (of 255) on a clean image $v$, which "
            "gives $u$ [@dncnn]:"
        ),
        r"u = v + \frac{\sigma}{255} n, \quad n \sim \mathcal{N}(0, 1)",
    ),
    "low_dose": (
        prose(
            "A share $\\ell$ of the dose, with photons $N_0$, absorption $D$ and electronic noise "
            "$\\sigma_e$ that are assumed, for the files hold display values and no exposures "
            "[@foi2008]:"
        ),
        r"y \sim \mathrm{Poisson} \left( \ell N_0 e^{-D v} \right) + \mathcal{N}(0, \sigma_e^2), "
        r"\quad u = -\frac{1}{D} \log \, \frac{y}{\ell N_0}",
    ),
    "speckle": (
        prose("Speckle [@lee1980], which radiographs do not have but papers use:"),
        r"u = v (1 + \ell n), \quad n \sim \mathcal{N}(0, 1)",
    ),
    "salt_and_pepper": (
        prose("Dead pixels, a share $\\ell$ of all, half of them black, half white [@gonzalez]:"),
        r"P(u = 0) = P(u = 1) = \ell / 2",
    ),
    "grid": (
        prose("Lines of a stationary grid, of amplitude $a$ (of 255) and period $P$ [@lin2006]:"),
        r"u = v + \frac{a}{255} \cos \, \left( 2 \pi \left( \frac{x}{P} + \phi \right) \right)",
    ),
}
LOSSES: dict[str, tuple[Spans, str]] = {
    "psnr": (
        prose(
            "The loss is the logarithm of each image's squared error, by which every level of "
            "noise counts the same [@hinet]:"
        ),
        r"L = \frac{1}{n} \sum_i \frac{1}{2} \log \, \left( "
        r"\frac{1}{m} \left\| f(u_i) - v_i \right\|^2 + 10^{-8} \right)",
    ),
    "l1": (prose("The loss is the mean absolute error."), ""),
    "charbonnier": (
        prose("The loss is Charbonnier's [@charbonnier]:"),
        r"L = \sqrt{(f(u) - v)^2 + 10^{-6}}",
    ),
    "mse": (prose("The loss is the mean squared error."), ""),
}
UNETS: dict[str, Spans] = {
    "unet": prose(
        "a residual U-Net [@unet] without any additive constant, so that $f(a v) = a f(v)$ "
        "[@mohan2020], with blocks as in DRUNet [@drunet] on images folded to half their size "
        "[@ffdnet]"
    ),
    "dncnn": prose("DnCNN [@dncnn]"),
    "bottleneck": prose("a convolutional autoencoder with a narrow code [@vincent2008]"),
    "hourglass": prose("the skip hourglass of the reference [@ulyanov2018]"),
    "deep_decoder": prose("a deep decoder [@deepdecoder]"),
}
# What the stopping rules of Deep Image Prior watch, see covidjax/dip/stop.py.
VARIANCES = {
    "wmv": r"\mathrm{VAR}(t) = \frac{1}{W} \sum_{w=0}^{W-1} \left\| x_{t-w} - "
    r"\frac{1}{W} \sum_{j=0}^{W-1} x_{t-j} \right\|^2",
    "emv": r"v_t = (1 - a) \left( v_{t-1} + a \left\| x_t - m_{t-1} \right\|^2 \right), "
    r"\quad m_t = (1 - a) m_{t-1} + a x_t",
}


def denoisers(runs: Sequence[Run]) -> list[Block]:
    """The section's part on trained denoisers; empty without such runs."""
    if not runs:
        return []
    found: list[Block] = [Heading("Denoising"), *_noises(runs)]
    for name, some in words.grouped(runs, lambda run: run.setting("model.name")).items():
        counts = {run.results.get("network", {}).get("parameters") for run in some}
        known = [f"{count:,}" for count in sorted(c for c in counts if isinstance(c, int))]
        found.append(
            Paragraph(
                prose(
                    "The network of {runs} is {network}{parameters}, for images of {size} px.",
                    runs=words.names(some),
                    network=UNETS.get(str(name), (str(name),)),
                    parameters=f" ({words.listed(known)} parameters)" if known else "",
                    size=words.alike(some, "data.size"),
                )
            )
        )
    for name in sorted({str(run.setting("loss.name")) for run in runs} & LOSSES.keys()):
        sentence, tex = LOSSES[name]
        found += [Paragraph(sentence), *([Equation(tex)] if tex else [])]
    return [*found, optimisation(runs), *quality(runs)]


def _noises(runs: Sequence[Run]) -> list[Block]:
    found: list[Block] = []
    for kind, some in words.grouped(runs, lambda run: run.setting("noise.kind")).items():
        if kind not in NOISES:
            continue
        sentence, tex = NOISES[kind]
        found += [Paragraph(sentence), Equation(tex)]
        ranged = [run for run in some if run.setting("noise.low") is not None]
        if ranged:
            text = prose(
                "Each training image's level was drawn from {low} to {high} ({unit}).",
                low=words.alike(ranged, "noise.low", number),
                high=words.alike(ranged, "noise.high", number),
                unit=words.level_unit(str(kind)),
            )
            found.append(Paragraph(text))
    return found


def quality(runs: Sequence[Run]) -> list[Block]:
    """PSNR, SSIM and their kin; the methods beside; the diagnosis."""
    found: list[Block] = [
        Paragraph(
            prose(
                "Quality is measured by PSNR (pictures clipped to [0, 1]; means are of decibels), "
                "by SSIM [@ssim] with a Gaussian window of 11 pixels, its form over several scales "
                "[@msssim], and by GMSD [@gmsd], of which less is better:"
            )
        ),
        Equation(
            r"\mathrm{PSNR} = -10 \log_{10} \frac{1}{m} \left\| f(u) - v \right\|^2, \quad "
            r"\mathrm{SSIM} = \frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}"
            r"{(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}"
        ),
    ]
    tuned = [run for run in runs if any(run.results.get("denoising", {}).get("tuned", {}).values())]
    if tuned:
        found.append(
            Paragraph(
                prose(
                    "The usual methods beside it, BM3D [@bm3d] among them, were each tuned on "
                    "{images} validation images.",
                    images=words.listed(sorted({_tuning(run) for run in tuned})),
                )
            )
        )
    if any("diagnosis" in run.results for run in runs):
        found.append(
            Paragraph(
                prose(
                    "Whether the diagnosis is kept was asked of a finished classifier, which saw "
                    "the clean, the noisy and the denoised films; one that was trained on any of "
                    "them is refused."
                )
            )
        )
    return found


def _tuning(run: Run) -> str:
    """How many images tuned the methods: of the last evaluation, which may be newer."""
    evaluated = run.results.get("evaluated", {})
    return str(evaluated.get("tuning_images", run.setting("evaluate.tuning_images", "some")))


def priors(runs: Sequence[Run], told: Sequence[Run] = ()) -> list[Block]:
    """The section's part on Deep Image Prior; empty without such runs.

    Args:
      runs: of Deep Image Prior.
      told: denoisers, whose noises have been described already.
    """
    if not runs:
        return []
    names = sorted({str(run.setting("model.name")) for run in runs})
    rules = {str(run.setting("stop.rule")) for run in runs}
    found: list[Block] = [
        Heading("Deep Image Prior"),
        Paragraph(
            prose(
                "A network with random weights is fitted to each degraded image $v_0$ alone "
                "[@ulyanov2018]: {networks}, width {width}, at most {steps} steps of Adam [@adam] "
                "(learning rate {rate}), on an input $z$ perturbed at each step. $A$ is what was "
                "done to the image (task: {task}):",
                networks=words.joined([UNETS.get(name, (name,)) for name in names]),
                width=words.alike(runs, "model.width"),
                steps=words.alike(runs, "steps", number),
                rate=words.alike(runs, "optimizer.learning_rate", number),
                task=words.alike(runs, "task"),
            )
        ),
        Equation(r"\hat{\theta} = \arg \min_\theta \, \left\| A f_\theta(z) - v_0 \right\|^2"),
    ]
    known = {run.setting("noise.kind") for run in told}
    denoised = [
        run
        for run in runs
        if run.setting("task") == "denoise" and run.setting("noise.kind") not in known
    ]
    found += _noises(denoised)
    if rules & set(VARIANCES):
        found += [
            Paragraph(
                prose(
                    "Fitting stops by the running variance of the outputs $x_t$ [@wang2023], which "
                    "sees no clean image (rule: {rule}; window {window}, patience {patience} "
                    "steps); what is returned is a running average of the outputs.",
                    rule=words.alike(runs, "stop.rule"),
                    window=words.alike(runs, "stop.window"),
                    patience=words.alike(runs, "stop.patience"),
                )
            ),
            *(Equation(VARIANCES[rule]) for rule in sorted(rules & set(VARIANCES))),
        ]
    return found


def searches(runs: Sequence[Run]) -> list[Block]:
    """The section's part on hyperparameter searches; empty without such runs."""
    if not runs:
        return []
    return [
        Heading("Hyperparameter search"),
        Paragraph(
            prose(
                "{runs}: {trials} trials with Optuna [@optuna] (tree-structured Parzen estimator, "
                "pruning: {pruner}), each with a budget of its target's. Validation alone judged "
                "them; the first trial has the defaults.",
                runs=words.names(runs),
                trials=words.alike(runs, "tuner.trials"),
                pruner=words.alike(runs, "tuner.pruner"),
            )
        ),
    ]
