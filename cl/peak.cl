/* What the device can do at most: the kernels of `clnorm bench peak`. Each of them proves its work: the results are
 * exact, the host knows them in closed form, and no pass leaves what the pass before it left.
 *
 * SIMT 0: vector class, local size 1; an item owns `chunk` consecutive vectors. SIMT 1: neighbouring items own
 * neighbouring vectors; pass p reads what lies p * turn further on, so that it comes from beyond the first-level cache.
 * V: vector width. ACC: independent accumulators of an item. n: vectors in x or y, a multiple of 8.
 *
 * peak_fill   x[i] = word(i)                     word(i) = 2654435761 i + 12345 mod 2^32: all differ
 * peak_fma    a[k] = a[k] * m + b, m = b = 1     y[item] = sum over k of a[k] = ACC * (8 * rounds + item mod 16 + 1)
 *                                                         + V * (0 + ... + ACC-1) + ACC * lane
 * peak_copy   y[i] = x[i] + key                  SIMT: x[(i + p * turn) mod n]; key grows by one with each pass
 * peak_read   sums[item] = sum of its x, mod 2^32   over all items: passes * sum of x
 * peak_touch  counts[item] += 1
 */

#if V == 1
typedef uint uvec;
#else
typedef CLN_CAT(uint, V) uvec;
#endif

// The sum of a vector's words.
static inline uint peak_sum(uvec a)
{
    union {
        uvec v;
        uint word[V];
    } u;
    uint sum = 0;
    u.v = a;
    for (int l = 0; l < V; l++)
        sum += u.word[l];
    return sum;
}

kernel void peak_fill(global uint *x, // words first ... last-1 of it
                      uint first, uint last)
{
    for (uint i = first + get_global_id(0); i < last; i += get_global_size(0))
        x[i] = 2654435761u * i + 12345u;
}

kernel void peak_fma(global float *y, // (items, V)
                     float m, float b, int rounds)
{
    const uint item = get_global_id(0);
    vec a[ACC];
    float lanes[V];
    for (int l = 0; l < V; l++)
        lanes[l] = (float)l + (float)(item % 16u + 1u);
#pragma unroll
    for (int k = 0; k < ACC; k++)
        a[k] = PLOAD(lanes) + (vec)(k * V);
    const vec vm = (vec)(m), vb = (vec)(b);
    for (int r = 0; r < rounds; r++) {
#pragma unroll
        for (int u = 0; u < 8; u++)
#pragma unroll
            for (int k = 0; k < ACC; k++)
                a[k] = a[k] * vm + vb;
    }
    vec sum = a[0];
#pragma unroll
    for (int k = 1; k < ACC; k++)
        sum += a[k];
    VSTORE(sum, y + item * V);
}

#if SIMT
kernel void peak_copy(global const uvec *x, // (n)
                      global uvec *y,       // (n)
                      uint n, uint chunk, uint turn, int passes, uint key)
{
    (void)chunk;
    uint offset = 0;
    for (int p = 0; p < passes; p++, key++) {
        for (uint i = get_global_id(0); i < n; i += get_global_size(0)) {
            const uint j = i + offset;
            y[i] = x[j < n ? j : j - n] + (uvec)(key);
        }
        offset += turn;
        offset -= offset < n ? 0 : n;
    }
}

kernel void peak_read(global const uvec *x, // (n)
                      global uint *sums,    // (items)
                      uint n, uint chunk, uint turn, int passes)
{
    (void)chunk;
    const uint size = get_global_size(0);
    uint offset = 0;
    uvec a = (uvec)(0), b = a, c = a, d = a;
    for (int p = 0; p < passes; p++) {
        uint i = get_global_id(0);
        for (; i + 3 * size < n; i += 4 * size) {
            const uint j = i + offset;
            a += x[j < n ? j : j - n];
            b += x[j + size < n ? j + size : j + size - n];
            c += x[j + 2 * size < n ? j + 2 * size : j + 2 * size - n];
            d += x[j + 3 * size < n ? j + 3 * size : j + 3 * size - n];
        }
        for (; i < n; i += size)
            a += x[i + offset < n ? i + offset : i + offset - n];
        offset += turn;
        offset -= offset < n ? 0 : n;
    }
    a += b + c + d;
    sums[get_global_id(0)] = peak_sum(a);
}
#else
kernel void peak_copy(global const uvec *restrict x, // (n)
                      global uvec *restrict y,       // (n)
                      uint n, uint chunk, uint turn, int passes, uint key)
{
    (void)turn;
    const uint first = min((uint)get_global_id(0) * chunk, n), last = min(first + chunk, n);
    for (int p = 0; p < passes; p++, key++)
        for (size_t i = first; i < last; i += 8) {
#pragma unroll
            for (int k = 0; k < 8; k++)
                y[i + k] = x[i + k] + (uvec)(key);
        }
}

kernel void peak_read(global const uvec *x, // (n)
                      global uint *sums,    // (items)
                      uint n, uint chunk, uint turn, int passes)
{
    (void)turn;
    const uint first = min((uint)get_global_id(0) * chunk, n), last = min(first + chunk, n);
    uvec a[8];
#pragma unroll
    for (int k = 0; k < 8; k++)
        a[k] = (uvec)(0);
    for (int p = 0; p < passes; p++)
        for (size_t i = first; i < last; i += 8) {
#pragma unroll
            for (int k = 0; k < 8; k++)
                a[k] += x[i + k];
        }
#pragma unroll
    for (int k = 1; k < 8; k++)
        a[0] += a[k];
    sums[get_global_id(0)] = peak_sum(a[0]);
}
#endif

kernel void peak_touch(global uint *counts) // (items)
{
    counts[get_global_id(0)] += 1;
}
