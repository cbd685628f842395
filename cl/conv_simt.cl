/* Convolution, one work-item an output: no tiles, no vectors, no local memory but for the last sums of a weight gradient,
 * right on every device.
 *
 *     y[n,oy,ox,co]  = b[co] + sum over ky,kx,ci of x[n, oy*S+ky-P, ox*S+kx-P, ci] * w[ky,kx,ci,co]
 *     dx[n,iy,ix,ci] = sum over ky,kx,co with S | iy+P-ky, S | ix+P-kx of
 *                      dy[n, (iy+P-ky)/S, (ix+P-kx)/S, co] * w[ky,kx,ci,co]        (a gather: no atomics)
 *     dw[ky,kx,ci,co] = sum over n,oy,ox of x[n, oy*S+ky-P, ox*S+kx-P, ci] * dy[n,oy,ox,co]
 *     db[co]          = sum over n,oy,ox of dy[n,oy,ox,co]
 *
 * Layout: images NHWC, weights [ky][kx][ci][co]. Taps outside the image are skipped.
 * Ownership: fwd, bwd_data: id 0 is an element of image id 1. bwd_params: id 0 is a weight (then,
 * behind the weights, a bias) and id 1 a chunk of `rows` rows of outputs, counted through all images; its partial
 * sum goes to partial (chunks, weights + biases), which bwd_reduce adds up in fixed order.
 * Chunks depend on shape and batch alone, so that the result depends on neither threads nor device.
 * Neighbouring ids are neighbouring channels of the output, so that stores and the larger loads
 * are coalesced. */

/* One output without bias; image: (H, W, Ci), w: of the output's channel */
static float output_at(global const float *image, global const float *w, int oy, int ox, int H, int W, int Ci, int Co,
                       int K, int S, int P)
{
    const int y0 = oy * S - P, x0 = ox * S - P;
    const int ky1 = min(K, H - y0), kx1 = min(K, W - x0);
    float sum = 0.0f;
    for (int ky = max(0, -y0); ky < ky1; ky++) {
        float row = 0.0f; /* a sum for each row: shorter chains of roundings */
        for (int kx = max(0, -x0); kx < kx1; kx++) {
            global const float *px = image + ((size_t)(y0 + ky) * W + x0 + kx) * Ci;
            global const float *pw = w + (size_t)(ky * K + kx) * Ci * Co;
            for (int ci = 0; ci < Ci; ci++)
                row += px[ci] * pw[(size_t)ci * Co];
        }
        sum += row;
    }
    return sum;
}

kernel void conv_fwd_simt(global const float *x, // (N, H, W, Ci)
                          global const float *w, // (K, K, Ci, Co)
                          global const float *b, // (Co) or NULL
                          global float *y,       // (N, Ho/pool, Wo/pool, Co), at least lo
                          int H, int W, int Ci, int Ho, int Wo, int Co, int K, int S, int P, int bias, float lo,
                          int pool)
{
    const int id = get_global_id(0), n = get_global_id(1), across = Wo / pool, count = Ho / pool * across * Co;
    if (id >= count)
        return;
    const int co = id % Co, ox = id / Co % across * pool, oy = id / Co / across * pool;
    float best = lo;
    for (int i = 0; i < pool * pool; i++) {
        const float sum = output_at(x + (size_t)n * H * W * Ci, w + co, oy + i / pool, ox + i % pool, H, W, Ci, Co, K,
                                    S, P);
        const float v = bias ? sum + b[co] : sum;
        best = v <= best || isnan(best) ? best : v; /* a NaN passes, and stays */
    }
    y[(size_t)n * count + id] = best;
}

kernel void conv_bwd_data_simt(global const float *dy, // (N, Ho, Wo, Co)
                               global const float *w,  // (K, K, Ci, Co)
                               global float *dx,       // (N, H, W, Ci)
                               int H, int W, int Ci, int Ho, int Wo, int Co, int K, int S, int P,
                               int accumulate)
{
    const int id = get_global_id(0), n = get_global_id(1);
    if (id >= H * W * Ci)
        return;
    const int ci = id % Ci, ix = id / Ci % W, iy = id / Ci / W;
    /* ky = first, first + S, ... are the taps whose output row (iy + P - ky) / S is whole and >= 0 */
    const int ky1 = min(K, iy + P + 1), kx1 = min(K, ix + P + 1);
    global const float *image = dy + (size_t)n * Ho * Wo * Co;
    float sum = 0.0f;
    for (int ky = (iy + P) % S; ky < ky1; ky += S) {
        const int oy = (iy + P - ky) / S;
        if (oy >= Ho)
            continue;
        float row = 0.0f;
        for (int kx = (ix + P) % S; kx < kx1; kx += S) {
            const int ox = (ix + P - kx) / S;
            if (ox >= Wo)
                continue;
            global const float *pd = image + ((size_t)oy * Wo + ox) * Co;
            global const float *pw = w + ((size_t)(ky * K + kx) * Ci + ci) * Co;
            for (int co = 0; co < Co; co++)
                row += pd[co] * pw[co];
        }
        sum += row;
    }
    global float *out = dx + (size_t)n * H * W * Ci + id;
    *out = accumulate ? *out + sum : sum;
}

kernel void conv_bwd_params_simt(global const float *x,  // (N, H, W, Ci)
                                 global const float *dy, // (N, Ho, Wo, Co)
                                 global float *partial,  // (chunks, K*K*Ci*Co [+ Co])
                                 int N, int H, int W, int Ci, int Ho, int Wo, int Co, int K, int S, int P,
                                 int bias, int rows)
{
    const int id = get_global_id(0), first = get_global_id(1) * rows, last = min(first + rows, N * Ho);
    const int weights = K * K * Ci * Co, params = weights + (bias ? Co : 0);
    if (id >= params)
        return;
    const bool is_bias = id >= weights;
    const int co = id % Co, ci = id / Co % Ci;
    const int ky = is_bias ? 0 : id / Co / Ci / K, kx = is_bias ? 0 : id / Co / Ci % K;
    /* outputs whose tap (ky, kx) lies in the image */
    const int oy0 = is_bias ? 0 : max(0, (P - ky + S - 1) / S), ox0 = is_bias ? 0 : max(0, (P - kx + S - 1) / S);
    const int oy1 = is_bias ? Ho : H - 1 + P - ky < 0 ? 0 : min(Ho, (H - 1 + P - ky) / S + 1);
    const int ox1 = is_bias ? Wo : W - 1 + P - kx < 0 ? 0 : min(Wo, (W - 1 + P - kx) / S + 1);
    float sum = 0.0f;
    for (int r = first; r < last; r++) {
        const int n = r / Ho, oy = r % Ho;
        if (oy < oy0 || oy >= oy1)
            continue;
        global const float *pd = dy + (size_t)r * Wo * Co + co;
        float row = 0.0f;
        if (is_bias) {
            for (int ox = ox0; ox < ox1; ox++)
                row += pd[(size_t)ox * Co];
        } else {
            global const float *px = x + ((size_t)n * H + oy * S + ky - P) * W * Ci + ci;
            for (int ox = ox0; ox < ox1; ox++)
                row += px[(size_t)(ox * S + kx - P) * Ci] * pd[(size_t)ox * Co];
        }
        sum += row;
    }
    partial[(size_t)get_global_id(1) * params + id] = sum;
}

/* A group SUM_PARAMS weights and biases, of each of which it adds SUM_PARTS parts, part p of the chunks p, p + SUM_PARTS, ...;
 * the parts by halves: the order is the same however many items (a power of two) the group has. Parts beyond the chunks are
 * left out. */
#define SUM_PARAMS 8 // 32 bytes, the least that GPUs fetch
#define SUM_PARTS 32

kernel void conv_bwd_reduce_simt(global const float *partial, // (chunks, weights + biases)
                                 global float *dw,            // (weights)
                                 global float *db,            // (biases) or NULL
                                 int weights, int biases, int chunks)
{
    local float part[SUM_PARTS * SUM_PARAMS];
    const int id = get_local_id(0), items = get_local_size(0), params = weights + biases;
    const int first = get_group_id(0) * SUM_PARAMS, wanted = min(chunks, SUM_PARTS) * SUM_PARAMS;
    if (first >= params)
        return;
    for (int i = id; i < wanted; i += items) {
        const int param = first + i % SUM_PARAMS;
        float sum = 0.0f;
        for (int t = i / SUM_PARAMS; t < chunks && param < params; t += SUM_PARTS)
            sum += partial[(size_t)t * params + param];
        part[i] = sum;
    }
    for (int step = SUM_PARTS * SUM_PARAMS / 2; step >= SUM_PARAMS; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = id; i < step && i + step < wanted; i += items)
            part[i] += part[i + step];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = id; i < SUM_PARAMS && first + i < params; i += items)
        if (first + i < weights)
            dw[first + i] = part[i];
        else
            db[first + i - weights] = part[i];
}
