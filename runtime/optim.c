#include "optim.h"

#include <math.h>
#include <stdlib.h>

int cln_optim_new(const cln_plan *plan, cln_optimizer kind, bool parts, cln_optim **out, cln_error *err)
{
    cln_optim *o = calloc(1, sizeof *o);
    if (!o)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    const bool vector = plan->nodes[0].tune.cls == CLN_CLASS_VECTOR, adam = kind == CLN_OPTIMIZER_ADAMW;
    o->dev = plan->dev;
    o->kind = kind;
    o->count = plan->n_weights;
    o->chunk = vector ? 4096 : 1;
    o->local = vector ? 1 : 64;
    int rc = cln_tensor_new(o->dev, plan->weights.bytes, "optimiser state", &o->m, err);
    if (!rc)
        rc = cln_tensor_fill(o->dev, o->m, 0, err);
    if (!rc && adam)
        rc = cln_tensor_new(o->dev, plan->weights.bytes, "optimiser state", &o->v, err);
    if (!rc && adam)
        rc = cln_tensor_fill(o->dev, o->v, 0, err);
    if (!rc && kind == CLN_OPTIMIZER_MUON)
        rc = cln_muon_new(plan, o->chunk, o->local, &o->muon, err);
    else if (!rc)
        rc = cln_kernel_new(o->dev, "plain.cl", adam ? "optim_adamw" : "optim_sgd", "", &o->step, err);
    if (!rc && parts)
        rc = cln_tensor_new(o->dev, plan->grads.bytes, "the sum of gradients", &o->sum, err);
    if (!rc && parts)
        rc = cln_kernel_new(o->dev, "plain.cl", "optim_add", "", &o->add, err);
    if (rc) {
        cln_optim_free(o);
        return rc;
    }
    *out = o;
    return CLN_OK;
}

void cln_optim_free(cln_optim *o)
{
    if (!o)
        return;
    cln_tensor_free(&o->m);
    cln_tensor_free(&o->v);
    cln_tensor_free(&o->sum);
    cln_kernel_free(&o->step);
    cln_muon_free(o->muon);
    cln_kernel_free(&o->add);
    free(o);
}

static cln_range range_of(const cln_optim *o)
{
    return cln_range1((o->count + (size_t)o->chunk - 1) / (size_t)o->chunk, (size_t)o->local);
}

int cln_optim_add(cln_optim *o, const cln_plan *plan, bool first, cln_error *err)
{
    if (!o->sum.mem)
        return CLN_OK;
    return cln_run(&o->add, range_of(o), err, CLN_MEM(o->sum), CLN_MEM(plan->grads), CLN_INT((int)o->count),
                   CLN_INT(o->chunk), CLN_INT(first));
}

int cln_optim_step(cln_optim *o, cln_plan *plan, const cln_optim_rates *r, cln_error *err)
{
    const cln_range range = range_of(o);
    const cln_tensor grads = o->sum.mem ? o->sum : plan->grads;
    const int count = (int)o->count, decay = (int)plan->n_decay;
    if (o->kind == CLN_OPTIMIZER_MUON)
        return cln_muon_step(o->muon, plan, grads, o->m, r->lr, r->rest, r->momentum, r->nesterov, r->weight_decay, err);
    if (o->kind == CLN_OPTIMIZER_SGD)
        return cln_run(&o->step, range, err, CLN_MEM(plan->weights), CLN_MEM(grads), CLN_MEM(o->m), CLN_INT(count),
                       CLN_INT(decay), CLN_INT(o->chunk), CLN_FLOAT(r->lr), CLN_FLOAT(r->rest), CLN_FLOAT(r->momentum),
                       CLN_INT(r->nesterov), CLN_FLOAT(r->weight_decay));
    return cln_run(&o->step, range, err, CLN_MEM(plan->weights), CLN_MEM(grads), CLN_MEM(o->m), CLN_MEM(o->v),
                   CLN_INT(count), CLN_INT(decay), CLN_INT(o->chunk), CLN_FLOAT(r->lr), CLN_FLOAT(r->rest),
                   CLN_FLOAT(r->momentum), CLN_FLOAT(r->beta2), CLN_FLOAT(r->eps), CLN_FLOAT(1.0 - pow(r->momentum, r->t)),
                   CLN_FLOAT(1.0 - pow(r->beta2, r->t)), CLN_FLOAT(r->weight_decay));
}
