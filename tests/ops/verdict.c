#include "ops/verdict.h"

#include "common/values.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void cln_verdict_fail(cln_verdict *v, const char *fmt, ...)
{
    va_list args;
    if (v->failures++)
        return;
    va_start(args, fmt);
    vsnprintf(v->first, sizeof v->first, fmt, args);
    va_end(args);
}

int cln_verdict_call(cln_verdict *v, int rc, const char *where, const cln_error *err)
{
    if (!rc)
        return rc;
    if (!v->failures) {
        v->code = rc;
        snprintf(v->log, sizeof v->log, "%s", err->log);
    }
    cln_verdict_fail(v, "%s: %s", where, err->text);
    return rc;
}

float *cln_verdict_floats(cln_verdict *v, cln_device *dev, cln_tensor from, size_t count, const char *where)
{
    cln_error err = {0};
    float *values = cln_test_alloc(count, sizeof *values);
    const int rc = count ? cln_tensor_read(dev, from, 0, values, count * sizeof *values, &err) : CLN_OK;
    if (!cln_verdict_call(v, rc, where, &err))
        return values;
    free(values);
    return NULL;
}

void cln_verdict_hold(cln_verdict *v, double error, double allowed, const char *where,
                      const char *what)
{
    const double ratio = error / allowed, worst = v->allowed > 0 ? v->error / v->allowed : -1;
    if (!(ratio <= worst)) {
        v->error = error;
        v->allowed = allowed;
    }
    if (!(error <= allowed))
        cln_verdict_fail(v, "%s: %s is off by %.2g of its largest value, %.2g are allowed", where,
                         what, error, allowed);
}
