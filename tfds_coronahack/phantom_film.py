"""From a phantom's attenuation to the finished radiograph: geometry, exposure, noise, and what is
written or taped onto it.

Photons arrive as N exp(-attenuation), scatter adds a veil, the detector counts them with Poisson
noise; the radiograph answers to the logarithm of the dose along an S-shaped curve, and an automatic
exposure aims at a random mean gray that knows nothing of the diagnosis. It is set on a reference
chest with half of the disease's fluid. Set on the patient's own, fluid in the lungs would darken
the rest of the image, and the border alone would tell the diagnosis; set on the healthy chest's,
the mean gray would. Halfway, both effects drown in the spread of exposures.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from tfds_coronahack.phantom_drawing import EXTENT

Gray = np.ndarray  # uint8 [height, width]


@dataclass(frozen=True)
class Film:
    """Everything about one image that does not come from the patient. Drawn at random, and changed
    only by planted shortcuts."""

    height: int
    width: int
    angle: float  # degrees
    scale: float  # half of the shorter side in body coordinates
    shift: tuple[float, float]  # body coordinates
    photons: float  # of an unattenuated pixel of a radiograph 128 pixels high
    veil: float  # scattered share of the dose
    contrast: float
    target: float  # mean gray, 0 to 255
    sharpen: float  # edge enhancement of the digitizer
    blur: float  # of the focal spot, pixels of a radiograph 128 pixels high
    marker: str  # side marker, empty for none
    marker_at: tuple[float, float]  # share of width and height
    frame: float  # black collimator frame, share of the shorter side
    letter: bool = False  # planted: a letter in the upper right corner


def draw_film(rng: np.random.Generator, size: int) -> Film:
    """A random radiograph whose shorter side is around `size` pixels."""
    aspect = float(np.clip(rng.normal(1.12, 0.12), 0.85, 1.45))  # width over height
    short = size * float(rng.uniform(0.9, 1.2))
    height, width = (short, short * aspect) if aspect >= 1 else (short / aspect, short)
    return Film(
        height=round(height),
        width=round(width),
        angle=float(rng.normal(0, 3.5)),
        # Never so close that the lungs reach the border of the radiograph.
        scale=float(max(np.clip(rng.normal(0.88, 0.06), 0.76, 1.05), 0.95 * short / width)),
        shift=(float(rng.normal(0, 0.05)), float(-0.08 + rng.normal(0, 0.06))),
        photons=float(np.exp(rng.uniform(np.log(2e4), np.log(2e5)))),
        veil=float(rng.uniform(0.25, 0.6)),
        contrast=float(rng.uniform(0.6, 1.2)),
        target=float(np.clip(rng.normal(122, 24), 72, 172)),
        sharpen=float(rng.uniform(0, 0.8)),
        blur=float(rng.uniform(0.25, 0.7)),
        marker=str(rng.choice(["R", "R", "R", "L", ""])),
        marker_at=(float(rng.uniform(0.03, 0.12)), float(rng.uniform(0.1, 0.45))),
        frame=float(rng.uniform(0.01, 0.04)) if rng.random() < 0.12 else 0.0,
    )


def _place(attenuation: np.ndarray, film: Film) -> np.ndarray:
    """The radiograph's part of the body map [side, side], float32 [height, width]."""
    side = attenuation.shape[0]
    per_pixel = 2 * film.scale / min(film.height, film.width)  # body coordinates
    k = per_pixel * side / (2 * EXTENT)
    c, s = k * np.cos(np.radians(film.angle)), k * np.sin(np.radians(film.angle))
    middle = (np.array(film.shift) / EXTENT + 1) / 2 * side - 0.5
    u, v = (film.width - 1) / 2, (film.height - 1) / 2
    matrix = np.array(
        [[c, -s, middle[0] - c * u + s * v], [s, c, middle[1] - s * u - c * v]], np.float64
    )
    # Blur before thinning out, or edges would alias where the map is finer than the radiograph.
    attenuation = cv2.GaussianBlur(attenuation, (0, 0), max(0.3, 0.45 * k))
    return cv2.warpAffine(
        attenuation,
        matrix,
        (film.width, film.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _dose(attenuation: np.ndarray, film: Film) -> np.ndarray:
    """Dose behind the patient with its veil of scatter, float32 [height, width], 1 in free air."""
    dose = cv2.GaussianBlur(np.exp(-attenuation), (0, 0), film.blur * film.height / 128)
    small = cv2.resize(dose, (32, 32), interpolation=cv2.INTER_AREA)
    veil = cv2.GaussianBlur(np.minimum(small, 0.35), (0, 0), 5)
    veil = cv2.resize(veil, (film.width, film.height), interpolation=cv2.INTER_LINEAR)
    return (1 - film.veil) * dose + film.veil * veil


def _count(dose: np.ndarray, film: Film, rng: np.random.Generator) -> np.ndarray:
    """The dose as the detector counts it; Poisson noise, as a normal: counts are high."""
    counts = film.photons * dose
    counts += np.sqrt(counts) * rng.standard_normal(dose.shape, np.float32)
    return np.maximum(counts, 1) / film.photons


@dataclass(frozen=True)
class _Curve:
    """How a radiograph answers to dose: an S-curve of its logarithm, a window and a power."""

    middle: float
    slope: float
    bottom: float
    top: float
    gamma: float

    def signal(self, dose: np.ndarray) -> np.ndarray:
        """0 to 1 (much dose: 0)."""
        signal = 1 / (1 + np.exp(self.slope * (np.log(dose) - self.middle)))
        return np.clip((signal - self.bottom) / max(self.top - self.bottom, 1e-3), 0, 1)


def _automatic_exposure(dose: np.ndarray, film: Film) -> _Curve:
    """The curve that shows a chest of this dose at a mean gray of `film.target`."""
    log_dose = np.log(dose[::2, ::2])
    low, middle, high = (float(q) for q in np.percentile(log_dose, (0.5, 50, 98)))
    slope = film.contrast * 4.2 / max(high - low, 0.5)
    signal = 1 / (1 + np.exp(slope * (log_dose - middle)))
    bottom, top = (float(q) for q in np.percentile(signal, (1, 99.7)))
    curve = _Curve(middle, slope, bottom, top, 1.0)
    return replace(curve, gamma=_gamma(curve.signal(dose[::2, ::2]), film.target / 255))


def _sharpen(signal: np.ndarray, film: Film) -> np.ndarray:
    soft = cv2.GaussianBlur(signal, (0, 0), 2.5 * film.height / 128)
    return np.clip(signal + film.sharpen * (signal - soft), 0, 1)


def _gamma(signal: np.ndarray, target: float) -> float:
    """The power that brings the mean of `signal` to `target`, within 0.2 to 5."""
    low, high = np.log(0.2), np.log(5.0)
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if (signal ** np.exp(middle)).mean() > target else (low, middle)
    return float(np.exp((low + high) / 2))


def _write(gray: Gray, text: str, x: float, y: float, height: float) -> None:
    """White capital letters with their left lower corner at (x, y), shares of width and height."""
    size = height * min(gray.shape) / 22  # Hershey capitals are 22 pixels high at scale 1
    at = (round(x * gray.shape[1]), round(y * gray.shape[0]))
    thick = max(1, round(1.8 * size))
    cv2.putText(gray, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 235, thick, cv2.LINE_AA)


def expose(
    attenuation: np.ndarray, reference: np.ndarray, film: Film, rng: np.random.Generator
) -> Gray:
    """Takes the radiograph of a chest.

    attenuation: float32 [side, side] over the body square of `phantom_drawing`; reference: another
    such map, on which the exposure is set. rng: for the noise alone. Returns uint8
    [radiograph.height, radiograph.width], bone bright.
    """
    curve = _automatic_exposure(_dose(_place(reference, film), film), film)
    dose = _count(_dose(_place(attenuation, film), film), film, rng)
    gray = 255 * _sharpen(curve.signal(dose), film) ** curve.gamma
    gray = gray.round().astype(np.uint8)
    if film.marker:
        _write(gray, film.marker, *film.marker_at, height=0.055)
    if film.letter:
        _write(gray, "P", 0.90, 0.10, height=0.075)
    if film.frame:
        edge = max(1, round(film.frame * min(gray.shape)))
        framed = np.zeros_like(gray)
        framed[edge:-edge, edge:-edge] = gray[edge:-edge, edge:-edge]
        return framed
    return gray
