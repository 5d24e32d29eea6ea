"""The sums behind a slate's diversity, in vector instructions spelled out, as in `simulators.kernels.vector`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types as _numba_types
from numba.core import cgutils as _numba_cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic as _numba_intrinsic

__all__ = ["slate_sums"]

# Untyped, so that type checkers see what kernels call, not what the compiler calls.
intrinsic: Any = _numba_intrinsic
cgutils: Any = _numba_cgutils
types: Any = _numba_types

_FLOAT = ir.FloatType()
_LANES = 8
_VECTOR = ir.VectorType(_FLOAT, _LANES)
_WORD = ir.IntType(32)
_LONG = ir.IntType(64)


@intrinsic  # type: ignore[untyped-decorator]
def slate_sums(typing_context: Any, vectors: Any, slate: Any) -> Any:
    """|sum of v|^2 and sum of |v|^2 of the rows `slate` (K,) of `vectors` (I, D), both float32.

    Both contiguous, rows valid. Every lane sums its own components, item after item; the eight lanes are joined as a
    fixed tree: the bits do not depend on how it is compiled.
    """
    if not (
        isinstance(vectors, types.Array)
        and (vectors.ndim, vectors.dtype, vectors.layout) == (2, types.float32, "C")
        and isinstance(slate, types.Array)
        and (slate.ndim, slate.dtype, slate.layout) == (1, types.int32, "C")
    ):
        raise TypingError(
            f"slate_sums takes C-contiguous float32 (I, D) and int32 (K,), found {vectors}, {slate}"
        )
    signature = types.UniTuple(types.float32, 2)(vectors, slate)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table, rows = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(sig.args, args, strict=True)
        )
        width = builder.extract_value(table.shape, 1)
        size = builder.extract_value(rows.shape, 0)

        def element(k: Any, d: Any, kind: Any) -> Any:
            """The vector or number at component d of the slate's k-th item."""
            row = builder.sext(builder.load(builder.gep(rows.data, [k])), _LONG)
            pointer = builder.gep(table.data, [builder.add(builder.mul(row, width), d)])
            return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=4)

        def accumulate(kind: Any, zero: Any, first: Any, last: Any, lanes: int, whole: Any, own: Any) -> None:
            with cgutils.for_range_slice(builder, first, last, _LONG(lanes), _LONG) as (d, _):
                total, square = (cgutils.alloca_once(builder, kind) for _ in range(2))
                builder.store(zero, total)
                builder.store(zero, square)
                with cgutils.for_range_slice(builder, _LONG(0), size, _LONG(1), _LONG) as (k, _):
                    x = element(k, d, kind)
                    builder.store(builder.fadd(builder.load(total), x), total)
                    builder.store(builder.fadd(builder.load(square), builder.fmul(x, x)), square)
                t = builder.load(total)
                builder.store(builder.fadd(builder.load(own), builder.load(square)), own)
                builder.store(builder.fadd(builder.load(whole), builder.fmul(t, t)), whole)

        blocks = builder.and_(width, _LONG(-_LANES))
        zeros = ir.Constant(_VECTOR, [0.0] * _LANES)
        zero = ir.Constant(_FLOAT, 0.0)
        wide = [cgutils.alloca_once_value(builder, zeros) for _ in range(2)]
        narrow = [cgutils.alloca_once_value(builder, zero) for _ in range(2)]
        accumulate(_VECTOR, zeros, _LONG(0), blocks, _LANES, *wide)
        accumulate(_FLOAT, zero, blocks, width, 1, *narrow)  # what is beyond whole blocks
        results = []
        for lanes, rest in zip(wide, narrow, strict=True):
            s = [builder.extract_element(builder.load(lanes), _WORD(lane)) for lane in range(_LANES)]
            left = builder.fadd(builder.fadd(s[0], s[4]), builder.fadd(s[2], s[6]))
            right = builder.fadd(builder.fadd(s[1], s[5]), builder.fadd(s[3], s[7]))
            results.append(builder.fadd(builder.fadd(left, right), builder.load(rest)))
        return context.make_tuple(builder, sig.return_type, results)

    return signature, generate
