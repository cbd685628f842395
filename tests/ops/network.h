/* A whole network on a device, forward, loss and backward, against the naive double-precision references put together
 * layer by layer: what fusion, residual sums and the plan's wiring make of the layers. */
#ifndef CLN_NETWORK_H
#define CLN_NETWORK_H

#include "ops/verdict.h"
#include "plan.h"

/* Networks for it that have every layer between them. */
enum { CLN_NETWORKS = 3 };
extern const char *const cln_networks[CLN_NETWORKS];

/* One training step of the network `text` (of several lines, at most 32 layers) in batches of input.n images (group norm by 4 groups).
 * Weights and data are those of the first seed that keeps clear of all kinks, where rounding would decide, and whose norms
 * (instance norm over few values above all) do not magnify it. Allowed are 1e-5 (CLN_CASE_TOLERANCE) of the largest value of a tensor, or
 * kappa 2^-22 where that is more, kappa = |mean| / std of a norm's input.
 * With options->guard every stage's output and gradient is compared, too, in the order in which they are computed, so that
 * the first failure names the layer to blame. */
void cln_network_check(cln_device *dev, const char *text, const char *norm, int classes,
                       cln_shape input, const cln_plan_options *options, cln_verdict *v);

#endif
