import numpy as np
import pytest

from neurocca.errors import DataError
from neurocca.io.centroids import read_centroids


def test_places_are_found_by_the_names_of_the_parcels_whatever_their_order(tmp_path):
    path = tmp_path / "centroids.csv"
    path.write_text("label,name,R,A,S\n1,Vis_1,-24,-54,-10\n2,Vis_2,26,-78,-14\n3,Aud_1,50,-20,8\n")
    np.testing.assert_array_equal(read_centroids(path, ["Aud_1", "Vis_1"]), [[50, -20, 8], [-24, -54, -10]])
    np.testing.assert_array_equal(read_centroids(path, ["2"]), [[26, -78, -14]])


def test_what_is_missing_is_named(tmp_path):
    path = tmp_path / "centroids.tsv"
    path.write_text("name\tx\ty\tz\nA\t1\t2\t3\nB\t1\tn/a\t3\n")
    with pytest.raises(DataError, match=r"no coordinates of 2 of 3 parcels: B, C\."):
        read_centroids(path, ["A", "B", "C"])
    path.write_text("name\ti\tj\nA\t1\t2\n")
    with pytest.raises(DataError, match=r"no columns x, y, z \(or R, A, S\); there are name, i, j\."):
        read_centroids(path, ["A"])
