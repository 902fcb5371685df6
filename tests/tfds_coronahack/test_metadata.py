import pytest
from coronahack_archives import HEADER, ROWS, metadata_csv

from tfds_coronahack.archive import ArchiveError
from tfds_coronahack.metadata import Row, parse_rows


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("Normal", "", ""), ("Normal", "none")),
        (("Pnemonia", "", "bacteria"), ("Pneumonia", "bacterial")),
        (("Pnemonia", "", "Virus"), ("Pneumonia", "viral")),
        (("Pnemonia", "COVID-19", "Virus"), ("Pneumonia", "COVID-19")),
        (("Pnemonia", "SARS", "Virus"), ("Pneumonia", "SARS")),
        (("Pnemonia", "ARDS", "Stress-Smoking"), ("Pneumonia", "ARDS")),
        (("Pnemonia", "Streptococcus", "bacteria"), ("Pneumonia", "Streptococcus")),
        (("Pneumonia", "", "bacteria"), ("Pneumonia", "bacterial")),
    ],
)
def test_every_kind_of_row_gets_its_label_and_cause(labels, expected):
    label, label_2, label_1 = labels
    data = metadata_csv([("a.jpeg", label, "TRAIN", label_2, label_1)])
    assert parse_rows(data, "x.zip") == ([Row("a.jpeg", *expected, "TRAIN")], [])


@pytest.mark.parametrize(
    "labels",
    [
        ("Pnemonia", "", ""),
        ("Pnemonia", "MERS", "Virus"),
        ("Pnemonia", "", "fungus"),
        ("Normal", "", "Virus"),
        ("Healthy", "", ""),
    ],
)
def test_labels_the_original_does_not_hold_are_refused_with_their_line(labels):
    label, label_2, label_1 = labels
    rows = [*ROWS, ("a.jpeg", label, "TRAIN", label_2, label_1)]
    with pytest.raises(ArchiveError, match="line 9 of .* in x.zip"):
        parse_rows(metadata_csv(rows), "x.zip")


def test_other_columns_are_refused_by_name():
    header = ["id", "file", *HEADER[2:]]
    with pytest.raises(ArchiveError, match="missing: X_ray_image_name; found: id, file"):
        parse_rows(metadata_csv(ROWS, header), "x.zip")


def test_repeated_row_is_dropped_and_named_but_a_contradiction_is_refused():
    rows, repeated = parse_rows(metadata_csv([*ROWS, ROWS[0]]), "x.zip")
    assert len(rows) == len(ROWS)
    assert repeated == [ROWS[0][0]]
    other = (ROWS[0][0], "Pnemonia", "TRAIN", "", "Virus")
    with pytest.raises(ArchiveError, match="contradict"):
        parse_rows(metadata_csv([*ROWS, other]), "x.zip")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "missing: X_ray_image_name"),
        (metadata_csv([]), "no rows"),
        (b"\xff\xfe\x00", "UTF-8"),
        (metadata_csv([("a.jpeg", "Normal", "VALID", "", "")]), "not TRAIN or TEST"),
        (metadata_csv([("", "Normal", "TRAIN", "", "")]), "is empty"),
    ],
)
def test_broken_metadata_is_refused(data, message):
    with pytest.raises(ArchiveError, match=message):
        parse_rows(data, "x.zip")


def test_byte_order_mark_of_a_spreadsheet_does_no_harm():
    assert len(parse_rows(b"\xef\xbb\xbf" + metadata_csv(ROWS), "x.zip")[0]) == len(ROWS)


def test_a_table_that_csv_cannot_read_is_one_line():
    line = "1,a" + "x" * 200_000 + ",Normal,TRAIN,,\n"  # over the csv module's limit of a field
    with pytest.raises(ArchiveError, match="line . of .* cannot be read: field larger") as caught:
        parse_rows((",".join(HEADER) + "\n" + line).encode(), "a.zip")
    assert "\n" not in str(caught.value)


def test_a_quote_that_is_never_closed_and_a_million_columns_are_one_short_message():
    for data in (b'"' + b"x" * 200_000, b",".join(b"c%d" % n for n in range(100_000)) + b"\n"):
        with pytest.raises(ArchiveError) as caught:
            parse_rows(data, "a.zip")
        assert len(str(caught.value)) < 1000
