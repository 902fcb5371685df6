"""Two sides in turns: the interleaved measurement and its figures.

A machine's speed drifts by more than the differences of interest, so the two sides take turns and
each turn of ours is compared with the turn of theirs that follows it. The ratio is the median over
the pairs, with the smallest and the largest beside it.
"""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence

Turn = Callable[[], float]

# Between two turns, so that the threads of the side that is done stop looking for work.
PAUSE_SECONDS = 0.1
TURN_SECONDS = 1.0  # at least, of a turn that repeats something


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured under one name.

    Attributes:
      name: as in the table and the JSON file.
      unit: of `ours` and `theirs`.
      ours: one value a turn.
      theirs: as many, each measured right after ours; empty where there is no rival.
      against: who the rival is, for the table.
      less_is_better: the values are seconds or bytes, not speeds.
    """

    name: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    against: str = ""
    less_is_better: bool = False

    def figures(self) -> dict[str, float | str | None]:
        """The entry of the JSON file.

        `ours` and `theirs` are medians over the turns. `ratio` is the median over the pairs of
        ours / theirs, or of theirs / ours where less is better, so that above 1 we are always the
        better ones; `low` and `high` are the smallest and the largest of the pairs. All but `ours`
        and `unit` are None where there is no rival.
        """
        found: dict[str, float | str | None] = dict.fromkeys(("ratio", "low", "high"))
        found |= {"ours": statistics.median(self.ours), "theirs": None, "unit": self.unit}
        if self.theirs:
            pairs = paired_ratios(self.ours, self.theirs, self.less_is_better)
            found |= {"ratio": statistics.median(pairs), "low": min(pairs), "high": max(pairs)}
            found["theirs"] = statistics.median(self.theirs)
        return found


def paired_ratios(
    ours: Sequence[float], theirs: Sequence[float], less_is_better: bool
) -> list[float]:
    """One ratio a pair, above 1 where ours is the better value.

    Raises:
      ValueError: the sides had different numbers of turns.
    """
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return [1 / ratio for ratio in ratios] if less_is_better else ratios


def in_turns(
    ours: Turn, theirs: Turn | None, pairs: int, say: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """(values of ours, values of theirs), measured in turns; the second empty without `theirs`.

    Args:
      ours, theirs: measure once and return the value.
      pairs: how many times.
      say: shown one short line a pair.
    """
    values: tuple[list[float], list[float]] = ([], [])
    for pair in range(1, pairs + 1):
        shown = []
        for side, turn, kept in zip(("ours", "theirs"), (ours, theirs), values, strict=True):
            if turn is None:
                continue
            time.sleep(PAUSE_SECONDS)
            kept.append(turn())
            shown.append(f"{side} {kept[-1]:,.4g}")
        say(f"{pair}/{pairs}  {'  '.join(shown)}")
    return values


def repeated(run: Callable[[int], None], amount: float) -> Turn:
    """A turn that runs something often enough to last `TURN_SECONDS`, and returns its speed.

    Args:
      run: does it a number of times, and waits until it is done. Called now, to warm up and to
        find the number.
      amount: of images in one time.

    Returns:
      The turn; its value is `amount` a second.
    """
    run(1)
    times = 1
    for _ in range(2):  # the first few times are slow: memory is still being taken
        start = time.perf_counter()
        run(times)
        times = max(1, round(times * TURN_SECONDS / (time.perf_counter() - start)))

    def turn() -> float:
        start = time.perf_counter()
        run(times)
        return amount * times / (time.perf_counter() - start)

    return turn


def progress(text: str) -> None:
    """One line to stderr."""
    print(text, file=sys.stderr, flush=True)
