"""What lower precisions do to the answers of a version that was exported before that was recorded."""

from __future__ import annotations

from safetensors.torch import load

from flows.architecture import build, load_architecture
from inference.graph_checks import WEIGHTS
from inference.loading import Placement, load_version
from model_store import Draft, Manifest, Store
from model_store.manifest import unpublished
from training.errors import TrainingError
from training.evaluation.card import with_origin
from training.export import measure_lowered

ARCHITECTURE, CARD = "architecture.json", "card.md"
TORCH_ON_CPU = "cpu:0"


def record_precisions(store: Store, manifest: Manifest) -> Manifest:
    """Publish a version again with the record, measured on its own samples, so that no data are needed.

    Weights, graphs, probe and metrics stay as they are; the card says what was measured, and the lineage names the
    version as a parent. Before that the version answers its probe in every precision that is recorded.

    Raises:
        TrainingError: it has a record, was brought as graphs, or no lower precision is near enough to be recorded.
        LoadError, EngineError: the version is refused.
    """
    where = f"{manifest.name}@{manifest.version}"
    if manifest.precision_errors:
        raise TrainingError(f"{where} has a record of {', '.join(sorted(manifest.precision_errors))}")
    files = {entry.path: store.read(manifest, entry.path) for entry in manifest.files}
    if ARCHITECTURE not in files:
        raise TrainingError(f"{where} was brought as graphs, which run in float32 alone")
    model = build(load_architecture(files[ARCHITECTURE])).requires_grad_(False).eval()
    weights = load(files[WEIGHTS])
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    errors = measure_lowered(model)
    if not errors:
        raise TrainingError(f"{where}: every lower precision spoils its answers")
    parents = (*manifest.lineage.parents, manifest.digest)
    lineage = manifest.lineage.model_copy(update={"parents": parents})
    kept = {field: getattr(manifest, field) for field in Draft.model_fields}
    draft = Draft(**{**kept, "precision_errors": errors, "lineage": lineage})
    if CARD in files:
        files[CARD] = with_origin(files[CARD].decode(), unpublished(draft, files)).encode()
    described = unpublished(draft, files)
    for precision in errors:
        load_version(described, files, placement=Placement(TORCH_ON_CPU, precision=precision)).close()
    return store.publish(draft, files)
