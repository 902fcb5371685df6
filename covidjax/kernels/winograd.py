"""3 x 3 convolutions with 4 times fewer multiplications, for the CPU (Lavin and Gray 2016).

Winograd's F(4 x 4, 3 x 3): a tile of 6 x 6 input pixels gives 4 x 4 output pixels,

    y = A^T [(G w G^T) * (B^T x B)] A,

and the elementwise product, summed over channels, is one matrix product for each of the 36
positions in a tile. XLA's CPU multiplies matrices twice as fast as it convolves: this convolution
takes 0.4 to 0.7 of its time, gradients included (benchmarks/README.md has the shapes).

The interpolation points 0, +-5/8, +-3/2 and infinity halve the rounding error of the usual 0, +-1,
+-2 (after Barabasz et al. 2020, who search such points): 1 to 2e-6 relative in float32, where
XLA's own convolution has 2e-7.

The optimization barriers keep XLA from fusing one pass over the tiles into the next, which would
compute each value once for every reader.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from numpy.typing import NDArray

OUTPUTS = 4  # pixels a side that a tile gives
TAPS = 3
TILE = OUTPUTS + TAPS - 1
POINTS = (0.0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)  # and infinity

Images = Float[Array, "batch height width channels"]
Kernel = Float[Array, "3 3 inputs outputs"]
Tiles = Float[Array, "36 tiles channels"]


def _matrices() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A [6, 4], G [6, 3] and B [6, 6] of Toom and Cook's construction for `POINTS`."""
    a, b, g = np.zeros((TILE, OUTPUTS)), np.zeros((TILE, TILE)), np.zeros((TILE, TAPS))
    for row, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        a[row] = point ** np.arange(OUTPUTS)
        g[row] = point ** np.arange(TAPS) / np.prod([point - other for other in others])
        b[: len(POINTS), row] = np.polynomial.polynomial.polyfromroots(others)
    a[-1, -1] = g[-1, -1] = 1
    b[:, -1] = np.polynomial.polynomial.polyfromroots(POINTS)
    return a, g, b


A, G, B = _matrices()
G_BOTH = np.kron(G, G).astype(np.float32)  # [36, 9]


@jax.custom_vjp
def conv3x3(images: Images, kernel: Kernel) -> Images:
    """The convolution with stride 1 and one pixel of zero padding, in float32.

    Reverse-mode gradients equal `lax.conv_general_dilated`'s to 1e-5 relative, in the norm over the
    array; forward-mode ones are not defined.
    """
    return _forward(images, kernel)[0]


def _forward(images: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    products = jnp.einsum("ktc,kcd->ktd", _input_tiles(images), _kernel_tiles(kernel))
    return _output(products, images.shape), (images, kernel)


def _backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    images, kernel = (recomputed(residual, gradient) for residual in residuals)
    # The transposed transforms: both gradients share that of the output.
    tiles = _output_transposed(gradient)
    d_input_tiles = jnp.einsum("ktd,kcd->ktc", tiles, _kernel_tiles(kernel))
    d_kernel_tiles = jnp.einsum("ktc,ktd->kcd", _input_tiles(images), tiles)
    d_kernel = jnp.matmul(G_BOTH.T, d_kernel_tiles.reshape(TILE * TILE, -1))
    return _input_transposed(d_input_tiles, images.shape), d_kernel.reshape(kernel.shape)


conv3x3.defvjp(_forward, _backward)


def recomputed(residual: Array, gradient: Array) -> Array:
    """The residual, so that what the backward pass derives from it again is not kept meanwhile.

    XLA would notice that the forward pass has computed the same already (its CPU backend drops
    optimization barriers before it looks), and keep tiles that are twice as large as all
    activations. A zero that only the backward pass knows makes them differ.
    """
    return residual + 0 * gradient[(0,) * gradient.ndim]


def _kernel_tiles(kernel: Array) -> Array:
    """G w G^T: [36, inputs, outputs]."""
    tiles = jnp.matmul(G_BOTH, kernel.reshape(TAPS * TAPS, -1))
    return tiles.reshape(TILE * TILE, *kernel.shape[2:])


def _input_tiles(images: Images) -> Tiles:
    """B^T x B of the overlapping tiles."""
    rows, columns = _blocks(images.shape)
    # A tile's last two rows and columns are the first ones of the next block.
    blocks = _split(images, 1, rows + 1, columns + 1)
    tall = [blocks[i, :, :, :rows] for i in range(OUTPUTS)]
    tall += [blocks[i, :, :, 1:] for i in range(TILE - OUTPUTS)]
    half = lax.optimization_barrier(jnp.stack([_combine(B[:, i], tall) for i in range(TILE)]))
    wide = [half[:, j, :, :, :columns] for j in range(OUTPUTS)]
    wide += [half[:, j, :, :, 1:] for j in range(TILE - OUTPUTS)]
    tiles = jnp.stack([_combine(B[:, j], wide) for j in range(TILE)], axis=1)
    return lax.optimization_barrier(tiles.reshape(TILE * TILE, -1, images.shape[-1]))


def _input_transposed(tiles: Tiles, shape: Sequence[int]) -> Images:
    """The transpose of `_input_tiles`: what the overlapping tiles say of each pixel is added."""
    tiles = tiles.reshape(TILE, TILE, shape[0], *_blocks(shape), -1)
    half = _overlap([_combine(B[i], tiles) for i in range(TILE)], axis=2)
    half = lax.optimization_barrier(half).swapaxes(0, 1)
    blocks = _overlap([_combine(B[j], half) for j in range(TILE)], axis=3)
    return _join(blocks.swapaxes(0, 1), 1, shape)


def _output(products: Tiles, shape: Sequence[int]) -> Images:
    """A^T m A."""
    tiles = products.reshape(TILE, TILE, shape[0], *_blocks(shape), -1)
    half = jnp.stack([_combine(A[:, i], tiles) for i in range(OUTPUTS)])
    half = lax.optimization_barrier(half).swapaxes(0, 1)
    blocks = jnp.stack([_combine(A[:, j], half) for j in range(OUTPUTS)], axis=1)
    return _join(blocks, 0, shape)


def _output_transposed(gradient: Images) -> Tiles:
    """The transpose of `_output`: A dy A^T."""
    blocks = _split(gradient, 0, *_blocks(gradient.shape))
    half = jnp.stack([_combine(A[i], blocks) for i in range(TILE)])
    half = lax.optimization_barrier(half).swapaxes(0, 1)
    tiles = jnp.stack([_combine(A[j], half) for j in range(TILE)], axis=1)
    return lax.optimization_barrier(tiles.reshape(TILE * TILE, -1, gradient.shape[-1]))


def _blocks(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of blocks of 4 x 4 pixels that cover images of that shape."""
    return -(-shape[1] // OUTPUTS), -(-shape[2] // OUTPUTS)


def _split(images: Images, before: int, rows: int, columns: int) -> Array:
    """[4, 4, batch, rows, columns, channels], after `before` rows and columns of zeros."""
    batch, height, width, channels = images.shape
    after = [(rows, height), (columns, width)]
    sides = [(before, count * OUTPUTS - before - size) for count, size in after]
    padded = jnp.pad(images, ((0, 0), *sides, (0, 0)))
    blocks = padded.reshape(batch, rows, OUTPUTS, columns, OUTPUTS, channels)
    return lax.optimization_barrier(blocks.transpose(2, 4, 0, 1, 3, 5))


def _join(blocks: Array, before: int, shape: Sequence[int]) -> Images:
    """The inverse of `_split`, for images of that height and width."""
    _, _, batch, rows, columns, channels = blocks.shape
    images = lax.optimization_barrier(blocks).transpose(2, 3, 0, 4, 1, 5)
    images = images.reshape(batch, rows * OUTPUTS, columns * OUTPUTS, channels)
    return images[:, before : before + shape[1], before : before + shape[2]]


def _overlap(parts: Sequence[Array], axis: int) -> Array:
    """Six rows (or columns) of each tile to four of each block, of which there is one more.

    `axis` is that of the tiles in each part; the result has a new leading axis of size 4.
    """

    def shifted(part: Array, by: int) -> Array:
        sides = [(0, 0)] * part.ndim
        sides[axis] = (by, 1 - by)
        return jnp.pad(part, sides)

    own = [shifted(part, 0) for part in parts[:OUTPUTS]]
    others = [shifted(part, 1) for part in parts[OUTPUTS:]]
    added = [one + other for one, other in zip(own, others, strict=False)]
    return jnp.stack([*added, *own[len(others) :]])


def _combine(coefficients: NDArray[np.float64], parts: Sequence[Array] | Array) -> Array:
    """The sum of the parts, weighted, without the zeros."""
    terms = [
        part if coefficient == 1 else np.float32(coefficient) * part
        for coefficient, part in zip(coefficients, parts, strict=True)
        if coefficient
    ]
    return functools.reduce(operator.add, terms)
