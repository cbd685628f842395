// Direct convolution for devices with float vectors (CPUs): forward, backward-data and -params.
//
//   y[n,oy,ox,co]   = b[co] + sum over ky,kx,ci of x[n, oy*s+ky-p, ox*s+kx-p, ci] * w[ky,kx,ci,co]
//   dx[n,iy,ix,ci]  = sum over ky,kx,co with s | iy+p-ky, s | ix+p-kx of
//                     dy[n, (iy+p-ky)/s, (ix+p-kx)/s, co] * w[ky,kx,ci,co]
//   dw[ky,kx,ci,co] = sum over n,oy,ox of x[n, oy*s+ky-p, ox*s+kx-p, ci] * dy[n,oy,ox,co]
//
// Every s-th row of dx, iy = s*i + f, reads every s-th ky alone, those with s | f+p-ky, and so along x. Hence dx is made of
// s*s convolutions of stride 1, one for each pair of phases f, with flipped weights, K*K taps in all. For s = 1 it is one.
//
// Layout: images (N, H, W, C), weights (K, K, Cin, Cout), all float, no padding. Vectors run along
// the OUTPUT's channels (for dx: along ci), which must be a multiple of V * NV.
// What is specialised: V, NV, P, PW, PS and ACT. Every size, K, the stride and the epilogues come at run
// time, so that all layers of a network share one or two programs.
//
// Every kernel is built round one register tile: T broadcast scalars times NV vectors, that is T*NV
// accumulators. conv_fwd and conv_bwd_data: the scalars are T neighbouring pixels of a row at one
// (ky, kx, channel), the vectors weights. conv_bwd_params: the scalars are T neighbouring input
// channels of one pixel, the vectors dy.
//
// A work-item (local size 1) owns
//   conv_fwd, conv_bwd_data   (NV*V channels, strip of `rows` rows, image) of the output
//   conv_flip_weights         a row of wt: the flipped weights of one pair of phases after the other
//   conv_bwd_params[_span]    (NV*V of co, chunk of images) of the partial sums
//   conv_bwd_params_sum       16 vectors of dw, over all chunks in order

#include "act.h"
#include "stage.h"
#include "conv_parts.h"

// NV  vectors of output channels in a tile.
// P   pixels in a tile of conv_fwd and conv_bwd_data; a row is cut into tiles of P and P-1.
// PW  input channels in a tile of conv_bwd_params: tiles of PW and PW-1.
// PS  likewise in a tile of conv_bwd_params_span, out of K * Cin.
// T*NV accumulators and NV + 1 more vectors should fit the registers (16 with AVX2), T pointers the
// general ones; at least 8 accumulators hide the latency of FMA. Typical NV P PW: 2 5 6, 3 4 4,
// 1 8 8.
#ifndef NV
#define NV 2
#endif
#ifndef P
#define P 5
#endif
#ifndef PW
#define PW 6
#endif
#ifndef PS
#define PS 5
#endif
#define PMAX (P > PW ? P > PS ? P : PS : PW > PS ? PW : PS)

// Accumulators are arrays that have to become registers: loops over them have literal bounds and
// are unrolled at once (T is literal only after inlining, which is too late: 3 times slower).
#define EACH_SCALAR(j) _Pragma("unroll") for (int j = 0; j < PMAX; j++) if (j < T)
#define EACH_VECTOR(v) _Pragma("unroll") for (int v = 0; v < NV; v++)

// acc += a tile of T pixels, the first at column ix0 of the input (may be negative), rows
// [ky0, ky1) of the window. x: the element (row of ky = 0, column 0), which need not exist. The taps of a
// row whose columns exist for all T pixels are one run over contiguous inputs; the others go one by
// one, and a pixel outside the image reads zeros.
INLINE void conv_tile(const int T, vec acc[PMAX * NV], conv_in x, conv_in w, conv_in zeros, int ix0,
                      int ky0, int ky1, conv_dims d)
{
    const int lo = max(-ix0, 0), hi = min(d.iw - ix0 - (T - 1) * d.stride, d.k);
    for (int ky = ky0; ky < ky1; ky++) {
        conv_in row = x + ky * d.iw * d.ic;
        conv_in wp = w + ky * d.k * d.ic * d.oc;
        for (int kx = 0; kx < d.k;) {
            const int run = kx == lo && hi > lo ? hi - lo : 1, count = run * d.ic;
            global const float *px[PMAX];
            EACH_SCALAR(j) {
                const int ix = ix0 + kx + j * d.stride;
                px[j] = ix >= 0 && ix < d.iw ? row + ix * d.ic : zeros;
            }
            for (int c = 0; c < count; c++, wp += d.oc) {
                vec wv[NV];
                EACH_VECTOR(v) wv[v] = VLOAD(wp + v * V);
                EACH_SCALAR(j) EACH_VECTOR(v) acc[j * NV + v] += (vec)(px[j][c]) * wv[v];
            }
            kx += run;
        }
    }
}

// A tile from its first value (bias, what y holds, or 0) to memory; y is the tile's first pixel, the
// next one is `pitch` further.
INLINE void conv_tile_store(const int T, global float *y, int pitch, conv_in bias, int has_bias,
                            int add, float lo, conv_in x, conv_in w, conv_in zeros, int ix0, int ky0,
                            int ky1, conv_dims d)
{
    vec acc[PMAX * NV];
    EACH_SCALAR(j) EACH_VECTOR(v) {
        acc[j * NV + v] = ZERO;
        if (has_bias)
            acc[j * NV + v] = VLOAD(bias + v * V);
        if (add)
            acc[j * NV + v] = VLOAD(y + j * pitch + v * V);
    }
    conv_tile(T, acc, x, w, zeros, ix0, ky0, ky1, d);
    EACH_SCALAR(j) EACH_VECTOR(v)
        VSTORE(conv_activate(acc[j * NV + v], lo), y + j * pitch + v * V);
}

// One phase of backward-data, along one side: its taps, the padding of its convolution of stride 1,
// and the taps of the phases before it.
typedef struct {
    int taps, pad, before;
} conv_phase;

// Into *p: a function that returns a struct becomes what Oclgrind 21.10 does not know.
INLINE void phase_of(int f, int stride, int k, int pad, conv_phase *p)
{
    p->taps = p->before = 0;
    for (int i = 0; i <= f; i++) {
        const int first = (i + pad) % stride; // the least tap
        p->before += p->taps;
        p->taps = first < k ? (k - 1 - first) / stride + 1 : 0;
        p->pad = (first + (p->taps - 1) * stride - i - pad) / stride;
    }
}

// `count` pixels of a row, channels from c0: tiles of P, then tiles of P-1.
INLINE void conv_row(conv_in x, conv_in w, conv_in bias, conv_in zeros, global float *y, int pitch,
                     int count, int iy0, int taps, int has_bias, int add, float lo, conv_dims d)
{
    const int ky0 = max(-iy0, 0), ky1 = min(d.ih - iy0, taps);
    const int tiles = (count + P - 1) / P, big = count - tiles * (P - 1);
    conv_in xr = x + (long)iy0 * d.iw * d.ic;
    int ox = 0;
    for (int t = 0; t < big; t++, ox += P)
        conv_tile_store(P, y + ox * pitch, pitch, bias, has_bias, add, lo, xr, w, zeros,
                        ox * d.stride - d.pad, ky0, ky1, d);
    for (; ox < count; ox += P - 1)
        conv_tile_store(P - 1, y + ox * pitch, pitch, bias, has_bias, add, lo, xr, w, zeros,
                        ox * d.stride - d.pad, ky0, ky1, d);
}

kernel void conv_fwd(conv_in x,                    // (N, H, W, Cin)
                     conv_in w,                    // (K, K, Cin, Cout)
                     conv_in bias,                 // (Cout), read when has_bias
                     conv_in zeros,                // Cin zeros
                     global float *restrict y,     // (N, Ho, Wo, Cout), at least lo
                     global float *restrict stats, // (N, strips, 2, Cout) mean, M2; when has_stats
                     global float *restrict pooled, // (N, Ho/2, Wo/2, Cout); when pool is 2
                     int h, int wd, int ci, int ho, int wo, int co, int k, int stride, int pad,
                     int rows, int has_bias, int has_stats, float lo, int pool,
                     int cols) // of the image, where 1x1 rows were joined
{
    const int c0 = get_global_id(0) * (NV * V), t = get_global_id(1), n = get_global_id(2);
    const int r0 = t * rows, r1 = min(r0 + rows, ho);
    const conv_dims d = {h, wd, ci, ho, wo, co, k, stride, pad};
    for (int oy = r0; oy < r1; oy++)
        conv_row(x + (long)n * h * wd * ci, w + c0, bias + c0, zeros,
                 y + (((long)n * ho + oy) * wo) * co + c0, co, wo, oy * stride - pad, k, has_bias, 0,
                 lo, d);
    const long at = ((long)n * ho + r0) * wo;
    if (pool == 2)
        conv_pool(y + at * co + c0, pooled + at / 4 * co + c0, (r1 - r0) * wo / cols, cols, co, NV * V);
    if (!has_stats)
        return;
    global const float *ys = y + at * co + c0;
    global float *out = stats + ((long)n * get_global_size(1) + t) * 2 * co + c0;
    for (int v = 0; v < NV; v++)
        conv_moments(ys + v * V, (r1 - r0) * wo, co, out + v * V);
}

// ---- backward-data -----------------------------------------------------------------------------

kernel void conv_bwd_data(conv_in dy,                // (N, Ho, Wo, Cout)
                          conv_in wt,                // (K*K, Cout, Cin), of conv_flip_weights
                          conv_in zeros,             // Cout zeros
                          global float *restrict dx, // (N, H, W, Cin), = or (add) +=
                          conv_in z,                 // (N, H*pool, W*pool, Cin); to sums: has_sums
                          conv_in mu, conv_in a,     // [n * coef_stride + c]
                          conv_in beta,              // (Cin)
                          global float *restrict sums, // (N, strips, 2, Cin) sum g, sum g (z - mu)
                          int ho, int wo, int co, int h, int wd, int ci, int k, int stride, int pad,
                          int rows, int add, int has_sums, int coef_stride, int relu, int pool,
                          int cols) // of the image, where 1x1 rows were joined
{
    const int c0 = get_global_id(0) * (NV * V), t = get_global_id(1), n = get_global_id(2);
    const int r0 = t * rows, r1 = min(r0 + rows, h);
    for (int iy = r0; iy < r1; iy++) {
        conv_phase py, px;
        phase_of(iy % stride, stride, k, pad, &py);
        for (int f = 0; f < stride; f++) {
            phase_of(f, stride, k, pad, &px);
            const conv_dims d = {ho, wo, co, h, wd, ci, px.taps, 1, px.pad};
            conv_in w = wt + (py.before * k + py.taps * px.before) * co * ci + c0;
            conv_row(dy + (long)n * ho * wo * co, w, w, zeros, dx + (((long)n * h + iy) * wd + f) * ci + c0,
                     stride * ci, (wd - f + stride - 1) / stride, iy / stride - py.pad, py.taps, 0, add,
                     -INFINITY, d);
        }
    }
    if (!has_sums)
        return;
    const int at = n * coef_stride + c0;
    conv_leave_sums(dx + ((long)n * h + r0) * wd * ci + c0,
                    z + ((long)n * h + r0) * pool * pool * wd * ci + c0, mu + at, a + at, beta + c0,
                    relu, pool, (r1 - r0) * wd / cols, cols, ci, NV * V,
                    sums + ((long)n * get_global_size(1) + t) * 2 * ci + c0);
}

kernel void conv_flip_weights(conv_in w,                 // (K, K, Cin, Cout)
                              global float *restrict wt, // (K*K, Cout, Cin)
                              int k, int stride, int pad, int ci, int co)
{
    const int c = get_global_id(0), ky = get_global_id(1) / k, kx = get_global_id(1) % k;
    conv_phase py, px;
    phase_of((ky + k * stride - pad) % stride, stride, k, pad, &py);
    phase_of((kx + k * stride - pad) % stride, stride, k, pad, &px);
    const int at = (py.before * k + py.taps * px.before) + // of the pair of phases
                   (py.taps - 1 - ky / stride) * px.taps + (px.taps - 1 - kx / stride);
    conv_in src = w + (ky * k + kx) * ci * co + c;
    global float *dst = wt + (at * co + c) * ci;
    for (int i = 0; i < ci; i++)
        dst[i] = src[i * co];
}

// ---- backward-params ---------------------------------------------------------------------------
// The T scalars of a tile are the inputs m0 <= m < m0 + T, m = ky' * Cin + c, of one kx. As a rule
// ky' = 0 and ky is the tap's; with `span` (few input channels) a tile reaches over the rows of the
// window, and a row outside the image reads zeros (a whole row of them).

typedef struct {
    conv_dims d;        // the forward's: (ih, iw, ic) is x, (oh, ow, oc) is dy
    int n0, row0, row1; // output rows of the chunk's images, counted through from image n0
    int ky, kx, lo, hi; // output columns [lo, hi) see column kx of the window inside the image
} conv_part;

INLINE void conv_dw_row(const int T, vec acc[PMAX * NV], global const float *px[PMAX], conv_in dy,
                        int count, int step, int oc)
{
    for (int i = 0; i < count; i++, dy += oc) {
        vec dv[NV];
        EACH_VECTOR(v) dv[v] = VLOAD(dy + v * V);
        EACH_SCALAR(j) EACH_VECTOR(v) acc[j * NV + v] += (vec)(px[j][i * step]) * dv[v];
    }
}

// part: element (ky, kx, c = 0, first channel) of the chunk's partial dw; `first`: nothing there.
INLINE void conv_dw_tile(const int T, const int span, conv_in x, conv_in dy, conv_in zeros,
                         global float *part, int m0, int first, conv_part s)
{
    const conv_dims d = s.d;
    vec acc[PMAX * NV];
    global float *out[PMAX];
    int ky[PMAX], off[PMAX];
    EACH_SCALAR(j) {
        ky[j] = span ? (m0 + j) / d.ic : 0;
        const int c = m0 + j - ky[j] * d.ic;
        off[j] = ky[j] * d.iw * d.ic + c;
        out[j] = part + (ky[j] * d.k * d.ic + c) * d.oc;
        EACH_VECTOR(v) acc[j * NV + v] = first ? ZERO : VLOAD(out[j] + v * V);
    }
    int n = s.n0 + s.row0 / d.oh, oy = s.row0 % d.oh;
    for (int r = s.row0; r < s.row1; r++) {
        const int iy = oy * d.stride - d.pad + s.ky, ix = s.lo * d.stride - d.pad + s.kx;
        conv_in row = x + (((long)n * d.ih + iy) * d.iw + ix) * d.ic;
        global const float *px[PMAX];
        EACH_SCALAR(j)
            px[j] = !span || (iy + ky[j] >= 0 && iy + ky[j] < d.ih) ? row + off[j] : zeros;
        if (span || (iy >= 0 && iy < d.ih))
            conv_dw_row(T, acc, px, dy + (((long)n * d.oh + oy) * d.ow + s.lo) * d.oc, s.hi - s.lo,
                        d.stride * d.ic, d.oc);
        if (++oy == d.oh) {
            oy = 0;
            n++;
        }
    }
    EACH_SCALAR(j) EACH_VECTOR(v) VSTORE(acc[j * NV + v], out[j] + v * V);
}

// Makes dz of rows [row, end), counted through from image n0, for channels c0 and on.
INLINE void conv_make_dz(stage_behind s, global float *dz, int n0, int row, int end, int c0, conv_dims d)
{
    for (; row < end; row++)
        for (int c = c0; c < c0 + NV * V; c += V) {
            stage_coefs k;
            stage_coefs_of(s, n0 + row / d.oh, c, &k);
            long p = ((long)n0 * d.oh + row) * d.ow * d.oc + c;
            for (int i = 0; i + 1 < d.ow; i += 2, p += 2 * d.oc) {
                vec d0 = VLOAD(s.dy + p), d1 = VLOAD(s.dy + p + d.oc);
                stage_dz_two(k, VLOAD(s.z + p), VLOAD(s.z + p + d.oc), &d0, &d1);
                VSTORE(d0, dz + p);
                VSTORE(d1, dz + p + d.oc);
            }
            if (d.ow % 2)
                VSTORE(stage_dz(k, VLOAD(s.z + p), VLOAD(s.dy + p)), dz + p);
        }
}

// The partial dw of `images` images, in strips of `rows` output rows that stay in the first-level
// cache while the tiles of all taps pass over them. With `span` a tap is a column of the window.
INLINE void conv_dw(const int T, const int span, conv_in x, global float *dy, stage_behind behind, int c0,
                    conv_in zeros, global float *part, int images, int rows, int big, conv_part s)
{
    const conv_dims d = s.d;
    const int m_count = span ? d.k * d.ic : d.ic, taps = span ? d.k : d.k * d.k;
    for (int row = 0; row < images * d.oh; row += rows) {
        s.row0 = row;
        s.row1 = min(row + rows, images * d.oh);
        if (behind.wanted)
            conv_make_dz(behind, dy, s.n0, s.row0, s.row1, c0, d);
        for (int tap = 0; tap < taps; tap++) {
            s.ky = tap / d.k;
            s.kx = tap % d.k;
            const int last = d.iw - 1 + d.pad - s.kx; // last input column, from output column 0
            s.lo = max((d.pad - s.kx + d.stride - 1) / d.stride, 0);
            s.hi = last < 0 ? s.lo : max(min(last / d.stride + 1, d.ow), s.lo);
            global float *out = part + tap * d.ic * d.oc;
            int m = 0;
            for (int t = 0; t < big; t++, m += T)
                conv_dw_tile(T, span, x, dy + c0, zeros, out, m, row == 0, s);
            for (; m < m_count; m += T - 1)
                conv_dw_tile(T - 1, span, x, dy + c0, zeros, out, m, row == 0, s);
        }
    }
}

INLINE void conv_dw_item(const int T, const int span, conv_in x, global float *dy, stage_behind behind,
                         conv_in zeros, global float *part, int images, int chunk, int rows, int big, int has_bias,
                         conv_dims d)
{
    const int c0 = get_global_id(0) * (NV * V), q = get_global_id(1);
    const int count = d.k * d.k * d.ic * d.oc, pixels = d.oh * d.ow;
    const conv_part s = {d, q * chunk, 0, 0, 0, 0, 0, 0};
    const int here = min(images - s.n0, chunk);
    global float *out = part + (long)q * (count + d.oc) + c0;
    conv_dw(T, span, x, dy, behind, c0, zeros, out, here, rows, big, s);
    if (has_bias)
        for (int c = 0; c < NV * V; c += V)
            conv_db(dy + (long)s.n0 * pixels * d.oc + c0 + c, here * pixels, d.oc, out + count + c);
}

kernel void conv_bwd_params(conv_in x,                   // (N, H, W, Cin)
                            global float *dy,            // (N, Ho, Wo, Cout); made from the stage behind, if any
                            conv_in zeros,               // not read
                            global float *restrict part, // (chunks, K*K*Cin*Cout + Cout): dw, db
                            int images, int chunk, int rows, int big, int has_bias, int h, int wd,
                            int ci, int ho, int wo, int co, int k, int stride, int pad, STAGE_BEHIND_ARGS)
{
    const conv_dims d = {h, wd, ci, ho, wo, co, k, stride, pad};
    const stage_behind behind = STAGE_BEHIND;
    conv_dw_item(PW, 0, x, dy, behind, zeros, part, images, chunk, rows, big, has_bias, d);
}

// For few input channels; zeros holds a row of x.
kernel void conv_bwd_params_span(conv_in x, global float *dy, conv_in zeros, global float *restrict part,
                                 int images, int chunk, int rows, int big, int has_bias, int h,
                                 int wd, int ci, int ho, int wo, int co, int k, int stride, int pad, STAGE_BEHIND_ARGS)
{
    const conv_dims d = {h, wd, ci, ho, wo, co, k, stride, pad};
    const stage_behind behind = STAGE_BEHIND;
    conv_dw_item(PS, 1, x, dy, behind, zeros, part, images, chunk, rows, big, has_bias, d);
}
