"""`python -m covidjax.denoise` with a stand-in for the network: files in, files out."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from covidjax.data.noise import Noise
from covidjax.denoise import __main__ as denoise
from covidjax.denoise import denoiser
from covidjax.training import compiled

RNG = np.random.default_rng(0)


@dataclasses.dataclass
class Blur:
    """What a denoiser is to the command, without a network."""

    phantom: bool = True
    name: str = "unet"
    noise: Noise = Noise()
    config: SimpleNamespace = dataclasses.field(
        default_factory=lambda: SimpleNamespace(model={"noise_map": True})
    )

    def __call__(self, images: np.ndarray, levels: np.ndarray | None = None) -> np.ndarray:
        assert levels is not None and levels.shape == (1,)
        return ndimage.gaussian_filter(images, (0, 1, 1))


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "below").mkdir(parents=True)
    y, x = np.mgrid[:90, :70] / 90
    film = 0.5 + 0.3 * np.sin(6 * x + 4 * y) + RNG.normal(0, 0.1, (90, 70))
    clipped = np.clip(film, 0, 1)
    Image.fromarray((clipped * 255).astype(np.uint8)).save(folder / "a.jpg", quality=95)
    Image.fromarray((clipped * 65535).astype(np.uint16)).save(folder / "below" / "b.png")
    (folder / ".hidden.png").write_text("")
    return folder


@pytest.fixture(autouse=True)
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COVIDJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(denoiser, "load_denoiser", lambda folder: Blur())
    monkeypatch.setattr(compiled, "keep", lambda folder: None)


def call(*arguments: object) -> int:
    return denoise.main([str(argument) for argument in arguments])


def test_a_folder_is_denoised_into_a_folder_like_it(films, tmp_path, capsys):
    out = tmp_path / "out"
    assert call("--run=run", films, f"--out={out}") == 0
    shown = capsys.readouterr()
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == ["a.png", "below/b.png"]
    with Image.open(films / "below" / "b.png") as before, Image.open(out / "below/b.png") as after:
        old, new = np.array(before), np.array(after)
        assert after.info["Comment"].startswith("PHANTOM denoised by covidjax")
    assert new.dtype == np.uint16 and new.shape == old.shape
    expected = ndimage.gaussian_filter(old / 65535, 1)
    np.testing.assert_allclose(new[:60, :60] / 65535, expected[:60, :60], atol=1e-4)
    lines = shown.out.splitlines()
    assert len(lines) == 2 and all("PHANTOM" in line for line in lines)
    assert "70 x 90, 16 bits, changed by" in lines[1]
    assert "PHANTOM: trained on synthetic images" in shown.err


def test_one_bad_file_has_its_own_line_and_the_rest_go_on(films, tmp_path, capsys):
    (films / "broken.png").write_bytes(b"\x89PNG nothing")
    assert call("--run=run", films, f"--out={tmp_path / 'out'}") == 1
    shown = capsys.readouterr()
    (line,) = [line for line in shown.out.splitlines() if "broken.png" in line]
    assert "not read: " in line
    assert "1 of 3 files were not denoised" in shown.err
    assert (tmp_path / "out" / "below" / "b.png").exists()


def test_what_is_there_is_not_overwritten_unless_asked(films, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("precious")
    assert call("--run=run", films, f"--out={out}") == 2
    assert "a.png: there already; give another --out, or --overwrite" in capsys.readouterr().err
    assert (out / "a.png").read_text() == "precious" and not (out / "below").exists()
    assert call("--run=run", films, f"--out={out}", "--overwrite") == 0
    with Image.open(out / "a.png") as image:
        assert image.mode == "L"


def test_command_lines_that_cannot_work_are_one_line_and_status_2(films, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(films / "a.png")
    wanted = {
        ("none.png", f"--out={tmp_path / 'out'}"): "none.png: there is no such file",
        (tmp_path / "empty", f"--out={tmp_path / 'out'}"): "no file in",
        (films, f"--out={tmp_path / 'out'}"): "would both be written to",
        (films / "a.png", f"--out={films}"): "would be written over itself",
        (films / "a.jpg", f"--out={tmp_path / 'file' / 'x'}"): "cannot make the folder",
    }
    for arguments, text in wanted.items():
        assert call("--run=run", *arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and len(shown.err.splitlines()) == 1
        assert text in shown.err, shown.err


def test_ctrl_c_ends_with_130_and_says_how_far_it_came(films, tmp_path, capsys, monkeypatch):
    whole = denoise.denoise_files

    def interrupted(*arguments):
        for number, line in enumerate(whole(*arguments)):
            if number == 1:
                raise KeyboardInterrupt
            yield line

    monkeypatch.setattr(denoise, "denoise_files", interrupted)
    assert call("--run=run", films, f"--out={tmp_path / 'out'}") == 130
    assert "stopped after 1 of 2 files" in capsys.readouterr().err


def test_help_teaches_by_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        call("--help")
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "python -m covidjax.denoise --run=runs/dae" in shown and "Exit status: 0; 1" in shown


def test_a_link_to_itself_is_one_files_line_and_odd_endings_become_png(films, tmp_path, capsys):
    (films / "circle.jpg").symlink_to(films / "circle.jpg")
    shutil.copy(films / "a.jpg", films / "c.jfif")
    assert call("--run=x", films, f"--out={tmp_path / 'out'}") == 1
    assert "circle.jpg  not read: cannot be opened" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert made == ["a.png", "b.png", "c.png"]
