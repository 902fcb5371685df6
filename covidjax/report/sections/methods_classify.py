"""How the classifiers were made, in words and equations, from their configs."""

from collections.abc import Mapping, Sequence
from typing import Any

from covidjax.report.collect import looks_at_test
from covidjax.report.document import Block, Equation, Heading, Paragraph, prose
from covidjax.report.sections import words
from covidjax.report.sections.methods_shared import number, optimisation
from covidjax.runs.folder import Run

EQUALISED = {
    "none": "their gray levels as they are",
    "histogram": "their histogram equalised over the image",
    "clahe": "equalised by contrast-limited adaptive histograms (8 x 8 tiles, clip limit 2)",
}
SELECTED = {"best": "that did best on validation", "last": "at the end of training"}
BALANCED = {
    "loss": "weighted so that every class weighs the same in all",
    "sampling": "drawn so that every class comes equally often",
    "none": "all weighted alike",
}
# What each `config.calibration` makes of the networks' probabilities.
SCALES = {
    "none": "as the networks give them",
    "temperature": "scaled by one slope $a$ of the logarithms $z$ of the networks' [@guo2017], "
    "after the class weights of the loss were divided out, fitted on validation",
    "shift": "shifted by $b$ from the logarithms $z$ of the networks', fitted on validation",
    "platt": "made of the logarithms $z$ of the networks' by a slope $a$ and shifts $b$ "
    "[@platt1999], fitted on validation",
    "beta": "made of the networks' by beta calibration [@kull2017], fitted on validation",
    "isotonic": "made of the networks' by isotonic regression [@zadrozny2002] on validation",
}
# What each field of `data.augment.Augmentation` does to an image of training.
AUGMENTED = {
    "rotation": "turned by up to {rotation} degrees",
    "scale": "zoomed (logarithm of the factor up to {scale})",
    "stretch": "stretched (logarithm of height against width up to {stretch})",
    "shift": "shifted by up to {shift} of their side",
    "flip": "mirrored left to right with probability {flip}",
    "gamma": "their gray levels raised to a random power (logarithm up to {gamma})",
    "contrast": "their contrast changed (logarithm of the factor up to {contrast})",
    "brightness": "their brightness shifted by up to {brightness} of the range",
    "shading": "shaded smoothly (gain up to {shading})",
    "blur": "blurred or sharpened (share of a 3 x 3 binomial blur up to {blur})",
    "noise": "covered with white noise (standard deviation up to {noise})",
    "erase": "one rectangle with sides of up to {erase} of the image's set to its mean",
}


def classifiers(runs: Sequence[Run]) -> list[Block]:
    """The section's part on classification; empty without such runs."""
    if not runs:
        return []
    return [
        Heading("Classification"),
        *_split(runs),
        *_input(runs),
        *_network(runs),
        *_loss(runs),
        *_choice(runs),
        Heading("Figures of classification"),
        *figures(runs),
        *_evidence(runs),
    ]


def _split(runs: Sequence[Run]) -> list[Block]:
    found: list[Block] = []
    for kind, some in words.grouped(runs, lambda run: run.setting("split")).items():
        if kind == "kfold":
            text = prose(
                "Grouped, stratified cross-validation in {folds} folds ({runs}): every image is "
                "tested once, by a network that has seen none of its group, and each fold "
                "validates on a grouped part of its training images (share: {share}).",
                folds=words.alike(some, "folds"),
                runs=words.names(some),
                share=words.alike(some, "validation_fraction"),
            )
        else:
            text = prose(
                "Kaggle's own TRAIN and TEST ({runs}), validation taken out of TRAIN by group "
                "(share: {share}; way: {way}). Each run looks at TEST once, when its network and "
                "threshold are chosen, so the runs of this report have looked at it {looks}, and "
                "of all finished runs with the same data in the same folders {all} have; "
                "images of TRAIN whose group TEST has too were left out.",
                looks="once" if len(some) == 1 else f"{len(some)} times",
                all=f"{looks_at_test(some):,}",
                runs=words.names(some),
                share=words.alike(some, "validation_fraction"),
                way=words.alike(some, "validation", _validation),
            )
        found.append(Paragraph(text))
    found.append(
        Paragraph(
            prose(
                "A group is a patient or an examination, joined with all others that hold an "
                "identical or nearly identical picture; no known group is on two sides of a split."
            )
        )
    )
    return found


def _validation(way: Any) -> str:
    shifted = "both ends of every series of film numbers, to imitate TEST's shift"
    return {"shifted": shifted, "random": "at random"}.get(str(way), str(way))


def _input(runs: Sequence[Run]) -> list[Block]:
    clahe = any(run.setting("data.equalize") == "clahe" for run in runs)
    used = {
        name: phrase
        for name, phrase in AUGMENTED.items()
        if any(run.setting(f"augment.{name}") for run in runs)
    }
    values = {name: words.alike(runs, f"augment.{name}", number) for name in used}
    changed = (
        f" While training they were changed at random: {'; '.join(used.values())}." if used else ""
    )
    return [
        Paragraph(
            prose(
                "Images were reduced to {size} pixels a side ({resize}), {equalise}{cite}."
                + changed,
                size=words.alike(runs, "data.size"),
                resize=words.alike(runs, "data.resize"),
                equalise=words.alike(runs, "data.equalize", _equalised),
                cite=prose(" [@clahe]") if clahe else (),
                **values,
            )
        )
    ]


def _equalised(way: Any) -> str:
    return EQUALISED.get(str(way), str(way))


def _network(runs: Sequence[Run]) -> list[Block]:
    found: list[Block] = []
    for name, some in words.grouped(runs, lambda run: run.setting("model.name")).items():
        if name == "cnn":
            text = prose(
                "The CNN ({runs}) has stages of {widths} channels with {convs} convolutions of 3 x "
                "3 each, every one followed by batch normalisation [@batchnorm] and a ReLU, 2 x 2 "
                "max pooling between the stages, a mean over all positions, dropout with rate "
                "{dropout} and one linear layer.",
                runs=words.names(some),
                widths=words.alike(some, "model.widths", _list),
                convs=words.alike(some, "model.convs"),
                dropout=words.alike(some, "model.dropout", number),
            )
        elif name == "resnet":
            text = prose(
                "The residual network ({runs}) is a ResNet-{depth} [@resnet] with batch "
                "normalisation [@batchnorm]. Weights to start from: {init}.",
                runs=words.names(some),
                depth=words.alike(some, "model.depth"),
                init=words.alike(some, "init", lambda init: init or "random", "random"),
            )
        else:
            text = prose("Network {name} ({runs}).", name=str(name), runs=words.names(some))
        found.append(Paragraph(text))
    return found


def _list(values: Any) -> str:
    return words.listed([str(v) for v in values]) if isinstance(values, list) else str(values)


def _loss(runs: Sequence[Run]) -> list[Block]:
    return [
        Paragraph(
            prose(
                "The loss is the cross entropy of the softmax $p$ against smoothed labels "
                "[@smoothing], with $K$ classes and $\\varepsilon$ = {smoothing}; examples $i$ are "
                "{balance}, by the weights $w_i$:",
                smoothing=words.alike(runs, "label_smoothing", number),
                balance=words.alike(runs, "balance", lambda way: BALANCED.get(str(way), str(way))),
            )
        ),
        Equation(
            r"L = -\frac{1}{n} \sum_{i=1}^{n} w_i \sum_{k=1}^{K} "
            r"\left( (1 - \varepsilon) y_{ik} + \frac{\varepsilon}{K} \right) \log \, p_{ik}"
        ),
        optimisation(runs),
    ]


def _choice(runs: Sequence[Run]) -> list[Block]:
    return [
        Paragraph(
            prose(
                "Evaluated were the weights {select}, called at {threshold}; the prediction is "
                "{mirror}.",
                select=words.alike(runs, "select", lambda way: SELECTED.get(str(way), str(way))),
                threshold=words.alike(runs, "threshold", _threshold),
                mirror=words.alike(runs, "mirror", _mirror),
            )
        )
    ]


def _mirror(on: Any) -> str:
    return "the mean over an image and its mirror" if on else "that of the image as it is"


def _threshold(rule: Any) -> str:
    chosen = "the threshold of the best balanced accuracy on validation"
    return chosen if rule == "validation" else f"the threshold {rule}"


def figures(runs: Sequence[Run]) -> list[Block]:
    """The figures, their intervals, and calibration."""
    return [
        Paragraph(
            prose(
                "The AUROC is the chance that a positive image gets a higher score $s$ than a "
                "negative one [@hanley1982]; balanced accuracy is the mean of sensitivity and "
                "specificity. Of several classes each is taken against the rest, and the mean."
            )
        ),
        Equation(
            r"\mathrm{AUROC} = \frac{1}{n_1 n_0} \sum_{i: y_i = 1} \sum_{j: y_j = 0} "
            r"\left( [s_i > s_j] + \frac{1}{2} [s_i = s_j] \right)"
        ),
        Paragraph(
            prose(
                "The Brier score [@brier1950] is the mean squared error of the probabilities; the "
                "expected calibration error (ECE) compares, in 15 bins $B_b$ of equal width, the "
                "mean probability with the share that came true:"
            )
        ),
        Equation(
            r"\mathrm{ECE} = \sum_{b=1}^{15} \frac{|B_b|}{n} "
            r"\left| \overline{y}_{B_b} - \overline{p}_{B_b} \right|"
        ),
        *_calibration(runs),
        Paragraph(
            prose(
                "Intervals are of 95 %, over groups: of the AUROC by a score interval with "
                "DeLong's variance for clusters [@delong1988; @obuchowski1997], of rates by "
                "Clopper's and Pearson's with the effective number of images [@korn1998], of what "
                "combines them "
                "by their distances from the limits [@zou2008]. How often they cover the truth for "
                "few patients was simulated: `docs/statistics.md` of the programme."
            )
        ),
    ]


def _calibration(runs: Sequence[Run]) -> list[Block]:
    """How the probabilities were put on one scale, where the runs know."""
    some = [run for run in runs if "map" in (run.results.get("calibration") or {})]
    if not some:
        return []
    found: list[Block] = []
    for method, own in words.grouped(
        some, lambda run: run.results["calibration"]["method"]
    ).items():
        text = prose(
            "Probabilities are {how} ({runs}).", how=SCALES[str(method)], runs=words.names(own)
        )
        found.append(Paragraph(text))
        if method in ("temperature", "shift", "platt"):
            found.append(Equation(r"p_k = \frac{\exp (a z_k + b_k)}{\sum_j \exp (a z_j + b_j)}"))
    text = prose(
        "The ratio of observed to expected cases, the intercept and the slope of a logistic "
        "regression on the log odds say how far they can be believed [@vancalster2019]; they are "
        "called calibrated only where the interval of the slope lies within 0.8 and 1.25 and that "
        "of the intercept within 0.2 of 0."
    )
    return [*found, Paragraph(text)]


def _evidence(runs: Sequence[Run]) -> list[Block]:
    found: list[Block] = []
    if any(isinstance(run.results.get("decision_curve"), Mapping) for run in runs):
        found += [
            Paragraph(
                prose(
                    "Net benefit [@vickers2006] of acting from the probability $t$ on, with true "
                    "positives TP and false positives FP among $n$ images:"
                )
            ),
            Equation(r"\mathrm{NB}(t) = \frac{TP}{n} - \frac{FP}{n} \cdot \frac{t}{1 - t}"),
        ]
    if any("audit" in run.results for run in runs):
        found.append(
            Paragraph(
                prose(
                    "The shortcut audit asks what a classifier reaches that sees no lung "
                    "[@geirhos2020; @degrave2021]: 300 extremely randomised trees [@geurts2006] "
                    "(a linear model for the thumbnail), fitted on each fold's training images and "
                    "scored on its test images, see the border, the file's facts, the corners, the "
                    "image without its lungs, the histogram or an 8 x 8 thumbnail. A further probe "
                    "asks what the network's own features tell of an image's source."
                )
            )
        )
    if any("saliency" in run.results for run in runs):
        found.append(
            Paragraph(
                prose(
                    "Where the networks look is shown by Grad-CAM [@gradcam] and by occlusion; the "
                    "maps are compared with those of networks with random weights [@adebayo2018]."
                )
            )
        )
    return found
