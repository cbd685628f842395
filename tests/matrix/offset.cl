// Oclgrind 21.10 --uninitialized: x is written by clEnqueueWriteBuffer at an offset into its buffer, whole, before the
// kernel runs, yet some of the values may be reported as never written: its marks for such a write are read from behind
// the array that holds them. `oclgrind --uninitialized --num-threads 1 --build-options -cl-opt-disable` before the
// command; MALLOC_PERTURB_=1 makes sure that what lies there is not zero. tests/matrix/uninitialized.c works around it.
kernel void minimal(global const uint *x, // (1024) ones
                    global uint *y)       // (1024)
{
    y[get_global_id(0)] = x[get_global_id(0)];
}
