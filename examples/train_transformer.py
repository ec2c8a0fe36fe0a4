"""Train a transformer on the reference of Python, character by character, and let it write.

The text is in Python's standard library: `help("for")` shows a part of it. The network predicts the next character. Its
blocks are equal, so `Stacked` compiles one of them. Attention keeps the keys and values of all characters before in a
state. So a new character costs one step, however long the text is.

Ctrl-C stops the training early. The model is then evaluated and drawn, and it writes, as usual.
"""

import argparse

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
from tqdm import tqdm

import equinox as eqx


class Block(eqx.nn.StatefulLayer):
    """Attention to the vectors before, then an MLP for each vector. Both are added to what they read."""

    attention: eqx.nn.MultiheadAttention
    rotary: eqx.nn.RotaryPositionalEmbedding
    mlp: eqx.nn.MLP
    attention_norm: eqx.nn.LayerNorm
    mlp_norm: eqx.nn.LayerNorm
    dropout: eqx.nn.Dropout

    def __init__(self, width, heads, context, dropout, key):
        attention_key, mlp_key = jrandom.split(key)
        self.attention = eqx.nn.MultiheadAttention(
            heads, width, dropout_p=dropout, max_length=context, key=attention_key
        )
        self.rotary = eqx.nn.RotaryPositionalEmbedding(width // heads)
        self.mlp = eqx.nn.MLP(width, width, 4 * width, 1, jax.nn.gelu, key=mlp_key)
        self.attention_norm, self.mlp_norm = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)
        self.dropout = eqx.nn.Dropout(dropout)

    def __call__(self, xs, state, *, key=None):
        """`xs` are the next vectors, one or several, in the shape `(length, width)`."""
        keys = (None,) * 3 if key is None else jrandom.split(key, 3)
        position = state.get(self.attention.cache)["length"]  # that of the first of `xs`

        def rotate(queries, keys, values):
            turn = jax.vmap(lambda head: self.rotary(head, offset=position), in_axes=1, out_axes=1)
            return turn(queries), turn(keys), values

        ys = jax.vmap(self.attention_norm)(xs)
        ys, state = self.attention(ys, ys, ys, state=state, key=keys[0], process_heads=rotate)
        xs = xs + self.dropout(ys, key=keys[1])
        ys = jax.vmap(lambda x: self.mlp(self.mlp_norm(x)))(xs)
        return xs + self.dropout(ys, key=keys[2]), state


class Transformer(eqx.nn.StatefulLayer):
    """From the next tokens of a text to the log-odds of the token after each of them."""

    embedding: eqx.nn.Embedding
    blocks: eqx.nn.Stacked
    norm: eqx.nn.LayerNorm
    readout: eqx.nn.Linear
    context: int = eqx.field(static=True)

    def __init__(self, tokens, width, depth, heads, context, dropout, key):
        embedding_key, blocks_key, readout_key = jrandom.split(key, 3)
        self.embedding = eqx.nn.Embedding(tokens, width, key=embedding_key)
        self.blocks = eqx.nn.Stacked(lambda key: Block(width, heads, context, dropout, key), depth, key=blocks_key)
        self.norm = eqx.nn.LayerNorm(width)
        self.readout = eqx.nn.Linear(width, tokens, key=readout_key)
        self.context = context

    def __call__(self, tokens, state, *, key=None):
        xs, state = self.blocks(jax.vmap(self.embedding)(tokens), state, key=key)
        return jax.vmap(lambda x: self.readout(self.norm(x)))(xs), state


def load_text():
    """Returns: the reference of Python, in ASCII. No paragraph comes twice, so what is held out isn't trained on."""
    from pydoc_data.topics import topics

    paragraphs = [paragraph for name in sorted(topics) for paragraph in topics[name].split("\n\n")]
    text = "\n\n".join(dict.fromkeys(paragraphs)).replace("\u2019", "'")
    return "".join(character for character in text if character < "\x7f")


# Training


def windows(tokens, number, length, rng):
    """Returns: `number` random parts of the text, as an array `(number, length)`."""
    starts = rng.randint(len(tokens) - length + 1, size=number)
    return tokens[starts[:, None] + np.arange(length)]


def mean_loss(model, state, batch, key=None):
    """The cross-entropy of the next character in nats. Without a key there is no dropout."""

    def loss(window, state, key):
        logits, _ = model(window[:-1], state, key=key)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), window[1:, None], 1))

    keys = None if key is None else jrandom.split(key, len(batch))
    return jnp.mean(jax.vmap(loss, in_axes=(0, None, None if key is None else 0))(batch, state, keys))


@eqx.filter_jit
def evaluate(model, state, batch):
    return mean_loss(eqx.nn.inference_mode(model), state, batch)


@eqx.filter_jit
def make_step(model, opt_state, state, batch, key, optim):
    loss, grads = eqx.filter_value_and_grad(mean_loss)(model, state, batch, key)
    updates, opt_state = optim.update(grads, opt_state, eqx.filter(model, eqx.is_inexact_array))
    return loss, eqx.apply_updates(model, updates), opt_state


def train(model, state, optim, tokens, held_out, steps, batch_size, key):
    """Train on random parts of the text, until `steps` or Ctrl-C. Returns: the model, and its history."""
    rng = np.random.RandomState(0)  # of the batches
    opt_state = optim.init(eqx.filter(model, eqx.is_inexact_array))
    history = {"loss": [], "held_out": []}  # lists of (step, value)
    tqdm.monitor_interval = 0  # after Ctrl-C, its thread may wait for a lock for ever and keep the program running
    with tqdm(total=steps, desc="training") as bar:
        try:
            for i in range(steps):
                if i % 50 == 0:
                    history["held_out"].append((i, float(evaluate(model, state, held_out))))
                batch = windows(tokens, batch_size, model.context + 1, rng)
                # One assignment, so that an interrupt keeps the whole result of the last step.
                loss, model, opt_state = make_step(model, opt_state, state, batch, jrandom.fold_in(key, i), optim)
                history["loss"].append((i, float(loss)))
                bar.update()
                bar.set_postfix(loss="{:.2f}".format(float(loss)), refresh=False)
        except KeyboardInterrupt:
            bar.write("Interrupted: going on with what was learnt in {} steps.".format(len(history["loss"])))
    return model, history


# Writing


@eqx.filter_jit
def write(model, state, prompt, number, temperature, key):
    """Go on with a text. At a low temperature, likely characters are taken more often.

    Args:
        model: A model in inference mode.
        state: Its first state.
        prompt: The tokens that are given.
        number: The number of tokens to write. With those of the prompt there are at most `model.context` of them.
        temperature: The log-odds are divided by it.
        key: A PRNG key.

    Returns:
        The new tokens.
    """

    def step(carry, key):
        logits, state = carry
        token = jrandom.categorical(key, logits / temperature)
        logits, state = model(token[None], state)  # the state has all tokens before
        return (logits[-1], state), token

    logits, state = model(prompt, state)
    return jax.lax.scan(step, (logits[-1], state), jrandom.split(key, number))[1]


def draw(path, history, baseline):
    """Write a picture with the learning curve. `baseline` is the loss of a guess by the frequency of each character."""
    # Imported here, because training needs no picture. Unlike pyplot, a plain `Figure` needs no screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5))
    learning = figure.subplots()
    if history["loss"]:  # empty if Ctrl-C came before the first step
        learning.plot(
            *zip(*history["loss"]), color="tab:gray", alpha=0.5, linewidth=0.7, label="the batch, with dropout"
        )
    learning.plot(*zip(*history["held_out"]), color="tab:green", marker=".", label="text that was held out")
    learning.axhline(baseline, color="tab:orange", linestyle="--", label="a guess by the frequency of each character")
    learning.set(title="The learning curve", xlabel="step", ylabel="cross-entropy of the next character (nats)", ylim=0)
    learning.grid(alpha=0.3)
    learning.legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main(
    steps=1000,
    batch_size=16,
    context=128,
    width=96,
    depth=4,
    heads=4,
    dropout=0.1,
    learning_rate=2e-3,
    seed=0,
    picture="transformer.png",
):
    """Returns: the loss on held-out text, the model, what it wrote, and the history of the loss."""
    text = load_text()
    alphabet = sorted(set(text))
    tokens = np.array([alphabet.index(character) for character in text], "int32")
    number = len(tokens) // 10  # held out
    tokens, rest = tokens[:-number], tokens[-number:]
    held_out = windows(rest, 32, context + 1, np.random.RandomState(1))
    model_key, train_key, write_key = jrandom.split(jrandom.PRNGKey(seed), 3)
    model, state = eqx.nn.make_with_state(Transformer)(len(alphabet), width, depth, heads, context, dropout, model_key)

    print("Training for {} steps. Ctrl-C stops early and keeps what was learnt.".format(steps))
    optim = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(learning_rate, weight_decay=0.01))
    model, history = train(model, state, optim, tokens, held_out, steps, batch_size, train_key)

    loss = float(evaluate(model, state, held_out))
    history["held_out"].append((len(history["loss"]), loss))
    print("A character that was not used in training costs {:.2f} nats.".format(loss))
    prompt = rest[: context // 8]
    new = write(eqx.nn.inference_mode(model), state, prompt, context - len(prompt), jnp.float32(0.7), write_key)
    written = "".join(alphabet[token] for token in np.concatenate([prompt, np.asarray(new)]))
    print("The model goes on with {!r}:\n\n{}\n".format(written[: len(prompt)], written))
    if picture:
        frequency = np.bincount(tokens) / len(tokens)
        draw(picture, history, float(np.sum(frequency * -np.log(np.maximum(frequency, 1e-30)))))
        print("The picture is in {}.".format(picture))
    return loss, model, written, history


if __name__ == "__main__":
    # Options that aren't given are left out, so `main` has the defaults.
    parser = argparse.ArgumentParser(description="Train a transformer on text.", argument_default=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help="number of training steps")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    parser.add_argument("--picture", help="file for the picture; '' for no picture")
    main(**vars(parser.parse_args()))
