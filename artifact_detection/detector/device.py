"""The device a network runs on, and its arithmetic."""

import math
import os
import sys
from contextlib import AbstractContextManager

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one, else Apple's MPS, else the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """float32, bfloat16 or float16; "auto" is bfloat16 where the hardware multiplies it natively, else float32."""
    if name == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else device.type == "cpu" and _cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _cpu_has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Mixed precision on `device`, or nothing at all for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def device_name(device: torch.device) -> str:
    """The graphics card by its name, a CPU with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {os.cpu_count()} cores" if device.type == "cpu" else device.type


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory in MB so far: of the GPU where `device` is one, else of this process; NaN where unknown."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    if resource is None:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
