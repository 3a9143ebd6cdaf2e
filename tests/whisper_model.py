"""A multilingual Whisper of random weights, in CTranslate2's format, for the paths by language."""

from pathlib import Path

import numpy as np

WIDTH = 64
NUM_TOKENS = 51_865


def build(folder: Path, english: Path) -> None:
    """Write the model, with the vocabulary of an English one: it lacks only one token."""
    from ctranslate2.specs import WhisperSpec
    from ctranslate2.specs.model_spec import visit_spec

    vocabulary = (english / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    vocabulary.append(
        ""
    )  # CTranslate2 takes a vocabulary with an empty token for a multilingual one
    assert len(vocabulary) == NUM_TOKENS

    random = np.random.default_rng(7)
    spec = WhisperSpec(1, 1, 1, 1)

    def fill(part, name, value):
        if value is None or name.endswith("encodings/encodings"):
            shape = shape_of(name)
            scale = 1.0 if len(shape) == 1 else shape[-1] ** -0.5
            if "decoder" in name and "/attention/linear_2/weight" in name:
                scale *= 30  # what is heard outweighs what was written
            values = random.normal(0, scale, shape)
            if name.endswith(("beta", "bias")):
                values = np.zeros(shape)
            if name.endswith("gamma"):
                values = np.ones(shape)
            setattr(part, name.rpartition("/")[2], values.astype(np.float32))

    visit_spec(spec, fill)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.register_vocabulary(vocabulary)
    ids = {token: i for i, token in enumerate(vocabulary)}
    spec.config.lang_ids = list(range(ids["<|en|>"], ids["<|su|>"] + 1))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    folder.mkdir()
    spec.save(str(folder))
    (folder / "tokenizer.json").write_bytes((english / "tokenizer.json").read_bytes())


def shape_of(name: str) -> tuple[int, ...]:
    """Shape of a weight by its name."""
    d = WIDTH
    shapes = {
        "conv1/weight": (d, 80, 3),
        "conv2/weight": (d, d, 3),
        "encoder/position_encodings/encodings": (1500, d),
        "decoder/position_encodings/encodings": (448, d),
        "embeddings/weight": (NUM_TOKENS, d),
        "projection/weight": (NUM_TOKENS, d),
        "self_attention/linear_0/weight": (3 * d, d),
        "self_attention/linear_0/bias": (3 * d,),
        "/attention/linear_1/weight": (2 * d, d),
        "/attention/linear_1/bias": (2 * d,),
        "ffn/linear_0/weight": (4 * d, d),
        "ffn/linear_0/bias": (4 * d,),
        "ffn/linear_1/weight": (d, 4 * d),
    }
    for end, shape in shapes.items():
        if name.endswith(end):
            return shape
    return (d, d) if name.endswith("weight") else (d,)
