"""What every model promises, whatever it models: one test for each promise, over the catalogue."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import chex
import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import ENTRIES, MODELS, Entry

import diffeq
from diffeq import ConvergenceError, check, names

ROOT = Path(__file__).resolve().parents[1]
LANES = 4


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Entry:
    return request.param


class Every(NamedTuple):
    """What the contract asks of a batch of lanes; one program, so that they share their parts."""

    solution: Any
    values: jax.Array
    slopes: jax.Array
    """In reverse mode."""
    forward: jax.Array | None = None
    """The slopes in forward mode, where the entry asks for them; so also the curvature."""
    curvature: jax.Array | None = None

    def arrays(self) -> list[jax.Array]:
        """Values and derivatives."""
        return [x for x in self[1:] if x is not None]


class Compiled:
    """An entry, jitted and vmapped, compiled once for a batch of LANES lanes."""

    def __init__(self, entry: Entry) -> None:
        def lane(theta: jax.Array) -> Every:
            slopes = jax.jacrev(entry.outputs)
            every = Every(entry.solve(*theta), entry.outputs(theta), slopes(theta))
            if entry.first_order:
                return every
            return every._replace(
                forward=jax.jacfwd(entry.outputs)(theta), curvature=jax.jacfwd(slopes)(theta)
            )

        self.every: Callable[[Any], Every] = jax.jit(jax.vmap(lane))
        example = np.asarray(entry.example)
        steps = np.random.default_rng(0).uniform(0.9, 1.1, (LANES, example.size))
        steps[:, entry.shares] = 1  # the sum stays one
        self.good = jnp.asarray(example * steps, float)


@pytest.fixture(scope="module")
def compiled(entry: Entry) -> Compiled:
    return Compiled(entry)


def tolerance() -> float:
    return 1e-12 if jnp.zeros(()).dtype == jnp.float64 else 1e-4


# Modes


def test_value_is_the_same_in_every_mode(entry: Entry, compiled: Compiled) -> None:
    """vmap changes how a model runs, never what it says; so also jit (the next test, if asked)."""
    theta = compiled.good
    eager = np.stack([entry.outputs(tuple(lane)) for lane in theta])
    assert np.isfinite(eager).any()
    if entry.first_order:
        helpers.assert_close(jax.jit(entry.outputs)(theta[0]), eager[0], tolerance(), "jit")
    batch = compiled.every(theta)
    helpers.assert_close(batch.values, eager, tolerance(), "vmap")
    assert bool(batch.solution.info.converged.all())


@pytest.mark.float64
@pytest.mark.every_order
def test_derivatives_are_the_same_in_every_mode(entry: Entry, compiled: Compiled) -> None:
    """{jit, vmap} × {jvp, vjp} and an eager jvp are one derivative, and forward is reverse."""
    batch = compiled.every(compiled.good)
    helpers.assert_close_by_norm(batch.forward, batch.slopes, tolerance())

    theta, values, slopes = compiled.good[1], batch.values[1], np.asarray(batch.slopes[1])
    rng = np.random.default_rng(1)
    tangent = jnp.asarray(rng.normal(size=theta.shape) * np.asarray(theta), float)
    cotangent = jnp.asarray(rng.normal(size=values.shape), float)

    def pushed(theta: jax.Array) -> list[jax.Array]:
        return list(jax.jvp(entry.outputs, (theta,), (tangent,)))

    pulled = jax.jit(lambda theta: jax.vjp(entry.outputs, theta)[1](cotangent)[0])
    for value, forward in (pushed(theta), jax.jit(pushed)(theta)):
        helpers.assert_close(value, values, tolerance())
        helpers.assert_close_by_norm(forward, slopes @ tangent, tolerance())
    helpers.assert_close_by_norm(pulled(theta), cotangent @ slopes, tolerance())


@pytest.mark.float64
def test_slopes_and_curvature_are_those_of_the_values(entry: Entry, compiled: Compiled) -> None:
    """The Jacobian is the values' own finite difference, the Hessian the Jacobian's; batched."""
    theta = np.asarray(compiled.good)
    directions = np.eye(theta.shape[1])
    unit = np.abs(theta).min(axis=1, keepdims=True)  # a step in any leaf stays in its domain
    if entry.shares:  # only moves that keep the sum stay in the domain
        unit = np.abs(np.delete(theta, entry.shares, axis=1)).min(axis=1, keepdims=True)
        *rest, last = entry.shares
        directions[rest] -= directions[last]
        directions = np.delete(directions, last, axis=0)

    def along(fn: Any, direction: np.ndarray) -> np.ndarray:
        step = 2e-3 * direction * unit
        total = 0.0
        for k, weight in ((1, 45), (2, -9), (3, 1)):
            with np.errstate(invalid="ignore"):  # −inf − −inf, where a log is −inf throughout
                total += weight * (np.asarray(fn(theta + k * step)) - fn(theta - k * step))
        per_lane = (60 * 2e-3 * unit).reshape((-1,) + (1,) * (total.ndim - 1))
        return np.nan_to_num(total) / per_lane

    batch = compiled.every(theta)
    assert np.isfinite(batch.values).mean() > 0.8
    for direction in directions:
        helpers.assert_close_by_norm(
            along(lambda x: compiled.every(x).values, direction),
            np.asarray(batch.slopes) @ direction,
            1e-8,
            f"slope along {direction}",
        )
        if batch.curvature is None:
            continue
        helpers.assert_close_by_norm(
            along(lambda x: compiled.every(x).slopes, direction),
            np.asarray(batch.curvature) @ direction,
            1e-8,
            f"curvature along {direction}",
        )


@pytest.mark.float64
@pytest.mark.every_order
def test_curvature_is_symmetric(entry: Entry, compiled: Compiled) -> None:
    """Mixed second derivatives agree: what a stopped denominator in a Newton step gets wrong."""
    curvature = np.asarray(compiled.every(compiled.good).curvature)
    helpers.assert_close_by_norm(np.swapaxes(curvature, -1, -2), curvature, 1e-12)


@pytest.mark.float64
@pytest.mark.every_order
def test_curvature_is_the_same_in_a_scan(entry: Entry, compiled: Compiled) -> None:
    """The reverse pass of a scan drops custom rules in its body; a model's must last."""
    lanes = compiled.good[:2]
    every = compiled.every(compiled.good)
    finite = np.isfinite(every.values[0])
    weights = np.where(finite, 1 / np.maximum(np.abs(every.values[0]), 1e-3), 0)

    def total(theta: jax.Array) -> jax.Array:
        return weights @ jnp.where(finite, entry.outputs(theta), 0)

    in_a_scan = jax.jit(jax.hessian(lambda lanes: jnp.sum(jax.lax.map(total, lanes))))(lanes)
    curvature = np.where(finite[:, None, None], every.curvature, 0)[:2]
    expected = np.einsum("k,lkij->lij", weights, curvature)
    for lane in range(2):
        helpers.assert_close_by_norm(in_a_scan[lane, :, lane], expected[lane], 1e-11)


# Types, traces, text


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.float64)])
def test_dtype_follows_the_parameters(entry: Entry, dtype: type) -> None:
    """A float32 user gets float32 throughout, also where x64 is on; a float64 user float64."""
    solution = entry.solve(*(jnp.asarray(x, dtype) for x in entry.example))
    assert {f: getattr(solution, f).dtype for f in entry.fields} == dict.fromkeys(
        entry.fields, np.dtype(dtype)
    )
    assert solution.info.residual.dtype == dtype
    assert solution.info.converged.dtype == bool
    assert bool(solution.info.converged)


def test_python_numbers_are_the_default_float(entry: Entry) -> None:
    """Plain numbers, ints among them, solve as JAX's default float does."""
    leaves = entry.example if entry.arrays else tuple(map(round, entry.example))
    plain = entry.solve(*leaves)
    arrays = entry.solve(*(jnp.asarray(x, float) for x in leaves))
    helpers.assert_same_bits(plain, arrays)


def test_other_values_do_not_retrace(entry: Entry) -> None:
    """A second call with other values compiles nothing: eagerly, and inside a user's jit."""
    entry.solve(*entry.example)
    entry.solve(*(jnp.asarray(x, float) for x in entry.example))
    seen: list[str] = []

    def listen(event: str, duration: float, **kwargs: Any) -> None:
        seen.append(event)

    other = (entry.example[0] * 1.1, *entry.example[1:])
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(entry.solve(*other))
        arrays = [jnp.asarray(x, float) for x in other]
        seen_making_arrays = len(seen)
        jax.block_until_ready(entry.solve(*arrays))
        repeated = list(seen)
        jax.jit(lambda x: x * seen_making_arrays)(1.0)
        assert len(seen) > len(repeated), "the listener hears no tracing: this test is blind"
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not [event for event in repeated if "trace" in event or "compile" in event]

    chex.clear_trace_counter()
    jitted = jax.jit(chex.assert_max_traces(n=1)(lambda *leaves: entry.solve(*leaves)))
    jitted.trace(*entry.example)
    jitted.trace(*other)


SHAPE_WORDS = ("shape", "scalar", "broadcast", "see :func:", ":class:")


def public_names(model: ModuleType) -> list[str]:
    """What the model exports; without ``__all__``, what it defines under a public name."""
    own = [n for n, x in vars(model).items() if getattr(x, "__module__", "") == model.__name__]
    return getattr(model, "__all__", [n for n in own if not n.startswith("_")])


def public_functions() -> list[tuple[ModuleType, str]]:
    return [
        (model, name)
        for model in MODELS
        for name in public_names(model)
        if inspect.isfunction(getattr(model, name))
    ]


@pytest.mark.parametrize(
    ("model", "name"), public_functions(), ids=lambda x: getattr(x, "__name__", x)
)
def test_public_functions_say_shape_and_source(model: ModuleType, name: str) -> None:
    """A reader finds what comes back, in which shape, and where the formula is from."""
    text = inspect.getdoc(getattr(model, name)) or ""
    assert len(text.splitlines()[0]) > 20
    assert any(word in text.lower() for word in SHAPE_WORDS), text
    assert "Reference" in text or "see :func:" in text or "Reference" in (model.__doc__ or "")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_documented(model: ModuleType) -> None:
    """Each field of Params, Solution and the like has its meaning under its declaration."""
    tuples = [
        cls
        for name in public_names(model)
        if inspect.isclass(cls := getattr(model, name)) and issubclass(cls, tuple)
    ]
    assert tuples
    undocumented = []
    for cls in tuples:
        (tree,) = ast.parse(inspect.getsource(cls)).body
        assert isinstance(tree, ast.ClassDef)
        assert ast.get_docstring(tree), cls
        for here, after in zip(tree.body, [*tree.body[1:], None], strict=True):
            if isinstance(here, ast.AnnAssign) and not (
                isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            ):
                undocumented.append(f"{cls.__name__}.{ast.unparse(here.target)}")
    assert not undocumented


# Imports


def test_importing_changes_no_configuration_and_starts_no_backend() -> None:
    """A library that touches JAX's settings, or the devices, on import breaks its user's own."""
    program = """
import jax
before = dict(jax.config.values)
import solvers, diffeq
from diffeq import contingent, holden, kyle
assert dict(jax.config.values) == before, "configuration changed"
jax.config.update("jax_num_cpu_devices", 3)  # refused once a backend has started
assert jax.device_count("cpu") == 3
heavy = {"pandas", "matplotlib", "plotly", "xarray", "zarr", "scipy.stats", "tyro"}
import sys
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "solvers").glob("**/*.py")), ids=lambda p: p.name)
def test_solvers_know_no_economics(path: Path) -> None:
    """The generic numerics import jax and themselves, never the models that use them."""
    allowed = {"jax", "numpy", "solvers"} | set(sys.stdlib_module_names)
    assert {name.split(".")[0] for name in imported(path)} <= allowed


@pytest.mark.parametrize("folder", ["solvers", "diffeq"])
def test_only_public_names_of_jax(folder: str) -> None:
    """What lies under ``jax._src`` changes between releases without notice."""
    for path in (ROOT / folder).glob("**/*.py"):
        private = {n for n in imported(path) if n.startswith("jax") and "._" in n}
        assert not private, f"{path}: {private}"


def test_the_package_exports_models_and_check_only() -> None:
    """``diffeq`` is the models, ``check``, its error and the version: nothing else."""
    others = {n for n in diffeq.__all__ if not inspect.ismodule(getattr(diffeq, n))}
    assert others == {"check", "ConvergenceError", "__version__"}


# Outside the domain


def test_bad_lanes_are_flagged_and_poisoned_alone(entry: Entry, compiled: Compiled) -> None:
    """A bad lane is NaN in value, slope and curvature in every parameter; no other lane changes."""
    good = compiled.good
    alone = compiled.every(good)
    lanes = np.array([1, 3])
    spared = np.array([0, 2])
    for leaf, value in entry.outside:
        what = f"{entry.leaves[leaf]}={value}"
        bad = good.at[lanes, leaf].set(value)
        batch = compiled.every(bad)
        assert not np.asarray(batch.solution.info.converged)[lanes].any(), what
        for array in batch.arrays():
            assert np.isnan(np.asarray(array)[lanes]).all(), what
        for array, other in zip(
            (*batch.arrays(), *batch.solution.info),
            (*alone.arrays(), *alone.solution.info),
            strict=True,
        ):
            helpers.assert_same_bits(np.asarray(array)[spared], np.asarray(other)[spared], what)


def test_good_lanes_are_finite_in_every_derivative(entry: Entry, compiled: Compiled) -> None:
    """The poison leaves nothing on a good lane: finite slopes and curvature."""
    for derivative in compiled.every(compiled.good).arrays()[1:]:
        assert np.isfinite(derivative).all()


def test_check_raises_with_lane_and_values(entry: Entry, compiled: Compiled) -> None:
    """``check`` passes a good batch through, and names model, lane and value of a bad one."""
    good = compiled.every(compiled.good).solution
    assert check(good) is good
    leaf, value = entry.outside[0]
    bad = compiled.good.at[2, leaf].set(value)
    solution = compiled.every(bad).solution
    model = names.public(type(solution)).rpartition(".")[0]
    assert model in entry.model.__name__, "by the module that its users import"
    with pytest.raises(ConvergenceError, match=rf"^{model}: 1 of {LANES} lanes .*\(2,\)"):
        check(solution)
    if not entry.arrays and hasattr(entry.model, "Params"):
        params = entry.model.Params(*bad.T)
        with pytest.raises(ConvergenceError, match=rf"{entry.leaves[leaf]}={value}"):
            check(solution, params)


def test_an_empty_batch_is_an_empty_solution(entry: Entry) -> None:
    """A filter that leaves no parameter point is no error."""
    empty = jnp.zeros((0, len(entry.example)))
    assert jax.vmap(entry.outputs)(empty).shape[0] == 0


# Bad input, eagerly


def refused(entry: Entry, leaf: int, value: Any) -> str:
    leaves: list[Any] = list(entry.example)
    leaves[leaf] = value
    with pytest.raises((ValueError, TypeError)) as error:
        entry.solve(*leaves)
    return str(error.value)


def test_values_outside_the_domain_raise_by_name(entry: Entry) -> None:
    """Zero, negative, NaN and infinite parameters are refused by name, also inside a user's jit."""
    for leaf, value in entry.outside:
        for number in (value, np.float32(value), jnp.asarray(value)):
            assert entry.leaves[leaf] in refused(entry, leaf, number), (leaf, number)
    leaf, value = entry.outside[0]
    rest = list(entry.example)
    rest[leaf] = value
    other = (leaf + 1) % len(rest)
    if not entry.arrays and len(rest) > 1:
        with pytest.raises(ValueError, match=entry.leaves[leaf]):  # closed over, so concrete
            jax.jit(lambda x: entry.solve(*rest[:other], x, *rest[other + 1 :]))(rest[other])


NO_NUMBERS = ("2.5", None, True, 1j, object(), {}, [], np.array("a"), 10**400)


def test_what_is_no_number_raises_by_name(entry: Entry) -> None:
    """Strings, None, bool, complex and what not are refused by name."""
    for leaf, name in enumerate(entry.leaves):
        for value in NO_NUMBERS:
            if name in entry.arrays and (value is True or isinstance(value, int)):
                continue  # a list of numbers and True is a list of numbers
            assert name in refused(entry, leaf, value), (name, value)


def test_batched_leaves_point_to_vmap(entry: Entry) -> None:
    """A batch given without vmap is refused by name, with the way to do it."""
    for leaf, name in enumerate(entry.leaves):
        message = refused(entry, leaf, np.full(3, entry.example[leaf]))
        assert name in message
        assert name in entry.arrays or "vmap" in message


def test_traced_leaves_of_the_wrong_type_raise_at_trace_time(entry: Entry) -> None:
    """Complex, boolean and batched tracers are static misuse: an error by name, not a NaN."""
    for value in (1.0 + 0j, True, np.ones(2)):
        for leaf in (0, len(entry.leaves) - 1):
            if value is True and entry.leaves[leaf] in entry.arrays:
                continue  # one boolean among numbers makes an array of numbers
            leaves = list(map(float, entry.example))

            def solve(x: jax.Array, leaf: int = leaf, leaves: list[Any] = leaves) -> Any:
                return entry.solve(*leaves[:leaf], x, *leaves[leaf + 1 :])

            with pytest.raises((ValueError, TypeError), match=entry.leaves[leaf]):
                jax.eval_shape(solve, jnp.asarray(value))


def test_static_arguments_are_checked_by_name(entry: Entry) -> None:
    """Counts that are no positive int, unknown methods, misshapen spacings: refused by name."""
    assert entry.solve_static is not None
    for name, values in entry.static.items():
        for value in values:
            with pytest.raises((ValueError, TypeError), match=name):
                entry.solve_static(**{name: value})


def test_traced_counts_are_refused(entry: Entry) -> None:
    """A count fixes a shape: a traced one is an error that says so."""
    for name in {"num_auctions", "max_auctions"} & set(entry.static):
        with pytest.raises(TypeError, match=name):
            jax.jit(lambda n, name=name: entry.solve_static(**{name: n}))(3)


def test_params_of_another_class_are_refused() -> None:
    """Kyle's parameters are not Holden's: positions differ, so a mix-up must not pass."""
    models = [model for model in MODELS if hasattr(model, "Params")]
    for model, other in zip(models, (*models[1:], models[0]), strict=True):
        shape = dict(num_auctions=2, num_dealers=2, max_inventory=2, times=(0.0, 1.0))
        taken = inspect.signature(model.solve).parameters
        static = {name: value for name, value in shape.items() if name in taken}
        with pytest.raises(TypeError, match="Params"):
            model.solve(other.Params(), **static)
        with pytest.raises(TypeError, match="Params"):
            model.solve((1.0, 1.0, 1.0), **static)
