"""Near-identical images: a perceptual hash finds candidates, their pixels confirm them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = 64


class Thumbnails(Protocol):
    """An array uint8 `[n, 64, 64]`, or what gives its parts by number."""

    def __getitem__(self, place: int) -> NDArray[np.uint8]: ...


# Measured on the 5,907 images at 224 px: no two different pictures correlate over 0.83 in detail
# (17 million pairs), the same image from two publications 0.91 and 0.98; recompressed (quality 30),
# rescaled or brightened copies stay over 0.98, and within 8 of the hash's 64 bits. The closest two
# that are told apart, person1565_bacteria_4095 and person1637_bacteria_4339 (0.83, 12 bits), are
# other radiographs, perhaps of one child: aligned by the best affine map at 224 px their detail
# correlates at 0.38, the same image from two publications at 0.94 and more, images of different
# people at up to 0.43. Two images of one child cannot be told from that, so they stay groups of
# their own.
MAX_DISTANCE = 8
MIN_CORRELATION = 0.9

_BLOCK, _COLUMNS = 512, 8192  # of the hashes that are compared at once: 16 MB


def thumbnail(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 `[height, width]` to uint8 `[64, 64]` by area averaging (proportions are not kept)."""
    image = Image.fromarray(gray).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(image)


def perceptual_hash(thumb: NDArray[np.uint8]) -> int:
    """64-bit hash of a thumbnail; similar pictures differ in few bits.

    The signs, against their median, of the 8 x 8 lowest frequencies of the cosine transform of the
    picture at 32 x 32, without the constant row and column (after Zauner 2010, "Implementation
    and Benchmarking of Perceptual Image Hash Functions"). Brightness and contrast do not change it.
    """
    small = thumb.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    frequencies = np.arange(1, 9)[:, None]
    basis = np.cos(np.pi / 64 * (2 * np.arange(32)[None] + 1) * frequencies)
    # Rounded, so that the last bits of a processor's arithmetic cannot turn a hash's bit.
    coefficients = np.round(basis @ small @ basis.T, 3).ravel()
    bits = coefficients > np.median(coefficients)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hamming_distances(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Number of differing bits, `[n]` and `[m]` hashes to int32 `[n, m]`."""
    # Of vectors of +1 and -1 the product counts agreeing less differing bits; BLAS is quick at it.
    products = _signs(hashes) @ _signs(others).T
    return np.rint((64 - products) / 2).astype(np.int32)


def near_identical_pairs(
    hashes: NDArray[np.uint64],
    thumbnails: Thumbnails,
    places: Sequence[int] | None = None,
) -> list[tuple[int, int]]:
    """All pairs (i < j) of near-identical images of uint64 `[n]` and uint8 `[n, 64, 64]`.

    With `places` the thumbnail of i is that at `places[i]`.

    Near-identical: hashes at most MAX_DISTANCE bits apart, and the fine structure (what remains
    when a 9 x 9 mean is taken off) correlating at MIN_CORRELATION or more. The hash alone would
    join children who merely stand alike: chest radiographs share their coarse structure.
    """
    at = range(len(hashes)) if places is None else places
    pairs = []
    for start in range(0, len(hashes), _BLOCK):
        for column in range(start, len(hashes), _COLUMNS):
            distances = hamming_distances(
                hashes[start : start + _BLOCK], hashes[column : column + _COLUMNS]
            )
            first, second = np.nonzero(distances <= MAX_DISTANCE)
            first, second = first + start, second + column
            ahead = second > first
            for i, j in zip(first[ahead].tolist(), second[ahead].tolist(), strict=True):
                if detail_correlation(thumbnails[at[i]], thumbnails[at[j]]) >= MIN_CORRELATION:
                    pairs.append((i, j))
    return sorted(pairs)


def detail_correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Correlation of the fine structure of two thumbnails, -1 to 1; 0 where one has none."""
    a, b = _detail(first), _detail(second)
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / scale if scale > 1e-6 else 0.0


def clusters(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Connected sets of the pairs, each sorted."""
    member: dict[int, set[int]] = {}
    for i, j in pairs:
        joined = member.get(i, {i}) | member.get(j, {j})
        for k in joined:
            member[k] = joined
    return sorted(sorted(c) for c in {id(c): c for c in member.values()}.values())


def _detail(thumb: NDArray[np.uint8]) -> NDArray[np.float64]:
    values = thumb.astype(np.float64)
    padded = np.pad(values, 4, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view
    mean = windows(windows(padded, 9, axis=0).mean(-1), 9, axis=1).mean(-1)
    return values - mean - (values - mean).mean()


def _signs(hashes: NDArray[np.uint64]) -> NDArray[np.float32]:
    octets = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    return np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1
