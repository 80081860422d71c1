"""Fingerprints: different wherever a value may be, the same in every process that runs the code."""

import functools
import os
import subprocess
import sys
import types

import jax
import numpy as np

from diffeq import holden
from diffeq.sweep import fingerprint


def impact(sigma_v, sigma_u):
    """Kyle's one auction: lambda = sigma_v/(2 sigma_u)."""
    params = holden.Params(sigma_v=sigma_v, sigma_u=sigma_u, num_insiders=1.0)
    return holden.solve(params, num_auctions=1).lambda_[0]


def scaled(factor):
    return lambda x: x * factor


def renamed(factor):
    return lambda x: x + factor


def test_a_function_is_known_by_what_it_is_made_of():
    class Params(holden.Params):
        pass

    def using(params):
        return functools.partial(holden.solve, params, num_auctions=2)

    same = [
        (scaled(2.0), scaled(2.0)),
        (using(holden.Params()), using(holden.Params())),
        (jax.grad(impact), jax.grad(impact)),
        (scaled(np.arange(3.0)), scaled(np.arange(3.0))),
    ]
    for one, other in same:
        assert fingerprint.digest(one) == fingerprint.digest(other)
    different = [
        scaled(2.0),
        scaled(3.0),
        scaled(np.arange(3.0)),
        scaled(np.arange(3)),
        renamed(2.0),
        using(holden.Params()),
        using(holden.Params(sigma_v=2.6)),
        using(Params()),
        impact,
        jax.grad(impact),
        jax.grad(impact, argnums=1),
        jax.jit(impact),
        jax.vmap(impact),
        scaled(scaled(2.0)),
        scaled(scaled(3.0)),
    ]
    assert len({fingerprint.digest(fn) for fn in different}) == len(different)


SCRIPT = """
K, NAMED, KEY = 1.0, {"a": [1.0, {2.0, 3.0}]}, jax.random.key(0)
cubed = functools.partial(pow, exp=3)

class Config:
    size = 1
    def __init__(self, s):
        self.s = s
    def __call__(self, x):
        return self.s * x

@jax.custom_jvp
def smooth(x):
    return x

@smooth.defjvp
def slope(x, dx):
    return x[0], 1.0 * dx[0]

def down(n):
    return n and up(n - 1)

def up(n):
    return n and down(n - 1)

OBJECT = Config(2.0)
fn = lambda x, y: x - y + K * NAMED["a"][0] + cubed(x) + OBJECT(y) + smooth(x) + up(3) + draw(KEY)
draw = jax.jit(lambda key: 0.0)
"""
CHANGES = {
    "K, N": "L, N",
    "K, NAMED, KEY = 1.0": "K, NAMED, KEY = 1.5",
    "{2.0, 3.0}": "{2.0, 3.5}",
    "key(0)": "key(1)",
    "exp=3": "exp=2",
    "size = 1": "size = 2",
    "self.s * x": "self.s + x",
    "1.0 * dx": "2.0 * dx",
    "n and down(n - 1)": "n and down(n - 2)",
    "Config(2.0)": "Config(2.5)",
    "lambda x, y: x - y": "lambda y, x: y - x",  # the axes come by keyword
    "lambda key: 0.0": "lambda key: 0.5",
}


def of_script(source):
    names = dict(jax=jax, functools=functools, __name__="script")
    exec(source, names)
    return fingerprint.digest(names["fn"])


def test_whatever_a_function_reaches_is_part_of_it_but_not_its_place():
    first = of_script(SCRIPT)
    moved = "\n\n# a comment\n" + SCRIPT.replace("(n):", '(n):\n    "Documented."')
    assert of_script(SCRIPT) == of_script(moved) == first
    digests = {change: of_script(SCRIPT.replace(*change)) for change in CHANGES.items()}
    assert all(SCRIPT.count(old) for old in CHANGES)
    assert first not in digests.values(), [c for c, found in digests.items() if found == first]
    assert len(set(digests.values())) == len(CHANGES)


def test_parts_are_told_apart_and_equal_ones_are_alike():
    p, q, equal = (1.0, 2.0), (3.0, 4.0), tuple([1.0, 2.0])
    of = [
        ((p, q), p),
        ((p, q), q),
        (p, (q, p)),
        ((1.0,), 2.0),
        ((1.0, 2.0),),
        ((slice(1), slice(2))),
    ]
    assert len({fingerprint.digest(functools.partial(pow, x)) for x in of}) == len(of)
    same = [functools.partial(pow, x) for x in ((p, p), (p, equal))]
    assert fingerprint.digest(same[0]) == fingerprint.digest(same[1])
    assert fingerprint.name(scaled) in fingerprint.name(functools.partial(scaled, 2.0))
    assert fingerprint.name(types.SimpleNamespace()) == "types.SimpleNamespace"


def test_the_same_in_another_process_with_other_hashes(tmp_path):
    script = tmp_path / "script.py"
    report = "print(fingerprint.digest(fn))"
    script.write_text(
        f"import jax, functools\nfrom diffeq.sweep import fingerprint\n{SCRIPT}{report}"
    )
    found = {
        subprocess.run(
            [sys.executable, script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
