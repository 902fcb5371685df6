"""Records that are the same bytes in every build."""

from collections.abc import Iterable

from tensorflow_datasets.core import file_adapters, writer
from tensorflow_datasets.proto import tf_example_pb2


class DeterministicWriter(writer.ExampleWriter):
    """Writes each example with its features in the order of their names.

    A serialized `tf.train.Example` is a map whose order differs from process to process, so that
    two builds of one archive would hold the same examples but never the same bytes.
    """

    def write(
        self, path: str, examples: Iterable[tuple[int | str | bytes, bytes]]
    ) -> file_adapters.ExamplePositions | None:
        """As TFDS's own; `examples` are (key, serialized example)."""
        return super().write(path, ((key, in_order(data)) for key, data in examples))


def in_order(serialized: bytes) -> bytes:
    """The same serialized example with its features sorted by name."""
    example = tf_example_pb2.Example.FromString(serialized)
    return example.SerializeToString(deterministic=True)
