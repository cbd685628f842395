/* Many runs, one after the other, that go on where they were stopped: what clnorm study and clnorm lr-find share. */
#ifndef CLN_CLI_RUNS_H
#define CLN_CLI_RUNS_H

#include "../job.h"
#include "../study.h"

typedef struct cln_runs {
    /* from the command line */
    const char *data_path, *device, *out;
    bool plan_only, quiet, allow_failing;
    cln_dataset *data;
    cln_study *study; /* made by the command, between cln_runs_data and cln_runs_set_up */
    cln_device *dev;
    cln_job job;
    const cln_study_run *run; /* that is under way */
    int number, done, diverged;
    bool bar; /* stderr is a terminal that wants one */
} cln_runs;

/* Opens the data; the study's folder: --out, else PARENT/MODEL. */
int cln_runs_data(cln_runs *s, cln_error *err);
void cln_runs_folder(const cln_runs *s, const char *parent, const char *model, char dir[CLN_PATH_MAX]);

/* Looks which runs are done, opens the device and, unless quiet, measures how long the others will take. */
int cln_runs_set_up(cln_runs *s, cln_error *err);

/* Trains whatever is not done. A run that diverges is counted and keeps no other from running. */
int cln_runs_train(cln_runs *s, bool *interrupted, cln_error *err);

void cln_runs_close(cln_runs *s);

#endif
