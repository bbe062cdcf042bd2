import pytest
import torch
from torch import nn

from ldreg.data.views import eval_view
from ldreg.evaluation.features import extract


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    network(torch.rand(16, 3, 8, 8))  # running statistics that are not the initial ones
    return network


@pytest.fixture
def images():
    return torch.randint(0, 256, (10, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_no_weight_buffer_or_training_flag_changes(encoder, images):
    encoder.train()
    encoder[1].eval()  # a frozen part stays frozen
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    flags = [module.training for module in encoder.modules()]
    random_state = torch.get_rng_state()

    features = extract(encoder, images, size=8, device="cpu", batch_size=4)

    after = encoder.state_dict()
    assert before.keys() == after.keys() and {"1.running_mean", "1.num_batches_tracked"} <= before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [module.training for module in encoder.modules()] == flags
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)  # no dropout was drawn
    assert not features.requires_grad


def test_equals_the_encoder_in_eval_mode_in_order(encoder, images):
    features = extract(encoder, images, size=8, device="cpu", batch_size=4)
    encoder.eval()
    expected = torch.stack([encoder(eval_view(image[None], 8))[0] for image in images])
    assert features.dtype == torch.float32 and features.shape == (10, 4)
    torch.testing.assert_close(features, expected)


def test_flags_return_after_an_error(encoder, images):
    encoder.train()
    with pytest.raises(ValueError, match=r"must return \(10, dim\)"):
        extract(encoder[:3], images, size=8, device="cpu")
    assert all(module.training for module in encoder.modules())


def test_bad_input_is_named(encoder, images):
    with pytest.raises(ValueError, match="holds no image"):
        extract(encoder, images[:0], size=8, device="cpu")
    encoder[0].weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite for 10 of 10 images"):
        extract(encoder, images, size=8, device="cpu")
