"""Average the weights of two checkpoints of one training, as was done for the bundled one.

``python average_checkpoints.py LATE EARLY OUTPUT --share-of-late 0.8``

Weights from before the learning rate fell are more careful, those from after it bolder; what lies
between them can be better than either (Wortsman et al. 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from axion_stage3.diffusion.checkpoint import load_checkpoint, save_checkpoint


def main(late: Path, early: Path, output: Path, share_of_late: float) -> None:
    """Write the average; epoch and configuration are those of ``late``."""
    checkpoint = load_checkpoint(late)
    weights = checkpoint.network.state_dict()
    for name, value in load_checkpoint(early).network.state_dict().items():
        weights[name] = torch.lerp(value, weights[name], share_of_late)
    checkpoint.network.load_state_dict(weights)
    save_checkpoint(output, checkpoint.network, epoch=checkpoint.epoch, config=checkpoint.config)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("late", type=Path)
    parser.add_argument("early", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--share-of-late", type=float, default=0.8)
    main(**vars(parser.parse_args()))
