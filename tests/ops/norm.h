/* The norms, their activation and their pool as one stage, in double precision and as plainly as they can be
 * written: y = pool2(act((z - mean) / sqrt(var + eps) * gamma + beta)). Backward goes step by step through the
 * chain rule (Ioffe & Szegedy 2015, section 3), not through the kernels' closed form. Images are NHWC. */
#ifndef CLN_TEST_NAIVE_NORM_H
#define CLN_TEST_NAIVE_NORM_H

#include "op.h"

/* groups: per sample, as in gn; the two others below. */
enum { NAIVE_BATCH = 0, NAIVE_IDENTITY = -1 };

enum { NAIVE_NONE, NAIVE_RELU, NAIVE_SILU, NAIVE_CELU, NAIVE_GELU };

typedef struct naive_stage {
    cln_shape in;
    int groups;
    int act; /* NAIVE_NONE, ... */
    int pool; /* 1 or 2; in.h and in.w are even under 2 */
    double eps;
} naive_stage;

/* The stage that a layer without followers is: bn, ln, gn, in, none or an activation. */
naive_stage naive_stage_of(const cln_layer *layer);

/* How many sets of values share a mean and a variance (0 for the identity), and which one an element is of. */
int naive_stage_sets(const naive_stage *s);
int naive_stage_set(const naive_stage *s, int n, int c);
size_t naive_stage_outputs(const naive_stage *s);

/* Biased variance. mean and var have naive_stage_sets entries. */
void naive_stage_statistics(const naive_stage *s, const double *z, double *mean, double *var);

/* gamma, beta: (C), unused (NULL) by the identity. mean, var: as from naive_stage_statistics, or running ones.
 * lead (may be NULL): for each output, how far u (under a pool act(u)) is from where the ReLU or the pool would decide otherwise;
 * equal inputs of a window do not count: the first is taken, exactly. */
void naive_stage_fwd(const naive_stage *s, const double *z, const double *gamma, const double *beta,
                     const double *mean, const double *var, double *y, double *lead);

/* Training mode: through the statistics. g (may be NULL): dy where it entered, (N, H, W, C). */
void naive_stage_bwd(const naive_stage *s, const double *z, const double *gamma, const double *beta,
                     const double *dy, double *dz, double *dgamma, double *dbeta, double *g);

#endif
