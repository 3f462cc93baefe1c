"""What do the compilers make of the kernels? Needs Triton, and no GPU.

    python benchmarks/gpu/compiled.py [--target 90] [--quick] [--json FILE]

Compiles every kernel for a compute capability as it would be compiled there, and prints what a
block needs: registers of a thread, bytes of its stack (spilled registers, mostly outside the
innermost loop), shared memory, and instructions on the matrix units.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)  # before the kernels are imported
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # as at run time; the default will change

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vaeopt.kernels.training.gpu import encoder, spatial, vanilla
from vaeopt.kernels.training.gpu.adam import adam

_INTEGERS = {"members", "order", "subsets", "first_segment", "segments"}
# Integers that are the same for all members: 16 divides these, in every training.
_ALIGNED = {
    "stride",
    "slope_stride",
    "skipped",
    "n_pixel_slopes",
    "row_stride",
    "at_first",
    "at_heads",
    "at_hidden",
    "at_out",
    "at_input",
}
_FREE = {"step", "n", "n_patches", "batch", "n_members", "room", "steps", "latents", "blocks"}
_CONSTANTS = {
    "COLUMNS": 9,
    "LP": 32,
    "ROWS": 16,
    "BLOCK": 64,
    "SPATIAL": True,
    "KL_SAMPLED": False,
    "PARTS": 16,
    "BP": 2,
    "BX": 16,
    "PLACES": 16,
    "KIND": 0,
    "SUBSETS": False,
    "DEPTH": 2,
}


def compiled(kernel: Any, target: int, *, warps: int, **constants: Any) -> dict[str, Any]:
    """One kernel for one compute capability."""
    known = {**_CONSTANTS, **constants}
    types, values, aligned = {}, {}, {}
    for i, parameter in enumerate(kernel.params):
        name = parameter.name
        if parameter.is_constexpr:
            types[name], values[name] = "constexpr", known[name]
        elif name == "gaussian_sd":
            types[name] = "fp32"
        elif name in _FREE:
            types[name] = "i32"
        else:
            types[name] = "i32" if name in _ALIGNED else "*i32" if name in _INTEGERS else "*fp32"
            aligned[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=types, constexprs=values, attrs=aligned)
    options = {"num_warps": warps, "num_stages": 1}
    found = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    usage = _usage(found.asm["cubin"])
    text = found.asm["ptx"]
    return {
        "kernel": f"{kernel.__module__.rsplit('.', 1)[-1]}.{kernel.__name__}",
        "target": target,
        **{k.lower(): v for k, v in constants.items()},
        "registers": usage["REG"],
        "stack_bytes": usage["STACK"],
        "shared_bytes": found.metadata.shared,
        "matrix_instructions": text.count("wgmma.mma_async") + text.count("mma.sync"),
    }


def _usage(cubin: bytes) -> dict[str, int]:
    """What the assembler says, from the program that comes with Triton."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(tool), "--dump-resource-usage", file.name]
        run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        said = run.stdout
    return {name: int(value) for name, value in re.findall(r"(REG|STACK):(\d+)", said)}


def every(target: int, *, quick: bool = False) -> list[dict[str, Any]]:
    """All kernels; only those of the usual width if ``quick``."""
    found = []
    for width in (128,) if quick else (16, 32, 64, 128):
        shape = {"WIDTH": width, "WP": width}
        for narrow in (True, False):
            if width == 128 and not narrow:
                continue  # needs more shared memory than any GPU has
            exact = "tf32" if narrow else "tf32x3"
            products = {"NARROW": narrow, "PRECISION": exact, "BY_POSE": exact}
            products["APPROXIMATE"] = narrow
            found.append(compiled(spatial.decode, target, warps=8, **shape, **products))
    for kernel in (vanilla.decode, encoder.forward, encoder.backward):
        found.append(compiled(kernel, target, warps=8, WIDTH=128, WP=128))
    found.append(compiled(adam, target, warps=4, BLOCK=256))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", type=int, default=90, help="compute capability times ten")
    parser.add_argument("--quick", action="store_true", help="only width 128")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    words = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = every(words.target, quick=words.quick)
    print(f"Triton {triton.__version__}, compute capability {words.target / 10}\n")
    print("| kernel | width | products | registers | stack, B | shared, B | on matrix units |")
    print("|---|---|---|---|---|---|---|")
    for row in found:
        products = {True: "bf16", False: "float32", None: "float32"}[row.get("narrow")]
        print(
            f"| {row['kernel']} | {row.get('width', '')} | {products} | {row['registers']} "
            f"| {row['stack_bytes']} | {row['shared_bytes']} | {row['matrix_instructions']} |"
        )
    if words.json:
        words.json.write_text(
            json.dumps({"triton": triton.__version__, "kernels": found}, indent=1) + "\n",
            encoding="utf-8",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
