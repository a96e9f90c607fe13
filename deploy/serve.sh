#!/bin/sh
# Starts the service on a store; a store without models gets the ready-made ones first.
# Used by `make serve` and by the images, so that both serve the same.  Arguments go to `python -m service`.
set -eu
python=${CONDFLOW_PYTHON:-python}
store=${CONDFLOW_STORE:-./models}
if [ -z "$(ls -A "$store/models" 2>/dev/null)" ]; then
  "$python" -m model_store import --store "$store" pretrained/*.condflow
fi
exec "$python" -m service --store "$store" "$@"
