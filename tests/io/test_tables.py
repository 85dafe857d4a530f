import numpy as np
import pytest

from neurocca.errors import DataError, NoInputError
from neurocca.io.timeseries import read_parcels, read_table


def test_parcels_keep_their_labels(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("12,13\n1.5,2\n3,-4e-3\n")
    data, labels = read_parcels(path)
    np.testing.assert_array_equal(data, [[1.5, 2], [3, -0.004]])
    assert labels == ("12", "13")
    tsv = tmp_path / "p.tsv"
    tsv.write_text("12\t13\n1.5\t2\n")
    assert read_parcels(tsv)[0].shape == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable table"),
        ("12,13\n", "no volumes"),
        ("12,13,14\n1,2,3\n1,2", r"truncated: line 3 has 2 values, expected 3"),
        ("12,13\n1,2\n1,nan\n3,4\n", "parcel '13' is NaN or infinite on line 3"),
        ("12,13\n1,2\n1,inf\n3,4\n", "parcel '13' is NaN or infinite on line 3"),
        ("12,13\n1,2\n1,x\n", "column '13' holds values that are not numbers"),
        ("12,13\n1,2\n1,2,3\n", "not a readable table"),
        ("12,13\n1,2,3\n1,2,3\n", "not a readable table"),
        ("12,13\n1,2\n1,2.12", "truncated. The last line, 3, has no line end"),
    ],
)
def test_bad_tables_are_named_with_line_and_column(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_parcels(path)
    assert "p.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_columns_and_files(tmp_path):
    (tmp_path / "e.tsv").write_text("onset\tvalue\n1\t2\n")
    with pytest.raises(DataError, match="column 'duration' is missing; found onset, value"):
        read_table(tmp_path / "e.tsv", ("onset", "duration"))
    with pytest.raises(NoInputError, match="no such file"):
        read_table(tmp_path / "x.tsv")
    with pytest.raises(NoInputError, match="a directory, where a file is expected"):
        read_table(tmp_path)
    (tmp_path / "annexed.tsv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NoInputError, match="content is not here"):
        read_table(tmp_path / "annexed.tsv")
