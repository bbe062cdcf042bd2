"""The optimisers that a run's `optimizer` may name."""

from collections.abc import Mapping
from dataclasses import dataclass

from ldreg.catalogue.implementation import Implementation


@dataclass(frozen=True)
class Optimizer:
    """One optimiser.

    Attributes:
        key: what YAML files, folder names and tables call it.
        implementation: its class, of torch's interface.
        constants: what it is told beside the run's own settings, the same for all runs.
        decays_biases: whether biases and norms decay as the weights do; else they do not decay.
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
    # As the authors' code has it. `beta1` is the first of AdamW's two betas; a run sets the other.
    Optimizer("adamw", Implementation("torch.optim", "AdamW"), {"beta1": 0.9}, decays_biases=True),
)
OPTIMIZERS = {each.key: each for each in _ALL}
