"""The figures of denoising: pixels as they are, lines that can be told apart, PHANTOM."""

import numpy as np
import pytest
from PIL import Image

from covidjax.denoise import figures as denoise_figures
from covidjax.denoise.measures.noise_spectrum import radial_spectrum
from covidjax.runs import canvas

RNG = np.random.default_rng(0)
CLEAN = RNG.random((2, 24, 30))
NOISY = np.clip(CLEAN + RNG.normal(0, 0.05, CLEAN.shape), 0, 1)


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def occurs(picture: np.ndarray, part: np.ndarray) -> bool:
    """Whether the part stands in the picture, pixel for pixel."""
    height, width = part.shape
    corners = np.argwhere(picture[: 1 - height or None, : 1 - width or None] == part[0, 0])
    return any(np.array_equal(picture[y : y + height, x : x + width], part) for y, x in corners)


def shown(image: np.ndarray, factor: int) -> np.ndarray:
    gray = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.repeat(np.repeat(gray, factor, axis=0), factor, axis=1)


@pytest.mark.parametrize(("side", "factor"), [(24, 5), (120, 1)])
def test_the_grid_shows_every_pixel_as_a_square_of_whole_pixels(tmp_path, side, factor):
    clean = np.resize(CLEAN, (2, side, side))
    noisy = np.resize(NOISY, (2, side, side))
    path = tmp_path / "grid.png"
    denoise_figures.write_grid(
        path, {"clean": clean, "unet": noisy}, {"unet": "unet\n30 dB"}, title="t", phantom=False
    )
    picture = pixels(path)
    for image in (*clean, *noisy, *((noisy - clean) / 0.2 + 0.5)):
        assert occurs(picture, shown(image, factor))


def test_many_methods_go_on_to_the_next_line(tmp_path):
    path = tmp_path / "grid.png"
    methods = {f"m{i}": np.resize(NOISY, (1, 256, 256)) for i in range(9)}
    denoise_figures.write_grid(
        path, {"clean": np.resize(CLEAN, (1, 256, 256))} | methods, {}, title="t", phantom=True
    )
    height, width = pixels(path).shape
    assert width <= 1800 and height > 2 * 2 * 256


def test_a_phantoms_figures_differ_by_its_mark(tmp_path):
    cells = [{"value": 30.0 - i, "ci95": [29.5 - i, 30.2 - i], "n": 4} for i in range(3)]
    writers = {
        "levels": lambda path, phantom: denoise_figures.write_levels(
            path,
            {name: cells for name in ("noisy", "a", "b", "c", "d", "e", "f")},
            [15, 25, 50],
            unit="of 255",
            title="t",
            phantom=phantom,
        ),
        "spectra": lambda path, phantom: denoise_figures.write_spectra(
            path, {"unet": radial_spectrum(NOISY - CLEAN)}, title="t", phantom=phantom
        ),
        "gains": lambda path, phantom: denoise_figures.write_gains(
            path, {"unet, 25": np.zeros(3)}, reference="bm3d", title="t", phantom=phantom
        ),
    }
    for name, write in writers.items():
        write(tmp_path / f"{name}.png", False)
        write(tmp_path / f"{name}-phantom.png", True)
        plain, marked = (pixels(tmp_path / f"{name}{end}.png") for end in ("", "-phantom"))
        assert min(plain.shape) > 200
        assert plain.shape != marked.shape or (plain != marked).mean() > 0.01


def test_no_two_of_twelve_methods_look_alike_and_ours_gets_the_strongest_style():
    names = [f"method {number}" for number in range(11)] + ["unet"]
    styles = denoise_figures._styles(names, ["unet"])
    assert len(set(styles.values())) == len(names)
    assert styles["unet"] == canvas.STYLES[0]
