"""The device a network runs on, and its arithmetic."""

from contextlib import AbstractContextManager

import torch


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
