"""The optimisers that a run's `optimizer` may name."""

from collections.abc import Mapping
from dataclasses import dataclass

from ldreg.catalogue.implementation import Implementation


@dataclass(frozen=True)
class Optimizer:
    """One optimiser.

    Attributes:
        key: its name in YAML files, folder names and tables.
        implementation: its class, with the interface of `torch.optim.Optimizer`.
        constants: arguments that are the same for all runs.
        decays_biases: whether weight decay applies to biases and norm parameters, too.
    """

    key: str
    implementation: Implementation
    constants: Mapping[str, float]
    decays_biases: bool = False


_ALL = (
    Optimizer(
        "lars", Implementation("ldreg.training.lars", "LARS"), {"momentum": 0.9, "trust_coefficient": 0.001}
    ),
    Optimizer("sgd", Implementation("torch.optim", "SGD"), {"momentum": 0.9}),
    # As in the authors' code. `beta1` is the first of AdamW's two betas; a run sets the second.
    Optimizer("adamw", Implementation("torch.optim", "AdamW"), {"beta1": 0.9}, decays_biases=True),
)
OPTIMIZERS = {each.key: each for each in _ALL}
