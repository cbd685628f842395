/* The optimiser: one launch over all parameters (cl/optim.cl); Muon takes some more. */
#ifndef CLN_OPTIM_H
#define CLN_OPTIM_H

#include "muon.h"

typedef struct cln_optim {
    cln_device *dev;
    cln_optimizer kind;
    cln_tensor m, v;   /* as long as plan->weights; v for AdamW alone */
    cln_tensor sum;    /* likewise: of the gradients of a step's parts; absent where a step has one */
    cln_kernel step, add;
    cln_muon *muon;    /* of Muon alone, which has no `step` here */
    size_t count;      /* floats */
    int chunk, local;
} cln_optim;

typedef struct cln_optim_rates {
    double lr, rest;   /* rest: factor of lr for what does not decay: gamma, beta, biases */
    double momentum, weight_decay; /* momentum is b1 for AdamW */
    double beta2, eps;
    bool nesterov;
    uint32_t t;        /* steps done, this one included: 1, 2, ... */
} cln_optim_rates;

/* State zeroed. `parts`: the gradients of a step come in several parts. */
int cln_optim_new(const cln_plan *plan, cln_optimizer kind, bool parts, cln_optim **out, cln_error *err);
void cln_optim_free(cln_optim *o);

/* Enqueues: takes plan->grads as the first or a further part of the step's gradients. */
int cln_optim_add(cln_optim *o, const cln_plan *plan, bool first, cln_error *err);

/* Enqueues: plan->weights moves along the gradients. */
int cln_optim_step(cln_optim *o, cln_plan *plan, const cln_optim_rates *r, cln_error *err);

#endif
