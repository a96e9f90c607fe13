#!/usr/bin/env bash
# Checks and measures on a card whatever condflow has that runs on one. No argument needed.
#
#   benchmarks/gpu.sh [PART...]     parts: see --help (default: all, each under ten minutes); `page` writes the page alone
#
# Needs Python 3.12 and torch 2.11+ for it; wheels lying in .whl/SET/ (`make gpu-wheels`) are unpacked beside it and stay
# there, so that the sets may come one after another. A part that was finished on this commit and device is not run again
# (build/gpu/*.json); one whose packages are missing is left out and says which. MNIST is read from .data/ where that is
# there. DEVICE=cpu exercises every part without a card, on tiny sizes. The page goes to ${OUT:-docs/results}/gpu.md, a
# CPU's to build/gpu/page unless OUT is given.
# How to take it to another machine and bring the page back: docs/running-on-a-card.md.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
for wheels in .whl/*/; do
  compgen -G "$wheels*.whl" >/dev/null || continue
  site=build/gpu/site/$(basename "$wheels") content=$(cd "$wheels" && wc -c -- *.whl)
  if [ "$(cat "$site/.unpacked" 2>/dev/null)" != "$content" ]; then
    rm -rf "$site"
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"*.whl
    echo "$content" >"$site/.unpacked"
  fi
done
for unpacked in build/gpu/site/*/.unpacked; do
  [ -e "$unpacked" ] && PYTHONPATH="$PWD/$(dirname "$unpacked")${PYTHONPATH:+:$PYTHONPATH}"
done
export PYTHONPATH="${PYTHONPATH:-}"
if [ -d .data ]; then
  export CONDFLOW_DATA="${CONDFLOW_DATA:-$PWD/.data}" CONDFLOW_CACHE="${CONDFLOW_CACHE:-$PWD/build/gpu/data}"
fi
export PYTHONUNBUFFERED=1
exec "$python" -m benchmarks.gpu --device "${DEVICE:-cuda}" --out "${OUT:-docs/results}" "$@"
