"""What other machines do, faked: no GPU is needed, and none is used."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from artifact_detection.detector.device import (
    DeviceError,
    copied,
    device_errors,
    device_name,
    of_any_length,
    pick_device,
    pick_precision,
)

CUDA, SECOND = torch.device("cuda"), torch.device("cuda:1")


@pytest.fixture
def two_gpus(monkeypatch):
    """An old and a new one."""
    cuda, devices = torch.cuda, [("Tesla T4", (7, 5)), ("H100", (9, 0))]
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "is_bf16_supported", lambda *_: True)  # by emulation, as torch says of a T4
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "get_device_name", lambda device=None: devices[device.index or 0][0])
    monkeypatch.setattr(cuda, "get_device_capability", lambda device=None: devices[device.index or 0][1])
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    return devices


@pytest.mark.parametrize("name, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_precision_by_name(name, dtype):
    assert pick_precision(name, torch.device("cpu")) == dtype


def test_emulated_bfloat16_is_not_taken(two_gpus):
    assert [pick_precision("auto", device) for device in (CUDA, SECOND)] == [torch.float16, torch.bfloat16]
    two_gpus[0] = "GTX 1080", (6, 1)
    assert pick_precision("auto", CUDA) == torch.float32


def test_the_gpu_in_use_is_named(two_gpus):
    assert device_name(pick_device("cuda:1")) == "H100" and device_name(torch.device("cpu")).startswith("cpu, ")


def test_float32_on_a_gpu_is_float32(two_gpus):
    assert pick_device("auto") == CUDA
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:x"])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(name):
    with pytest.raises(DeviceError, match=f"--device {name} is none: choose auto, cpu, cuda"):
        pick_device(name)


def test_a_gpu_that_is_not_there_is_refused_with_the_remedy(two_gpus, monkeypatch):
    with pytest.raises(DeviceError, match="there are 2 GPUs here, from cuda:0 to cuda:1"):
        pick_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for version, why in ((None, "is built without CUDA"), ("13.0", "finds no NVIDIA driver")):
        monkeypatch.setattr(torch.version, "cuda", version)
        with pytest.raises(DeviceError, match=f"{why}.*pass --device cpu"):
            pick_device("cuda")


@pytest.mark.parametrize(
    "error, sentence",
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore"), "smaller --batch .CUDA out of"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), "smaller --batch"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "smaller --batch"),
        (RuntimeError("DataLoader worker is killed by signal: Bus error. ... out of shared memory"), "--workers 0"),
        (RuntimeError("CUDA error: no kernel image is available"), "the GPU failed: .*--device cpu"),
    ],
)
def test_errors_of_the_device_become_one_sentence(error, sentence):
    with pytest.raises(DeviceError, match=sentence) as caught, device_errors("--batch"):
        raise error
    assert "\n" not in str(caught.value)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), device_errors("--batch"):
        raise RuntimeError("shapes do not match")


@pytest.mark.parametrize("kind", ["cuda", "mps", "cpu"])
def test_only_cuda_copies_without_waiting(kind):
    class Recorder:
        def to(self, device, non_blocking):
            return device.type, non_blocking

    assert copied(Recorder(), torch.device(kind)) == (kind, kind == "cuda")


def test_a_compiled_model_is_not_compiled_again_for_a_smaller_batch():
    compilations, model = CompileCounter(), torch.nn.Linear(3, 2)
    model.compile(backend=compilations)
    for rows in (8, 8, 7, 5, 8):
        model(of_any_length(torch.ones(rows, 3), model))
    assert compilations.frame_count == 1
