"""The device a network runs on, its arithmetic, and its errors in words."""

import math
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from artifact_detection.system.threads import cores

try:
    import resource
except ImportError:  # Windows
    resource = None

KINDS = ("cpu", "cuda", "mps")
NATIVE_BF16, NATIVE_FP16 = (8, 0), (7, 0)  # compute capability from which a GPU multiplies so: Ampere, Volta


class DeviceError(Exception):
    """A device that is not there, or that could not do the work; the message says what to do."""


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises DeviceError for a device that is not here. float32 is float32 on CUDA from here on.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in KINDS:
        raise DeviceError(f"--device {name} is none: choose auto, cpu, cuda, cuda:1 (the second GPU) or mps")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"--device {name}: PyTorch finds no Apple GPU here; pass --device cpu")
    if device.type == "cuda":
        _refuse_missing_gpu(device)
        # cuDNN would round the inputs of float32 convolutions to 10 bits. Whoever wants fast takes bfloat16; float32 is
        # for what has to be exact: heat maps, and the network that decides near a threshold.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return device


def _refuse_missing_gpu(device: torch.device) -> None:
    if not torch.cuda.is_available():
        why = "is built without CUDA" if torch.version.cuda is None else "finds no NVIDIA driver and GPU"
        raise DeviceError(f"--device {device}: this PyTorch {why}; install what is missing or pass --device cpu")
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise DeviceError(f"--device {device}: there are {count} GPUs here, from cuda:0 to cuda:{count - 1}")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """float32, bfloat16 or float16; "auto" is the half that the hardware multiplies natively, else float32."""
    if name == "auto":
        return _native_half(device) or torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _native_half(device: torch.device) -> torch.dtype | None:
    if device.type == "cuda":
        # torch.cuda.is_bf16_supported() also says yes where bfloat16 is emulated: on T4, V100 and RTX 20 its
        # convolutions crash or crawl.
        capability = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if capability >= NATIVE_BF16 else torch.float16 if capability >= NATIVE_FP16 else None
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if device.type == "cpu" and has_bf16 else None


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Mixed precision on `device`, or nothing at all for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def copied(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on `device`."""
    # CUDA waits for a copy before it uses it, and keeps pinned memory until then. MPS does not: it would read what the
    # next batch has already overwritten.
    return tensor.to(device, non_blocking=device.type == "cuda")


def of_any_length(batch: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    """The batch, of which a compiled model knows from now on that others have more or fewer rows."""
    if getattr(model, "_compiled_call_impl", None) is not None:  # else it would be compiled again for the last batch
        torch._dynamo.maybe_mark_dynamic(batch, 0)
    return batch


def device_name(device: torch.device) -> str:
    """The graphics card by its name, a CPU with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {cores()} cores" if device.type == "cpu" else device.type


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory in MB so far: of the GPU where `device` is one, else of this process; NaN where unknown."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    if resource is None:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


@contextmanager
def device_errors(flag: str) -> Iterator[None]:
    """Within the block PyTorch's errors of a device become a DeviceError of one sentence; others pass.

    flag: the command line's for the number of images at a time.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "out of memory" in text or "can't allocate memory" in text:
            raise DeviceError(f"memory ran out: pass a smaller {flag} ({text.splitlines()[0]})") from error
        if "shared memory" in text:
            raise DeviceError("shared memory ran out: pass --workers 0, or docker run --shm-size=2g") from error
        if "CUDA error" in text or "CUDNN" in text.upper():
            raise DeviceError(f"the GPU failed: {text.splitlines()[0]}; try --device cpu") from error
        raise
