// Stands before every kernel file, after philox.h.
//
// V   vector width in floats: 1, 2, 4, 8 or 16; default 1. Kernels of the vector class set it to the
//     device's native width or a multiple of it.
// vec, ivec   V floats, V ints (ivec is what comparisons of vec give; plain float and int for V = 1).
// VLOAD(p)    V consecutive floats at p, which needs only a float's alignment.
// VSTORE(v, p) the reverse.

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
#elif V == 2 || V == 4 || V == 8 || V == 16
typedef CLN_CAT(float, V) vec;
typedef CLN_CAT(int, V) ivec;
#define VLOAD(p) CLN_CAT(vload, V)(0, (p))
#define VSTORE(v, p) CLN_CAT(vstore, V)((v), 0, (p))
#else
#error "V must be 1, 2, 4, 8 or 16"
#endif
