"""Train eight models at once, and see in a picture where they agree.

`filter_vmap` makes the members from eight keys, each with its own optimiser. They are one model whose arrays have a
leading axis of length 8. `filter_vmap` of the step of one member then trains all of them. Each member starts from its
own parameters and draws its own batches. The members agree where there is data. In a gap of the data they disagree, so
a large spread shows that they don't know the function there. A small spread is no proof: far from all data the members
may agree and be wrong, as the picture shows.

Ctrl-C stops the training early. The members are then evaluated and drawn as usual.
"""

import argparse

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx

NOISE = 0.1  # the standard deviation of the data around the function


def truth(x):
    return np.sin(4 * x)


def make_data(number, seed):
    """Noisy samples of a function, with a gap in the middle: x (number,), y (number,)."""
    rng = np.random.RandomState(seed)
    x = rng.uniform(0.8, 1.8, number) * rng.choice([-1, 1], number)
    return x.astype("float32"), (truth(x) + NOISE * rng.normal(size=number)).astype("float32")


PLACES = {
    "among the data": np.linspace(0.9, 1.7, 20, dtype="float32"),
    "in the gap": np.linspace(-0.3, 0.3, 20, dtype="float32"),
    "beyond the data": np.linspace(2.2, 2.4, 20, dtype="float32"),
}


def loss_of(model, x, y):
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


def make_members(number, width, learning_rate, key):
    """All members: a model and an optimiser, whose arrays have a leading axis of this length."""
    optim = optax.adam(learning_rate)  # made once, because it is static: it must be the same for all members

    @eqx.filter_vmap
    def make(key):
        model = eqx.nn.MLP("scalar", "scalar", width, depth=2, activation=jnp.tanh, key=key)
        return model, eqx.Optimizer(optim, model)

    return make(jrandom.split(key, number))


def make_step_of_one(model, optimizer, key, x, y, batch_size):
    batch = jrandom.randint(key, (batch_size,), 0, len(x))
    loss, grads = eqx.filter_value_and_grad(loss_of)(model, x[batch], y[batch])
    model, optimizer = optimizer.step(model, grads)
    return loss, model, optimizer


@eqx.filter_jit
def make_step(models, optimizers, key, x, y, batch_size):
    keys = jrandom.split(key, models.layers[0].weight.shape[0])
    each = eqx.if_array(0)  # these inputs have the axis of the members; all members get the same data
    step = eqx.filter_vmap(make_step_of_one, in_axes=(each, each, 0, None, None, None))
    return step(models, optimizers, keys, x, y, batch_size)


@eqx.filter_jit
def predict(models, x):
    """Returns: what each member says at each point: (members, points)."""
    return eqx.filter_vmap(lambda model, x: jax.vmap(model)(x), in_axes=(eqx.if_array(0), None))(models, x)


def train(models, optimizers, data, steps, batch_size, key):
    """Train all members at once, until `steps` or Ctrl-C. Returns: the models, and their history."""
    history = {"loss": []}  # a list of (step, the loss of each member)
    tqdm.monitor_interval = 0  # after Ctrl-C, its thread may wait for a lock for ever and keep the program running
    with tqdm(total=steps, desc="training") as bar:
        try:
            for i in range(steps):
                inputs = jrandom.fold_in(key, i), *data, batch_size
                # One assignment, so that an interrupt keeps the whole result of the last step.
                loss, models, optimizers = make_step(models, optimizers, *inputs)
                history["loss"].append((i, np.asarray(loss)))
                bar.update()
                bar.set_postfix(loss="{:.4f}".format(history["loss"][-1][1].mean()), refresh=False)
        except KeyboardInterrupt:
            bar.write("Interrupted: going on with what was learnt in {} steps.".format(len(history["loss"])))
    return models, history


def draw(path, models, data):
    """Write a picture with the data, each member, and the spread."""
    # Imported here, because training needs no picture. Unlike pyplot, a plain `Figure` needs no screen.
    from matplotlib.figure import Figure

    x = np.linspace(-2.5, 2.5, 300, dtype="float32")
    members = np.asarray(predict(models, x))
    mean, spread = members.mean(axis=0), members.std(axis=0)

    figure = Figure(figsize=(9, 4.5))
    axes = figure.subplots()
    label = "two standard deviations of the members"
    axes.fill_between(x, mean - 2 * spread, mean + 2 * spread, color="tab:blue", alpha=0.2, linewidth=0, label=label)
    for i, member in enumerate(members):
        axes.plot(x, member, color="tab:blue", linewidth=0.8, alpha=0.8, label=None if i else "each member")
    axes.plot(x, truth(x), color="tab:green", linestyle="--", label="the function")
    axes.plot(*data, ".", color="black", markersize=4, label="the data")
    axes.set(title="The members agree where there is data", xlabel="x", ylabel="y", ylim=(-2.5, 2.5))
    axes.set_xlim(x[0], x[-1])
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", fontsize="small", ncol=2)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main(
    steps=2000, members=8, number=100, width=32, batch_size=32, learning_rate=3e-3, seed=0, picture="ensemble.png"
):
    """Returns: the error of their mean, the models, the error of each one, the spread by place, and the history."""
    data, (test_x, test_y) = make_data(number, seed), make_data(1000, seed + 1)
    models_key, train_key = jrandom.split(jrandom.PRNGKey(seed))
    models, optimizers = make_members(members, width, learning_rate, models_key)

    print("Training {} members for {} steps. Ctrl-C stops early.".format(members, steps))
    models, history = train(models, optimizers, data, steps, batch_size, train_key)

    predictions = np.asarray(predict(models, test_x))
    errors = np.sqrt(np.mean((predictions - test_y) ** 2, axis=1))
    error_of_mean = float(np.sqrt(np.mean((predictions.mean(axis=0) - test_y) ** 2)))
    print("The error of a member on new samples: {:.3f} to {:.3f}.".format(errors.min(), errors.max()))
    print("The error of their mean: {:.3f}. The noise alone: {}.".format(error_of_mean, NOISE))
    spreads = {}
    for place, x in PLACES.items():
        predictions = np.asarray(predict(models, x))
        spreads[place] = float(predictions.std(axis=0).mean())
        distance = np.abs(predictions.mean(axis=0) - truth(x)).mean()
        print("{:>15}: the spread is {:.2f}, the mean is wrong by {:.2f}.".format(place, spreads[place], distance))
    if picture:
        draw(picture, models, data)
        print("The picture is in {}.".format(picture))
    return error_of_mean, models, errors, spreads, history


if __name__ == "__main__":
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train an ensemble.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--members", type=int, help="number of models")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    parser.add_argument("--picture", help="file for the picture; '' for no picture")
    main(**vars(parser.parse_args()))
