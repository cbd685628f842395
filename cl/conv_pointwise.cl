// 1x1 convolution of stride 1 for devices with float vectors (CPUs): forward, and both gradients in one pass.
//
//   y[p,co]   = b[co] + sum over ci of x[p,ci] * w[ci,co]        p: a pixel of an image
//   dx[p,ci]  = sum over co of dy[p,co] * wt[co,ci]              wt: w transposed
//   dw[ci,co] = sum over p of x[p,ci] * dy[p,co]
//
// Layout: images (N, H, W, C), weights (Cin, Cout), all float. V divides Cin and Cout, NV * V Cout, NVX * V Cin.
//
// Such a convolution does so little with a pixel that memory is its bound: every image is read once, straight through,
// and what belongs to a pixel (the stage before, statistics, sums, the other gradient) is done while it is in the cache.
// An item brings the pixels of a strip of rows into local memory, which on such a device is memory in its own core's
// cache, as planes (C / V, pixels, V): there the scalars of a register tile lie at distances that the compiler knows.
// A plane begins one vector behind the end of the one before: at a power of two all would fall into one set of the cache.
//
// A work-item (local size 1) owns
//   conv_fwd_pointwise   (strip of `rows` rows, image) of y
//   conv_transpose_weights   a row of wt
//   conv_bwd_pointwise   (chunk of images) of dx and of the partial sums of dw
//   conv_bwd_params_pointwise   (chunk of images) of the partial sums of dw alone

#include "act.h"
#include "stage.h"
#include "conv_parts.h"
#include "merge.h"

// NV, NVX  vectors of output channels in a register tile of y and dw, and of dx: 1 or 2.
#ifndef NV
#define NV 1
#endif
#ifndef NVX
#define NVX 2
#endif
// Scalars in a tile of nv vectors: 16 accumulators out of AVX-512's 32 registers, 8 out of 16.
#define MOST (V == 16 ? 16 : 8)
#define SCALARS(nv) (MOST / (nv))

#define EACH_SCALAR(j) _Pragma("unroll") for (int j = 0; j < MOST; j++) if (j < t)
#define EACH_VECTOR(v) _Pragma("unroll") for (int v = 0; v < 2; v++) if (v < nv)
#define ACC(j, v) acc[2 * (j) + (v)]

// `count` pixels of image n to planes of `all` pixels; those behind them become zeros.
APART void pixels_to_planes(conv_in x, conv_stage g, int n, int count, int all, int channels, local vec *planes)
{
    for (int c = 0; c < channels; c += V, planes += all + 1) {
        conv_in from = x + c;
        if (g.wanted) {
            const vec mu = VLOAD(g.mu + n * g.coef_stride + c), a = VLOAD(g.a + n * g.coef_stride + c);
            const vec beta = VLOAD(g.beta + c);
            for (int i = 0; i + 1 < count; i += 2) {
                vec y0 = VLOAD(from + i * channels), y1 = VLOAD(from + (i + 1) * channels);
                stage_apply_two(&y0, &y1, mu, a, beta, g.lo);
                planes[i] = y0;
                planes[i + 1] = y1;
            }
            if (count % 2)
                planes[count - 1] = stage_apply(VLOAD(from + (count - 1) * channels), mu, a, beta, g.lo);
        } else
            for (int i = 0; i < count; i++)
                planes[i] = VLOAD(from + i * channels);
        for (int i = count; i < all; i++)
            planes[i] = ZERO;
    }
}

// Two pixels of that, `apart` floats from one another (or one alone): x to planes, g to dx, and what they add to the sums.
INLINE void stage_pixels(const int two, conv_in z, global float *dx, int apart, vec mu, vec a, vec beta, float lo,
                         local vec *planes, vec s[2], vec q[2])
{
    const int other = two ? apart : 0;
    const vec z0 = VLOAD(z) - mu, z1 = VLOAD(z + other) - mu;
    vec y0 = z0 * a + beta, y1 = z1 * a + beta, g0 = VLOAD(dx), g1 = VLOAD(dx + other);
    stage_both_two(&y0, &y1, &g0, &g1, lo);
    planes[0] = y0;
    VSTORE(g0, dx);
    s[0] += g0;
    q[0] += g0 * z0;
    if (two) {
        planes[1] = y1;
        VSTORE(g1, dx + other);
        s[1] += g1;
        q[1] += g1 * z1;
    }
}

// The same of the z of the stage before, of which one pass makes x and, from dx, the sums that its backward needs (see
// conv_sums): both from one exp.
APART void stage_to_planes(conv_in z, conv_stage g, int n, global float *dx, int count, int all, int channels,
                           local vec *planes, global float *sums)
{
    const int even = count & ~3;
    for (int c = 0; c < channels; c += V, planes += all + 1) {
        const vec mu = VLOAD(g.mu + n * g.coef_stride + c), a = VLOAD(g.a + n * g.coef_stride + c);
        const vec beta = VLOAD(g.beta + c);
        vec s[4] = {ZERO, ZERO, ZERO, ZERO}, q[4] = {ZERO, ZERO, ZERO, ZERO};
        int at = c;
        for (int i = 0; i < even; i += 4, at += 4 * channels)
            EACH_CHAIN(j) if (j % 2 == 0)
                stage_pixels(1, z + at + j * channels, dx + at + j * channels, channels, mu, a, beta, g.lo,
                             planes + i + j, s + j, q + j);
        for (int i = even; i < count; i += 2, at += 2 * channels)
            stage_pixels(i + 1 < count, z + at, dx + at, channels, mu, a, beta, g.lo, planes + i, s, q);
        for (int i = count; i < all; i++)
            planes[i] = ZERO;
        VSTORE((s[0] + s[1]) + (s[2] + s[3]), sums + c);
        VSTORE((q[0] + q[1]) + (q[2] + q[3]), sums + channels + c);
    }
}

// The same of the dz that a stage behind has for rows [r0, r0 + height) of image n.
APART void dz_to_planes(stage_behind s, int n, int r0, int height, int h, int wd, int all, int channels,
                         local vec *planes)
{
    for (int c = 0; c < channels; c += V, planes += all + 1) {
        stage_coefs k;
        stage_coefs_of(s, n, c, &k);
        global const float *z = s.z + ((long)n * h + r0) * wd * channels + c;
        global const float *dy = s.dy + ((long)n * h + r0) / s.pool * (wd / s.pool) * channels + c;
        if (s.pool == 2)
            for (int i = 0; i < height * wd / 4; i++) {
                const int at = i / (wd / 2) * 2 * wd + i % (wd / 2) * 2;
                stage_window w;
                stage_unpool(z + at * channels, wd * channels, channels, k.mu, k.a, k.beta, VLOAD(dy + i * channels),
                             k.lo, &w);
                planes[at] = k.a * w.g[0] + (k.q * w.d[0] + k.r);
                planes[at + 1] = k.a * w.g[1] + (k.q * w.d[1] + k.r);
                planes[at + wd] = k.a * w.g[2] + (k.q * w.d[2] + k.r);
                planes[at + wd + 1] = k.a * w.g[3] + (k.q * w.d[3] + k.r);
            }
        else {
            const int count = height * wd;
            for (int i = 0; i + 1 < count; i += 2) {
                vec d0 = VLOAD(dy + i * channels), d1 = VLOAD(dy + (i + 1) * channels);
                stage_dz_two(k, VLOAD(z + i * channels), VLOAD(z + (i + 1) * channels), &d0, &d1);
                planes[i] = d0;
                planes[i + 1] = d1;
            }
            if (count % 2)
                planes[count - 1] = stage_dz(k, VLOAD(z + (count - 1) * channels), VLOAD(dy + (count - 1) * channels));
        }
        for (int i = height * wd; i < all; i++)
            planes[i] = ZERO;
    }
}

// out (count, oc) = bias, or (add) what is there, + in (count, ic) times w (ic, oc); at least lo
INLINE void multiply(const int nv, local const vec *in, int count, int all, conv_in w, conv_in bias, int has_bias,
                     int add, float lo, global float *out, int ic, int oc, conv_wanted next)
{
    const int t = SCALARS(nv);
    for (int o = 0; o < oc; o += nv * V)
        for (int p = 0; p < count; p += t) {
            if (o == 0)
                conv_fetch_part(next, p / t, (count + t - 1) / t);
            vec acc[2 * MOST];
            EACH_SCALAR(j) EACH_VECTOR(v) ACC(j, v) = has_bias ? VLOAD(bias + o + v * V) : ZERO;
            conv_in row = w + o;
            for (int plane = 0; plane < ic / V; plane++) {
                local const float *s = (local const float *)(in + plane * (all + 1) + p);
                for (int c = 0; c < V; c++, row += oc) {
                    vec wv[2];
                    EACH_VECTOR(v) wv[v] = VLOAD(row + v * V);
                    EACH_SCALAR(j) EACH_VECTOR(v) ACC(j, v) += (vec)(s[j * V + c]) * wv[v];
                }
            }
            global float *to = out + (long)p * oc + o;
            EACH_SCALAR(j) if (p + j < count) EACH_VECTOR(v) {
                if (add)
                    ACC(j, v) += VLOAD(to + j * oc + v * V);
                VSTORE(conv_activate(ACC(j, v), lo), to + j * oc + v * V);
            }
        }
}

// dw (ic, oc) = or (not first) += x' dy over the pixels of a strip; dy as planes, or (there) as it is in memory
INLINE void add_weights(const int nv, const int there, local const vec *x, local const vec *dy, conv_in at, int count,
                        int all, int first, global float *dw, int ic, int oc, conv_wanted next)
{
    const int t = min(SCALARS(nv), V), blocks = (count + MOST - 1) / MOST;
    for (int o = 0; o < oc; o += nv * V)
        for (int c = 0; c < ic; c += t) {
            local const float *s = (local const float *)(x + c / V * (all + 1)) + c % V;
            local const vec *g = dy + o / V * (all + 1);
            global float *to = dw + c * oc + o;
            vec acc[2 * MOST];
            EACH_SCALAR(j) EACH_VECTOR(v) ACC(j, v) = first ? ZERO : VLOAD(to + j * oc + v * V);
            for (int b = 0; b < blocks; b++) {
                if (o == 0 && c == 0)
                    conv_fetch_part(next, b, blocks);
                for (int p = b * MOST; p < min(count, (b + 1) * MOST); p++, s += V, g++) {
                    vec gv[2];
                    EACH_VECTOR(v) gv[v] = there ? VLOAD(at + p * oc + o + v * V) : g[v * (all + 1)];
                    EACH_SCALAR(j) EACH_VECTOR(v) ACC(j, v) += (vec)(s[j]) * gv[v];
                }
            }
            EACH_SCALAR(j) EACH_VECTOR(v) VSTORE(ACC(j, v), to + j * oc + v * V);
        }
}

// db (channels) = or (not first) += the pixels of a strip
INLINE void add_bias(local const vec *dy, int count, int all, int first, global float *db, int channels)
{
    for (int c = 0; c < channels; c += V, dy += all + 1) {
        vec s = first ? ZERO : VLOAD(db + c);
        for (int p = 0; p < count; p++)
            s += dy[p];
        VSTORE(s, db + c);
    }
}

kernel void conv_fwd_pointwise(conv_in x,                    // (N, H, W, Cin), or (staged) z of the stage before
                               conv_in w,                    // (Cin, Cout)
                               conv_in bias,                 // (Cout), read when has_bias
                               global float *restrict y,     // (N, H, W, Cout), at least low
                               global float *restrict stats, // (N, strips, 2, Cout) mean, M2; when has_stats
                               global float *restrict pooled, // (N, H/2, W/2, Cout); when pool is 2
                               conv_in mu, conv_in a, conv_in beta, // of that stage
                               conv_in merged, conv_in gamma,       // its statistics (N, strips, 2, Cin), when merged_rows
                               global float *coefs,                 // (items of an image, N, 2, Cin), likewise
                               local vec *xs, int h, int wd, int ci, int co, int rows, int has_bias, int has_stats,
                               int staged, int coef_stride, float lo, float low, int pool, int merged_rows,
                               int groups, float eps)
{
    const int n = get_global_id(1), r0 = get_global_id(0) * rows, count = (min(r0 + rows, h) - r0) * wd;
    const int all = (count + MOST - 1) / MOST * MOST;
    const long first = ((long)n * h + r0) * wd, next = first + count;
    const int coming = min((long)count, (long)get_global_size(1) * h * wd - next);
    conv_stage g = {staged, mu, a, beta, coef_stride, lo};
    if (merged_rows) { // an item makes coefficients of its own
        g.mu = merge_own(merged, gamma, coefs, h, wd, ci, merged_rows, groups, eps);
        g.a = g.mu + ci;
        g.coef_stride = 0;
    }
    pixels_to_planes(x + first * ci, g, n, count, all, ci, xs);
    multiply(NV, xs, count, all, w, bias, has_bias, 0, low, y + first * co, ci, co,
             (conv_wanted){x + next * ci, x, x, y + next * co, coming * ci, 0, 0, coming * co});
    if (pool == 2)
        conv_pool(y + first * co, pooled + first / 4 * co, count / wd, wd, co, co);
    for (int c = 0; has_stats && c < co; c += V)
        conv_moments(y + first * co + c, count, co,
                     stats + ((long)n * get_global_size(0) + get_global_id(0)) * 2 * co + c);
}

// Work-item: a row of wt.
kernel void conv_transpose_weights(conv_in w,                 // (Cin, Cout)
                                   global float *restrict wt, // (Cout, Cin)
                                   int ci, int co)
{
    const int c = get_global_id(0);
    for (int i = 0; i < ci; i++)
        wt[c * ci + i] = w[i * co + c];
}

// dx, and (wants_dw) dw and db.
kernel void conv_bwd_pointwise(conv_in x,                   // (N, H, W, Cin), or (staged) z; to dw
                               conv_in dy,                  // (N, H, W, Cout), if no stage is behind
                               conv_in wt,                  // (Cout, Cin)
                               global float *restrict dx,   // (N, H, W, Cin), = or (add) +=
                               global float *restrict part, // (chunks, Cin*Cout + Cout): dw, db
                               conv_in mu, conv_in a, conv_in beta, // of the stage before, staged or summed
                               conv_in z,                   // (N, H*pool, W*pool, Cin); to sums: has_sums
                               global float *restrict sums, // (N, strips, 2, Cin) sum g, sum g (z - mu)
                               local vec *xs, local vec *dys, int images, int chunk, int h, int wd, int ci, int co,
                               int rows, int wants_dw, int has_bias, int add, int has_sums, int staged,
                               int coef_stride, int relu, int pool, STAGE_BEHIND_ARGS)
{
    const stage_behind behind = STAGE_BEHIND;
    const int pooled = behind.wanted ? behind.pool : 1;
    global const float *in = behind.wanted ? behind.dy : dy;
    const int n0 = get_global_id(0) * chunk, n1 = min(n0 + chunk, images), strips = (h + rows - 1) / rows;
    const conv_stage g = {staged, mu, a, beta, coef_stride, relu ? 0.0f : -INFINITY}, none = {0, mu, a, beta, 0, 0.0f};
    global float *dw = part + (long)get_global_id(0) * (ci + 1) * co;
    for (int n = n0; n < n1; n++)
        for (int strip = 0; strip < strips; strip++) {
            const int r0 = strip * rows, height = min(rows, h - r0), count = height * wd;
            const int all = (count + MOST - 1) / MOST * MOST, is_first = n == n0 && strip == 0;
            const long first = ((long)n * h + r0) * wd, next = first + count;
            const int coming = min((long)count, (long)images * h * wd - next);
            if (behind.wanted)
                dz_to_planes(behind, n, r0, height, h, wd, all, co, dys);
            else
                pixels_to_planes(dy + first * co, none, n, count, all, co, dys);
            multiply(NVX, dys, count, all, wt, wt, 0, add, -INFINITY, dx + first * ci, co, ci,
                     (conv_wanted){in + next / (pooled * pooled) * co, x + next * ci, behind.z + next * co,
                                   dx + next * ci, coming / (pooled * pooled) * co, wants_dw ? coming * ci : 0,
                                   behind.wanted ? coming * co : 0, coming * ci});
            global float *own = sums + ((long)n * strips + strip) * 2 * ci;
            const int once = has_sums && staged && wants_dw; // x is that z, and pool is 1
            if (once)
                stage_to_planes(x + first * ci, g, n, dx + first * ci, count, all, ci, xs, own);
            else if (has_sums)
                conv_leave_sums(dx + first * ci, z + first * pool * pool * ci, mu + n * coef_stride,
                                a + n * coef_stride, beta, relu, pool, height, wd, ci, ci, own);
            if (!wants_dw)
                continue;
            if (!once)
                pixels_to_planes(x + first * ci, g, n, count, all, ci, xs);
            add_weights(NV, 0, xs, dys, dy, count, all, is_first, dw, ci, co, (conv_wanted){x, x, x, dx, 0, 0, 0, 0});
            if (has_bias)
                add_bias(dys, count, all, is_first, dw + ci * co, co);
        }
}

// dw and db alone.
kernel void conv_bwd_params_pointwise(conv_in x, conv_in dy, global float *restrict part, // as above
                                      conv_in mu, conv_in a, conv_in beta, // of the stage before, staged
                                      local vec *xs, local vec *dys, int images, int chunk, int h, int wd, int ci,
                                      int co, int rows, int has_bias, int staged, int coef_stride, float lo,
                                      STAGE_BEHIND_ARGS)
{
    const stage_behind behind = STAGE_BEHIND;
    const int pooled = behind.wanted ? behind.pool : 1;
    global const float *in = behind.wanted ? behind.dy : dy;
    const int n0 = get_global_id(0) * chunk, n1 = min(n0 + chunk, images), strips = (h + rows - 1) / rows;
    const conv_stage g = {staged, mu, a, beta, coef_stride, lo}, none = {0, mu, a, beta, 0, 0.0f};
    global float *dw = part + (long)get_global_id(0) * (ci + 1) * co;
    for (int n = n0; n < n1; n++)
        for (int strip = 0; strip < strips; strip++) {
            const int r0 = strip * rows, height = min(rows, h - r0), count = height * wd;
            const int all = (count + MOST - 1) / MOST * MOST, is_first = n == n0 && strip == 0;
            const long first = ((long)n * h + r0) * wd, next = first + count;
            const int coming = min((long)count, (long)images * h * wd - next);
            const conv_wanted soon = {in + next / (pooled * pooled) * co, x + next * ci, behind.z + next * co, dw,
                                      coming / (pooled * pooled) * co, coming * ci, behind.wanted ? coming * co : 0, 0};
            pixels_to_planes(x + first * ci, g, n, count, all, ci, xs);
            if (behind.wanted)
                dz_to_planes(behind, n, r0, height, h, wd, all, co, dys);
            else if (has_bias)
                pixels_to_planes(dy + first * co, none, n, count, all, co, dys);
            if (behind.wanted)
                add_weights(NV, 0, xs, dys, dy, count, all, is_first, dw, ci, co, soon);
            else
                add_weights(NV, 1, xs, dys, dy + first * co, count, all, is_first, dw, ci, co, soon);
            if (has_bias)
                add_bias(dys, count, all, is_first, dw + ci * co, co);
        }
}
