/* Work-groups as `clnorm doctor` tests them: barriers, and every word of WORDS words of local memory.
 *
 *     group g of L items:  shared[j] = seed * (j + 1) + g,  j < WORDS
 *     y[g * L + i] = xor over k of shared[L - 1 - i + k * L]: what other items wrote
 *
 * An item owns the words i, i + L, ... of its group's local memory while they are written. */

#ifndef WORDS
#define WORDS 1024
#endif

kernel void doctor_local(global uint *y, // (groups * L)
                         uint seed)
{
    local uint shared[WORDS];
    const uint i = get_local_id(0), L = get_local_size(0), g = get_group_id(0);
    for (uint j = i; j < WORDS; j += L)
        shared[j] = seed * (j + 1u) + g;
    barrier(CLK_LOCAL_MEM_FENCE);
    uint all = 0u;
    for (uint j = L - 1u - i; j < WORDS; j += L)
        all ^= shared[j];
    y[get_global_id(0)] = all;
}
