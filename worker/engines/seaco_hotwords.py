"""Hotwords of SeACo-Paraformer: their spelling in tokens, by FunASR's ``seg_dict``."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from worker.engines.funasr_folder import DAMAGED, FunasrFolder
from worker.engines.funasr_import import funasr_module
from worker.errors import InvalidInputError


def check(folder: FunasrFolder, cmvn: Path) -> None:
    """See that hotwords can be spelled: FunASR reads ``seg_dict`` beside `cmvn`, and nothing else.

    Raises
    ------
    ModelNotProvisionedError
        It is missing, lies elsewhere or is broken; FunASR would take each word for an unknown one.
    """
    path = folder.file("tokenizer_conf.seg_dict_file")
    if path != cmvn.parent / "seg_dict":
        raise folder.error(
            f"configuration.json names {path.name} for seg_dict, and FunASR looks for seg_dict "
            f"beside {cmvn.name} alone",
            DAMAGED,
        )
    try:
        funasr_module("models.seaco_paraformer.model").load_seg_dict(str(path))
    except IndexError as error:
        raise folder.error("seg_dict has an empty line", DAMAGED) from error
    except UnicodeDecodeError as error:
        raise folder.error(f"seg_dict is no UTF-8: {error}", DAMAGED) from error


def spell(
    network: Any,  # noqa: ANN401 - a SeacoParaformer
    tokenizer: Any,  # noqa: ANN401 - a CharTokenizer
    cmvn: Path,
    hotwords: Sequence[str],
) -> list[list[int]]:
    """Spell hotwords in tokens as FunASR does, and behind them the token that means none of them.

    FunASR takes one line of hotwords with spaces between; here one of several words stays one.

    Raises
    ------
    InvalidInputError
        The vocabulary cannot spell one.
    """
    spelled = []
    for hotword in hotwords:
        # FunASR fetches a string that begins as an address and opens one that ends in .txt: with a
        # space around it, it is neither.
        words = network.generate_hotwords_list(
            f" {hotword} ",
            tokenizer=tokenizer,
            frontend=SimpleNamespace(cmvn_file=str(cmvn)),
        )[:-1]
        ids = list(itertools.chain.from_iterable(words))
        if not ids or not all(words) or tokenizer.unk_id in ids:
            raise InvalidInputError(
                f"{hotword!r} is no hotword for this model: it takes Chinese characters and the "
                "words of its seg_dict, and has no spelling for all of this. Leave it out."
            )
        spelled.append(ids)
    return [*spelled, [network.sos]]
