#include "common/values.h"

#include "philox.h"

#include "error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void *cln_test_alloc(size_t count, size_t size)
{
    void *p = calloc(count + 1, size);
    if (p)
        return p;
    fprintf(stderr,
            "clnorm: out of host memory for the references that the device is held against; "
            "close other programs to make room\n");
    exit(2 - CLN_ERR_MEMORY);
}

float *cln_test_random(size_t count, uint32_t seed)
{
    float *values = cln_test_alloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        const cln_philox r = cln_philox4x32((uint32_t)(i / 4), seed, 0, 0, 0, 0);
        values[i] = 2.0f * cln_random_unit(r.v[i % 4]) - 1.0f;
    }
    return values;
}

cln_test_difference cln_test_compare(const float *got, const double *want, size_t count)
{
    cln_test_difference d = {0, 0, true};
    double error = 0, norm = 0, worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - want[i]);
        d.finite = d.finite && isfinite(got[i]);
        error += e * e;
        norm += want[i] * want[i];
        worst = fmax(worst, e);
        largest = fmax(largest, fabs(want[i]));
    }
    d.nmse = norm > 0 ? error / norm : error;
    d.max = largest > 0 ? worst / largest : worst;
    return d;
}
