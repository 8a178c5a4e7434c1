"""filter_images.py from the outside: the fast network, and where the exact one decides."""

import numpy as np

from artifact_detection.detector.scoring import load_predictor
from artifact_detection.filtering import int8
from tests.filtering.runs import THRESHOLDS, read_scores, run


def test_int8_without_its_packages_says_what_to_install(images, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(int8, "available", lambda: False)
    assert run(images, *THRESHOLDS, "--engine", "int8", "--device", "cpu", model=model, out=tmp_path / "out") == 2
    assert "pip install openvino nncf" in capsys.readouterr().err


class Hasty:
    """An int8 network that is wrong by up to 0.004."""

    name, parallel = "hasty", 1

    def __init__(self, scorer):
        self.scorer = scorer

    def __call__(self, images):
        logits = self.scorer.exact(images)
        return logits + self.scorer.checkpoint.temperature * 0.016 * np.sin(1e4 * logits)


def test_images_near_a_threshold_get_the_exact_probability(images, model, tmp_path, monkeypatch, capsys):
    scorer = load_predictor(model, "cpu")
    monkeypatch.setattr(int8, "available", lambda: True)
    monkeypatch.setattr(int8, "quantise", lambda *_: None)
    monkeypatch.setattr(int8, "Int8Engine", lambda *_: Hasty(scorer))
    run(images, *THRESHOLDS, "--device", "cpu", model=model, out=tmp_path / "exact")
    exact = {path: row for path, row in read_scores(tmp_path / "exact").items() if not row["error"]}
    edge = exact[f"{images}/03.png"]["probability"]
    command = [images, "--threshold", edge, "--engine", "int8", "--device", "cpu"]
    run(*command, model=model, out=tmp_path / "fast")
    assert "int8 network used" in capsys.readouterr().err
    fast = read_scores(tmp_path / "fast")
    assert fast[f"{images}/03.png"]["probability"] == edge
    assert sum(fast[path]["probability"] != row["probability"] for path, row in exact.items()) > 10
    assert all((fast[path]["band"] == "reject") == (row["probability"] >= edge) for path, row in exact.items())
    run(*command, model=model, out=tmp_path / "fast")
    assert read_scores(tmp_path / "fast") == fast


def test_a_fast_network_that_disagrees_is_refused(images, model, tmp_path, monkeypatch, capsys):
    class Wrong:
        name = "wrong"

        def __init__(self, path, threads):
            pass

        def __call__(self, images):
            return np.zeros(len(images), np.float32)

    monkeypatch.setattr(int8, "available", lambda: True)
    monkeypatch.setattr(int8, "quantise", lambda *_: None)
    monkeypatch.setattr(int8, "Int8Engine", Wrong)
    run(images, *THRESHOLDS, "--engine", "int8", "--device", "cpu", model=model, out=tmp_path / "a")
    assert "refused" in capsys.readouterr().err
    run(images, *THRESHOLDS, "--device", "cpu", model=model, out=tmp_path / "b")
    assert read_scores(tmp_path / "a") == read_scores(tmp_path / "b")
