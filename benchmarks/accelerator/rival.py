"""Our training steps in turns with PyTorch's on the same device: channels_last, compiled, AMP."""

from typing import Any

from benchmarks.accelerator.parts import Emit, Row, Settings
from benchmarks.compare import Result, in_turns, progress, repeated
from benchmarks.settings import torch_installed
from benchmarks.worker import ANY_DEVICE, Side, Worker, WorkerError

# Network, pixels a side, batch, type; what matters most first.
CASES = (
    ("resnet50", 224, 128, "bfloat16"),
    ("resnet18", 224, 256, "bfloat16"),
    ("cnn", 64, 512, "bfloat16"),
    ("resnet50", 224, 128, "float32"),
    ("unet", 128, 32, "bfloat16"),
)
TINY = (("cnn", 16, 8, "bfloat16"),)
PAIRS = 3
# Both sides are on the device at once, so neither may take all of its memory.
SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **ANY_DEVICE}


def measure(settings: Settings, emit: Emit) -> None:
    """A row for each network; one line where there is no PyTorch."""
    if not torch_installed():
        emit({"name": "pytorch", "note": "not installed, so there is nothing to compare with"})
        return
    if not settings.dry_run and not _torch_sees_a_gpu():
        emit({"name": "pytorch", "note": "it sees no GPU, so there is nothing to compare with"})
        return
    for network, size, batch, dtype in TINY if settings.dry_run else CASES:
        case = {"network": network, "size": size, "batch": batch, "dtype": dtype}
        row: Row = {"name": f"{network}, {size} px", "dtype": dtype, "batch": batch}
        try:
            emit(row | compared(case))
        except WorkerError as error:
            emit(row | {"failed": str(error)[:200]})


def _torch_sees_a_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def compared(case: dict[str, Any]) -> Row:
    """Speeds of both sides and their ratio, as `python -m benchmarks` has them."""
    with (
        Worker("benchmarks.accelerator.rival:ours", case, SHARED) as mine,
        Worker("benchmarks.accelerator.rival:theirs", case, SHARED) as theirs,
    ):
        values = in_turns(mine.turn, theirs.turn, PAIRS, progress)
        note = theirs.note
    figures = Result("", "images/s", *values).figures()
    return {
        "images/s": figures["ours"],
        "PyTorch's": figures["theirs"],
        "ratio": figures["ratio"],
        "low": figures["low"],
        "high": figures["high"],
        "note": note,
    }


def ours(network: str, size: int, batch: int, dtype: str) -> Side:
    """Our side, for a worker."""
    from benchmarks import ours  # imports JAX, which the other side does not need
    from covidjax.training import sharding, steps

    ours.start()
    per_dispatch = steps.steps_per_dispatch(0, sharding.make_mesh())
    training = ours.Training(network, batch, size, dtype, per_dispatch, devices=1)
    return Side(repeated(training.run, batch * per_dispatch))


def theirs(network: str, size: int, batch: int, dtype: str) -> Side:
    """PyTorch's side, for a worker: compiled where its compiler works, else eager."""
    import torch

    from benchmarks import torch_denoisers, torch_networks, torch_steps

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # What JAX does by default too.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True  # as XLA tries its algorithms too
    denoises = network in torch_denoisers.NETWORKS
    model: Any = torch_denoisers.NETWORKS[network]() if denoises else torch_networks.create(network)
    model = model.to(device=device, memory_format=torch.channels_last).train()
    images = torch.rand(batch, 1, size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (batch,), device=device)

    def loss_of(images: Any, labels: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            if denoises:
                return torch_denoisers.loss_of(model, images)
            return torch_steps.loss_of(model, images, labels)

    def ready(compiled: bool) -> Any:
        run = torch_steps.training(model, loss_of, (images, labels), compiled, weight_decay=1e-2)

        def and_wait(times: int) -> None:
            run(times)
            if device == "cuda":
                torch.cuda.synchronize()

        return repeated(and_wait, batch)

    amp = f"channels_last, {dtype}"
    try:
        return Side(ready(True), f"{amp}, compiled")
    except RuntimeError as error:  # what torch.compile raises where it has no compiler
        reason = str(error).partition(":")[0].strip()[:60]
        return Side(ready(False), f"{amp}, eager (torch.compile: {reason})")
