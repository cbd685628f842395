/* Runs side by side: those that differ in the seed alone make a group, groups of one model that differ in the norm are
 * compared over the seeds that they share. The numbers behind `clnorm report`. */
#ifndef CLN_COMPARISON_H
#define CLN_COMPARISON_H

#include "result.h"
#include "statistics.h"

typedef struct cln_group {
    const cln_result **runs; /* owned list, borrowed runs; by seed, each once */
    int n;
    char label[80];          /* "BN", "GN-4", where need be with batch and model */
    const char *norm, *model; /* "bn", "s8" */
    int batch, groups;       /* groups: 0 for norms without */
    cln_stats test, train, best, flip, seconds, rate; /* of the last epoch, of the best one, of the last one with test-time
                                                       * flip, per epoch, images/s; the times of runs with compute_units, */
    int n_timed;                                      /* as many; of all where none has */
} cln_group;

/* Test accuracy of the last epoch, a less b, over the seeds of both. */
typedef struct cln_pair {
    const cln_group *a, *b; /* a has the higher mean */
    cln_stats_paired stats;
    double p;               /* after Holm's correction over all pairs of the comparison */
} cln_pair;

typedef struct cln_comparison {
    const cln_result *runs; /* borrowed */
    int n_runs;
    int compute_units;      /* of most runs; 0: none tells, or none had the same all the time */
    cln_group *groups;
    int n_groups;
    /* In each of these the groups stay in the order in which norms first came. */
    const cln_group **base; /* model by model, its groups at one batch and number of groups: 128 and 4 where it has such runs, */
    int n_base;             /* else those of most of its runs; at least one */
    int base_batch;         /* of the first model */
    bool several_models;
    cln_pair *pairs;        /* of base groups of one model */
    int n_pairs;
} cln_comparison;

/* Bounds: 4096 runs, 64 groups at the base. Two runs with the same settings and seed, or runs on different data, are
 * CLN_ERR_ARGUMENT. runs must outlive it; goes with clear. */
int cln_comparison_new(const cln_result *runs, int n, cln_comparison *out, cln_error *err);
void cln_comparison_clear(cln_comparison *c);

/* Whether b is the run of a with another batch (whose learning rate goes with it), or with another number of groups: all
 * else, but for seeds, is the same. True for a itself. */
bool cln_group_varies(const cln_group *a, const cln_group *b, bool groups);

/* Whether base[i] is the first of its model. */
bool cln_comparison_begins(const cln_comparison *c, int i);

/* Of a norm: "batch norm"; "BN". The word itself where it is none of ours. */
const char *cln_norm_long(const char *norm);
const char *cln_norm_short(const char *norm);

/* Its place in tables; behind all others where it is none of ours. */
int cln_norm_place(const char *norm);

/* Mean and spread of one metric over a group's runs at epoch 1, 2, ...: metric is an offset in cln_metrics. */
cln_stats cln_group_epoch(const cln_group *g, int epoch, size_t metric);
int cln_group_epochs(const cln_group *g);

#endif
