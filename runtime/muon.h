/* What Muon makes of SGD's step (cl/muon.cl). */
#ifndef CLN_MUON_H
#define CLN_MUON_H

#include "plan.h"

typedef struct cln_muon {
    cln_device *dev;
    cln_tensor s, other;   /* the step, as long as plan->weights, twice: products go from one to the other */
    cln_tensor table;      /* the matrices: int4 (offset, rows, columns, place of its gram matrix) */
    cln_tensor gram, poly; /* columns^2 of each matrix */
    cln_kernel momentum, gram_of, poly_of, apply, step;
    int n, v;             /* matrices; vector width, which divides their columns */
    size_t gram_items, poly_items, apply_items; /* of the largest matrix */
    int count, decay, chunk, local;
} cln_muon;

/* For the weights of convolutions and dense layers but the last, as matrices (height * width * inputs, outputs). */
int cln_muon_new(const cln_plan *plan, int chunk, int local, cln_muon **out, cln_error *err);
void cln_muon_free(cln_muon *muon);

/* Enqueues: the moments take the gradients in, weights move; see cln_optim_rates. */
int cln_muon_step(cln_muon *m, const cln_plan *plan, cln_tensor grads, cln_tensor moments, double lr, double rest,
                  double momentum, bool nesterov, double weight_decay, cln_error *err);

/* Bytes of device memory of one for a network with `weights` bytes of weights, which are not counted. */
size_t cln_muon_bytes(const cln_net *net, size_t weights);

#endif
