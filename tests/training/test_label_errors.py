import pandas as pd
import pytest

from artifact_detection.training.label_errors import rank_labels


def test_contradicted_labels_come_first_and_right_ones_not_at_all():
    table = pd.DataFrame(
        {
            "path": ["a", "b", "c", "d"],
            "label": [0, 1, 1, 0],
            "probability": [0.9, 0.95, 0.02, 0.6],
            "prediction": [1, 1, 0, 1],
            "fold": [1, 1, 2, 2],
        }
    )
    ranking = rank_labels(table)
    assert ranking["path"].tolist() == ["c", "a", "d"]
    assert ranking["label_probability"].tolist() == pytest.approx([0.02, 0.1, 0.4])
    assert "fold" in ranking
