"""A champion that gives every cutout one answer: for tests of what stands around the model."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from astrid_assets.detections.champion_files import Champion, sha256_bytes
from astrid_assets.detections.cutouts import CutoutSettings


def fixed_champion(*, accepts: bool) -> Champion:
    """A champion whose logits are (5, -5) or (-5, -5) for any cutout."""
    weights = numpy_helper.from_array(np.zeros((63 * 63 * 3, 2), np.float32), "weights")
    bias = numpy_helper.from_array(np.array([5 if accepts else -5, -5], np.float32), "bias")
    nodes = [
        helper.make_node("Flatten", ["cutouts"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        helper.make_node("ReduceMean", ["cutouts"], ["mask"], axes=[3], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "fixed",
        [helper.make_tensor_value_info("cutouts", TensorProto.FLOAT, [None, 63, 63, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, [None, 63, 63, 1]),
        ],
        [weights, bias],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return Champion(
        name="fixed", version="test", sha256=sha256_bytes(onnx), weights_sha256="0" * 64,
        threshold=0.5, trailed_threshold=0.5, temperature=1.0, offset=0.0, curvature=0.0,
        prior_real=0.5, cutouts=CutoutSettings(), record={}, onnx=onnx,
    )  # fmt: skip
