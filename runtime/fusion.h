/* Which layers become stages of others: a host takes the activation and the pool behind it, and its neighbours take parts of
 * its work. Decided from the hooks of each layer's cln_op (op.h) alone, and told in the nodes and stages of the plan. */
#ifndef CLN_FUSION_H
#define CLN_FUSION_H

#include "plan.h"

/* Fills the stages of a plan whose kernels are chosen; layers that another one does become `skip`. */
void cln_fuse(cln_plan *plan);

/* How many layers read layer i's output, and the first and last of them (-1: none). i = -1: the data. */
int cln_fusion_readers(const cln_net *net, int i, int *first, int *last);

/* The node that computes layer i's output: the host for absorbed layers. */
int cln_fusion_owner(const cln_plan *plan, int i);

/* The last layer of the stage (or the layer itself) whose output node i computes. */
int cln_fusion_end(const cln_plan *plan, int i);

#endif
