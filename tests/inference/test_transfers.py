from __future__ import annotations

import torch

from axion_stage3.inference.transfers import Transfers


def test_on_the_cpu_nothing_is_copied_and_workers_do_not_wait_for_each_other() -> None:
    transfers = Transfers(torch.device("cpu"))
    assert transfers.compute_stream is None
    tiles = torch.rand(2, 4, 16, 16)
    with transfers.submitting(), transfers.submitting():
        uploaded = transfers.upload(transfers.stage(tiles))
        wait = transfers.download([uploaded])
    assert uploaded is tiles
    (fetched,) = wait()
    assert fetched is tiles
