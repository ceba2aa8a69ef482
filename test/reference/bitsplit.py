#!/usr/bin/env python3
"""The published algorithm (docs/method.md, section 5) as published code runs it: a NumPy loop over the inputs, vectorised
over the output channels, so that every digit of a plane costs one product A[k] . B. It is what the solver's time is
compared with, and an independent computation of paper mode.

usage: bitsplit.py FOLDER [--bits 3] [--epochs 100] [--only NAME] [--single]

For every layer in FOLDER (<name>.W.npy, <name>.H.npy) writes one line "layer,bits,error,seconds,wall,epochs": the relative
output error, processor and wall time of the solve. With fewer epochs than 100 the seconds are scaled to 100 of them."""
import argparse
import glob
import os
import sys
import time

import numpy as np

WEIGHT_EPOCHS, RESPONSE_EPOCHS, STILL = 50, 100, 1e-9


def safe_ratio(a, b, otherwise):
    return np.where((b > 0) & (a > 0), a / np.where(b > 0, b, 1), otherwise)


def alternating_scale(W, qmax):
    """Codes and scale of least weight error, in turn until the scales stand still."""
    alpha = np.maximum(np.abs(W).max(1) / qmax, 1e-30)
    while True:
        Q = np.clip(np.rint(W / alpha[:, None]), -qmax, qmax)
        new = safe_ratio((Q * W).sum(1), (Q * Q).sum(1), alpha)
        change, alpha = np.linalg.norm(new - alpha), new
        if not change > STILL:
            return Q, alpha


def split(Q, bits):
    """Ternary planes, the least significant first; each digit has the sign of its code."""
    magnitude = np.abs(Q).astype(np.int64)
    return [np.sign(Q) * ((magnitude >> m) & 1) for m in range(bits - 1)]


def stitch(planes):
    return sum(plane * 2.0 ** m for m, plane in enumerate(planes))


def split_weights(W, planes, alpha):
    """Bit-split on the weights alone."""
    for _ in range(WEIGHT_EPOCHS):
        Q = stitch(planes)
        new = safe_ratio((Q * W).sum(1), (Q * Q).sum(1), alpha)
        change, alpha = np.linalg.norm(new - alpha) * 2 ** (len(planes) - 1), new
        if not change > STILL:
            break
        for m in reversed(range(len(planes))):
            rest = W - alpha[:, None] * (stitch(planes) - planes[m] * 2.0 ** m)
            planes[m] = np.where(2 * np.abs(rest) < alpha[:, None] * 2.0 ** m, 0.0, np.where(rest >= 0, 1.0, -1.0))
    return planes, alpha


def products(H, B):
    """H u for every channel u of B (M, n): H is (n, n), or (M, n, n) with one for each channel."""
    return B @ H if H.ndim == 2 else np.einsum('cij,cj->ci', H, B)


def row_product(H, B, k):
    """Entry k of H u for every channel u of B (n, M)."""
    return H[k] @ B if H.ndim == 2 else np.einsum('cj,jc->c', H[:, k], B)


def reconstruct(H, P, planes, alpha, epochs):
    """Response reconstruction: the scale in closed form, then digit by digit. Arrays are (n, M) in the loop, so that an
    input's values for all channels lie side by side."""
    diagonal = np.diagonal(H, axis1=-2, axis2=-1).T  # (n) or (n, M)
    target, planes = np.ascontiguousarray(P.T), [np.ascontiguousarray(plane.T) for plane in planes]
    for _ in range(epochs):
        Q = stitch(planes).T
        alpha = safe_ratio((P * Q).sum(1), (Q * products(H, Q)).sum(1), alpha)
        B = np.ascontiguousarray(alpha * Q.T)
        for m in reversed(range(len(planes))):
            step, plane = alpha * 2.0 ** m, planes[m]
            for k in range(len(B)):
                unit = step * diagonal[k]
                rest = target[k] - row_product(H, B, k) + unit * plane[k]
                digit = np.where(2 * np.abs(rest) >= unit, np.sign(rest), 0.0)
                B[k] += step * (digit - plane[k])
                plane[k] = digit
    Q = stitch(planes).T
    return Q, safe_ratio((P * Q).sum(1), (Q * products(H, Q)).sum(1), alpha)


def errors(H, E):
    return (E * products(H, E)).sum()


def solve(W, H, bits, epochs, kind):
    """One H for all channels, or one for each: the groups of a convolution are one batch."""
    H = H[0] if len(H) == 1 else np.repeat(H, len(W) // len(H), axis=0)
    w, h = W.astype(kind), H.astype(kind)
    clocks = [(time.process_time(), time.perf_counter())]
    Q, alpha = alternating_scale(w, 2 ** (bits - 1) - 1)
    planes, alpha = split_weights(w, [p.astype(kind) for p in split(Q, bits)], alpha)
    P = products(h, w)
    clocks.append((time.process_time(), time.perf_counter()))
    Q, alpha = reconstruct(h, P, planes, alpha, epochs)
    clocks.append((time.process_time(), time.perf_counter()))
    scaled = [b - a + (c - b) * RESPONSE_EPOCHS / epochs for a, b, c in zip(*clocks)]
    W, Q = W.astype(np.float64), Q.astype(np.float64)
    error = errors(H, W - alpha.astype(np.float64)[:, None] * Q) / errors(H, W)
    return error, scaled[0], scaled[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder')
    parser.add_argument('--bits', type=int, default=3)
    parser.add_argument('--epochs', type=int, default=RESPONSE_EPOCHS)
    parser.add_argument('--only')
    parser.add_argument('--single', action='store_true', help='in single instead of double precision')
    arguments = parser.parse_args()
    print('layer,bits,error,seconds,wall,epochs')
    for path in sorted(glob.glob(os.path.join(arguments.folder, '*.W.npy'))):
        name = os.path.basename(path)[:-len('.W.npy')]
        if arguments.only and name != arguments.only:
            continue
        W, H = np.load(path), np.load(path[:-len('W.npy')] + 'H.npy').astype(np.float64)
        error, seconds, wall = solve(W, H, arguments.bits, arguments.epochs,
                                     np.float32 if arguments.single else np.float64)
        print(f'{name},{arguments.bits},{error:.6g},{seconds:.4g},{wall:.4g},{arguments.epochs}')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
