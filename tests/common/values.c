#include "common/values.h"

#include "philox.h"

#include <math.h>
#include <stdlib.h>

float *cln_test_random(size_t count, uint32_t seed)
{
    float *values = malloc((count ? count : 1) * sizeof *values);
    if (!values)
        abort();
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
