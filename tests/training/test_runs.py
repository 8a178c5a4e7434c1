import pytest
import torch

from artifact_detection.system.files import write_atomic
from artifact_detection.training import label_errors, runs
from artifact_detection.training.runs import RunFolder


def test_states_are_saved_by_time_and_the_best_with_the_last(tmp_path, monkeypatch):
    weight = torch.zeros(1)
    with RunFolder.open(tmp_path / "run", {}) as run:
        assert run.is_time_to_save()  # the first epoch: from now on there is something to go on with
        run.keep_best({"weight": weight})
        weight += 1  # training goes on
        assert not (run.path / "best.pt").exists()
        run.save_last([{"epoch": 1}], {"weight": weight})
        run.wait()
        assert torch.load(run.path / "best.pt")["weight"] == 0
        assert run.read_last()["trainer"]["weight"] == 1 and not run.is_time_to_save()
        monkeypatch.setattr(runs, "SAVE_EVERY", 0.0)
        assert run.is_time_to_save()


def test_the_report_over_folds_replaces_no_file_of_the_users(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metrics.json").write_text("mine")
    with pytest.raises(runs.RunError, match="which is not of a run"):
        runs.claim(tmp_path / "mine", label_errors.FILES)
    for _ in range(2):
        runs.claim(tmp_path / "new", label_errors.FILES)
        write_atomic(tmp_path / "new" / "metrics.json", "ours")
