"""A training step shared among processes, with the result that one process would have had.

DistributedDataParallel (Li et al., arXiv 2006.15704) averages the gradients. Two layers look at the whole batch and
must not see only this process' part of it: batch norm takes its statistics from all parts, and dropout draws one mask
for all of them. torch's own SyncBatchNorm does not run on a CPU.
"""

import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from artifact_detection.system.processes import Crew


class _SumOfAll(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(_, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_, gradient: torch.Tensor) -> torch.Tensor:
        return _SumOfAll.forward(None, gradient.contiguous())


class SharedBatchNorm(_BatchNorm):
    """Batch norm over the parts of all processes. (B, C, *) -> (B, C, *); statistics in float32."""

    def _check_input_dim(self, _) -> None:
        """Any number of dimensions will do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
        values = x.float()
        count = _SumOfAll.apply(values.new_tensor(x.numel() / x.shape[1]))
        mean = _SumOfAll.apply(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _SumOfAll.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


class SharedDropout(nn.Dropout):
    """Dropout of (B, C) with the mask that one process would draw; `part` says which rows of the batch these are."""

    part = (0, 0, 0)  # first row, last row + 1, rows in the whole batch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        first, stop, rows = self.part
        return x * F.dropout(x.new_ones(rows, x.shape[1]), self.p)[first:stop]


def share_layers(model: nn.Module) -> None:
    """Replace batch norm and dropout, in place, by those above; names and weights stay. Trunks have no dropout."""
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.load_state_dict(child.state_dict())
            setattr(model, name, shared.to(child.weight.device).requires_grad_(child.weight.requires_grad))
        elif isinstance(child, nn.Dropout):
            setattr(model, name, SharedDropout(child.p))
        else:
            share_layers(child)


def share_model(model: nn.Module, crew: Crew) -> nn.Module:
    """What to call in place of the model in training; the model itself if there is one process."""
    return DistributedDataParallel(model) if crew.world > 1 else model


def set_part(model: nn.Module, part: tuple[int, int, int]) -> None:
    for module in model.modules():
        if isinstance(module, SharedDropout):
            module.part = part
