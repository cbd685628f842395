// Depthwise convolution for devices with float vectors (CPUs): a K x K kernel for each channel.
//
//   y[n,oy,ox,c]  = b[c] + sum over ky,kx of x[n, oy*S+ky-P, ox*S+kx-P, c] * w[ky,kx,c]
//   dx[n,iy,ix,c] = sum over ky,kx with S | iy+P-ky, S | ix+P-kx of
//                   dy[n, (iy+P-ky)/S, (ix+P-kx)/S, c] * w[ky,kx,c]; for S = 1 that is y of dy, with
//                   the weights turned round and P' = K-1-P
//   dw[ky,kx,c]   = sum over n,oy,ox of x[n, oy*S+ky-P, ox*S+kx-P, c] * dy[n,oy,ox,c]
//
// Layout: images (N, H, W, C), weights (K, K, C), all float. V divides C. There are few operations for each value: what
// bounds these kernels is memory. So an item goes through a strip that stays in the cache, vector of channels by vector
// of channels, with the K*K weights of a vector in registers.
//
// A work-item (local size 1) owns
//   depthwise_fwd, depthwise_bwd_data   a strip of `rows` rows of an image
//   depthwise_bwd_params                a chunk of images of the partial sums
#ifndef K
#define K 3
#endif
#include "act.h"
#include "stage.h"
#include "conv_parts.h"

#define EACH_TAP(i) _Pragma("unroll") for (int i = 0; i < K; i++)

// One pixel: the sum over the window whose first element is x, column ix0 of row iy0; `inside`: all of it is in the image.
INLINE vec depthwise_pixel(const int inside, vec sum, conv_in x, int iy0, int ix0, const vec w[K * K], conv_dims d)
{
    EACH_TAP(ky) EACH_TAP(kx) {
        if (inside || (iy0 + ky >= 0 && iy0 + ky < d.ih && ix0 + kx >= 0 && ix0 + kx < d.iw))
            sum += VLOAD(x + (ky * d.iw + kx) * d.ic) * w[ky * K + kx];
    }
    return sum;
}

// Rows [r0, r1) of an image. turned: the weights are read from the last to the first.
INLINE void depthwise_strip(const int turned, conv_in x, conv_in w, conv_in bias, int has_bias, int add,
                            global float *y, int r0, int r1, conv_dims d)
{
    for (int c = 0; c < d.oc; c += V) {
        vec taps[K * K], first = ZERO;
        _Pragma("unroll") for (int i = 0; i < K * K; i++)
            taps[i] = VLOAD(w + (turned ? K * K - 1 - i : i) * d.oc + c);
        if (has_bias)
            first = VLOAD(bias + c);
        for (int oy = r0; oy < r1; oy++) {
            const int iy0 = oy * d.stride - d.pad, whole = iy0 >= 0 && iy0 + K <= d.ih;
            conv_in row = x + iy0 * d.iw * d.ic + c;
            global float *to = y + oy * d.ow * d.oc + c;
            for (int ox = 0; ox < d.ow; ox++, to += d.oc) {
                const int ix0 = ox * d.stride - d.pad;
                const vec sum = add ? VLOAD(to) : first;
                if (whole && ix0 >= 0 && ix0 + K <= d.iw)
                    VSTORE(depthwise_pixel(1, sum, row + ix0 * d.ic, iy0, ix0, taps, d), to);
                else
                    VSTORE(depthwise_pixel(0, sum, row + ix0 * d.ic, iy0, ix0, taps, d), to);
            }
        }
    }
}

kernel void depthwise_fwd(conv_in x,                    // (N, H, W, C)
                          conv_in w,                    // (K, K, C)
                          conv_in bias,                 // (C), read when has_bias
                          global float *restrict y,     // (N, Ho, Wo, C)
                          global float *restrict stats, // (N, strips, 2, C) mean, M2; when has_stats
                          int h, int wd, int ho, int wo, int channels, int stride, int pad, int rows, int has_bias,
                          int has_stats)
{
    const int t = get_global_id(0), n = get_global_id(1), r0 = t * rows, r1 = min(r0 + rows, ho);
    const conv_dims d = {h, wd, channels, ho, wo, channels, K, stride, pad};
    global float *image = y + (long)n * ho * wo * channels;
    depthwise_strip(0, x + (long)n * h * wd * channels, w, bias, has_bias, 0, image, r0, r1, d);
    for (int c = 0; has_stats && c < channels; c += V)
        conv_moments(image + r0 * wo * channels + c, (r1 - r0) * wo, channels,
                     stats + ((long)n * get_global_size(0) + t) * 2 * channels + c);
}

// ---- backward-data -----------------------------------------------------------------------------

// Rows [r0, r1) of dx of an image, for a stride of 2 or more. The pixels ix = f, f + S, ... of a row all see the same taps,
// ix = f + S*i those of dy at i + column.
INLINE void depthwise_gather(conv_in dy, conv_in w, int add, global float *dx, int r0, int r1, conv_dims d)
{
    for (int iy = r0; iy < r1; iy++)
        for (int f = 0; f < d.stride; f++)
            for (int c = 0; c < d.oc; c += V) {
                vec taps[(K / 2 + 1) * (K / 2 + 1)];
                int column[(K / 2 + 1) * (K / 2 + 1)], row[(K / 2 + 1) * (K / 2 + 1)], count = 0;
                for (int ky = (iy + d.pad) % d.stride; ky < K && ky <= iy + d.pad; ky += d.stride) {
                    const int oy = (iy + d.pad - ky) / d.stride;
                    for (int kx = (f + d.pad) % d.stride; kx < K && oy < d.ih; kx += d.stride, count++) {
                        taps[count] = VLOAD(w + (ky * K + kx) * d.oc + c);
                        column[count] = (f + d.pad - kx) / d.stride;
                        row[count] = oy * d.iw;
                    }
                }
                global float *to = dx + (iy * d.ow + f) * d.oc + c;
                for (int i = 0; i * d.stride + f < d.ow; i++, to += d.stride * d.oc) {
                    vec sum = ZERO;
                    if (add)
                        sum = VLOAD(to);
                    for (int t = 0; t < count; t++) {
                        const int ox = i + column[t];
                        if (ox >= 0 && ox < d.iw)
                            sum += VLOAD(dy + (row[t] + ox) * d.ic + c) * taps[t];
                    }
                    VSTORE(sum, to);
                }
            }
}

kernel void depthwise_bwd_data(conv_in dy,                  // (N, Ho, Wo, C)
                               conv_in w,                   // (K, K, C)
                               global float *restrict dx,   // (N, H, W, C), = or (add) +=
                               conv_in z,                   // (N, H*pool, W*pool, C); to sums: has_sums
                               conv_in mu, conv_in a,       // [n * coef_stride + c]
                               conv_in beta,                // (C)
                               global float *restrict sums, // (N, strips, 2, C) sum g, sum g (z - mu)
                               int ho, int wo, int h, int wd, int channels, int stride, int pad, int rows, int add,
                               int has_sums, int coef_stride, int relu, int pool)
{
    const int t = get_global_id(0), n = get_global_id(1), r0 = t * rows, r1 = min(r0 + rows, h);
    conv_in image = dy + (long)n * ho * wo * channels;
    global float *out = dx + (long)n * h * wd * channels;
    if (stride == 1) {
        const conv_dims d = {ho, wo, channels, h, wd, channels, K, 1, K - 1 - pad};
        depthwise_strip(1, image, w, w, 0, add, out, r0, r1, d);
    } else {
        const conv_dims d = {ho, wo, channels, h, wd, channels, K, stride, pad};
        depthwise_gather(image, w, add, out, r0, r1, d);
    }
    if (has_sums)
        conv_leave_sums(out + r0 * wd * channels, z + ((long)n * h + r0) * pool * pool * wd * channels,
                        mu + n * coef_stride, a + n * coef_stride, beta, relu, pool, r1 - r0, wd, channels, channels,
                        sums + ((long)n * get_global_size(0) + t) * 2 * channels);
}

// ---- backward-params ---------------------------------------------------------------------------

INLINE void depthwise_dw_pixel(const int inside, vec acc[K * K], conv_in x, vec g, int iy0, int ix0, conv_dims d)
{
    EACH_TAP(ky) EACH_TAP(kx) {
        if (inside || (iy0 + ky >= 0 && iy0 + ky < d.ih && ix0 + kx >= 0 && ix0 + kx < d.iw))
            acc[ky * K + kx] += VLOAD(x + (ky * d.iw + kx) * d.ic) * g;
    }
}

// V channels of the rows [r0, r1) of dy of an image, to dw (K, K, C): = where they are the first, else +=.
INLINE void depthwise_dw(conv_in x, conv_in dy, global float *dw, int first, int r0, int r1, conv_dims d)
{
    vec acc[K * K];
    _Pragma("unroll") for (int i = 0; i < K * K; i++) {
        acc[i] = ZERO;
        if (!first)
            acc[i] = VLOAD(dw + i * d.oc);
    }
    for (int oy = r0; oy < r1; oy++) {
        const int iy0 = oy * d.stride - d.pad, whole = iy0 >= 0 && iy0 + K <= d.ih;
        conv_in row = x + iy0 * d.iw * d.ic;
        for (int ox = 0; ox < d.ow; ox++) {
            const int ix0 = ox * d.stride - d.pad;
            const vec g = VLOAD(dy + (oy * d.ow + ox) * d.oc);
            if (whole && ix0 >= 0 && ix0 + K <= d.iw)
                depthwise_dw_pixel(1, acc, row + ix0 * d.ic, g, iy0, ix0, d);
            else
                depthwise_dw_pixel(0, acc, row + ix0 * d.ic, g, iy0, ix0, d);
        }
    }
    _Pragma("unroll") for (int i = 0; i < K * K; i++)
        VSTORE(acc[i], dw + i * d.oc);
}

kernel void depthwise_bwd_params(conv_in x,                   // (N, H, W, C)
                                 conv_in dy,                  // (N, Ho, Wo, C)
                                 global float *restrict part, // (chunks, K*K*C + C): dw, db
                                 int images, int chunk, int rows, int has_bias, int h, int wd, int ho, int wo,
                                 int channels, int stride, int pad)
{
    const int n0 = get_global_id(0) * chunk, n1 = min(n0 + chunk, images), weights = K * K * channels;
    const conv_dims d = {h, wd, channels, ho, wo, channels, K, stride, pad};
    global float *out = part + (long)get_global_id(0) * (weights + channels);
    for (int n = n0; n < n1; n++)
        for (int r = 0; r < ho; r += rows)
            for (int c = 0; c < channels; c += V)
                depthwise_dw(x + (long)n * h * wd * channels + c, dy + (long)n * ho * wo * channels + c, out + c,
                             n == n0 && r == 0, r, min(r + rows, ho), d);
    for (int c = 0; has_bias && c < channels; c += V)
        conv_db(dy + (long)n0 * ho * wo * channels + c, (n1 - n0) * ho * wo, channels, out + weights + c);
}
