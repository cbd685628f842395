/* What a finished run left in its folder, read back: for reports, and for a study that goes on. The files may come from
 * anywhere: every value is checked, and the first that is wrong is named with its file. */
#ifndef CLN_RESULT_H
#define CLN_RESULT_H

#include "outcome.h"
#include "run.h"

enum { CLN_UNITS_CHANGED = -1 }; /* it went on with other ones */

typedef struct cln_result {
    char dir[CLN_PATH_MAX];
    /* config.json */
    cln_train_options options;
    char version[32], device[288], driver[128], data[64], data_sha256[65];
    char source[CLN_PATH_MAX];   /* of the data: "sample", or the path that was given */
    int compute_units;           /* of the device, that the run had; 0: not told; CLN_UNITS_CHANGED */
    bool sample;                 /* trained on the bundled sample */
    /* summary.json; accuracies in percent, of the last epoch and of the best one */
    char model[64];
    char weights_sha256[65];
    int64_t params;
    int best_epoch;
    double train_acc, test_acc, best_test_acc, images_per_second, seconds;
    double test_acc_flip; /* NAN: not asked for */
    /* metrics.jsonl */
    cln_metrics *metrics; /* owned */
    int n_metrics;        /* at least 1 */
    /* outcome.json */
    bool has_outcome;
    cln_outcome outcome;
} cln_result;

/* Whether `dir` holds a finished run. */
bool cln_result_there(const char *dir);

/* *out begins as {0} and goes with clear. CLN_ERR_IO, CLN_ERR_DATA, CLN_ERR_CHECKPOINT (config.json), CLN_ERR_MEMORY. */
int cln_result_read(const char *dir, cln_result *out, cln_error *err);
void cln_result_clear(cln_result *r);

#endif
