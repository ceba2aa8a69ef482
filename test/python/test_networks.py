"""Whole networks: a small GPT that is trained here, and a ResNet-18 with random weights."""
import math

import pytest
from conftest import ROOT  # noqa: F401  (sets the path)

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make deps-python)")

import bsq
import bsq.torch
from torch import nn

torch.set_num_threads(1)  # so that training gives the same each time

TEXT = ("the cat sat on the mat and the dog sat on the log while the sun went down behind the hill and the moon came up "
        "over the lake where the old boat lay in the reeds until the boy found it and went out to look for the fish ")


class Block(nn.Module):
    """A transformer block with a causal mask: attention, then two linear layers."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, attention_mask):
        batch, time, width = x.shape
        h = self.norm1(x)
        q, k, v = (f(h).view(batch, time, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        hidden = torch.ones(time, time, dtype=torch.bool).triu(1) | (attention_mask[:, None, None, :] == 0)
        scores = scores.masked_fill(hidden, -1e9)
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, time, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    """Tied embedding and head, as GPT-2 has them."""

    def __init__(self, tokens=27, width=32, blocks=2, context=32):
        super().__init__()
        self.tokens, self.places = nn.Embedding(tokens, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, input_ids, attention_mask=None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        x = self.tokens(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        for block in self.blocks:
            x = block(x, attention_mask)
        return self.head(self.norm(x))


def sequences(generator, count):
    ids = torch.tensor([0 if c == " " else ord(c) - 96 for c in TEXT * 2])
    starts = torch.randint(0, len(TEXT), (count,), generator=generator)
    return torch.stack([ids[s:s + 33] for s in starts.tolist()])


def loss_of(model, rows):
    logits = model(rows[:, :-1])
    return nn.functional.cross_entropy(logits.reshape(-1, 27), rows[:, 1:].reshape(-1))


@pytest.fixture(scope="module")
def gpt():
    """(state, rows) of a GPT that has learnt the text."""
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    model = Gpt()
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    for _ in range(400):
        optimizer.zero_grad()
        loss = loss_of(model, sequences(generator, 16))
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.9  # it has learnt: chance is 3.3
    return {name: value.clone() for name, value in model.state_dict().items()}, sequences(generator, 96)


def fresh(state):
    model = Gpt()
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize("bits", [3, 2])
def test_gpt(gpt, bits):
    """The scores stay nearer to the float model's than with rounding, and the loss as well; at 2 bits, where errors of
    earlier layers matter most, in order is the better way."""
    state, rows = gpt
    samples = [{"input_ids": row[None, :-1], "attention_mask": torch.ones(1, 32, dtype=torch.long)} for row in rows]
    with torch.no_grad():
        wanted = fresh(state)(rows[:, :-1])
        errors, losses = {}, {}
        for name, options in (("in order", {}), ("one pass", {"passes": 1}), ("rounding", {"solver": "round"})):
            model = fresh(state)
            result = bsq.torch.quantize(model, samples, bits=bits, overrides={"places": None}, **options)
            errors[name] = float(((model(rows[:, :-1]) - wanted) ** 2).sum() / (wanted ** 2).sum())
            losses[name] = float(loss_of(model, rows))
            assert model.head.weight is model.tokens.weight
    assert len(result.layers) == 2 * 6 + 1 and set(result.skipped) == {"tokens", "places"}
    assert errors["in order"] < 0.85 * errors["rounding"], errors
    assert losses["in order"] < losses["rounding"], losses
    assert bits == 3 or errors["in order"] < errors["one pass"], errors


def test_gpt_shares_and_masks(gpt):
    """Query, key and value of each block share; padded samples give what short ones would."""
    state, rows = gpt
    padded = []
    for row in rows[:16]:
        mask = torch.ones(1, 32, dtype=torch.long)
        mask[:, 24:] = 0
        padded.append({"input_ids": row[None, :-1], "attention_mask": mask})
    short = [{"input_ids": row[None, :24]} for row in rows[:16]]
    steps = []
    one = bsq.torch.quantize(fresh(state), padded, bits=4, progress=steps.append)
    other = bsq.torch.quantize(fresh(state), short, bits=4)
    # Per block: (q, k, v), o, up, down; then the head: 9 parts of 16 samples, not 13.
    assert sum(step.what == "calibrate" for step in steps) == 9 * 16
    for name in one.layers:
        assert one.layers[name].error == pytest.approx(other.layers[name].error, rel=0.02), name


def test_resnet18():
    """torchvision's ResNet-18, random weights: every convolution and the classifier, shared inputs of the shortcuts apart."""
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed (make deps-python)")
    torch.manual_seed(3)
    model = torchvision.models.resnet18(weights=None).eval()
    images = [torch.randn(2, 3, 48, 48) for _ in range(2)]
    with torch.no_grad():
        wanted = model(images[0])
        # The large layers are only rounded here, which takes no time.
        result = bsq.torch.quantize(model, images, bits=4, effort=1, passes=1,
                                    overrides={"layer[34].*": {"effort": 0}, "conv1": {"bits": 8}})
        found = model(images[0])
    assert len(result.layers) == 21 and not result.skipped and result.layers["conv1"].tensor.bits == 8
    assert result.layers["layer1.0.conv1"].error < result.layers["layer1.0.conv1"].numbers["error_start"]
    assert float((found - wanted).norm() / wanted.norm()) < 0.3
    other = torchvision.models.resnet18(weights=None).eval()
    bsq.torch.load_state_dict(other, result.state_dict())
    with torch.no_grad():
        assert torch.equal(other(images[0]), found)
