"""Maps from a network's probabilities to calibrated ones, fitted on validation.

A map is a mapping of numbers that JSON holds, so that a run's results carry it to `predict`,
`external` and `export`. All maps but `none` are fitted by the mean cross entropy with Platt's
targets (1999, "Probabilistic Outputs for Support Vector Machines", section 2.2): (m + 1) / (m + 2)
for the label of an example whose class has m of them, the rest shared by the others. Hard targets
would drive every probability to 0 or 1 where the few validation images happen to be all right.

A loss that weighs the classes alike puts the probabilities where both classes are equally frequent.
So the weights are divided out before the fit; a temperature alone could never do that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_softmax

from covidjax.evidence.metrics import EvaluationError, Floats, check_predictions

TINY = 1e-38  # about the smallest probability that float32 holds
# Which of slope and shifts are free, for the maps that are linear in the log probabilities.
LINEAR = {"none": (), "temperature": ("slope",), "shift": ("shift",), "platt": ("slope", "shift")}
METHODS = (*LINEAR, "beta", "isotonic")
TWO_CLASSES = ("beta", "isotonic")
STEEPEST = 100.0  # slopes are kept in [1 / STEEPEST, STEEPEST]

Map = Mapping[str, Any]


def fit(
    method: str, labels: ArrayLike, probabilities: ArrayLike, weights: Sequence[float] | None = None
) -> Map:
    """Fits a map.

    - `temperature`: one slope of the log probabilities (Guo et al. 2017).
    - `shift`: one shift a class, the prior correction (Saerens et al. 2002).
    - `platt`: both; for two classes Platt's two parameters.
    - `beta`: log p and log (1 - p) with a slope each, and a shift (Kull et al. 2017).
    - `isotonic`: a rising step function (Zadrozny and Elkan 2002), linear between its steps.

    Args:
      method: of `METHODS`.
      labels: int [n], 0 .. k-1.
      probabilities: float [n, k], of examples that the model was not trained on.
      weights: [k], by which the loss weighed the classes; None for alike.

    Raises:
      EvaluationError: no examples, an unknown method, more than two classes for `TWO_CLASSES`.
    """
    y, p = check_predictions(labels, probabilities)
    k = p.shape[1]
    if method not in METHODS:
        raise EvaluationError(f"no such calibration: {method!r}; known: {', '.join(METHODS)}")
    if method in TWO_CLASSES and k > 2:
        raise EvaluationError(f"{method} calibration is of two classes, there are {k}")
    if len(y) == 0 and method != "none":
        raise EvaluationError("a calibration needs examples to be fitted on, there are none")
    counts = np.bincount(y, minlength=k)[y][:, None]
    targets = np.where(np.eye(k)[y] == 1, (counts + 1) / (counts + 2), 1 / (counts + 2) / (k - 1))
    if method == "beta":
        return _fit_beta(targets, p)
    if method == "isotonic":
        return _fit_isotonic(targets, p)
    offset = np.zeros(k) if weights is None or method == "none" else np.log(weights)
    return _fit_linear(LINEAR[method], targets, _logs(p) - offset, offset)


def apply(fitted: Map, probabilities: Any, xp: Any = np) -> Any:
    """The calibrated probabilities [n, k]; with xp=jax.numpy inside a traced function.

    `apply(fitted, [[1 - t, t]])[0, 1]` is the threshold t on the new scale.
    """
    p = xp.asarray(probabilities, dtype=np.float64 if xp is np else None)
    if fitted["method"] == "none":
        return p
    if fitted["method"] == "isotonic":
        one = xp.interp(p[:, 1], xp.asarray(fitted["x"]), xp.asarray(fitted["y"]))
        return xp.stack([1 - one, one], axis=1)
    if fitted["method"] == "beta":
        first, second = (xp.log(xp.maximum(p[:, c], TINY)) for c in (1, 0))
        z = fitted["a"] * first - fitted["b"] * second + fitted["c"]
        logits = xp.stack([xp.zeros_like(z), z], axis=1)
    else:
        logits = fitted["slope"] * xp.log(xp.maximum(p, TINY)) + xp.asarray(fitted["shift"])
    powers = xp.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def combine(fitted: Map, outputs: Any, members: int, xp: Any = np) -> Any:
    """What a run's networks say together, [n, k]: the one way of `predict`, `external`, `export`.

    Members are averaged within their fold, the map is applied, folds are averaged.

    Args:
      fitted: the run's map.
      outputs: [networks, n, k], the members of a fold one after the other.
      members: networks of each fold.
      xp: numpy, or jax.numpy inside a traced function.
    """
    each = xp.asarray(outputs)
    folds = each.reshape(-1, members, *each.shape[1:]).mean(axis=1)
    return xp.stack([apply(fitted, fold, xp) for fold in folds]).mean(axis=0)


def described(fitted: Map) -> str:
    """The map in a few words, such as `platt: slope 0.84, shift -1.20`."""
    method = str(fitted["method"])
    if method == "isotonic":
        return f"isotonic: {len(fitted['x'])} points"
    if method == "beta":
        return f"beta: a {fitted['a']:.2f}, b {fitted['b']:.2f}, c {fitted['c']:.2f}"
    if method == "none":
        return "none"
    shift = np.asarray(fitted["shift"], np.float64)
    shifts = ", ".join(f"{s:.2f}" for s in (shift - shift[0])[1:])
    return f"{method}: slope {fitted['slope']:.2f}, shift {shifts}"


def _fit_linear(free: Sequence[str], targets: Floats, logits: Floats, offset: Floats) -> Map:
    """softmax(slope * logits + shift), as a map of the log probabilities, logits + offset."""
    k = logits.shape[1]

    def unpack(x: Floats) -> tuple[float, Floats]:
        slope = float(np.exp(x[0])) if "slope" in free else 1.0
        shift = np.append(0.0, x[1:] if "slope" in free else x) if "shift" in free else np.zeros(k)
        return slope, shift

    def loss(x: Floats) -> tuple[float, Floats]:
        slope, shift = unpack(x)
        shares = log_softmax(slope * logits + shift, axis=1)
        wrong = (np.exp(shares) - targets) / len(targets)
        steps = [np.array([slope * (wrong * logits).sum()])] if "slope" in free else []
        steps += [wrong.sum(axis=0)[1:]] if "shift" in free else []
        return -float((targets * shares).sum()) / len(targets), np.concatenate(steps)

    size = ("slope" in free) + (k - 1) * ("shift" in free)
    x = _minimised(loss, size, int("slope" in free)) if free else np.zeros(0)
    slope, shift = unpack(x)
    # A shift that is the same for all classes changes nothing: the first class has none.
    total = shift - slope * offset
    method = next(name for name, parts in LINEAR.items() if parts == tuple(free))
    return {"method": method, "slope": slope, "shift": (total - total[0]).tolist()}


def _fit_beta(targets: Floats, p: Floats) -> Map:
    first, second = _logs(p)[:, 1], -_logs(p)[:, 0]

    def loss(x: Floats) -> tuple[float, Floats]:
        a, b = np.exp(x[:2])
        z = a * first + b * second + x[2]
        shares = log_softmax(np.stack([np.zeros_like(z), z], axis=1), axis=1)
        wrong = (np.exp(shares[:, 1]) - targets[:, 1]) / len(targets)
        steps = np.array([a * wrong @ first, b * wrong @ second, wrong.sum()])
        return -float((targets * shares).sum()) / len(targets), steps

    x = _minimised(loss, 3, 2)
    return {"method": "beta", "a": float(np.exp(x[0])), "b": float(np.exp(x[1])), "c": float(x[2])}


def _fit_isotonic(targets: Floats, p: Floats) -> Map:
    from sklearn.isotonic import IsotonicRegression  # a second to import, which no start waits for

    found = IsotonicRegression(out_of_bounds="clip").fit(p[:, 1], targets[:, 1])
    x, y = found.X_thresholds_, found.y_thresholds_
    return {"method": "isotonic", "x": x.tolist(), "y": y.tolist()}


def _minimised(
    loss: Callable[[Floats], tuple[float, Floats]], size: int, logarithms: int
) -> Floats:
    """Where `loss` (value and gradient) is least; the first parameters are logs of slopes."""
    steep = float(np.log(STEEPEST))
    bounds = [(-steep, steep)] * logarithms + [(None, None)] * (size - logarithms)
    found = minimize(
        loss, np.zeros(size), jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-13}
    )
    return np.asarray(found.x, np.float64)


def _logs(p: Floats) -> Floats:
    return np.log(np.maximum(p, TINY))
