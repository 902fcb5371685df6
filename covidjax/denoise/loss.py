"""What a denoiser learns: views of the clean images, noise on them, and the loss."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from covidjax.data.augment import to_float
from covidjax.data.noise import NOISES, Noise, add_noise, draw_levels
from covidjax.denoise.measures import image_quality
from covidjax.training.steps import Batch, Metrics

Images = Float[Array, "batch height width 1"]
SMALLEST = 1e-8  # added to a squared error before its logarithm: a PSNR of 80 dB
CHARBONNIER = 1e-3
SSIM_WINDOW = image_quality.WINDOW
# (params, batch_stats, noisy, scaled levels) -> denoised, not clipped
Apply = Callable[[Any, Any, Images, Float[Array, " batch"]], Images]


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is learned.

    Attributes:
      noise: what is added.
      low, high: levels, drawn for each image.
      patch: pixels a side of the random part of an image that is seen; 0 for all of it.
      augment: "turns" (mirrors and quarter turns), "mirror" (left-right), "none".
      loss: of LOSSES.
      ssim: weight of 1 - SSIM beside it.
      spectrum: weight of the difference of the amplitude spectra beside it.
    """

    noise: Noise
    low: float
    high: float
    patch: int = 0
    augment: str = "turns"
    loss: str = "psnr"
    ssim: float = 0.0
    spectrum: float = 0.0


def make_loss(
    model: nn.Module, objective: Objective
) -> Callable[..., tuple[jax.Array, tuple[Metrics, Any]]]:
    """The loss function of a denoiser, for `steps.train_step`; the metrics are the `psnr` in dB."""
    kind = NOISES[objective.noise.kind]

    def loss_fn(
        params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[Metrics, Any]]:
        view_key, level_key, noise_key = jax.random.split(key, 3)
        clean = to_float(random_views(batch["images"], view_key, objective))
        levels = draw_levels(
            level_key, len(clean), objective.low, objective.high, logarithmic=kind.logarithmic
        )
        noisy = add_noise(clean, levels, noise_key, objective.noise)
        output, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            noisy,
            train=True,
            levels=levels / kind.high,
            mutable=["batch_stats"],
        )
        loss = total_loss(jnp.asarray(output), clean, objective)
        metrics = {"psnr": jnp.mean(psnr(jnp.asarray(output), clean))}
        return loss, (metrics, updated.get("batch_stats", batch_stats))

    return loss_fn


def total_loss(output: Images, clean: Images, objective: Objective) -> jax.Array:
    """The loss with its further terms: a scalar."""
    loss = jnp.mean(LOSSES[objective.loss](output, clean))
    if objective.ssim:
        loss += objective.ssim * (1 - jnp.mean(ssim(output, clean)))
    if objective.spectrum:
        loss += objective.spectrum * spectrum_difference(output, clean)
    return loss


def mean_squares(output: Images, clean: Images) -> Float[Array, " batch"]:
    """Mean squared error of each image."""
    return jnp.mean((output - clean) ** 2, axis=(1, 2, 3))


def psnr(output: Images, clean: Images) -> Float[Array, " batch"]:
    """Peak signal-to-noise ratio of each image in dB, the peak being 1; 80 dB at most."""
    return -10 * jnp.log10(mean_squares(output, clean) + SMALLEST)


def logarithm(output: Images, clean: Images) -> Float[Array, " batch"]:
    """ln(MSE) / 2 of each image: with it every level of noise counts the same.

    A mean over decibels is what denoisers are judged by; as a loss: Chen et al. 2021 (HINet),
    arXiv:2105.06086.
    """
    return jnp.log(mean_squares(output, clean) + SMALLEST) / 2


def absolute(output: Images, clean: Images) -> Images:
    """|error|, which gives large errors less weight than squares do."""
    return jnp.abs(output - clean)


def charbonnier(output: Images, clean: Images) -> Images:
    """sqrt(error^2 + 0.001^2): Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553."""
    return jnp.sqrt((output - clean) ** 2 + CHARBONNIER**2)


LOSSES: dict[str, Callable[[Images, Images], jax.Array]] = {
    "psnr": logarithm,
    "l1": absolute,
    "charbonnier": charbonnier,
    "mse": mean_squares,
}


def ssim(output: Images, clean: Images) -> Float[Array, " batch"]:
    """`image_quality.ssim` with a gradient: structural similarity of each image.

    Images need 11 pixels a side.
    """
    mean_x, mean_y = _window(output), _window(clean)
    var_x = _window(output**2) - mean_x**2
    var_y = _window(clean**2) - mean_y**2
    covariance = _window(output * clean) - mean_x * mean_y
    low, high = image_quality.C1, image_quality.C2
    figures = (2 * mean_x * mean_y + low) * (2 * covariance + high)
    figures /= (mean_x**2 + mean_y**2 + low) * (var_x + var_y + high)
    return jnp.mean(figures, axis=(1, 2, 3))


def _window(images: Images) -> Images:
    """Weighted means over all windows that lie inside."""
    places = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    samples = np.exp(-0.5 * (places / image_quality.WINDOW_SIGMA) ** 2)
    weights = [float(sample) for sample in samples / samples.sum()]
    rows, columns = (side - SSIM_WINDOW + 1 for side in images.shape[1:3])
    down = sum((w * images[:, i : i + rows] for i, w in enumerate(weights)), start=jnp.zeros(()))
    return sum(
        (w * down[:, :, i : i + columns] for i, w in enumerate(weights)), start=jnp.zeros(())
    )


def spectrum_difference(output: Images, clean: Images) -> jax.Array:
    """Mean absolute difference of the amplitude spectra, which blurred images lose the top of.

    Fuoli et al. 2021, "Fourier space losses", arXiv:2106.00783.
    """
    # Of what differs by nothing at all the absolute value would have no gradient.
    spectra = [jnp.fft.rfft2(x[..., 0], norm="ortho") for x in (output, clean)]
    amplitudes = [jnp.sqrt(x.real**2 + x.imag**2 + SMALLEST) for x in spectra]
    return jnp.mean(jnp.abs(amplitudes[0] - amplitudes[1]))


def random_views(images: Array, key: PRNGKeyArray, objective: Objective) -> Array:
    """A random part of each image, mirrored and turned; of any type of pixels.

    Args:
      images: [batch, side, side, 1], at least `objective.patch` a side.
      key: of the batch.
      objective: its `patch` and `augment`.
    """
    place_key, turn_key = jax.random.split(key)
    side, patch = images.shape[1], objective.patch or images.shape[1]
    if patch < side:
        corners = jax.random.randint(place_key, (len(images), 2), 0, side - patch + 1)
        cut = jax.vmap(lambda x, at: jax.lax.dynamic_slice(x, (*at, 0), (patch, patch, 1)))
        images = cut(images, corners)
    if objective.augment == "none":
        return images
    flips = jax.random.bernoulli(turn_key, 0.5, (3, len(images), 1, 1, 1))
    images = jnp.where(flips[0], images[:, :, ::-1], images)
    if objective.augment == "turns":  # with a transposition: all eight
        images = jnp.where(flips[1], images[:, ::-1], images)
        images = jnp.where(flips[2], images.transpose(0, 2, 1, 3), images)
    return images


def make_apply(model: nn.Module, ensemble: str) -> Apply:
    """(params, batch_stats, noisy, levels / the kind's highest) -> denoised, not clipped.

    With `ensemble` "turns" or "mirror" it is the mean over the image's eight or two such views
    (Timofte et al. 2016, doi:10.1109/CVPR.2016.206).
    """
    views = {"none": 1, "mirror": 2, "turns": 8}[ensemble]

    def apply(params: Any, batch_stats: Any, noisy: Images, levels: Array) -> Images:
        variables = {"params": params, "batch_stats": batch_stats}
        total = jnp.zeros_like(noisy)
        for number in range(views):
            seen = jnp.asarray(model.apply(variables, turned(noisy, number), levels=levels))
            total += turned(seen, number, back=True)
        return total / views

    return apply


def turned(images: Images, number: int, *, back: bool = False) -> Images:
    """View 0 to 7: bit 0 mirrors left and right, bit 1 top and bottom, bit 2 transposes first."""
    axes = (0, 2, 1, 3)
    if number & 4 and not back:
        images = images.transpose(axes)
    if number & 1:
        images = images[:, :, ::-1]
    if number & 2:
        images = images[:, ::-1]
    return images.transpose(axes) if number & 4 and back else images


def make_score(apply: Apply, noise: Noise) -> Callable[[Any, Any, Batch, jax.Array], jax.Array]:
    """(params, batch_stats, batch, key) -> PSNR [batch] of the clipped result, in dB.

    The batch holds uint8 `images`, `levels`, and `numbers`, which with the key decide the noise.
    """

    def score(params: Any, batch_stats: Any, batch: Batch, key: jax.Array) -> jax.Array:
        clean = to_float(batch["images"])
        noisy = add_noise(clean, batch["levels"], key, noise, batch["numbers"])
        scaled = batch["levels"] / NOISES[noise.kind].high
        return psnr(jnp.clip(apply(params, batch_stats, noisy, scaled), 0, 1), clean)

    return score
