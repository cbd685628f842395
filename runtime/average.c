#include "average.h"

#include <math.h>
#include <stdlib.h>

int cln_average_new(const cln_plan *plan, cln_average **out, cln_error *err)
{
    cln_average *a = calloc(1, sizeof *a);
    if (!a)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    const bool vector = plan->nodes[0].tune.cls == CLN_CLASS_VECTOR;
    a->dev = plan->dev;
    a->n_weights = plan->n_weights;
    a->n_states = plan->n_states;
    a->chunk = vector ? 4096 : 1;
    a->local = vector ? 1 : 64;
    int rc = cln_tensor_new(a->dev, plan->weights.bytes, "averaged weights", &a->weights, err);
    if (!rc)
        rc = cln_tensor_new(a->dev, plan->states.bytes, "averaged statistics", &a->states, err);
    if (!rc)
        rc = cln_kernel_new(a->dev, "plain.cl", "optim_average", "", &a->add, err);
    if (!rc)
        rc = cln_kernel_new(a->dev, "plain.cl", "optim_swap", "", &a->swap, err);
    if (!rc)
        rc = cln_average_start(a, plan, err);
    if (rc) {
        cln_average_free(a);
        return rc;
    }
    *out = a;
    return CLN_OK;
}

void cln_average_free(cln_average *a)
{
    if (!a)
        return;
    cln_tensor_free(&a->weights);
    cln_tensor_free(&a->states);
    cln_kernel_free(&a->add);
    cln_kernel_free(&a->swap);
    free(a);
}

int cln_average_start(cln_average *a, const cln_plan *plan, cln_error *err)
{
    int rc = cln_tensor_copy(a->dev, plan->weights, a->weights, plan->weights.bytes, err);
    return rc ? rc : cln_tensor_copy(a->dev, plan->states, a->states, plan->states.bytes, err);
}

static cln_range range_of(const cln_average *a, size_t count)
{
    return cln_range1((count + (size_t)a->chunk - 1) / (size_t)a->chunk, (size_t)a->local);
}

int cln_average_add(cln_average *a, const cln_plan *plan, double decay, uint32_t t, cln_error *err)
{
    const double weight = 1.0 - fmin(decay, (1.0 + t) / (10.0 + t));
    int rc = CLN_OK;
    if (a->n_weights)
        rc = cln_run(&a->add, range_of(a, a->n_weights), err, CLN_MEM(a->weights), CLN_MEM(plan->weights),
                     CLN_INT((int)a->n_weights), CLN_INT(a->chunk), CLN_FLOAT(weight));
    if (!rc && a->n_states)
        rc = cln_run(&a->add, range_of(a, a->n_states), err, CLN_MEM(a->states), CLN_MEM(plan->states),
                     CLN_INT((int)a->n_states), CLN_INT(a->chunk), CLN_FLOAT(weight));
    return rc;
}

int cln_average_swap(cln_average *a, const cln_plan *plan, cln_error *err)
{
    int rc = CLN_OK;
    if (a->n_weights)
        rc = cln_run(&a->swap, range_of(a, a->n_weights), err, CLN_MEM(a->weights), CLN_MEM(plan->weights),
                     CLN_INT((int)a->n_weights), CLN_INT(a->chunk));
    if (!rc && a->n_states)
        rc = cln_run(&a->swap, range_of(a, a->n_states), err, CLN_MEM(a->states), CLN_MEM(plan->states),
                     CLN_INT((int)a->n_states), CLN_INT(a->chunk));
    return rc;
}
