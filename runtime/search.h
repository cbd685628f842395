/* A grid of learning rates, the same for every norm: short runs that are judged on training images that were held out.
 * It is a study (study.h) with other axes: runs, folder, resuming and timing are the same. */
#ifndef CLN_SEARCH_H
#define CLN_SEARCH_H

#include "study.h"

enum { CLN_SEARCH_RATES = 32, CLN_SEARCH_OPTIMIZERS = 3 };

typedef struct cln_search_axes {
    char model[1024];
    cln_norm_name norms[CLN_STUDY_NORMS];
    int n_norms;
    double rates[CLN_SEARCH_OPTIMIZERS][CLN_SEARCH_RATES]; /* of each cln_optimizer; none: it is left out */
    int n_rates[CLN_SEARCH_OPTIMIZERS];
    int seeds;              /* 1, 2, ..., seeds */
    const cln_given *given; /* settings of all runs; borrowed */
    int n_given;
} cln_search_axes;

/* CLN_NET_DEFAULT; bn, ln, gn; sgd 0.025 to 0.8, adamw 0.001 to 0.032, muon 0.01 to 0.32, by factors of two; one seed. */
void cln_search_defaults(cln_search_axes *out);

/* Plans the runs; nothing is written. Where nothing else is given a run has 5 epochs and a tenth of the training images is
 * held out; weight decay goes with the optimiser, not with the norm. As cln_study_new; CLN_ERR_ARGUMENT also where no image
 * is held out: the test set is not for choosing. */
int cln_search_new(const cln_search_axes *axes, const char *dir, const cln_dataset *data, cln_study **out, cln_error *err);

/* What the runs of one norm, optimiser and rate gave. */
typedef struct cln_search_row {
    const cln_train_options *options; /* of its first run */
    double acc, sd;                   /* held-out accuracy of the last epoch, percent: mean and deviation over seeds; NAN */
    int done, runs;
    bool best, edge; /* of its norm; and its rate is the grid's first or last */
} cln_search_row;

/* Rows in the order of the grid, norms outermost; *out is malloc'ed. Only rows with all their runs done can be best. */
int cln_search_rows(const cln_study *study, cln_search_row **out, int *n, cln_error *err);

#endif
