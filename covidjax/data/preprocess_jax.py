"""`preprocess.prepare_image` in JAX, for exported programs, which cannot take OpenCV along.

The same steps by OpenCV's own formulas, for images whose height and width need not be known when
the program is made. Sides that shrink come out the same but for a level here and there. Sides that
grow, which OpenCV computes in fixed point, come out a level off in a tenth to a fifth of the
pixels, and equalization makes more of it.
"""

from functools import partial

import jax
import jax.numpy as jnp

from covidjax.data.preprocess import (
    CLAHE_CLIP_LIMIT,
    CLAHE_MIN_TILE,
    CLAHE_TILES,
    check_options,
)

LEVELS = 256


def prepare_images(images: jax.Array, size: int, equalize: str, resize: str) -> jax.Array:
    """uint8 [b, height, width], any of which may be symbolic, to uint8 [b, size, size].

    Args and errors as of `preprocess.prepare_image`.
    """
    check_options(size, equalize, resize)
    return jax.vmap(partial(_prepare, size=size, equalize=equalize, resize=resize))(images)


def _prepare(gray: jax.Array, size: int, equalize: str, resize: str) -> jax.Array:
    sides = jnp.array(gray.shape[0], jnp.int32), jnp.array(gray.shape[1], jnp.int32)
    height, width = (_content_side(side, *sides, size, resize) for side in sides)
    down = _resizing(gray.shape[0], height, size)
    across = _resizing(gray.shape[1], width, size)
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    resized = product(product(down, gray.astype(jnp.float32)), across.T)
    # Halves go to the even level, but up where both sides are halved.
    halved = (sides[0] == 2 * height) & (sides[1] == 2 * width)
    rounded = jnp.where(halved, jnp.floor(resized + 0.5), jnp.round(resized))
    content = jnp.clip(rounded, 0, 255).astype(jnp.int32)
    inside = (jnp.arange(size) < height)[:, None] & (jnp.arange(size) < width)
    if equalize == "histogram":
        content = _equalize_histogram(content, inside)
    elif equalize == "clahe":
        content = _clahe(content, height, width)
    # The content lies in the upper left corner; whatever is beyond it is black.
    shift = jnp.stack([(size - height) // 2, (size - width) // 2])
    centred = jnp.roll(jnp.where(inside, content, 0), shift, axis=(0, 1))
    return centred.astype(jnp.uint8)


def _content_side(
    side: jax.Array, height: jax.Array, width: jax.Array, size: int, resize: str
) -> jax.Array:
    """One side of the image inside the square; halves are rounded to even, as Python does."""
    if resize == "squash":
        return jnp.array(size, jnp.int32)
    longer = jnp.maximum(height, width)
    whole, rest = jnp.divmod(2 * side * size + longer, 2 * longer)
    return jnp.maximum(1, whole - ((rest == 0) & (whole % 2 == 1)))


def _resizing(given: int, side: jax.Array, size: int) -> jax.Array:
    """float32 [size, given]: each of the first `side` rows weighs the pixels of one new pixel.

    The share of each pixel that the new one covers where the side shrinks, else linear between
    pixel centers. Rows from `side` on are of no use.
    """
    new, old = jnp.arange(size)[:, None], jnp.arange(given)[None, :]
    length = jnp.array(given, jnp.int32)
    covered = jnp.minimum((new + 1) * length, (old + 1) * side) - jnp.maximum(
        new * length, old * side
    )
    area = jnp.maximum(covered, 0) / length.astype(jnp.float32)
    place = (new + 0.5) * length.astype(jnp.float32) / side.astype(jnp.float32) - 0.5
    place = jnp.clip(place, 0, length.astype(jnp.float32) - 1)
    linear = jnp.maximum(1 - jnp.abs(place - old), 0)
    return jnp.where(length > side, area, linear).astype(jnp.float32)


def _equalize_histogram(image: jax.Array, inside: jax.Array) -> jax.Array:
    """cv2.equalizeHist of the pixels inside: their darkest level becomes 0, their brightest 255."""
    counts = jnp.zeros(LEVELS, jnp.int32).at[image].add(inside.astype(jnp.int32))
    darkest = counts[jnp.argmax(counts > 0)]
    others = jnp.sum(counts) - darkest
    shares = (jnp.cumsum(counts) - darkest) * (255 / jnp.maximum(others, 1).astype(jnp.float32))
    table = jnp.clip(jnp.round(shares), 0, 255).astype(jnp.int32)
    return jnp.where(others > 0, table[image], image)


def _clahe(image: jax.Array, height: jax.Array, width: jax.Array) -> jax.Array:
    """cv2.createCLAHE of image[:height, :width], with the tiles of `preprocess`."""
    rows, columns = (jnp.clip(side // CLAHE_MIN_TILE, 1, CLAHE_TILES) for side in (height, width))
    # OpenCV widens both sides where either cannot be divided, one that can by a row a tile.
    whole = (height % rows == 0) & (width % columns == 0)
    tall, wide = (
        jnp.where(whole, side, side + tiles - side % tiles) // tiles
        for side, tiles in ((height, rows), (width, columns))
    )
    tables = _tile_tables(image, (height, width), (rows, columns), (tall, wide))
    near = [
        _between(len(image), extent, tiles) for extent, tiles in ((tall, rows), (wide, columns))
    ]
    (above, below, down), (left, right, across) = near

    def looked_up(row: jax.Array, column: jax.Array) -> jax.Array:
        return tables[row[:, None], column[None, :], image]

    upper = looked_up(above, left) * (1 - across) + looked_up(above, right) * across
    lower = looked_up(below, left) * (1 - across) + looked_up(below, right) * across
    mixed = upper * (1 - down[:, None]) + lower * down[:, None]
    return jnp.clip(jnp.round(mixed), 0, 255).astype(jnp.int32)


def _tile_tables(
    image: jax.Array,
    sides: tuple[jax.Array, jax.Array],
    tiles: tuple[jax.Array, jax.Array],
    extents: tuple[jax.Array, jax.Array],
) -> jax.Array:
    """float32 [CLAHE_TILES, CLAHE_TILES, 256]: what each tile makes of a gray level."""
    reach = jnp.arange(len(image) + CLAHE_TILES)
    # Beyond the image it is mirrored about its last pixel.
    row, column = (
        jnp.clip(jnp.where(reach < side, reach, 2 * (side - 1) - reach), 0, side - 1)
        for side in sides
    )
    (tile_row, row_used), (tile_column, column_used) = (
        (jnp.minimum(reach // extent, CLAHE_TILES - 1), reach < extent * count)
        for extent, count in zip(extents, tiles, strict=True)
    )
    used = (row_used[:, None] & column_used[None, :]).astype(jnp.int32)
    pixels = image[row[:, None], column[None, :]]
    counts = jnp.zeros((CLAHE_TILES, CLAHE_TILES, LEVELS), jnp.int32)
    counts = counts.at[tile_row[:, None], tile_column[None, :], pixels].add(used)
    area = extents[0] * extents[1]
    limit = jnp.maximum(jnp.floor(CLAHE_CLIP_LIMIT * area / LEVELS).astype(jnp.int32), 1)
    excess = jnp.maximum(counts - limit, 0).sum(axis=-1, keepdims=True)
    each, rest = jnp.divmod(excess, LEVELS)
    step = jnp.maximum(LEVELS // jnp.maximum(rest, 1), 1)
    level = jnp.arange(LEVELS)
    extra = (level % step == 0) & (level // step < rest)
    clipped = jnp.minimum(counts, limit) + each + extra
    shares = jnp.cumsum(clipped, axis=-1) * (255 / area.astype(jnp.float32))
    return jnp.clip(jnp.round(shares), 0, 255)


def _between(
    size: int, extent: jax.Array, tiles: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The tiles on both sides of each of `size` pixels, and how far on it is to the second."""
    place = jnp.arange(size) / extent.astype(jnp.float32) - 0.5
    first = jnp.floor(place)
    lower = jnp.maximum(first, 0).astype(jnp.int32)
    upper = jnp.clip(first.astype(jnp.int32) + 1, 0, tiles - 1)
    return jnp.minimum(lower, tiles - 1), upper, place - first
