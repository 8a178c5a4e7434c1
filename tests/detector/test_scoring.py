"""Scoring: the same numbers whatever the batch holds, in order, with bounded reading ahead."""

import threading

import cv2
import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

from artifact_detection.detector import scoring
from artifact_detection.detector.checkpoints import Checkpoint, CheckpointError, make_checkpoint
from artifact_detection.detector.scoring import Scorer, load_predictor
from artifact_detection.detector.weights import build_model
from artifact_detection.filtering import int8
from artifact_detection.images import decoding
from artifact_detection.images.decoding import ImageError, read_image
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.system.threads import AHEAD, prepared_batches


class MeanEngine:
    """The logit of an image is its mean grey level; remembers the shapes that it was given."""

    name = "mean"

    def __init__(self):
        self.shapes = []

    def __call__(self, images: torch.Tensor) -> np.ndarray:
        self.shapes.append(tuple(images.shape))
        return images.float().mean((1, 2, 3)).numpy()


class Network:
    preprocessing = Preprocessing(8)


@pytest.fixture
def scorer() -> Scorer:
    return Scorer(Network(), Checkpoint(temperature=10.0), "id", MeanEngine(), batch=4)


def flat(level: int) -> np.ndarray:
    return np.full((20, 30, 3), level, np.uint8)


def test_probabilities_are_those_of_the_tempered_logits(scorer):
    assert scorer.probabilities([flat(0), flat(10), flat(20)]).tolist() == [0.5, 0.731059, 0.880797]


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_every_batch_has_the_same_shape(scorer, count):
    scores = scorer.probabilities([flat(n) for n in range(count)])
    assert len(scores) == count and (np.diff(scores) > 0).all()
    assert scorer.engine.shapes == [(4, 3, 8, 8)] * -(-count // 4)


def test_a_model_in_training_is_scored_in_evaluation_mode_and_nothing_is_dropped():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.anything = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            assert not self.training
            return images.float().mean(dim=(1, 2, 3))

    engine = scoring.TorchEngine(Mean().train(), torch.device("cpu"), torch.float32)
    images = torch.arange(10, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    assert scoring.run_all(engine, images, 4).tolist() == list(range(10))
    assert scoring.run_all(engine, [], 4).shape == (0,)


def test_batches_come_back_in_order_and_reading_ahead_is_bounded():
    started, batches = [], [[n, n + 1] for n in range(0, 40, 2)]
    ready = prepared_batches(lambda item: started.append(item) or item, batches, threads=4)
    assert next(ready) == [0, 1]
    assert len(started) <= 2 * (AHEAD + 1)
    assert [next(ready) for _ in range(19)] == batches[1:]


def test_an_error_in_a_thread_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        list(prepared_batches(lambda item: 1 / item, [[1, 0]], threads=2))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = build_model("mobilenet_v3_small", "none", Preprocessing(32)).eval()
    torch.save(make_checkpoint(model, temperature=0.5), tmp_path / "best.pt")
    return model, tmp_path / "best.pt"


def test_predictor_agrees_with_the_model(saved):
    model, path = saved
    images = [np.random.default_rng(n).integers(256, size=(32, 32, 3)).astype(np.uint8) for n in range(5)]
    batch = torch.stack([torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in images])
    with torch.no_grad():
        expected = torch.sigmoid(model(batch) / 0.5).numpy()
    predictor = load_predictor(path, device="cpu", precision="fp32", batch=2)
    assert predictor.probabilities(images) == pytest.approx(expected, abs=2e-6)
    assert predictor.model_id.startswith("mobilenet_v3_small-") and predictor.engine.name == "torch-cpu-float32"


def test_model_id_names_the_bytes(saved, tmp_path):
    _, path = saved
    other = tmp_path / "other.pt"
    torch.save(torch.load(path, weights_only=True) | {"threshold": 0.4}, other)
    assert load_predictor(path, "cpu").model_id != load_predictor(other, "cpu").model_id


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="refused"):
        load_predictor(tmp_path / "best.pt")


def test_large_images_are_in_memory_one_at_a_time(monkeypatch):
    inside, most, lock = [], [], threading.Lock()

    def decode(path, max_pixels=100):
        if max_pixels < 50:
            raise ImageError(path, "too large: 50 pixels")
        return path

    def hold(item: str) -> str:
        with decoding.decoded(item) as image:
            with lock:
                inside.append(item)
                most.append(len(inside))
            threading.Event().wait(0.01)
            with lock:
                inside.remove(item)
            return image

    monkeypatch.setattr(decoding, "LARGE", 10)
    monkeypatch.setattr(decoding, "decode_file", decode)
    assert list(prepared_batches(hold, [list("abcdefgh")], threads=8)) == [list("abcdefgh")]
    assert max(most) == 1


def test_gentle_decoding_changes_no_pixel(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(256, size=(20, 30, 3)).astype(np.uint8))
    monkeypatch.setattr(decoding, "LARGE", 10)
    with decoding.decoded(path) as image:
        assert (image.pixels == read_image(path)).all()


@pytest.mark.parametrize(
    ("exact", "fast", "accepted"),
    [
        ([0.1, 0.9], [0.1, 0.9], True),
        ([0.25, 0.75], [0.25, 0.765625], True),
        ([0.25, 0.75], [0.25, 0.78125], False),
        ([0.5, 0.5, 0.1], [0.5, 0.5, 0.11], False),
        ([], [], False),
    ],
    ids=["equal", "nearly-equal", "probabilities-differ", "most-near-the-edge", "nothing-compared"],
)
def test_a_fast_network_must_agree(exact, fast, accepted):
    agreement = int8.Agreement(exact, fast)
    assert agreement.accepted([0.5, None]) is accepted
    assert ("network used" in agreement.sentence([0.5, None])) is accepted


def test_hardly_a_verdict_outside_the_margin_differs():
    rng = np.random.default_rng(0)
    exact = rng.normal(-2, 2, 4000)
    fast = exact + rng.normal(0, 0.1, 4000) * np.where(exact < -4, 4, 1)  # far off where it does not matter
    exact, fast = special.expit([exact, fast]).round(6)
    agreement = int8.Agreement(exact[:200].tolist(), fast[:200].tolist())
    for edges in ([0.2], [0.5, None], [0.1, 0.7]):
        verdicts = [np.searchsorted([edge for edge in edges if edge], values) for values in (exact, fast)]
        near = int8.is_near(fast, edges, agreement.margin(edges))
        differ = verdicts[0] != verdicts[1]
        assert np.mean(differ & ~near) <= int8.MAX_FLIPPED < np.mean(differ)
        assert 0.02 < agreement.share_near(edges) < 0.2


def test_with_few_images_compared_the_margin_is_their_largest_error():
    exact, fast = special.expit([[0.0, 1.0, 2.0, 3.0], [0.1, 1.2, 2.0, 3.5]])
    assert int8.Agreement(exact.tolist(), fast.tolist()).margin([0.5]) == pytest.approx(0.2)


def test_without_an_edge_no_verdict_is_in_doubt():
    agreement = int8.Agreement([0.2, 0.5], [0.21, 0.5])
    assert agreement.share_near([None, None]) == 0 and agreement.accepted([None, None])


def test_compare_scores_with_both(scorer):
    def inverted(images: torch.Tensor) -> np.ndarray:
        return 10 - scorer.engine(images)

    images = [torch.full((3, 8, 8), level, dtype=torch.uint8) for level in (0, 5, 10)]
    found = int8.compare(scorer, inverted, images)
    assert found.exact == found.fast[::-1] == scorer.score(images).tolist()


@pytest.mark.parametrize("regions", [False, True])
def test_int8_network_gives_nearly_the_same(tmp_path, regions):
    pytest.importorskip("openvino", reason="optional: pip install openvino nncf")
    pytest.importorskip("nncf", reason="optional: pip install openvino nncf")
    torch.manual_seed(0)
    model = build_model("resnet18", "none", Preprocessing(32), regions).eval()
    engine = scoring.TorchEngine(model, torch.device("cpu"), torch.float32)
    scorer = Scorer(model, Checkpoint(), "id", engine, batch=4)
    images = [torch.randint(256, (3, 32, 32), dtype=torch.uint8) for _ in range(16)]
    int8.quantise(scorer, images[:8], tmp_path / "net.xml")
    fast = int8.Int8Engine(tmp_path / "net.xml", 2)
    assert int8.compare(scorer, fast, images[8:]).difference < 0.01
    if regions:
        maps, exact = (one.evidence(torch.stack(images[8:12]))[1] for one in (fast, engine))
        assert maps.shape == exact.shape and np.abs(special.expit(maps) - special.expit(exact)).mean() < 0.01
