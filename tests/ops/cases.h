/* The cases that single layers but the norms (ops/stages.h) are tested with, and the comparison with the naive references:
 * awkward shapes, partial batches, outputs full of NaN between guard bands, = and +=, everything twice and equal bit
 * for bit. */
#ifndef CLN_CASES_H
#define CLN_CASES_H

#include "lone.h"
#include "ops/conv.h"
#include "ops/verdict.h"

typedef struct cln_case {
    const char *line; /* of a .net file */
    cln_shape in;
    int n;      /* images in the pass; 0: all */
    int levels; /* x takes so many values only, so that maxima tie; 0: any */
    bool eval;
    double tolerance; /* of max |difference| / max |reference|; 0: 1e-5 */
    bool
        doctor; /* clnorm doctor runs it: its kernels are those that a network of 16n channels needs */
} cln_case;

extern const cln_case cln_cases[]; /* ends with a NULL line */

/* Whether it is of the layer `word`. */
bool cln_case_is(const cln_case *c, const char *word);

/* Host copies: what went in and what came out. */
typedef struct cln_case_values {
    float *x[CLN_MAX_INPUTS], *dy, *param[CLN_MAX_PARAMS], *dx0; /* dx0: what += adds to */
    float *y, *dx[CLN_MAX_INPUTS], *grad[CLN_MAX_PARAMS];
} cln_case_values;
void cln_case_values_free(cln_case_values *v);

/* Runs the case once or twice (`rounds`) on a layer of its own; a second run that gives other bits is CLN_ERR_INTERNAL. *t
 * and *v are the caller's to free, on failure too. */
int cln_case_run(cln_lone *t, cln_device *dev, const cln_case *c, const cln_tune_request *request,
                 bool accumulate, int rounds, cln_case_values *v, cln_error *err);

/* The same against the reference. */
void cln_case_check(cln_device *dev, const cln_case *c, const cln_tune_request *request,
                    bool accumulate, cln_verdict *v);

/* What results may be off by, of the largest value, by any algorithm. */
#define CLN_CASE_TOLERANCE 1e-5

/* Whether it is a convolution of one kind or another: conv, dwconv, dense. */
bool cln_is_conv(const cln_op *op);

/* The convolution that such a layer is. */
cln_conv_shape cln_case_conv_shape(const cln_layer *l);

#endif
