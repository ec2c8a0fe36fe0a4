"""Train some parameters and freeze the others: one filter chooses what is traced, another what is differentiated.

Only the last layer of an MLP is trained here, on top of random features. All arrays, trained or frozen, are inputs of
the compiled code. A frozen array has no gradient, but it isn't a constant in the compiled code.
"""

import jax
import jax.numpy as jnp
import jax.random as jrandom
import optax

import equinox as eqx


def trainable_leaves(model):
    """A tree like `model`, with `True` for each leaf to train, and `False` for the others."""
    nothing = jax.tree_util.tree_map(lambda _: False, model)
    return eqx.tree_at(lambda mlp: (mlp.layers[-1].weight, mlp.layers[-1].bias), nothing, replace=(True, True))


def loss(model, x, y):
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


def main(steps=300, learning_rate=3e-2, seed=0):
    """Fit `y = sin(3 x)`. Returns: the loss at each step, the model before and the model after training."""
    initial_model = model = eqx.nn.MLP(1, 1, width_size=64, depth=2, key=jrandom.PRNGKey(seed))
    x = jnp.linspace(-1, 1, 64)[:, None]
    y = jnp.sin(3 * x)

    trainable = trainable_leaves(model)
    print("The leaves that are True are trained:\n{}".format(trainable))

    optim = optax.adam(learning_rate)
    opt_state = optim.init(eqx.filter(model, trainable))

    # Two filters for two questions. What is traced? Every array. What is differentiated? The last layer.
    @eqx.jitf(filter_fn=eqx.is_array)
    def make_step(model, opt_state, x, y):
        print("Compiling the step.")  # runs only while JAX traces the function, so once
        value, grads = eqx.value_and_grad_f(loss, filter_tree=trainable)(model, x, y)
        updates, opt_state = optim.update(grads, opt_state)
        return value, eqx.apply_updates(model, updates), opt_state

    losses = []
    for i in range(1, steps + 1):
        value, model, opt_state = make_step(model, opt_state, x, y)
        losses.append(float(value))
        if i == 1 or i % 100 == 0:
            print("step {:4d}   loss {:.5f}".format(i, losses[-1]))

    for number, (before, after) in enumerate(zip(initial_model.layers, model.layers)):
        print("Layer {} {}.".format(number, "is unchanged" if eqx.tree_equal(before, after) else "was trained"))
    return losses, initial_model, model


if __name__ == "__main__":
    main()
