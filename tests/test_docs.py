"""What the pages tell people to type can be typed: every command is parsed, none is run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from benchmarks import scaling_on_paper

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += [ROOT / "tfds_coronahack" / "README.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = ("", "bash", "sbatch")
# What stands for the variables of the pages.
VARIABLES = {
    "SLURM_ARRAY_TASK_ID": "0",
    "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_PROCID": "1",
    "JOB_COMPLETION_INDEX": "1",
    "I": "1",
    "i": "1",
}
SBATCH = (
    *("job-name", "nodes", "ntasks", "ntasks-per-node", "gpus", "gpus-per-node", "cpus-per-task"),
    *("time", "signal", "requeue", "output", "array"),
)


class Block(NamedTuple):
    page: str
    kind: str
    text: str


def blocks(*kinds: str) -> list[Block]:
    found = []
    for page in PAGES:
        for kind, text in FENCED.findall(page.read_text(encoding="utf-8")):
            if kind in kinds:
                found.append(Block(page.relative_to(ROOT).as_posix(), kind, text))
    return found


def launches(text: str) -> list[list[str]]:
    """The arguments of every `python launch.py` in a shell's or a YAML file's text."""
    # YAML folds what it indents; a shell joins what ends in a backslash.
    text = re.sub(r"\\\n\s*", " ", text)
    text = re.sub(r"\n\s+(?=--)", " ", text)
    found = []
    for match in re.finditer(r"python launch\.py (.*)", text):
        command = match[1].replace("'$BUCKET'", "gs://bucket")
        # The pages' own abbreviations, which they explain.
        command = re.sub(r"\sA(?=\s|$)", " --config.data.archive=archive.zip", command)
        command = command.replace("seed=S", "seed=0")
        for name, value in VARIABLES.items():
            command = re.sub(rf"\${name}\b", value, command)
        # Up to what ends the command, or the quotes around it.
        command = re.split(r"\s(?:&|&&|\||#|>)(?:\s|$)|['\"]", command)[0]
        found.append(shlex.split(command))
    return found


def test_every_launch_in_the_pages_is_one_that_launch_py_takes() -> None:
    where, lines = [], []
    for block in blocks(*SHELLS, "yaml"):
        for arguments in launches(block.text):
            if "..." in arguments:
                continue
            where.append(f"{block.page}: {' '.join(arguments)}")
            # Files that the commands before it would have made.
            lines.append([a for a in arguments if not a.startswith("--config.override=")])
    assert len(lines) > 25 and any("--coordinator" in line for line in where)
    # That a mistake would be found:
    text = (
        "a=1 \\\n  python launch.py --config=configs/cnn.py --config.epoch=3 \\\n  --shard=$I/4 &\n"
    )
    assert launches(text) == [["--config=configs/cnn.py", "--config.epoch=3", "--shard=1/4"]]
    lines.append(launches(text)[0])
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "parse_launches.py")],
        input=json.dumps(lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *problems, of_mistake = json.loads(done.stdout)
    assert "did you mean epochs?" in of_mistake
    wrong = [f"{place}\n    {text}" for place, text in zip(where, problems, strict=True) if text]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=lambda block: block.page)
def test_shell_blocks_are_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n{block.text}"


@pytest.mark.parametrize("block", blocks("sbatch"), ids=lambda block: block.page)
def test_job_scripts_have_headers_that_slurm_reads(block: Block) -> None:
    lines = block.text.splitlines()
    assert lines[0] == "#!/bin/bash"
    headers = [line for line in lines if line.startswith("#SBATCH")]
    # Slurm stops reading them at the first command.
    assert lines[1 : 1 + len(headers)] == headers and headers
    for header in headers:
        match = re.fullmatch(r"#SBATCH --([\w-]+)(=\S+)?", header)
        assert match and match[1] in SBATCH, header


def test_kubernetes_manifests_agree_with_each_other() -> None:
    objects = [part for block in blocks("yaml") for part in yaml.safe_load_all(block.text)]
    jobs = [part for part in objects if part["kind"] == "Job"]
    services = {part["metadata"]["name"]: part for part in objects if part["kind"] == "Service"}
    assert len(jobs) == 2 and all(job["apiVersion"] == "batch/v1" for job in jobs)
    for job in jobs:
        spec, pod = job["spec"], job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        command = container["args"][0]
        assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert pod["restartPolicy"] == "Never" and "\n" not in command.strip()
        if "--coordinator" in command:
            name = job["metadata"]["name"]
            service = services[pod["subdomain"]]
            assert service["spec"]["selector"] == {"job-name": name}
            assert service["spec"]["clusterIP"] == "None"
            host, port = re.search(r"--coordinator=([\w.-]+):(\d+)", command).groups()
            assert host == f"{name}-0.{pod['subdomain']}"
            assert int(port) == container["ports"][0]["containerPort"]
            assert f"--processes={spec['completions']} " in command
        else:
            assert f"/{spec['completions']} " in command and "--processes=1 " in command


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_computed_tables_are_what_the_script_computes() -> None:
    computed = set(scaling_on_paper.on_paper(scaling_on_paper.Assumed()))
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    rows = [
        line
        for line in text.splitlines()
        if line.startswith(tuple(f"| {name} |" for name in scaling_on_paper.NETWORKS))
    ]
    assert len(rows) >= 4 + 2 * 4 * 4
    assert [row for row in rows if row not in computed] == []


def test_all_reduces_of_a_compiled_program_are_counted() -> None:
    program = """
  %a = f32[3,3,16]{2,1,0} all-reduce(%x), channel_id=1
  %b = (f32[10]{0}, bf16[4,2]{1,0}) all-reduce-start(%y, %z), channel_id=2
  %c = f32[8]{0} add(%a, %a)
"""
    assert scaling_on_paper.all_reduces(program) == (2, 4 * 144 + 4 * 10 + 2 * 8)
    assert scaling_on_paper.all_reduce_bytes(100, 1) == 0
    assert scaling_on_paper.all_reduce_bytes(100, 4) == 600
