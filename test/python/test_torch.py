"""bsq.torch on models of every kind of module: what comes out is what bsq.quantize gives for the same inputs, and the
errors are those that PyTorch computes."""
import collections
import json
import os
import signal
import sys
import threading

import numpy as np
import pytest
from conftest import ROOT  # noqa: F401  (sets the path)

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make deps-python)")

import bsq
import bsq.torch
from torch import nn

torch.set_num_threads(1)


def numbers(values):
    return values.detach().numpy()


@pytest.fixture
def mlp():
    torch.manual_seed(1)
    model = nn.Sequential(collections.OrderedDict(
        a=nn.Linear(12, 20), r=nn.ReLU(inplace=True), b=nn.Linear(20, 16, bias=False), s=nn.ReLU(), c=nn.Linear(16, 5)))
    samples = [torch.randn(50, 12) for _ in range(8)]
    return model.eval(), samples


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_one_pass(mlp):
    """All layers from the float model's inputs: the same bits as bsq.quantize."""
    model, samples = mlp
    x = torch.cat(samples)
    hidden = torch.relu(model.a(x))
    inputs = {"a": x, "b": hidden, "c": torch.relu(model.b(hidden))}
    before = weights_of(model)
    result = bsq.torch.quantize(model, samples, bits=3, passes=1)
    assert list(result.layers) == ["a", "b", "c"] and result.model is model and not result.skipped
    for name, layer in result.layers.items():
        wanted = bsq.quantize(numbers(before[name + ".weight"]), numbers(inputs[name]), bits=3)
        assert np.array_equal(layer.tensor.codes, wanted.codes) and np.array_equal(layer.tensor.scales, wanted.scales)
        assert np.array_equal(numbers(getattr(model, name).weight), layer.tensor.dequantize())
        assert layer.error == pytest.approx(wanted.report.error, rel=1e-6)
    assert torch.equal(model.a.bias, before["a.bias"])


def test_in_order(mlp):
    """Each layer gets what the quantized part gives, and the float model's output as target."""
    model, samples = mlp
    before = weights_of(model)
    x = torch.cat(samples)
    result = bsq.torch.quantize(model, samples, bits=2)
    float_a = x @ before["a.weight"].t() + before["a.bias"]
    float_b = torch.relu(float_a) @ before["b.weight"].t()
    float_c = torch.relu(float_b) @ before["c.weight"].t() + before["c.bias"]
    hidden = torch.relu(model.a(x))
    for name, inputs, target in (("a", x, None), ("b", hidden, float_b), ("c", torch.relu(model.b(hidden)), float_c)):
        bias = before.get(name + ".bias")
        wanted = bsq.quantize(numbers(before[name + ".weight"]), numbers(inputs), bits=2,
                              target=None if target is None else numbers(target),
                              bias=None if bias is None else numbers(bias))
        assert result.layers[name].error == pytest.approx(wanted.report.error, rel=1e-3), name
    rounded = bsq.torch.quantize(load(before), samples, bits=2, solver="round")
    wanted = float_c
    assert (model(x) - wanted).norm() < 0.8 * (rounded.model(x) - wanted).norm()
    one = bsq.torch.quantize(load(before), samples, bits=2, passes=1)
    assert (model(x) - wanted).norm() < (one.model(x) - wanted).norm()
    two = bsq.torch.quantize(load(before), samples, bits=2, passes=2)
    assert torch.equal(two.model.a.weight, model.a.weight) and torch.equal(two.model.b.weight, one.model.b.weight)
    assert not torch.equal(two.model.c.weight, one.model.c.weight)


def load(state):
    model = nn.Sequential(collections.OrderedDict(
        a=nn.Linear(12, 20), r=nn.ReLU(inplace=True), b=nn.Linear(20, 16, bias=False), s=nn.ReLU(), c=nn.Linear(16, 5)))
    model.load_state_dict(state)
    return model.eval()


def judge(module, shape, samples=6, rel=2e-3, **options):
    """Quantizes one module; the error of the report is that of its outputs in PyTorch."""
    torch.manual_seed(3)
    inputs = [torch.randn(shape) for _ in range(samples)]
    model = nn.Sequential(module).eval()
    with torch.no_grad():
        wanted = [model(x) for x in inputs]
        layer = bsq.torch.quantize(model, inputs, bits=3, **options).layers["0"]
        bias = 0 if module.bias is None else module.bias.reshape(-1, *[1] * (module.weight.dim() - 2))
        lost = sum(float(((model(x) - y) ** 2).double().sum()) for x, y in zip(inputs, wanted))
        total = sum(float(((y - bias) ** 2).double().sum()) for y in wanted)
    assert layer.error == pytest.approx(lost / total, rel=rel)
    assert layer.error < layer.numbers["error_start"]
    return layer


@pytest.mark.parametrize("module, shape", [
    (nn.Conv1d(6, 8, 5, stride=2, padding=3, dilation=2), (3, 6, 31)),
    (nn.Conv1d(4, 6, 4, padding="same"), (3, 4, 12)),
    (nn.Conv2d(6, 8, 3, padding=1, groups=2), (2, 6, 9, 7)),
    (nn.Conv2d(5, 5, 3, groups=5, bias=False), (2, 5, 9, 7)),
    (nn.Conv2d(4, 6, (3, 1), stride=(1, 2), padding=(2, 0)), (2, 4, 8, 8)),
    (nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect"), (2, 4, 8, 8)),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (2, 4, 8, 8)),
    (nn.Conv2d(4, 6, 3, padding="valid"), (4, 8, 8)),
    (nn.Conv3d(3, 4, 2, padding=1), (2, 3, 5, 4, 6)),
    (nn.Linear(10, 7), (4, 5, 10)),
], ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "")
def test_modules(module, shape):
    judge(module, shape)


@pytest.mark.parametrize("module, shape", [
    (nn.ConvTranspose1d(6, 8, 5, stride=3, padding=1, output_padding=2), (2, 6, 11)),
    (nn.ConvTranspose1d(4, 4, 1, stride=2, padding=1), (2, 4, 11)),
    (nn.ConvTranspose2d(6, 8, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 6, 6, 5)),
    (nn.ConvTranspose2d(4, 6, (2, 3), stride=(2, 1), dilation=(1, 2)), (2, 4, 6, 5)),
    (nn.ConvTranspose3d(3, 4, 2, stride=2, bias=False), (2, 3, 4, 3, 4)),
], ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "")
def test_transposed_convolutions(module, shape):
    judge(module, shape)


def test_dtypes():
    """bfloat16 and float64 models keep their dtype."""
    torch.manual_seed(2)
    samples = [torch.randn(40, 16) for _ in range(4)]
    for dtype in (torch.bfloat16, torch.float64):
        model = nn.Sequential(nn.Linear(16, 8)).to(dtype)
        weights = model[0].weight.detach().float().clone()
        result = bsq.torch.quantize(model, [x.to(dtype) for x in samples], bits=4)
        assert model[0].weight.dtype == dtype
        wanted = bsq.quantize(weights, [x.to(dtype) for x in samples], bits=4)
        assert np.array_equal(result.layers["0"].tensor.codes, wanted.codes)


def test_embedding_and_tied_weights():
    torch.manual_seed(4)

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(11, 8)
            self.only = nn.Embedding(6, 8)
            self.head = nn.Linear(8, 11, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(self.table(ids) + self.only(ids % 6))

    model = Tied()
    only = numbers(model.only.weight).copy()
    result = bsq.torch.quantize(model, [torch.randint(0, 11, (3, 20)) for _ in range(4)], bits=4)
    assert set(result.layers) == {"only", "head"} and result.skipped == {"table": "shares the weight of head"}
    assert model.head.weight is model.table.weight
    assert np.array_equal(numbers(model.table.weight), result.layers["head"].tensor.dequantize())
    assert result.layers["only"].kind == "embedding"
    assert np.array_equal(result.layers["only"].tensor.codes, bsq.quantize(only, bits=4).codes)


class Attention(nn.Module):
    """Of Hugging Face's shape: keyword arguments, an attention mask, three linear layers on one tensor."""

    def __init__(self, width=16):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, hidden, attention_mask=None):
        q, k, v = self.query(hidden), self.key(hidden), self.value(hidden)
        scores = q @ k.transpose(1, 2) / 4
        if attention_mask is not None:
            scores = scores.masked_fill(attention_mask[:, None, :] == 0, -1e9)
        return self.out(scores.softmax(-1) @ v)


def test_shared_statistics():
    """Query, key and value gather once, and get what each would get alone."""
    torch.manual_seed(5)
    model = Attention()
    samples = [{"hidden": torch.randn(2, 30, 16)} for _ in range(6)]
    before = weights_of(model)
    for options in ({"bits": 3}, {"bits": 3, "input_bits": 6}, {"bits": 3, "overrides": {"key": {"bits": 5}}}):
        found = []
        for share in (True, False):
            model.load_state_dict(before)
            result = bsq.torch.quantize(model, samples, share=share, **options)
            found.append({name: layer.error for name, layer in result.layers.items()})
            result.remove_hooks()
        assert found[0] == pytest.approx(found[1], rel=5e-3)
    assert result.layers["key"].tensor.bits == 5 and result.layers["query"].tensor.bits == 3


def test_statistics_that_stop_being_shared():
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.calls = nn.Linear(4, 4), nn.Linear(4, 4), 0

        def forward(self, x):
            self.calls += 1
            return self.a(x) + self.b(x if self.calls < 3 else x + 1)

    samples = [torch.randn(9, 4) for _ in range(4)]
    with pytest.raises(bsq.StateError, match="a and b read one tensor in the first sample, but not in sample"):
        bsq.torch.quantize(Sometimes(), samples)
    assert len(bsq.torch.quantize(Sometimes(), samples, share=False).layers) == 2


def test_attention_mask_weighs_rows():
    """Masked tokens do not count."""
    torch.manual_seed(6)
    model = Attention()
    before = weights_of(model)
    hidden, mask = torch.randn(4, 20, 16), torch.ones(4, 20, dtype=torch.long)
    mask[:, 12:] = 0
    hidden[:, 12:] *= 30  # padding that would dominate
    samples = [{"hidden": h[None], "attention_mask": m[None]} for h, m in zip(hidden, mask)]
    result = bsq.torch.quantize(model, samples, bits=3, passes=1)
    rows = numbers(hidden[:, :12].reshape(-1, 16))
    wanted = bsq.quantize(numbers(before["query.weight"]), rows, bits=3)
    assert result.layers["query"].numbers["rows"] == pytest.approx(48)
    assert result.layers["query"].error == pytest.approx(wanted.report.error, rel=1e-3)
    model.load_state_dict(before)
    other = bsq.torch.quantize(model, samples, bits=3, passes=1,
                               row_weights=lambda sample, name, values: sample["attention_mask"])
    assert other.layers["query"].error == result.layers["query"].error
    model.load_state_dict(before)
    without = bsq.torch.quantize(model, samples, bits=3, passes=1, row_weights=None)
    assert without.layers["query"].numbers["rows"] == 80


def test_conv1d_of_hugging_face_and_classes():
    class Conv1D(nn.Module):
        """As in transformers: weight (in, out)."""

        def __init__(self, nf, nx):
            super().__init__()
            self.nf = nf
            self.weight, self.bias = nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.zeros(nf))

        def forward(self, x):
            return x @ self.weight + self.bias

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 7))

        def forward(self, x):
            return x @ self.weight.t()

    torch.manual_seed(8)
    model, samples = nn.Sequential(Conv1D(7, 6), Own()), [torch.randn(30, 6) for _ in range(3)]
    weight = numbers(model[0].weight).copy()
    result = bsq.torch.quantize(model, samples, bits=4, classes={"Own": "linear"})
    assert set(result.layers) == {"0", "1"} and result.layers["0"].kind == "linear_transposed"
    wanted = bsq.quantize(weight.T, samples, bits=4)
    assert np.array_equal(numbers(model[0].weight), wanted.dequantize().T)
    assert set(bsq.torch.quantize(model, samples, classes={Own: "linear"}).layers) == {"0", "1"}
    with pytest.raises(bsq.ArgumentError, match="is none of linear"):
        bsq.torch.quantize(model, samples, classes={Own: "matrix"})


def test_modules_called_again():
    """A module that is called twice gathers the rows of both calls."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            return self.b(self.a(self.a(x)))

    torch.manual_seed(9)
    model, samples = Twice(), [torch.randn(25, 6) for _ in range(4)]
    weights, x = numbers(model.a.weight).copy(), torch.cat(samples)
    rows = [numbers(torch.cat([s, model.a(s)])) for s in samples]
    result = bsq.torch.quantize(model, samples, bits=3)
    assert result.layers["a"].numbers["rows"] == 200 and len(x) == 100
    assert np.array_equal(result.layers["a"].tensor.codes, bsq.quantize(weights, rows, bits=3).codes)


def test_what_stays_float():
    torch.manual_seed(10)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
            self.normed = nn.utils.weight_norm(nn.Linear(4, 4))

        def forward(self, x):
            return self.normed(self.used(x))

    model = Model()
    before = weights_of(model)
    result = bsq.torch.quantize(model, [torch.randn(9, 4)], bits=4)
    assert result.skipped == {"unused": "no sample reaches it", "normed": "its weight is computed, not a parameter"}
    assert torch.equal(model.unused.weight, before["unused.weight"])
    assert "float: unused (no sample reaches it)" in str(result)


def test_overrides(mlp):
    model, samples = mlp
    before = weights_of(model)
    result = bsq.torch.quantize(model, samples, bits=3,
                                overrides={"[ab]": {"bits": 5}, "b": {"bits": 6, "group_size": 4}, "c": None})
    assert {name: layer.tensor.bits for name, layer in result.layers.items()} == {"a": 5, "b": 6}
    assert result.layers["b"].tensor.group_size == 4 and result.skipped == {"c": "left out by overrides"}
    assert torch.equal(model.c.weight, before["c.weight"])
    assert result.avg_bits == pytest.approx((5 * 240 + 6 * 320) / 560)
    for bad in ({"nothing": None}, {"a": {"bits": 11}}, {"a": {"no": 1}}):
        with pytest.raises(bsq.Error):
            bsq.torch.quantize(model, samples, overrides=bad)


def test_bits_within_a_budget(mlp):
    model, samples = mlp
    state = weights_of(model)
    result = bsq.torch.quantize(model, samples, avg_bits=4, passes=1, overrides={"c": {"bits": 8}})
    sizes = {name: layer.tensor.codes.size for name, layer in result.layers.items()}
    chosen = {name: layer.tensor.bits for name, layer in result.layers.items()}
    assert chosen.pop("c") == 8
    assert sum(bits * sizes[name] for name, bits in chosen.items()) <= 4 * (240 + 320)
    best = min(sum(bsq.torch.quantize(load(state), samples, passes=1, overrides={
        "a": {"bits": a}, "b": {"bits": b}, "c": None}).layers[name].error for name in "ab")
        for a in range(2, 7) for b in range(2, 7) if a * 240 + b * 320 <= 4 * 560)
    assert result.layers["a"].error + result.layers["b"].error <= best * 1.1
    some = bsq.torch.quantize(load(state), samples, avg_bits=6, choices=(2, 4, 8))
    assert {layer.tensor.bits for layer in some.layers.values()} <= {2, 4, 8}
    with pytest.raises(bsq.RangeError):
        bsq.torch.quantize(load(state), samples, avg_bits=1)
    with pytest.raises(bsq.ArgumentError):
        bsq.torch.quantize(load(state), samples, avg_bits=4, choices=(1, 9))


def test_activations(mlp):
    """Hooks make each layer see what its quantizer leaves; layers were solved for that."""
    model, samples = mlp
    state, x = weights_of(model), torch.cat(samples)
    wanted = model(x)
    result = bsq.torch.quantize(model, samples, bits=8, input_bits=4)
    assert len(result.hooks) == 3
    quantizer = result.layers["b"].tensor.input
    assert quantizer.bits == 4 and quantizer.type == "unsigned"  # behind a ReLU
    seen = []
    model.b.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    found = model(x)
    assert len(torch.unique(seen[0])) <= 16
    error = float((found - wanted).norm() / wanted.norm())
    assert 0.01 < error < 0.5
    result.remove_hooks()
    assert len(torch.unique(model.b.weight)) > 16
    by_channel = bsq.torch.quantize(load(state), samples, bits=8, input_bits=4, input_scale_kind="per_channel")
    assert float((by_channel.model(x) - wanted).norm()) > 0
    assert by_channel.layers["a"].tensor.input.scales.shape == (12,)
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2))
    images = [torch.randn(2, 3, 8, 8) for _ in range(3)]
    with torch.no_grad():
        wanted = conv(images[0])
        bsq.torch.quantize(conv, images, bits=8, input_bits=8, input_scale_kind="per_channel")
        assert float((conv(images[0]) - wanted).norm() / wanted.norm()) < 0.05


def test_bias_correction(mlp):
    model, samples = mlp
    before = weights_of(model)
    result = bsq.torch.quantize(model, samples, bits=2, passes=1, bias_correction=True)
    assert np.array_equal(numbers(model.a.bias), result.layers["a"].tensor.bias)
    assert not torch.equal(model.a.bias, before["a.bias"]) and model.b.bias is None


# ---- samples -----------------------------------------------------------------------------------------------------


def test_kinds_of_samples(mlp):
    """Tensors, DataLoaders with labels, dicts, iterators and functions give the same."""
    model, samples = mlp
    state = weights_of(model)
    x = torch.cat(samples)
    wanted = bsq.torch.quantize(model, samples, bits=3).tensors
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(len(x))), batch_size=50)

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = load(state)

        def forward(self, x):
            return self.inner(x)

    for given in (loader, iter(samples), [numbers(s) for s in samples], [(s, 1) for s in samples]):
        assert bsq.torch.quantize(load(state), given, bits=3).tensors == wanted
    for given, more in (([{"x": s} for s in samples], {}),
                        ([{"y": s} for s in samples], {"forward": lambda m, sample: m(sample["y"])})):
        found = bsq.torch.quantize(Named(), given, bits=3, **more).tensors
        assert {name[6:]: tensor for name, tensor in found.items()} == wanted
    limited = bsq.torch.quantize(load(state), samples, bits=3, limit=2)
    assert limited.layers["a"].numbers["rows"] == 100
    for bad in (x, [], 5, "text", {"x": x}):
        with pytest.raises(bsq.ArgumentError):
            bsq.torch.quantize(load(state), bad)


def test_memory_is_bounded(mlp):
    """A limit divides a part: fewer statistics at a time, more passes, later layers behind the earlier ones."""
    model, samples = mlp
    state, calls = weights_of(model), []
    model.register_forward_pre_hook(lambda module, arguments: calls.append(1))
    bsq.torch.quantize(model, samples, passes=1)
    one = len(calls)
    bounded = load(state)
    bounded.register_forward_pre_hook(lambda module, arguments: calls.append(1))
    bsq.torch.quantize(bounded, samples, passes=1, memory=1)
    assert one == 1 + 8 and len(calls) - one == 1 + 8 + 16 + 16


def test_train_mode_and_gradients_stay(mlp):
    model, samples = mlp
    model.train()
    model.s.eval()
    bsq.torch.quantize(model, samples)
    assert model.training and model.a.training and not model.s.training and model.a.weight.requires_grad


def test_copy(mlp):
    model, samples = mlp
    before = weights_of(model)
    result = bsq.torch.quantize(model, samples, bits=2, inplace=False)
    assert result.model is not model
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# ---- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_failures_give_the_model_back(mlp, error):
    """Wherever the call ends, the model is what it was, without hooks."""
    model, samples = mlp
    before = weights_of(model)
    for stop in (1, 9, 10, 20, 27):

        def progress(step, stop=stop):
            assert step.done <= step.total
            if step.done == stop:
                raise error("stop")

        with pytest.raises(error):
            bsq.torch.quantize(model, samples, input_bits=8, progress=progress)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_nan_names_the_module(mlp):
    model, samples = mlp
    with torch.no_grad():
        model.b.weight[0, 0] = float("nan")
    with pytest.raises(bsq.NumericError):
        bsq.torch.quantize(model, samples)
    assert not any(m._forward_hooks for m in model.modules())


def test_interrupt():
    """Ctrl-C in the middle of a solve."""
    torch.manual_seed(11)
    model = nn.Sequential(nn.Linear(512, 512))
    before = model[0].weight.clone()
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        bsq.torch.quantize(model, [torch.randn(800, 512)], bits=3, effort=8)
    assert torch.equal(model[0].weight, before)


def test_resume(mlp, tmp_path):
    """A call that was stopped goes on where it was, and gives the same."""
    model, samples = mlp
    state = weights_of(model)
    wanted = bsq.torch.quantize(load(state), samples, bits=3)

    def stop(step):
        if step.what == "solve" and step.name == "b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bsq.torch.quantize(load(state), samples, bits=3, resume=tmp_path, progress=stop)
    assert len(list(tmp_path.glob("*.npz"))) == 2
    steps = []
    found = bsq.torch.quantize(load(state), samples, bits=3, resume=tmp_path, progress=steps.append)
    assert [s.name for s in steps if s.what == "resume"] == ["a", "b"]
    assert {s.name for s in steps if s.what == "calibrate"} == {"c"}
    assert found.tensors == wanted.tensors and found.layers["a"].error == wanted.layers["a"].error
    steps.clear()
    bsq.torch.quantize(load(state), samples, bits=4, resume=tmp_path, progress=steps.append)
    assert not [s for s in steps if s.what == "resume"]  # another call: nothing of it is taken
    for path in tmp_path.glob("a.*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    steps.clear()
    again = bsq.torch.quantize(load(state), samples, bits=3, resume=tmp_path, progress=steps.append)
    assert [s.name for s in steps if s.what == "resume"] == ["b", "c"] and again.tensors == wanted.tensors


# ---- results -----------------------------------------------------------------------------------------------------


def test_packed_state_dict(mlp, tmp_path):
    model, samples = mlp
    state, x = weights_of(model), torch.cat(samples)
    for options in ({"bits": 3}, {"bits": 4, "group_size": 8, "grid": "full"}, {"bits": 4, "grid": "nf4"},
                    {"bits": 6, "input_bits": 8}):
        result = bsq.torch.quantize(load(state), samples, **options)
        torch.save(result.state_dict(), tmp_path / "model.pt")
        packed = torch.load(tmp_path / "model.pt")
        assert packed["a.weight.packed"].numel() == (240 if options.get("grid") == "nf4" or options["bits"] > 4 else 120)
        other = load(state)
        tensors = bsq.torch.load_state_dict(other, packed)
        assert tensors["b"].codes.tolist() == result.tensors["b"].codes.tolist()
        assert torch.equal(other(x), result.model(x))
    with pytest.raises(bsq.FormatError):
        result.state_dict("onnx_int4")
    assert result.state_dict("int8")["a.weight.packed"].numel() == 240
    damaged = dict(packed)
    damaged["a.weight.packed"] = damaged["a.weight.packed"][:-1]
    with pytest.raises(bsq.SizeError):
        bsq.torch.load_state_dict(load(state), damaged)
    damaged = dict(packed)
    damaged["a.weight.bsq"] = torch.zeros(9, dtype=torch.uint8)
    with pytest.raises(bsq.CorruptError):
        bsq.torch.load_state_dict(load(state), damaged)
    transposed = nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.ReLU(), nn.Embedding(5, 3))
    images = [torch.randn(2, 3, 5, 5)]
    result = bsq.torch.quantize(transposed, images, bits=4, forward=lambda m, s: m[2](torch.arange(5)) * m[0](s).sum())
    other = nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.ReLU(), nn.Embedding(5, 3))
    bsq.torch.load_state_dict(other, result.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(other.state_dict().values(), transposed.state_dict().values()))


def read_gptq(arrays, name, bits, group_size):
    """Weights of a linear layer from the published layout, read by numpy alone: codes along the inputs in words of 32
    bits, zero points along the outputs and less 1, float16 scales (groups, out), and the group of each input."""
    qweight, qzeros = arrays[name + ".qweight"].view(np.uint32), arrays[name + ".qzeros"].view(np.uint32)
    scales, group_of = arrays[name + ".scales"].astype(np.float32), arrays[name + ".g_idx"]
    outputs, mask = qweight.shape[1], (1 << bits) - 1

    def unpack(words, count, axis):
        """'count' numbers of 'bits' bits that follow each other, low bits first, across words, along an axis."""
        words = np.moveaxis(words, axis, 0)
        flat = np.unpackbits(np.ascontiguousarray(words.T).view(np.uint8), axis=-1, bitorder="little")
        flat = flat.reshape(words.shape[1], -1)[:, :count * bits].reshape(words.shape[1], count, bits)
        return (flat * (1 << np.arange(bits))).sum(-1)

    codes = unpack(qweight, len(group_of), 0)  # (out, in)
    zeros = unpack(qzeros, outputs, 1) + 1 & mask if bits < 8 else unpack(qzeros, outputs, 1) + 1  # (groups, out)
    assert np.array_equal(np.bincount(group_of), [group_size] * len(scales))
    return (scales.T[:, group_of] * (codes - zeros.T[:, group_of])).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_files(bits, tmp_path):
    """The file of GPTQ's layout holds exactly the weights that the model has now."""
    torch.manual_seed(12)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.up, self.down = nn.Embedding(9, 64), nn.Linear(64, 96), nn.Linear(96, 64, bias=False)

        def forward(self, ids):
            return self.down(torch.relu(self.up(self.table(ids))))

    model = Model()
    result = bsq.torch.quantize(model, [torch.randint(0, 9, (40, 5)) for _ in range(3)], bits=bits, group_size=32,
                                format="gptq", overrides={"table": None})
    result.save_gptq(tmp_path / "model.safetensors")
    arrays, metadata = bsq.load_safetensors(tmp_path / "model.safetensors")
    assert metadata == {"format": "pt"} and "up.weight" not in arrays
    for name in ("up", "down"):
        assert np.array_equal(read_gptq(arrays, name, bits, 32), numbers(getattr(model, name).weight))
    assert np.array_equal(arrays["up.g_idx"], np.arange(64) // 32)
    assert np.array_equal(arrays["up.bias"], numbers(model.up.bias))
    assert np.array_equal(arrays["table.weight"], numbers(model.table.weight))
    config = json.loads((tmp_path / "quantize_config.json").read_text())
    assert (config["bits"], config["group_size"], config["desc_act"], config["sym"]) == (bits, 32, False, False)
    other = Model()
    bsq.torch.load_state_dict(other, result.state_dict())
    assert torch.equal(other.up.weight, model.up.weight)
    plain = bsq.torch.quantize(Model(), [torch.arange(9)], bits=4, overrides={"table": None})
    with pytest.raises(bsq.FormatError, match="up: gptq"):
        plain.save_gptq(tmp_path / "other.safetensors")


@pytest.mark.parametrize("passes", [1, None])
def test_gptq_files_with_groups_by_size(passes, tmp_path):
    """desc_act: g_idx says which inputs are large together, the file holds the model's weights, the error is smaller."""
    torch.manual_seed(13)
    size = torch.exp(2 * torch.randn(64))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(64, 96, bias=False), nn.Linear(64, 32)
            self.down, self.table = nn.Linear(96, 64), nn.Embedding(4, 64)

        def forward(self, x):
            return self.down(torch.relu(self.query(x))) * self.key(x).sum() + self.table(torch.arange(4)).sum()

    float_model = Model()
    with torch.no_grad():
        for layer in (float_model.query, float_model.key):
            layer.weight /= size  # so that every input matters: what is large has small weights
    samples = [torch.randn(50, 64) * size for _ in range(4)]
    options = dict(bits=4, group_size=32, format="gptq", passes=passes, inplace=False, overrides={"table": None})
    plain = bsq.torch.quantize(float_model, samples, **options)
    result = bsq.torch.quantize(float_model, samples, desc_act=True, resume=tmp_path / "kept", **options)
    result.save_gptq(tmp_path / "model.safetensors")
    arrays, _ = bsq.load_safetensors(tmp_path / "model.safetensors")
    for name in ("query", "key", "down"):
        assert np.array_equal(read_gptq(arrays, name, 4, 32), numbers(getattr(result.model, name).weight))
        order = result.tensors[name].input_order
        assert np.array_equal(arrays[name + ".g_idx"][order], np.arange(len(order)) // 32)
    rows = torch.cat(samples).double()
    assert np.array_equal(result.tensors["query"].input_order, np.argsort(-(rows * rows).sum(0).numpy(), kind="stable"))
    assert result.layers["query"].error < 0.7 * plain.layers["query"].error
    found = result.tensors["query"].error(numbers(float_model.query.weight), torch.cat(samples).numpy())
    assert found == pytest.approx(result.layers["query"].error, rel=1e-5)
    config = json.loads((tmp_path / "quantize_config.json").read_text())
    assert config["desc_act"] is True and "dynamic" not in config
    other = Model()
    bsq.torch.load_state_dict(other, result.state_dict())
    assert torch.equal(other.query.weight, result.model.query.weight)
    again = bsq.torch.quantize(float_model, samples, desc_act=True, resume=tmp_path / "kept", **options)
    assert torch.equal(again.model.down.weight, result.model.down.weight)
    assert np.array_equal(again.tensors["down"].input_order, result.tensors["down"].input_order)


def test_groups_by_size_need_a_format_that_stores_them(mlp):
    model, samples = mlp
    with pytest.raises(bsq.ArgumentError, match="no linear layer is solved for one of gptq, gptq_v2"):
        bsq.torch.quantize(model, samples, bits=4, desc_act=True)
    with pytest.raises(bsq.ArgumentError, match="scales for input channels"):
        bsq.torch.quantize(model, samples, bits=4, desc_act=True, format="gptq", input_bits=8,
                           input_scale_kind="per_channel")


def test_result_shows_itself(mlp):
    model, samples = mlp
    result = bsq.torch.quantize(model, samples, bits=3)
    assert "20 x 12" in str(result) and "3 bits a weight" in str(result)
    assert "<td>20 x 12</td>" in result._repr_html_()
    assert set(result.seconds) == {"forward", "statistics", "solve", "total"}


def test_bar(mlp, capsys, monkeypatch):
    model, samples = mlp
    monkeypatch.setitem(sys.modules, "tqdm", None)
    bsq.torch.quantize(model, samples, bits=3, progress=True)
    assert "bsq.torch: 100 %" in capsys.readouterr().err
