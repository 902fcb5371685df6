"""The stretch that stands in for TEST holds nothing of TEST."""

import numpy as np
import pytest

from benchmarks import left_out
from covidjax.data import table
from tfds_coronahack.phantom import write_archive


def test_nothing_of_test_is_seen_and_the_ends_of_train_are_tested(tmp_path):
    archive = tmp_path / "phantom.zip"
    write_archive(archive, images=160, seed=0, size=64)
    [fold], rows = left_out.split(archive, "pneumonia")
    parts = [fold.train, fold.validation, fold.test]
    assert all(len(part) for part in parts)
    used = np.concatenate(parts)
    assert (rows["kaggle_split"].iloc[used] == "TRAIN").all()
    groups = [set(rows["group"].iloc[part]) for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    labels = table.task_labels(rows, "pneumonia")
    assert all(set(labels[part]) == {0, 1} for part in parts)


@pytest.mark.parametrize("given", ["--vary=views", "--vary=views="])
def test_a_field_without_values_is_one_line(given, capsys):
    with pytest.raises(SystemExit):
        left_out.main([given, "--archive=x.zip"])
    assert "give --vary=FIELD=VALUE,VALUE" in capsys.readouterr().err
