/* Many runs that go on where they were stopped: what clnorm study and clnorm lr-find share. The process of the command plans
 * and looks on; those of its crew train. */
#ifndef CLN_CLI_RUNS_H
#define CLN_CLI_RUNS_H

#include "../job.h"
#include "../study.h"
#include "crew.h"

enum { CLN_RUNS_OPTIONS = 80 };

typedef struct cln_runs {
    /* from the command line */
    const char *data_path, *device, *out;
    bool plan_only, quiet, allow_failing;
    int jobs; /* runs at a time; 0: as suits the device, and never more than are left once set up */
    cln_given given[CLN_RUNS_OPTIONS]; /* settings of clnorm train, for all runs */
    int n_given;
    cln_dataset *data;
    cln_study *study; /* made by the command, between cln_runs_data and cln_runs_set_up */
    cln_board *board;
    int whole; /* jobs of the first crew, once there is one */
    int done, diverged;
    bool bar; /* stderr is a terminal that wants one */
    /* in a process that trains */
    cln_member *self;
    cln_device *dev;
    cln_job job;
} cln_runs;

/* A command's own part of its command line. Lists end with NULL. */
typedef struct cln_runs_command {
    const char *word;
    void (*print_help)(void);
    const char *const *axes;  /* its options that take a value */
    const char *const *fixed; /* settings of clnorm train that the axes stand for */
    int (*set_axis)(void *axes, int axis, const char *text, cln_error *err); /* axis: which of them */
} cln_runs_command;

/* -1: go on; else the exit status. *out keeps pointers into argv. */
int cln_runs_parse(int argc, char **argv, const cln_runs_command *command, void *axes, cln_runs *out, cln_error *err);

/* " --epochs --lr ...": what else the command takes, for its help. */
void cln_runs_print_settings(const char *const *fixed);

/* Opens the data; the study's folder: --out, else PARENT/MODEL. */
int cln_runs_data(cln_runs *s, cln_error *err);
void cln_runs_folder(const cln_runs *s, const char *parent, const char *model, char dir[CLN_PATH_MAX]);

/* Looks which runs are done and, in a process of its own, at the device; unless quiet it measures there how long the others
 * will take. Then board->device is the device's name. */
int cln_runs_set_up(cln_runs *s, cln_error *err);

/* Trains whatever is not done, `jobs` runs at a time; those that are under way when no other is left share the cores anew, and
 * `jobs` says how many they are. A run that diverges is counted and keeps no other from running. */
int cln_runs_train(cln_runs *s, bool *interrupted, cln_error *err);

/* Seconds until all is done, once set up. */
double cln_runs_left(const cln_runs *s);

void cln_runs_close(cln_runs *s);

#endif
