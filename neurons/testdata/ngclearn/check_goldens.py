"""Recomputes every case of index.json with NumPy and compares: python check_goldens.py

It needs NumPy alone, and index.json and the .npz files beside it. The formulas are
ngc-learn's, written anew in float32, with subnormal numbers taken as zeros of their
sign, as JAX takes them on the CPU. It says which outputs agree to the bit, which to
1e-6 (relative, or absolute below 1), and which not.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
f32 = np.float32
TINY = np.finfo(f32).tiny
np.seterr(all="ignore")


def flush(x):
    x = np.asarray(x, f32)
    return np.where(np.abs(x) < TINY, np.copysign(f32(0), x), x)


def flushed(function):
    return lambda *operands: flush(function(*map(flush, operands)))


add, sub, mul, div = map(flushed, (np.add, np.subtract, np.multiply, np.divide))
exp, tanh, square, sign, log = map(flushed, (np.exp, np.tanh, np.square, np.sign, np.log))


def over(x, scale):
    """x / scale as XLA has it: a divisor that broadcasts becomes its reciprocal."""
    return div(x, scale) if np.shape(x) == np.shape(scale) else mul(x, div(1, scale))


def total(x):
    return flush(np.sum(flush(x), dtype=np.float64).astype(f32))


def sigmoid(x):
    return div(1, add(1, exp(-x)))


def d_sigmoid(x):
    return mul(sigmoid(x), sub(1, sigmoid(x)))


def swish(x, beta):
    return mul(x, sigmoid(mul(x, beta)))


def d_swish(x, beta):
    return add(sigmoid(mul(x, beta)), mul(mul(x, beta), d_sigmoid(mul(x, beta))))


def step(x):
    return (flush(x) >= 0).astype(f32)


def d_telu(x):
    t = tanh(exp(x))
    return add(t, mul(mul(x, exp(x)), sub(1, mul(t, t))))


def ste(x):
    return add(mul(x, 0), 1)


ACTIVATIONS = {  # (f, df)
    "identity": (lambda x: x, ste),
    "tanh": (tanh, lambda x: sub(1, mul(tanh(x), tanh(x)))),
    "sigmoid": (sigmoid, d_sigmoid),
    "relu": (lambda x: np.maximum(x, f32(0)), step),
    "lrelu": (lambda x: np.where(x >= 0, x, mul(x, .01)), lambda x: np.where(step(x) > 0, f32(1), f32(.01))),
    "relu6": (lambda x: np.minimum(np.maximum(x, f32(0)), f32(6)), lambda x: step(x) * (x <= 6)),
    "elu": (lambda x: add(np.where(x < 0, f32(0), x), mul(sub(exp(x), 1), 1 - step(x))),
            lambda x: add(step(x), mul(1 - step(x), exp(x)))),
    "silu": (lambda x: swish(x, 1), lambda x: d_swish(x, 1)),
    "gelu": (lambda x: swish(x, 1.702), lambda x: d_swish(x, 1.702)),
    "telu": (lambda x: mul(x, tanh(exp(x))), d_telu),
    "softplus": (flushed(lambda x: np.logaddexp(x, f32(0))), sigmoid),
    "unit_threshold": (lambda x: (x >= 1).astype(f32), ste),
    "heaviside": (step, ste),
    "sine": (lambda x: flush(np.sin(mul(30, x))), lambda x: mul(30, flush(np.cos(mul(30, x))))),
}
LEAKS = {
    "gaussian": lambda z: z,
    "laplacian": sign,
    "cauchy": lambda z: div(mul(z, 2), add(1, square(z))),
    "exp": lambda z: mul(mul(exp(-square(z)), z), 2),
}
METHODS = {"midpoint": "midpoint", "rk2": "midpoint", "heun": "rk4", "rk2_heun": "rk4"}  # all others, rk4 too: Euler


class Cell:
    """A cell's compartments are cells of memory that other compartments may point to."""

    def __init__(self, args):
        self.args = args
        self.n, self.batch = args["n_units"], args.get("batch_size", 1)
        self.start = {}

    def zeros(self):
        return np.zeros((self.batch, self.n), f32)


class Error(Cell):
    def __init__(self, args, mean, scale=None):
        super().__init__(args)
        self.mean, self.scale = mean, scale
        start = {mean: 0, "d" + mean: 0, "target": 0, "dtarget": 0, "modulator": 1, "mask": 1}
        self.start = {k: self.zeros() + f32(v) for k, v in start.items()} | {"L": f32(0)}
        if scale:
            value = args.get("scale", args.get("sigma", 1.))
            self.start[scale] = np.asarray(value, f32) if isinstance(value, list) else np.full((1, 1), value, f32)
            self.start["d" + scale] = np.zeros_like(self.start[scale])

    def advance_state(self, get, put, dt):
        d, dtarget, loss = self.error(get)
        put("d" + self.mean, mul(mul(d, get("modulator")), get("mask")))
        put("dtarget", mul(mul(dtarget, get("modulator")), get("mask")))
        put("L", np.squeeze(loss))
        put("mask", ste(get("mask")))
        if self.scale:
            put("d" + self.scale, ste(get(self.scale)))

    def reset(self, get, put, dt):
        for name, value in self.start.items():
            if name != self.scale:
                put(name, value)


class Laplacian(Error):
    def __init__(self, args):
        super().__init__(args, "shift", "Scale")

    def error(self, get):
        e, scale = sign(sub(get("target"), get("shift"))), get("Scale")
        return over(e, scale), -over(e, scale), mul(-total(np.abs(e)), div(1, scale))


class Gaussian(Error):
    def __init__(self, args):
        super().__init__(args, "mu", "Sigma")

    def error(self, get):
        e, scale = sub(get("target"), get("mu")), get("Sigma")
        return over(e, scale), -over(e, scale), mul(-total(square(e)), div(.5, scale))


class Bernoulli(Error):
    def __init__(self, args):
        super().__init__(args, "p")

    def error(self, get):
        p, x = get("p"), get("target")
        logits = self.args.get("input_logits", False)
        q = np.clip(sigmoid(p) if logits else p, f32(.0001), f32(1 - .0001))
        lp, ln = log(q), log(sub(1, q))
        loss = total(add(mul(lp, x), mul(ln, sub(1, x))))
        d = sub(x, q) if logits else mul(sub(div(x, q), div(sub(1, x), sub(1, q))), d_sigmoid(p))
        return d, sub(lp, ln), loss


class Reward(Cell):
    def __init__(self, args):
        super().__init__(args)
        self.start = {k: self.zeros() for k in ("mu", "reward", "rpe", "accum_reward")}
        self.start["n_ep_steps"] = np.zeros((self.batch, 1), f32)

    def advance_state(self, get, put, dt):
        mu, r, alpha = get("mu"), get("reward"), self.args["alpha"]
        put("rpe", sub(r, mu))
        if self.args.get("use_online_predictor", True):
            put("mu", add(mul(mu, 1 - alpha), mul(r, alpha)))
        put("n_ep_steps", get("n_ep_steps") + f32(1))
        put("accum_reward", add(get("accum_reward"), r))

    def evolve(self, get, put, dt):
        if self.args.get("use_online_predictor", True):
            w = 1 / self.args.get("ema_window_len", 10)
            put("mu", add(mul(1 - w, get("mu")), mul(w, div(get("accum_reward"), get("n_ep_steps")))))

    def reset(self, get, put, dt):
        for name, value in self.start.items():
            if name != "reward":
                put(name, value)


class Rate(Cell):
    def __init__(self, args):
        super().__init__(args)
        self.start = {k: self.zeros() for k in ("j", "j_td", "z", "zF")}
        self.f, self.df = ACTIVATIONS[args.get("act_fx", "identity")]
        tau = args["tau_m"]
        self.stateful = args.get("is_stateful", True) and not (isinstance(tau, float) and tau <= 0)

    def advance_state(self, get, put, dt):
        a, j, j_td, z = self.args, get("j"), get("j_td"), get("z")
        if self.stateful:
            j = mul(mul(j, self.df(z)), a.get("resist_scale", 1.))
            prior, leak = a.get("prior", ["gaussian", 0.])
            rate = lambda z: mul(add(mul(-LEAKS.get(prior, LEAKS["gaussian"])(z), leak), add(j, j_td)), div(1, a["tau_m"]))
            method = METHODS.get(a.get("integration_type"), "euler")
            forward = lambda k, h: add(z, mul(k, h))
            k1 = rate(z)
            if method == "midpoint":
                k1 = rate(forward(k1, dt / 2))
            elif method == "rk4":
                k2 = rate(forward(k1, dt / 2))
                k3 = rate(forward(k2, dt / 2))
                k4 = rate(forward(k3, dt))
                k1 = div(add(add(add(k1, mul(2, k2)), mul(2, k3)), k4), 6)
            z = forward(k1, dt)
            kind, bound = a.get("threshold", ["none", 0.])
            if kind == "soft_threshold":
                z = sub(np.maximum(sub(z, bound), f32(0)), np.maximum(sub(-z, bound), f32(0)))
        else:
            z = add(j, j_td)
        zF = mul(self.f(z), a.get("output_scale", 1.))
        put("j", j)
        put("j_td", j_td)
        put("z", z)
        put("zF", zF)

    def reset(self, get, put, dt):
        for name, value in self.start.items():
            put(name, value)


class Relay(Cell):
    def __init__(self, args):
        super().__init__(args)
        self.start = {"inputs": self.zeros(), "outputs": self.zeros(), "constant": np.full((1, 1), args.get("constant", 1.), f32)}

    def advance_state(self, get, put, dt):
        put("outputs", get("inputs"))


CELLS = {"LaplacianErrorCell": Laplacian, "GaussianErrorCell": Gaussian, "BernoulliErrorCell": Bernoulli,
         "RewardErrorCell": Reward, "RateCell": Rate, "Relay": Relay}


def run(case, arrays):
    """Yields (step, name, value) of the outputs."""
    cells = {c["name"]: CELLS[c["cell"]](c["args"]) for c in case["components"]}
    memory = {f"{c}.{k}": v for c, cell in cells.items() for k, v in cell.start.items()}
    points = {k: k for k in memory}  # what a compartment is wired to: a name, or an operation

    def resolved(source):
        if isinstance(source, str):
            return points[source]
        return {"op": source["op"], "from": [resolved(s) for s in source["from"]]}

    def read(place):
        if isinstance(place, str):
            return memory[place]
        values = [read(p) for p in place["from"]]
        combine = add if place["op"] == "Summation" else mul
        value = values[0]
        for other in values[1:]:
            value = combine(value, other)
        return value

    for wire in case["wires"]:
        points[wire["to"]] = resolved(wire["from"])  # what the source points to now, not later
    for step, call in enumerate(case["calls"]):
        for name, steps in case["inputs"].items():
            if step in steps and points[name] == name:  # by hand, a wired compartment cannot be set
                memory[name] = arrays["in." + name][steps.index(step)]
        for method in case["processes"][call]:
            cell, called = method.split(".")
            if called == "reset" and case["compiled"] and isinstance(cells[cell], (Laplacian, Bernoulli)):
                continue  # in ngc-learn it does nothing

            def put(name, value):
                name = f"{cell}.{name}"
                if case["compiled"] or points[name] == name:
                    memory[points[name]] = value  # through the wire

            # A method reads everything before it sets anything.
            held = {k: read(points[f"{cell}.{k}"]) for k in cells[cell].start}
            getattr(cells[cell], called)(held.__getitem__, put, case["dt"])
        for name in case["outputs"]:
            value = read(points[name])
            # Outside of a process a Summation begins with 0, so that -0 comes out as 0.
            yield step, name, value if isinstance(points[name], str) else add(value, 0)


def difference(got, want):
    """0 for the same bits (any NaN is any NaN, a subnormal is a zero), else how far off."""
    got, want = np.broadcast_arrays(flush(got), flush(want))
    same = (got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
    if same.all():
        return 0.
    got, want = got[~same].astype(np.float64), want[~same].astype(np.float64)
    d = np.abs(got - want) / np.maximum(1, np.abs(want))
    return max(float(np.max(np.where(np.isnan(d), np.inf, d))), 5e-324)


def main():
    index = json.loads((HERE / "index.json").read_text())
    counts, worst, off = Counter(), [], []
    for case in index["cases"]:
        with np.load(HERE / case["file"]) as archive:
            arrays = {k: archive[k] for k in archive.files}
        assert set(arrays) == {"in." + k for k in case["inputs"]} | {"out." + k for k in case["outputs"]}, case["file"]
        assert all(a.dtype == f32 for a in arrays.values()), case["file"]
        assert case["steps"] == len(case["calls"]) and all(len(arrays["out." + k]) == case["steps"] for k in case["outputs"])
        far = {}
        for step, name, value in run(case, arrays):
            want = arrays["out." + name][step]
            if np.shape(value) != want.shape:
                off.append((case["file"], name, step, np.shape(value), want.shape))
                continue
            far[name] = max(far.get(name, 0), difference(value, want))
        for name, d in far.items():
            counts["the same bits" if d == 0 else "within 1e-6" if d <= 1e-6 else "further off"] += 1
            if d > 1e-6:
                worst.append((d, case["file"], name))
    print(len(index["cases"]), "cases;", ", ".join(f"{n} outputs {k}" for k, n in counts.items()))
    for d, file, name in sorted(worst, reverse=True):
        print(f"  {d:.2g}  {file}  {name}")
    for o in off:
        print("  shape", *o)


if __name__ == "__main__":
    main()
