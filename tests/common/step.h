/* A network on a device for one training step at a time, with weights and data from outside: what the tests of
 * plans and of whole networks share. Functions return 0 or a negative CLN_ERR_* code unless they say otherwise. */
#ifndef CLN_TEST_STEP_H
#define CLN_TEST_STEP_H

#include "loss.h"
#include "plan.h"

typedef struct cln_test_step {
    cln_device *dev;
    cln_net *net;
    cln_plan *plan;
    cln_loss *loss;
    float *logits; /* of the last step, on the host: backward may reuse the plan's */
} cln_test_step;

/* model: a built-in name, or the text of a network, which has several lines. input.n is the batch. The weights are
 * uninitialised. *s goes with cln_test_step_free, on failure too. */
int cln_test_step_new(cln_test_step *s, cln_device *dev, const char *model, const char *norm,
                      int classes, cln_shape input, const cln_plan_options *options,
                      cln_error *err);
void cln_test_step_free(cln_test_step *s);

/* n images x and labels: forward and loss; with `train` batch statistics and backward too. *loss is the mean. */
int cln_test_step_run(cln_test_step *s, int n, bool train, double smoothing, const float *x,
                      const int32_t *labels, double *loss, cln_error *err);

/* count floats of a tensor, malloc'ed; all NaN where the device does not hand them out. */
float *cln_test_floats(cln_device *dev, cln_tensor from, size_t count);

/* The largest |a - b| over the largest |a|. */
double cln_test_apart(const float *a, const float *b, size_t count);

#endif
