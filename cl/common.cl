// Stands before every kernel file, after philox.h.
//
// V   vector width in floats: 1, 2, 4, 8 or 16; default 1. Kernels of the vector class set it to the
//     device's native width or a multiple of it.
// vec, ivec   V floats, V ints (ivec is what comparisons of vec give; plain float and int for V = 1).
// VLOAD(p)    V consecutive floats at p in global memory, which needs only a float's alignment; a vector's with ALIGNED
//             defined, as the SIMT class does: one load of 16 bytes, which a driver may not assume of itself.
// VSTORE(v, p) the reverse.
// PLOAD(p), PSTORE(v, p) the same in private memory.
//
// APART       a function that is a loop nest of its own, where a call costs nothing: compilers take a third of the time
//             for it that they take for it inside a kernel.
// FETCH(p), FETCH_TO_WRITE(p)   the line at p of global memory will be read, written soon: a hint, which may be nothing.
//
// PoCL's prefetch does nothing; Clang's own is known to pass on CPUs, so that PoCL gets it, and no other driver.
//
// PoCL 3.1 compiles vstore16 into four stores of 16 bytes with shuffles between, and some vload16, where arithmetic
// follows, into loads of 8 bytes. Through a pointer to a vector type of a float's alignment either is one instruction;
// such a type is an extension that Clang has, and with it all compilers of CPU drivers known. The others get vstore and
// vload. The load has to be a function: what it returns tells LLVM that the function it is inlined into means vectors of
// 512 bits; without, a function that is not part of the kernel gets two of 256 where AVX-512 has one.

#if defined(__clang__) && defined(POCL_DEVICE_ADDRESS_BITS)
#define FETCH(p) __builtin_prefetch((const void *)(size_t)(p), 0, 2)
#define FETCH_TO_WRITE(p) __builtin_prefetch((const void *)(size_t)(p), 1, 2)
#else
#define FETCH(p)
#define FETCH_TO_WRITE(p)
#endif

#ifndef V
#define V 1
#endif

#define APART static __attribute__((noinline))

#define CLN_CAT_(a, b) a##b
#define CLN_CAT(a, b) CLN_CAT_(a, b)

#if V == 1
typedef float vec;
typedef int ivec;
#define VLOAD(p) (*(p))
#define VSTORE(v, p) (*(p) = (v))
#define CLN_AS_VEC as_float
#define CLN_AS_IVEC as_int
#define PLOAD(p) VLOAD(p)
#define PSTORE(v, p) VSTORE(v, p)
#elif V == 2 || V == 4 || V == 8 || V == 16
typedef CLN_CAT(float, V) vec;
typedef CLN_CAT(int, V) ivec;
#define CLN_AS_VEC CLN_CAT(as_float, V)
#define CLN_AS_IVEC CLN_CAT(as_int, V)
#define PLOAD(p) CLN_CAT(vload, V)(0, (p))
#define PSTORE(v, p) CLN_CAT(vstore, V)((v), 0, (p))
#ifdef ALIGNED
#define VLOAD(p) (*(global const vec *)(p))
#define VSTORE(v, p) (*(global vec *)(p) = (v))
#elif defined(__clang__)
typedef vec vec_at_float __attribute__((aligned(4)));
#define VLOAD(p) cln_load(p)
static inline __attribute__((always_inline)) vec cln_load(global const float *p)
{
    return *(global const vec_at_float *)p;
}
#define VSTORE(v, p) (*(global vec_at_float *)(p) = (v))
#else
#define VLOAD(p) PLOAD(p)
#define VSTORE(v, p) PSTORE(v, p)
#endif
#else
#error "V must be 1, 2, 4, 8 or 16"
#endif

// The larger of two; a NaN in either passes, since it has to reach the loss to be seen.
static inline vec larger(vec a, vec b)
{
    return select(a, b, (b > a) | isnan(b));
}
