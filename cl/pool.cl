/* Pooling over K x K windows with stride S and P pixels of padding, and over the whole image.
 *
 *     max  y[n,oy,ox,c] = max of x[n,iy,ix,c] over the window's pixels in the image
 *          dx[n,iy,ix,c] = sum of dy[n,oy,ox,c] over the windows that (iy,ix) wins: the first maximum in
 *          row-major order, found again from x. A NaN wins over numbers, so that it is not lost.
 *     avg  y = sum of x over the window / K^2 (pixels of the padding count as zeros, as in PyTorch)
 *          dx[n,iy,ix,c] = sum of dy[n,oy,ox,c] over the windows that hold (iy,ix) / K^2
 *     gap  y[n,c] = sum of x[n,iy,ix,c] / (H W)       dx = dy / (H W)
 * A window holds iy in [oy*S - P, oy*S - P + K), likewise ix. Backward gathers: no atomics.
 *
 * Layout: NHWC; V divides C. gradients: = or += by `accumulate`.
 * Ownership: id 0 = segment * lanes + lane, id 1 = row, id 2 = image, of what is written. A
 * segment is `span` pixels of the row; a lane owns the channel vectors lane, lane + lanes, ... One
 * lane and the whole row in the vector class; in the SIMT class a lane for each vector and one
 * pixel.
 * gap forward: id 0 = lane, id 1 = image. */

kernel void pool_fwd_max(global const float *x, // (N, H, W, C)
                         global float *y,       // (N, Ho, Wo, C)
                         int H, int W, int C, int Ho, int Wo, int K, int S, int P, int span, int lanes)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * span;
    const int oy = get_global_id(1), n = get_global_id(2), last = min(first + span, Wo);
    const int y0 = max(oy * S - P, 0), y1 = min(oy * S - P + K, H);
    for (int ox = first; ox < last; ox++) {
        const int x0 = max(ox * S - P, 0), x1 = min(ox * S - P + K, W);
        for (int c = lane * V; c < C; c += lanes * V) {
            vec best = (vec)(-INFINITY);
            for (int iy = y0; iy < y1; iy++)
                for (int ix = x0; ix < x1; ix++) {
                    const vec v = VLOAD(x + (((size_t)n * H + iy) * W + ix) * C + c);
                    best = larger(best, v);
                }
            VSTORE(best, y + (((size_t)n * Ho + oy) * Wo + ox) * C + c);
        }
    }
}

/* Whether pixel (iy, ix) with value v wins the window that begins at (wy, wx): it beats all before
 * it, and none behind beats it. image is at the vector's first channel. */
static ivec pool_wins(global const float *image, int H, int W, int C, int K, int wy, int wx, int iy, int ix, vec v)
{
    ivec wins = (ivec)(-1);
    const int y1 = min(wy + K, H), x0 = max(wx, 0), x1 = min(wx + K, W);
    for (int qy = max(wy, 0); qy < y1; qy++)
        for (int qx = x0; qx < x1; qx++) {
            const vec q = VLOAD(image + ((size_t)qy * W + qx) * C);
            if (qy < iy || (qy == iy && qx < ix))
                wins &= (v > q) | isnan(v);
            else if (qy != iy || qx != ix)
                wins &= (q <= v) | (isnan(v) & (q == q));
        }
    return wins;
}

kernel void pool_bwd_max(global const float *x,  // (N, H, W, C)
                         global const float *dy, // (N, Ho, Wo, C)
                         global float *dx,       // (N, H, W, C)
                         int H, int W, int C, int Ho, int Wo, int K, int S, int P, int span, int lanes,
                         int accumulate)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * span;
    const int iy = get_global_id(1), n = get_global_id(2), last = min(first + span, W);
    /* the windows that hold row iy */
    const int oy0 = max(0, (iy + P - K + S) / S), oy1 = min(Ho, (iy + P) / S + 1);
    for (int ix = first; ix < last; ix++) {
        const int ox0 = max(0, (ix + P - K + S) / S), ox1 = min(Wo, (ix + P) / S + 1);
        for (int c = lane * V; c < C; c += lanes * V) {
            global const float *image = x + (size_t)n * H * W * C + c;
            const size_t at = (((size_t)n * H + iy) * W + ix) * C + c;
            const vec v = VLOAD(x + at);
            vec sum = (vec)(0.0f);
            for (int oy = oy0; oy < oy1; oy++)
                for (int ox = ox0; ox < ox1; ox++) {
                    const ivec wins = pool_wins(image, H, W, C, K, oy * S - P, ox * S - P, iy, ix, v);
                    sum += select((vec)(0.0f), VLOAD(dy + (((size_t)n * Ho + oy) * Wo + ox) * C + c), wins);
                }
            if (accumulate)
                sum += VLOAD(dx + at);
            VSTORE(sum, dx + at);
        }
    }
}

kernel void pool_fwd_avg(global const float *x, // (N, H, W, C)
                         global float *y,       // (N, Ho, Wo, C)
                         int H, int W, int C, int Ho, int Wo, int K, int S, int P, int span, int lanes)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * span;
    const int oy = get_global_id(1), n = get_global_id(2), last = min(first + span, Wo);
    const int y0 = max(oy * S - P, 0), y1 = min(oy * S - P + K, H);
    for (int ox = first; ox < last; ox++) {
        const int x0 = max(ox * S - P, 0), x1 = min(ox * S - P + K, W);
        for (int c = lane * V; c < C; c += lanes * V) {
            vec sum = (vec)(0.0f);
            for (int iy = y0; iy < y1; iy++)
                for (int ix = x0; ix < x1; ix++)
                    sum += VLOAD(x + (((size_t)n * H + iy) * W + ix) * C + c);
            VSTORE(sum / (float)(K * K), y + (((size_t)n * Ho + oy) * Wo + ox) * C + c);
        }
    }
}

kernel void pool_bwd_avg(global const float *dy, // (N, Ho, Wo, C)
                         global float *dx,       // (N, H, W, C)
                         int H, int W, int C, int Ho, int Wo, int K, int S, int P, int span, int lanes,
                         int accumulate)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * span;
    const int iy = get_global_id(1), n = get_global_id(2), last = min(first + span, W);
    const int oy0 = max(0, (iy + P - K + S) / S), oy1 = min(Ho, (iy + P) / S + 1);
    for (int ix = first; ix < last; ix++) {
        const int ox0 = max(0, (ix + P - K + S) / S), ox1 = min(Wo, (ix + P) / S + 1);
        for (int c = lane * V; c < C; c += lanes * V) {
            const size_t at = (((size_t)n * H + iy) * W + ix) * C + c;
            vec sum = (vec)(0.0f);
            for (int oy = oy0; oy < oy1; oy++)
                for (int ox = ox0; ox < ox1; ox++)
                    sum += VLOAD(dy + (((size_t)n * Ho + oy) * Wo + ox) * C + c);
            sum /= (float)(K * K);
            if (accumulate)
                sum += VLOAD(dx + at);
            VSTORE(sum, dx + at);
        }
    }
}

kernel void pool_fwd_gap(global const float *x, // (N, H, W, C)
                         global float *y,       // (N, C)
                         int H, int W, int C, int lanes)
{
    const int lane = get_global_id(0), n = get_global_id(1);
    if (lane >= lanes)
        return;
    for (int c = lane * V; c < C; c += lanes * V) {
        global const float *p = x + (size_t)n * H * W * C + c;
        vec sum = (vec)(0.0f);
        for (int iy = 0; iy < H; iy++) {
            vec row = (vec)(0.0f); /* a sum for each row: shorter chains of roundings */
            for (int ix = 0; ix < W; ix++, p += C)
                row += VLOAD(p);
            sum += row;
        }
        VSTORE(sum / ((float)H * (float)W), y + (size_t)n * C + c);
    }
}

kernel void pool_bwd_gap(global const float *dy, // (N, C)
                         global float *dx,       // (N, H, W, C)
                         int H, int W, int C, int span, int lanes, int accumulate)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * span;
    const int iy = get_global_id(1), n = get_global_id(2), last = min(first + span, W);
    for (int ix = first; ix < last; ix++)
        for (int c = lane * V; c < C; c += lanes * V) {
            global float *out = dx + (((size_t)n * H + iy) * W + ix) * C + c;
            vec d = VLOAD(dy + (size_t)n * C + c) / ((float)H * (float)W);
            if (accumulate)
                d += VLOAD(out);
            VSTORE(d, out);
        }
}
