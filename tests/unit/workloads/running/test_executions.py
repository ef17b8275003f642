"""Phases of small real models, called as targets call them."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_models import tiny_case, tiny_config

from crossgrade.values.operator_case import CannotRun
from crossgrade.workloads.resolve import find_model
from crossgrade.workloads.running import execution_of, materialised
from crossgrade.workloads.running.carried import rebuilt, tensors_of


class Holder:
    def __init__(self, **fields):
        self.__dict__.update(fields)


def test_nested_values_come_back_with_other_tensors_in_new_containers():
    inner = Holder(keys=torch.ones(2), name="k", count=3)
    value = {"a": [torch.zeros(1), 5], "cache": Holder(layers=[inner, inner], flag=True)}
    tensors = tensors_of(value)
    again = rebuilt(value, iter([t + 1 for t in tensors]))
    assert [t.tolist() for t in tensors_of(again)] == [(t + 1).tolist() for t in tensors]
    assert again["cache"].layers[0] is not inner
    assert (again["a"][1], again["cache"].flag, again["cache"].layers[0].name) == (5, True, "k")
    assert inner.keys.tolist() == [1, 1]


class TestInference:
    def test_decode_reads_the_cache_that_a_prefill_of_the_same_tokens_leaves(self):
        """One step beside the cache gives what the whole prompt at once gives."""
        execution = execution_of(tiny_case(tokens=1, context=8))
        model = execution.module.model
        seen = []
        handle = model.register_forward_hook(
            lambda m, args, kwargs, out: seen.append(kwargs["input_ids"]), with_kwargs=True
        )
        again = execution_of(tiny_case(tokens=1, context=8))
        handle.remove()
        (cached,) = seen
        logits = again.module(*again.inputs)[0]
        whole = model(input_ids=torch.cat([cached, again.inputs[0]], dim=1)).logits[:, -1]
        assert torch.allclose(logits[:, -1], whole, atol=1e-5)

    def test_the_cache_given_is_not_touched_and_the_one_returned_is_longer(self):
        execution = execution_of(tiny_case())
        before = [t.clone() for t in execution.inputs]
        first = execution.module(*execution.inputs)
        second = execution.module(*execution.inputs)
        assert all(torch.equal(a, b) for a, b in zip(before, execution.inputs, strict=True))
        assert torch.equal(first[0], second[0])
        assert {t.shape[-2] for t in execution.inputs[1:]} == {8}
        assert {t.shape[-2] for t in first[1:]} == {9}
        assert len(first) == len(execution.inputs) == 1 + 2 * 2

    def test_prefill_gives_the_logits_of_the_last_position_and_the_cache(self):
        outputs = execution_of(tiny_case(phase="prefill")).module(
            *execution_of(tiny_case(phase="prefill")).inputs
        )
        assert outputs[0].shape == (2, 1, 256)
        assert {t.shape for t in outputs[1:]} == {(2, 2, 8, 16)}

    def test_the_seed_decides_weights_and_inputs(self):
        def logits(seed):
            execution = execution_of(tiny_case(seed=seed))
            return execution.module(*execution.inputs)[0]

        assert torch.equal(logits(1), logits(1))
        assert not torch.allclose(logits(1), logits(2))

    def test_building_leaves_the_random_state_of_the_process_alone(self):
        before = torch.random.get_rng_state()
        execution_of(tiny_case(seed=99))
        assert torch.equal(before, torch.random.get_rng_state())

    def test_phases_share_weights_while_one_is_alive(self):
        decode = execution_of(tiny_case())
        prefill = execution_of(tiny_case(phase="prefill"))
        assert decode.module.model is prefill.module.model

    def test_the_trusted_run_computes_with_the_rounded_weights(self):
        plain = execution_of(tiny_case(dtype="bfloat16"))
        trusted = execution_of(tiny_case(dtype="bfloat16", compute="float64"))
        for a, b in zip(plain.module.parameters(), trusted.module.parameters(), strict=True):
            assert (a.dtype, b.dtype) == (torch.bfloat16, torch.float64)
            assert torch.equal(a.double(), b)

    def test_least_traffic_is_weights_and_both_caches(self):
        execution = execution_of(tiny_case())
        weights = sum(p.numel() * 4 for p in execution.module.parameters())
        cache = sum(t.numel() * 4 for t in execution.inputs[1:])
        assert execution.least_bytes == weights + 2 * cache + execution.inputs[0].numel() * 8

    def test_of_experts_not_every_parameter_is_read(self):
        config = tiny_config("qwen3-30b-a3b", num_experts=4, num_experts_per_tok=2,
                             moe_intermediate_size=32)  # fmt: skip
        execution = execution_of(tiny_case("qwen3-30b-a3b", config, phase="prefill"))
        assert execution.least_bytes is None
        assert torch.isfinite(execution.module(*execution.inputs)[0]).all()


class TestTraining:
    def test_a_step_changes_the_weights_and_lowers_the_loss(self):
        execution = execution_of(tiny_case(phase="train"))
        losses = [float(execution.module(*execution.inputs)[0]) for _ in range(4)]
        assert losses == sorted(losses, reverse=True)
        assert losses[0] > losses[-1]
        assert not execution.exportable

    def test_two_of_them_do_not_share_what_they_change(self):
        first, second = (execution_of(tiny_case(phase="train")) for _ in range(2))
        one = float(first.module(*first.inputs)[0])
        first.module(*first.inputs)
        assert float(second.module(*second.inputs)[0]) == one

    def test_master_weights_are_refused_where_they_would_be_a_format_of_their_own(self):
        with pytest.raises(CannotRun, match="master weights"):
            execution_of(tiny_case(phase="train", dtype="bfloat16", optimizer="adamw-fp32"))


class TestWeights:
    def save(self, folder, seed=5):
        found = find_model("qwen3-0.6b")
        object.__setattr__(found, "config", tiny_config())
        module = materialised(found.build("fp32"), seed=seed)
        module.save_pretrained(folder)
        return module

    def test_a_checkpoint_brings_its_values(self, tmp_path):
        saved = self.save(tmp_path)
        execution = execution_of(tiny_case(weights=str(tmp_path)))
        for a, b in zip(saved.parameters(), execution.module.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_pickles_are_not_opened(self, tmp_path):
        torch.save({}, tmp_path / "pytorch_model.bin")
        with pytest.raises(CannotRun, match=r"no .*safetensors"):
            execution_of(tiny_case(weights=str(tmp_path)))

    def test_values_of_another_model_are_refused(self, tmp_path):
        self.save(tmp_path)
        other = tiny_config(num_hidden_layers=3, layer_types=["full_attention"] * 3)
        with pytest.raises(CannotRun, match="lacks"):
            execution_of(tiny_case(config=other, weights=str(tmp_path)))

    def test_a_damaged_file_is_told(self, tmp_path):
        self.save(tmp_path)
        file = tmp_path / "model.safetensors"
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(CannotRun, match="does not load"):
            execution_of(tiny_case(weights=str(tmp_path)))


def test_room_is_asked_before_there_are_weights():
    asked = []

    def refuse(size):
        asked.append(size)
        raise CannotRun("too-large", "no")

    with pytest.raises(CannotRun, match="too-large"):
        execution_of(tiny_case(seed=12345), room=refuse)
    (size,) = asked
    execution = execution_of(tiny_case(seed=12345))
    assert size == sum(p.numel() * 4 for p in execution.module.parameters())


@pytest.mark.parametrize(("fields", "words"), [
    ({"config": {"model_type": "no-such-thing"}}, "no model class"),
    ({"config": {"crossgrade_model": "graph-network"}}, "no model of transformers"),
    ({"dtype": "float8_e4m3fn"}, "not run in float8"),
])  # fmt: skip
def test_what_cannot_be_run_says_so(fields, words):
    with pytest.raises(CannotRun, match=words):
        execution_of(tiny_case(**fields))
