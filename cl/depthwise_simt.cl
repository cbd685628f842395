/* Depthwise convolution for devices with many narrow lanes, right on every device. The mathematics and the layout are those
 * of depthwise.cl; taps outside the image are skipped, by bwd_params taken as zeros.
 *
 * Ownership: fwd, bwd_data: id 0 is a vector of V channels of image id 1. bwd_params: id 0 is a channel and id 1 a chunk
 * of `rows` rows of outputs, counted through all images. An item adds up all K * K weights of its channel (and its bias),
 * for each of which it would else read dy anew, keeps what is under the kernel and fetches but what comes in with the next
 * output. Its partial sums go to partial (chunks, weights + biases), which conv_bwd_reduce_simt (conv_simt.cl) adds up in
 * fixed order. Neighbouring ids are neighbouring channels. V divides C.
 *
 * K, S are the kernel's size and the stride: loops of known bounds, whose loads do not wait for each other. */

#if K <= 5
#define ALL_TAPS _Pragma("unroll")
#else
#define ALL_TAPS
#endif

kernel void depthwise_fwd_simt(global const float *x, // (N, H, W, C)
                               global const float *w, // (K, K, C)
                               global const float *b, // (C) or NULL
                               global float *y,       // (N, Ho, Wo, C)
                               int H, int W, int Ho, int Wo, int C, int P, int bias)
{
    const int id = get_global_id(0), n = get_global_id(1), lanes = C / V;
    if (id >= Ho * Wo * lanes)
        return;
    const int c = id % lanes * V, pixel = id / lanes;
    const int y0 = pixel / Wo * S - P, x0 = pixel % Wo * S - P;
    vec sum = (vec)(0.0f);
    if (bias)
        sum = VLOAD(b + c);
    ALL_TAPS
    for (int tap = 0; tap < K * K; tap++) {
        const int iy = y0 + tap / K, ix = x0 + tap % K;
        if (iy >= 0 && iy < H && ix >= 0 && ix < W)
            sum += VLOAD(x + (((size_t)n * H + iy) * W + ix) * C + c) * VLOAD(w + tap * C + c);
    }
    VSTORE(sum, y + ((size_t)n * Ho * Wo + pixel) * C + c);
}

kernel void depthwise_bwd_data_simt(global const float *dy, // (N, Ho, Wo, C)
                                    global const float *w,  // (K, K, C)
                                    global float *dx,       // (N, H, W, C)
                                    int H, int W, int Ho, int Wo, int C, int P, int accumulate)
{
    const int id = get_global_id(0), n = get_global_id(1), lanes = C / V;
    if (id >= H * W * lanes)
        return;
    const int c = id % lanes * V, pixel = id / lanes, iy = pixel / W, ix = pixel % W;
    vec sum = (vec)(0.0f);
    ALL_TAPS
    for (int tap = 0; tap < K * K; tap++) {
        const int sy = iy + P - tap / K, sx = ix + P - tap % K; // S times the output's place, where that is whole
        if (sy >= 0 && sy % S == 0 && sy / S < Ho && sx >= 0 && sx % S == 0 && sx / S < Wo)
            sum += VLOAD(dy + (((size_t)n * Ho + sy / S) * Wo + sx / S) * C + c) * VLOAD(w + tap * C + c);
    }
    global float *out = dx + ((size_t)n * H * W + pixel) * C + c;
    if (accumulate)
        sum += VLOAD(out);
    VSTORE(sum, out);
}

// A pixel's value, 0 beside the image, which begins at the channel.
static inline float pixel_at(global const float *image, int y, int x, int H, int W, int C)
{
    return y >= 0 && y < H && x >= 0 && x < W ? image[((size_t)y * W + x) * C] : 0.0f;
}

kernel void depthwise_bwd_params_simt(global const float *x,  // (N, H, W, C)
                                      global const float *dy, // (N, Ho, Wo, C)
                                      global float *partial,  // (chunks, K*K*C [+ C])
                                      int N, int H, int W, int Ho, int Wo, int C, int P, int bias, int rows)
{
    const int c = get_global_id(0), first = get_global_id(1) * rows, last = min(first + rows, N * Ho);
    if (c >= C)
        return;
    float sums[K * K], of_bias = 0.0f;
    ALL_TAPS
    for (int tap = 0; tap < K * K; tap++)
        sums[tap] = 0.0f;
    for (int r = first; r < last; r++) {
        const int y0 = r % Ho * S - P;
        global const float *image = x + (size_t)(r / Ho) * H * W * C + c, *d = dy + (size_t)r * Wo * C + c;
        float seen[K * K]; // under the kernel
        ALL_TAPS
        for (int tap = 0; tap < K * K; tap++)
            seen[tap] = tap % K < S ? 0.0f : pixel_at(image, y0 + tap / K, tap % K - P - S, H, W, C);
        for (int ox = 0; ox < Wo; ox++) {
            const float g = d[(size_t)ox * C];
            const int x0 = ox * S - P;
            of_bias += g;
            ALL_TAPS
            for (int tap = 0; tap < K * K; tap++) {
                seen[tap] = tap % K + S < K ? seen[min(tap + S, K * K - 1)] : pixel_at(image, y0 + tap / K, x0 + tap % K, H, W, C);
                sums[tap] += seen[tap] * g;
            }
        }
    }
    global float *out = partial + (size_t)get_global_id(1) * (K * K + (bias ? 1 : 0)) * C + c;
    ALL_TAPS
    for (int tap = 0; tap < K * K; tap++)
        out[tap * C] = sums[tap];
    if (bias)
        out[K * K * C] = of_bias;
}
