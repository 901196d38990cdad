"""What both training scripts share: two processes with averaged gradients, WSD schedule, EMA, checkpoints.

Why processes and not threads: the networks are so small that one operation does not
feed two threads, while two processes with half a batch each nearly double the speed.
Gradients are averaged through shared memory; every process then makes the same
optimizer step, so the weights stay equal without being sent.
"""

import argparse
import math
import os
import pathlib
import signal
import time

import torch
import torch.multiprocessing as mp

# glibc gives memory back and asks for it again at every step otherwise (54 -> 95 img/s).
MALLOC_ENV = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def wsd(step, total, warmup, decay, floor=0.01):
    """Warmup, constant, then 1 - sqrt decay over the last `decay` steps (factor of the base rate).

    The constant phase does not depend on `total`, so a run may be resumed with another total.
    """
    if step < warmup:
        return (step + 1) / warmup
    left = total - step
    if left >= decay:
        return 1.0
    return max(floor, 1 - math.sqrt(1 - left / decay))


class Averager:
    """Mean of the gradients of all ranks, through shared memory."""

    def __init__(self, params, rank, shared, barrier):
        self.params, self.rank, self.shared, self.barrier = params, rank, shared, barrier

    def __call__(self):
        if self.barrier is None:
            return
        grads = [p.grad for p in self.params]
        torch.cat([g.reshape(-1) for g in grads], out=self.shared[self.rank])
        self.barrier.wait()
        mean = self.shared.mean(0)
        self.barrier.wait()  # nobody overwrites before all have read
        torch._foreach_copy_(grads, [v.view_as(g) for v, g in zip(mean.split([g.numel() for g in grads]), grads)])


class EMA:
    def __init__(self, module, decay):
        state = module.state_dict()
        self.keys = [k for k, v in state.items() if v.is_floating_point()]
        self.live = [state[k] for k in self.keys]
        self.mean = [v.clone() for v in self.live]
        self.decay = decay

    @torch.no_grad()
    def update(self, step):
        torch._foreach_lerp_(self.mean, self.live, 1 - min(self.decay, (step + 1) / (step + 10)))

    def state_dict(self):
        return dict(zip(self.keys, self.mean))

    def load_state_dict(self, state):
        torch._foreach_copy_(self.mean, [state[k] for k in self.keys])


def autocast():
    """BF16 arithmetic where the CPU has it. Without, PyTorch computes BF16 6 (refiner) to 20 (ControlNet) times slower than F32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(torch.cpu.get_capabilities().get("avx512_bf16")))


def save_atomic(obj, path):
    tmp = pathlib.Path(str(path) + ".tmp")
    torch.save(obj, tmp)
    os.replace(tmp, path)


class Run:
    """One training run as a rank sees it; rank 0 logs and saves."""

    def __init__(self, rank, args, shared, barrier, module, param_groups, checkpoint):
        self.rank, self.args, self.module, self.path = rank, args, module, pathlib.Path(checkpoint)
        self.params = [p for g in param_groups for p in g["params"]]
        self.opt = torch.optim.AdamW(param_groups, lr=args.lr, betas=(0.9, 0.99), eps=1e-8, foreach=True)
        self.ema = EMA(module, args.ema)
        self.average = Averager(self.params, rank, shared, barrier)
        self.step, self.seconds, self.log = 0, 0.0, []
        self.started = self.saved = time.time()
        if args.resume and self.path.exists():
            ck = torch.load(self.path, weights_only=False)
            module.load_state_dict(ck["model"])
            self.opt.load_state_dict(ck["optimizer"])
            self.ema.load_state_dict(ck["ema"])
            self.step, self.seconds, self.log = ck["step"], ck["seconds"], ck["log"]
            self.say(f"resumed at step {self.step}")

    def say(self, text):
        if self.rank == 0:
            print(text, flush=True)

    def generator(self):
        """Random numbers of this step and rank: a function of (seed, step, rank), so resuming needs no state."""
        return torch.Generator().manual_seed(self.args.seed * 1_000_003 + self.step * 64 + self.rank)

    def elapsed(self):
        return self.seconds + time.time() - self.started

    def rate(self):
        a = self.args
        f = wsd(self.step, a.steps, a.warmup, a.decay)
        for g in self.opt.param_groups:
            g["lr"] = a.lr * f
        return a.lr * f

    def update(self, loss):
        self.opt.zero_grad(set_to_none=False)
        loss.backward()
        self.average()
        norm = torch.nn.utils.clip_grad_norm_(self.params, 1.0, foreach=True)
        self.opt.step()
        self.step += 1
        self.ema.update(self.step)
        return norm.item()

    def save(self, force=False, **extra):
        if self.rank != 0 or not (force or time.time() - self.saved > self.args.save_every):
            return
        save_atomic(dict(model=self.module.state_dict(), optimizer=self.opt.state_dict(), ema=self.ema.state_dict(),
                         step=self.step, seconds=self.elapsed(), log=self.log, args=vars(self.args), **extra), self.path)
        self.saved = time.time()


def add_arguments(parser, **defaults):
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--steps", type=int, required=True, help="total steps; may be changed when resuming before the decay")
    parser.add_argument("--decay", type=int, required=True, help="how many of them, at the end, the rate decays")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--stop", type=int, default=None, help="stop (and save) at this step without decaying")
    parser.add_argument("--procs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="per process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=float, default=120, help="seconds between checkpoints")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    parser.set_defaults(**defaults)
    return parser


def _entry(rank, main, args, shared, barrier):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # also what torch sends to the ranks when the launcher dies
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)  # equal initial weights in every rank
    main(rank, args, shared, barrier)


def launch(main, args, n_params):
    """Run main(rank, args, shared, barrier) in args.procs processes."""
    os.environ.update(MALLOC_ENV)
    args.out.mkdir(parents=True, exist_ok=True)
    ctx = mp.get_context("spawn")
    shared = torch.zeros(args.procs, n_params).share_memory_() if args.procs > 1 else None
    barrier = ctx.Barrier(args.procs) if args.procs > 1 else None
    mp.spawn(_entry, (main, args, shared, barrier), nprocs=args.procs, join=True)
