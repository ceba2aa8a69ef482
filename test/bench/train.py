#!/usr/bin/python3
"""Trains small transformers on real tasks and exports them to ONNX, for the bench and the tests of bsq-onnx.

    train.py SHARED_DATA FOLDER [NETWORK ...]

A network that FOLDER holds already is left alone: training takes some minutes each, on one core. Each gets NAME.onnx, of less
than 4 MB, and what its task consists of:

    encoder   which of two books a piece of text is from (bytes, 12 to 64 of them, with an attention mask): a folder with one
              .npz a sample each to calibrate and to judge, labels.npy of the latter
    vit       CIFAR pictures in ten classes: reads the arrays of SHARED_DATA/cifar10 themselves
    decoder   the next byte of the same books: windows of ids, calibration.npy and test.npy
    lstm      the same by two layers of LSTM
    unet      what each pixel of a picture belongs to, by transposed convolutions among others: a disc, a square, or a CIFAR
              picture behind them; logits (pixels, 3)
"""
import os
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(1)


class Attention(nn.Module):
    def __init__(self, width, heads, causal=False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, mask=None):
        batch, length, width = x.shape
        split = lambda y: y.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)  # noqa: E731
        scores = split(self.query(x)) @ split(self.key(x)).transpose(2, 3) / (width // self.heads) ** 0.5
        if mask is not None:
            scores = scores + (1 - mask[:, None, None, :].to(scores.dtype)) * -10000.0
        if self.causal:
            place = torch.arange(length)
            scores = scores + (place[None, :] > place[:, None]).to(scores.dtype) * -10000.0
        mixed = scores.softmax(-1) @ split(self.value(x))
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, inner, causal=False):
        super().__init__()
        self.attention = Attention(width, heads, causal)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x, mask=None):
        x = x + self.attention(self.first(x), mask)
        return x + self.down(functional.gelu(self.up(self.second(x))))


class Encoder(nn.Module):
    """Bytes and a mask to two classes: the mean over what the mask leaves."""
    def __init__(self, width=96, heads=4, inner=192, layers=3, longest=64):
        super().__init__()
        self.embedding, self.place = nn.Embedding(128, width), nn.Embedding(longest, width)
        self.blocks = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.norm, self.classes = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, ids, mask):
        x = self.embedding(ids) + self.place(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x, mask)
        weight = mask[:, :, None].to(x.dtype)
        return self.classes((self.norm(x) * weight).sum(1) / weight.sum(1))


class Vit(nn.Module):
    """Pictures of 32 x 32, mean 0 and deviation 1, in patches of 4 x 4."""
    def __init__(self, width=96, heads=4, inner=192, layers=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(torch.randn(1, 64, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.norm, self.classes = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, picture):
        x = self.patches(picture).flatten(2).transpose(1, 2) + self.place
        for block in self.blocks:
            x = block(x)
        return self.classes(self.norm(x).mean(1))


class Decoder(nn.Module):
    """Bytes to logits of the next one."""
    def __init__(self, width=128, heads=4, inner=384, layers=3, longest=128):
        super().__init__()
        self.embedding, self.place = nn.Embedding(128, width), nn.Embedding(longest, width)
        self.blocks = nn.ModuleList(Block(width, heads, inner, causal=True) for _ in range(layers))
        self.norm, self.bytes = nn.LayerNorm(width), nn.Linear(width, 128, bias=False)

    def forward(self, ids):
        x = self.embedding(ids) + self.place(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.bytes(self.norm(x))


class Lstm(nn.Module):
    """Bytes to logits of the next one."""
    def __init__(self, width=64, inner=160):
        super().__init__()
        self.embedding, self.bytes = nn.Embedding(128, width), nn.Linear(inner, 128)
        self.steps = nn.LSTM(width, inner, 2)

    def forward(self, ids):
        return self.bytes(self.steps(self.embedding(ids).transpose(0, 1))[0].transpose(0, 1))


class Unet(nn.Module):
    """Pictures of 32 x 32, mean 0 and deviation 1, to three classes for each pixel."""
    def __init__(self, width=16):
        super().__init__()
        twice = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),  # noqa: E731
                                           nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())
        self.down = nn.ModuleList([twice(3, width), twice(width, 2 * width), twice(2 * width, 4 * width)])
        self.grow = nn.ModuleList([nn.ConvTranspose2d(4 * width, 2 * width, 2, 2),
                                   nn.ConvTranspose2d(2 * width, width, 4, 2, padding=1)])
        self.up = nn.ModuleList([twice(4 * width, 2 * width), twice(2 * width, width)])
        self.classes = nn.Conv2d(width, 3, 1)

    def forward(self, picture):
        fine = self.down[0](picture)
        middle = self.down[1](functional.max_pool2d(fine, 2))
        x = self.down[2](functional.max_pool2d(middle, 2))
        x = self.up[0](torch.cat([self.grow[0](x), middle], 1))
        x = self.up[1](torch.cat([self.grow[1](x), fine], 1))
        return self.classes(x).flatten(2).transpose(1, 2)


def train(name, model, steps, rate, loss_of):
    """AdamW with a short warm-up and a cosine to nothing."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    shape = lambda step: min(1, (step + 1) / 50) * 0.5 * (1 + np.cos(np.pi * step / steps))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
    model.train()
    mean = 0
    for step in range(steps):
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step + 1, 50)
        if step % 100 == 99:
            print(f"{name}: step {step + 1} of {steps}, loss {mean:.3f}", flush=True)
    model.eval()


def export(model, arguments, path, inputs, output, axes):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    torch.onnx.export(model, arguments, path + ".part", input_names=inputs, output_names=[output], dynamic_axes=axes,
                      opset_version=17)
    size = os.path.getsize(path + ".part")
    if size >= 4e6:
        sys.exit(f"{path}: {size} bytes are too many")
    os.replace(path + ".part", path)


def book_of(text, at):
    """The play has speeches with empty lines between them, the Bible has none."""
    return int(b"\n\n" in text[max(0, at - 2000):at + 2000])


def pieces(text, count, random):
    """Pieces of text away from the places where books meet, of both books in turn, and which book each is from."""
    found, labels = [], []
    while len(found) < count:
        length = int(random.randint(12, 65))
        at = int(random.randint(4096, len(text) - 4096))
        around = {book_of(text, at + off) for off in (-2048, 0, 2048)}
        if around != {len(found) % 2}:
            continue
        # Line ends and names in front of speeches would tell too much.
        piece = bytes(32 if byte == 10 else byte for byte in text[at:at + length]).lower()
        found.append(np.frombuffer(piece, np.uint8).astype(np.int64))
        labels.append(len(labels) % 2)
    return found, np.array(labels)


def padded(some):
    length = max(len(one) for one in some)
    ids, mask = np.zeros((len(some), length), np.int64), np.zeros((len(some), length), np.int64)
    for i, one in enumerate(some):
        ids[i, :len(one)], mask[i, :len(one)] = one, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def read(data, name):
    with open(f"{data}/text/{name}.txt", "rb") as file:
        return bytes(min(byte, 127) for byte in file.read())


def make_encoder(data, folder):
    random, text = np.random.RandomState(1), read(data, "calibration")
    some, labels = pieces(text, 40000, random)
    model = Encoder()

    def loss_of(_):
        chosen = random.randint(0, len(some), 64)
        ids, mask = padded([some[i] for i in chosen])
        return functional.cross_entropy(model(ids, mask), torch.from_numpy(labels[chosen]))
    train("encoder", model, 1200, 1e-3, loss_of)
    # Every second sample is padded to a multiple of 16, as tokenizers do.
    for part, source, count in (("calibration", text, 256), ("test", read(data, "eval"), 4000)):
        some, labels = pieces(source, count, random)
        os.makedirs(f"{folder}/encoder-{part}", exist_ok=True)
        for i, one in enumerate(some):
            ids = np.pad(one, (0, -len(one) % 16 if i % 2 else 0))
            np.savez(f"{folder}/encoder-{part}/{i:05d}.npz", ids=ids[None],
                     mask=(np.arange(len(ids)) < len(one)).astype(np.int64)[None])
        np.save(f"{folder}/encoder-{part}-labels.npy", labels)
    export(model, padded([np.arange(20), np.arange(30)]), f"{folder}/encoder.onnx", ["ids", "mask"], "classes",
           {"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}, "classes": {0: "batch"}})


def make_vit(data, folder):
    random = np.random.RandomState(2)
    normal = lambda x: (torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2) - 122.0) / 63.0  # noqa: E731
    pictures = normal(np.load(f"{data}/cifar10/calib_images.npy"))
    labels = torch.from_numpy(np.load(f"{data}/cifar10/calib_labels.npy"))
    model = Vit()

    def loss_of(_):
        chosen = random.randint(0, len(pictures), 64)
        top, left = random.randint(0, 9, 2)
        some = functional.pad(pictures[chosen], (4, 4, 4, 4))[:, :, top:top + 32, left:left + 32]
        if random.randint(2):
            some = some.flip(3)
        return functional.cross_entropy(model(some + 0.1 * torch.randn(64, 1, 1, 1)), labels[chosen],
                                        label_smoothing=0.1)
    train("vit", model, 900, 1e-3, loss_of)
    export(model, (pictures[:2],), f"{folder}/vit.onnx", ["picture"], "classes",
           {"picture": {0: "batch"}, "classes": {0: "batch"}})


def next_bytes(data, folder, name, model, rate, together=16):
    random, length = np.random.RandomState(3), 128
    text = np.frombuffer(read(data, "calibration"), np.uint8).astype(np.int64)

    def loss_of(_):
        at = random.randint(0, len(text) - length - 1, together)
        some = torch.from_numpy(np.stack([text[i:i + length + 1] for i in at]))
        return functional.cross_entropy(model(some[:, :-1]).flatten(0, 1), some[:, 1:].flatten())
    train(name, model, 1000, rate, loss_of)
    unseen = np.frombuffer(read(data, "eval"), np.uint8).astype(np.int64)
    np.save(f"{folder}/{name}-calibration.npy", text[:192 * length].reshape(192, length))
    np.save(f"{folder}/{name}-test.npy", unseen[:600 * length].reshape(600, length))
    export(model, (torch.zeros(1, 20, dtype=torch.int64),), f"{folder}/{name}.onnx", ["ids"], "logits",
           {"ids": {0: "batch", 1: "length"}, "logits": {0: "batch", 1: "length"}})


def make_decoder(data, folder):
    next_bytes(data, folder, "decoder", Decoder(), 2e-3)


def make_lstm(data, folder):
    next_bytes(data, folder, "lstm", Lstm(), 4e-3, 32)


def with_shapes(pictures, random):
    """Discs and squares of any colour in front of pictures (N, 32, 32, 3) of 0..255, and the class of each pixel."""
    pictures, classes = pictures.astype(np.float32), np.zeros(pictures.shape[:3], np.int64)
    y, x = np.mgrid[:32, :32]
    for picture, own in zip(pictures, classes):
        for _ in range(random.randint(1, 4)):
            top, left, size = random.randint(4, 28), random.randint(4, 28), random.randint(3, 8)
            kind = random.randint(1, 3)
            far = np.hypot(y - top, x - left) if kind == 1 else np.maximum(abs(y - top), abs(x - left))
            colour = random.uniform(0, 255, 3)
            picture[far <= size] = 0.6 * colour + 0.4 * picture[far <= size]
            own[far <= size] = kind
    return ((pictures - 122) / 63).transpose(0, 3, 1, 2), classes.reshape(len(classes), -1)


def make_unet(data, folder):
    random = np.random.RandomState(4)
    pictures = np.load(f"{data}/cifar10/calib_images.npy")
    model = Unet()

    def loss_of(_):
        some, classes = with_shapes(pictures[random.randint(0, len(pictures), 16)], random)
        return functional.cross_entropy(model(torch.from_numpy(some)).flatten(0, 1), torch.from_numpy(classes).flatten())
    train("unet", model, 500, 4e-3, loss_of)
    for part, source in (("calibration", pictures[:128]), ("test", np.load(f"{data}/cifar10/test_images.npy")[:300])):
        some, classes = with_shapes(source, random)
        np.save(f"{folder}/unet-{part}.npy", some)
        np.save(f"{folder}/unet-{part}-classes.npy", classes)
    export(model, (torch.zeros(1, 3, 32, 32),), f"{folder}/unet.onnx", ["picture"], "logits",
           {"picture": {0: "batch"}, "logits": {0: "batch"}})


NETWORKS = {"encoder": make_encoder, "vit": make_vit, "decoder": make_decoder, "lstm": make_lstm, "unet": make_unet}


def main():
    if len(sys.argv) < 3 or any(name not in NETWORKS for name in sys.argv[3:]):
        sys.exit(__doc__)
    data, folder = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    for name in sys.argv[3:] or NETWORKS:
        if os.path.exists(f"{folder}/{name}.onnx"):
            continue
        torch.manual_seed(7)
        NETWORKS[name](data, folder)


if __name__ == "__main__":
    main()
