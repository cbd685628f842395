/* The folder that a run leaves: who may write it, and the small text files in it. A run in progress holds
 * the folder's lock. Order within an epoch: the metrics line first, then the checkpoint; so that a killed
 * run has every line up to its checkpoint, and resuming cuts off the rest. */
#ifndef CLN_RUN_H
#define CLN_RUN_H

#include <jansson.h>

#include "file.h"
#include "lock.h"
#include "tune.h"

/* Every file that a run makes, in DIR; --overwrite removes these and nothing else. */
#define CLN_RUN_CONFIG     "config.json"
#define CLN_RUN_METRICS    "metrics.jsonl"
#define CLN_RUN_SUMMARY    "summary.json"
#define CLN_RUN_OUTCOME    "outcome.json"
#define CLN_RUN_MODEL      "model.safetensors"
#define CLN_RUN_CHECKPOINT "checkpoint.safetensors"
#define CLN_RUN_CURVES     "curves.png"
#define CLN_RUN_MISTAKES   "misclassified.png"

typedef enum {
    CLN_RUN_NEW,       /* nothing of an earlier run may be there */
    CLN_RUN_OVERWRITE, /* whatever is there goes at cln_run_begin */
    CLN_RUN_RESUME     /* an unfinished run with a checkpoint must be there */
} cln_run_mode;

typedef struct cln_run {
    char dir[CLN_PATH_MAX];
    cln_lock lock;
} cln_run;

/* Makes the folder where need be (not for RESUME), locks it and checks that `mode` fits what is in it.
 * Removes nothing but temporary files of killed processes, so that a run that fails before its start
 * (no data, a bad model) leaves earlier results alone. *run begins as {0}. Errors: CLN_ERR_BUSY names the
 * process that trains into it; CLN_ERR_EXISTS says how to go on; CLN_ERR_CHECKPOINT: nothing to resume;
 * CLN_ERR_IO. */
int cln_run_open(cln_run *run, const char *dir, cln_run_mode mode, cln_error *err);

/* Whether there is a checkpoint. RESUME opens a run without one, too, where it was stopped in its first epoch: the
 * caller begins it again. */
bool cln_run_has_checkpoint(const cln_run *run);

/* Removes the checkpoint, if there is one. */
int cln_run_drop_checkpoint(const cln_run *run, cln_error *err);

/* Starts a run that is not resumed: removes the files of an earlier one and writes config.json (borrowed). The new
 * file is on the disk under a temporary name before the first old one goes. */
int cln_run_begin(cln_run *run, const json_t *config, cln_error *err);

void cln_run_close(cln_run *run); /* gives the lock back; a cleared one is allowed */

/* DIR/name. */
int cln_run_path(const cln_run *run, const char *name, char path[CLN_PATH_MAX], cln_error *err);

/* A JSON string of s (new reference; NULL: no memory). Where s is not UTF-8 (a file's name may be anything),
 * its bytes above 127 become '?', so that a run never fails over a name. */
json_t *cln_run_text(const char *s);

/* A number; null where it is not finite. */
json_t *cln_run_number(double x);

/* `value` as text, indented by 2, atomically: into a file, or into one of the run's. */
int cln_json_write(const char *path, const json_t *value, cln_error *err);
int cln_run_write_json(const cln_run *run, const char *name, const json_t *value, cln_error *err);

/* ---- config.json: what resuming takes from it ---------------------------------------------------- */

/* The settings and where the data were, into `data` of `size` bytes. CLN_ERR_IO, CLN_ERR_DATA (too large),
 * CLN_ERR_CHECKPOINT. Outputs are untouched on failure. */
int cln_config_read(const char *path, cln_train_options *options, char *data, size_t size, cln_error *err);

/* Where the run goes on with another number of compute units than it began with, the file says 0 in their place from now on:
 * its times are not those of either. Errors as above. */
int cln_config_units(const char *path, int compute_units, cln_error *err);

/* The table that makes the run's plan again (tuning.h); an empty one where the run is older than tables. *out is the
 * caller's. Errors as above. */
int cln_config_tuning(const char *path, cln_tuning **out, cln_error *err);

/* ---- metrics.jsonl: one object a line with the fields of cln_metrics by name -------------------- */

/* Appends a line and syncs. Numbers that are not finite become null. */
int cln_run_add_metrics(const cln_run *run, const cln_metrics *m, cln_error *err);

/* Drops lines of epochs after `epoch` and a last line that was cut short; the others keep their bytes. No
 * file: fine. CLN_ERR_DATA names the line that is none. */
int cln_run_cut_metrics(const cln_run *run, int epoch, cln_error *err);

/* Reads a metrics.jsonl (null gives NAN, a last line cut short is skipped). *out is malloc'ed, also for
 * *count == 0, and the caller's. CLN_ERR_IO, CLN_ERR_DATA. */
int cln_metrics_read(const char *path, cln_metrics **out, int *count, cln_error *err);

/* ---- summary.json ------------------------------------------------------------------------------ */

typedef struct cln_summary {
    const char *model, *norm, *device, *weights_sha256; /* borrowed */
    int64_t params;
    uint64_t seed;
    int epochs;                 /* that were trained */
    double train_acc, test_acc; /* of the last one, in percent */
    double test_acc_flip;       /* likewise, with flip; NAN: none, and no key */
    double best_test_acc;
    int best_epoch;           /* the first that reached it */
    double images_per_second; /* median over the epochs */
    double seconds;           /* all epochs together */
} cln_summary;

/* Fills epochs, accuracies, best epoch, rate and seconds from count >= 1 epochs; the rest is untouched. */
void cln_summary_of_metrics(cln_summary *s, const cln_metrics *m, int count);

/* Writes summary.json: from then on the run counts as finished. */
int cln_run_write_summary(const cln_run *run, const cln_summary *s, cln_error *err);

#endif
