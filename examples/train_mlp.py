"""Train an MLP with `eqx.jitf` and `eqx.gradf`, which let a filter choose the leaves that they act on.

The leaves of an `eqx.nn.MLP` are arrays, which `jax.jit` and `jax.grad` accept. A training step has other inputs too:
an optimiser, which is a tuple of functions, and often a model with flags or names among its leaves. A filter is a
function from a leaf to a bool. It chooses the leaves that a transformation acts on. The others stay static.
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


# Differentiate with respect to the floating-point arrays: weights and biases. Other leaves have the gradient `None`.
grad_fn = eqx.gradf(loss_fn, filter_fn=eqx.is_inexact_array)
loss_and_grad_fn = eqx.value_and_grad_f(loss_fn, filter_fn=eqx.is_inexact_array)


# Trace all arrays: parameters, optimiser state and data. Other leaves, such as the functions of `optim`, are static:
# they are built into the compiled code. If one changes, JAX compiles again.
@eqx.jitf(filter_fn=eqx.is_array)
def make_step(model, opt_state, x, y, optim):
    loss, grads = loss_and_grad_fn(model, x, y)
    updates, opt_state = optim.update(grads, opt_state)
    # If the gradient is `None`, the update is `None` too, and `apply_updates` keeps the leaf.
    return loss, eqx.apply_updates(model, updates), opt_state


def make_data(number, seed):
    """Noisy samples of a smooth function on a square: x (number, 2), y (number, 1)."""
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
    # The optimiser keeps statistics only for the leaves that are trained.
    opt_state = optim.init(eqx.filter(model, eqx.is_inexact_array))
    losses = []
    tqdm.monitor_interval = 0  # after Ctrl-C, its thread may wait for a lock for ever and keep the program running
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
