/* CLNORM_CL_DIR=tests/matrix matrix_minimal FILE.cl: runs its kernel `minimal` and prints the first word that it gave. For
 * the minimal cases of faults of implementations, and for faults planted to see that they are found: each .cl file here
 * tells what should come. */
#include <stdio.h>

#include "kernel.h"

enum { WORDS = 1024, BYTES = WORDS * 4 };

/* x: WORDS ones, at an offset into a buffer. y: WORDS words, never written. */
static int run(cln_device *dev, const char *file, cln_error *err)
{
    cl_uint ones[WORDS], first = 0;
    cln_tensor whole = {0}, x = {0}, y = {0};
    cln_kernel k = {0};
    for (int i = 0; i < WORDS; i++)
        ones[i] = 1;
    int rc = cln_kernel_new(dev, file, "minimal", "", &k, err);
    if (!rc)
        rc = cln_tensor_new(dev, 3 * BYTES, "x", &whole, err);
    if (!rc)
        rc = cln_tensor_view(dev, whole, BYTES, BYTES, &x, err);
    if (!rc)
        rc = cln_tensor_new(dev, BYTES, "y", &y, err);
    if (!rc)
        rc = cln_tensor_write(dev, x, 0, ones, BYTES, err);
    if (!rc)
        rc = cln_run(&k, cln_range1(WORDS, 1), err, CLN_MEM(x), CLN_MEM(y));
    if (!rc)
        rc = cln_tensor_read(dev, y, 0, &first, sizeof first, err);
    if (!rc)
        printf("%u\n", first);
    cln_tensor_free(&y);
    cln_tensor_free(&x);
    cln_tensor_free(&whole);
    cln_kernel_free(&k);
    return rc;
}

int main(int argc, char **argv)
{
    cln_device *dev = NULL;
    cln_error err = {0};
    int rc = cln_device_open(NULL, false, &dev, &err);
    if (!rc)
        rc = run(dev, argc > 1 ? argv[1] : "", &err);
    if (rc)
        fprintf(stderr, "matrix_minimal: %s\n%s", err.text, err.log);
    cln_device_close(dev);
    return rc ? 1 : 0;
}
