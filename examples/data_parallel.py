"""Train on several devices at once: each has the whole model, and a part of the batch.

The arrays say where to compute. The batch is split over the devices, and the model is replicated, so JAX computes the
gradient of each part where the part is, and adds the gradients. The step itself is that of one device. The model and
the optimiser are donated, so each step writes the new ones into the memory of the old ones.

The program trains on one device and on all devices, checks that the numbers are the same, and says how fast both are.
It needs JAX 0.4.1 or newer.

A computer without accelerators has one device, its CPU. So that there are several, the program asks JAX for eight fake
devices, see `ask_for_fake_devices`. They share the cores of the computer. They show that a program is right, but they
make nothing faster.
"""

import argparse
import os
import time

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx

FEATURES, CLASSES = 32, 10


def ask_for_fake_devices(number=8):
    """Let JAX split the CPU into several devices. GPUs and TPUs are used as they are.

    JAX reads `XLA_FLAGS` when it looks for devices, so this must come first. A number that you have set is kept.
    """
    flags, option = os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count"
    if option not in flags and "JAX_NUM_CPU_DEVICES" not in os.environ:
        os.environ["XLA_FLAGS"] = "{} {}={}".format(flags, option, number)


def make_batch(number, step):
    """Points in boxes around ten centres: x (number, FEATURES), and the centre of each one (number,)."""
    centres = np.random.RandomState(0).normal(size=(CLASSES, FEATURES))
    rng = np.random.RandomState(step)
    labels = rng.randint(CLASSES, size=number)
    return (centres[labels] + rng.uniform(-2, 2, (number, FEATURES))).astype("float32"), labels.astype("int32")


def loss_of(model, x, labels):
    log_probabilities = jax.nn.log_softmax(jax.vmap(model)(x))
    return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=1))


# The first argument isn't donated. `replicated` keeps the new model where the old one is.
@eqx.filter_jit(donate="all-except-first")
def make_step(batch, model, optimizer, replicated):
    loss, grads = eqx.filter_value_and_grad(loss_of)(model, *batch)
    return loss, eqx.filter_shard(optimizer.step(model, grads), replicated)


def train(devices, steps, batch_size, width, optim, seed):
    """Train on these devices. Returns: the model, the losses, and the number of examples per second.

    Raises:
        NotImplementedError: JAX is older than 0.4.1.
    """
    if not hasattr(getattr(jax, "sharding", None), "PartitionSpec"):
        raise NotImplementedError(
            "This program spreads arrays with `jax.sharding`, which came with JAX 0.4.1. This is JAX {}. For an older "
            "JAX there is `eqx.filter_pmap`.".format(jax.__version__)
        )
    mesh = jax.sharding.Mesh(np.array(devices), ("data",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    model = eqx.nn.MLP(FEATURES, CLASSES, width, depth=2, key=jrandom.PRNGKey(seed))
    model, optimizer = eqx.filter_device_put((model, eqx.Optimizer(optim, model)), replicated)
    losses, start = [], time.perf_counter()
    tqdm.monitor_interval = 0  # no thread beside the training
    with tqdm(total=steps, desc="training on {}".format(len(devices))) as bar:
        for i in range(steps):
            batch = eqx.filter_device_put(make_batch(batch_size, i), split)
            loss, (model, optimizer) = make_step(batch, model, optimizer, replicated)
            losses.append(float(loss))  # this waits for the step
            if i == 0:
                start = time.perf_counter()  # the first step is compiled, so it isn't counted
            bar.update()
            bar.set_postfix(loss="{:.3f}".format(losses[-1]), refresh=False)
    seconds = time.perf_counter() - start
    return model, losses, (steps - 1) * batch_size / seconds


def main(steps=100, batch_size=1024, width=256, learning_rate=0.1, seed=0):
    """Returns: the models and the losses of one device and of all devices.

    Raises:
        AssertionError: The two models differ by more than rounding.
        ValueError: There are fewer than 2 steps, or fewer examples in a batch than devices.
    """
    devices = jax.devices()
    if steps < 2 or batch_size < len(devices):
        raise ValueError(
            "Expected at least 2 `steps`, got {}. Expected a `batch_size` of at least {}, an example for each device, "
            "got {}.".format(steps, len(devices), batch_size)
        )
    batch_size -= batch_size % len(devices)  # each device gets a part of the same size
    optim = optax.sgd(learning_rate, momentum=0.9)
    print("Devices: {}, the first is {}. Examples in a batch: {}.".format(len(devices), devices[0], batch_size))
    alone, losses_alone, speed_alone = train(devices[:1], steps, batch_size, width, optim, seed)
    spread, losses, speed = train(devices, steps, batch_size, width, optim, seed)

    largest = max(abs(a - b) for a, b in zip(losses_alone, losses))
    print("The loss fell from {:.3f} to {:.3f}. It differs by at most {:.0e}.".format(losses[0], losses[-1], largest))
    on_host = [jax.tree_util.tree_map(np.asarray, model) for model in (alone, spread)]
    differences = eqx.tree_diff(*on_host, rtol=1e-3, atol=1e-3)  # sums in another order are rounded otherwise
    if differences:
        raise AssertionError("The models differ:\n{}".format("\n".join(map(str, differences))))
    print("The models are the same up to rounding.")

    print(
        "Examples/s on one device: {:,.0f}. On all: {:,.0f}, {:.2f} x.".format(speed_alone, speed, speed / speed_alone)
    )
    if len(devices) > 1 and devices[0].platform == "cpu":
        print("The devices are fake, and share {} cores. So the times say nothing of real ones.".format(os.cpu_count()))
    return (alone, losses_alone), (spread, losses)


if __name__ == "__main__":
    ask_for_fake_devices()
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train on all devices.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help="number of training steps, at least 2")
    parser.add_argument("--batch-size", type=int, help="number of examples in a batch")
    parser.add_argument("--seed", type=int, help="seed of the first parameters")
    main(**vars(parser.parse_args()))
