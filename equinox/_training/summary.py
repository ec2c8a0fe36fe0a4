"""`summary`: the layers of a model as a table."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Tuple

from .._compat.types import PyTree
from .._module.forwards_keywords import forwards_keywords
from .._transforms.wrap import check_callable
from .._trees.paths import class_name
from .summary_layers import layers_of
from .summary_outputs import add_outputs
from .summary_runs import Run, fold
from .table import Column, as_html, as_markdown, as_text


class SummaryRow(NamedTuple):
    """A row of a summary: a module, or several equal ones in a list.

    Attributes:
        path: What follows the name of the model in Python, as in `.layers[0]`. Of several, a slice: `.layers[0:12]`.
            Empty for the whole model.
        name: The name of the class.
        repeats: How many modules they are.
        output: The shapes of the output of a call. If calls gave different ones, all of them. Empty if no call was
            seen.
        parameters: The number of elements of all floating-point and complex arrays in them.
        trainable: How many of these are trained: see `trainable`.
        nbytes: The bytes of all arrays in them.
        dtype: The dtypes of these arrays.
        sharding: Their shardings. Empty if each is on one device.
    """

    path: str
    name: str
    repeats: int
    output: str
    parameters: int
    trainable: int
    nbytes: int
    dtype: str
    sharding: str


class Summary:
    """What `summary` returns. `print` writes it as text. A notebook shows it as a table.

    Attributes:
        rows: The rows of the table. Equal layers are one row.
        all_rows: A row for each module.
    """

    def __init__(self, rows: Tuple[SummaryRow, ...], all_rows: Tuple[SummaryRow, ...]) -> None:
        self.rows = rows
        self.all_rows = all_rows

    def __str__(self) -> str:
        return "{}\n\n{}".format(as_text(self._columns()), self._totals())

    __repr__ = __str__

    def markdown(self) -> str:
        """Write the table in Markdown.

        Returns:
            The text.

        Example:
            >>> print(eqx.summary(eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))).markdown())
            | path | class | parameters | trainable | bytes | dtype |
            | :--- | :--- | ---: | ---: | ---: | :--- |
            | `model` | Linear | 8 | 8 | 32 | float32 |
            <BLANKLINE>
            8 parameters, 8 of them trainable. 32 bytes.
        """
        return "{}\n\n{}".format(as_markdown(self._columns()), self._totals())

    def html(self) -> str:
        """Write the table in HTML.

        Returns:
            The text.

        Example:
            >>> eqx.summary(eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))).html()[:7]
            '<table>'
        """
        return "{}\n<p>{}</p>".format(as_html(self._columns()), self._totals())

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        return self.html()

    def _columns(self) -> List[Column]:
        rows = self.rows
        columns = [
            Column("path", [row.path or "model" for row in rows], is_code=True),
            Column("class", ["{} x {}".format(row.repeats, row.name) if row.repeats > 1 else row.name for row in rows]),
            Column("output", [row.output for row in rows], is_code=True),
            Column("parameters", ["{:,}".format(row.parameters) for row in rows], is_number=True),
            Column("trainable", ["{:,}".format(row.trainable) for row in rows], is_number=True),
            Column("bytes", ["{:,}".format(row.nbytes) for row in rows], is_number=True),
            Column("dtype", [row.dtype for row in rows]),
            Column("sharding", [row.sharding for row in rows], is_code=True),
        ]
        return [column for column in columns if column.title not in ("output", "sharding") or any(column.cells)]

    def _totals(self) -> str:
        total = self.rows[0]
        return "{:,} parameters, {:,} of them trainable. {:,} bytes.".format(
            total.parameters, total.trainable, total.nbytes
        )


@forwards_keywords
def summary(__model: PyTree, *inputs: Any, **keywords: Any) -> Summary:
    """Describe each layer of a model: its path, class, output, size, dtype and sharding.

    Each module in the model has a row. A row counts what is in the module and in the modules inside it, so the first
    row has the totals. Equal layers that follow one another in a list are one row, such as `.layers[0:12]`. Such a row
    counts all of them. The attribute `all_rows` of the result has a row for each. What `freeze` or
    `field(trainable=False)` marks isn't trainable.

    The outputs are found as in `filter_eval_shape`: nothing is computed. Inside `jax.vmap` the output is that of one
    example. A layer has no output in the table if the model doesn't call it, if it calls only another method, or if
    JAX reuses what it traced for an equal layer, as in two calls of `filter_jit(layer)`. Inside a transformation that
    copies the layer, such as `filter_checkpoint(layer)`, a call counts for the first layer of the same structure and
    shapes that wasn't called.

    Args:
        model: A model, or any pytree. A `jax.ShapeDtypeStruct` may stand for an array, as in the output of
            `filter_eval_shape`. For a batch, pass `eqx.filter_vmap(model)`, or the shape of one example.
        *inputs: The inputs of the model. A `jax.ShapeDtypeStruct` may stand for an array. Without inputs the table has
            no outputs.
        **keywords: More inputs, by keyword, such as `key`.

    Returns:
        A `Summary`. `str` of it is the table as text. It has the methods `markdown` and `html`, and the attributes
        `rows` and `all_rows`. A notebook shows it as a table.

    Raises:
        TypeError: There are inputs, and `model` isn't callable.

    Example:
        >>> model = eqx.nn.MLP(3, 2, width_size=8, depth=3, key=jax.random.PRNGKey(0))
        >>> print(eqx.summary(model, jnp.ones(3)))
        path          class       output  parameters  trainable  bytes  dtype
        ------------  ----------  ------  ----------  ---------  -----  -------
        model         MLP         f32[2]         194        194    776  float32
        .layers[0]    Linear      f32[8]          32         32    128  float32
        .layers[1:3]  2 x Linear  f32[8]         144        144    576  float32
        .layers[3]    Linear      f32[2]          18         18     72  float32
        <BLANKLINE>
        194 parameters, 194 of them trainable. 776 bytes.
    """
    layers = layers_of(__model)
    if inputs or keywords:
        check_callable("summary", __model)
        add_outputs(layers, inputs, keywords)
    folded = tuple(map(_row, fold(layers)))
    return Summary(folded, tuple([_row(Run(layer, layer.path, 1)) for layer in layers]))


def _row(run: Run) -> SummaryRow:
    layer, repeats = run.layer, run.repeats
    return SummaryRow(
        path=run.path,
        name=class_name(layer.node),
        repeats=repeats,
        output="; ".join(layer.outputs),
        parameters=repeats * layer.parameters,
        trainable=repeats * layer.trainable,
        nbytes=repeats * layer.nbytes,
        dtype=", ".join(sorted(layer.dtypes)),
        sharding="; ".join(sorted(layer.shardings)),
    )
