// Winograd convolution for devices with float vectors (CPUs): 3x3, stride 1; forward, backward-data and -params.
//
// The mathematics is in winograd.h; the weights come transformed, by the kernels of conv_winograd_weights.cl.
//
// Layout: images (N, H, W, C), transformed weights u (S*S, Cin, Cout), dw (3, 3, Cin, Cout), all float. V divides
// Cin and Cout, T dw's Cin.
//
// A work-item (local size 1) owns `rows` rows of `group` images (more than one only if the rows are all), the tiles of
// which are counted through, and keeps in local memory, which on such a device is memory in its own core's cache:
//   line   (S, columns, Cin)    one row of tiles, transformed along y
//   vb     (S*S, tiles, Cin)    the transformed input; the tiles rounded up to T
//   mb     (S*S, tiles, Cout)   the S*S products of matrices vb[i] u[i]
// In backward-params vb and mb hold x and dy, and acc (S*S, Cin, Cout) the sum over all images of the item.
// A matrix begins one vector behind the end of the one before: at a power of two all would fall into one set of the
// first-level cache.
//
// T   tiles (in backward-params: input channels) in a register tile of T * nv accumulators; as conv_vector.cl's, but
//     for nv, the vectors of output channels in it, which is 2, or 1 where that does not divide them.
#ifndef T
#define T 8
#endif
#include "act.h"
#include "stage.h"
#include "conv_parts.h"
#include "merge.h"
#include "winograd.h"

#define EACH_TILE(j) _Pragma("unroll") for (int j = 0; j < T; j++)
#define EACH_VECTOR(v) _Pragma("unroll") for (int v = 0; v < 2; v++) if (v < nv)

// ---- the parts of an item ------------------------------------------------------------------------------------------

// The tiles of an item: tw a row, th rows an image; `all` of them with those that fill up the last T.
typedef struct {
    int images, th, tw, all;
} wino_tiles;

// A macro: what a function that returns a struct becomes, Oclgrind 21.10 does not know (llvm.experimental.noalias.scope.decl).
#define TILES_IN(length) (((length) + M - 1) / M)
#define TILES_OF(images, rows, width, unit)                                                                            \
    {images, TILES_IN(rows), TILES_IN(width),                                                                          \
     ((images) * TILES_IN(rows) * TILES_IN(width) + (unit) - 1) / (unit) * (unit)}

#define ROW_EXISTS(i) (inside || (iy0 + (i) >= 0 && iy0 + (i) < ih))

// One row of tiles along y, V channels from c: all columns of the patches whose first input row is iy0, to line.
// Columns and rows outside the image x are zeros; `inside`: all rows are in it.
APART void patches_along_y(const int staged, const int inside, conv_in x, conv_stage g, int n, int iy0, int ih, int iw,
                            int ic, int pad, int columns, int c, local vec *line)
{
    const int cv = ic / V;
    vec mu = ZERO, a = ZERO, beta = ZERO;
    if (staged) {
        mu = VLOAD(g.mu + n * g.coef_stride + c * V);
        a = VLOAD(g.a + n * g.coef_stride + c * V);
        beta = VLOAD(g.beta + c * V);
    }
    for (int i = 0; i < S; i++) {
        for (int k = 0; k < pad; k++)
            line[(i * columns + k) * cv + c] = ZERO;
        for (int k = pad + iw; k < columns; k++)
            line[(i * columns + k) * cv + c] = ZERO;
    }
    conv_in p = x + (long)iy0 * iw * ic + c * V;
    local vec *to = line + pad * cv + c;
    for (int ix = 0; ix < iw; ix++, p += ic, to += cv) {
        vec d[S], e[S];
        EACH_POINT(i) d[i] = ROW_EXISTS(i) ? VLOAD(p + i * iw * ic) : ZERO;
        if (staged) {
            EACH_POINT(i) if (i % 2 == 0) stage_apply_two(&d[i], &d[i + 1], mu, a, beta, g.lo);
            EACH_POINT(i) if (!ROW_EXISTS(i)) d[i] = ZERO;
        }
        to_points(d, e);
        EACH_POINT(i) to[i * columns * cv] = e[i];
    }
}

// The same along x, to vb: the tiles `tile` and on.
APART void patches_along_x(local const vec *line, int cv, wino_tiles t, int tile, local vec *vb)
{
    const int columns = t.tw * M + 2, slice = t.all * cv + 1;
    for (int i = 0; i < S; i++)
        for (int tx = 0; tx < t.tw; tx++)
            for (int c = 0; c < cv; c++) {
                local const vec *from = line + (i * columns + tx * M) * cv + c;
                local vec *to = vb + i * S * slice + (tile + tx) * cv + c;
                vec d[S], e[S];
                EACH_POINT(j) d[j] = from[j * cv];
                to_points(d, e);
                EACH_POINT(j) to[j * slice] = e[j];
            }
}

// Tiles [from, all) of each of the S*S matrices become zeros.
INLINE void clear_tiles(local vec *vb, int from, int all, int cv)
{
    for (int i = 0; i < S * S; i++)
        for (int k = from * cv; k < all * cv; k++)
            vb[i * (all * cv + 1) + k] = ZERO;
}

// The input of an item: rows [r0, r0 + rows) of the output of images n0 and on.
APART void input_to_points(conv_in x, conv_stage g, int n0, int r0, int ih, int iw, int ic, int pad, wino_tiles t,
                            local vec *line, local vec *vb)
{
    const int cv = ic / V, columns = t.tw * M + 2;
    int tile = 0;
    for (int n = n0; n < n0 + t.images; n++)
        for (int ty = 0; ty < t.th; ty++, tile += t.tw) {
            conv_in image = x + (long)n * ih * iw * ic;
            const int iy0 = r0 + ty * M - pad;
            const int inside = iy0 >= 0 && iy0 + S <= ih;
            for (int c = 0; c < cv; c++)
                if (g.wanted && inside)
                    patches_along_y(1, 1, image, g, n, iy0, ih, iw, ic, pad, columns, c, line);
                else if (g.wanted)
                    patches_along_y(1, 0, image, g, n, iy0, ih, iw, ic, pad, columns, c, line);
                else if (inside)
                    patches_along_y(0, 1, image, g, n, iy0, ih, iw, ic, pad, columns, c, line);
                else
                    patches_along_y(0, 0, image, g, n, iy0, ih, iw, ic, pad, columns, c, line);
            patches_along_x(line, cv, t, tile, vb);
        }
    clear_tiles(vb, tile, t.all, cv);
}

// mb[i] = vb[i] u[i] for the S*S matrices
INLINE void multiply_by(const int nv, local const vec *vb, conv_in u, local vec *mb, int all, int ic, int oc,
                        conv_wanted next)
{
    const int in_slice = all * ic + V, out_slice = all * (oc / V) + 1;
    const int parts = S * S * (all / T) * (oc / (nv * V));
    int part = 0;
    for (int i = 0; i < S * S; i++) {
        for (int c0 = 0; c0 < oc; c0 += nv * V)
            for (int tile = 0; tile < all; tile += T) {
                conv_fetch_part(next, part++, parts);
                local const float *p = (local const float *)vb + i * in_slice + tile * ic;
                conv_in w = u + (long)i * ic * oc + c0;
                vec acc[T * 2];
                EACH_TILE(j) EACH_VECTOR(v) acc[j * 2 + v] = ZERO;
                for (int c = 0; c < ic; c++, w += oc) {
                    vec wv[2];
                    EACH_VECTOR(v) wv[v] = VLOAD(w + v * V);
                    EACH_TILE(j) EACH_VECTOR(v) acc[j * 2 + v] += (vec)(p[j * ic + c]) * wv[v];
                }
                local vec *m = mb + i * out_slice + tile * (oc / V) + c0 / V;
                EACH_TILE(j) EACH_VECTOR(v) m[j * (oc / V) + v] = acc[j * 2 + v];
            }
    }
}

APART void multiply(local const vec *vb, conv_in u, local vec *mb, int all, int ic, int oc, conv_wanted next)
{
    if (oc / V % 2)
        multiply_by(1, vb, u, mb, all, ic, oc, next);
    else
        multiply_by(2, vb, u, mb, all, ic, oc, next);
}

// One tile, one vector of channels: from its products m to the pixels of y that exist.
INLINE void tile_from_points(local const vec *m, int slice, vec bias, int add, float lo, global float *y, int rows,
                             int columns, int ow, int oc)
{
    vec half_way[M][S];
    EACH_POINT(j) {
        vec d[S], e[M];
        EACH_POINT(i) d[i] = m[(i * S + j) * slice];
        from_points(d, e);
        EACH_PIXEL(i) half_way[i][j] = e[i];
    }
    EACH_PIXEL(i) if (i < rows) {
        vec e[M];
        from_points(half_way[i], e);
        EACH_PIXEL(j) if (j < columns) {
            global float *to = y + ((long)i * ow + j) * oc;
            VSTORE(conv_activate(e[j] + (add ? VLOAD(to) : bias), lo), to);
        }
    }
}

APART void output_from_points(local const vec *mb, conv_in bias, int has_bias, int add, float lo, global float *y,
                              int n0, int r0, int r1, int oh, int ow, int oc, wino_tiles t)
{
    const int cv = oc / V, slice = t.all * cv + 1;
    for (int n = 0, tile = 0; n < t.images; n++)
        for (int ty = 0; ty < t.th; ty++)
            for (int tx = 0; tx < t.tw; tx++, tile++) {
                const int oy = r0 + ty * M, ox = tx * M;
                global float *to = y + (((long)(n0 + n) * oh + oy) * ow + ox) * oc;
                for (int c = 0; c < cv; c++) {
                    vec b = ZERO;
                    if (has_bias)
                        b = VLOAD(bias + c * V);
                    tile_from_points(mb + tile * cv + c, slice, b, add, lo, to + c * V, r1 - oy, ow - ox, ow, oc);
                }
            }
}

// ---- forward and backward-data ---------------------------------------------------------------------------------------

kernel void conv_fwd_winograd(conv_in x,                    // (N, H, W, Cin), or (staged) z of the stage before
                     conv_in u,                    // (S*S, Cin, Cout)
                     conv_in bias,                 // (Cout), read when has_bias
                     global float *restrict y,     // (N, Ho, Wo, Cout), at least low
                     global float *restrict stats, // (N, strips, 2, Cout) mean, M2; when has_stats
                     global float *restrict pooled, // (N, Ho/2, Wo/2, Cout); when pool is 2
                     conv_in mu, conv_in a, conv_in beta, // of that stage
                     conv_in merged, conv_in gamma,       // its statistics (N, strips, 2, Cin), when merged_rows
                     global float *coefs,                 // (items of an image, N, 2, Cin), likewise
                     local vec *line, local vec *vb, local vec *mb, int images, int h, int wd, int ci, int ho, int wo,
                     int co, int pad, int rows, int group, int has_bias, int has_stats, int staged, int coef_stride,
                     float lo, float low, int pool, int merged_rows, int groups, float eps)
{
    const int r0 = get_global_id(0) * rows, r1 = min(r0 + rows, ho), n0 = get_global_id(1) * group;
    const wino_tiles t = TILES_OF(min(group, images - n0), r1 - r0, wo, T);
    conv_stage g = {staged, mu, a, beta, coef_stride, lo};
    if (merged_rows) { // an item makes coefficients of its own
        g.coef_stride = 2 * ci;
        g.mu = coefs + (long)get_global_id(0) * images * g.coef_stride;
        g.a = g.mu + ci;
        for (int n = n0; n < n0 + t.images; n++)
            merge_statistics(merged + (long)n * ((h + merged_rows - 1) / merged_rows) * 2 * ci, gamma,
                             coefs + ((long)get_global_id(0) * images + n) * g.coef_stride, h, wd, ci, merged_rows,
                             groups, eps);
    }
    input_to_points(x, g, n0, r0, h, wd, ci, pad, t, line, vb);
    // The next item reads as many rows.
    const int height = t.images * (r1 - r0), next = n0 * h + r0 + height + (r1 < ho ? 2 : 0);
    multiply(vb, u, mb, t.all, ci, co,
             (conv_wanted){x + (long)next * wd * ci, x, x, y + ((long)n0 * ho + r0) * wo * co,
                           min(height, images * h - next) * wd * ci, 0, 0, height * wo * co});
    output_from_points(mb, bias, has_bias, 0, low, y, n0, r0, r1, ho, wo, co, t);
    for (int n = n0; pool == 2 && n < n0 + t.images; n++)
        conv_pool(y + ((long)n * ho + r0) * wo * co, pooled + ((long)n * ho + r0) * wo / 4 * co, r1 - r0, wo, co, co);
    for (int n = n0; has_stats && n < n0 + t.images; n++)
        for (int c = 0; c < co; c += V)
            conv_moments(y + ((long)n * ho + r0) * wo * co + c, (r1 - r0) * wo, co,
                         stats + ((long)n * get_global_size(0) + get_global_id(0)) * 2 * co + c);
}

// An item of backward-data: rows [r0, r1) of the images n0 and on, from dy to dx and the sums of the stage before.
INLINE void data_of_tiles(conv_in dy, conv_in u, global float *dx, conv_in z, conv_in mu, conv_in a, conv_in beta,
                          global float *sums, local vec *line, local vec *vb, local vec *mb, wino_tiles t, int n0, int r0,
                          int r1, int ho, int wo, int co, int h, int wd, int ci, int pad, int add, int has_sums, int strip,
                          int strips, int coef_stride, int relu, int pool, conv_wanted next)
{
    const conv_stage none = {0, mu, a, beta, 0, 0.0f};
    input_to_points(dy, none, n0, r0, ho, wo, co, pad, t, line, vb);
    multiply(vb, u, mb, t.all, co, ci, next);
    output_from_points(mb, dy, 0, add, -INFINITY, dx, n0, r0, r1, h, wd, ci, t);
    for (int n = n0; has_sums && n < n0 + t.images; n++)
        conv_leave_sums(dx + ((long)n * h + r0) * wd * ci, z + ((long)n * h + r0) * pool * pool * wd * ci,
                        mu + n * coef_stride, a + n * coef_stride, beta, relu, pool, r1 - r0, wd, ci, ci,
                        sums + ((long)n * strips + strip) * 2 * ci);
}

kernel void conv_bwd_data_winograd(conv_in dy,                  // (N, Ho, Wo, Cout)
                          conv_in u,                   // (S*S, Cout, Cin), flipped
                          global float *restrict dx,   // (N, H, W, Cin), = or (add) +=
                          conv_in z,                   // (N, H*pool, W*pool, Cin); to sums: has_sums
                          conv_in mu, conv_in a,       // [n * coef_stride + c]
                          conv_in beta,                // (Cin)
                          global float *restrict sums, // (N, strips, 2, Cin) sum g, sum g (z - mu)
                          local vec *line, local vec *vb, local vec *mb, int images, int ho, int wo, int co, int h,
                          int wd, int ci, int pad, int rows, int group, int add, int has_sums, int coef_stride,
                          int relu, int pool)
{
    const int r0 = get_global_id(0) * rows, r1 = min(r0 + rows, h), n0 = get_global_id(1) * group;
    const wino_tiles t = TILES_OF(min(group, images - n0), r1 - r0, wd, T);
    const int height = t.images * (r1 - r0), next = n0 * ho + r0 + height + (r1 < h ? 2 : 0);
    data_of_tiles(dy, u, dx, z, mu, a, beta, sums, line, vb, mb, t, n0, r0, r1, ho, wo, co, h, wd, ci, pad, add, has_sums,
                  get_global_id(0), get_global_size(0), coef_stride, relu, pool,
                  (conv_wanted){dy + (long)next * wo * co, z + ((long)n0 * h + r0) * pool * pool * wd * ci, dy,
                                dx + ((long)n0 * h + r0) * wd * ci, min(height, images * ho - next) * wo * co,
                                has_sums ? height * pool * pool * wd * ci : 0, 0, height * wd * ci});
}

// ---- backward-params ---------------------------------------------------------------------------------------------------

#define PIXEL_EXISTS(i, j) (oy + (i) < r1 && ox + (j) < ow)

// dy of the rows [r0, r1) of images n0 and on; pixels outside the image are zeros. With a stage behind it is made, and
// left at dy (keep) for those that read it after: backward-data, db.
APART void gradient_of_tiles(global float *dy, stage_behind s, int keep, int n0, int r0, int r1, int oh, int ow,
                              int oc, wino_tiles t, local vec *mb)
{
    global const float *in = s.wanted ? s.dy : dy;
    const int cv = oc / V, slice = t.all * cv + 1;
    int tile = 0;
    for (int n = 0; n < t.images; n++)
        for (int ty = 0; ty < t.th; ty++)
            for (int tx = 0; tx < t.tw; tx++, tile++)
                for (int c = 0; c < cv; c++) {
                    const int oy = r0 + ty * M, ox = tx * M;
                    const long from = (((long)(n0 + n) * oh + oy) * ow + ox) * oc + c * V;
                    stage_coefs k;
                    if (s.wanted)
                        stage_coefs_of(s, n0 + n, c * V, &k);
                    local vec *to = mb + tile * cv + c;
                    vec half_way[S][M];
                    EACH_PIXEL(j) {
                        vec d[M], e[S];
                        EACH_PIXEL(i) d[i] = PIXEL_EXISTS(i, j) ? VLOAD(in + from + (i * ow + j) * oc) : ZERO;
                        if (s.wanted) {
                            vec z[M];
                            EACH_PIXEL(i) z[i] = PIXEL_EXISTS(i, j) ? VLOAD(s.z + from + (i * ow + j) * oc) : ZERO;
                            EACH_PIXEL(i) if (i % 2 == 0) stage_dz_two(k, z[i], z[i + 1], &d[i], &d[i + 1]);
                            EACH_PIXEL(i) {
                                if (!PIXEL_EXISTS(i, j))
                                    d[i] = ZERO;
                                else if (keep)
                                    VSTORE(d[i], dy + from + (i * ow + j) * oc);
                            }
                        }
                        gradient_to_points(d, e);
                        EACH_POINT(i) half_way[i][j] = e[i];
                    }
                    EACH_POINT(i) {
                        vec e[S];
                        gradient_to_points(half_way[i], e);
                        EACH_POINT(j) to[(i * S + j) * slice] = e[j];
                    }
                }
}

// acc[i] = or (add) += vb[i]' mb[i] for the S*S matrices
INLINE void multiply_transposed_by(const int nv, local const vec *vb, local const vec *mb, local vec *acc, int tiles,
                                   int add, int ic, int oc, conv_wanted next)
{
    const int in_slice = tiles * ic + V, out_slice = tiles * (oc / V) + 1;
    const int parts = S * S * (ic / T) * (oc / (nv * V));
    int part = 0;
    for (int i = 0; i < S * S; i++) {
        for (int c0 = 0; c0 < oc / V; c0 += nv)
            for (int k0 = 0; k0 < ic; k0 += T) {
                conv_fetch_part(next, part++, parts);
                local const float *p = (local const float *)vb + i * in_slice + k0;
                local const vec *g = mb + i * out_slice + c0;
                local vec *out = acc + (i * ic + k0) * (oc / V) + c0;
                vec sum[T * 2];
                EACH_TILE(j) EACH_VECTOR(v) sum[j * 2 + v] = add ? out[j * (oc / V) + v] : ZERO;
                for (int tile = 0; tile < tiles; tile++, p += ic, g += oc / V) {
                    vec gv[2];
                    EACH_VECTOR(v) gv[v] = g[v];
                    EACH_TILE(j) EACH_VECTOR(v) sum[j * 2 + v] += (vec)(p[j]) * gv[v];
                }
                EACH_TILE(j) EACH_VECTOR(v) out[j * (oc / V) + v] = sum[j * 2 + v];
            }
    }
}

INLINE void multiply_transposed(local const vec *vb, local const vec *mb, local vec *acc, int tiles, int add, int ic,
                                int oc, conv_wanted next)
{
    if (oc / V % 2)
        multiply_transposed_by(1, vb, mb, acc, tiles, add, ic, oc, next);
    else
        multiply_transposed_by(2, vb, mb, acc, tiles, add, ic, oc, next);
}

APART void weights_of(local const vec *acc, global float *dw, int ic, int oc)
{
    const int slice = ic * (oc / V);
    for (int k = 0; k < slice; k++) {
        vec half_way[3][S];
        EACH_POINT(j) {
            vec d[S], e[3];
            EACH_POINT(i) d[i] = acc[(i * S + j) * slice + k];
            weights_from_points(d, e);
            EACH_TAP(i) half_way[i][j] = e[i];
        }
        EACH_TAP(i) {
            vec e[3];
            weights_from_points(half_way[i], e);
            EACH_TAP(j) VSTORE(e[j], dw + ((long)(3 * i + j) * slice + k) * V);
        }
    }
}

// A round of backward-params: rows [r, r + rows) of the images n and on (`more`: not the first of the item), of which acc
// gets the sums. To come next: the rows behind them.
INLINE void params_of_tiles(conv_in x, conv_stage g, global float *dy, stage_behind behind, int keep, local vec *line,
                            local vec *vb, local vec *mb, local vec *acc, wino_tiles t, int images, int n, int r, int rows,
                            int more, int h, int wd, int ci, int ho, int wo, int co, int pad)
{
    input_to_points(x, g, n, r, h, wd, ci, pad, t, line, vb);
    gradient_of_tiles(dy, behind, keep, n, r, min(r + rows, ho), ho, wo, co, t, mb);
    const int height = t.images * min(rows, ho - r), next = n * h + r + height, next_dy = n * ho + r + height;
    const int pixels = min(height, images * ho - next_dy) * wo;
    multiply_transposed(vb, mb, acc, t.all, more, ci, co,
                        (conv_wanted){x + (long)next * wd * ci, behind.z + (long)next_dy * wo * co, x,
                                      (behind.wanted ? behind.dy : dy) + (long)next_dy * wo * co,
                                      min(height, images * h - next) * wd * ci,
                                      behind.wanted ? pixels * co : 0, 0, pixels * co});
}

// The item of `chunk` images goes through them `group` at a time, `rows` rows each.
kernel void conv_bwd_params_winograd(conv_in x,                   // (N, H, W, Cin), or (staged) z of the stage before
                            global float *dy,            // (N, Ho, Wo, Cout); made from the stage behind, if any
                            global float *restrict part, // (chunks, 9*Cin*Cout + Cout): dw, db
                            conv_in mu, conv_in a, conv_in beta, // of that stage
                            local vec *line, local vec *vb, local vec *mb, local vec *acc, int images, int chunk,
                            int h, int wd, int ci, int ho, int wo, int co, int pad, int rows, int group, int has_bias,
                            int staged, int coef_stride, float lo, int keep, STAGE_BEHIND_ARGS)
{
    const conv_stage g = {staged, mu, a, beta, coef_stride, lo};
    const stage_behind behind = STAGE_BEHIND;
    const int first = get_global_id(0) * chunk, last = min(first + chunk, images), weights = 9 * ci * co;
    global float *out = part + (long)get_global_id(0) * (weights + co);
    for (int n = first; n < last; n += group)
        for (int r = 0; r < ho; r += rows) {
            const wino_tiles t = TILES_OF(min(group, last - n), min(rows, ho - r), wo, 1);
            params_of_tiles(x, g, dy, behind, keep, line, vb, mb, acc, t, images, n, r, rows, n > first || r > 0, h, wd, ci,
                            ho, wo, co, pad);
        }
    weights_of(acc, out, ci, co);
    for (int c = 0; has_bias && c < co; c += V)
        conv_db(dy + (long)first * ho * wo * co + c, (last - first) * ho * wo, co, out + weights + c);
}

// Both: backward-params of `group` images and then, while their dz and x are in the cache, backward-data, data_group of
// them and data_rows rows at a time. What each gives is what it gives alone.
kernel void conv_bwd_winograd(conv_in x, global float *dy, conv_in u, global float *restrict dx, global float *restrict part,
                              conv_in mu, conv_in a, conv_in beta, // of the stage before, staged or summed
                              conv_in z, global float *restrict sums, local vec *line, local vec *vb, local vec *mb,
                              local vec *acc, int images, int chunk, int h, int wd, int ci, int ho, int wo, int co, int pad,
                              int rows, int group, int data_rows, int data_group, int has_bias, int add, int has_sums,
                              int staged, int coef_stride, float lo, int relu, int pool, STAGE_BEHIND_ARGS)
{
    const conv_stage g = {staged, mu, a, beta, coef_stride, lo};
    const stage_behind behind = STAGE_BEHIND;
    const int first = get_global_id(0) * chunk, last = min(first + chunk, images), weights = 9 * ci * co;
    const int strips = (h + data_rows - 1) / data_rows;
    global float *out = part + (long)get_global_id(0) * (weights + co);
    for (int n = first; n < last; n += group) {
        const int end = min(n + group, last);
        for (int r = 0; r < ho; r += rows) {
            const wino_tiles t = TILES_OF(end - n, min(rows, ho - r), wo, 1);
            params_of_tiles(x, g, dy, behind, 1, line, vb, mb, acc, t, images, n, r, rows, n > first || r > 0, h, wd, ci, ho,
                            wo, co, pad);
        }
        for (int n0 = n; n0 < end; n0 += data_group)
            for (int strip = 0; strip < strips; strip++) {
                const int r0 = strip * data_rows, r1 = min(r0 + data_rows, h);
                const wino_tiles t = TILES_OF(min(data_group, end - n0), r1 - r0, wd, T);
                const int height = t.images * (r1 - r0);
                data_of_tiles(dy, u, dx, z, mu, a, beta, sums, line, vb, mb, t, n0, r0, r1, ho, wo, co, h, wd, ci, 2 - pad,
                              add, has_sums, strip, strips, coef_stride, relu, pool,
                              (conv_wanted){z + ((long)n0 * h + r0) * pool * pool * wd * ci, x, x,
                                            dx + ((long)n0 * h + r0) * wd * ci,
                                            has_sums && !staged ? height * pool * pool * wd * ci : 0, 0, 0,
                                            height * wd * ci});
            }
    }
    weights_of(acc, out, ci, co);
    for (int c = 0; has_bias && c < co; c += V)
        conv_db(dy + (long)first * ho * wo * co + c, (last - first) * ho * wo, co, out + weights + c);
}

#include "conv_winograd_weights.cl"
