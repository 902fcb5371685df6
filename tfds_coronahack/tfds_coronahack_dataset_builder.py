"""The TFDS builder `coronahack`."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_coronahack.archive import KAGGLE_PAGE
from tfds_coronahack.catalog import Record, make_catalog
from tfds_coronahack.examples import ReadExample
from tfds_coronahack.features import GrayImage, Hash64
from tfds_coronahack.locking import build_lock
from tfds_coronahack.metadata import CAUSES, LABELS
from tfds_coronahack.report import format_report, make_report, read_report, write_report
from tfds_coronahack.sources import open_sources, parse_sources, sources_key
from tfds_coronahack.writing import DeterministicWriter

FILE_FORMAT = "array_record"


class Coronahack(tfds.core.GeneratorBasedBuilder):
    """CoronaHack chest radiographs with patient groups; see README.md beside this file.

    `archive` is the path of Kaggle's zip or of the unpacked folder, or several, `NAME=PATH` with a
    comma between; without it they are looked for in TFDS's manual folder. Data are written as
    array_record unless `file_format` says otherwise. `progress` shows a bar while the images are
    checked and prints the build report.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {
        "1.1.0": "Several archives in one dataset; the feature `source` says which an image is of.",
        "1.0.0": "First release.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Put Kaggle's zip, or the folder it unpacks to, into the manual folder (--manual_dir), or give
    its path: python -m tfds_coronahack --archive=PATH. It is to be had at {KAGGLE_PAGE}
    or by: python -m tfds_coronahack --download
    """

    def __init__(
        self,
        *,
        archive: Path | str | None = None,
        file_format: str | tfds.core.FileFormat | None = None,
        progress: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(file_format=file_format, **kwargs)
        self._archive = archive
        self._progress = progress
        self._on_beam = False
        if file_format is None and not self.is_prepared():
            self.info.set_file_format(FILE_FORMAT, override=True)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": GrayImage(shape=(None, None, 1), doc="encoded as in the archive"),
            "image/name": tfds.features.Text(
                doc="file name in the archive; of several SOURCE/NAME"
            ),
            "source": tfds.features.Text(doc="name of the archive that it is of"),
            "label": tfds.features.ClassLabel(names=LABELS),
            "cause": tfds.features.ClassLabel(names=CAUSES),
            "group": tfds.features.Text(doc="patient or examination; splits keep groups whole"),
            "height": np.int32,
            "width": np.int32,
            "mode": tfds.features.Text(doc="Pillow's mode of the stored image"),
            "sha256": tfds.features.Text(doc="of the encoded bytes, hexadecimal"),
            "phash": Hash64(doc="64-bit perceptual hash"),
            "kaggle_split": tfds.features.Text(doc="TRAIN or TEST"),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage=KAGGLE_PAGE,
        )

    def download_and_prepare(self, **kwargs: Any) -> None:
        """As TFDS's own, but one process at a time; the others wait and find the data there.

        With a `download_config` that has Beam options or a runner, Apache Beam writes the examples.
        """
        config = kwargs.get("download_config")
        self._on_beam = bool(config and (config.beam_options or config.beam_runner))
        with build_lock(self.data_path.parent):
            super().download_and_prepare(**kwargs)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        sources = parse_sources(self._archive or dl_manager.manual_dir)
        with open_sources(sources) as archives:
            catalog = make_catalog(archives, progress=self._progress)
        # This is the folder that TFDS renames when all is done, so the report is never without
        # the data nor the data without it.
        write_report(self.data_path, make_report(catalog, sources_key(sources)))
        splits = {
            split.lower(): [r for r in catalog.records if r.row.kaggle_split == split]
            for split in ("TRAIN", "TEST")
        }
        read = ReadExample(sources)
        return {name: self._generate_examples(read, rs) for name, rs in splits.items() if rs}

    def _generate_examples(self, read: ReadExample, records: list[Record]) -> Any:
        """(image name, example) of each record; the bytes are read again, not kept in memory.

        An iterator, or where Beam writes a transform that does the same on its workers.
        """
        if not self._on_beam:
            return map(read, records)
        beam = tfds.core.lazy_imports.apache_beam
        return beam.Create(records) | beam.Map(read)

    def _example_writer(self) -> DeterministicWriter:
        return DeterministicWriter(self.info.file_format)

    def _post_download_and_prepare_hook(self) -> None:
        if self._progress:
            print(format_report(read_report(Path(self.data_path))))
