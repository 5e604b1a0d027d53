"""LoRA by hand against peft, and weights in few bits against bitsandbytes."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM

from utils import quantised
from utils.lora import LoRALinear, adapter_weights, add_lora, copy_into_peft, linear_layers, merge, merge_all, shapes, training_memory
from utils.models import count_weights, tiny_model

IDS = torch.tensor([[2, 40, 41, 42, 50, 3], [2, 60, 61, 40, 44, 3]])


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A folder with a two-layer language model of random weights."""
    return tiny_model(tmp_path_factory.mktemp("decoder"), kind="decoder")


@pytest.fixture
def network(decoder):
    return AutoModelForCausalLM.from_pretrained(decoder).eval()


def nudge(network, seed=0):
    """Give every B values other than zero, as training would."""
    torch.manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, LoRALinear):
            nn.init.normal_(layer.B, std=0.05)
    return network


def test_a_fresh_adapter_changes_nothing(network):
    before = network(IDS).logits
    assert torch.equal(add_lora(network, rank=4)(IDS).logits, before)


def test_only_the_adapters_learn_and_are_counted_right(network):
    expected = adapter_weights(shapes(network), rank=4)
    learning, every = count_weights(network)
    assert learning == every
    learning, every_now = count_weights(add_lora(network, rank=4))
    assert (learning, every_now) == (expected, every + expected)


def test_at_the_start_b_has_a_gradient_and_a_has_none(network):
    add_lora(network, rank=4)
    network(IDS, labels=IDS).loss.backward()
    layers = [m for m in network.modules() if isinstance(m, LoRALinear)]
    assert all(not layer.A.grad.any() and layer.B.grad.any() for layer in layers)
    assert all(weight.grad is None for name, weight in network.named_parameters() if not name.endswith((".A", ".B")))


def test_a_merged_network_computes_the_same_with_no_weight_more(network):
    before = count_weights(network)[1]
    nudge(add_lora(network, rank=4))
    tuned = network(IDS).logits
    merged = merge_all(network)
    torch.testing.assert_close(merged(IDS).logits, tuned, atol=1e-5, rtol=1e-5)
    assert count_weights(merged)[1] == before and not any(isinstance(m, LoRALinear) for m in merged.modules())


def test_merging_keeps_a_bias():
    layer = LoRALinear(nn.Linear(5, 3), rank=2, alpha=8)
    nn.init.normal_(layer.B)
    x = torch.randn(4, 5)
    torch.testing.assert_close(merge(layer)(x), layer(x))


@pytest.mark.parametrize(("targets", "in_peft"), [("all", "all-linear"), ({"q_proj", "v_proj"}, ["q_proj", "v_proj"])])
def test_output_and_gradients_equal_those_of_peft(network, targets, in_peft):
    layers = len(linear_layers(network, targets))
    theirs = get_peft_model(copy.deepcopy(network), LoraConfig(r=4, lora_alpha=8, target_modules=in_peft, task_type="CAUSAL_LM"))
    ours = nudge(add_lora(network, targets, rank=4, alpha=8))
    copy_into_peft(ours, theirs)
    twins = [
        (layer, theirs.get_submodule(f"base_model.model.{name}")) for name, layer in ours.named_modules() if isinstance(layer, LoRALinear)
    ]
    assert len(twins) == layers and count_weights(ours)[0] == count_weights(theirs)[0]
    torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, atol=1e-5, rtol=1e-5)
    for model in (ours, theirs):
        model(IDS, labels=IDS).loss.backward()
    for layer, twin in twins:
        torch.testing.assert_close(layer.A.grad, twin.lora_A["default"].weight.grad, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(layer.B.grad, twin.lora_B["default"].weight.grad, atol=1e-5, rtol=1e-4)


def test_training_memory_adds_up_weights_gradients_and_what_adam_keeps(network):
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    found, (learning, every) = training_memory(network, IDS), count_weights(network)
    assert found["weights"] == found["gradients"] == 4 * every / 1e6
    assert found["Adam"] == pytest.approx(8 * learning / 1e6, rel=0.01)
    assert all(torch.equal(weight, before[name]) for name, weight in network.named_parameters())
    learning, every = count_weights(add_lora(network, rank=2))
    assert training_memory(network, IDS)["gradients"] == 4 * learning / 1e6


def test_attention_alone_is_found_in_both_model_families(network, tiny):
    llama = {name.split(".")[-1] for name in linear_layers(network, "attention")}
    bert = linear_layers(AutoModel.from_pretrained(tiny), "attention")
    assert llama == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert len(bert) == 2 * 4 and all(".attention." in name for name in bert)


def test_an_unknown_target_or_rank_is_explained(network):
    with pytest.raises(ValueError, match=r"no linear layer fits targets.*q_proj"):
        add_lora(network, {"query_key_value"})
    with pytest.raises(ValueError, match="rank must be at least 1"):
        add_lora(network, rank=0)
    with pytest.raises(ValueError, match="has adapters already"):
        add_lora(add_lora(network))


# ---- few bits ----------------------------------------------------------------------------------


@pytest.fixture
def matrix():
    torch.manual_seed(0)
    return 0.02 * torch.randn(96, 128)


def test_nf4_by_hand_equals_bitsandbytes(matrix):
    from bitsandbytes import functional

    torch.testing.assert_close(quantised.levels("nf4"), functional.get_4bit_type("nf4", device="cpu"), atol=1e-6, rtol=0)
    theirs = functional.dequantize_4bit(*functional.quantize_4bit(matrix, blocksize=64, quant_type="nf4"))
    torch.testing.assert_close(quantised.rounded(matrix, "nf4"), theirs, atol=1e-6, rtol=0)


def test_each_weight_goes_to_the_nearest_level(matrix):
    values = quantised.levels("nf4")
    codes, scales = quantised.quantise(matrix, values)
    nearest = (matrix.reshape(-1, 64, 1) / scales[:, :, None] - values).abs().argmin(-1)
    assert torch.equal(codes, nearest)


def test_fewer_bits_or_larger_blocks_lose_more(matrix):
    def error(kind, block=64):
        return (quantised.rounded(matrix, kind, block) - matrix).pow(2).mean().item()

    assert error("int8") < error("nf4") < error("int4") < error("int3") < error("int2")
    assert error("nf4", 32) < error("nf4", 64) < error("nf4", 4096)


def test_a_block_keeps_its_largest_weight_and_its_zeros(matrix):
    matrix[0, :5] = 0
    after = quantised.rounded(matrix, "int4")
    assert not after[0, :5].any()
    largest = matrix.reshape(-1, 64).abs().argmax(1, keepdim=True)
    torch.testing.assert_close(after.reshape(-1, 64).gather(1, largest), matrix.reshape(-1, 64).gather(1, largest))


def test_a_block_of_zeros_stays_zero():
    assert not quantised.rounded(torch.zeros(2, 64), "nf4").any()


def test_what_cannot_be_quantised_is_explained(matrix):
    with pytest.raises(ValueError, match="blocks of 100; choose a block"):
        quantised.quantise(matrix, quantised.levels("nf4"), block=100)
    with pytest.raises(ValueError, match="kind must be one of nf4, int8"):
        quantised.levels("int5")
    with pytest.raises(ValueError, match="kind must be one of float32, int8, nf4"):
        quantised.load_quantised("smollm2", "int2")


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def test_gradients_through_a_four_bit_base_equal_those_of_the_dequantised_model(decoder):
    four = quantised.load_quantised(decoder, "nf4")
    plain = quantised.load_quantised(decoder, "float32")
    quantised.fill_dequantised(plain, four)
    grads = []
    for network in (four, plain):
        nudge(add_lora(network, rank=4))
        torch.manual_seed(1)
        for layer in network.modules():
            if isinstance(layer, LoRALinear):
                nn.init.normal_(layer.A, std=0.1)
        network(IDS, labels=IDS).loss.backward()
        grads.append({name: weight.grad for name, weight in network.named_parameters() if name.endswith((".A", ".B"))})
    assert len(grads[0]) == len(grads[1]) == 28
    assert all(cosine(grads[0][name], grads[1][name]) > 0.999 for name in grads[0])


def test_a_four_bit_base_is_smaller_and_cannot_be_merged_as_it_is(decoder):
    four, plain = quantised.load_quantised(decoder, "nf4"), quantised.load_quantised(decoder, "float32")
    assert four.get_memory_footprint() < 0.6 * plain.get_memory_footprint()
    add_lora(four, rank=2)
    with pytest.raises(ValueError, match="load it in float32"):
        merge_all(four)


def test_rounding_all_layers_leaves_embeddings_and_scores_alone(decoder):
    plain = quantised.load_quantised(decoder, "float32")
    before = {name: weight.clone() for name, weight in plain.state_dict().items()}
    after = quantised.round_layers(plain, "int3").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{name}.weight" for name in linear_layers(plain)}
