"""The queue of fits: one after another or several at once, each saved when it is done.

A fit's random numbers come from the seed, its row in the dataset and its member's number; each runs
by itself, in the same compiled program, on one device. So what comes out does not depend on which
other pictures there are, in which order they come, or how many run at once.
"""

import concurrent.futures
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from numpy.typing import NDArray

from covidjax import locking
from covidjax.denoise.measures import image_quality
from covidjax.dip import engine as dip_engine
from covidjax.dip.engine import Engine
from covidjax.dip.fit import Fitted
from covidjax.dip.tasks import Problem
from covidjax.runs import results

Picture = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Job:
    """One fit.

    Attributes:
      row: of the dataset.
      image: file name.
      group: patient or examination.
      member: of the ensemble, from 0 on.
    """

    row: int
    image: str
    group: str
    member: int

    @property
    def name(self) -> str:
        """Of its files."""
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(self.image).stem)
        return f"{self.row:05d}-{stem}-m{self.member}"


@dataclasses.dataclass(frozen=True)
class Work:
    """What all jobs share.

    Attributes:
      engine: compiled.
      seed: of the run.
      problem: (row, key) -> its task; the key is the picture's, the same for all members.
      start: (key) -> (input, parameters or None to draw them from the key).
      folder: for one JSON and one NPZ a job.
      phantom: marked in every file.
      frames: steps between two pictures of the animation; 0 for none.
      on_chunk: (job, steps done, figures) -> None.
      keep: (job, what came out, key of its input) -> None, before it is written.
    """

    engine: Engine
    seed: int
    problem: Callable[[int, Any], Problem]
    start: Callable[[Any], tuple[Any, Any]]
    folder: Path
    phantom: bool
    frames: int = 0
    on_chunk: Callable[[Job, int, dict[str, float]], None] = lambda *_: None
    keep: Callable[[Job, Fitted, Any], None] = lambda *_: None


def run_all(
    work: Work, jobs: Sequence[Job], at_once: int, on_done: Callable[[Job], object]
) -> None:
    """Does all jobs that are not done, `at_once` on each device, and keeps nothing of them."""
    left = [job for job in jobs if read(work.folder, job) is None]
    devices = jax.devices()
    lanes = len(devices) * max(1, at_once)
    if lanes == 1:
        for job in left:
            do(work, job, devices[0])
            on_done(job)
        return
    queue = iter(left)
    lock, stop = threading.Lock(), threading.Event()

    def serve(lane: int) -> None:
        while not stop.is_set():
            with lock:
                job = next(queue, None)
            if job is None:
                return
            do(work, job, devices[lane % len(devices)])
            with lock:
                on_done(job)

    with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
        lanes_done = [pool.submit(serve, lane) for lane in range(lanes)]
        try:
            for lane in concurrent.futures.as_completed(lanes_done):
                lane.result()
        except BaseException:
            stop.set()  # the others end with the picture that they are at
            raise


def do(work: Work, job: Job, device: jax.Device) -> None:
    """One fit from its beginning to its files."""
    began = time.perf_counter()
    with jax.default_device(device):
        own = jax.random.fold_in(jax.random.key(work.seed), job.row)
        problem = work.problem(job.row, own)
        key = jax.random.fold_in(own, job.member)
        init_key, input_key, run_key = jax.random.split(key, 3)
        inputs, params = work.start(input_key)
        fit = work.engine.begin(init_key, inputs, params)
        frames: list[NDArray[np.uint8]] = []
        shown: list[tuple[int, float]] = []  # steps and SSIM

        def on_chunk(done: int, average: Picture, figures: dict[str, float]) -> None:
            if problem.counted.all():
                shown.append((done, float(ssim(problem, average))))
            if work.frames and done % work.frames == 0:
                frames.append(as_bytes(average))
            work.on_chunk(job, done, figures)

        fitted = dip_engine.run(work.engine, fit, inputs, problem.target, run_key, on_chunk)
        work.keep(job, fitted, input_key)
    write(work, job, problem, fitted, shown, frames, time.perf_counter() - began)


def write(
    work: Work,
    job: Job,
    problem: Problem,
    fitted: Fitted,
    shown: Sequence[tuple[int, float]],
    frames: Sequence[NDArray[np.uint8]],
    seconds: float,
) -> None:
    """`NAME.npz` with picture and curves, the picture as PNG, then `NAME.json`: it is done."""
    clean = np.asarray(problem.target.clean)[..., 0]
    arrays: dict[str, Any] = {
        **fitted.curves,
        "picture": fitted.picture,
        "given": problem.given,
        "clean": clean,
        "counted": problem.counted,
        "ssim": np.array(shown, np.float64).reshape(-1, 2),
        "mark": np.array("PHANTOM" if work.phantom else ""),
    }
    with locking.temporary(work.folder / f"{job.name}.npz") as file:
        np.savez_compressed(file, **arrays)
    with locking.temporary(work.folder / f"{job.name}.png") as file:
        file.write(cv2.imencode(".png", as_bytes(fitted.picture))[1].tobytes())
    if frames:
        with locking.temporary(work.folder / f"{job.name}-frames.npz") as file:
            np.savez_compressed(file, frames=np.stack(frames), every=work.frames)
    results.write_results(
        work.folder / f"{job.name}.json",
        dataclasses.asdict(job)
        | figures_of(problem, fitted, clean)
        | {
            "stop": fitted.stop,
            "steps": fitted.steps,
            "ended": fitted.ended,
            "returns": fitted.returns,
            "seconds": seconds,
            "data": "PHANTOM" if work.phantom else "coronahack",
        },
    )


def figures_of(problem: Problem, fitted: Fitted, clean: Picture) -> dict[str, float | None]:
    """PSNR and SSIM of the picture and the input, and the best PSNR that any step's average had.

    For inpainting PSNR is of the places that were missing, and there is no SSIM. All are None where
    the clean picture is not known.
    """
    names = ("psnr", "ssim", "given_psnr", "given_ssim", "oracle_psnr", "oracle_step", "last_psnr")
    found: dict[str, float | None] = dict.fromkeys(names)
    if not problem.counted.any():
        return found
    where = problem.counted
    found["psnr"] = psnr_of(fitted.picture[where], clean[where])
    found["given_psnr"] = psnr_of(np.clip(problem.given, 0, 1)[where], clean[where])
    found["last_psnr"] = psnr_of(fitted.last[where], clean[where])
    if where.all():
        found["ssim"] = float(ssim(problem, fitted.picture))
        found["given_ssim"] = float(ssim(problem, np.clip(problem.given, 0, 1)))
        if len(errors := fitted.curves.get("error", ())):
            found["oracle_step"] = int(np.argmin(errors)) + 1
            found["oracle_psnr"] = float(-10 * np.log10(np.min(errors)))
    return found


def psnr_of(picture: NDArray[np.floating], clean: NDArray[np.floating]) -> float:
    """dB, for values in [0, 1]."""
    return float(image_quality.psnr(clean.reshape(1, 1, -1), picture.reshape(1, 1, -1))[0])


def ssim(problem: Problem, picture: Picture) -> float:
    """To the clean picture."""
    clean = np.asarray(problem.target.clean)[None, ..., 0]
    return float(image_quality.ssim(clean, picture[None])[0])


def read(folder: Path, job: Job) -> dict[str, Any] | None:
    """The figures of a finished job; None where it is not done."""
    try:
        return json.loads((folder / f"{job.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_arrays(folder: Path, job: Job) -> dict[str, NDArray[Any]]:
    """Picture and curves of a finished job."""
    with np.load(folder / f"{job.name}.npz", allow_pickle=False) as kept:
        return dict(kept)


def make_jobs(
    rows: Sequence[int], images: Sequence[str], groups: Sequence[str], members: int
) -> Iterator[Job]:
    """All members of a picture one after the other."""
    for row, image, group in zip(rows, images, groups, strict=True):
        for member in range(members):
            yield Job(int(row), str(image), str(group), member)


def as_bytes(picture: Picture) -> NDArray[np.uint8]:
    """[0, 1] to 0 to 255."""
    return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
