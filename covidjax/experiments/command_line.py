"""The command line's mistakes, each as one line that names the field and the nearest valid ones."""

import re
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from covidjax.experiments.workdir import flatten, nearest

UNKNOWN = re.compile(r"Unknown command line flag '(?P<name>[^']+)'")


def parse(argv: Sequence[str], experiments: Mapping[str, Any]) -> list[str]:
    """absl's flags parser for `app.run`; a mistake is one line on stderr and exit status 2."""
    values = flags.FLAGS
    try:
        rest = values(list(argv))
        asked_for_help = any(values[name].value for name in ("help", "helpfull", "helpshort"))
        if not asked_for_help:
            _check(rest, experiments)
    except (flags.Error, ValueError, LookupError, AttributeError, TypeError, OSError) as error:
        print(f"launch.py: {explain(error, argv)}", file=sys.stderr)
        sys.exit(2)
    return rest


def config_name(argv: Sequence[str]) -> str:
    """The NAME of `--config=configs/NAME.py`, for the default workdir."""
    return Path(_config_argument(argv)[0]).stem


def explain(error: BaseException, argv: Sequence[str]) -> str:
    """One line of what absl and ml_collections say in many."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if "Failed loading config file" in text or isinstance(error, OSError):
        return f"--config names no experiment; there are {', '.join(known_configs())}"
    if "Error whilst parsing config file" in text:
        lines = [line for line in text.splitlines() if line.strip()]
        return re.sub(r"^\w*Error: ", "", lines[-1])
    fields = _config_fields(argv)
    for name in (argument.lstrip("-").partition("=")[0] for argument in argv[1:]):
        field = name.removeprefix("config.")
        known = {field, field.removeprefix("no")}  # --noconfig.quiet
        if fields and name.startswith("config.") and not known & fields.keys():
            return f"--{name}: the config has no such field{nearest(field, list(fields))}"
    if match := UNKNOWN.search(text):
        return f"--{match['name']} is no flag{nearest(match['name'], ['config', 'workdir'])}"
    return " ".join(text.split())


def known_configs() -> list[str]:
    """The files that --config takes, relative to the project."""
    folder = Path(sys.argv[0]).resolve().parent / "configs"
    names = sorted(path.name for path in folder.glob("*.py"))
    return [f"configs/{name}" for name in names if name not in ("__init__.py", "common.py")]


def _config_argument(argv: Sequence[str]) -> tuple[str, str]:
    """The file and what stands behind its colon; two empty texts without a --config."""
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        flag, equals, value = argument.lstrip("-").partition("=")
        if flag == "config":
            path, _, rest = (value if equals else following).partition(":")
            return path, rest
    return "", ""


def _config_fields(argv: Sequence[str]) -> dict[str, Any]:
    """The fields of the config that --config names; none where it cannot be had."""
    path, rest = _config_argument(argv)
    try:
        config = runpy.run_path(path)["get_config"](rest)
    except (OSError, ValueError, KeyError):
        return {}
    return flatten(config.to_dict())


def _check(rest: Sequence[str], experiments: Mapping[str, Any]) -> None:
    if len(rest) > 1:
        raise ValueError(f"{rest[1]!r} is no flag; flags are written --NAME=VALUE")
    config = flags.FLAGS["config"].value
    if config is None:
        raise ValueError(f"--config is missing; there are {', '.join(known_configs())}")
    if config.experiment not in experiments:
        hint = nearest(config.experiment, list(experiments))
        raise ValueError(f"config.experiment={config.experiment!r} is unknown{hint}")
