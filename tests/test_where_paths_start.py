"""A path that a user types starts where the user stands; a default stands beside the scripts."""

import filter_images
import model_training
import organize_dataset
from artifact_detection.system.paths import ROOT
from tests.sources import draw_source
from tests.toys import SMALL, write_toys


def test_typed_paths_start_where_the_user_stands(tmp_path, monkeypatch):
    draw_source(tmp_path)
    write_toys(tmp_path / "toys")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert organize_dataset.main(["--source", "../source", "--output", "organized"]) == 0
    places = ["--dataset", "../toys", "--runs", "runs", "--cache", "cache"]
    assert model_training.main([*SMALL, "--epochs", "1", *places, "--name", "run"]) == 0
    model = ["--model", "runs/run/best.pt", "--threshold", "0.5", "--gallery", "0"]
    assert filter_images.main(["../toys/test", *model, "--out", "filtered"]) == 0
    made = {path.name for path in (tmp_path / "elsewhere").iterdir()}
    assert made == {"organized", "runs", "cache", "filtered"}
    (tmp_path / "elsewhere/less.toml").write_text('dataset = "../toys"\n')
    _, config = model_training.parse_arguments(["--config", "less.toml"])
    assert config.dataset == str(tmp_path / "toys")


def test_defaults_stand_beside_the_scripts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, config = model_training.parse_arguments([])
    assert config.dataset == str(ROOT / "dataset")
    assert (arguments.runs, arguments.cache) == (ROOT / "runs", ROOT / ".cache")
    assert filter_images.parse_arguments(["x", "--model", "m.pt"], "").out == ROOT / "filtered"
    options = organize_dataset.parse_arguments([], "")
    assert (options.source, options.output) == (ROOT / "test_data", ROOT / "dataset")
