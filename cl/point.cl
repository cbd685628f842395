/* Elementwise layers on flat arrays.
 *
 *     add      y = x0 + x1                        dx_i (=|+=) dy
 *     add      with a stride S: y[n,oy,ox,c] = x0[n,oy,ox,c] + (c < C1 ? x1[n, oy*S, ox*S, c] : 0)
 *     dropout  y = x * m,  dx (=|+=) dy * m,  m = u >= p ? 1 / (1 - p) : 0, nothing kept in between
 *     u of element i: word i % 4 of Philox(counter (i / 4, layer, 0, CLN_STREAM_DROPOUT), key (seed, step)),
 *     as a float in [0, 1); elements are counted over the batch, NHWC.
 *
 * Ownership: an item owns `chunk` neighbouring elements: thousands in the vector class, few in the
 * SIMT class. V divides the number of elements and the chunk; 4 divides dropout's chunk. With a stride an item owns a
 * lane of the channels of `chunk` pixels, the vectors lane, lane + lanes, ..., and V divides C and C1. */

kernel void point_fwd_add(global const float *x0, global const float *x1, global float *y, // (count)
                          int count, int chunk)
{
    const size_t first = (size_t)get_global_id(0) * chunk, last = min(first + chunk, (size_t)count);
    for (size_t i = first; i < last; i += V)
        VSTORE(VLOAD(x0 + i) + VLOAD(x1 + i), y + i);
}

/* to (=|+=) from */
kernel void point_copy(global const float *from, global float *to, // (count)
                       int count, int chunk, int accumulate)
{
    const size_t first = (size_t)get_global_id(0) * chunk, last = min(first + chunk, (size_t)count);
    for (size_t i = first; i < last; i += V) {
        const vec v = VLOAD(from + i);
        VSTORE(accumulate ? VLOAD(to + i) + v : v, to + i);
    }
}

kernel void point_fwd_add_strided(global const float *x0, // (N, Ho, Wo, C)
                                  global const float *x1, // (N, H, W, C1)
                                  global float *y,        // (N, Ho, Wo, C)
                                  int pixels, int Ho, int Wo, int C, int H, int W, int C1, int S, int chunk, int lanes)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * chunk;
    const int last = min(first + chunk, pixels);
    int ox = first % Wo, oy = first / Wo % Ho, n = first / Wo / Ho;
    for (int p = first; p < last; p++) {
        global const float *from = x1 + (((size_t)n * H + oy * S) * W + ox * S) * C1;
        for (int c = lane * V; c < C; c += lanes * V) {
            const vec v = VLOAD(x0 + (size_t)p * C + c);
            VSTORE(c < C1 ? v + VLOAD(from + c) : v, y + (size_t)p * C + c);
        }
        if (++ox == Wo) {
            ox = 0;
            oy = oy + 1 == Ho ? 0 : oy + 1;
            n += oy == 0;
        }
    }
}

/* dx1 (=|+=) dy at the pixels that were added, 0 at the others */
kernel void point_bwd_add_strided(global const float *dy, // (N, Ho, Wo, C)
                                  global float *dx1,      // (N, H, W, C1)
                                  int pixels, int Ho, int Wo, int C, int H, int W, int C1, int S, int chunk, int lanes,
                                  int accumulate)
{
    const int lane = get_global_id(0) % lanes, first = get_global_id(0) / lanes * chunk;
    const int last = min(first + chunk, pixels);
    int x = first % W, y = first / W % H, n = first / W / H;
    for (int p = first; p < last; p++) {
        const int read = x % S == 0 && y % S == 0;
        global const float *from = dy + (((size_t)n * Ho + y / S) * Wo + x / S) * C;
        for (int c = lane * V; c < C1 && (read || !accumulate); c += lanes * V) {
            global float *to = dx1 + (size_t)p * C1 + c;
            const vec v = read ? VLOAD(from + c) : (vec)(0.0f);
            VSTORE(accumulate ? VLOAD(to) + v : v, to);
        }
        if (++x == W) {
            x = 0;
            y = y + 1 == H ? 0 : y + 1;
            n += y == 0;
        }
    }
}

/* to (=|+=) from * m: both directions of dropout */
kernel void point_dropout(global const float *from, global float *to, // (count)
                          int count, int chunk, int accumulate, float p, float scale, int layer, uint seed,
                          uint step)
{
    const size_t first = (size_t)get_global_id(0) * chunk, last = min(first + chunk, (size_t)count);
    for (size_t i = first; i < last; i += 4) {
        const cln_philox r = cln_philox4x32((uint)(i / 4), (uint)layer, 0u, CLN_STREAM_DROPOUT, seed, step);
        for (size_t j = i; j < min(i + 4, last); j++) {
            const float v = cln_random_unit(r.v[j - i]) >= p ? from[j] * scale : 0.0f;
            to[j] = accumulate ? to[j] + v : v;
        }
    }
}
