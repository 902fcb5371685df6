"""The image feature: encoded bytes as they are, 8-bit grayscale on reading."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from tfds_coronahack.decoding import decode_gray


class GrayImage(tfds.features.Image):
    """Stores encoded bytes untouched; reads uint8 `[height, width, 1]`.

    TFDS's own feature gives three channels for an RGB file whatever shape it promises, and clips
    16-bit gray; this one decodes as `decode_gray` does, with TensorFlow and without.
    """

    def decode_example_np(self, example: bytes) -> NDArray[np.uint8]:
        """uint8 `[height, width, 1]`; UnreadableImageError where the bytes are no image."""
        return decode_gray(example)[..., None]

    def decode_example(self, example: Any) -> Any:
        """The same as a TensorFlow op (it runs Python, so it stays on this machine)."""
        import tensorflow as tf  # only there for tfds.load

        image = tf.numpy_function(self.decode_example_np, [example], tf.uint8, stateful=False)
        image.set_shape((None, None, 1))
        return image
