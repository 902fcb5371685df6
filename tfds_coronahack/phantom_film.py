"""From a phantom's attenuation to the finished film: geometry, exposure, noise, and what is
written or taped onto it.

Photons arrive as N exp(-attenuation), scatter adds a veil, the detector counts them with Poisson
noise; the film answers to the logarithm of the dose along an S-shaped curve, and an automatic
exposure sets the mean gray to a random target. That target knows nothing of the diagnosis: a lung
full of fluid does not make the film brighter as a whole, as with real automatic exposure.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from tfds_coronahack.phantom_drawing import EXTENT

Gray = np.ndarray  # uint8 [height, width]


@dataclass(frozen=True)
class Film:
    """Everything about one film that does not come from the patient. Drawn at random, and changed
    only by planted shortcuts."""

    height: int
    width: int
    angle: float  # degrees
    scale: float  # half of the shorter side in body coordinates
    shift: tuple[float, float]  # body coordinates
    photons: float  # of an unattenuated pixel of a film 128 pixels high
    veil: float  # scattered share of the dose
    contrast: float
    target: float  # mean gray, 0 to 255
    sharpen: float  # edge enhancement of the digitiser
    blur: float  # of the focal spot, pixels of a film 128 pixels high
    marker: str  # side marker, empty for none
    marker_at: tuple[float, float]  # share of width and height
    frame: float  # black collimator frame, share of the shorter side
    letter: bool = False  # planted: a letter in the upper right corner
    brighter: float = 0.0  # planted: gray levels


def draw_film(rng: np.random.Generator, size: int) -> Film:
    """A random film whose shorter side is around `size` pixels."""
    aspect = float(np.clip(rng.normal(1.12, 0.12), 0.85, 1.45))  # width over height
    short = size * float(rng.uniform(0.9, 1.2))
    height, width = (short, short * aspect) if aspect >= 1 else (short / aspect, short)
    return Film(
        height=round(height),
        width=round(width),
        angle=float(rng.normal(0, 3.5)),
        scale=float(np.clip(rng.normal(0.88, 0.06), 0.76, 1.05)),
        shift=(float(rng.normal(0, 0.05)), float(-0.08 + rng.normal(0, 0.06))),
        photons=float(np.exp(rng.uniform(np.log(2e4), np.log(2e5)))),
        veil=float(rng.uniform(0.25, 0.6)),
        contrast=float(rng.uniform(0.6, 1.2)),
        target=float(np.clip(rng.normal(122, 16), 80, 165)),
        sharpen=float(rng.uniform(0, 0.8)),
        blur=float(rng.uniform(0.25, 0.7)),
        marker=str(rng.choice(["R", "R", "R", "L", ""])),
        marker_at=(float(rng.uniform(0.03, 0.12)), float(rng.uniform(0.1, 0.45))),
        frame=float(rng.uniform(0.01, 0.04)) if rng.random() < 0.12 else 0.0,
    )


def _place(attenuation: np.ndarray, film: Film) -> np.ndarray:
    """The film's part of the body map [side, side], float32 [height, width]."""
    side = attenuation.shape[0]
    per_pixel = 2 * film.scale / min(film.height, film.width)  # body coordinates
    k = per_pixel * side / (2 * EXTENT)
    c, s = k * np.cos(np.radians(film.angle)), k * np.sin(np.radians(film.angle))
    middle = (np.array(film.shift) / EXTENT + 1) / 2 * side - 0.5
    u, v = (film.width - 1) / 2, (film.height - 1) / 2
    matrix = np.array(
        [[c, -s, middle[0] - c * u + s * v], [s, c, middle[1] - s * u - c * v]], np.float64
    )
    # Blur before thinning out, or edges would alias where the map is finer than the film.
    attenuation = cv2.GaussianBlur(attenuation, (0, 0), max(0.3, 0.45 * k))
    return cv2.warpAffine(
        attenuation,
        matrix,
        (film.width, film.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _expose(attenuation: np.ndarray, film: Film, rng: np.random.Generator) -> np.ndarray:
    """Log dose behind the patient, float32 [height, width], 0 where nothing was in the beam."""
    pixel = film.height / 128
    dose = cv2.GaussianBlur(np.exp(-attenuation), (0, 0), film.blur * pixel)
    small = cv2.resize(dose, (32, 32), interpolation=cv2.INTER_AREA)
    veil = cv2.GaussianBlur(np.minimum(small, 0.35), (0, 0), 5)
    veil = cv2.resize(veil, (film.width, film.height), interpolation=cv2.INTER_LINEAR)
    dose = (1 - film.veil) * dose + film.veil * veil
    counts = film.photons * dose
    noise = rng.standard_normal(dose.shape, np.float32)  # Poisson, as a normal: counts are high
    counts = np.maximum(counts + np.sqrt(counts) * noise, 1)
    return np.log(counts / film.photons).astype(np.float32)


def _develop(log_dose: np.ndarray, film: Film) -> np.ndarray:
    """Gray values 0 to 255 (bone bright), float32, of mean `film.target`."""
    low, middle, high = np.percentile(-log_dose, (2, 50, 99.5))
    spread = max(high - low, 0.5)
    signal = 1 / (1 + np.exp(-film.contrast * 4.2 * (-log_dose - middle) / spread))
    bottom, top = np.percentile(signal, (1, 99.7))
    signal = np.clip((signal - bottom) / max(top - bottom, 1e-3), 0, 1)
    if film.sharpen:
        soft = cv2.GaussianBlur(signal, (0, 0), 2.5 * film.height / 128)
        signal = np.clip(signal + film.sharpen * (signal - soft), 0, 1)
    return 255 * signal ** _gamma(signal, film.target / 255)


def _gamma(signal: np.ndarray, target: float) -> float:
    """The power that brings the mean of `signal` to `target`, within 0.2 to 5."""
    sample = signal[::2, ::2]
    low, high = np.log(0.2), np.log(5.0)
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if (sample ** np.exp(middle)).mean() > target else (low, middle)
    return float(np.exp((low + high) / 2))


def _write(gray: Gray, text: str, x: float, y: float, height: float) -> None:
    """White capital letters with their left lower corner at (x, y), shares of width and height."""
    size = height * min(gray.shape) / 22  # Hershey capitals are 22 pixels high at scale 1
    at = (round(x * gray.shape[1]), round(y * gray.shape[0]))
    thick = max(1, round(1.8 * size))
    cv2.putText(gray, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 235, thick, cv2.LINE_AA)


def expose(attenuation: np.ndarray, film: Film, rng: np.random.Generator) -> Gray:
    """Takes the film of a chest.

    attenuation: float32 [side, side] over the body square of `phantom_drawing`. rng: for the
    noise alone. Returns uint8 [film.height, film.width], bone bright.
    """
    gray = _develop(_expose(_place(attenuation, film), film, rng), film)
    gray = np.clip(gray + film.brighter, 0, 255).round().astype(np.uint8)
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
