/* A training run in its folder, from its start or its resumption to its summary: what `clnorm train` and `clnorm study`
 * share. The order of the calls: cln_run_open(&job->run), cln_job_tune, cln_job_plan,
 * cln_job_begin, cln_job_train, cln_job_finish; cln_job_clear at any time. */
#ifndef CLN_JOB_H
#define CLN_JOB_H

#include "dataset.h"
#include "run.h"
#include "train.h"

typedef struct cln_job {
    cln_device *dev; /* these two are the caller's */
    const cln_dataset *data;
    cln_train_options options;
    bool small;      /* leaves JSON alone: no weights, no pictures, and no checkpoint when it is finished */
    cln_run run;
    cln_trainer *trainer;
    cln_metrics *metrics; /* of all epochs done */
    int n_metrics;
    char weights_sha256[65];
} cln_job;

/* A run that has a checkpoint and is to be resumed goes on with the algorithms and the images at a time that it was begun
 * with, whatever a tuning table says by now: the device uses them from here on. */
int cln_job_tune(cln_job *job, bool resume, cln_error *err);

/* Makes job->trainer. */
int cln_job_plan(cln_job *job, cln_error *err);

/* Goes on from the checkpoint where `resume` is set and there is one; else writes config.json and begins. */
int cln_job_begin(cln_job *job, bool resume, cln_error *err);

/* Who looks on; any may be NULL. Both functions return false to stop training: `progress` after the step, `epoch` after
 * what that epoch left is on the disk. */
typedef struct cln_job_watch {
    cln_progress_fn progress;
    bool (*epoch)(void *arg, const cln_metrics *m);
    void *arg;
} cln_job_watch;

/* Epoch after epoch, metrics and checkpoint saved after each. *stopped: it was stopped before the end of the run and the
 * state up to the last step is saved. */
int cln_job_train(cln_job *job, const cln_job_watch *watch, bool *stopped, cln_error *err);

/* Evaluates and leaves outcome.json, weights and pictures, and last of all summary.json: from then on the run counts as
 * finished. The texts in *out live as long as the job. */
int cln_job_finish(cln_job *job, cln_summary *out, cln_error *err);

void cln_job_clear(cln_job *job); /* frees the trainer, gives the lock back */

#endif
