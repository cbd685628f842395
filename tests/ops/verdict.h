/* What comparisons with references found, added up over cases. The Check programs and `clnorm doctor` use the same
 * comparisons and read their verdicts. */
#ifndef CLN_VERDICT_H
#define CLN_VERDICT_H

#include "tensor.h"

/* How many of its cases a check runs: the few that `clnorm doctor` runs (their kernels are those of a network of 16n
 * channels), those of all cases that are small (for simulators of devices, and each once), or all of them, as the tests do. */
typedef enum cln_cases_wanted { CLN_CASES_FEW, CLN_CASES_SMALL, CLN_CASES_ALL } cln_cases_wanted;

typedef struct cln_verdict {
    double most; /* a case whose forward pass takes more multiplications is left out; 0: none is */
    bool once;   /* a case is not run again to see whether it gives the same bits: on a simulator nothing could differ */
    int cases, failures;
    /* Of the comparison that came closest to what is allowed, or exceeded it most: max |difference| / max |reference|.
     * Both 0 where only bits were compared. */
    double error, allowed;
    char first[512]; /* the first failure, as a line for a person; "" while there is none */
    int code;        /* its code if it was a call's, CLN_ERR_*; else 0 */
    char log[4096];  /* and the compiler's log, "" where there is none */
} cln_verdict;

/* Counts a failure; the text of the first one is kept. */
void cln_verdict_fail(cln_verdict *v, const char *fmt, ...) CLN_PRINTF(2, 3);

/* Counts a failure where rc is an error: "WHERE: " and the error's text. Returns rc. */
int cln_verdict_call(cln_verdict *v, int rc, const char *where, const cln_error *err);

/* count floats of a tensor, malloc'ed; NULL, and a failure counted, where the device does not hand them out. */
float *cln_verdict_floats(cln_verdict *v, cln_device *dev, cln_tensor from, size_t count, const char *where);

/* Adds a comparison: a failure where `error` exceeds `allowed` or is a NaN. `where` and `what` name it. */
void cln_verdict_hold(cln_verdict *v, double error, double allowed, const char *where,
                      const char *what);

#endif
