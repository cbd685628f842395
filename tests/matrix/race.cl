// A fault: every item writes its number to the same place. Oclgrind's --data-races has to report it.
kernel void minimal(global const uint *x, // (1024) ones
                    global uint *y)       // (1024)
{
    y[x[0]] = get_global_id(0);
}
