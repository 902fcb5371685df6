"""What a person can get wrong is one clear line and exit status 2, and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SHRUNK = ["--config.phantom.images=120", "--config.phantom.size=64", "--config.data.size=32"]
COVID = "--config=configs/cnn.py"
PNEUMONIA = "--config=configs/cnn.py:task=pneumonia"

# config, one or more flags: what the line must hold.
MISTAKES = {
    # typos
    f"{PNEUMONIA} --config.epoch=3": "did you mean epochs?",
    f"{PNEUMONIA} --config.optimizer.lr=3": "--config.optimizer.lr",
    f"{PNEUMONIA} --config.optimizer=3": "optimizer.name",
    f"{PNEUMONIA} --wrkdir=3": "did you mean workdir?",
    f"{PNEUMONIA} stray": "'stray' is no flag",
    f"{PNEUMONIA} --config.epochs=abc": "--config.epochs=abc: expected a whole number",
    f"{PNEUMONIA} --config.epochs=0.5": "--config.epochs=0.5: expected a whole number",
    f"{PNEUMONIA} --config.ema=abc": "--config.ema=abc: expected a number",
    f"{PNEUMONIA} --config.mirror=perhaps": "config.mirror",
    f"{PNEUMONIA} --config.experiment=clasify": "did you mean classify?",
    f"{PNEUMONIA} --config.task=covd": "did you mean covid?",
    f"{PNEUMONIA} --config.split=loo": "config.split='loo'",
    f"{PNEUMONIA} --config.validation=shiftd": "did you mean shifted?",
    f"{PNEUMONIA} --config.select=bst": "did you mean best",
    f"{PNEUMONIA} --config.balance=x": "known: loss, sampling, none",
    f"{PNEUMONIA} --config.dtype=float16": "bfloat16",
    f"{PNEUMONIA} --config.optimizer.name=adam": "did you mean adamw?",
    f"{PNEUMONIA} --config.model.name=vgg": "known: cnn, resnet",
    f"{PNEUMONIA} --config.model.kernels=x": "config.model.kernels='x'",
    f"{PNEUMONIA} --config.data.equalize=x": "known: none, histogram, clahe",
    f"{PNEUMONIA} --config.data.resize=crop": "known: squash, pad",
    f"{PNEUMONIA} --config.data.source=kaggle": "config.data.source='kaggle'",
    f"{COVID} --config.part=all": "known: TRAIN, TEST",
    f"{COVID}:siz=3": "did you mean size",
    f"{COVID}:size=abc": "size='abc': expected int",
    f"{COVID}:size": "write size=VALUE",
    f"{COVID}:depth=18": "'depth' is unknown",
    f"{COVID}:task=covd": "did you mean covid?",
    "--config=configs/resnet.py:depth=19": "[18, 34, 50, 101]",
    "--config=configs/cn.py": "configs/cnn.py, ",
    "--config=configs/common.py": "configs/cnn.py, ",
    "--config": "--config",
    "": "--config is missing; there are configs/cnn.py, ",
    "--config=configs/dae.py:net=unett": "did you mean unet?",
    "--config=configs/dae.py:noise=gauss": "did you mean gaussian?",
    "--config=configs/dae.py:level=high": "level='high': write a number, or LOW-HIGH",
    "--config=configs/dae.py --config.patch=256": "config.patch=256 is more than the 32",
    "--config=configs/dae.py --config.noise.dead=1.5": "config.noise.dead must be in [0, 1)",
    f"{PNEUMONIA} --config.overide=x": "did you mean override",
    f"{PNEUMONIA} --config.override=/nowhere.json": "--config.override=/nowhere.json cannot be",
    "--config=configs/tune_dae.py:task=covid": "'task' is unknown",
    "--config=configs/tune_dae.py --config.tuner.fields=emma": "did you mean ema?",
    # numbers out of range
    f"{PNEUMONIA} --config.batch_size=0": "config.batch_size must be at least 1",
    "--config=configs/cnn.py:task=cause --config.threshold=0.3": "threshold='0.3' is for two",
    "--config=configs/cnn.py --config.task=pneumonia": "cnn.py:task=pneumonia",
    f"{COVID} --config.validation=shifted": "config.validation=shifted needs",
    f"{PNEUMONIA} --config.threshold=2": "config.threshold='2'",
    f"{PNEUMONIA} --config.threshold=half": "config.threshold='half'",
    f"{PNEUMONIA} --config.threshold=nan": "config.threshold='nan'",
    f"{PNEUMONIA} --config.validation_fraction=0": "config.validation_fraction",
    f"{PNEUMONIA} --config.validation_fraction=0.6": "config.validation_fraction",
    f"{PNEUMONIA} --config.validation_fraction=nan": "config.validation_fraction",
    f"{PNEUMONIA} --config.data.size=27": "config.data.size must be from 28 to 512",
    f"{PNEUMONIA} --config.data.size=513": "config.data.size must be from 28 to 512",
    f"{PNEUMONIA} --config.model.widths=()": "config.model.widths",
    f"{PNEUMONIA} --config.model.widths=(8,'a')": "config.model.widths",
    f"{PNEUMONIA} --config.model.convs=0": "config.model.convs",
    f"{PNEUMONIA} --config.model.dropout=1.5": "config.model.dropout must be in [0, 1)",
    f"{PNEUMONIA} --config.optimizer.learning_rate=-1": "config.optimizer.learning_rate",
    f"{PNEUMONIA} --config.optimizer.learning_rate=nan": "config.optimizer.learning_rate",
    f"{PNEUMONIA} --config.optimizer.warmup=1.5": "config.optimizer.warmup",
    f"{PNEUMONIA} --config.optimizer.clip=-1": "config.optimizer.clip",
    f"{PNEUMONIA} --config.optimizer.weight_decay=-1": "config.optimizer.weight_decay",
    f"{PNEUMONIA} --config.optimizer.accumulate=0": "config.optimizer.accumulate",
    f"{PNEUMONIA} --config.label_smoothing=1": "config.label_smoothing must be in [0, 1)",
    f"{PNEUMONIA} --config.ema=1": "config.ema must be in [0, 1)",
    f"{PNEUMONIA} --config.augment.flip=2": "config.augment.flip must be from 0 to 1",
    f"{PNEUMONIA} --config.augment.rotation=-5": "config.augment.rotation",
    f"{PNEUMONIA} --config.epochs=-1": "config.epochs",
    f"{PNEUMONIA} --config.evaluations=0": "config.evaluations",
    f"{PNEUMONIA} --config.log_every=0": "config.log_every",
    f"{PNEUMONIA} --config.patience=-1": "config.patience",
    f"{PNEUMONIA} --config.members=0": "config.members",
    f"{PNEUMONIA} --config.bootstrap_samples=1": "config.bootstrap_samples",
    f"{PNEUMONIA} --config.seed=-1": "config.seed",
    f"{PNEUMONIA} --sweep=sedes": "did you mean seeds",
    f"{PNEUMONIA} --sweep=folds": "no such sweep",  # it is not cross-validated
    f"{PNEUMONIA} --sweep --config.seed=3": "--config.seed is swept by --sweep=seeds",
    f"{PNEUMONIA} --sweep --shard=4/4": "--shard=4/4: write I/N with I from 0 to N - 1",
    f"{PNEUMONIA} --shard=0/4": "--shard, --dry and --merge are for --sweep",
    f"{COVID} --sweep=seeds --merge": "--merge is for --sweep=folds",
    f"{COVID} --sweep=folds --merge": "fold0, fold1, fold2, fold3, fold4",
    f"{COVID} --config.fold=1 --config.folds_from=x": "config.folds_from needs config.fold=all",
    f"{COVID} --config.batch_size=8 --config.folds_from=/nowhere": "fold0 holds no run of",
    f"{PNEUMONIA} --config.profile=5": "config.profile='5': write FIRST:LAST",
    f"{PNEUMONIA} --config.profile=1:99999": "config.profile=1:99999: the run has",
    f"{PNEUMONIA} --config.seed=99999999999": "config.seed must be from 0 to 2147483647",
    f"{PNEUMONIA} --config.phantom.images=3": "images",
    f"{PNEUMONIA} --config.phantom.size=3": "size",
    f"{PNEUMONIA} --config.phantom.shortcuts=leter": "did you mean 'letter'?",
    f"{COVID} --config.folds=1": "config.folds must be at least 2",
    f"{COVID} --config.folds=100": "folds=100 must be from 2 to 10",
    # what is fine alone, but not together
    f"{COVID} --config.fold=9": "config.fold='9': give all, or a number from 0 to 4",
    f"{PNEUMONIA} --config.fold=1": "config.fold='1'",
    f"{PNEUMONIA} --config.part=TRAIN": "config.part=TRAIN needs config.split=kfold",
    f"{COVID}:split=official": "config.split=official: Kaggle's TEST has no COVID-19",
    f"{PNEUMONIA} --config.batch_size=1000": "config.batch_size=1000 is more than the 93 training",
    f"{PNEUMONIA} --config.optimizer.accumulate=9999": "config.optimizer.accumulate=9999 is more",
    f"{PNEUMONIA} --config.model.widths=(8,8,8,8,8,8,8)": "config.data.size=32 is too small",
    f"{PNEUMONIA} --config.model.name=resnet": "has no field convs, widths",
    f"{PNEUMONIA} --config.data.source=phantom --config.data.archive=/x.zip": "data.archive=/x.zip",
    f"{PNEUMONIA} --config.data.manifest=/no/split.csv": "data.manifest=/no/split.csv",
    f"{PNEUMONIA} --config.data.manifest=launch.py": "launch.py is no split manifest",
}


@pytest.fixture(scope="module")
def mistakes(
    launch_all: Callable, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str, str, Path]]:
    folders = {name: tmp_path_factory.mktemp("mistake") / "run" for name in MISTAKES}
    lines = []
    for name, folder in folders.items():
        config, *given = name.split() or [""]
        # What is given comes last, for the last one counts; a lone --config would eat a flag.
        others = [f"--workdir={folder}", "--config.quiet", *SHRUNK] if "=" in config else []
        lines.append([part for part in (config, *others, *given) if part])
    results = launch_all(lines)
    return {name: (*result, folders[name]) for name, result in zip(MISTAKES, results, strict=True)}


@pytest.mark.parametrize("name", MISTAKES, ids=lambda name: name.replace("--config.", "") or "none")
def test_a_mistake_is_one_line_that_names_it_and_writes_nothing(
    mistakes: dict[str, tuple[int, str, str, Path]], name: str
) -> None:
    status, _, err, folder = mistakes[name]
    banner = [line for line in err.splitlines() if line.startswith("##")]
    said = [line for line in err.splitlines() if line not in banner and "\r" not in line]
    assert status == 2, err
    assert len(said) == 1, err
    assert said[0].startswith("launch.py: ")
    assert MISTAKES[name] in said[0]
    assert not folder.exists()


def test_help_teaches(launch_all: Callable) -> None:
    (plain, of_one, of_none) = launch_all(
        [["--help"], ["--help", "--config=configs/resnet.py:task=cause"], ["--help", "--config=x"]]
    )
    assert plain[0] == of_one[0] == 0 and of_none[0] == 2
    for text in ("configs/cnn.py", "configs/resnet.py", "--workdir", "archive.zip", "PHANTOM"):
        assert text in plain[1]
    for text in ("--config.task=cause", "--config.model.depth=18", "squash, pad"):
        assert text in of_one[1]


def test_data_that_are_not_there_are_explained(launch_all: Callable, tmp_path: Path) -> None:
    damaged = tmp_path / "cut.zip"
    damaged.write_bytes(b"PK\x03\x04" + bytes(1000))
    (tmp_path / "empty").mkdir()
    wanted = {
        "--config.data.data_dir=/no/where": ["/no/where", "kaggle.com", "config.data.archive"],
        "--config.data.archive=/no/archive.zip": ["/no/archive.zip", "kaggle.com", "data_dir"],
        f"--config.data.archive={damaged}": ["cut.zip", "cut off"],
        f"--config.data.archive={tmp_path / 'empty'}": ["empty", "Metadata.csv"],
        "--config.data.source=coronahack": ["Kaggle", "data.archive", "KAGGLE_API_TOKEN"],
    }
    folder = tmp_path / "run"
    lines = [[PNEUMONIA, f"--workdir={folder}", *SHRUNK, flag] for flag in wanted]
    for (status, _, err), texts in zip(launch_all(lines), wanted.values(), strict=True):
        assert status == 2
        assert "Traceback" not in err and "##" not in err
        assert len(err.splitlines()) < 12
        for text in texts:
            assert text in err
        assert not folder.exists()


def test_folders_that_are_no_run_are_refused(launch_all: Callable, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.txt").write_text("cat")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"name": "of another program"}')
    wanted = {
        tmp_path / "photos": "holds files but no run",
        tmp_path / "other": "config.json is damaged",
        tmp_path / "photos" / "cat.txt": "is a file",
        tmp_path / "photos" / "cat.txt" / "run": "cat.txt/run",
    }
    lines = [[PNEUMONIA, f"--workdir={path}", "--config.quiet", *SHRUNK] for path in wanted]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for (status, _, err), text in zip(launch_all(lines), wanted.values(), strict=True):
        assert status == 2
        assert text in err.splitlines()[-1]
        assert "Traceback" not in err
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    after.pop(tmp_path / "other" / ".lock", None)
    assert after == before


def test_starting_imports_the_libraries_of_no_experiment() -> None:
    code = "import sys, launch; print(*sorted({'matplotlib', 'sklearn'} & sys.modules.keys()))"
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == ""
