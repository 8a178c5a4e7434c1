import io
import pickle
import sys

import pytest
import torch
import torchvision

from artifact_detection.detector import lite, models
from artifact_detection.detector.checkpoints import CheckpointError, load_checkpoint, make_checkpoint
from artifact_detection.detector.weights import WeightsError, build_model
from artifact_detection.images.transforms import Preprocessing

IMAGES = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "arch", ["vgg19", "vgg19_bn", "resnet18", "resnet50", "efficientnet_b0", "mobilenet_v2", "mobilenet_v3_small",
             "convnext_tiny"],
)  # fmt: skip
def test_every_layer_is_trainable_and_gets_a_gradient(arch):
    model = build_model(arch, "none")
    logits = model(IMAGES)
    assert logits.shape == (2,) and model.features(IMAGES).shape[0] == 2
    logits.sum().backward()
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad or p.grad is None]
    assert frozen == []


def test_head_is_two_layers_with_batch_norm_and_dropout():
    kinds = [type(layer).__name__ for layer in build_model("vgg19", "none").head]
    assert kinds.count("Linear") == 3 and kinds.count("BatchNorm1d") == kinds.count("Dropout") == 2


def test_normalises_as_torchvision_does():
    model = build_model("resnet18", "none").eval()
    expected = torchvision.transforms.v2.functional.normalize(IMAGES / 255, Preprocessing().mean, Preprocessing().std)
    seen = []
    model.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(IMAGES)
    torch.testing.assert_close(seen[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arch", ["vgg19", "vgg19_bn", "resnet18", "mobilenet_v3_small"])
@pytest.mark.parametrize("what, learns", [("none", {"first", "last", "head"}), ("early", {"last", "head"}),
                                          ("backbone", {"head"})])  # fmt: skip
def test_frozen_parts_keep_weights_and_statistics(arch, what, learns):
    model = build_model(arch, "none")
    model.freeze(what)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    model.train()(IMAGES).square().sum().backward()
    optimizer.step()
    after = model.state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    weighted = [name for name, _ in model.trunk.named_parameters()]
    parts = {"first": f"trunk.{weighted[0]}", "last": f"trunk.{weighted[-1]}", "head": "head.2.weight"}
    assert {part for part, name in parts.items() if name in changed} == learns
    assert ("trunk" in " ".join(changed)) == (what != "backbone")


def test_shift_moves_every_logit():
    model = build_model("resnet18", "none").eval()
    before = model(IMAGES)
    model.shift_logits(-1.5)
    torch.testing.assert_close(model(IMAGES), before - 1.5)


def test_unknown_arch_is_refused():
    with pytest.raises(ValueError, match="vgg91"):
        build_model("vgg91", "none")


@pytest.fixture(scope="module")
def resnet_weights(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    state = torchvision.models.resnet18().state_dict()
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
    return path, state


def test_local_torchvision_weights_load_into_the_trunk(resnet_weights):
    path, state = resnet_weights
    own = build_model("resnet18", str(path)).trunk.state_dict()
    assert own and all(torch.equal(own[name], state[name].half().to(own[name].dtype)) for name in own)


def test_training_goes_on_from_a_checkpoint_head_included(tmp_path):
    model = build_model("resnet18", "none", Preprocessing(32))
    torch.save(make_checkpoint(model, temperature=2.0), tmp_path / "best.pt")
    again = build_model("resnet18", str(tmp_path / "best.pt"), Preprocessing(64))
    images = torch.randint(256, (2, 3, 48, 48), dtype=torch.uint8)
    assert again.preprocessing.size == 64 and torch.equal(again.eval()(images), model.eval()(images))
    with pytest.raises(WeightsError, match="does not fit resnet34"):
        build_model("resnet34", str(tmp_path / "best.pt"))


def test_weights_of_another_arch_are_refused(resnet_weights):
    with pytest.raises(WeightsError, match="does not fit resnet50"):
        build_model("resnet50", str(resnet_weights[0]))


def test_missing_weights_file_says_what_else_to_pass(tmp_path):
    with pytest.raises(WeightsError, match=r"no such file.*--weights imagenet"):
        build_model("resnet18", str(tmp_path / "none.pth"))


def test_unreachable_imagenet_weights_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(WeightsError, match="--weights none"):
        build_model("mobilenet_v3_small", "imagenet")


def test_checkpoint_round_trip(tmp_path):
    model = build_model("resnet18", "none", Preprocessing(96)).eval()
    torch.save(make_checkpoint(model, threshold=0.25, temperature=1.5), tmp_path / "best.pt")
    loaded, checkpoint = load_checkpoint(tmp_path / "best.pt")
    assert torch.equal(loaded(IMAGES), model(IMAGES))
    assert loaded.preprocessing == Preprocessing(96)
    assert (checkpoint.threshold, checkpoint.temperature) == (0.25, 1.5)


class Bomb:
    """An object whose unpickling would leave a trace."""

    def __reduce__(self):
        return exec, ("import sys; sys.artifact_detection_test_bomb = True",)


def damaged(name: str) -> bytes:
    buffer = io.BytesIO()
    good = make_checkpoint(build_model("mobilenet_v3_small", "none"))
    values = {
        "pickled object": {**good, "extra": Bomb()},
        "other project": {"state_dict": {}},
        "other classes": {**good, "classes": ["artifacts", "no_artifacts"]},
        "other architecture": {**good, "arch": "resnet18"},
        "a list": [1, 2],
    }
    if name == "plain pickle":
        return pickle.dumps(Bomb())
    if name == "empty":
        return b""
    torch.save(values.get(name, good), buffer)
    return buffer.getvalue()[:1000] if name == "truncated" else buffer.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "pickled object",
        "plain pickle",
        "other project",
        "other classes",
        "other architecture",
        "a list",
        "truncated",
        "empty",
    ],
)
def test_anything_but_a_checkpoint_is_refused_without_running_it(tmp_path, name):
    (tmp_path / "bad.pt").write_bytes(damaged(name))
    with pytest.raises(CheckpointError, match=r"bad\.pt"):
        load_checkpoint(tmp_path / "bad.pt")
    assert not hasattr(sys, "artifact_detection_test_bomb")


def test_every_offered_arch_exists_in_torchvision_or_timm():
    assert set(models.ARCHS) - set(torchvision.models.list_models()) == set(lite.PACKAGES)


def test_the_prefixes_of_a_wrapped_model_do_not_matter(tmp_path):
    model = build_model("mobilenet_v3_small", "none")
    state = {name.replace("trunk.", "trunk._orig_mod."): value for name, value in model.state_dict().items()}
    wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
    torch.save(make_checkpoint(model) | {"model": wrapped}, tmp_path / "best.pt")
    loaded, _ = load_checkpoint(tmp_path / "best.pt")
    torch.testing.assert_close(loaded.state_dict(), model.state_dict())
    build_model("mobilenet_v3_small", str(tmp_path / "best.pt"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda state: state | {"head.2.bias": torch.zeros(3)},
            r"1 tensors, e.g. head.2.bias is \(3,\), not \(1024,\)",
        ),
        (lambda state: state | {"more": torch.zeros(3)}, "1 tensors, e.g. more is unknown"),
        (lambda state: {k: v for k, v in state.items() if k != "head.2.bias"}, "head.2.bias is missing"),
        (lambda state: state | {"head.2.bias": torch.full((1024,), torch.nan)}, "1 tensors hold NaN"),
        (lambda state: state | {"head.2.bias": torch.zeros(1024).to_sparse()}, r"head.2.bias is .*sparse"),
        (lambda state: state | {"head.2.bias": torch.zeros(1024, dtype=torch.int32)}, r"head.2.bias is .*int32"),
        (lambda state: state | {"head.2.bias": [0.0] * 1024}, "head.2.bias is a list"),
        (lambda state: state | {"module.head.2.bias": torch.zeros(1024)}, "two tensors of one name"),
        (lambda state: state | {"head.3.running_var": torch.full((1024,), -1.0)}, "gives NaN or infinity"),
    ],
)
def test_a_checkpoint_that_does_not_fit_says_where(tmp_path, spoil, message):
    model = build_model("mobilenet_v3_small", "none")
    torch.save(make_checkpoint(model) | {"model": spoil(model.state_dict())}, tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "best.pt")


def test_one_flipped_byte_in_a_checkpoint_is_found(tmp_path):
    torch.save(make_checkpoint(build_model("mobilenet_v3_small", "none")), tmp_path / "best.pt")
    data = bytearray((tmp_path / "best.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "best.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum of its part"):
        load_checkpoint(tmp_path / "best.pt")
