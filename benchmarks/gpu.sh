#!/usr/bin/env bash
# Checks and measures on a card whatever condflow has that runs on one. No argument needed.
#
#   benchmarks/gpu.sh [PART...]     parts: see --help (default: all, each under ten minutes); `page` writes the page alone
#
# Needs Python 3.12 and torch 2.11+ for it; wheels lying in .whl/ (`make gpu-wheels`) are unpacked beside it. A part that
# was finished on this commit and device is not run again (build/gpu/*.json). DEVICE=cpu exercises every part without
# a card, on tiny sizes. The page goes to ${OUT:-docs/results}/gpu.md, a CPU's to build/gpu/page unless OUT is given.
# How to take it to another machine and bring the page back: docs/running-on-a-card.md.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
if compgen -G ".whl/*.whl" >/dev/null; then
  site=build/gpu/site-$(ls -l .whl/*.whl | cksum | cut -d' ' -f1)
  if [ ! -e "$site/.complete" ]; then
    rm -rf "$site"
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
    touch "$site/.complete"
  fi
  export PYTHONPATH="$PWD/$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONUNBUFFERED=1
exec "$python" -m benchmarks.gpu --device "${DEVICE:-cuda}" --out "${OUT:-docs/results}" "$@"
