"""The CoronaHack chest X-ray dataset for TFDS: `import tfds_coronahack` registers `coronahack`.

Build it with `python -m tfds_coronahack --archive=coronahack-chest-xraydataset.zip --data_dir=DIR`
and read it with `tfds.data_source("coronahack", split="train", data_dir=DIR)`.
"""

from tfds_coronahack.archive import ArchiveError, archive_key, is_url
from tfds_coronahack.kaggle import DownloadError, download
from tfds_coronahack.preparation import outdated_dirs, prepare, prepared_dir
from tfds_coronahack.report import read_report
from tfds_coronahack.sources import parse_sources, sources_key, split_source
from tfds_coronahack.tfds_coronahack_dataset_builder import Coronahack

__all__ = [
    "ArchiveError",
    "Coronahack",
    "DownloadError",
    "archive_key",
    "download",
    "is_url",
    "outdated_dirs",
    "parse_sources",
    "prepare",
    "prepared_dir",
    "read_report",
    "sources_key",
    "split_source",
]
