/* The cases that the stages (norm, ReLU, 2x2 max pooling; see op.h) are tested with, and their comparison with the naive
 * reference of ops/norm.h. Every tensor stands between guard bands, outputs are poisoned with NaN, and each case runs
 * twice and must give the same bits.
 *
 * Tolerances: NMSE <= max(1e-10, (kappa 2^-22)^2) and largest error <= max(1e-5, kappa 2^-22) of the largest
 * reference value, kappa = |mean| / std of the norm's input (its mean is rounded to a float, so that
 * z - mean is off by up to kappa 2^-24 std). Two figures are the difference of terms that cancel, wholly so
 * where a set has one value and the true gradient is 0: dz, against a tenth of its largest term gamma rstd g, and
 * dgamma and dbeta, against a tenth of their sum of magnitudes, where those exceed the reference.
 * ReLU and pooling are kinks: dy is 0 where rounding may decide which way the gradient goes. */
#ifndef CLN_STAGES_H
#define CLN_STAGES_H

#include "lone.h"
#include "ops/norm.h"
#include "ops/verdict.h"

typedef enum cln_stage_values {
    CLN_VALUES_NORMAL,
    CLN_VALUES_MEAN_100,
    CLN_VALUES_MEAN_10000,
    CLN_VALUES_CONSTANT,
    CLN_VALUES_HUGE,
    CLN_VALUES_TINY,
    CLN_VALUES_TIES,
    CLN_VALUES_KINDS
} cln_stage_values;

typedef enum cln_stage_set {
    CLN_STAGE_SHAPES,
    CLN_STAGE_GROUPS,
    CLN_STAGE_VALUES,
    CLN_STAGE_EDGES, /* += and partial batches */
    CLN_STAGE_SMOOTH, /* smooth activations behind norms */
    CLN_STAGE_DOCTOR /* those of `clnorm doctor`: their kernels are those of a network of 16n channels */
} cln_stage_set;

typedef struct cln_stage_case {
    char line[32]; /* of a .net file: a norm or relu */
    cln_shape in;
    int run; /* images of the batch; 0: all */
    int act; /* NAIVE_*: of a norm's stage */
    int pool;
    cln_class cls;
    cln_stage_values values;
    bool accumulate;
} cln_stage_case;

/* Checks each case of `set` in class `cls`: of every layer that may host a stage (bn, ln, gn, in, none, relu), or of `word`
 * alone where it is not NULL. */
void cln_stage_check_set(cln_device *dev, cln_stage_set set, const char *word, cln_class cls,
                         cln_verdict *v);

/* Checks one case. */
void cln_stage_check(cln_device *dev, const cln_stage_case *c, cln_verdict *v);

/* Batch norm in evaluation, by running statistics. */
void cln_stage_check_evaluation(cln_device *dev, const cln_stage_case *c, cln_verdict *v);

/* Forward alone; y malloc'ed. gamma NULL: 1, beta NULL: 0, mean and var NULL: running statistics 0 and 1. */
int cln_stage_forward(cln_device *dev, const cln_stage_case *c, bool train, const float *z,
                      const float *gamma, const float *beta, const float *mean, const float *var,
                      float **y, cln_error *err);

#endif
