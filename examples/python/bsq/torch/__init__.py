"""Quantize PyTorch models: `bsq.torch.quantize(model, samples, bits=4)`.

    import bsq.torch

    result = bsq.torch.quantize(model, loader, bits=4, group_size=128, progress=True)
    print(result)                              # error by layer, seconds, what stayed float
    model(x)                                   # the same model, with dequantized weights
    torch.save(result.state_dict(), "model.pt")       # packed codes; bsq.torch.load_state_dict reads it

Samples go through the model one by one; hooks add each layer's inputs to its statistics, and nothing else of them is kept.
By default layers are solved in the order of the model, each for the inputs that it will get from the quantized layers
before it, with the float model's output as target. See `help(bsq.torch.quantize)`.

PyTorch 1.13 and 2.x; models on a GPU are read from there, the solving is done on the CPU.
"""
from __future__ import annotations

from ._result import LayerResult, Result, load_state_dict
from ._run import Step, quantize

__all__ = ["LayerResult", "Result", "Step", "load_state_dict", "quantize"]
