"""The TFDS builder `coronahack`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_coronahack.archive import KAGGLE_PAGE, archive_key, open_archive
from tfds_coronahack.catalog import Record, make_catalog
from tfds_coronahack.features import GrayImage, Hash64
from tfds_coronahack.locking import build_lock
from tfds_coronahack.metadata import CAUSES, LABELS
from tfds_coronahack.report import format_report, make_report, read_report, write_report
from tfds_coronahack.writing import DeterministicWriter

FILE_FORMAT = "array_record"


class Coronahack(tfds.core.GeneratorBasedBuilder):
    """CoronaHack chest radiographs with patient groups; see README.md beside this file.

    `archive` is the path of Kaggle's zip or of the unpacked folder; without it the archive is
    looked for in TFDS's manual folder. Data are written as array_record unless `file_format` says
    otherwise. `progress` shows a bar while the images are checked and prints the build report.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
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
        if file_format is None and not self.is_prepared():
            self.info.set_file_format(FILE_FORMAT, override=True)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": GrayImage(shape=(None, None, 1), doc="encoded as in the archive"),
            "image/name": tfds.features.Text(doc="file name in the archive"),
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
        """As TFDS's own, but one process at a time; the others wait and find the data there."""
        with build_lock(Path(self.data_path).parent):
            super().download_and_prepare(**kwargs)

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        path = Path(self._archive or dl_manager.manual_dir)
        with open_archive(path) as archive:
            catalog = make_catalog(archive, progress=self._progress)
        # This is the folder that TFDS renames when all is done, so the report is never without
        # the data nor the data without it.
        write_report(Path(self.data_path), make_report(catalog, archive_key(path)))
        splits = {
            split.lower(): [r for r in catalog.records if r.row.kaggle_split == split]
            for split in ("TRAIN", "TEST")
        }
        return {name: self._generate_examples(path, rs) for name, rs in splits.items() if rs}

    def _generate_examples(
        self, path: Path, records: list[Record]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields (image name, example); the bytes are read once more, not kept in memory."""
        with open_archive(path) as archive:
            for record in records:
                yield (
                    record.row.image,
                    {
                        "image": archive.read(record.entry),
                        "image/name": record.row.image,
                        "label": record.row.label,
                        "cause": record.row.cause,
                        "group": record.group,
                        "height": record.height,
                        "width": record.width,
                        "mode": record.mode,
                        "sha256": record.sha256,
                        "phash": record.phash,
                        "kaggle_split": record.row.kaggle_split,
                    },
                )

    def _example_writer(self) -> DeterministicWriter:
        return DeterministicWriter(self.info.file_format)

    def _post_download_and_prepare_hook(self) -> None:
        if self._progress:
            print(format_report(read_report(Path(self.data_path))))
