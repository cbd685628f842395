// A fault: y is read before anything was written there. Oclgrind's --uninitialized has to report it.
kernel void minimal(global const uint *x, // (1024) ones
                    global uint *y)       // (1024)
{
    const uint i = get_global_id(0);
    y[i] += x[i];
}
