"""Vector instructions spelled out: a dot product whose bits do not depend on how it is compiled, and prefetches.

Numba compiles a strict loop of float additions one by one; `fastmath` lets the compiler choose an order, which may
differ from one kernel to the next. Here the order is part of the code: eight partial sums, joined as a fixed tree.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic as _numba_intrinsic

__all__ = ["dot", "prefetch_row"]

# Untyped, so that type checkers see what kernels call, not what the compiler calls.
_intrinsic: Any = _numba_intrinsic

_FLOAT = ir.FloatType()
_LANES = 8
_VECTOR = ir.VectorType(_FLOAT, _LANES)
_WORD = ir.IntType(32)
_LONG = ir.IntType(64)
_LINE = 64  # bytes of a cache line


def _is_row(argument: Any) -> bool:
    return (
        isinstance(argument, types.Array)
        and argument.ndim == 1
        and argument.dtype == types.float32
        and argument.layout == "C"
    )


@_intrinsic
def dot(typing_context: Any, a: Any, b: Any) -> Any:
    """Dot product of two contiguous float32 rows (D,) of one length, as float32."""
    if not (_is_row(a) and _is_row(b)):
        raise TypingError(f"dot takes two contiguous float32 rows, found {a} and {b}")
    signature = types.float32(a, b)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(sig.args, args, strict=True)
        ]
        data = [row.data for row in rows]
        length = builder.extract_value(rows[0].shape, 0)
        whole = builder.and_(length, _LONG(-_LANES))
        total = cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * _LANES))
        with cgutils.for_range_slice(builder, _LONG(0), whole, _LONG(_LANES), _LONG) as (index, _):
            blocks = [
                builder.load(builder.bitcast(builder.gep(pointer, [index]), _VECTOR.as_pointer()), align=4)
                for pointer in data
            ]
            builder.store(builder.fadd(builder.load(total), builder.fmul(*blocks)), total)
        lanes = builder.load(total)
        s = [builder.extract_element(lanes, _WORD(lane)) for lane in range(_LANES)]
        first = cgutils.alloca_once_value(builder, s[0])  # what is beyond whole blocks goes to the first lane
        with cgutils.for_range_slice(builder, whole, length, _LONG(1), _LONG) as (index, _):
            pair = [builder.load(builder.gep(pointer, [index])) for pointer in data]
            builder.store(builder.fadd(builder.load(first), builder.fmul(*pair)), first)
        left = builder.fadd(builder.fadd(builder.load(first), s[4]), builder.fadd(s[2], s[6]))
        right = builder.fadd(builder.fadd(s[1], s[5]), builder.fadd(s[3], s[7]))
        return builder.fadd(left, right)

    return signature, generate


@_intrinsic
def prefetch_row(typing_context: Any, table: Any, row: Any) -> Any:
    """Ask for row `row` of a C-contiguous table (I, M) ahead of its use: a hint, which changes no result."""
    if not (isinstance(table, types.Array) and table.ndim == 2 and table.layout == "C"):
        raise TypingError(f"prefetch_row takes a C-contiguous table of two dimensions, found {table}")
    if not isinstance(row, types.Integer):
        raise TypingError(f"prefetch_row takes a row number, found {row}")
    signature = types.void(table, row)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        size = builder.extract_value(array.strides, 0)  # bytes of a row
        at = context.cast(builder, args[1], sig.args[1], types.intp)
        byte = ir.IntType(8).as_pointer()
        start = builder.gep(builder.bitcast(array.data, byte), [builder.mul(at, size)])
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, _WORD, _WORD, _WORD])
        )
        with cgutils.for_range_slice(builder, _LONG(0), size, _LONG(_LINE), _LONG) as (offset, _):
            # For reading (0), to be kept in all caches (3), data (1).
            builder.call(hint, [builder.gep(start, [offset]), _WORD(0), _WORD(3), _WORD(1)])
        return context.get_dummy_value()

    return signature, generate
