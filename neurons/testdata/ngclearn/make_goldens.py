"""Records what the real ngc-learn computes, for the tests of the Go cells.

Run with the versions of requirements.txt:

    python make_goldens.py                 writes the .npz files and index.json beside this script
    python make_goldens.py --out FOLDER    writes them elsewhere
    python make_goldens.py --out FOLDER --eager
                                           runs the processes without jax.jit, to compare

README.md says what is in the files. check_goldens.py recomputes them with NumPy.
"""

import argparse
import json
import os
import platform
import sys
import zlib
from importlib.metadata import version
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
sys_argv, sys.argv = sys.argv, sys.argv[:1]  # ngc-learn reads the arguments when it is imported

import jax.numpy as jnp
import numpy as np
from ngclearn import Context, MethodProcess, Product, Summation, compilable, Compartment
from ngclearn.components import (BernoulliErrorCell, GaussianErrorCell, LaplacianErrorCell,
                                 RateCell, RewardErrorCell)
from ngclearn.components.jaxComponent import JaxComponent
from ngcsimlib.context import contextManager
from ngcsimlib.global_state import stateManager
from jax import random

sys.argv = sys_argv
f32 = np.float32


class Relay(JaxComponent):
    """Copies `inputs` to `outputs`. Of this script, not of ngc-learn: neither the
    rate cell nor an error cell can have a Summation wired into it (see failures).
    `constant` is a number that an operation can multiply by."""

    def __init__(self, name, n_units, batch_size=1, constant=1., **kwargs):
        super().__init__(name, **kwargs)
        self.inputs = Compartment(jnp.zeros((batch_size, n_units)))
        self.outputs = Compartment(jnp.zeros((batch_size, n_units)))
        self.constant = Compartment(jnp.full((1, 1), constant))

    @compilable
    def advance_state(self):
        self.outputs.set(self.inputs.get())


CELLS = {c.__name__: c for c in (LaplacianErrorCell, GaussianErrorCell, BernoulliErrorCell,
                                 RewardErrorCell, RateCell, Relay)}
OPS = {"Summation": Summation, "Product": Product}


# ---- running a case -------------------------------------------------------------------------

def build(args):
    """The constructor's arguments as ngc-learn wants them: rows as arrays, pairs as tuples."""
    made = {}
    for name, value in args.items():
        if name in ("scale", "sigma") and isinstance(value, list):
            value = jnp.asarray(value, jnp.float32)
        elif isinstance(value, list):
            value = tuple(value)
        made[name] = value
    return made


def assemble(case, eager, number):
    """The context of a case: its components, wires and compiled processes."""
    with Context(f"case{number}") as context:
        cells = {c["name"]: CELLS[c["cell"]](c["name"], key=random.PRNGKey(0), **build(c["args"]))
                 for c in case["components"]}

        def compartment(path):
            cell, name = path.split(".")
            return getattr(cells[cell], name)

        def source(what):
            if isinstance(what, str):
                return compartment(what)
            return OPS[what["op"]](*[source(s) for s in what["from"]])

        for wire in case["wires"]:
            source(wire["from"]) >> compartment(wire["to"])
        processes = {}
        for name, methods in case["processes"].items():
            processes[name] = MethodProcess(name, use_jit=not eager)
            for method in methods:
                cell, called = method.split(".")
                processes[name].then(getattr(cells[cell], called))
    return context, cells, compartment, processes


def record(case, eager, number):
    """Runs a case and adds its outputs, stacked by step."""
    context, cells, compartment, processes = assemble(case, eager, number)
    seen = {name: [] for name in case["outputs"]}
    for step, call in enumerate(case["calls"]):
        for name, steps in case["inputs"].items():
            if step in steps:
                compartment(name).set(jnp.asarray(case["arrays"]["in." + name][steps.index(step)]))
        if case["compiled"]:
            # The state of this case alone: the global one has that of every case so far.
            state = {k: v for k, v in stateManager.state.items() if k.startswith(context.path + ":")}
            keywords = {"dt": case["dt"]} if processes[call].get_keywords() else {}
            processes[call].run(state=state, **keywords)
        else:
            for method in case["processes"][call]:
                cell, called = method.split(".")
                getattr(cells[cell], called)(*([] if called == "reset" else [case["dt"]]))
        for name in seen:
            value = np.asarray(compartment(name).get())
            if value.shape == () and value.dtype == np.float64:
                value = value.astype(f32)  # L is a Python number until the first step
            assert value.dtype == f32, (case["file"], name, value.dtype)
            seen[name].append(value)
    for name, values in seen.items():
        case["arrays"]["out." + name] = np.stack(values)


# ---- describing cases -----------------------------------------------------------------------

CASES = []


def add(group, name, components, inputs, outputs, calls, processes, dt=1., wires=(), note="", compiled=True):
    """inputs: {compartment: (steps, arrays)}; the arrays are set before those steps."""
    case = {
        "file": f"{group}_{name}.npz", "group": group, "note": note, "compiled": compiled,
        "components": components, "wires": list(wires), "processes": processes,
        "dt": float(dt), "steps": len(calls), "calls": calls,
        "inputs": {k: list(s) for k, (s, _) in inputs.items()}, "outputs": list(outputs),
        "arrays": {"in." + k: np.stack([np.asarray(a, f32) for a in arrays]) for k, (_, arrays) in inputs.items()},
    }
    assert case["file"] not in [c["file"] for c in CASES], case["file"]
    CASES.append(case)


def single(group, name, cell, args, inputs, outputs, calls=("advance_state",), dt=1., note="", **more):
    """A case of one cell, named "cell"; every process is one method."""
    add(group, name, [{"name": "cell", "cell": cell, "args": args}],
        {"cell." + k: v for k, v in inputs.items()}, ["cell." + o for o in outputs],
        list(calls), {m: ["cell." + m] for m in dict.fromkeys(calls)}, dt, note=note, **more)


def once(array):
    return [0], [array]


def rng_of(name):
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def normal(rng, *shape, spread=1.):
    return (rng.standard_normal(shape) * spread).astype(f32)


SHAPES = [(b, n) for b in (1, 7) for n in (1, 3, 10, 33)]
SMALLEST = f32(1e-45)
TINY = np.finfo(f32).tiny
HUGE = np.finfo(f32).max
FINITE = np.array([0., -0., 1., -1., 0.5, -2.75, 1 + 2.**-23, 16777216., 1e30, -1e30, TINY, -TINY,
                   SMALLEST, -SMALLEST, 1e-40, -1e-40], f32)
SPECIAL = np.concatenate([FINITE, np.array([HUGE, -HUGE, np.inf, -np.inf, np.nan], f32)])
ORDINARY = np.array([0., -0., .25, -.25, 1., -1., 2., -2., 6., 6.5, 10., -10., 40., -40., 87., -87., 88., -88.,
                     89., -89., 104., -104., 1e4, -1e4], f32)


def error_names(cell):
    return {"LaplacianErrorCell": ("laplacian", "shift", "Scale", "scale", "dshift", "dScale"),
            "GaussianErrorCell": ("gaussian", "mu", "Sigma", "sigma", "dmu", "dSigma"),
            "BernoulliErrorCell": ("bernoulli", "p", None, None, "dp", None)}[cell]


def error_inputs(rng, cell, args, b, n):
    """A prediction and a target, equal in a tenth of the units."""
    predicted, target = normal(rng, b, n), normal(rng, b, n)
    if cell == "BernoulliErrorCell":
        target = (rng.random((b, n)) < .5).astype(f32)
        target[rng.random((b, n)) < .2] = .25
        if not args.get("input_logits"):
            predicted = rng.random((b, n)).astype(f32)
    else:
        target = np.where(rng.random((b, n)) < .1, predicted, target)
    return predicted, target


def error_cells():
    for cell in ("LaplacianErrorCell", "GaussianErrorCell", "BernoulliErrorCell"):
        group, mean, scale, scale_arg, dmean, dscale = error_names(cell)
        outputs = [dmean, "dtarget", "L", "mask"] + ([dscale] if dscale else [])
        variants = ("logits", "probs") if cell == "BernoulliErrorCell" else ("scalar", "row")
        combo = 0
        for variant in variants:
            for masked in (False, True):
                for modulated in (False, True):
                    # Half of the shapes for each combination: every one has both batches and all widths.
                    for i, (b, n) in enumerate(SHAPES):
                        if (i % 4 + i // 4 + combo) % 2:
                            continue
                        name = f"{variant}{'_mask' if masked else ''}{'_mod' if modulated else ''}_{b}x{n}"
                        rng = rng_of(group + name)
                        args = {"n_units": n, "batch_size": b}
                        if variant == "scalar":
                            args[scale_arg] = float(f32(rng.uniform(.4, 2.5)))
                        if variant == "row":
                            args[scale_arg] = [[float(x) for x in rng.uniform(.4, 2.5, n).astype(f32)]]
                        if variant in ("logits", "probs"):
                            args["input_logits"] = variant == "logits"
                        predicted, target = error_inputs(rng, cell, args, b, n)
                        inputs = {mean: once(predicted), "target": once(target)}
                        if masked:
                            inputs["mask"] = once((rng.random((b, n)) < .6).astype(f32))
                        if modulated:
                            inputs["modulator"] = once(normal(rng, b, n))
                        calls = ["advance_state"] * (2 if masked else 1)
                        single(group, name, cell, args, inputs, outputs + (["modulator"] if modulated else []), calls,
                               note="the second step has no mask: the first has eaten it" if masked else "")
                    combo += 1

        # Operands of other shapes.
        rng = rng_of(group + "broadcast")
        for name, shape in (("row", (1, 3)), ("col", (7, 1)), ("one", (1, 1))):
            args = {"n_units": 3, "batch_size": 7}
            predicted, target = error_inputs(rng, cell, args, 7, 3)
            single(group, "modulator_" + name, cell, args,
                   {mean: once(predicted), "target": once(target), "modulator": once(normal(rng, *shape))},
                   outputs + ["modulator"], note="a modulator that broadcasts")
        args = {"n_units": 3, "batch_size": 7}
        predicted, target = error_inputs(rng, cell, args, 7, 3)
        single(group, f"{mean}_row", cell, args, {mean: once(predicted[:1]), "target": once(target)}, outputs,
               note="a prediction that broadcasts")
        args = {"n_units": 3, "batch_size": 1}
        single(group, "larger_batch", cell, args,
               {mean: once(predicted), "target": once(target), "mask": once(np.ones((7, 3)))}, outputs,
               ["advance_state", "advance_state"],
               note="a batch other than the constructor's: it is that of what is set; the old modulator broadcasts")
        for name, compiled in (("reset", True), ("reset_direct", False)):
            nothing = compiled and cell != "GaussianErrorCell"
            single(group, name, cell, args,
                   {mean: once(predicted[:1]), "target": once(target[:1]), "modulator": once(target[:1] + 2),
                    "mask": ([0, 1], [np.zeros((1, 3)), np.zeros((1, 3))])},
                   outputs + [mean, "target", "modulator"], ["advance_state", "reset"], compiled=compiled,
                   note="the reset of this cell does nothing in a compiled process" if nothing else
                   "what reset clears" if compiled else "what reset clears, called directly")
        if scale:
            predicted, target = error_inputs(rng, cell, args, 7, 3)
            single(group, "scale_full", cell, {"n_units": 3, "batch_size": 7},
                   {mean: once(predicted), "target": once(target), scale: once(rng.uniform(.4, 2.5, (7, 3)))}, outputs,
                   note="a predicted scale for each unit of each pattern: L has the shape of the scale")
            single(group, "scale_col", cell, {"n_units": 3, "batch_size": 7},
                   {mean: once(predicted), "target": once(target), scale: once(rng.uniform(.4, 2.5, (7, 1)))}, outputs,
                   note="a predicted scale for each pattern: L has one number a pattern, each from the sum of all")

        # Special values: each with each.
        for name, values in (("special", SPECIAL), ("finite_special", FINITE)):
            k = len(values)
            for variant in variants if cell == "BernoulliErrorCell" else ("",):
                args = {"n_units": k, "batch_size": k}
                if variant:
                    args["input_logits"] = variant == "logits"
                single(group, "_".join(filter(None, (name, variant))), cell, args,
                       {mean: once(np.tile(values, (k, 1))), "target": once(np.tile(values[:, None], (1, k)))},
                       [o for o in outputs if o != "L" or cell == "LaplacianErrorCell" or name == "special"],
                       note="special values, each with each")
        k = len(SPECIAL)
        for what in ("mask", "modulator") + ((scale,) if scale else ()):
            args = {"n_units": k, "batch_size": 4}
            predicted, target = error_inputs(rng, cell, args, 4, k)
            predicted[0], target[0] = SPECIAL, .5
            target[1] = predicted[1]
            rows = 1 if what == scale else 4
            inputs = {mean: once(predicted), "target": once(target), what: once(np.tile(SPECIAL, (rows, 1)))}
            single(group, f"special_{what.lower()}", cell, args, inputs, outputs + (["modulator"] if what == "modulator" else []),
                   note="special values of the " + what.lower())
        args = {"n_units": k, "batch_size": k}
        predicted, target = error_inputs(rng, cell, args, k, k)
        single(group, "special_mask_modulator", cell, args,
               {mean: once(predicted), "target": once(target), "mask": once(np.tile(SPECIAL, (k, 1))),
                "modulator": once(np.tile(SPECIAL[:, None], (1, k)))}, [dmean, "dtarget"],
               note="special values of the mask and the modulator, each with each: which is multiplied first")
        if cell == "BernoulliErrorCell":
            p = np.array([[0., -0., 1e-5, 1e-4, 1.0001e-4, .3, .5, .9, .9998, .9999, .99991, 1., 1.5, -1.]], f32)
            for variant in variants:
                single(group, "bounds_" + variant, cell,
                       {"n_units": p.size, "batch_size": 2, "input_logits": variant == "logits"},
                       {"p": once(np.repeat(p, 2, 0)), "target": once(np.repeat([[0.], [1.]], p.size, 1))}, outputs,
                       note="about the bounds of 0.0001 and 0.9999")
            single(group, "large_logits", cell, {"n_units": ORDINARY.size, "batch_size": 2, "input_logits": True},
                   {"p": once(np.repeat(ORDINARY[None], 2, 0)),
                    "target": once(np.repeat([[0.], [1.]], ORDINARY.size, 1))}, outputs, note="large logits")


def reward_cells():
    outputs = ["mu", "rpe", "accum_reward", "n_ep_steps", "reward"]
    calls = (["advance_state"] * 4 + ["evolve"] + ["advance_state"] * 3 + ["evolve", "evolve", "reset"] +
             ["advance_state"] * 2 + ["evolve"])
    for i, (b, n) in enumerate(SHAPES):
        for online in (True, False):
            name = f"{'online' if online else 'offline'}_{b}x{n}"
            rng = rng_of("reward" + name)
            steps = [s for s, c in enumerate(calls) if c == "advance_state" and s != 6]
            args = {"n_units": n, "batch_size": b, "alpha": [.03, .25, .1, .5][i % 4], "ema_window_len": [10, 4, 7, 3][i % 4],
                    "use_online_predictor": online}
            single("reward", name, "RewardErrorCell", args,
                   {"reward": (steps, [normal(rng, b, n) for _ in steps])}, outputs, calls,
                   note="" if online else "evolve does nothing")
    single("reward", "evolve_first", "RewardErrorCell", {"n_units": 3, "batch_size": 1, "alpha": .1}, {}, outputs,
           ["evolve", "advance_state"], note="evolve before the first step divides 0 by 0")
    single("reward", "special", "RewardErrorCell", {"n_units": len(SPECIAL), "batch_size": 1, "alpha": .25},
           {"reward": ([0, 1], [SPECIAL[None], SPECIAL[None, ::-1]])}, outputs,
           ["advance_state", "advance_state", "evolve"], note="special values")


ACTIVATIONS = ["identity", "tanh", "sigmoid", "relu", "lrelu", "relu6", "elu", "silu", "gelu", "telu", "softplus",
               "unit_threshold", "heaviside", "sine"]
PRIORS = ["gaussian", "laplacian", "cauchy", "exp"]
RATE = ["z", "zF", "j", "j_td"]


def rate(name, b, n, steps=5, dt=1., note="", z=None, j=None, j_td=True, outputs=RATE, j_steps=None, **args):
    rng = rng_of("rate" + name)
    args = {"n_units": n, "batch_size": b, **args}
    if args.get("act_fx") == "sine":
        args["omega_0"] = args.get("omega_0", 30)
    inputs = {}
    if z is not None:
        inputs["z"] = once(z)
    j_steps = list(range(steps)) if j_steps is None else j_steps
    inputs["j"] = (j_steps, [normal(rng, b, n) for _ in j_steps] if j is None else [j for _ in j_steps])
    if j_td:
        inputs["j_td"] = (list(range(steps)), [normal(rng, b, n) for _ in range(steps)])
    single("rate", name, "RateCell", args, inputs, outputs, ["advance_state"] * steps, dt, note)


def rate_cells():
    def start(name, b, n):
        return normal(rng_of("start" + name), b, n)

    for i, act in enumerate(ACTIVATIONS):
        b, n = SHAPES[(3 * i + 2) % len(SHAPES)]
        # These two would magnify a last bit: slowly, and for telu near 0.
        slow, near = {"sine": (1000., 1.), "telu": (100., .3)}.get(act, (10., 1.))
        rate(f"{act}_{b}x{n}", b, n, act_fx=act, tau_m=slow, z=start(act, b, n) * f32(near))
        b, n = SHAPES[(3 * i + 5) % len(SHAPES)]
        rate(f"stateless_{act}_{b}x{n}", b, n, steps=2, act_fx=act, tau_m=0., note="stateless")
        for what, values in (("special", SPECIAL), ("range", ORDINARY)):
            n = len(values)
            rate(f"stateless_{act}_{what}", 1, n, steps=1, act_fx=act, tau_m=0., j=values[None], j_td=False,
                 note="zF is the activation of j")
            rate(f"{act}_{what}", 1, n, steps=1, act_fx=act, tau_m=10., z=values[None], j=np.ones((1, n)), j_td=False,
                 outputs=["z", "zF", "j"], note="j becomes the derivative of the activation at the old z")
    for prior in PRIORS:
        for method in ("euler", "midpoint", "rk4", "heun"):
            note = {"rk4": "asked for rk4, ngc-learn runs Euler", "heun": "asked for heun, ngc-learn runs RK4"}.get(method, "")
            z = start(prior + method, 7, 3)
            z[0] = [0., -0., 1.5]
            rate(f"{prior}_{method}", 7, 3, dt=2., tau_m=5., prior=[prior, .4], integration_type=method, z=z, note=note)
        rate(f"prior_{prior}_special", 1, len(SPECIAL), steps=1, tau_m=5., prior=[prior, .4], z=SPECIAL[None],
             j=np.zeros((1, len(SPECIAL))), j_td=False, note="special values of z")
    for method, note in (("rk2", "the same as midpoint"), ("ralston", "asked for ralston, ngc-learn runs Euler"),
                         ("rk2_ralston", "asked for ralston, ngc-learn runs Euler"),
                         ("rk2_heun", "asked for heun, ngc-learn runs RK4"),
                         ("rk1", "ngc-learn prints an error and runs Euler"),
                         ("something", "ngc-learn prints an error and runs Euler")):
        rate(f"cauchy_{method}", 7, 3, dt=2., tau_m=5., prior=["cauchy", .4], integration_type=method,
             z=start("cauchy" + method, 7, 3), note=note)
    for act in ("tanh", "relu"):
        rate(f"soft_threshold_{act}", 7, 10, tau_m=10., act_fx=act, threshold=["soft_threshold", .05], z=start(act, 7, 10))
    rate("soft_threshold_special", 1, len(SPECIAL), steps=1, tau_m=10., threshold=["soft_threshold", .5],
         z=SPECIAL[None], j=np.zeros((1, len(SPECIAL))), j_td=False, note="special values of z")
    rate("soft_threshold_midpoint", 1, 10, tau_m=10., prior=["laplacian", .2], threshold=["soft_threshold", .1],
         integration_type="midpoint", z=start("stm", 1, 10))
    rate("output_scale", 7, 10, tau_m=20., act_fx="sigmoid", output_scale=2.5, z=start("os", 7, 10), dt=.5)
    rate("stateless_output_scale", 1, 33, steps=2, tau_m=0., act_fx="tanh", output_scale=-.3)
    rate("resist_scale", 7, 10, tau_m=20., act_fx="tanh", resist_scale=.7, z=start("rs", 7, 10), dt=.5)
    rate("stateless_resist_scale", 1, 10, steps=2, tau_m=0., resist_scale=.7, note="stateless: resist_scale does nothing")
    rate("all", 7, 33, tau_m=12.5, dt=.3, act_fx="elu", prior=["exp", .2], threshold=["soft_threshold", .01],
         integration_type="midpoint", output_scale=1.5, resist_scale=.8, z=start("all", 7, 33))
    rate("j_kept", 1, 3, steps=6, tau_m=10., act_fx="tanh", resist_scale=.5, z=start("jk", 1, 3), j_steps=[0],
         note="j is set once and not wired: each step leaves it modulated, so that it fades")
    rate("not_stateful", 1, 3, steps=2, tau_m=10., is_stateful=False, note="stateless by is_stateful")
    rate("tau_negative", 1, 3, steps=2, tau_m=-1., note="tau_m of zero and below is stateless")
    rate("tau_integer_zero", 1, 3, steps=2, tau_m=0, note="an integer 0 is stateful and divides by 0")
    rate("unknown_prior", 1, 3, tau_m=10., prior=["lognormal", .4], z=start("up", 1, 3), note="an unknown prior is Gaussian")
    rate("unknown_threshold", 1, 3, tau_m=10., threshold=["hard", .4], z=start("ut", 1, 3), note="an unknown threshold is none")
    rate("sine_omega_2", 1, 3, steps=2, tau_m=0., act_fx="sine", omega_0=2., note="omega_0 is demanded and ignored: it is 30")
    z = start("reset", 1, 3)
    single("rate", "reset", "RateCell", {"n_units": 3, "tau_m": 10.}, {"z": once(z), "j": once(z), "j_td": once(z)}, RATE,
           ["advance_state", "reset", "advance_state"], note="what reset clears")


# ---- circuits -------------------------------------------------------------------------------

def cell_of(name, cell, **args):
    return {"name": name, "cell": cell, "args": args}


def wire(source, to):
    return {"from": source, "to": to}


def op(name, *sources):
    return {"op": name, "from": list(sources)}


def circuits():
    b, n, steps = 3, 5, 50
    run = ["run"] * steps
    every = list(range(steps))

    def masks(rng):
        return [(rng.random((b, n)) < .7).astype(f32) for _ in every]

    def gaussian(name, order=("z1", "e0"), masked=False, modulated=False, note="", sigma=1., dt=1., **args):
        rng = rng_of("circuit" + name)
        inputs = {"e0.target": once(normal(rng, b, n))}
        if masked:
            inputs["e0.mask"] = (every, masks(rng)) if masked == "every" else ([0, 25], masks(rng)[:2])
        if modulated:
            inputs["e0.modulator"] = once(rng.uniform(.2, 1.5, (b, n)))
        add("circuit", name,
            [cell_of("z1", "RateCell", n_units=n, batch_size=b, tau_m=10., **args),
             cell_of("e0", "GaussianErrorCell", n_units=n, batch_size=b, sigma=sigma)],
            inputs, ["z1.z", "z1.zF", "z1.j", "e0.mu", "e0.dmu", "e0.dtarget", "e0.L", "e0.mask"], run,
            {"run": [c + ".advance_state" for c in order]}, dt, [wire("z1.zF", "e0.mu"), wire("e0.dmu", "z1.j")], note)

    gaussian("gaussian")
    gaussian("gaussian_tanh", act_fx="tanh")
    gaussian("gaussian_tanh_mask", act_fx="tanh", masked="every", note="a mask before every step")
    gaussian("gaussian_mask_twice", masked="twice", note="a mask before steps 0 and 25 only: it holds for one step")
    gaussian("gaussian_modulator", modulated=True, sigma=.5, dt=.5, resist_scale=.8)
    gaussian("gaussian_error_first", order=("e0", "z1"), act_fx="tanh", resist_scale=.5, masked="every",
             note="the rate cell runs last and leaves the modulated j in e0.dmu, to which its j is wired")
    gaussian("gaussian_all", sigma=[[.5, 2., 1., .25, 1.5]], act_fx="sigmoid", output_scale=2., prior=["laplacian", .05],
             threshold=["soft_threshold", .01], integration_type="midpoint", masked="every", modulated=True)

    def layers(name, form, order, masked=False, act="identity", scale=1., tau=8., note="", outputs=()):
        rng = rng_of("circuit" + name)
        inputs = {"e0.target": once(normal(rng, b, n, spread=1.5)), "z2.z": once(np.round(normal(rng, b, n) * 8) / 8),
                  "z2.zF": once(np.zeros((b, n)))}
        if masked:
            inputs["e0.mask"] = (every, masks(rng))
            inputs["e1.mask"] = (every, masks(rng))
        size = {"n_units": n, "batch_size": b}
        components = [cell_of("z2", "RateCell", tau_m=tau, act_fx=act, **size),
                      cell_of("z1", "RateCell", tau_m=tau, act_fx=act, **size),
                      cell_of("e1", "LaplacianErrorCell", scale=scale, **size),
                      cell_of("e0", "LaplacianErrorCell", scale=scale, **size)]
        wires = [wire("z2.zF", "e1.shift"), wire("z1.zF", "e1.target"), wire("z1.zF", "e0.shift")]
        if form == "two_inputs":
            wires += [wire("e1.dshift", "z2.j"), wire("e0.dshift", "z1.j"), wire("e1.dtarget", "z1.j_td")]
        else:
            pull = "e1.dtarget"
            if form == "negation":
                components.append(cell_of("minus", "Relay", n_units=1, constant=-1.))
                pull = op("Product", "minus.constant", "e1.dshift")
            components += [cell_of("sum", "Relay", **size), cell_of("copy", "Relay", **size)]
            wires += [wire(op("Summation", "e0.dshift", pull), "sum.inputs"), wire("sum.outputs", "z1.j"),
                      wire("e1.dshift", "copy.inputs"), wire("copy.outputs", "z2.j")]
        add("circuit", name, components, inputs,
            ["z2.z", "z2.zF", "z1.z", "z1.zF", "e1.dshift", "e1.dtarget", "e1.L", "e0.dshift", "e0.L", "e0.mask", *outputs],
            run, {"run": [c + ".advance_state" for c in order]}, 1., wires, note)

    natural = ("z2", "z1", "e1", "e0")
    exact = "each number is a multiple of a power of two and exact, whatever the order of rounding"
    layers("laplacian", "two_inputs", natural, note="e0 into z1.j and e1 into z1.j_td; " + exact)
    layers("laplacian_mask", "two_inputs", natural, masked=True, scale=.5, note=exact)
    layers("laplacian_tanh", "two_inputs", natural, act="tanh", tau=10., note="j is modulated, j_td is not")
    layers("laplacian_errors_first", "two_inputs", ("e0", "e1", "z1", "z2"), note=exact)
    layers("laplacian_mixed_order", "two_inputs", ("e1", "z2", "e0", "z1"), masked=True, note=exact)
    summed = ("copy", "sum") + natural
    layers("laplacian_sum", "summation", summed, outputs=["sum.inputs", "sum.outputs"],
           note="both errors through a Summation into z1.j; " + exact)
    layers("laplacian_sum_mask", "summation", summed, masked=True, outputs=["sum.inputs", "sum.outputs"], note=exact)
    layers("laplacian_negation", "negation", summed, outputs=["sum.inputs", "sum.outputs"],
           note="e1.dshift times -1 by a Product in place of e1.dtarget; " + exact)
    layers("laplacian_negation_mask", "negation", summed, masked=True, outputs=["sum.inputs", "sum.outputs"], note=exact)


def odd():
    ones = np.ones((1, 3), f32)
    pair = [cell_of("z", "RateCell", n_units=3, tau_m=10., act_fx="tanh", resist_scale=.5),
            cell_of("e", "GaussianErrorCell", n_units=3)]
    wires = [wire("z.zF", "e.mu"), wire("e.dmu", "z.j")]
    begin = {"e.dmu": once(4 * ones), "z.z": once(ones / 2), "e.target": once([[1., 2., 3.]])}
    outputs = ["z.j", "z.z", "z.zF", "e.mu", "e.dmu"]
    add("odd", "set_in_a_process", pair, begin, outputs, ["run"] * 3, {"run": ["z.advance_state"]}, 1., wires,
        "z.j is wired to e.dmu: what z sets in a compiled process goes into e.dmu, and fades there")
    add("odd", "set_by_a_direct_call", pair, begin, outputs, ["run"] * 3, {"run": ["z.advance_state"]}, 1., wires,
        "the same without a compiled process: what z sets is dropped, e.dmu stays", compiled=False)
    add("odd", "set_by_hand", pair, {**begin, "z.j": once(9 * ones), "e.mu": ([0, 1], [9 * ones, 8 * ones])}, outputs,
        ["run"] * 2, {"run": ["e.advance_state"]}, 1., wires,
        "z.j and e.mu are set by hand though they are wired: it is dropped without a word")
    add("odd", "reset_through_a_wire", pair, {**begin, "z.zF": once(ones)}, outputs + ["e.target"], ["reset"],
        {"reset": ["e.reset"]}, 1., wires, "only e is reset, but its mu is wired to z.zF: that becomes zero too")
    chain = [cell_of(c, "RateCell", n_units=1, tau_m=0.) for c in "abcd"]
    line = [wire("a.zF", "b.j"), wire("b.zF", "c.j"), wire("c.zF", "d.j")]
    numbers = {"a.j": ([0, 1, 2, 3, 4], [[[s]] for s in (1., 2., 3., 4., 5.)])}
    seen = ["a.zF", "b.zF", "c.zF", "d.zF"]
    for order in ("abcd", "dcba", "bdac"):
        add("odd", "order_" + order, chain, numbers, seen, ["run"] * 5, {"run": [c + ".advance_state" for c in order]}, 1.,
            line, "a wire delivers the newest value: how far a number comes in a step depends on the order of the methods")
    three = chain[:3]
    add("odd", "wire_of_a_wired", three, {"a.j": once([[5.]])}, ["a.zF", "b.j", "c.j", "c.zF"], ["run"],
        {"run": ["a.advance_state", "b.advance_state", "c.advance_state"]}, 1., [wire("a.zF", "b.j"), wire("b.j", "c.j")],
        "c.j is wired to b.j, which is wired: it follows a.zF")
    add("odd", "wire_before_the_source_is_wired", three, {"a.j": once([[5.]])}, ["a.zF", "b.j", "c.j", "c.zF"], ["run"],
        {"run": ["a.advance_state", "b.advance_state", "c.advance_state"]}, 1., [wire("b.j", "c.j"), wire("a.zF", "b.j")],
        "the same wires in the other order: c.j stays with b.j's own old value")
    add("odd", "two_wires", three, {"a.j": once([[5.]]), "b.j": once([[7.]])}, ["a.zF", "b.zF", "c.zF"], ["run"],
        {"run": ["a.advance_state", "b.advance_state", "c.advance_state"]}, 1., [wire("a.zF", "c.j"), wire("b.zF", "c.j")],
        "two wires into one compartment: the last stays, nothing is added")


# ---- what does not work ---------------------------------------------------------------------

def failures():
    """Things that fail in ngc-learn, each tried, with what Python says."""
    size = {"n_units": 3}
    rate_and_errors = [cell_of("z", "RateCell", tau_m=10., **size), cell_of("e", "GaussianErrorCell", **size),
                       cell_of("l", "LaplacianErrorCell", **size)]
    both = op("Summation", "e.dmu", "l.dtarget")

    def of(components, wires=(), method="z.advance_state", inputs={}):
        return {"components": components, "wires": list(wires), "processes": {"run": [method]}, "calls": ["run"],
                "inputs": {k: [0] for k in inputs}, "arrays": {"in." + k: [v] for k, v in inputs.items()},
                "outputs": [], "compiled": True, "dt": 1., "file": "failure"}

    one = lambda **args: [cell_of("z", "RateCell", n_units=3, batch_size=2, **args)]
    tried = [
        ("the threshold cauchy_threshold of the rate cell", of(one(tau_m=10., threshold=["cauchy_threshold", .1]))),
        ("a Summation wired into j of the rate cell", of(rate_and_errors, [wire(both, "z.j")])),
        ("a Summation wired into j_td of the rate cell", of(rate_and_errors, [wire(both, "z.j_td")])),
        ("a Product wired into mu of the Gaussian cell",
         of(rate_and_errors, [wire(op("Product", "z.zF", "z.z"), "e.mu")])),
        ("a Summation wired into target of the Laplacian cell",
         of(rate_and_errors, [wire(op("Summation", "z.zF", "z.z"), "l.target")])),
        ("the activation sine without omega_0", of(one(tau_m=10., act_fx="sine"))),
        ("the activation softmax of a stateful rate cell", of(one(tau_m=10., act_fx="softmax"))),
        ("the activation bkwta with fewer than 5 units", of(one(tau_m=0., act_fx="bkwta"))),
        ("a modulator that does not broadcast",
         of(rate_and_errors, method="e.advance_state", inputs={"e.modulator": np.ones((2, 2), f32)})),
        ("sigma as a list", None),
    ]
    found = []
    for i, (what, case) in enumerate(tried):
        try:
            if case is None:
                with Context("failure-sigma"):
                    GaussianErrorCell("e", 3, sigma=[[1., 2., 3.]])
            else:
                record(case, False, f"-failure{i}")
            error = None
        except Exception as e:
            error = f"{type(e).__name__}: {str(e).splitlines()[0]}"
            while contextManager.current_path:  # an error in a context leaves it entered
                contextManager.step_back()
        assert error is not None, what + " works"
        found.append({"what": what, "error": error})
    return found


def expressions():
    """Arithmetic on a compartment of value 3, outside of a process."""
    with Context("expressions"):
        cell = RateCell("z", 1, 10., key=random.PRNGKey(0))
    cell.j.set(jnp.full((1, 1), 3.))
    c = cell.j
    return [{"expression": e, "value": float(np.squeeze(eval(e, {"c": c})))}
            for e in ("c + 1", "1 + c", "c - 1", "1 - c", "c / 6", "6 / c", "c ** 2", "2 ** c")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for old in options.out.glob("*.npz"):
        old.unlink()
    error_cells()
    reward_cells()
    rate_cells()
    circuits()
    odd()
    index = []
    for number, case in enumerate(CASES):
        record(case, options.eager, number)
        np.savez_compressed(options.out / case["file"], **case.pop("arrays"))
        index.append(case)
    head = {
        "versions": {"python": platform.python_version(),
                     **{p: version(p) for p in ("ngclearn", "ngcsimlib", "jax", "jaxlib", "numpy")}},
        "jit": not options.eager,
        "failures": failures(),
        "expressions": expressions(),
    }
    lines = ",\n".join("  " + json.dumps(case) for case in index)
    text = json.dumps(head, indent=1)[:-2] + ',\n "cases": [\n' + lines + "\n ]\n}\n"
    json.loads(text)
    (options.out / "index.json").write_text(text)
    print(f"{len(index)} cases, {sum(f.stat().st_size for f in options.out.glob('*.npz'))} bytes of .npz")


if __name__ == "__main__":
    main()
