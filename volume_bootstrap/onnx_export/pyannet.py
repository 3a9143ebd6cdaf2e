"""pyannote's PyanNet as a torch module, with the weights of segmentation-3.0.

The network of pyannote.audio (Bredin, "pyannote.audio 2.1", Interspeech 2023) with the powerset
of Plaquet and Bredin ("Powerset multi-class cross entropy loss", Interspeech 2023): SincNet, four
bidirectional LSTM layers, two linear layers, seven classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

MIN_LOW_HZ = 50.0
MIN_BAND_HZ = 50.0
SAMPLE_RATE = 16_000
STRIDE_SAMPLES = 10
"""Of the first layer."""

State = Mapping[str, torch.Tensor]


class PyanNet(torch.nn.Module):  # type: ignore[misc]
    """`waveform` [N, num_samples] -> `probability` [N, num_frames, 7].

    Parameters
    ----------
    state : tensors of the checkpoint, by name.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        self.wav_norm1d = torch.nn.InstanceNorm1d(1, affine=True)
        # The filters that a training would shape are constant here: a plain convolution. All run
        # along the one line of an image (volume_bootstrap/onnx_export/lines.py).
        sinc = torch.nn.Conv2d(1, 80, (1, 251), stride=(1, STRIDE_SAMPLES), bias=False)
        layers = [sinc, torch.nn.Conv2d(80, 60, (1, 5)), torch.nn.Conv2d(60, 60, (1, 5))]
        self.conv1d = torch.nn.ModuleList(layers)
        self.norm1d = torch.nn.ModuleList(
            torch.nn.InstanceNorm2d(n, affine=True) for n in (80, 60, 60)
        )
        self.lstm = torch.nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        self.linear = torch.nn.ModuleList([torch.nn.Linear(256, 128), torch.nn.Linear(128, 128)])
        self.classifier = torch.nn.Linear(128, 7)
        self.load_state_dict(_with_filters(state))

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Probability of each class: nobody; speaker 1, 2, 3; 1 and 2, 1 and 3, 2 and 3."""
        hidden = self.wav_norm1d(waveform.unsqueeze(1)).unsqueeze(2)
        for index, (conv, norm) in enumerate(zip(self.conv1d, self.norm1d, strict=True)):
            hidden = conv(hidden)
            if index == 0:
                hidden = hidden.abs()
            hidden = functional.leaky_relu(norm(functional.max_pool2d(hidden, (1, 3))))
        hidden, _ = self.lstm(hidden.squeeze(2).transpose(1, 2))
        for linear in self.linear:
            hidden = functional.leaky_relu(linear(hidden))
        return torch.softmax(self.classifier(hidden), dim=2)


def _with_filters(state: State) -> dict[str, Any]:
    """Name the tensors as `PyanNet` does, the parameters of the sinc filters as filters."""
    own = {name.removeprefix("sincnet."): tensor for name, tensor in state.items()}
    sinc = {
        name: own.pop(f"conv1d.0.filterbank.{name}")
        for name in ("low_hz_", "band_hz_", "n_", "window_")
    }
    own["conv1d.0.weight"] = sinc_filters(**sinc)
    for layer in range(3):
        own[f"conv1d.{layer}.weight"] = own[f"conv1d.{layer}.weight"].unsqueeze(2)
    return own


def sinc_filters(
    low_hz_: torch.Tensor, band_hz_: torch.Tensor, n_: torch.Tensor, window_: torch.Tensor
) -> torch.Tensor:
    """Band-pass filters of their cut-off frequencies, each as a cosine and as a sine.

    Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet" (2018), with the
    sine part of Pariente et al., "Filterbank design for end-to-end speech separation" (2020).

    Parameters
    ----------
    low_hz_, band_hz_ : (num_filters, 1), in Hz above the least that they may be
    n_ : (1, 125), radians per Hz of each tap left of the centre
    window_ : (125,), left half of the window

    Returns
    -------
    (2 * num_filters, 1, 251)
    """
    low = MIN_LOW_HZ + low_hz_.abs()
    high = torch.clamp(low + MIN_BAND_HZ + band_hz_.abs(), MIN_LOW_HZ, SAMPLE_RATE / 2)
    band = 2 * (high - low)
    even = (torch.sin(high @ n_) - torch.sin(low @ n_)) / (n_ / 2) * window_
    odd = (torch.cos(low @ n_) - torch.cos(high @ n_)) / (n_ / 2) * window_
    cosine = torch.cat([even, band, even.flip(1)], dim=1)
    sine = torch.cat([odd, torch.zeros_like(band), -odd.flip(1)], dim=1)
    return (torch.cat([cosine, sine]) / band.repeat(2, 1)).unsqueeze(1)
