// What the convolutions of the vector class share: sizes, and the epilogues that leave the statistics of y for the
// norm behind and the sums for the norm before (see cln_stage in runtime/op.h). stage.h stands before it.

#include "act.h"

#define EACH_CHAIN(i) _Pragma("unroll") for (int i = 0; i < 4; i++)

typedef global const float *restrict conv_in;

// Sizes of one convolution, seen from the output that is written: (oh, ow, oc) from (ih, iw, ic).
typedef struct {
    int ih, iw, ic, oh, ow, oc, k, stride, pad;
} conv_dims;

// What an input goes through on its way in: nothing, or the stage before, u = (z - mu) * a + beta and max(u, lo).
typedef struct {
    int wanted;
    global const float *mu, *a, *beta; // (N, C), or (C) where coef_stride is 0; (C)
    int coef_stride;
    float lo;
} conv_stage;

// Asks for part i of n of `count` floats, which come in from memory while registers are multiplied; to_write: they will
// be written.
INLINE void conv_fetch(const int to_write, global const float *from, int count, int i, int n)
{
    const int lines = (count + 15) / 16, each = (lines + n - 1) / n, last = min(lines, each * (i + 1));
    for (int k = each * i; k < last; k++) {
        if (to_write)
            FETCH_TO_WRITE(from + 16 * k);
        else
            FETCH(from + 16 * k);
    }
}

// Up to four stretches of memory that are asked for in this way: three that are read, one that is written.
typedef struct {
    global const float *in, *other, *third, *out;
    int n_in, n_other, n_third, n_out; // floats; 0 or less: none
} conv_wanted;

INLINE void conv_fetch_part(conv_wanted w, int i, int n)
{
    conv_fetch(0, w.in, w.n_in, i, n);
    conv_fetch(0, w.other, w.n_other, i, n);
    conv_fetch(0, w.third, w.n_third, i, n);
    conv_fetch(1, w.out, w.n_out, i, n);
}

// Mean and M2 of `count` pixels, V channels each, `pitch` floats apart, that were just written. Two
// passes: the strip is in the first-level cache. Four chains hide the latency of the additions.
// They go to out and out + pitch.
APART void conv_moments(global const float *y, int count, int pitch, global float *out)
{
    vec s[4] = {ZERO, ZERO, ZERO, ZERO}, q[4] = {ZERO, ZERO, ZERO, ZERO};
    vec rest[4] = {ZERO, ZERO, ZERO, ZERO}; // what rounding left in the mean
    const int even = count & ~3;
    for (int i = 0; i < even; i += 4)
        EACH_CHAIN(j) s[j] += VLOAD(y + (i + j) * pitch);
    for (int i = even; i < count; i++)
        s[0] += VLOAD(y + i * pitch);
    const vec mean = ((s[0] + s[1]) + (s[2] + s[3])) / (float)count;
    for (int i = 0; i < even; i += 4)
        EACH_CHAIN(j) {
            const vec d = VLOAD(y + (i + j) * pitch) - mean;
            rest[j] += d;
            q[j] += d * d;
        }
    for (int i = even; i < count; i++) {
        const vec d = VLOAD(y + i * pitch) - mean;
        rest[0] += d;
        q[0] += d * d;
    }
    const vec r = (rest[0] + rest[1]) + (rest[2] + rest[3]), m2 = (q[0] + q[1]) + (q[2] + q[3]);
    VSTORE(mean + r / (float)count, out);
    VSTORE(fmax(m2 - r * r / (float)count, ZERO), out + pitch);
}

// What the backward sums need of the stage before (see cln_stage), for the image and V channels. With ACT, whose act(u) the
// stage has, `relu` is not read.
typedef struct {
    vec mu, a, beta;
    int relu;
} conv_coef;

// One pixel's g and g * (z - mu): g = dx where the ReLU let z through, or dx act'(u). It takes dx's place.
INLINE void conv_add_sum(vec *s, vec *q, global float *dx, global const float *z, conv_coef c)
{
    vec g = VLOAD(dx);
    const vec zc = VLOAD(z) - c.mu;
#if ACT
    g *= act_slope(zc * c.a + c.beta);
    VSTORE(g, dx);
#else
    if (c.relu) {
        g = select(ZERO, g, zc * c.a + c.beta > ZERO);
        VSTORE(g, dx);
    }
#endif
    *s += g;
    *q += g * zc;
}

// Those of two pixels, `apart` floats from one another (see act.h).
INLINE void conv_add_sums(vec s[2], vec q[2], global float *dx, global const float *z, int apart, conv_coef c)
{
#if ACT
    const vec z0 = VLOAD(z) - c.mu, z1 = VLOAD(z + apart) - c.mu;
    vec slope0 = z0 * c.a + c.beta, slope1 = z1 * c.a + c.beta;
    act_slope_of_two(&slope0, &slope1);
    const vec g0 = VLOAD(dx) * slope0, g1 = VLOAD(dx + apart) * slope1;
    VSTORE(g0, dx);
    VSTORE(g1, dx + apart);
    s[0] += g0;
    s[1] += g1;
    q[0] += g0 * z0;
    q[1] += g1 * z1;
#else
    conv_add_sum(&s[0], &q[0], dx, z, c);
    conv_add_sum(&s[1], &q[1], dx + apart, z + apart, c);
#endif
}

// sum g to out, sum g * (z - mu) to out + pitch, over `count` pixels; g to dx.
APART void conv_sums(global float *dx, global const float *z, int count, int pitch,
                      conv_coef c, global float *out)
{
    vec s[4] = {ZERO, ZERO, ZERO, ZERO}, q[4] = {ZERO, ZERO, ZERO, ZERO};
    const int even = count & ~3;
    for (int i = 0; i < even; i += 4)
        EACH_CHAIN(j) if (j % 2 == 0)
            conv_add_sums(&s[j], &q[j], dx + (i + j) * pitch, z + (i + j) * pitch, pitch, c);
    for (int i = even; i < count; i++)
        conv_add_sum(&s[0], &q[0], dx + i * pitch, z + i * pitch, c);
    VSTORE((s[0] + s[1]) + (s[2] + s[3]), out);
    VSTORE((q[0] + q[1]) + (q[2] + q[3]), out + pitch);
}

// The same behind a 2x2 max pooling, dx as it is: rows x cols pixels of dx, each for the first largest of its
// window in z (2 rows x 2 cols).
APART void conv_sums_pool(global const float *dx, global const float *z, int rows, int cols,
                           int pitch, conv_coef c, global float *out)
{
    vec s = ZERO, q = ZERO;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++) {
            vec g = VLOAD(dx + (y * cols + x) * pitch);
            global const float *zp = z + (4 * y * cols + 2 * x) * pitch;
            vec zc = VLOAD(zp) - c.mu, u = zc * c.a + c.beta;
#if ACT_FALLS
            vec zl = zc, low = u;
#endif
#pragma unroll
            for (int i = 1; i < 4; i++) {
                const vec zi = VLOAD(zp + ((i >> 1) * 2 * cols + (i & 1)) * pitch) - c.mu;
                const vec ui = zi * c.a + c.beta;
                zc = select(zc, zi, ui > u);
                u = select(u, ui, ui > u);
#if ACT_FALLS
                zl = select(zl, zi, ui < low);
                low = select(low, ui, ui < low);
#endif
            }
#if ACT_FALLS
            vec slope;
            zc = select(zc, zl, act_falls_to(low, u, &slope));
            g *= slope;
#elif ACT
            g *= act_slope(zc * c.a + c.beta);
#else
            if (c.relu)
                g = select(ZERO, g, u > ZERO);
#endif
            s += g;
            q += g * zc;
        }
    VSTORE(s, out);
    VSTORE(q, out + pitch);
}

// Sums for `channels` channels of a strip of `rows` rows, dx and z being its first pixels and coefs what the stage
// before has for its first channel. Where no pool is between, g stays at dx.
APART void conv_leave_sums(global float *dx, global const float *z, global const float *mu,
                            global const float *a, global const float *beta, int relu, int pool,
                            int rows, int cols, int pitch, int channels, global float *sums)
{
    for (int c = 0; c < channels; c += V) {
        const conv_coef f = {VLOAD(mu + c), VLOAD(a + c), VLOAD(beta + c), relu};
        if (pool == 2)
            conv_sums_pool(dx + c, z + c, rows, cols, pitch, f, sums + c);
        else
            conv_sums(dx + c, z + c, rows * cols, pitch, f, sums + c);
    }
}

// ---- what forward does to y before it writes it -----------------------------------------------------

// max(u, lo); a NaN passes
INLINE vec conv_activate(vec u, float lo)
{
    return select(u, (vec)(lo), u < (vec)(lo));
}

// y = 2x2 max pooling of rows x cols pixels (both even) that were just written, `pitch` floats apart.
APART void conv_pool(global const float *full, global float *y, int rows, int cols, int pitch, int channels)
{
    for (int r = 0; r < rows; r += 2)
        for (int x = 0; x < cols; x += 2, y += pitch)
            for (int c = 0; c < channels; c += V) {
                global const float *p = full + (r * cols + x) * pitch + c;
                vec best = VLOAD(p);
#pragma unroll
                for (int i = 1; i < 4; i++)
                    best = larger(best, VLOAD(p + ((i >> 1) * cols + (i & 1)) * pitch));
                VSTORE(best, y + c);
            }
}

// ---- backward-params -------------------------------------------------------------------------------

// Sum of `count` pixels of dy for V channels.
APART void conv_db(conv_in dy, int count, int pitch, global float *out)
{
    vec s[4] = {ZERO, ZERO, ZERO, ZERO};
    const int even = count & ~3;
    for (int i = 0; i < even; i += 4)
        EACH_CHAIN(j) s[j] += VLOAD(dy + (i + j) * pitch);
    for (int i = even; i < count; i++)
        s[0] += VLOAD(dy + i * pitch);
    VSTORE((s[0] + s[1]) + (s[2] + s[3]), out);
}

// Work-item: 16 vectors of dw, over all chunks in order.
kernel void conv_bwd_params_sum(conv_in part,              // (chunks, pitch)
                                global float *restrict dw, // [i] = sum of part[.][first + i]
                                int chunks, int pitch, int first, int count)
{
    const int i0 = get_global_id(0) * (16 * V), i1 = min(i0 + 16 * V, count);
    for (int i = i0; i < i1; i += V) {
        vec s = VLOAD(part + first + i);
        for (int q = 1; q < chunks; q++)
            s += VLOAD(part + (long)q * pitch + first + i);
        VSTORE(s, dw + i);
    }
}
