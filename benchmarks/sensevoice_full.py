"""A model folder in SenseVoiceSmall's published format and size, with random weights.

python -m benchmarks.sensevoice_full TINY_DIR RECORDING OUT_DIR   -> a line of JSON

The work that a model makes does not depend on its weights, but on how much text it writes. So the
output layer is fitted to a recording: the first four frames give the tags, as those of a trained
model do, and the others a digit about four times a second. Tokens, CMVN and the pieces that may be
written are those of the small model for digits in TINY_DIR.

Runs in FunASR's Python.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import soundfile  # type: ignore[import-not-found]
import torch
import yaml

from volume_bootstrap.slim_funasr import import_funasr

ENCODER = {"output_size": 512, "linear_units": 2048, "num_blocks": 50, "tp_blocks": 20}
"""Where SenseVoiceSmall differs from the small model: 234 M parameters, 936 MB as float32."""
SEED = 0
SAMPLE_RATE = 16_000
SEGMENT_S, SEGMENTS = 10, 6
"""What of the recording is used, one half to fit and the other to check."""
BLANK = 0
BARE_DIGITS, DIGITS = slice(3, 13), slice(13, 23)
"""Pieces such as ``one``, and those with the mark of a word's start."""
TAGS = (24885, 25004, 24993, 25016)
"""``<|en|><|NEUTRAL|><|Speech|><|withitn|>``, as frames 0 to 3 tell them."""
QUERIES = (0, 1, 2, 14)
"""What stands before the features: language auto, event, emotion, with ITN."""
NEVER = -30.0
"""Bias of a piece that is not to be written; that of the small model."""
TOKENS_PER_S = 4.0
TAG_MARGIN = 20.0


def main(tiny: Path, recording: Path, out: Path) -> None:
    import_funasr()
    from funasr.frontends.wav_frontend import WavFrontend
    from funasr.models.sense_voice.model import SenseVoiceSmall

    config = yaml.safe_load((tiny / "config.yaml").read_text(encoding="utf-8"))
    config["encoder_conf"] |= ENCODER
    metas = json.loads((tiny / "configuration.json").read_bytes())["file_path_metas"]
    cmvn, pieces = metas["frontend_conf"]["cmvn_file"], metas["tokenizer_conf"]["bpemodel"]
    frontend = WavFrontend(**config["frontend_conf"] | {"cmvn_file": str(tiny / cmvn)})
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    model = SenseVoiceSmall(
        encoder=config["encoder"],
        encoder_conf=config["encoder_conf"],
        input_size=frontend.output_size(),
        vocab_size=25_055,
        **config["model_conf"],
    ).eval()
    with torch.inference_mode():
        hidden = _encode(model, frontend, recording)
        _fit(model.ctc.ctc_lo, hidden[::2])
        rate, tagged = _check(model.ctc.ctc_lo, hidden[1::2])

    out.mkdir(parents=True)
    for name in ("configuration.json", cmvn, pieces):
        shutil.copyfile(tiny / name, out / name)
    (out / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    torch.save(model.state_dict(), out / "model.pt")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(json.dumps({"parameters": parameters, "tokens_per_s": rate, "tagged": tagged}))


def _encode(model: Any, frontend: Any, recording: Path) -> torch.Tensor:  # noqa: ANN401
    """Encode stretches of the recording, the queries before each: (segments, frames, dim)."""
    samples, rate = soundfile.read(recording, dtype="float32", frames=SEGMENT_S * SEGMENTS * 16_000)
    if rate != SAMPLE_RATE:
        sys.exit(f"{recording.name}: its rate is {rate}, it must be {SAMPLE_RATE} samples a second")
    waveforms = torch.from_numpy(samples).reshape(SEGMENTS, SEGMENT_S * SAMPLE_RATE)
    features, lengths = frontend(waveforms, torch.full((SEGMENTS,), waveforms.shape[1]))
    queries = model.embed(torch.tensor(QUERIES)).expand(SEGMENTS, -1, -1)
    inputs = torch.cat((queries, features), dim=1)
    hidden: torch.Tensor = model.encoder(inputs, lengths + len(QUERIES))[0]
    return hidden


def _fit(head: torch.nn.Linear, hidden: torch.Tensor) -> None:
    """Set the rows and biases of the output layer that decide what is written."""
    tags, speech = hidden[:, : len(TAGS)].mean(0), hidden[:, len(TAGS) :].flatten(0, 1)
    head.bias.fill_(NEVER)
    # Each digit is as likely as the others, and beside the blank of the same order.
    head.bias[DIGITS] = -(speech @ head.weight[DIGITS].T).mean(0)
    # FunASR aligns the first word without the mark of its start.
    head.weight[BARE_DIGITS] = head.weight[DIGITS]
    head.bias[BARE_DIGITS] = head.bias[DIGITS] - 0.01
    # A tag fires where a frame lies beyond the middle between its place and all others.
    centres = torch.cat((tags, speech.mean(0, keepdim=True)))
    for number, tag in enumerate(TAGS):
        others = centres[torch.arange(len(centres)) != number].mean(0)
        direction = tags[number] - others
        direction *= 2 * TAG_MARGIN / direction.square().sum()
        head.weight[tag] = direction
        head.bias[tag] = -direction @ (0.6 * tags[number] + 0.4 * others)
    low, high = -10.0, 10.0
    for _ in range(30):
        head.bias[BLANK] = (low + high) / 2
        if _rate(head, hidden) > TOKENS_PER_S:
            low = float(head.bias[BLANK])
        else:
            high = float(head.bias[BLANK])


def _check(head: torch.nn.Linear, hidden: torch.Tensor) -> tuple[float, bool]:
    """Tokens a second, and whether each segment begins with the tags."""
    first = head(hidden[:, : len(TAGS)]).argmax(-1)
    return round(_rate(head, hidden), 2), bool((first == torch.tensor(TAGS)).all())


def _rate(head: torch.nn.Linear, hidden: torch.Tensor) -> float:
    """Count what greedy decoding writes after the tags, in tokens a second."""
    best = head(hidden[:, len(TAGS) :]).argmax(-1)
    tokens = [row.unique_consecutive() for row in best]
    return sum(int((row != BLANK).sum()) for row in tokens) / (len(best) * SEGMENT_S)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
