"""Margins, turned pictures and negatives are noted, and usual radiographs get no note."""

import numpy as np
import pytest

from covidjax.images import appearance
from tfds_coronahack import decoding
from tfds_coronahack.archive import open_archive
from tfds_coronahack.phantom import write_archive


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    path = write_archive(tmp_path_factory.mktemp("phantom") / "a.zip", images=24, seed=3, size=96)
    with open_archive(path) as archive:
        return [decoding.decode_gray(archive.read(entry)) for entry in archive.images.values()]


def test_phantoms_as_they_are_get_no_note(phantoms: list[np.ndarray]) -> None:
    assert [appearance.notes(gray) for gray in phantoms] == [()] * len(phantoms)


POSES = {
    "looks turned a quarter to the left": lambda gray: np.rot90(gray, 1),
    "looks turned a quarter to the right": lambda gray: np.rot90(gray, -1),
    "looks like a negative": lambda gray: 255 - gray,
    "looks like a negative and turned a quarter to the left": lambda gray: 255 - np.rot90(gray),
}


@pytest.mark.parametrize("pose", POSES)
def test_turned_pictures_and_negatives_are_noted(phantoms: list[np.ndarray], pose: str) -> None:
    found = [appearance.notes(np.ascontiguousarray(POSES[pose](gray))) for gray in phantoms]
    expected = (f"{pose}: if so, do not use this",)
    assert np.mean([notes == expected for notes in found]) > 0.9


def test_most_pictures_upside_down_are_noted(phantoms: list[np.ndarray]) -> None:
    found = [appearance.notes(gray[::-1, ::-1].copy()) for gray in phantoms]
    assert np.mean(["upside down" in "".join(notes) for notes in found]) > 0.7


@pytest.mark.parametrize(("color", "level"), [("black", 0), ("gray", 128), ("white", 255)])
def test_a_margin_is_noted_with_its_place_and_width(
    phantoms: list[np.ndarray], color: str, level: int
) -> None:
    for gray in phantoms[:6]:
        padded = np.pad(gray, ((gray.shape[0], 0), (0, 0)), constant_values=level)
        (note,) = appearance.notes(padded)
        assert note.startswith(f"a {color} margin of ") and note.endswith("% at the top: crop it")
        assert 49 <= int(note.split()[4]) <= 56


def test_a_narrow_white_margin_is_noted_and_a_black_one_of_that_width_is_usual(
    phantoms: list[np.ndarray],
) -> None:
    for gray in phantoms[:6]:
        width = round(0.04 * gray.shape[1])
        white = np.pad(gray, ((0, 0), (width, width)), constant_values=255)
        assert len(appearance.notes(white)) == 2
        black = np.pad(gray, ((0, 0), (width, width)), constant_values=0)
        assert appearance.notes(black) == ()


def test_a_picture_of_one_level_inside_a_margin_has_no_pose() -> None:
    flat = np.full((80, 80), 90, np.uint8)
    flat[:20] = 255
    assert appearance.notes(flat)[0] == "a white margin of 25 % at the top: crop it"
