#!/usr/bin/env bash
# Checks and measures on an accelerator whatever condflow has that runs on one. No argument needed.
#
#   benchmarks/gpu.sh [PART...]     parts: check speed train (default: all); each takes well under ten minutes
#
# Needs Python 3.11+ and torch 2.11+ and nothing else installed: wheels lying in .whl/ are unpacked beside it. A part
# that was finished on this commit and device is not run again (build/gpu/*.json); DEVICE=cpu exercises the script
# without a card, on smaller sizes. The page goes to ${OUT:-docs/results}/gpu.md.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
if compgen -G ".whl/*.whl" >/dev/null; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONUNBUFFERED=1
exec "$python" -m benchmarks.gpu --device "${DEVICE:-cuda}" --out "${OUT:-docs/results}" "$@"
