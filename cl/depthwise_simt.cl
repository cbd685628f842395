/* Depthwise convolution, one work-item an output, right on every device. The mathematics and the layout are those of
 * depthwise.cl; taps outside the image are skipped.
 *
 * Ownership: fwd, bwd_data: id 0 is an element of image id 1. bwd_params: id 0 is a weight (then, behind the weights, a
 * bias) and id 1 a chunk of `images` images; its partial sum goes to partial (chunks, weights + biases), which
 * conv_bwd_reduce_simt (conv_simt.cl) adds up in order. Neighbouring ids are neighbouring channels. */

kernel void depthwise_fwd_simt(global const float *x, // (N, H, W, C)
                               global const float *w, // (K, K, C)
                               global const float *b, // (C) or NULL
                               global float *y,       // (N, Ho, Wo, C)
                               int H, int W, int Ho, int Wo, int C, int K, int S, int P, int bias)
{
    const int id = get_global_id(0), n = get_global_id(1);
    if (id >= Ho * Wo * C)
        return;
    const int c = id % C, ox = id / C % Wo, oy = id / C / Wo;
    const int y0 = oy * S - P, x0 = ox * S - P;
    float sum = bias ? b[c] : 0.0f;
    for (int ky = max(0, -y0); ky < min(K, H - y0); ky++)
        for (int kx = max(0, -x0); kx < min(K, W - x0); kx++)
            sum += x[(((size_t)n * H + y0 + ky) * W + x0 + kx) * C + c] * w[(ky * K + kx) * C + c];
    y[(size_t)n * Ho * Wo * C + id] = sum;
}

kernel void depthwise_bwd_data_simt(global const float *dy, // (N, Ho, Wo, C)
                                    global const float *w,  // (K, K, C)
                                    global float *dx,       // (N, H, W, C)
                                    int H, int W, int Ho, int Wo, int C, int K, int S, int P, int accumulate)
{
    const int id = get_global_id(0), n = get_global_id(1);
    if (id >= H * W * C)
        return;
    const int c = id % C, ix = id / C % W, iy = id / C / W;
    float sum = 0.0f;
    for (int ky = (iy + P) % S; ky < min(K, iy + P + 1); ky += S) {
        const int oy = (iy + P - ky) / S;
        for (int kx = (ix + P) % S; kx < min(K, ix + P + 1); kx += S) {
            const int ox = (ix + P - kx) / S;
            if (oy < Ho && ox < Wo)
                sum += dy[(((size_t)n * Ho + oy) * Wo + ox) * C + c] * w[(ky * K + kx) * C + c];
        }
    }
    global float *out = dx + (size_t)n * H * W * C + id;
    *out = accumulate ? *out + sum : sum;
}

kernel void depthwise_bwd_params_simt(global const float *x,  // (N, H, W, C)
                                      global const float *dy, // (N, Ho, Wo, C)
                                      global float *partial,  // (chunks, K*K*C [+ C])
                                      int N, int H, int W, int Ho, int Wo, int C, int K, int S, int P, int bias,
                                      int images)
{
    const int id = get_global_id(0), first = get_global_id(1) * images, last = min(first + images, N);
    const int weights = K * K * C, params = weights + (bias ? C : 0);
    if (id >= params)
        return;
    const bool is_bias = id >= weights;
    const int c = id % C, ky = id / C / K, kx = id / C % K;
    float sum = 0.0f;
    for (int n = first; n < last; n++)
        for (int oy = 0; oy < Ho; oy++) {
            const int iy = oy * S + ky - P;
            float row = 0.0f; /* a sum for each row: shorter chains of roundings */
            for (int ox = 0; ox < Wo; ox++) {
                const int ix = ox * S + kx - P;
                const float g = dy[(((size_t)n * Ho + oy) * Wo + ox) * C + c];
                if (is_bias)
                    row += g;
                else if (iy >= 0 && iy < H && ix >= 0 && ix < W)
                    row += x[(((size_t)n * H + iy) * W + ix) * C + c] * g;
            }
            sum += row;
        }
    partial[(size_t)get_global_id(1) * params + id] = sum;
}
