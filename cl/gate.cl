/* Squeeze and excitation's layers (Hu, Shen & Sun 2018) beside pooling and dense ones.
 *
 *     sigmoid  y = 1 / (1 + exp(-x))              dx (=|+=) dy y (1 - y)
 *     scale    y[n,p,c] = x[n,p,c] s[n,c]         dx[n,p,c] (=|+=) dy[n,p,c] s[n,c]
 *                                                 ds[n,c] (=|+=) sum over p of dy[n,p,c] x[n,p,c]
 * Layout: NHWC; p counts the pixels of an image.
 * Ownership: sigmoid: an item owns `chunk` neighbouring elements, as in point.cl. scale: id 1 is the image; forward: id 0
 * = chunk * lanes + lane, and a lane owns the channel vectors lane, lane + lanes, ... of its chunk of pixels; backward:
 * id 0 is a vector of channels. V divides the elements of an image, or C. */

kernel void gate_fwd_sigmoid(global const float *x, global float *y, int count, int chunk) // (count)
{
    const size_t first = (size_t)get_global_id(0) * chunk, last = min(first + chunk, (size_t)count);
    for (size_t i = first; i < last; i += V)
        VSTORE(1.0f / (1.0f + exp(-VLOAD(x + i))), y + i);
}

kernel void gate_bwd_sigmoid(global const float *y, global const float *dy, global float *dx, // (count)
                             int count, int chunk, int accumulate)
{
    const size_t first = (size_t)get_global_id(0) * chunk, last = min(first + chunk, (size_t)count);
    for (size_t i = first; i < last; i += V) {
        const vec s = VLOAD(y + i), d = VLOAD(dy + i) * (s * (1.0f - s));
        VSTORE(accumulate ? VLOAD(dx + i) + d : d, dx + i);
    }
}

kernel void gate_fwd_scale(global const float *s, // (N, C)
                           global const float *x, // (N, pixels, C)
                           global float *y,       // (N, pixels, C)
                           int pixels, int C, int chunk, int lanes)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * chunk, n = get_global_id(1);
    const int last = min(first + chunk, pixels);
    for (int p = first; p < last; p++) {
        const size_t at = ((size_t)n * pixels + p) * C;
        for (int c = lane * V; c < C; c += lanes * V)
            VSTORE(VLOAD(x + at + c) * VLOAD(s + (size_t)n * C + c), y + at + c);
    }
}

kernel void gate_bwd_scale(global const float *s, global const float *x, // as above
                           global const float *dy,                       // (N, pixels, C)
                           global float *ds,                             // (N, C), where wanted
                           global float *dx,                             // (N, pixels, C), where wanted
                           int pixels, int C, int wants_s, int wants_x, int add_s, int add_x)
{
    const int c = get_global_id(0) * V, n = get_global_id(1);
    if (c >= C)
        return;
    const size_t row = (size_t)n * C + c;
    const vec factor = VLOAD(s + row);
    vec sum = (vec)(0.0f);
    for (int p = 0; p < pixels; p++) {
        const size_t at = ((size_t)n * pixels + p) * C + c;
        const vec g = VLOAD(dy + at);
        sum += g * VLOAD(x + at);
        if (wants_x)
            VSTORE(add_x ? VLOAD(dx + at) + g * factor : g * factor, dx + at);
    }
    if (wants_s)
        VSTORE(add_s ? VLOAD(ds + row) + sum : sum, ds + row);
}
