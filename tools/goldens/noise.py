"""Random numbers of torch: the CPU generator from torch itself, the CUDA one from a reference in numpy.

The reference follows, step by step,
- Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (known answers below);
- cuRAND's curand_normal4 (curand_normal.h, _curand_box_muller) and curand_uniform4;
- torch's launch, aten/src/ATen/native/cuda/DistributionTemplates.h: calc_execution_policy and
  distribution_elementwise_grid_stride_kernel (256 threads a block, 4 values a thread and round, element i of round 0 in
  thread i; the generator's offset grows by 4 for each round of a call).
AUTOMATIC1111's modules/rng_philox.py is the known reimplementation of the common case (no more values than threads) and
gives the first ten values that `check` compares with.
"""

import hashlib

import numpy as np
import torch

SEEDS = [0, 1, 42, 2**32 - 1, 2**32 + 12345, 2**63 - 1]
SIZES = [1, 15, 16, 17, 100, 4 * 16 * 16]
LARGE = 4 * 128 * 128


def philox4x32_10(counter, key):
    """counter uint64 [4, n] and key uint64 [2, n], holding 32-bit words."""
    c, k = [x.copy() for x in counter], [x.copy() for x in key]
    mask = np.uint64(0xFFFFFFFF)
    for r in range(10):
        if r:
            k = [(k[0] + np.uint64(0x9E3779B9)) & mask, (k[1] + np.uint64(0xBB67AE85)) & mask]
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ k[0], b & mask, (a >> np.uint64(32)) ^ c[3] ^ k[1], a & mask]
    return np.stack(c)


class CUDA:
    """torch.Generator("cuda").manual_seed(seed) on a GPU that runs at most `threads` threads of the kernel at once."""

    def __init__(self, seed, threads=None):
        self.seed, self.offset, self.threads = seed & (2**64 - 1), 0, threads

    def _words(self, thread, round_):
        n = len(thread)
        thread = thread.astype(np.uint64)
        block = self.offset // 4 + round_  # curand_init skips offset values, four to a block
        full = lambda v: np.full(n, v & 0xFFFFFFFF, np.uint64)
        counter = [full(block), full(block >> 32), thread & np.uint64(0xFFFFFFFF), thread >> np.uint64(32)]
        return philox4x32_10(np.stack(counter), np.stack([full(self.seed), full(self.seed >> 32)]))

    def _draw(self, n, transform):
        blocks = (n + 255) // 256
        threads = 256 * (blocks if self.threads is None else min(blocks, self.threads // 256))
        out = np.empty(n, np.float32)
        rounds = (n - 1) // (threads * 4) + 1
        for r in range(rounds):
            values = transform(self._words(np.arange(threads), r))
            for ii in range(4):
                start = (r * 4 + ii) * threads
                part = out[start:start + threads]
                part[:] = values[ii][:len(part)]
        self.offset += 4 * rounds
        return out

    def randn(self, n):
        def normal4(w):
            w = w.astype(np.float64)
            pairs = []
            for x, y in ((w[0], w[1]), (w[2], w[3])):
                # u = x * 2^-32 + 2^-33; v likewise, times 2 pi. Double here: the GPU's last places are its own.
                u, v = (x + 0.5) / 2**32, (y + 0.5) / 2**32 * 2 * np.pi
                s = np.sqrt(-2 * np.log(u))
                pairs += [s * np.sin(v), s * np.cos(v)]
            return pairs
        return self._draw(n, normal4)

    def rand(self, n):
        def uniform4(w):
            u = w.astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)
            return np.where(u == 1, np.float32(0), u)  # cuRAND gives (0, 1], torch turns it round at 1
        return self._draw(n, uniform4)


def check():
    """Known answers."""
    word = lambda *x: np.array([[v] for v in x], np.uint64)
    for counter, key, want in [
        (word(0, 0, 0, 0), word(0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (word(*[0xFFFFFFFF] * 4), word(*[0xFFFFFFFF] * 2), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (word(0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), word(0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]:
        assert " ".join(f"{int(x):08x}" for x in philox4x32_10(counter, key)[:, 0]) == want
    first = [-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564, -0.62285122, -0.32838709, -1.07454231, -0.36314407]
    assert np.allclose(CUDA(0).randn(10), first, atol=1e-6)


def make(store):
    gen = lambda seed: torch.Generator().manual_seed(seed)
    raw = np.stack([np.random.RandomState(s & 0xFFFFFFFF)._bit_generator.random_raw(700).astype(np.uint32) for s in SEEDS])
    for s, row in zip(SEEDS, raw):  # torch.rand is the low 24 bits of one draw each
        got = torch.rand(700, generator=gen(s)).numpy()
        assert np.array_equal(got, (row & 0xFFFFFF).astype(np.float32) * np.float32(2.0**-24)), s
    store.json("noise", dict(seeds=SEEDS, sizes=SIZES, large=large()), "the seeds, one a row of every noise file, and a digest of the large draws")
    store.array("noise_mt19937", raw, "first 700 draws of 32 bits of torch's CPU generator (700 passes the first twist), uint32", np.uint32)
    store.array("noise_rand", torch.stack([torch.rand(100, generator=gen(s)) for s in SEEDS]), "torch.rand(100), CPU")
    for n in SIZES:
        store.array(f"noise_randn_{n}", torch.stack([torch.randn(n, generator=gen(s)) for s in SEEDS]), f"torch.randn({n}), CPU (below 16 values torch takes another way)")
    seq = []
    for s in SEEDS:
        g = gen(s)
        seq.append(torch.cat([torch.randn(n, generator=g) for n in (5, 16, 3, 100, 1, 17)]))
    store.array("noise_randn_sequence", torch.stack(seq), "torch.randn of 5, 16, 3, 100, 1 and 17 values from one CPU generator, end to end")
    check()
    store.array("noise_cuda_randn", np.stack([CUDA(s).randn(1024) for s in SEEDS]), "torch.randn(1024) on CUDA, by the reference in tools/goldens/noise.py")
    store.array("noise_cuda_rand", np.stack([CUDA(s).rand(100) for s in SEEDS]), "torch.rand(100) on CUDA, by the reference")
    second = []
    for s in SEEDS:
        g = CUDA(s)
        g.randn(1024)
        second.append(g.randn(300))
    store.array("noise_cuda_randn_second", np.stack(second), "torch.randn(300) on CUDA after torch.randn(1024) from the same generator")
    store.array("noise_cuda_randn_512_threads", np.stack([CUDA(s, threads=512).randn(5000) for s in SEEDS]),
                "torch.randn(5000) on an imagined GPU of 512 threads: what happens when there are more values than threads")


def large():
    """Head, tail, sums and the hash of 4 x 128 x 128 values, CPU."""
    out = []
    for s in SEEDS:
        x = torch.randn(LARGE, generator=torch.Generator().manual_seed(s)).numpy()
        d = x.astype(np.float64)
        out.append(dict(seed=s, count=LARGE, head=[float(v) for v in x[:16]], tail=[float(v) for v in x[-16:]], sum=d.sum(),
                        sum_of_squares=(d * d).sum(), sha256=hashlib.sha256(x.tobytes()).hexdigest()))
    return out
