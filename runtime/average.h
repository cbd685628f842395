/* A running average of everything that evaluation reads: weights, and batch norm's running statistics likewise.
 *
 *     average += (1 - d) (value - average),   d = min(decay, (1 + t) / (10 + t)) behind step t = 1, 2, ...
 *
 * (Polyak & Juditsky 1992; exponential, as in Tarvainen & Valpola 2017.) The smaller d of the first steps lets go of the
 * initial weights soon, so that short runs gain, too. */
#ifndef CLN_AVERAGE_H
#define CLN_AVERAGE_H

#include "plan.h"

typedef struct cln_average {
    cln_device *dev;
    cln_tensor weights, states; /* as long as the plan's */
    cln_kernel add, swap;
    size_t n_weights, n_states;
    int chunk, local;
} cln_average;

/* Begins as what the plan holds; freed by cln_average_free. */
int cln_average_new(const cln_plan *plan, cln_average **out, cln_error *err);
void cln_average_free(cln_average *a);

/* Enqueue only. start: the average becomes the plan's values. add: one step's. swap: the plan's values become the
 * average and the reverse; twice is nothing. */
int cln_average_start(cln_average *a, const cln_plan *plan, cln_error *err);
int cln_average_add(cln_average *a, const cln_plan *plan, double decay, uint32_t t, cln_error *err);
int cln_average_swap(cln_average *a, const cln_plan *plan, cln_error *err);

#endif
