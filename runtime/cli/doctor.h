/* What `clnorm doctor` checks, and the short check that `clnorm train` does at the first use of a device. Both hold the
 * device against the naive double-precision references of tests/ops, which the library does not have. */
#ifndef CLN_DOCTOR_H
#define CLN_DOCTOR_H

#include "../train.h"
#include "ops/verdict.h"

typedef struct cln_doctor_check {
    const char *
        op; /* "conv", "bn", ..., "network", "training", "limits", "memory": for --only and the table */
    const char *
        kernels; /* "vector", "simt", "winograd", "pointwise", "tile", "gemm"; "auto": what the device's class is; "": none of these */
    const char *what; /* is checked: a few words */
    cln_tune_request tune;
    cln_cases_wanted cases; /* few, where nobody sets another */
    void (*run)(cln_device *dev, const struct cln_doctor_check *check, cln_verdict *v);
} cln_doctor_check;

/* All checks, in the order in which they run: the device, then for each class of kernels every layer of cln_ops, loss and
 * optimisers, then training. Returns how many there are, at most max. */
enum { CLN_DOCTOR_MAX = 96 };
int cln_doctor_list(cln_doctor_check *checks, int max);

/* Checks the kernels that a run with these options uses (convolution, norm, pool, loss, optimiser, the other layers of
 * `net`) on tiny shapes, unless that combination of device, driver, clnorm, kernel sources and options is remembered as
 * good in the kernel cache; success is remembered there, where it can be written.
 * CLN_ERR_DEVICE: the device computes wrongly; the text says what is wrong and names `clnorm doctor`; allow_failing: that is a
 * warning on stderr and no error. CLN_ERR_MEMORY, CLN_ERR_DEVICE_MEMORY: there was no room to find out. CLN_ERR_BUILD with the log. */
int cln_first_use_check(cln_device *dev, const cln_train_options *o, const cln_net *net, bool allow_failing, cln_error *err);

/* Whether it is remembered as good. */
bool cln_first_use_passed(const cln_device *dev, const cln_train_options *o, const cln_net *net);

#endif
