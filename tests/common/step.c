#include "common/step.h"
#include "common/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int cln_test_step_new(cln_test_step *s, cln_device *dev, const char *model, const char *norm,
                      int classes, cln_shape input, const cln_plan_options *options, cln_error *err)
{
    memset(s, 0, sizeof *s);
    s->dev = dev;
    int rc = strchr(model, '\n')
                 ? cln_net_parse("test", model, norm, 0, classes, input, &s->net, err)
                 : cln_net_load(model, norm, 0, classes, input, &s->net, err);
    if (!rc)
        rc = cln_plan_new(dev, s->net, options, &s->plan, err);
    s->logits = calloc((size_t)input.n * (size_t)classes, sizeof *s->logits);
    if (!rc && !s->logits)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    return rc ? rc
              : cln_loss_new(dev, input.n, classes, input.n, s->plan->nodes[0].tune.local, &s->loss,
                             err);
}

void cln_test_step_free(cln_test_step *s)
{
    if (s->dev)
        cln_device_finish(s->dev, NULL);
    cln_loss_free(s->loss);
    cln_plan_free(s->plan);
    cln_net_free(s->net);
    free(s->logits);
    memset(s, 0, sizeof *s);
}

int cln_test_step_run(cln_test_step *s, int n, bool train, double smoothing, const float *x,
                      const int32_t *labels, double *loss, cln_error *err)
{
    cln_shape in = s->net->input;
    const cln_pass pass = {.n = n, .train = train, .seed = 7, .step = 1};
    cln_totals totals = {0};
    int bad = -1;
    in.n = n;
    int rc = cln_tensor_write(s->dev, s->plan->input, 0, x, cln_shape_count(in) * sizeof *x, err);
    if (!rc)
        rc = cln_tensor_write(s->dev, s->loss->labels, 0, labels, (size_t)n * sizeof *labels, err);
    if (!rc)
        rc = cln_loss_reset(s->loss, NULL, err);
    if (!rc)
        rc = cln_plan_forward(s->plan, &pass, err);
    if (!rc)
        rc = cln_loss_run(s->loss, s->plan->logits, train ? s->plan->dlogits : (cln_tensor){0}, n, n,
                          smoothing, 0, 0, err);
    if (!rc)
        rc = cln_tensor_read(s->dev, s->plan->logits, 0, s->logits,
                             (size_t)(n * s->net->classes) * sizeof *s->logits, err);
    if (!rc && train)
        rc = cln_plan_backward(s->plan, &pass, err);
    if (!rc)
        rc = cln_loss_read(s->loss, &totals, &bad, err);
    *loss = (double)totals.loss / n;
    return rc;
}

float *cln_test_floats(cln_device *dev, cln_tensor from, size_t count)
{
    cln_error err = {0};
    float *values = cln_test_alloc(count, sizeof *values);
    const int rc = count ? cln_tensor_read(dev, from, 0, values, count * sizeof *values, &err) : 0;
    for (size_t i = 0; rc && i < count; i++)
        values[i] = NAN;
    return values;
}

double cln_test_apart(const float *a, const float *b, size_t count)
{
    double worst = 0, top = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        worst = d <= worst ? worst : d; /* a NaN stays */
        top = fmax(top, fabs((double)a[i]));
    }
    return top > 0 ? worst / top : worst;
}
