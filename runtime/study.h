/* A study: the same network trained with each norm from several seeds, and the sweeps around it. A folder holds study.json
 * and a run's folder for each. Runs of one seed share initial weights where shapes agree, order of images and augmentation,
 * whatever their norm: differences between norms are paired.
 *
 * The sweeps are no grid: they go out from one base point. Its batch is 128 and its number of groups 4 where the lists have
 * them, else the first in the list; its model is the first. Every model runs at the base, other batches and groups with
 * the first model. */
#ifndef CLN_STUDY_H
#define CLN_STUDY_H

#include "dataset.h"
#include "file.h"
#include "lock.h"
#include "options.h"

#define CLN_STUDY_FILE "study.json"
enum { CLN_STUDY_MODELS = 8, CLN_STUDY_NORMS = 8, CLN_STUDY_VALUES = 16, CLN_STUDY_MAX_SEEDS = 100 };

typedef struct cln_study_axes {
    char models[CLN_STUDY_MODELS][1024];
    cln_norm_name norms[CLN_STUDY_NORMS];
    int batches[CLN_STUDY_VALUES], groups[CLN_STUDY_VALUES];
    int n_models, n_norms, n_batches, n_groups;
    int seeds;              /* 1, 2, ..., seeds */
    const cln_given *given; /* settings of all runs in place of the norms' defaults; borrowed */
    int n_given;
} cln_study_axes;

/* CLN_NET_DEFAULT; bn, ln, gn; batch 128; 4 groups; 5 seeds. */
void cln_study_defaults(cln_study_axes *out);

typedef struct cln_study_run {
    char name[128];            /* of its folder: "s8-gn4-b128-s1" */
    cln_train_options options;
    int point;                 /* which of base and sweep points; runs that differ in the seed share it */
    bool done;
    int epochs_done;           /* of an unfinished run that has a checkpoint */
    double seconds;            /* that it took or, an estimate, will take in all; NAN: unknown */
} cln_study_run;

typedef struct cln_study {
    char dir[CLN_PATH_MAX];
    cln_study_run *runs; /* in the order in which they are to run: base before sweeps, norms innermost */
    int n_runs;
    json_t *settings;    /* what study.json holds */
    cln_lock lock;       /* of dir, while its runs are trained */
} cln_study;

/* Plans the runs; nothing is written. The learning rate goes with the batch: in proportion to it for SGD (Goyal et al. 2017),
 * to its root for AdamW and Muon, from what it is at 128. CLN_ERR_ARGUMENT, CLN_ERR_MODEL: a value that does not fit. *out goes
 * with cln_study_free. */
int cln_study_new(const cln_study_axes *axes, const char *dir, const cln_dataset *data, cln_study **out, cln_error *err);
void cln_study_free(cln_study *study);

/* Compares with the folder's study.json, if there is one: CLN_ERR_EXISTS names what differs. Then looks which runs are done
 * or begun and how long the done ones took; one that an earlier look found done stays so. Changes nothing. CLN_ERR_DATA and
 * others: what is there is damaged. */
int cln_study_look(cln_study *study, cln_error *err);

/* Makes the folder and study.json where they are not there, and locks the folder until cln_study_free. CLN_ERR_BUSY:
 * another process trains these runs. */
int cln_study_begin(cln_study *study, cln_error *err);

/* DIR/name of a run. */
int cln_study_path(const cln_study *study, const cln_study_run *run, char path[CLN_PATH_MAX], cln_error *err);

/* Whether they take the same time, as far as can be told: of one norm and point, they differ in the seed or, in a search, in
 * the optimizer and its rate. */
bool cln_study_alike(const cln_study_run *a, const cln_study_run *b);

/* Sets `seconds` of runs that are not done to the mean of those that are and are alike, where there are any. */
void cln_study_expect(cln_study *study);

/* Seconds that a run with these settings will take, from two short epochs on a few batches of the data. */
int cln_study_measure(cln_device *dev, const cln_dataset *data, const cln_train_options *options, double *seconds,
                      cln_error *err);

/* Seconds that are left, without runs of unknown length. */
double cln_study_left(const cln_study *study);

#endif
