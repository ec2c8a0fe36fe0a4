"""How `_compat` constrains arrays and maps functions over devices on each JAX. Stand-ins record what is called."""

import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equinox import _compat


class Spec:
    """A stand-in for `PartitionSpec`."""


class Explicit:
    """A stand-in for an axis type."""


def stand_in(version, **names):
    """A stand-in for JAX. `calls` lists what was called."""
    calls = []

    def recorder(name):
        def call(*args, **kwargs):
            calls.append((name, args, kwargs))
            return name

        return call

    fake = SimpleNamespace(
        __name__="fake_jax",
        __version__=version,
        calls=calls,
        dtypes=SimpleNamespace(prng_key="prng_key"),
        numpy=SimpleNamespace(issubdtype=lambda dtype, kind: dtype == kind),
        lax=SimpleNamespace(with_sharding_constraint=recorder("constraint")),
        random=SimpleNamespace(
            key_data=lambda key: "data of " + key.name,
            key_impl=lambda key: "impl",
            wrap_key_data=lambda data, impl: ("wrapped", data, impl),
        ),
        sharding=SimpleNamespace(PartitionSpec=Spec, SingleDeviceSharding=lambda device: ("single", device)),
        recorder=recorder,
    )
    for name, value in names.items():
        setattr(fake, name, value)
    return fake


ARRAY = SimpleNamespace(dtype=np.dtype("float32"))
KEYS = SimpleNamespace(dtype="prng_key", name="keys")
DEVICE = SimpleNamespace(device_kind="cpu", platform="cpu")


def test_constrain_needs_a_jax_with_constraints():
    with pytest.raises(NotImplementedError, match="`filter_shard in a transformation` needs JAX 0.4.1 or newer"):
        _compat.constrain(ARRAY, "sharding", jax=stand_in("0.4.0"))


def test_constrain_makes_a_sharding_of_a_device():
    fake = stand_in("0.4.1")
    assert _compat.constrain(ARRAY, "sharding", jax=fake) == "constraint"
    assert _compat.constrain(ARRAY, DEVICE, jax=fake) == "constraint"
    assert fake.calls == [("constraint", (ARRAY, "sharding"), {}), ("constraint", (ARRAY, ("single", DEVICE)), {})]
    assert _compat.is_device(jax.devices()[0]) and not _compat.is_device(jnp.ones(2))


def test_constrain_takes_the_data_of_typed_keys_before_0_7():
    fake = stand_in("0.6.2")
    assert _compat.constrain(KEYS, "sharding", jax=fake) == ("wrapped", "constraint", "impl")
    assert fake.calls == [("constraint", ("data of keys", "sharding"), {})]
    fake = stand_in("0.7.0")
    assert _compat.constrain(KEYS, "sharding", jax=fake) == "constraint"
    with pytest.raises(NotImplementedError, match="needs JAX 0.4.18 or newer"):
        _compat.constrain(KEYS, "sharding", jax=stand_in("0.4.17"))


@pytest.mark.parametrize("types", [(Explicit, Explicit), (Explicit, "auto"), ()], ids=["explicit", "mixed", "none"])
@pytest.mark.parametrize("by_spec", [False, True], ids=["sharding", "spec"])
def test_constrain_reshards_on_explicit_axes(types, by_spec):
    """A `PartitionSpec` is for the mesh of the context."""
    fake, mesh = stand_in("0.8.0"), SimpleNamespace(axis_types=types)
    fake.sharding.AxisType = SimpleNamespace(Explicit=Explicit)
    fake.sharding.reshard = fake.recorder("reshard")
    fake.sharding.get_abstract_mesh = lambda: mesh
    sharding = Spec() if by_spec else SimpleNamespace(mesh=mesh)
    expected = "reshard" if types == (Explicit, Explicit) else "constraint"
    assert _compat.constrain(ARRAY, sharding, jax=fake) == expected
    assert fake.calls == [(expected, (ARRAY, sharding), {})]


def test_shard_map_of_the_newest_form():
    fake = stand_in("0.8.0")
    fake.shard_map = fake.recorder("new")
    _compat.shard_map("fun", None, "in", "out", jax=fake)
    _compat.shard_map("fun", "mesh", "in", "out", ["a"], False, jax=fake)
    specs = {"in_specs": "in", "out_specs": "out"}
    assert fake.calls == [
        ("new", ("fun",), dict(specs, check_vma=True)),
        ("new", ("fun",), dict(specs, check_vma=False, mesh="mesh", axis_names=frozenset("a"))),
    ]


def test_shard_map_of_the_experimental_form(monkeypatch):
    """The axes of the mesh that are not in `axis_names` are `auto`, which is newer than the function."""
    fake, mesh = stand_in("0.4.38"), SimpleNamespace(axis_names=("a", "b"))
    old = lambda f, mesh, in_specs, out_specs, check_rep=True, auto=None: fake.calls.append(auto)  # noqa: E731
    module = SimpleNamespace(shard_map=old)
    monkeypatch.setitem(sys.modules, "fake_jax.experimental.shard_map", module)
    monkeypatch.setitem(sys.modules, "fake_jax.experimental", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "fake_jax", SimpleNamespace(__path__=[]))
    for axis_names in (None, ["a", "b"]):
        _compat.shard_map("fun", mesh, "in", "out", axis_names, False, jax=fake)
    _compat.shard_map("fun", mesh, "in", "out", ["a"], jax=fake)
    assert fake.calls == [None, None, frozenset("b")]
    for kind in (NotImplementedError, ValueError):

        def refuse(x, kind=kind):
            raise kind(x)

        module.shard_map = lambda *args, refuse=refuse, **options: refuse
        call = _compat.shard_map("fun", mesh, "in", "out", jax=fake)
        for said, expected in (("pass `check_rep=False`", "pass `check_vma=False`"), ("another", "another")):
            with pytest.raises(kind, match="^{}$".format(expected)):
                call(said)
    fake.__version__ = "0.4.29"
    with pytest.raises(NotImplementedError, match=r"`filter_shard_map\(axis_names=...\)` needs JAX"):
        _compat.shard_map("fun", mesh, "in", "out", ["a"], jax=fake)
    with pytest.raises(NotImplementedError, match=r"`filter_shard_map\(mesh=None\)` needs JAX 0.6.1 or newer"):
        _compat.shard_map("fun", None, "in", "out", jax=fake)
    with pytest.raises(NotImplementedError, match="`filter_shard_map` needs JAX 0.4.4 or newer"):
        _compat.shard_map("fun", mesh, "in", "out", jax=stand_in("0.4.3"))


class OnOneDevice:
    """Stands for `SingleDeviceSharding`."""

    def __init__(self, device):
        self.device_set = {device}

    def __eq__(self, other):
        return type(other) is OnOneDevice and self.device_set == other.device_set

    __hash__ = None


class OnAbstractMesh:
    """A sharding whose mesh has no devices, as in the shapes that `jax.eval_shape` gives for explicit axes."""

    @property
    def device_set(self):
        raise ValueError("device_set is not implemented for `jax.sharding.AbstractMesh`.")


def test_placement():
    """The sharding since 0.4.1, before that the device. `None` where JAX would put an array anyway, and for tracers."""
    devices = [object(), object()]
    core, config = SimpleNamespace(Tracer=complex), SimpleNamespace(jax_default_device=None)
    local = {"core": core, "config": config, "local_devices": lambda backend: [devices[backend == "other"]]}
    new = stand_in("0.4.1", sharding=SimpleNamespace(SingleDeviceSharding=OnOneDevice), **local)
    old = stand_in("0.3.25", **local)
    here, there = map(OnOneDevice, devices)
    one_device_mesh = SimpleNamespace(device_set={devices[0]})
    assert _compat.placement(SimpleNamespace(sharding=there), jax=new) is there
    assert _compat.placement(SimpleNamespace(sharding=here), jax=new) is None
    assert _compat.placement(SimpleNamespace(sharding=one_device_mesh), jax=new) is one_device_mesh
    assert _compat.placement(SimpleNamespace(sharding=None), jax=new) is None
    assert _compat.placement(SimpleNamespace(), jax=new) is None
    assert _compat.placement(SimpleNamespace(device=lambda: devices[1]), jax=old) is devices[1]
    assert _compat.placement(SimpleNamespace(device=lambda: devices[0]), jax=old) is None
    assert _compat.placement(SimpleNamespace(device=lambda: devices[1], sharding_spec=0), jax=old) is None
    assert _compat.placement(SimpleNamespace(device="pmapped"), jax=old) is None
    assert _compat.placement(1j, jax=new) is _compat.placement(1j, jax=old) is None
    assert _compat.placement(SimpleNamespace(sharding=OnAbstractMesh()), jax=new) is None
    for config.jax_default_device in (devices[1], "other"):
        assert _compat.placement(SimpleNamespace(sharding=there), jax=new) is None
        assert _compat.placement(SimpleNamespace(sharding=here), jax=new) is here
