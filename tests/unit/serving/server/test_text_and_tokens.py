"""Text and token ids: the stand-in, and a tokenizer.json."""

from __future__ import annotations

import pytest

from crossgrade.errors import BadModelFile
from crossgrade.serving.server.text import chat_text, text_of

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    """Return a byte-level tokenizer that was trained on a sentence."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator(["a chip computes what a chip computes"], trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return str(path)


def _shown(text, ids) -> list[str]:
    decode = text.decoder()
    return [decode(token) for token in ids]


def test_the_stand_in_has_a_token_per_word_and_every_token_shows():
    text = text_of("", 1000)
    ids = text.encode("some words  of\na prompt")
    assert len(ids) == 5
    assert all(0 <= token < 1000 for token in ids)
    assert ids == text.encode("some words of a prompt")
    assert _shown(text, [3, 3, 999]) == [" w3", " w3", " w999"]


def test_the_stand_in_reads_back_what_it_shows():
    text = text_of("", 1000)
    assert text.encode("".join(_shown(text, [5, 999, 0]))) == [5, 999, 0]
    assert all(0 <= token < 1000 for token in text.encode("w1000 w99999999999 w"))


def test_a_tokenizer_gives_back_the_text_letter_by_letter(file):
    text = text_of(file, 300)
    said = "a chip computes ✓ Größe"
    ids = text.encode(said)
    shown = _shown(text, ids)
    assert "".join(shown) == said
    assert "" in shown  # a letter of several bytes shows once it is complete
    assert "tokenizer.json" in text.told


def test_half_a_letter_is_no_fault(file):
    assert text_of(file, 300).encode("\ud800a")
    assert text_of("", 300).encode("\ud800 a")


def test_a_tokenizer_of_another_model_is_refused(file, tmp_path):
    with pytest.raises(BadModelFile, match="tokens, and the model 100"):
        text_of(file, 100)
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{}")
    with pytest.raises(BadModelFile, match="no tokenizer"):
        text_of(str(broken), 100)


def test_a_chat_is_lines_of_who_says_what():
    assert chat_text([("system", "be brief"), ("user", "hello")]) == (
        "system: be brief\nuser: hello\nassistant:"
    )
