"""Smaller models and rows: weights removed, or numbers stored in a few bits each.

`GlobalMagnitudePruner` removes weights, `WeightQuantizer` encodes them, by a codec:
`UniformCodec` to begin with. `ExpertMerger` makes the experts of a mixture fewer,
`ExpertCompressor` smaller. All wrap an estimator and stand one inside the other.
`PyramidQuantizer` turns rows of data into bytes and back, `SimVectorQuantizer` into one
learnt code each, by a `LinearCodebook`. Plain functions, `prune_module` and this codebook
serve arrays, tensors and training loops of one's own.
"""

from importlib.util import find_spec

from minimalml._core.arrays import import_torch
from minimalml.compression._expert_merging._decomposition import (
    decompose_weight,
    row_masks,
    stable_rank,
)
from minimalml.compression._expert_merging._expert_compressor import ExpertCompressor
from minimalml.compression._expert_merging._expert_groups import (
    allocate_groups,
    expert_similarity,
    group_experts,
)
from minimalml.compression._expert_merging._expert_merging import ExpertMerger
from minimalml.compression._expert_merging._expert_weights import (
    ExpertWeights,
    align_experts,
    merge_experts,
)
from minimalml.compression._expert_merging._mixture import MixtureOfExpertsClassifier
from minimalml.compression._expert_merging._mixture_parts import (
    expert_weights,
    routing_statistics,
)
from minimalml.compression._global_magnitude_pruning._global_magnitude_pruning import (
    GlobalMagnitudePruner,
)
from minimalml.compression._global_magnitude_pruning._masks import (
    apply_masks,
    global_magnitude_mask,
    global_threshold,
    layerwise_magnitude_mask,
    random_mask,
)
from minimalml.compression._global_magnitude_pruning._modules import (
    finalize,
    prune_module,
    to_sparse,
)
from minimalml.compression._global_magnitude_pruning._reports import (
    flops_report,
    sparsity_report,
)
from minimalml.compression._global_magnitude_pruning._schedule import pruning_schedule
from minimalml.compression._input_moments import InputMoments
from minimalml.compression._linear_codebook._codebook_usage import (
    CodebookUsage,
    codebook_usage,
)
from minimalml.compression._linear_codebook._sim_vector_quantizer import (
    SimVectorQuantizer,
)
from minimalml.compression._nearest_codeword import nearest_codeword
from minimalml.compression._packing import pack_codes, unpack_codes
from minimalml.compression._pyramid._pyramid import (
    pyramid_decode,
    pyramid_encode,
    pyramid_project,
    pyramid_size,
)
from minimalml.compression._pyramid._pyramid_codec import PyramidCodec
from minimalml.compression._pyramid._pyramid_quantizer import PyramidQuantizer
from minimalml.compression._uniform_codec import UniformCodec
from minimalml.compression._vector_quantization._codebook import fit_codebook
from minimalml.compression._vector_quantization._column_pass import (
    conditional_weights,
    quantize_columns,
    refine_codebooks,
)
from minimalml.compression._vector_quantization._vector_quantization import VectorCodec
from minimalml.compression._weight_codec import (
    EncodedWeight,
    WeightCodec,
    relative_output_error,
)
from minimalml.compression._weight_files import load_weights
from minimalml.compression._weight_quantizer import WeightQuantizer

__all__ = [
    "CodebookUsage",
    "EncodedWeight",
    "ExpertCompressor",
    "ExpertMerger",
    "ExpertWeights",
    "GlobalMagnitudePruner",
    "InputMoments",
    "MixtureOfExpertsClassifier",
    "PyramidCodec",
    "PyramidQuantizer",
    "SimVectorQuantizer",
    "UniformCodec",
    "VectorCodec",
    "WeightCodec",
    "WeightQuantizer",
    "align_experts",
    "allocate_groups",
    "apply_masks",
    "codebook_usage",
    "conditional_weights",
    "decompose_weight",
    "expert_similarity",
    "expert_weights",
    "finalize",
    "fit_codebook",
    "flops_report",
    "global_magnitude_mask",
    "global_threshold",
    "group_experts",
    "layerwise_magnitude_mask",
    "load_weights",
    "merge_experts",
    "nearest_codeword",
    "pack_codes",
    "prune_module",
    "pruning_schedule",
    "pyramid_decode",
    "pyramid_encode",
    "pyramid_project",
    "pyramid_size",
    "quantize_columns",
    "random_mask",
    "refine_codebooks",
    "relative_output_error",
    "routing_statistics",
    "row_masks",
    "sparsity_report",
    "stable_rank",
    "to_sparse",
    "unpack_codes",
]
if find_spec("torch"):
    __all__ += ["LinearCodebook"]


def __getattr__(name):
    """Import the torch module when it is used."""
    if name == "LinearCodebook":
        import_torch(name)
        from minimalml.compression._linear_codebook._linear_codebook_torch import (
            LinearCodebook,
        )

        return LinearCodebook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
