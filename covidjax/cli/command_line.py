"""The command line's mistakes, each as one line that names the field and the nearest valid ones."""

import ast
import json
import os
import re
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags

from covidjax.runs.config import described
from covidjax.runs.flat import flatten, nearest
from tfds_coronahack.paths import NoHomeError, expanded
from tfds_coronahack.terminal import keep_printing

WRONG_TYPE = re.compile(
    r"flag --(?P<setting>config\S*): (?P<kind>invalid literal for int|could not convert string to)"
)
UNKNOWN = re.compile(r"Unknown command line flag '(?P<name>[^']+)'")
FLAGS = ["config", "workdir", "sweep", "shard", "dry", "merge"]
FLAGS += ["coordinator", "processes", "process", "peer_timeout"]
# Flags that are no field of any config.
OVERRIDE = "config.override"
OVERRIDE_HELP = "a JSON file of fields, such as a study's best_config.json; flags win over it"


def parse(argv: Sequence[str], experiments: Mapping[str, Any]) -> list[str]:
    """absl's flags parser for `app.run`; a mistake is one line on stderr and exit status 2."""
    keep_printing()
    values = flags.FLAGS
    try:
        argv, override = take_override(with_config(with_sweep(argv)))
        sys.argv[1:] = argv[1:]  # ml_collections reads the config's fields there
        if {"-h", "-help", "--help"} & set(argv):
            print(help_text(argv))
            sys.exit(0)
        rest = values(list(argv))
        if override and values["config"].value is not None:
            flag: Any = values["config"]
            apply_override(flag.value, override, flag.override_values)
        if not any(values[name].value for name in ("helpfull", "helpshort")):
            _check(rest, experiments)
    except (flags.Error, ValueError, LookupError, AttributeError, TypeError, OSError) as error:
        print(f"launch.py: {explain(error, argv)}", file=sys.stderr)
        sys.exit(2)
    return rest


def with_config(argv: Sequence[str]) -> list[str]:
    """The command line with a --config that only lies beside the script found there."""
    whole = list(argv)
    typed, rest = _typed_config(argv)
    found = _beside_script(typed)
    if found != typed:
        old, new = (f"{path}:{rest}" if rest else path for path in (typed, found))
        place = next(i for i, argument in enumerate(argv) if argument.endswith(old))
        whole[place] = whole[place].removesuffix(old) + new
    return whole


def with_sweep(argv: Sequence[str]) -> list[str]:
    """The command line with a `--sweep` that has no name as `--sweep=`, the config's first one."""
    whole = list(argv)
    for place, (argument, following) in enumerate(zip(argv, [*argv[1:], "--"], strict=True)):
        if argument in ("--sweep", "-sweep") and following.startswith("-"):
            whole[place] = "--sweep="
    return whole


def take_override(argv: Sequence[str]) -> tuple[list[str], str]:
    """The command line without `--config.override=FILE`, and FILE, "" where there is none."""
    rest: list[str] = []
    path, following = "", False
    for argument in argv:
        flag, equals, value = argument.partition("=")
        if following:
            path, following = argument, False
        elif flag in (f"--{OVERRIDE}", f"-{OVERRIDE}"):
            path, following = value, not equals
        else:
            rest.append(argument)
    return rest, path


def apply_override(
    config: ml_collections.ConfigDict, path: str, explicit: Mapping[str, Any]
) -> None:
    """Sets a config's fields to those of a JSON file: `{"optimizer.learning_rate": 0.001, ...}`.

    The file wins over the config's defaults, what stands behind the colon among them.

    Args:
      config: changed in place.
      path: the file; nested objects do as well as names with dots.
      explicit: fields that the command line sets itself, which win.

    Raises:
      ValueError: no such file, no JSON object, an unknown field or a value of another type, in one
        line; nothing has been set then.
    """
    setting = f"--{OVERRIDE}={path}"
    try:
        found = json.loads(expanded(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{setting} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{setting} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f'{setting} holds no fields: write {{"FIELD": VALUE, ...}}')
    known = flatten(config.to_dict())
    changes = {}
    for name, value in flatten(found).items():
        if name not in known:
            hint = nearest(name, list(known))
            raise ValueError(f"{setting}: the config has no field {name!r}{hint}")
        if not any(name == field or name.startswith(f"{field}.") for field in explicit):
            changes[name] = _of_kind(value, known[name], f"{setting}: {name}={value!r}")
    config.update_from_flattened_dict(changes)


def help_text(argv: Sequence[str]) -> str:
    """What `--help` prints: the experiments, or all fields of the one that --config names.

    Raises:
      OSError, ValueError, KeyError: --config names no experiment, or a wrong argument.
    """
    path, arguments = _config_argument(argv)
    if not path:
        usage = ast.get_docstring(ast.parse(Path(argv[0]).read_text(encoding="utf-8"))) or ""
        about = "\n\n".join(f"{name}\n{_indented(_docstring(name))}" for name in known_configs())
        more = "All fields of one, with their values: --help --config=configs/NAME.py"
        return f"{usage}\n\n{about}\n\n{more}"
    if not Path(path).is_file():
        raise FileNotFoundError(path)
    config = runpy.run_path(str(Path(path).resolve()))["get_config"](arguments)
    values, lines = flatten(config.to_dict()), []
    for field, text in described(config).items():
        setting = f"  --config.{field}={values[field]}"
        lines.append(f"{setting:<44} {text}".rstrip())
    lines.append(f"{f'  --{OVERRIDE}=FILE':<44} {OVERRIDE_HELP}")
    return f"{path}\n{_indented(_docstring(path))}\n\nFields:\n" + "\n".join(lines)


def config_path(argv: Sequence[str]) -> str:
    """The FILE of `--config=FILE`, without what stands behind its colon."""
    return _config_argument(argv)[0]


def config_name(argv: Sequence[str]) -> str:
    """The NAME of `--config=configs/NAME.py`, for the default workdir."""
    return Path(_config_argument(argv)[0]).stem


def explain(error: BaseException, argv: Sequence[str]) -> str:
    """One line of what absl and ml_collections say in many."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, NoHomeError):
        return text
    nowhere = "Failed loading config file" in text or "'get_config'" in text
    if nowhere or isinstance(error, OSError):
        return f"--config names no experiment; there are {', '.join(known_configs())}"
    if "Error whilst parsing config file" in text:
        lines = [line for line in text.splitlines() if line.strip()]
        return re.sub(r"^\w*Error: ", "", lines[-1])
    if match := WRONG_TYPE.search(text):
        kind = "a whole number" if match["kind"].startswith("invalid") else "a number"
        return f"--{match['setting']}: expected {kind}"
    fields = _config_fields(argv)
    for name in (argument.lstrip("-").partition("=")[0] for argument in argv[1:]):
        field = name.removeprefix("config.")
        known = {field, field.removeprefix("no")}  # --noconfig.quiet
        if fields and name.startswith("config.") and not known & fields.keys():
            hint = nearest(field, [*fields, "override"])
            return f"--{name}: the config has no such field{hint}"
    if match := UNKNOWN.search(text):
        if match["name"] in fields:
            return f"--{match['name']} is no flag, did you mean --config.{match['name']}?"
        return f"--{match['name']} is no flag{nearest(match['name'], FLAGS)}"
    return " ".join(text.split())


def known_configs() -> list[str]:
    """The files that --config takes, relative to the project."""
    folder = Path(sys.argv[0]).resolve().parent / "configs"
    names = sorted(path.name for path in folder.glob("*.py"))
    return [f"configs/{name}" for name in names if name not in ("__init__.py", "common.py")]


def _of_kind(value: Any, default: Any, setting: str) -> Any:
    """The value in its field's type. Raises ValueError where it is of another."""
    if isinstance(default, bool | str):
        fits, kind = isinstance(value, type(default)), "text"
        if isinstance(default, bool):
            kind = "true or false"
    elif isinstance(default, int):
        fits, kind = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(default, float):
        fits, kind = isinstance(value, int | float) and not isinstance(value, bool), "a number"
        value = float(value) if fits else value
    else:
        fits, kind = isinstance(value, list), "a list"
        parts = value if fits else []
        like = default[0] if default else None
        value = tuple(_of_kind(part, like, setting) if default else part for part in parts)
    if not fits:
        raise ValueError(f"{setting}: expected {kind}")
    return value


def _docstring(path: str) -> str:
    file = Path(path) if Path(path).exists() else Path(sys.argv[0]).resolve().parent / path
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _config_argument(argv: Sequence[str]) -> tuple[str, str]:
    """The file, where it is, and what stands behind its colon; empty texts without a --config."""
    path, rest = _typed_config(argv)
    return _beside_script(path), rest


def _beside_script(path: str) -> str:
    """The path, or where it does not exist the one beside launch.py: it may run from anywhere."""
    if path.startswith("~"):
        return str(expanded(path))
    beside = Path(sys.argv[0]).resolve().parent / path
    there, found = os.path.exists(path), os.path.isfile(beside)
    return str(beside) if path and not there and found else path


def _typed_config(argv: Sequence[str]) -> tuple[str, str]:
    """The file as it was typed, and what stands behind its colon."""
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        flag, equals, value = argument.lstrip("-").partition("=")
        if flag == "config":
            path, _, rest = (value if equals else following).partition(":")
            return path, rest
    return "", ""


def _config_fields(argv: Sequence[str]) -> dict[str, Any]:
    """The fields of the config that --config names; none where it cannot be had."""
    path, rest = _config_argument(argv)
    if not path:
        return {}
    try:
        config = runpy.run_path(path)["get_config"](rest)
    except (OSError, ValueError, KeyError, ImportError, SyntaxError, flags.Error):
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
