"""Train an MLP with `eqx.jitf` and `eqx.gradf`: transformations that are told leaf by leaf what to act on.

The leaves of an `eqx.nn.MLP` are arrays, which `jax.jit` and `jax.grad` take as they are. A training step takes more:
an optimiser, which is a tuple of functions, and often a model with flags or names among its leaves. The filtered
transformations ask a filter, a function from a leaf to a bool, which leaves they shall take. The others stay static.
"""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx


def loss_fn(model, x, y):
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


# Differentiate with respect to the floating-point arrays: weights and biases. Any other leaf gets the gradient `None`.
grad_fn = eqx.gradf(loss_fn, filter_fn=eqx.is_inexact_array)
loss_and_grad_fn = eqx.value_and_grad_f(loss_fn, filter_fn=eqx.is_inexact_array)


# Trace all arrays, be they parameters, optimiser state or data. The rest, such as `optim`, is static: known when
# compiling, and compiled anew should it change.
@eqx.jitf(filter_fn=eqx.is_array)
def make_step(model, opt_state, x, y, optim):
    loss, grads = loss_and_grad_fn(model, x, y)
    updates, opt_state = optim.update(grads, opt_state)
    # Where the gradient is `None` so is the update, and `apply_updates` leaves the model as it is.
    return loss, eqx.apply_updates(model, updates), opt_state


def make_data(number, seed):
    """Noisy samples of hills and valleys over a square: x (number, 2), y (number, 1)."""
    rng = np.random.RandomState(seed)
    x = rng.uniform(-1, 1, size=(number, 2))
    y = np.sin(3 * x[:, :1]) * np.cos(2 * x[:, 1:]) + 0.05 * rng.normal(size=(number, 1))
    return jnp.asarray(x), jnp.asarray(y)


def main(steps=500, learning_rate=1e-2, seed=0):
    """Returns: the loss at each step, and the trained model."""
    x, y = make_data(512, seed)
    model = eqx.nn.MLP(in_size=2, out_size=1, width_size=32, depth=2, key=jrandom.PRNGKey(seed))
    grads = eqx.jitf(grad_fn, filter_fn=eqx.is_array)(model, x, y)
    print("The gradient is an MLP too:\n{}".format(grads))

    optim = optax.adam(learning_rate)
    # The optimiser keeps its statistics for what is trained, and for nothing else.
    opt_state = optim.init(eqx.filter(model, eqx.is_inexact_array))
    losses = []
    tqdm.monitor_interval = 0  # its thread may wait for ever for a lock that Ctrl-C left taken, and keep the program
    with tqdm(total=steps, desc="training") as bar:
        for _ in range(steps):
            loss, model, opt_state = make_step(model, opt_state, x, y, optim)
            losses.append(float(loss))
            bar.set_postfix(loss="{:.4f}".format(losses[-1]), refresh=False)
            bar.update()

    print("The loss fell from {:.4f} to {:.4f}; the noise alone is 0.0025.".format(losses[0], losses[-1]))
    return losses, model


if __name__ == "__main__":
    main()
