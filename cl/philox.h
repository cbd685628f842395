/* Philox4x32-10, a counter-based random number generator: four 32-bit words from a 128-bit counter
 * and a 64-bit key, without any state. One text for C and for OpenCL C, so that the host can
 * reproduce every number that a kernel draws.
 *
 * J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * One round: (h0, l0) = M0 * c0, (h1, l1) = M1 * c2, c = (h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0);
 * before each round but the first, k0 += W0 and k1 += W1. */
#ifndef CLN_PHILOX_H
#define CLN_PHILOX_H

#ifdef __OPENCL_VERSION__
typedef uint cln_u32;
#define CLN_MUL_HI(a, b) mul_hi((a), (b))
#else
#include <stdint.h>
typedef uint32_t cln_u32;
#define CLN_MUL_HI(a, b) ((cln_u32)(((uint64_t)(a) * (b)) >> 32))
#endif

/* The fourth counter word tells the uses apart, so that no two draw the same numbers. */
#define CLN_STREAM_INIT    1u
#define CLN_STREAM_SHUFFLE 2u
#define CLN_STREAM_AUGMENT 3u
#define CLN_STREAM_DROPOUT 4u
#define CLN_STREAM_BOOTSTRAP 5u
#define CLN_STREAM_MIX     6u

typedef struct cln_philox {
    cln_u32 v[4];
} cln_philox;

/* The four words of counter (c0, c1, c2, c3), c0 the least significant, under key (k0, k1). */
static inline cln_philox cln_philox4x32(cln_u32 c0, cln_u32 c1, cln_u32 c2, cln_u32 c3, cln_u32 k0,
                                        cln_u32 k1)
{
    for (int round = 0; round < 10; round++) {
        const cln_u32 h0 = CLN_MUL_HI(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
        const cln_u32 h1 = CLN_MUL_HI(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0;
        c1 = l1;
        c2 = h0 ^ c3 ^ k1;
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    cln_philox r;
    r.v[0] = c0;
    r.v[1] = c1;
    r.v[2] = c2;
    r.v[3] = c3;
    return r;
}

/* A word as a float in [0, 1), a multiple of 2^-24 and so exact on every device. */
static inline float cln_random_unit(cln_u32 word)
{
    return (float)(word >> 8) * (1.0f / 16777216.0f);
}

/* A word as an integer in [0, n); the bias is below n / 2^32. */
static inline cln_u32 cln_random_below(cln_u32 word, cln_u32 n)
{
    return CLN_MUL_HI(word, n);
}

#endif
