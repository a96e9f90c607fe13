#!/usr/bin/env bash
# Mixed load with faults against the real service, for so many minutes (default 30); writes docs/results/soak.md.
#
#   benchmarks/soak.sh [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
exec "$python" -m benchmarks.soak "${1:-30}"
