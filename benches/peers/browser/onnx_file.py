"""What onnxruntime-genai's builder wrote, as one file that transformers.js can run: see README.md here.

    python onnx_file.py built/model.onnx onnx/model/onnx/model_q4.onnx

The builder leaves the width of a head in keys and values symbolic (`kv_cache_dim`), which transformers.js takes for 0: it gets its
number here, that of the model's own attention nodes. Weights beside the file are looked for under another name: they come inside.
"""

import pathlib
import sys

import onnx

SYMBOL = "kv_cache_dim"


def head_width(model):
    """Width of a head: that of the rotary tables, which hold half of it."""
    for tensor in model.graph.initializer:
        if "cos_cache" in tensor.name:
            return 2 * tensor.dims[-1]
    sys.exit("no table of cosines in this model: set the width of a head by hand")


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    model = onnx.load(source)
    width, changed = head_width(model), 0
    for value in [*model.graph.input, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == SYMBOL:
                dim.dim_value = width
                changed += 1
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target)
    kinds = sorted({node.op_type for node in model.graph.node})
    print(f"{changed} dimensions set to {width}; {target.stat().st_size / 1e6:.0f} MB; operations: {', '.join(kinds)}")


if __name__ == "__main__":
    main()
