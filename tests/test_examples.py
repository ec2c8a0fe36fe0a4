"""The examples run as users run them, and learn what they promise."""

import functools as ft
import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from devices import CAN_SHARD, DEVICES

import equinox as eqx

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"

# 2026-11-22: matplotlib 3.8.4 and 3.9.4 use names that pyparsing 3.3 deprecates. Matplotlib 3.10 doesn't.
pytestmark = pytest.mark.filterwarnings(r"ignore:'\w+' (argument is )?deprecated\b.* use '\w+':DeprecationWarning")


@pytest.fixture(scope="module")
def load():
    """`load(name)`: an example as a module. All tests share it. Examples are programs outside of packages."""

    @ft.lru_cache(maxsize=None)
    def load(name):
        spec = importlib.util.spec_from_file_location(name, str(EXAMPLES / (name + ".py")))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def _arrays(tree):
    return [np.asarray(x) for x in jax.tree_util.tree_leaves(tree) if eqx.is_array(x)]


def _same_bits(tree, other):
    return [x.tobytes() for x in _arrays(tree)] == [x.tobytes() for x in _arrays(other)]


def _assert_is_picture(path):
    """Check that it is a PNG of a sensible size with something drawn in it."""
    import matplotlib.image

    pixels = matplotlib.image.imread(str(path))  # raises if it is no PNG
    height, width = pixels.shape[:2]
    assert 300 < height < width < 3000
    assert pixels[..., :3].std() > 0.05


def test_build_model_learns(load, capsys):
    """A model written from scratch is data: plain `jax.jit` and `jax.grad` train it."""
    losses, model = load("build_model").main()
    assert len(losses) == 500
    assert losses[-1] < min(0.01, losses[0] / 20)
    assert isinstance(model, eqx.Module)
    for x in [-0.8, 0.1, 0.5]:
        assert abs(model(np.array([x]))[0] - np.sin(3 * x)) < 0.2
    out = capsys.readouterr().out
    assert "The model is data, a tree of 6 arrays" in out
    assert out.count("Linear(weight=f32[32,1], bias=f32[32])") == 2  # once as the model, once as its gradient
    assert "step  500" in out


def test_train_mlp_learns(load, capsys):
    """The filtered transformations train an MLP until only the noise is left. The activation stays a function."""
    losses, model = load("train_mlp").main()
    assert len(losses) == 500
    assert losses[-1] < min(0.01, losses[0] / 15)
    assert model.activation is jax.nn.relu
    captured = capsys.readouterr()
    assert "activation=relu" in captured.out
    assert "The loss fell from {:.4f} to {:.4f}".format(losses[0], losses[-1]) in captured.out
    assert "500/500" in captured.err  # the progress bar


def test_frozen_layer_freezes(load, capsys):
    """The frozen layers keep every bit. The trained layer changes. The step is compiled once."""
    losses, before, after = load("frozen_layer").main()
    assert losses[-1] < losses[0] / 20
    assert _same_bits(before.layers[:-1], after.layers[:-1])
    for old, new in zip(_arrays(before.layers[-1]), _arrays(after.layers[-1])):
        assert old.shape == new.shape
        assert not np.array_equal(old, new)
    assert before.activation is after.activation is jax.nn.relu
    out = capsys.readouterr().out
    assert out.count("Compiling") == 1
    assert "weight=False" in out and "weight=True" in out
    assert out.count("is unchanged") == 2 and "Layer 2 was trained" in out


def test_finetune_trains_the_head_and_the_change_of_low_rank(load, tmp_path, capsys):
    """The body comes from the file by name, the frozen leaves keep every bit, and the new task is learnt."""
    example, path = load("finetune"), tmp_path / "old.safetensors"
    score_before, score_after, before, after = example.main(old_steps=150, new_steps=100, path=str(path))
    assert score_after > 0.9 and score_after > score_before + 0.1
    saved = eqx.load(str(path))
    for name, x in eqx.to_dict(
        eqx.tree_at(lambda body: body.layers[1], after.body, after.body.layers[1].layer)
    ).items():
        assert np.array_equal(x, saved[name])
    changed = [change.path for change in eqx.tree_diff(before, after)]
    assert changed == [".body.layers[1].lora_a", ".body.layers[1].lora_b", ".head.weight", ".head.bias"]
    out = capsys.readouterr().out
    assert "Loaded into the body: layers.0.weight, layers.0.bias, layers.1.weight" in out
    assert "no such array: layers.3.weight, layers.3.bias." in out
    assert "{} of them trainable".format(2 * 4 * 64 + 2 * 64 + 2) in out  # the two small matrices, and the head
    assert "{:.1%} are right before the new training, and {:.1%} after it".format(score_before, score_after) in out
    assert "Changed: .head.bias" in out


def test_train_rnn_learns(load, tmp_path, capsys):
    """The accuracy on new spirals is above 95 %, and a picture is written."""
    picture = tmp_path / "spirals.png"
    accuracy, model, history = load("train_rnn").main(picture=str(picture))
    assert accuracy > 0.95
    assert isinstance(model, eqx.Module)
    assert [step for step, _ in history["loss"]] == list(range(300))
    assert history["accuracy"][-1] == (300, accuracy)
    assert history["loss"][-1][1] < history["loss"][0][1] / 5
    _assert_is_picture(picture)
    captured = capsys.readouterr()
    assert "{:.1%}".format(accuracy) in captured.out
    assert str(picture) in captured.out
    assert "300/300" in captured.err


def test_train_rnn_without_picture(load, tmp_path, monkeypatch):
    """`picture=None` writes nothing, and doesn't import matplotlib."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # importing it would raise
    load("train_rnn").main(steps=1, picture=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop_after", [0, 25])
def test_train_rnn_interrupted(stop_after, load, tmp_path, monkeypatch, capsys):
    """An interrupt keeps the steps so far, the evaluation and the picture."""
    example = load("train_rnn")
    make_step, models = example.make_step, []

    def make_step_or_interrupt(*args):
        if len(models) == stop_after:
            raise KeyboardInterrupt
        out = make_step(*args)
        models.append(out[1])
        return out

    monkeypatch.setattr(example, "make_step", make_step_or_interrupt)
    picture = tmp_path / "spirals.png"
    accuracy, model, history = example.main(picture=str(picture))
    assert len(history["loss"]) == len(models) == stop_after
    if models:
        assert _same_bits(model, models[-1])
    assert history["accuracy"][-1] == (stop_after, accuracy)
    _assert_is_picture(picture)
    out = capsys.readouterr().out
    assert "Interrupted" in out and "learnt in {} steps".format(stop_after) in out


def _environment():
    """The environment of a program that a test starts. In a narrow terminal its progress bar would be cut."""
    return dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path), COLUMNS="300")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT, as Ctrl-C in a terminal does")
def test_train_rnn_from_the_shell(tmp_path, interruptible):
    """The program takes options. After a real Ctrl-C it evaluates and draws, as after the last step."""
    program = [sys.executable, str(EXAMPLES / "train_rnn.py"), "--steps=1000000", "--seed=1", "--picture=curve.png"]
    with subprocess.Popen(
        program, cwd=str(tmp_path), env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        watchdog = threading.Timer(300, process.kill)
        watchdog.start()
        try:
            bar = b""
            while b"loss=" not in bar:  # until training has begun
                read = os.read(process.stderr.fileno(), 1000)
                assert read, bar.decode()
                bar += read
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
        finally:
            watchdog.cancel()
            process.kill()
    assert process.returncode == 0, err.decode()
    assert b"Interrupted" in out and b"are told apart" in out
    _assert_is_picture(tmp_path / "curve.png")


# Small settings, in which an example is compiled once for several tests
SMALL = {
    "ensemble": {"members": 2, "width": 8},
    "train_cnn": {"batch_size": 32, "channels": 4},
    "train_transformer": {"batch_size": 8, "context": 16, "width": 32, "depth": 2, "heads": 2},
    "train_vae": {"width": 64, "learning_rate": 3e-3},
}


# Examples that learn digits


def _blurred_bars():
    """A stand-in for the images of scikit-learn, which the cells don't have: digit n lights row or column n."""
    rng = np.random.RandomState(0)
    digits = np.arange(300) % 10
    images = 0.1 * rng.uniform(size=(300, 8, 8))
    for image, digit in zip(images, digits):
        image[(digit, slice(None)) if digit < 5 else (slice(None), digit - 5)] += 0.8
    return images.astype("float32"), digits


def test_train_vae_learns(load, tmp_path, monkeypatch, capsys):
    """The loss on held-out images falls below that of the average image, and a picture is written."""
    example, picture = load("train_vae"), tmp_path / "vae.png"
    monkeypatch.setattr(example, "load_digits", _blurred_bars)
    loss, model, history = example.main(steps=400, picture=str(picture), **SMALL["train_vae"])
    pixels = _blurred_bars()[0].reshape(300, -1).astype("float64")
    average = pixels.mean(axis=0)
    cost_of_average = -np.mean(np.sum(pixels * np.log(average) + (1 - pixels) * np.log(1 - average), axis=1))
    assert loss < 0.9 * cost_of_average
    assert history["held_out"][-1] == (400, loss)
    assert [step for step, _ in history["loss"]] == list(range(400))
    assert example.sample(model, np.zeros((3, 2), "float32")).shape == (3, 64)
    _assert_is_picture(picture)
    captured = capsys.readouterr()
    assert "{:.1f} nats".format(loss) in captured.out
    assert "400/400" in captured.err


def test_train_cnn_learns(load, tmp_path, monkeypatch, capsys):
    """Nearly all held-out images are read, with the statistics of the training. A picture is written."""
    example, picture = load("train_cnn"), tmp_path / "cnn.png"
    monkeypatch.setattr(example, "load_digits", _blurred_bars)
    accuracy, model, state, history = example.main(steps=60, picture=str(picture), **SMALL["train_cnn"])
    assert accuracy > 0.97 > history["accuracy"][0][1]
    assert history["accuracy"][-1] == (60, accuracy)
    assert [step for step, _ in history["loss"]] == list(range(60))
    assert [int(state.get(norm.running)["steps"]) for norm in model.norms] == [60, 60, 60]
    _assert_is_picture(picture)
    captured = capsys.readouterr()
    assert "Of 60 digits that were not used in training, {:.1%} are read".format(accuracy) in captured.out
    assert "60/60" in captured.err


@pytest.mark.parametrize("name", ["train_cnn", "train_vae"])
def test_the_digits_are_those_of_scikit_learn(name, load):
    """The examples scale them to numbers from 0 to 1."""
    pytest.importorskip("sklearn", reason="needs scikit-learn, which the extra `digits` installs")
    images, digits = load(name).load_digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    assert sorted(set(digits.tolist())) == list(range(10))


# The example that learns text


def _counting():
    """A stand-in for the reference of Python: short, and easy to go on with."""
    return "zero one two three four five six seven eight nine. " * 40


def test_train_transformer_learns(load, tmp_path, monkeypatch, capsys):
    """It learns to count, a picture is written, and all that it writes with the cache is what it finds most likely."""
    example, picture = load("train_transformer"), tmp_path / "transformer.png"
    monkeypatch.setattr(example, "load_text", _counting)
    options = dict(SMALL["train_transformer"], dropout=0.0, learning_rate=1e-2, picture=str(picture))
    loss, model, written, history = example.main(steps=60, **options)
    text = _counting()
    shares = np.array([text.count(character) for character in sorted(set(text))]) / len(text)
    assert loss < 0.3 * -np.sum(shares * np.log(shares))
    assert history["held_out"][-1] == (60, loss)
    assert [step for step, _ in history["loss"]] == list(range(60))
    _assert_is_picture(picture)
    captured = capsys.readouterr()
    assert written in captured.out and "{:.2f} nats".format(loss) in captured.out
    assert "60/60" in captured.err
    assert len(written) == 16 and written[:2] in text

    state = eqx.nn.make_with_state(example.Transformer)(len(shares), 32, 2, 2, 16, 0.0, jax.random.PRNGKey(0))[1]
    states = [jax.tree_util.tree_map(lambda x: x, state) for _ in range(2)]
    prompt = np.array([3, 1], "int32")
    tokens = np.concatenate([prompt, example.write(model, states[0], prompt, 14, 1e-6, jax.random.PRNGKey(0))])
    logits, _ = eqx.filter_jit(lambda model, tokens, state: model(tokens, state))(model, tokens, states[1])
    assert tokens[2:].tolist() == np.argmax(logits, 1)[1:-1].tolist()


def test_the_text_is_in_the_standard_library(load):
    """It is long, and in ASCII."""
    text = load("train_transformer").load_text()
    assert len(text) > 100000
    assert text.isascii()
    assert "Function definitions" in text


# Interrupts


@pytest.mark.parametrize("stop_after", [0, 2])
@pytest.mark.parametrize("name", ["ensemble", "train_cnn", "train_transformer", "train_vae"])
def test_an_interrupt_keeps_what_was_learnt(name, stop_after, load, tmp_path, monkeypatch, capsys):
    """The model of the last whole step is evaluated and drawn."""
    example, picture = load(name), tmp_path / "picture.png"
    make_step, models = example.make_step, []

    def make_step_or_interrupt(*args):
        if len(models) == stop_after:
            raise KeyboardInterrupt
        out = make_step(*args)
        models.append(out[1])
        return out

    monkeypatch.setattr(example, "make_step", make_step_or_interrupt)
    if hasattr(example, "load_digits"):
        monkeypatch.setattr(example, "load_digits", _blurred_bars)
    if hasattr(example, "load_text"):
        monkeypatch.setattr(example, "load_text", _counting)
    _, model, *_, history = example.main(picture=str(picture), **SMALL[name])
    assert len(history["loss"]) == len(models) == stop_after
    if models:
        assert _same_bits(model, models[-1])
    _assert_is_picture(picture)
    assert "learnt in {} steps".format(stop_after) in capsys.readouterr().out


# Many models, and many devices


def test_ensemble_learns_and_tells_where_it_knows(load, tmp_path, capsys):
    """The members are good where there is data. Only in the gap they disagree. A picture is written."""
    picture = tmp_path / "ensemble.png"
    error_of_mean, models, errors, spreads, history = load("ensemble").main(picture=str(picture))
    assert errors.shape == (8,) and errors.max() < 0.15  # the noise alone is 0.1
    assert error_of_mean <= errors.max()
    assert spreads["in the gap"] > 3 * spreads["among the data"]
    assert [x.shape[0] for x in _arrays(models)] == [8] * 6
    assert [step for step, _ in history["loss"]] == list(range(2000))
    assert all(loss.shape == (8,) for _, loss in history["loss"])
    _assert_is_picture(picture)
    captured = capsys.readouterr()
    assert "The error of their mean: {:.3f}".format(error_of_mean) in captured.out
    assert "in the gap: the spread is {:.2f}".format(spreads["in the gap"]) in captured.out
    assert "2000/2000" in captured.err


def test_members_of_an_ensemble_draw_their_own_batches(load):
    """Equal members have different losses."""
    example = load("ensemble")
    arrays, rest = eqx.partition(example.make_members(2, 8, 0.1, jax.random.PRNGKey(0)), eqx.is_array)
    twins = eqx.combine(jax.tree_util.tree_map(lambda x: x[np.zeros(2, int)], arrays), rest)
    loss, *_ = example.make_step(*twins, jax.random.PRNGKey(1), *example.make_data(100, 0), 32)
    assert loss[0] != loss[1]


SMALL_PARALLEL = {"steps": 4, "batch_size": 67, "width": 16}  # 67 can't be divided by the number of devices


@pytest.mark.skipif(not CAN_SHARD, reason="models can be sharded since JAX 0.4.1, this is " + jax.__version__)
def test_data_parallel_has_the_numbers_of_one_device(load, monkeypatch, capsys):
    """The model is on all devices as a whole, and the same up to rounding. Each device has a part of the batch."""
    example, make_step, parts = load("data_parallel"), load("data_parallel").make_step, []

    def note_parts(batch, *args):
        parts.append([shard.data.shape[0] for shard in batch[0].addressable_shards])
        return make_step(batch, *args)

    monkeypatch.setattr(example, "make_step", note_parts)
    (alone, losses_alone), (spread, losses) = example.main(**SMALL_PARALLEL)
    number = jax.device_count()
    assert parts == [[67 // number * number]] * 4 + [[67 // number] * number] * 4
    assert len(losses) == 4 and losses[-1] < losses[0]
    np.testing.assert_allclose(losses, losses_alone, rtol=1e-3)
    for x in jax.tree_util.tree_leaves(alone):
        assert x.sharding.device_set == {jax.devices()[0]}
    for x in jax.tree_util.tree_leaves(spread):
        assert {shard.device for shard in x.addressable_shards} == set(jax.devices())
        assert all(shard.data.shape == x.shape for shard in x.addressable_shards)
    out = capsys.readouterr().out
    assert "Devices: {}".format(jax.device_count()) in out
    assert "same up to rounding" in out and "Examples/s on one device" in out
    assert ("fake" in out) == (len(DEVICES) > 1 and DEVICES[0].platform == "cpu")


@pytest.mark.parametrize("options", [{"steps": 1}, {"batch_size": jax.device_count() - 1}])
def test_data_parallel_needs_steps_and_examples(options, load):
    """It says how many."""
    with pytest.raises(ValueError, match="at least 2 `steps`, got .*`batch_size` of at least {}".format(len(DEVICES))):
        load("data_parallel").main(**options)


@pytest.mark.skipif(CAN_SHARD, reason="JAX has had `jax.sharding` since 0.4.1")
def test_data_parallel_says_which_jax_it_needs(load):
    """Before 0.4.1 there is one clear error."""
    with pytest.raises(NotImplementedError, match="0.4.1. This is JAX .*filter_pmap"):
        load("data_parallel").main(**SMALL_PARALLEL)


@pytest.mark.parametrize(
    "there, expected",
    [
        ({}, {"XLA_FLAGS": " --xla_force_host_platform_device_count=8"}),
        ({"XLA_FLAGS": "--other"}, {"XLA_FLAGS": "--other --xla_force_host_platform_device_count=8"}),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, None),
        ({"JAX_NUM_CPU_DEVICES": "2"}, None),
    ],
)
def test_data_parallel_keeps_the_number_of_devices_that_is_set(there, expected, load, monkeypatch):
    """Only if the user has set no number, the program asks for eight devices."""
    monkeypatch.setattr(os, "environ", dict(there))
    load("data_parallel").ask_for_fake_devices()
    assert os.environ == (expected or there)


@pytest.mark.skipif(not CAN_SHARD, reason="models can be sharded since JAX 0.4.1, this is " + jax.__version__)
@pytest.mark.skipif(DEVICES[0].platform != "cpu", reason="the fake devices are CPUs")
def test_data_parallel_from_the_shell():
    """A program of its own has eight devices."""
    environment = _environment()
    for name in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES"):
        environment.pop(name, None)
    command = [sys.executable, str(EXAMPLES / "data_parallel.py"), "--steps=2", "--batch-size=16"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Devices: 8" in done.stdout and b"same up to rounding" in done.stdout


# The example that goes on after a kill

SMALL_RESUME = {"save_every": 5, "batch_size": 16, "width": 8}


def _run_resume(*runs):
    """Start a process that calls `resume.main` for each pair of the number of steps and the checkpoint."""
    calls = ["resume.main({}, checkpoint={!r}, **{!r})".format(steps, str(path), SMALL_RESUME) for steps, path in runs]
    code = "import sys; sys.path.insert(0, {!r}); import resume; {}".format(str(EXAMPLES), "; ".join(calls))
    return subprocess.Popen(
        [sys.executable, "-c", code], env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_resume_goes_on_with_the_same_bits(load, tmp_path):
    """A real SIGKILL ends the first run. The file of the second run has every bit of that of a run without a stop.

    All runs are in new processes. This one has programs that JAX compiled with other options for other tests.
    """
    killed, whole = tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    with _run_resume((10**9, killed)) as process:
        watchdog = threading.Timer(300, process.kill)
        watchdog.start()
        try:
            bar = b""
            while bar.count(b"saved=") < 3:
                read = os.read(process.stderr.fileno(), 1000)
                assert read, bar.decode()
                bar += read
        finally:
            watchdog.cancel()
            process.kill()
    assert process.returncode == -signal.SIGKILL

    step = eqx.load(str(killed))["step"]
    assert step >= 10 and step % 5 == 0
    steps = step + 7  # the last step isn't one after which the loop saves
    with _run_resume((steps, killed), (steps, whole)) as process:
        out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    going_on, starting = out.decode().split("There is no ")
    assert "Going on at step {}".format(step) in going_on and "starting" in starting
    digests = re.findall("The digest .* is ([0-9a-f]+)", out.decode())
    assert len(digests) == 2 and digests[0] == digests[1]
    assert eqx.load(str(whole))["step"] == steps
    assert eqx.load_metadata(str(killed)) == eqx.load_metadata(str(whole))
    assert list(eqx.load(str(killed))) == list(eqx.load(str(whole)))
    assert _same_bits(eqx.load(str(killed)), eqx.load(str(whole)))

    example = load("resume")
    before = killed.read_bytes()
    with pytest.raises(ValueError, match="'seed': 0.*'seed': 1.*Pass another `checkpoint`"):
        example.main(steps, seed=1, checkpoint=str(killed), **SMALL_RESUME)
    with pytest.raises(ValueError, match="`save_every` to be at least 1, got 0"):
        example.main(steps, save_every=0, checkpoint=str(killed))
    assert killed.read_bytes() == before


def test_resume_saves_at_an_interrupt(load, tmp_path, monkeypatch, capsys):
    """All steps before Ctrl-C are in the file, also those after the last regular save."""
    example, make_step, steps = load("resume"), load("resume").make_step, []

    def make_step_or_interrupt(*args):
        if len(steps) == 7:
            raise KeyboardInterrupt
        steps.append(args)
        return make_step(*args)

    monkeypatch.setattr(example, "make_step", make_step_or_interrupt)
    checkpoint = str(tmp_path / "checkpoint.safetensors")
    _, training = example.main(20, checkpoint=checkpoint, **SMALL_RESUME)
    assert "Interrupted after step 7" in capsys.readouterr().out
    assert training.step == eqx.load(checkpoint)["step"] == 7
    assert eqx.tree_equal(eqx.load(checkpoint, training), training)
