// Mesa's llvmpipe (22.3, beneath Rusticl and Clover) ends every loop of a work-item once the rounds of all its loops
// together reach 65535. y[0] should be 100000; there it is 65535. A work-item of the vector class's convolution takes
// that many where images are large and batches too: its results are wrong then. llvmpipe announces scalars as its native
// vectors, so that it gets the SIMT class, whose items take one round for each pixel of a chunk of backward-params
// and fewer elsewhere.
kernel void minimal(global const uint *x, // (1024) ones
                    global uint *y)       // (1024)
{
    uint sum = 0;
    for (uint i = 0; i < 100000; i++)
        sum += x[i & 1023];
    y[get_global_id(0)] = sum;
}
