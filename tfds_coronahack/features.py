"""Features of our own: images read as 8-bit grayscale, and 64-bit hashes."""

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


class Hash64(tfds.features.FeatureConnector):
    """An unsigned 64-bit integer, stored as the signed one of the same bits.

    TFDS stores its own uint64 the same way, but its reader without TensorFlow then refuses the
    half of them that is negative, unless NumPy and protobuf are of certain versions.
    """

    def get_tensor_info(self) -> tfds.features.TensorInfo:
        return tfds.features.TensorInfo(shape=(), dtype=np.uint64)

    def get_serialized_info(self) -> tfds.features.TensorInfo:
        return tfds.features.TensorInfo(shape=(), dtype=np.int64)

    def encode_example(self, example_data: int) -> np.int64:
        """`example_data` is 0 to 2**64 - 1."""
        return np.uint64(example_data).astype(np.int64)

    def decode_example_np(self, example_data: int) -> np.uint64:
        return np.int64(example_data).astype(np.uint64)

    def decode_example(self, tfexample_data: Any) -> Any:
        import tensorflow as tf

        return tf.bitcast(tfexample_data, tf.uint64)

    @classmethod
    def from_json_content(cls, value: dict[str, Any]) -> "Hash64":
        return cls(**value)

    def to_json_content(self) -> dict[str, Any]:
        return {}
