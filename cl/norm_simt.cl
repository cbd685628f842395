/* The small kernels of norms (see the head of norm.cl) for devices with many narrow lanes: a work-group each for the set
 * of values that share a mean, where one item would go through hundreds of strips by itself.
 *
 * A sum is cut into PARTS, part p takes the terms p, p + PARTS, ..., and parts are added by halves: its order is the same
 * however many items (a power of two) the group has. Parts beyond the terms are left out, so a group of few terms needs few
 * items. Groups beyond the sets there are do nothing. No item of a group returns before the others: in groups of 8 and fewer
 * PoCL 3.1 made loops without end of that. */

#include "norm.h"

#define PARTS 128

// The sum of the parts of so many terms, for every item of the group. part may be written again behind it.
static inline __attribute__((always_inline)) float sum_parts(local float *part, int terms, int id, int items)
{
    for (int step = PARTS / 2; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int p = id; p < step && p + step < terms; p += items)
            part[p] += part[p + step];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const float sum = part[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return sum;
}

// Pixels of strip t.
static inline __attribute__((always_inline)) int strip_pixels(int t, int rows, int H, int W)
{
    return min(rows, H - t * rows) * W;
}

/* Batch norm: a group a channel; also moves the running statistics (variance unbiased). */
kernel void norm_fwd_coefs_batch_simt(global const float *stats,                    // (N, tiles, 2, C)
                                      global float *ws, global const float *gamma, // (C)
                                      global float *mu, global float *a,           // (C)
                                      global float *running_mean, global float *running_var, // (C)
                                      int N, int H, int W, int C, int rows, int tiles, float eps, float momentum)
{
    local float part[PARTS];
    const int c = get_group_id(0), id = get_local_id(0), items = get_local_size(0), strips = N * tiles;
    if (c >= C)
        return;
    const float first = stats[c], count = (float)N * H * W;
    for (int p = id; p < PARTS && p < strips; p += items) {
        float offset = 0.0f;
        for (int s = p; s < strips; s += PARTS)
            offset += (stats[(size_t)s * 2 * C + c] - first) * strip_pixels(s % tiles, rows, H, W);
        part[p] = offset;
    }
    const float mean = first + sum_parts(part, strips, id, items) / count;
    for (int p = id; p < PARTS && p < strips; p += items) {
        float sum = 0.0f;
        for (int s = p; s < strips; s += PARTS) {
            const float d = stats[(size_t)s * 2 * C + c] - mean;
            sum += stats[(size_t)s * 2 * C + C + c] + d * d * strip_pixels(s % tiles, rows, H, W);
        }
        part[p] = sum;
    }
    const float m2 = sum_parts(part, strips, id, items);
    if (id == 0) {
        const float rstd = 1.0f / sqrt(m2 / count + eps);
        mu[c] = mean;
        a[c] = gamma[c] * rstd;
        ws[PLANE(RSTD_PLANE) + c] = rstd;
        running_mean[c] += momentum * (mean - running_mean[c]);
        running_var[c] += momentum * (m2 / (count - 1.0f) - running_var[c]);
    }
}

/* Layer, group, instance norm: a group a sample and set of CS = C / groups channels. */
kernel void norm_fwd_coefs_sample_simt(global const float *stats,                    // (N, tiles, 2, C)
                                       global float *ws, global const float *gamma, // (C)
                                       global float *mu, global float *a,           // (N, C)
                                       int N, int H, int W, int C, int rows, int tiles, int groups, float eps)
{
    local float part[PARTS];
    const int set = get_group_id(0), id = get_local_id(0), items = get_local_size(0);
    if (set >= N * groups)
        return;
    const int CS = C / groups, c0 = set % groups * CS, n = set / groups, terms = tiles * CS;
    global const float *s = stats + (size_t)n * tiles * 2 * C + c0;
    const float first = s[0], total = (float)CS * H * W;
    for (int p = id; p < PARTS && p < terms; p += items) {
        float offset = 0.0f;
        for (int k = p; k < terms; k += PARTS)
            offset += (s[(size_t)(k / CS) * 2 * C + k % CS] - first) * strip_pixels(k / CS, rows, H, W);
        part[p] = offset;
    }
    const float mean = first + sum_parts(part, terms, id, items) / total;
    for (int p = id; p < PARTS && p < terms; p += items) {
        float sum = 0.0f;
        for (int k = p; k < terms; k += PARTS) {
            global const float *at = s + (size_t)(k / CS) * 2 * C + k % CS;
            const float d = at[0] - mean;
            sum += at[C] + d * d * strip_pixels(k / CS, rows, H, W);
        }
        part[p] = sum;
    }
    const float rstd = 1.0f / sqrt(sum_parts(part, terms, id, items) / total + eps);
    for (int i = id; i < CS; i += items) {
        const size_t at = (size_t)n * C + c0 + i;
        mu[at] = mean;
        a[at] = gamma[c0 + i] * rstd;
        ws[PLANE(RSTD_PLANE) + at] = rstd;
    }
}

/* A group a channel: dgamma, dbeta; for batch norm (coef_stride 0, HW > 0) q and r as well. */
kernel void norm_bwd_params_simt(global const float *sums,                    // (N, tiles, 2, C)
                                 global float *ws, global const float *gamma, // (C)
                                 global float *dgamma, global float *dbeta,   // (C)
                                 int N, int C, int tiles, int coef_stride, int HW)
{
    local float part[PARTS];
    const int c = get_group_id(0), id = get_local_id(0), items = get_local_size(0), strips = N * tiles;
    if (c >= C)
        return;
    global const float *rstd = ws + PLANE(RSTD_PLANE) + c;
    for (int p = id; p < PARTS && p < strips; p += items) {
        float sum = 0.0f;
        for (int s = p; s < strips; s += PARTS)
            sum += sums[(size_t)s * 2 * C + c];
        part[p] = sum;
    }
    const float s1 = sum_parts(part, strips, id, items);
    for (int p = id; p < PARTS && p < strips; p += items) {
        float sum = 0.0f;
        for (int s = p; s < strips; s += PARTS)
            sum += sums[(size_t)s * 2 * C + C + c] * rstd[(size_t)(s / tiles) * coef_stride];
        part[p] = sum;
    }
    const float s2 = sum_parts(part, strips, id, items);
    if (id == 0) {
        dgamma[c] = s2;
        dbeta[c] = s1;
    }
    if (id == 0 && HW > 0) {
        const float scale = gamma[c] * rstd[0] / ((float)N * HW);
        ws[PLANE(Q_PLANE) + c] = -scale * rstd[0] * s2;
        ws[PLANE(R_PLANE) + c] = -scale * s1;
    }
}

/* Layer, group, instance norm: q and r; a group a sample and set. */
kernel void norm_bwd_coefs_sample_simt(global const float *sums, // (N, tiles, 2, C)
                                       global float *ws, global const float *gamma, int N, int HW, int C, int tiles,
                                       int groups)
{
    local float part[PARTS];
    const int set = get_group_id(0), id = get_local_id(0), items = get_local_size(0);
    if (set >= N * groups)
        return;
    const int CS = C / groups, c0 = set % groups * CS, n = set / groups, terms = tiles * CS;
    const size_t at = (size_t)n * C + c0;
    global const float *s = sums + (size_t)n * tiles * 2 * C + c0;
    const float rstd = ws[PLANE(RSTD_PLANE) + at], scale = rstd / ((float)CS * HW);
    float total[2];
    for (int which = 0; which < 2; which++) {
        for (int p = id; p < PARTS && p < terms; p += items) {
            float sum = 0.0f;
            for (int k = p; k < terms; k += PARTS)
                sum += gamma[c0 + k % CS] * s[((size_t)(k / CS) * 2 + which) * C + k % CS];
            part[p] = sum;
        }
        total[which] = sum_parts(part, terms, id, items);
    }
    for (int i = id; i < CS; i += items) {
        ws[PLANE(Q_PLANE) + at + i] = -scale * (rstd * (rstd * total[1])); /* rstd^3 alone may underflow */
        ws[PLANE(R_PLANE) + at + i] = -scale * total[0];
    }
}
