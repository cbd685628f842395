// Stands before every kernel file, after philox.h.
//
// V   vector width in floats: 1, 2, 4, 8 or 16; default 1. Kernels of the vector class set it to the
//     device's native width or a multiple of it.
// vec, ivec   V floats, V ints (ivec is what comparisons of vec give; plain float and int for V = 1).
// VLOAD(p)    V consecutive floats at p, which needs only a float's alignment.
// VSTORE(v, p) the reverse, to global memory.
// PSTORE(v, p) the same to private memory.
//
// PoCL 3.1 compiles vstore16 into four stores of 16 bytes with shuffles between. A store through a pointer to
// a vector type of a float's alignment is one instruction; such a type is an extension that Clang has, and with it
// all compilers of CPU drivers known. The others get vstore.

#ifndef V
#define V 1
#endif

#define CLN_CAT_(a, b) a##b
#define CLN_CAT(a, b) CLN_CAT_(a, b)

#if V == 1
typedef float vec;
typedef int ivec;
#define VLOAD(p) (*(p))
#define VSTORE(v, p) (*(p) = (v))
#define PSTORE(v, p) VSTORE(v, p)
#elif V == 2 || V == 4 || V == 8 || V == 16
typedef CLN_CAT(float, V) vec;
typedef CLN_CAT(int, V) ivec;
#define VLOAD(p) CLN_CAT(vload, V)(0, (p))
#define PSTORE(v, p) CLN_CAT(vstore, V)((v), 0, (p))
#ifdef __clang__
typedef vec vec_at_float __attribute__((aligned(4)));
#define VSTORE(v, p) (*(global vec_at_float *)(p) = (v))
#else
#define VSTORE(v, p) PSTORE(v, p)
#endif
#else
#error "V must be 1, 2, 4, 8 or 16"
#endif
