"""Encoder and vanilla decoder of all members at once, with their gradients by hand.

At these sizes the graph that torch would record costs as much as the arithmetic.
"""

import torch
from torch import Tensor

from vaeopt.kernels.elbo import fast as elbo
from vaeopt.stages.vae.settings import VaeSettings
from vaeopt.stages.vae.trainers.stack import Layer, Scratch, Stack

__all__ = ["StackedEncoder", "StackedVanilla"]


class _Hidden:
    """Linear layers with tanh."""

    def __init__(self, stack: Stack, name: str, depth: int, scratch: Scratch) -> None:
        self.layers: list[Layer] = [stack.layer(f"{name}.hidden.{i}") for i in range(depth)]
        self.values: list[Tensor] = []
        self._name = name
        self._scratch = scratch

    def forward(self, x: Tensor) -> Tensor:
        """(members, n, inputs) -> (members, n, width)."""
        self.values = [x]
        for i, layer in enumerate(self.layers):
            out = self._buffer(f"{self._name}{i}", x, layer)
            self.values.append(layer.forward(self.values[-1], out).tanh_())
        return self.values[-1]

    def backward(self, by_output: Tensor) -> Tensor:
        """Fill in all slopes; returns that by what the first layer gives before its tanh."""
        for i in reversed(range(len(self.layers))):
            layer = self.layers[i]
            slope = torch.ops.aten.tanh_backward.grad_input
            slope(by_output, self.values[i + 1], grad_input=by_output)
            layer.learn(by_output, self.values[i])
            if i > 0:
                by_input = self._scratch(f"by {self._name}{i}", *self.values[i].shape)
                by_output = layer.backward(by_output, by_input)
        return by_output

    def _buffer(self, name: str, x: Tensor, layer: Layer) -> Tensor:
        return self._scratch(name, *x.shape[:2], layer.bias.shape[1])


class StackedEncoder:
    """Patches -> posterior, and back."""

    def __init__(self, stack: Stack, settings: VaeSettings, scratch: Scratch) -> None:
        self._hidden = _Hidden(stack, "encoder", settings.depth, scratch)
        self._mean, self._std = stack.layer("encoder.mean"), stack.layer("encoder.std")
        self._scratch = scratch
        self._before_softplus = torch.empty(0)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(members, n, n_pixels) -> mean and standard deviation, (members, n, n_latents)."""
        h = self._hidden.forward(patches)
        shape = (*h.shape[:2], self._mean.bias.shape[1])
        mean = self._mean.forward(h, self._scratch("mean", *shape))
        raw = self._before_softplus = self._std.forward(h, self._scratch("raw", *shape))
        std = torch.ops.aten.softplus.out(raw, out=self._scratch("std", *shape))
        return mean, std

    def backward(self, by_mean: Tensor, by_std: Tensor) -> None:
        """Fill in all slopes."""
        h = self._hidden.values[-1]
        by_raw = by_std * torch.sigmoid(self._before_softplus)
        self._mean.learn(by_mean, h)
        self._std.learn(by_raw, h)
        by_hidden = self._mean.backward(by_mean, self._scratch("by encoder", *h.shape))
        by_hidden.baddbmm_(by_raw, self._std.weight)
        self._hidden.backward(by_hidden)


class StackedVanilla:
    """Latents -> loss of the patches, and back."""

    def __init__(self, stack: Stack, settings: VaeSettings, scratch: Scratch) -> None:
        self._hidden = _Hidden(stack, "decoder", settings.depth, scratch)
        self._out = stack.layer("decoder.out")
        self._settings = settings
        self._scratch = scratch

    def __call__(
        self, sample: Tensor, patches: Tensor, pixels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Loss and slopes; those of the weights are left in the stack.

        Args:
            sample: (members, n, n_latents).
            patches: (members, n, n_pixels).
            pixels: (members, k) numbers of the pixels that the loss is estimated from, with the
                weight n_pixels / k; all pixels if None.

        Returns:
            NLL summed over pixels and patches, (members,) [nats]; slope of its mean over patches
            by the sample.
        """
        h = self._hidden.forward(sample)
        members, n, n_pixels = patches.shape
        logits = self._out.forward(h, self._scratch("logits", members, n, n_pixels))
        weight = 1.0
        if pixels is None:
            nll, by_logits = self._likelihood(patches, logits)
        else:
            weight = n_pixels / pixels.shape[1]
            chosen = pixels.unsqueeze(1).expand(-1, n, -1)
            nll, by_seen = self._likelihood(patches.gather(2, chosen), logits.gather(2, chosen))
            by_logits = torch.zeros_like(logits).scatter_(2, chosen, by_seen)
            nll = nll * weight
        by_logits.mul_(weight / n)
        self._out.learn(by_logits, h)
        by_hidden = self._out.backward(by_logits, self._scratch("by decoder", *h.shape))
        by_first = self._hidden.backward(by_hidden)
        by_sample = self._scratch("by sample", *sample.shape)
        return nll, self._hidden.layers[0].backward(by_first, by_sample)

    def _likelihood(self, patches: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Summed over pixels and patches, (members,), and its slope by the logits."""
        settings = self._settings
        if settings.likelihood == "bernoulli":
            # softplus(l) - x l, where softplus(l) = (|l| + l) / 2 - log sigmoid(|l|): half the time
            # of softplus itself, in memory that is there already; this is the widest layer.
            pixel = torch.abs(logits, out=self._scratch("pixel", *logits.shape))
            ramp = (pixel.sum((1, 2)) + logits.sum((1, 2))) / 2
            nll = ramp - pixel.sigmoid_().log_().addcmul_(patches, logits).sum((1, 2))
            return nll, torch.sigmoid(logits, out=pixel).sub_(patches)
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            nll = elbo.nll(patches, leaf, settings.likelihood, gaussian_sd=settings.gaussian_sd)
            by_member = nll.sum((1, 2))
            (by_logits,) = torch.autograd.grad(by_member.sum(), leaf)
        return by_member.detach(), by_logits
