/* Normalise, activate, pool: one stage, one pass over z.
 *
 *     u = (z - mu[n,c]) * a[n,c] + beta[c]        y = pool2(max(u, lo)),  lo = 0 (ReLU) or -inf (none)
 *                                            with ACT y = pool2(act(u)), and lo is not read: see act.h
 *
 * mu is the mean and a = gamma * rstd, rstd = 1 / sqrt(var + eps), over
 *     batch norm     N, H, W      for each channel          (coef_stride 0: all images share the row)
 *     layer norm     C, H, W      for each sample           (coef_stride C)
 *     group norm     C/G, H, W    for each sample and group
 *     instance norm  H, W         for each sample and channel
 * so the norms share every heavy kernel and differ in the two small `coefs` kernels alone.
 *
 * Statistics: z is cut into strips of `rows` whole rows; stats (N, tiles, 2, C) = (mean, M2) of a strip.
 * They are merged in fixed order by the k-way form of Chan, Golub & LeVeque's pairwise update (1983),
 *     mean = sum n_i mean_i / sum n_i        M2 = sum M2_i + sum n_i (mean_i - mean)^2
 * never by E[x^2] - E[x]^2. Means are summed as offsets from the first one, so that mean >> std is safe.
 *
 * Backward, with g = dy behind the argmax and the mask (with ACT times act'(u)), xhat = (z - mu) * rstd, over the M values of a set:
 *     dz = rstd * (gamma g - mean(gamma g) - xhat mean(gamma g xhat))  =  a g + q (z - mu) + r
 *     dgamma = sum g xhat,  dbeta = sum g
 * from sums (N, tiles, 2, C) = (sum g, sum g (z - mu)) of a strip.
 *
 * Layout: NHWC. ws holds the planes of norm.h.
 * Ownership: id 0 = chunk * lanes + lane. A lane owns the channel vectors lane, lane + lanes, ... of its
 * chunk of pixels: lanes = 1 and long chunks in the vector class, lanes = C / V in the SIMT class, where
 * a chunk is one pixel, of stats and sums a strip. V divides C. The coefs and params kernels go through all strips of a
 * set; norm_simt.cl has those of the SIMT class. */

#include "merge.h"
#include "act.h"
#include "norm.h"
#include "stage.h"

/* ---- forward ------------------------------------------------------------------------------------ */

kernel void norm_fwd_stats(global const float *z,  // (N, H, W, C)
                           global float *stats,    // (N, tiles, 2, C)
                           int H, int W, int C, int rows, int tiles, int lanes)
{
    const int lane = get_global_id(0) % lanes, t = get_global_id(0) / lanes, n = get_global_id(1);
    if (t >= tiles)
        return;
    const int count = min(rows, H - t * rows) * W;
    for (int c = lane * V; c < C; c += lanes * V) {
        global const float *p = z + ((size_t)n * H + t * rows) * W * C + c;
        const vec first = VLOAD(p);
        vec sum = (vec)(0.0f);
        for (int i = 0; i < count; i++)
            sum += VLOAD(p + (size_t)i * C) - first;
        const vec mean = first + sum / (float)count;
        vec m2 = (vec)(0.0f), rest = (vec)(0.0f); /* rest: what rounding left in the mean */
        for (int i = 0; i < count; i++) {
            const vec d = VLOAD(p + (size_t)i * C) - mean;
            rest += d;
            m2 += d * d;
        }
        global float *out = stats + ((size_t)n * tiles + t) * 2 * C + c;
        VSTORE(mean + rest / (float)count, out);
        VSTORE(fmax(m2 - rest * rest / (float)count, (vec)(0.0f)), out + C);
    }
}

/* Batch norm: one item V channels; also moves the running statistics (variance unbiased). */
kernel void norm_fwd_coefs_batch(global const float *stats,                    // (N, tiles, 2, C)
                                 global float *ws, global const float *gamma, // (C)
                                 global float *mu, global float *a,           // (C)
                                 global float *running_mean, global float *running_var, // (C)
                                 int N, int H, int W, int C, int rows, int tiles, float eps, float momentum)
{
    const int c = get_global_id(0) * V;
    if (c >= C)
        return;
    const size_t next = 2 * C;
    const vec first = VLOAD(stats + c);
    const float count = (float)N * H * W;
    vec offset = (vec)(0.0f), m2 = (vec)(0.0f);
    global const float *s = stats + c;
    for (int n = 0; n < N; n++)
        for (int t = 0; t < tiles; t++, s += next)
            offset += (VLOAD(s) - first) * (float)(min(rows, H - t * rows) * W);
    const vec mean = first + offset / count;
    s = stats + c;
    for (int n = 0; n < N; n++)
        for (int t = 0; t < tiles; t++, s += next) {
            const vec d = VLOAD(s) - mean;
            m2 += VLOAD(s + C) + d * d * (float)(min(rows, H - t * rows) * W);
        }
    const vec rstd = 1.0f / sqrt(m2 / count + eps), mean0 = VLOAD(running_mean + c), var0 = VLOAD(running_var + c);
    VSTORE(mean, mu + c);
    VSTORE(VLOAD(gamma + c) * rstd, a + c);
    VSTORE(rstd, ws + PLANE(RSTD_PLANE) + c);
    VSTORE(mean0 + momentum * (mean - mean0), running_mean + c);
    VSTORE(var0 + momentum * (m2 / (count - 1.0f) - var0), running_var + c);
}

kernel void norm_fwd_coefs_eval(global const float *gamma, global const float *running_mean,
                                global const float *running_var, global float *mu, global float *a,
                                int C, float eps)
{
    const int c = get_global_id(0);
    if (c >= C)
        return;
    mu[c] = running_mean[c];
    a[c] = gamma[c] / sqrt(running_var[c] + eps);
}

/* Layer, group, instance norm: one item a sample and group of CS = C / groups channels. */
kernel void norm_fwd_coefs_sample(global const float *stats,                    // (N, tiles, 2, C)
                                  global float *ws, global const float *gamma, // (C)
                                  global float *mu, global float *a,           // (N, C)
                                  int N, int H, int W, int C, int rows, int tiles, int groups, float eps)
{
    const int id = get_global_id(0);
    if (id >= N * groups)
        return;
    const int CS = C / groups, c0 = (id % groups) * CS, n = id / groups;
    global const float *s = stats + (size_t)n * tiles * 2 * C + c0;
    const float first = s[0], total = (float)CS * H * W;
    float offset = 0.0f, m2 = 0.0f;
    for (int t = 0; t < tiles; t++) {
        float sum = 0.0f;
        for (int i = 0; i < CS; i++)
            sum += s[(size_t)t * 2 * C + i] - first;
        offset += sum * (min(rows, H - t * rows) * W);
    }
    const float mean = first + offset / total;
    for (int t = 0; t < tiles; t++) {
        float inside = 0.0f, between = 0.0f;
        for (int i = 0; i < CS; i++) {
            const float d = s[(size_t)t * 2 * C + i] - mean;
            inside += s[(size_t)t * 2 * C + C + i];
            between += d * d;
        }
        m2 += inside + between * (min(rows, H - t * rows) * W);
    }
    const float rstd = 1.0f / sqrt(m2 / total + eps);
    const size_t at = (size_t)n * C + c0;
    for (int i = 0; i < CS; i++) {
        mu[at + i] = mean;
        a[at + i] = gamma[c0 + i] * rstd;
        ws[PLANE(RSTD_PLANE) + at + i] = rstd;
    }
}

/* merged_rows: of the strips of stats, from which an item makes mu and a, to its part of ws (items, N, 2, C); 0: they are
 * there. lanes is 1 then. */
kernel void norm_fwd_apply(global const float *z, global const float *mu, global const float *a,
                           global const float *beta, global float *y, // (N, pixels, C)
                           global const float *stats, global const float *gamma, global float *ws,
                           int coef_stride, float lo, int H, int W, int C, int chunk, int lanes, int merged_rows,
                           int groups, float eps)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * chunk;
    const int n = get_global_id(1), pixels = H * W, last = min(first + chunk, pixels);
    global const float *m = mu + (size_t)n * coef_stride, *s = a + (size_t)n * coef_stride;
    if (merged_rows) {
        m = merge_own(stats, gamma, ws, H, W, C, merged_rows, groups, eps);
        s = m + C;
    }
    for (int p = first; p < last; p++) {
        const size_t at = ((size_t)n * pixels + p) * C;
        for (int c = lane * V; c < C; c += lanes * V)
            VSTORE(stage_apply(VLOAD(z + at + c), VLOAD(m + c), VLOAD(s + c), VLOAD(beta + c), lo), y + at + c);
    }
}

/* Chunks count output rows' pixels; the 2x2 window's values are read once. */
kernel void norm_fwd_apply_pool(global const float *z, // (N, 2 Ho, 2 Wo, C)
                                global const float *mu, global const float *a,
                                global const float *beta, global float *y, // (N, Ho, Wo, C)
                                global const float *stats, global const float *gamma, global float *ws,
                                int coef_stride, float lo, int Ho, int Wo, int C, int chunk, int lanes,
                                int merged_rows, int groups, float eps)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * chunk;
    const int n = get_global_id(1), pixels = Ho * Wo, last = min(first + chunk, pixels);
    global const float *m = mu + (size_t)n * coef_stride, *s = a + (size_t)n * coef_stride;
    const size_t row = (size_t)2 * Wo * C;
    if (merged_rows) {
        m = merge_own(stats, gamma, ws, 2 * Ho, 2 * Wo, C, merged_rows, groups, eps);
        s = m + C;
    }
    for (int p = first; p < last; p++) {
        global const float *w = z + (((size_t)n * Ho + p / Wo) * Wo * 2 + p % Wo) * 2 * C;
        for (int c = lane * V; c < C; c += lanes * V) {
            const vec mc = VLOAD(m + c), sc = VLOAD(s + c), bc = VLOAD(beta + c);
            const vec u0 = (VLOAD(w + c) - mc) * sc + bc, u1 = (VLOAD(w + C + c) - mc) * sc + bc;
            const vec u2 = (VLOAD(w + row + c) - mc) * sc + bc, u3 = (VLOAD(w + row + C + c) - mc) * sc + bc;
            VSTORE(stage_pool(u0, u1, u2, u3, lo), y + ((size_t)n * pixels + p) * C + c);
        }
    }
}

/* ---- backward ----------------------------------------------------------------------------------- */

kernel void norm_bwd_sums(global const float *z, global const float *mu, global const float *a,
                          global const float *beta, global const float *dy, // (N, H, W, C)
                          global float *sums,                               // (N, tiles, 2, C)
                          int coef_stride, float lo, int H, int W, int C, int rows, int tiles, int lanes)
{
    const int lane = get_global_id(0) % lanes, t = get_global_id(0) / lanes, n = get_global_id(1);
    if (t >= tiles)
        return;
    const int count = min(rows, H - t * rows) * W;
    for (int c = lane * V; c < C; c += lanes * V) {
        const vec m = VLOAD(mu + (size_t)n * coef_stride + c), s = VLOAD(a + (size_t)n * coef_stride + c);
        const vec b = VLOAD(beta + c);
        const size_t at = ((size_t)n * H + t * rows) * W * C + c;
        vec s1 = (vec)(0.0f), s2 = (vec)(0.0f);
        for (int i = 0; i < count; i++) {
            const vec v = VLOAD(z + at + (size_t)i * C);
            const vec g = stage_mask(v, m, s, b, VLOAD(dy + at + (size_t)i * C), lo);
            s1 += g;
            s2 += g * (v - m);
        }
        VSTORE(s1, sums + ((size_t)n * tiles + t) * 2 * C + c);
        VSTORE(s2, sums + ((size_t)n * tiles + t) * 2 * C + C + c);
    }
}

/* rows counts z's rows and is even; dy is (N, H/2, W/2, C). */
kernel void norm_bwd_sums_pool(global const float *z, global const float *mu, global const float *a,
                               global const float *beta, global const float *dy, global float *sums,
                               int coef_stride, float lo, int H, int W, int C, int rows, int tiles,
                               int lanes)
{
    const int lane = get_global_id(0) % lanes, t = get_global_id(0) / lanes, n = get_global_id(1);
    if (t >= tiles)
        return;
    const int Wo = W / 2, out_rows = min(rows, H - t * rows) / 2;
    const size_t row = (size_t)W * C;
    for (int c = lane * V; c < C; c += lanes * V) {
        const vec m = VLOAD(mu + (size_t)n * coef_stride + c), s = VLOAD(a + (size_t)n * coef_stride + c);
        const vec b = VLOAD(beta + c);
        vec s1 = (vec)(0.0f), s2 = (vec)(0.0f);
        for (int y = 0; y < out_rows; y++) {
            global const float *zr = z + ((size_t)n * H + t * rows + 2 * y) * row + c;
            global const float *gr = dy + ((size_t)n * (H / 2) + t * rows / 2 + y) * Wo * C + c;
            for (int x = 0; x < Wo; x++) {
                stage_window w;
                stage_unpool(zr + (size_t)2 * x * C, row, C, m, s, b, VLOAD(gr + (size_t)x * C), lo, &w);
                s1 += (w.g[0] + w.g[1]) + (w.g[2] + w.g[3]);
                s2 += (w.g[0] * w.d[0] + w.g[1] * w.d[1]) + (w.g[2] * w.d[2] + w.g[3] * w.d[3]);
            }
        }
        VSTORE(s1, sums + ((size_t)n * tiles + t) * 2 * C + c);
        VSTORE(s2, sums + ((size_t)n * tiles + t) * 2 * C + C + c);
    }
}

/* One item V channels: dgamma, dbeta; for batch norm (coef_stride 0, HW > 0) q and r as well. */
kernel void norm_bwd_params(global const float *sums,                    // (N, tiles, 2, C)
                            global float *ws, global const float *gamma, // (C)
                            global float *dgamma, global float *dbeta,   // (C)
                            int N, int C, int tiles, int coef_stride, int HW)
{
    const int c = get_global_id(0) * V;
    if (c >= C)
        return;
    vec s1 = (vec)(0.0f), s2 = (vec)(0.0f);
    global const float *s = sums + c;
    for (int n = 0; n < N; n++) {
        vec t2 = (vec)(0.0f);
        for (int t = 0; t < tiles; t++, s += 2 * C) {
            s1 += VLOAD(s);
            t2 += VLOAD(s + C);
        }
        s2 += t2 * VLOAD(ws + PLANE(RSTD_PLANE) + (size_t)n * coef_stride + c);
    }
    VSTORE(s2, dgamma + c);
    VSTORE(s1, dbeta + c);
    if (HW == 0)
        return;
    const vec rstd = VLOAD(ws + PLANE(RSTD_PLANE) + c), scale = VLOAD(gamma + c) * rstd / ((float)N * HW);
    VSTORE(-scale * rstd * s2, ws + PLANE(Q_PLANE) + c);
    VSTORE(-scale * s1, ws + PLANE(R_PLANE) + c);
}

/* Layer, group, instance norm: q and r; one item a sample and group. */
kernel void norm_bwd_coefs_sample(global const float *sums, // (N, tiles, 2, C)
                                  global float *ws, global const float *gamma, int N, int HW, int C, int tiles,
                                  int groups)
{
    const int id = get_global_id(0);
    if (id >= N * groups)
        return;
    const int CS = C / groups, c0 = (id % groups) * CS, n = id / groups;
    const size_t at = (size_t)n * C + c0;
    global const float *s = sums + (size_t)n * tiles * 2 * C + c0;
    const float rstd = ws[PLANE(RSTD_PLANE) + at], scale = rstd / ((float)CS * HW);
    float s1 = 0.0f, s2 = 0.0f;
    for (int t = 0; t < tiles; t++)
        for (int i = 0; i < CS; i++) {
            s1 += gamma[c0 + i] * s[(size_t)t * 2 * C + i];
            s2 += gamma[c0 + i] * s[(size_t)t * 2 * C + C + i];
        }
    for (int i = 0; i < CS; i++) {
        ws[PLANE(Q_PLANE) + at + i] = -scale * (rstd * (rstd * s2)); /* rstd^3 alone may underflow */
        ws[PLANE(R_PLANE) + at + i] = -scale * s1;
    }
}

kernel void norm_bwd_apply(global const float *z, global const float *mu, global const float *a,
                           global const float *beta, global const float *dy, // (N, pixels, C)
                           global const float *qr, int r_at, // q at [n * coef_stride + c], r r_at floats behind it
                           global float *dz, int coef_stride, float lo, int pixels, int C,
                           int chunk, int lanes, int accumulate)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * chunk;
    const int n = get_global_id(1), last = min(first + chunk, pixels);
    const size_t row = (size_t)n * coef_stride;
    for (int p = first; p < last; p++) {
        const size_t at = ((size_t)n * pixels + p) * C;
        for (int c = lane * V; c < C; c += lanes * V) {
            const vec m = VLOAD(mu + row + c), s = VLOAD(a + row + c), v = VLOAD(z + at + c);
            const vec g = stage_mask(v, m, s, VLOAD(beta + c), VLOAD(dy + at + c), lo);
            vec d = s * g + (VLOAD(qr + row + c) * (v - m) + VLOAD(qr + r_at + row + c));
            if (accumulate)
                d += VLOAD(dz + at + c);
            VSTORE(d, dz + at + c);
        }
    }
}

kernel void norm_bwd_apply_pool(global const float *z, global const float *mu, global const float *a,
                                global const float *beta, global const float *dy, // (N, Ho, Wo, C)
                                global const float *qr, int r_at,
                                global float *dz, // (N, 2 Ho, 2 Wo, C)
                                int coef_stride, float lo, int Ho, int Wo, int C,
                                int chunk, int lanes, int accumulate)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * chunk;
    const int n = get_global_id(1), pixels = Ho * Wo, last = min(first + chunk, pixels);
    const size_t coef = (size_t)n * coef_stride, row = (size_t)2 * Wo * C;
    for (int p = first; p < last; p++) {
        const size_t at = (((size_t)n * Ho + p / Wo) * Wo * 2 + p % Wo) * 2 * C;
        for (int c = lane * V; c < C; c += lanes * V) {
            const vec s = VLOAD(a + coef + c), qc = VLOAD(qr + coef + c);
            const vec rc = VLOAD(qr + r_at + coef + c);
            stage_window w;
            stage_unpool(z + at + c, row, C, VLOAD(mu + coef + c), s, VLOAD(beta + c),
                         VLOAD(dy + ((size_t)n * pixels + p) * C + c), lo, &w);
            global float *out = dz + at + c;
            vec d0 = s * w.g[0] + (qc * w.d[0] + rc), d1 = s * w.g[1] + (qc * w.d[1] + rc);
            vec d2 = s * w.g[2] + (qc * w.d[2] + rc), d3 = s * w.g[3] + (qc * w.d[3] + rc);
            if (accumulate) {
                d0 += VLOAD(out);
                d1 += VLOAD(out + C);
                d2 += VLOAD(out + row);
                d3 += VLOAD(out + row + C);
            }
            VSTORE(d0, out);
            VSTORE(d1, out + C);
            VSTORE(d2, out + row);
            VSTORE(d3, out + row + C);
        }
    }
}
