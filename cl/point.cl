/* Elementwise layers on flat arrays.
 *
 *     add      y = x0 + x1                        dx_i (=|+=) dy
 *     dropout  y = x * m,  dx (=|+=) dy * m,  m = u >= p ? 1 / (1 - p) : 0, nothing kept in between
 *     u of element i: word i % 4 of Philox(counter (i / 4, layer, 0, CLN_STREAM_DROPOUT), key (seed, step)),
 *     as a float in [0, 1); elements are counted over the batch, NHWC.
 *
 * Ownership: an item owns `chunk` neighbouring elements: thousands in the vector class, few in the
 * SIMT class. V divides the number of elements and the chunk; 4 divides dropout's chunk. */

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
