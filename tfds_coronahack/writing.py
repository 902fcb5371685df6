"""Records that are the same bytes in every build."""

import os
import tempfile
from collections.abc import Iterable

from etils import epath
from tensorflow_datasets.core import file_adapters, writer
from tensorflow_datasets.proto import tf_example_pb2

from tfds_coronahack.archive import is_url


class DeterministicWriter(writer.ExampleWriter):
    """Writes each example with its features in the order of their names.

    A serialized `tf.train.Example` is a map whose order differs from process to process, so that
    two builds of one archive would hold the same examples but never the same bytes.
    """

    def write(
        self, path: epath.PathLike, examples: Iterable[tuple[int | str | bytes, bytes]]
    ) -> file_adapters.ExamplePositions | None:
        """As TFDS's own; `examples` are (key, serialized example).

        array_record writes local files alone, so what goes elsewhere (gs://...) is copied there.
        """
        ordered = ((key, in_order(data)) for key, data in examples)
        if not is_url(path):
            return super().write(path, ordered)
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, "shard")
            positions = super().write(local, ordered)
            epath.Path(local).copy(path, overwrite=True)
        return positions


def in_order(serialized: bytes) -> bytes:
    """The same serialized example with its features sorted by name."""
    example = tf_example_pb2.Example.FromString(serialized)
    return example.SerializeToString(deterministic=True)
