/* Finding the layer behind a loss that is not finite: training is deterministic, so the epoch can be run
 * again up to the step, and that step layer by layer. */
#include "train.h"

#include <math.h>
#include <stdlib.h>

/* Whether all `count` floats are finite; a negative code on failure. */
static int all_finite(cln_trainer *t, cln_tensor x, size_t count, bool *all, cln_error *err)
{
    float *values = malloc(count * sizeof *values + 1);
    if (!values)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while looking for the first value that is not finite");
    int rc = cln_tensor_read(t->dev, x, 0, values, count * sizeof *values, err);
    *all = true;
    for (size_t i = 0; !rc && i < count && *all; i++)
        *all = isfinite(values[i]);
    free(values);
    return rc;
}

/* The output shape of the stage that node i computes: its own, or that of the last layer it absorbed. */
static size_t output_count(const cln_trainer *t, int i, int n)
{
    while (i + 1 < t->net->n_layers && t->plan->nodes[i + 1].skip)
        i++;
    cln_shape s = t->net->layers[i].out;
    s.n = n;
    return cln_shape_count(s);
}

/* Forward pass of a part of the step, layer by layer: the first layer with a bad parameter or output; -1: none, or
 * a failure. */
static int first_bad_layer(cln_trainer *t, const cln_slice *s, bool *in_weights, cln_error *err)
{
    *in_weights = false;
    if (cln_train_gather(t, s, err))
        return -1;
    for (int i = 0; i < t->net->n_layers; i++) {
        cln_node *node = &t->plan->nodes[i];
        bool good = true;
        if (node->skip)
            continue;
        for (int k = 0; k < CLN_MAX_PARAMS && good; k++)
            if (node->param[k].mem && all_finite(t, node->param[k], node->param[k].bytes / sizeof(float), &good, err))
                return -1;
        if (!good) {
            *in_weights = true;
            return i;
        }
        if (node->layer->op->forward(node, &s->pass, err))
            return -1;
        if (node->y.mem && all_finite(t, node->y, output_count(t, i, s->n), &good, err))
            return -1;
        if (!good)
            return i;
    }
    return -1;
}

/* The same for the whole step. Behind the epoch's last step any batch will do. */
static int first_bad_layer_of(cln_trainer *t, int step, bool *in_weights, cln_error *err)
{
    int layer = -1;
    cln_slice s = cln_train_slice(t, t->epoch, step < t->steps ? step : 0, 0);
    for (int part = 0; s.n > 0 && layer < 0; s = cln_train_slice(t, t->epoch, step < t->steps ? step : 0, ++part))
        layer = first_bad_layer(t, &s, in_weights, err);
    return layer;
}

int cln_train_diagnose(cln_trainer *t, int bad_step, cln_error *err)
{
    bool in_weights = false;
    cln_pace pace = {0};
    int rc = cln_state_set(t, &t->start, err);
    for (int step = t->step; step < bad_step && !rc; step++) {
        rc = cln_train_enqueue(t, t->epoch, step, err);
        if (!rc)
            rc = cln_pace_step(t->dev, &pace, err);
    }
    cln_pace_clear(&pace);
    const int layer = rc ? -1 : first_bad_layer_of(t, bad_step, &in_weights, err);
    const int epoch = t->epoch + 1, at = bad_step < t->steps ? bad_step + 1 : t->steps;
    cln_state_set(t, &t->start, NULL); /* what is saved from here on is the last good state */
    if (layer < 0)
        return CLN_FAIL(err, CLN_ERR_DIVERGED,
                        "the loss is not finite at epoch %d, step %d; try a smaller --lr (now %g)", epoch, at,
                        t->options.lr);
    return CLN_FAIL(err, CLN_ERR_DIVERGED,
                    "the loss is not finite at epoch %d, step %d: first in the %s of layer %d (%s); try a smaller --lr "
                    "(now %g)", epoch, at, in_weights ? "weights" : "output", layer,
                    t->net->layers[layer].op->word, t->options.lr);
}

int cln_train_verify(cln_trainer *t, cln_error *err)
{
    bool weights = true, states = true;
    int rc = t->plan->n_weights ? all_finite(t, t->plan->weights, t->plan->n_weights, &weights, err) : CLN_OK;
    if (!rc && t->plan->n_states)
        rc = all_finite(t, t->plan->states, t->plan->n_states, &states, err);
    return rc || (weights && states) ? rc : cln_train_diagnose(t, t->step, err);
}
