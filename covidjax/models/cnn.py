"""A plain sequential convolutional network, sized for two CPU cores."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from covidjax.kernels.convolution import convolution_of
from covidjax.models.normalization import batch_norm
from covidjax.models.pooling import max_pool

HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class CNN(nn.Module):
    """Convolution, BatchNorm and ReLU in stages with max pooling between them.

    Attributes:
      num_classes: number of logits.
      widths: channels of each stage; every stage but the last ends in a 2 x 2 max pool, so the
        smallest side that works is `2 ** (len(widths) - 1)`.
      convs: 3 x 3 convolutions a stage.
      dropout: rate before the classifier.
      dtype: of the activations; parameters, BatchNorm statistics and logits stay float32.
      kernels: "auto" takes what is fastest on the device at hand, "plain" XLA's own everywhere.
    """

    num_classes: int
    widths: Sequence[int] = (16, 32, 64, 128)
    convs: int = 2
    dropout: float = 0.2
    dtype: jnp.dtype = jnp.float32
    kernels: str = "auto"

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Logits of normalized images; needs a `dropout` key and mutable `batch_stats` to train."""
        norm = batch_norm(train, self.dtype, self.kernels)
        x = images.astype(self.dtype)
        for stage, width in enumerate(self.widths):
            if stage:
                x = max_pool(x, kernels=self.kernels)
            for _ in range(self.convs):
                x = nn.Conv(
                    width,
                    (3, 3),
                    use_bias=False,
                    kernel_init=HE_NORMAL,
                    dtype=self.dtype,
                    conv_general_dilated_cls=convolution_of(self.kernels),
                )(x)
                x = nn.relu(norm()(x))
        self.sow("intermediates", "maps", x)
        features = jnp.mean(x, axis=(1, 2), dtype=jnp.float32)
        self.sow("intermediates", "features", features)
        features = nn.Dropout(self.dropout, deterministic=not train)(features)
        return nn.Dense(self.num_classes)(features)
