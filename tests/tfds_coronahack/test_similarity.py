import numpy as np
import pytest
from coronahack_archives import encode, picture
from PIL import Image

from tfds_coronahack.decoding import decode_gray
from tfds_coronahack.similarity import (
    MAX_DISTANCE,
    clusters,
    detail_correlation,
    hamming_distances,
    near_identical_pairs,
    perceptual_hash,
    thumbnail,
)


def detailed(seed: int, common: int | None = None) -> np.ndarray:
    """A picture of 256 x 256 with coarse and fine structure; `common` seeds the coarse part."""
    rng = np.random.default_rng(seed)
    coarse = np.asarray(picture(seed if common is None else common, 256)).astype(float)
    fine = Image.fromarray(rng.integers(0, 256, (48, 48), np.uint8)).resize((256, 256))
    return (0.8 * coarse + 0.2 * np.asarray(fine)).clip(0, 255).astype(np.uint8)


def look(gray: np.ndarray) -> tuple[int, np.ndarray]:
    thumb = thumbnail(gray)
    return perceptual_hash(thumb), thumb


COPIES = {
    "compressed": lambda g: decode_gray(encode(Image.fromarray(g), "JPEG", quality=40)),
    "smaller": lambda g: np.asarray(Image.fromarray(g).resize((120, 120), 2)),
    "brighter": lambda g: (g * 0.8 + 40).astype(np.uint8),
    "as color": lambda g: decode_gray(encode(Image.fromarray(g).convert("RGB"), "PNG")),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_near_identical(kind):
    for seed in range(5):
        gray = detailed(seed)
        hashes, thumbs = zip(look(gray), look(COPIES[kind](gray)), strict=True)
        assert near_identical_pairs(np.array(hashes, np.uint64), np.stack(thumbs)) == [(0, 1)]


def test_pictures_of_one_coarse_structure_are_not_joined_though_their_hashes_are_close():
    hashes, thumbs = zip(*(look(detailed(s, common=99)) for s in range(20)), strict=True)
    hashes, thumbs = np.array(hashes, np.uint64), np.stack(thumbs)
    close = hamming_distances(hashes, hashes) <= MAX_DISTANCE
    assert close.sum() > 100  # the hash alone would join them
    assert near_identical_pairs(hashes, thumbs) == []


def test_unlike_pictures_have_distant_hashes():
    hashes = np.array([look(detailed(s))[0] for s in range(40)], np.uint64)
    distances = hamming_distances(hashes, hashes)[~np.eye(40, dtype=bool)]
    assert 28 < distances.mean() < 36


def test_distances_count_differing_bits_of_all_sixty_four():
    hashes = np.array([0, 1, 2**63, 2**64 - 1, 0x0F0F0F0F0F0F0F0F], np.uint64)
    expected = [[bin(int(a) ^ int(b)).count("1") for b in hashes] for a in hashes]
    np.testing.assert_array_equal(hamming_distances(hashes, hashes), expected)


def test_pairs_are_found_across_block_borders():
    grays = [detailed(s) for s in range(3)]
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 1300, np.uint64)
    thumbs = np.zeros((1300, 64, 64), np.uint8)
    for position, gray in zip((511, 512, 1299), (grays[0], grays[0], grays[0]), strict=True):
        hashes[position], thumbs[position] = look(gray)
    assert near_identical_pairs(hashes, thumbs) == [(511, 512), (511, 1299), (512, 1299)]


def test_blank_pictures_are_not_near_identical_to_anything():
    blank = np.full((64, 64), 9, np.uint8)
    assert detail_correlation(blank, blank) == 0
    assert near_identical_pairs(np.zeros(2, np.uint64), np.stack([blank, blank])) == []


def test_clusters_join_chains():
    assert clusters([(4, 7), (0, 1), (1, 2), (5, 7)]) == [[0, 1, 2], [4, 5, 7]]
