"""One thread per test process: the arrays are small, and the processes of pytest-xdist share the cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
