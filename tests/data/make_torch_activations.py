"""Write `torch_activations.json`: PyTorch's `PReLU`. See `torch_case.py`."""

import torch
from torch_case import draw, make_case, new_rng, write


def main():
    rng = new_rng()
    cases = {}
    for n in (1, 3):
        inputs = {"x": draw(rng, 2, 3, 2)}
        cases["PReLU {}".format(n)] = make_case(rng, torch.nn.PReLU(n), inputs, options={"num_parameters": n})
    write(__file__, cases)


if __name__ == "__main__":
    main()
