/* cln_device_probe: by way of the same program and kernel code that training uses. */
#include <stdio.h>
#include <string.h>

#include "kernel.h"
#include "philox.h"

enum { N = 61, MAX_V = 16 }; /* N is odd on purpose: no multiple of a local size */

static int check_results(const cln_device *dev, int v, const float *x, const float *y,
                         const uint32_t *r, float shift, uint32_t seed, cln_error *err)
{
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < v; k++)
            if (y[i * v + k] != x[i + k] + shift)
                return CLN_FAIL(err, CLN_ERR_DEVICE,
                                "device %d (%s) computes wrongly: probe gave %g for y[%d][%d], "
                                "not %g; update its driver or choose another device",
                                dev->info.index, dev->info.name, (double)y[i * v + k], i, k,
                                (double)(x[i + k] + shift));
        if (r[i] != cln_philox4x32((uint32_t)i, 0, 0, 0, seed, 0).v[i & 3])
            return CLN_FAIL(err, CLN_ERR_DEVICE,
                            "device %d (%s) computes wrongly: integer results of the probe differ; "
                            "update its driver or choose another device",
                            dev->info.index, dev->info.name);
    }
    return CLN_OK;
}

int cln_device_probe(cln_device *dev, cln_error *err)
{
    const float shift = 0.375f;
    const uint32_t seed = 20240229u;
    cln_kernel k = {0};
    cln_tensor tx = {0}, ty = {0}, tr = {0};
    float x[N + MAX_V], y[N * MAX_V];
    uint32_t r[N];
    char options[32];

    int v = 1;
    while (v < MAX_V && 2 * v <= (int)dev->info.vector_width)
        v *= 2;
    snprintf(options, sizeof options, "-D V=%d", v);
    for (int i = 0; i < N + MAX_V; i++)
        x[i] = 0.25f * (float)(i - 20); /* sums with the shift are exact */
    memset(y, 0xff, sizeof y);
    memset(r, 0xff, sizeof r);

    const size_t x_bytes = (size_t)(N + v) * sizeof(float);
    const size_t y_bytes = (size_t)(N * v) * sizeof(float);
    int code = cln_kernel_new(dev, "probe.cl", "probe", options, &k, err);
    if (!code)
        code = cln_tensor_new(dev, x_bytes, "the probe", &tx, err);
    if (!code)
        code = cln_tensor_new(dev, y_bytes, "the probe", &ty, err);
    if (!code)
        code = cln_tensor_new(dev, sizeof r, "the probe", &tr, err);
    if (!code)
        code = cln_tensor_write(dev, tx, 0, x, x_bytes, err);
    if (!code)
        code = cln_run(&k, cln_range1(N, 16), err, CLN_MEM(tx), CLN_MEM(ty), CLN_MEM(tr),
                       CLN_INT(N), CLN_FLOAT(shift), CLN_UINT(seed));
    if (!code)
        code = cln_tensor_read(dev, ty, 0, y, y_bytes, err);
    if (!code)
        code = cln_tensor_read(dev, tr, 0, r, sizeof r, err);
    if (!code)
        code = check_results(dev, v, x, y, r, shift, seed, err);

    cln_tensor_free(&tr);
    cln_tensor_free(&ty);
    cln_tensor_free(&tx);
    cln_kernel_free(&k);
    return code;
}
