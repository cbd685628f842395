// Does this device build and run kernels at all? The host knows every result in advance.
//   y[i][k] = x[i + k] + shift, k < V, shift through local memory and a barrier, as in the SIMT class
//   r[i]    = word i % 4 of Philox(counter i, key seed): integer arithmetic
// A work-item owns one i.

kernel void probe(global const float *x, // (n + V)
                  global float *y,       // (n, V)
                  global uint *r,        // (n)
                  const int n, const float shift, const uint seed)
{
    local float shared_shift[1];
    const int i = get_global_id(0);
    if (get_local_id(0) == 0)
        shared_shift[0] = shift;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (i >= n)
        return;

    VSTORE(VLOAD(x + i) + (vec)(shared_shift[0]), y + i * V);
    r[i] = cln_philox4x32((uint)i, 0u, 0u, 0u, seed, 0u).v[i & 3];
}
