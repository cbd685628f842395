// A fault: the last item writes behind y. Oclgrind has to report it.
kernel void minimal(global const uint *x, // (1024) ones
                    global uint *y)       // (1024)
{
    y[get_global_id(0) + x[0]] = 1;
}
