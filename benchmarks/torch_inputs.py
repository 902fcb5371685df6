"""The rival's input: torch's DataLoader over JPEG files, and over the pixel cache."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from benchmarks.torch_steps import trial


class Files(Dataset):
    """Image files decoded and resized by Pillow: float32 [1, size, size] in [0, 1]."""

    def __init__(self, paths: Sequence[str], size: int, draft: bool) -> None:
        self.paths, self.size, self.draft = paths, size, draft

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            if self.draft:  # lets the JPEG decoder skip what the size does not need
                image.draft("L", (2 * self.size, 2 * self.size))
            gray = image.convert("L").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(gray, np.float32)[None] / 255)


class Pixels(Dataset):
    """The pixel cache: uint8 [1, height, width] and a label; also many at once."""

    def __init__(self, path: str) -> None:
        self.images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
        self.labels = np.zeros(len(self.images), np.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(index, list):
            pixels = np.asarray(self.images)[index][:, None]
        else:
            pixels = np.array(self.images[index])[None]
        return torch.from_numpy(pixels), torch.as_tensor(self.labels[index])


def read_files(
    paths: Sequence[str], size: int, draft: bool, batch: int, workers: int
) -> Callable[[int], None]:
    """Some epochs over the files, by workers that have started."""
    dataset = Files(paths, size, draft)
    loader = DataLoader(dataset, batch, num_workers=workers, persistent_workers=True)
    return lambda epochs: drain(itertools.chain.from_iterable(itertools.repeat(loader, epochs)))


def read_pixels(path: str, batch: int, workers: int) -> tuple[Callable[[int], None], str]:
    """Some shuffled epochs over the pixel cache in the fastest of the loader's settings."""
    dataset = Pixels(path)
    variants: dict[str, DataLoader] = {}
    for count in (0, workers):
        options: dict[str, Any] = {"num_workers": count, "persistent_workers": count > 0}
        variants[f"{count} workers, by image"] = DataLoader(dataset, batch, True, **options)
        # The sampler gives a list of indices, which the dataset turns into a batch by itself.
        order = BatchSampler(RandomSampler(dataset), batch, drop_last=True)
        by_batch: DataLoader = DataLoader(dataset, None, sampler=order, **options)
        variants[f"{count} workers, by batch"] = by_batch
    runs = {
        name: lambda epochs, loader=loader: drain(
            itertools.chain.from_iterable(itertools.repeat(loader, epochs))
        )
        for name, loader in variants.items()
    }
    seconds = {name: trial(run) for name, run in runs.items()}
    best = min(seconds, key=seconds.__getitem__)
    return runs[best], best


def drain(batches: Iterable[Any]) -> None:
    """Takes all."""
    for _ in batches:
        pass
