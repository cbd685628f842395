#include "comparison.h"

#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 4096, MAX_BASE = 64, BASE_BATCH = 128, BASE_GROUPS = 4 };

static const struct {
    const char *word, *brief, *full;
} norm_names[] = {{"bn", "BN", "batch norm"},    {"ln", "LN", "layer norm"}, {"gn", "GN", "group norm"},
                  {"in", "IN", "instance norm"}, {"none", "none", "no norm"}};

const char *cln_norm_long(const char *norm)
{
    for (size_t i = 0; i < sizeof norm_names / sizeof norm_names[0]; i++)
        if (strcmp(norm_names[i].word, norm) == 0)
            return norm_names[i].full;
    return norm;
}

int cln_norm_place(const char *norm)
{
    int i = 0;
    while (i < (int)(sizeof norm_names / sizeof norm_names[0]) && strcmp(norm_names[i].word, norm) != 0)
        i++;
    return i;
}

const char *cln_norm_short(const char *norm)
{
    for (size_t i = 0; i < sizeof norm_names / sizeof norm_names[0]; i++)
        if (strcmp(norm_names[i].word, norm) == 0)
            return norm_names[i].brief;
    return norm;
}

static int no_memory(cln_error *err) { return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to compare runs"); }

/* ---- groups -------------------------------------------------------------------------------------- */

static bool listed(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}

/* 0: not group norm. */
static int effective_groups(const cln_train_options *o)
{
    return strcmp(o->norm, "gn") != 0 ? 0 : o->groups ? o->groups : BASE_GROUPS;
}

/* Everything but the settings in `but`, whose end is NULL. */
static bool same_but(const cln_train_options *a, const cln_train_options *b, const char *const *but)
{
    for (const cln_field *f = cln_fields; f->name; f++) {
        const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
        if (listed(f->name, but))
            continue;
        if (strcmp(f->name, "groups") == 0 && effective_groups(a) == effective_groups(b))
            continue; /* with its default by name or without */
        if (f->kind == CLN_FIELD_TEXT ? strcmp(x, y) != 0 : memcmp(x, y, f->size) != 0)
            return false;
    }
    return true;
}

static bool same_settings(const cln_train_options *a, const cln_train_options *b)
{
    static const char *const but[] = {"seed", NULL};
    return same_but(a, b, but);
}

bool cln_group_varies(const cln_group *a, const cln_group *b, bool groups)
{
    static const char *const batches[] = {"seed", "batch", "lr", NULL}, *const counts[] = {"seed", "groups", NULL};
    return same_but(&a->runs[0]->options, &b->runs[0]->options, groups ? counts : batches);
}

static int by_seed(const void *a, const void *b)
{
    const uint32_t x = (*(const cln_result *const *)a)->options.seed, y = (*(const cln_result *const *)b)->options.seed;
    return (x > y) - (x < y);
}

static cln_stats stats_over(const cln_group *g, double (*value)(const cln_result *r))
{
    double list[MAX_RUNS];
    for (int i = 0; i < g->n; i++)
        list[i] = value(g->runs[i]);
    return cln_stats_of(list, g->n);
}

/* The part of the device that most runs had all the time; of equals that of the first; 0: none had one, or none tells. */
static int usual_units(const cln_result *runs, int n)
{
    int best = 0, most = 0;
    for (int i = 0; i < n; i++) {
        int count = 0;
        for (int k = 0; k < n; k++)
            count += runs[k].compute_units == runs[i].compute_units;
        if (runs[i].compute_units != CLN_UNITS_CHANGED && count > most) {
            most = count;
            best = runs[i].compute_units;
        }
    }
    return best;
}

/* Of the runs whose times compare. */
static cln_stats times_over(const cln_group *g, int units, double (*value)(const cln_result *r))
{
    double list[MAX_RUNS];
    int n = 0;
    for (int i = 0; i < g->n; i++)
        if (g->runs[i]->compute_units == units || g->n_timed == 0)
            list[n++] = value(g->runs[i]);
    return cln_stats_of(list, n);
}

static double test_of(const cln_result *r) { return r->test_acc; }
static double train_of(const cln_result *r) { return r->train_acc; }
static double best_of(const cln_result *r) { return r->best_test_acc; }
static double flip_of(const cln_result *r) { return r->test_acc_flip; }
static double rate_of(const cln_result *r) { return r->images_per_second; }
static double epoch_of(const cln_result *r) { return r->seconds / r->options.epochs; }

static int fill_group(cln_group *g, const cln_comparison *c, const cln_result *first, cln_error *err)
{
    g->runs = calloc((size_t)c->n_runs + 1, sizeof *g->runs);
    if (!g->runs)
        return no_memory(err);
    for (int i = 0; i < c->n_runs; i++)
        if (same_settings(&first->options, &c->runs[i].options))
            g->runs[g->n++] = &c->runs[i];
    qsort(g->runs, (size_t)g->n, sizeof *g->runs, by_seed);
    for (int i = 1; i < g->n; i++)
        if (g->runs[i]->options.seed == g->runs[i - 1]->options.seed)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s and %s are runs of the same settings and seed: name one of them",
                            g->runs[i - 1]->dir, g->runs[i]->dir);
    g->norm = first->options.norm;
    g->model = first->model;
    g->batch = first->options.batch;
    g->groups = effective_groups(&first->options);
    g->test = stats_over(g, test_of);
    g->train = stats_over(g, train_of);
    g->best = stats_over(g, best_of);
    g->flip = stats_over(g, flip_of);
    for (int i = 0; i < g->n; i++)
        g->n_timed += g->runs[i]->compute_units == c->compute_units;
    g->rate = times_over(g, c->compute_units, rate_of);
    g->seconds = times_over(g, c->compute_units, epoch_of);
    return CLN_OK;
}

static int make_groups(cln_comparison *c, cln_error *err)
{
    c->groups = calloc((size_t)c->n_runs + 1, sizeof *c->groups);
    if (!c->groups)
        return no_memory(err);
    for (int i = 0; i < c->n_runs; i++) {
        bool known = false;
        for (int k = 0; k < c->n_groups && !known; k++)
            known = same_settings(&c->groups[k].runs[0]->options, &c->runs[i].options);
        if (known)
            continue;
        int rc = fill_group(&c->groups[c->n_groups], c, &c->runs[i], err);
        c->n_groups++; /* its list is to be freed in any case */
        if (rc)
            return rc;
    }
    return CLN_OK;
}

/* ---- the base ------------------------------------------------------------------------------------ */

static int batch_of(const cln_group *g) { return g->batch; }
static int groups_of(const cln_group *g) { return g->groups; }

static bool belongs(const cln_group *g, const char *model, int batch)
{
    return strcmp(g->model, model) == 0 && (!batch || g->batch == batch);
}

/* Among a model's groups, at this batch unless it is 0: the preferred value where there are such runs, else that of most
 * runs and, of several, the largest. 0: not there. */
static int most_common(const cln_comparison *c, const char *model, int batch, int (*value)(const cln_group *g), int preferred)
{
    int best = 0, most = 0;
    for (int i = 0; i < c->n_groups; i++) {
        if (!belongs(&c->groups[i], model, batch))
            continue;
        const int candidate = value(&c->groups[i]);
        int n = 0;
        if (candidate == preferred)
            return preferred;
        for (int k = 0; k < c->n_groups && candidate; k++)
            n += belongs(&c->groups[k], model, batch) && value(&c->groups[k]) == candidate ? c->groups[k].n : 0;
        if (n > most || (n == most && candidate > best)) {
            most = n;
            best = candidate;
        }
    }
    return best;
}

/* Returns the model's batch. */
static int add_base(cln_comparison *c, const char *model)
{
    const int batch = most_common(c, model, 0, batch_of, BASE_BATCH);
    const int groups = most_common(c, model, batch, groups_of, BASE_GROUPS);
    for (int i = 0; i < c->n_groups; i++) {
        const cln_group *g = &c->groups[i];
        if (belongs(g, model, batch) && (!g->groups || g->groups == groups))
            c->base[c->n_base++] = g;
    }
    return batch;
}

static int list_base(cln_comparison *c, cln_error *err)
{
    c->base = calloc((size_t)c->n_groups + 1, sizeof *c->base);
    if (!c->base)
        return no_memory(err);
    for (int i = 0; i < c->n_groups; i++) {
        bool first = true;
        for (int k = 0; k < i && first; k++)
            first = strcmp(c->groups[k].model, c->groups[i].model) != 0;
        if (!first)
            continue;
        const int batch = add_base(c, c->groups[i].model);
        c->several_models = i > 0;
        c->base_batch = i > 0 ? c->base_batch : batch;
    }
    return c->n_base <= MAX_BASE ? CLN_OK
                                 : CLN_FAIL(err, CLN_ERR_ARGUMENT, "%d kinds of runs side by side: at most %d are compared",
                                            c->n_base, MAX_BASE);
}

bool cln_comparison_begins(const cln_comparison *c, int i)
{
    return i == 0 || strcmp(c->base[i]->model, c->base[i - 1]->model) != 0; /* they are listed model by model */
}

/* What tells a group from the others, beyond its norm; the batch where it is not that of the first model's base. */
static void make_labels(cln_comparison *c)
{
    for (int i = 0; i < c->n_groups; i++) {
        cln_group *g = &c->groups[i];
        char batch[24] = "", model[72] = "", number[16] = "";
        int alike = 1;
        for (int k = 0; k < i; k++) /* other settings, the same norm, batch and groups */
            alike += strcmp(c->groups[k].norm, g->norm) == 0 && strcmp(c->groups[k].model, g->model) == 0 &&
                     c->groups[k].batch == g->batch && c->groups[k].groups == g->groups;
        if (g->batch != c->base_batch)
            snprintf(batch, sizeof batch, ", batch %d", g->batch);
        if (c->several_models)
            snprintf(model, sizeof model, "%.30s, ", g->model);
        if (alike > 1)
            snprintf(number, sizeof number, " #%d", alike);
        if (g->groups)
            snprintf(g->label, sizeof g->label, "%s%s-%d%s%s", model, cln_norm_short(g->norm), g->groups, batch, number);
        else
            snprintf(g->label, sizeof g->label, "%s%s%s%s", model, cln_norm_short(g->norm), batch, number);
    }
}

/* ---- pairs --------------------------------------------------------------------------------------- */

static cln_stats_paired compare(const cln_group *a, const cln_group *b)
{
    double x[MAX_RUNS], y[MAX_RUNS];
    int n = 0;
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < b->n; k++)
            if (a->runs[i]->options.seed == b->runs[k]->options.seed) {
                x[n] = a->runs[i]->test_acc;
                y[n++] = b->runs[k]->test_acc;
            }
    return cln_stats_pairs(x, y, n);
}

static int make_pairs(cln_comparison *c, cln_error *err)
{
    const size_t most = (size_t)c->n_base * (size_t)c->n_base / 2 + 1;
    c->pairs = calloc(most, sizeof *c->pairs);
    double *p = calloc(most, sizeof *p);
    if (!c->pairs || !p) {
        free(p);
        return no_memory(err);
    }
    for (int i = 0; i < c->n_base; i++)
        for (int k = i + 1; k < c->n_base; k++) {
            const cln_group *x = c->base[i], *y = c->base[k];
            if (!x || !y || strcmp(x->model, y->model) != 0)
                continue;
            const bool first = x->test.mean >= y->test.mean;
            c->pairs[c->n_pairs] = first ? (cln_pair){x, y, compare(x, y), NAN} : (cln_pair){y, x, compare(y, x), NAN};
            p[c->n_pairs] = c->pairs[c->n_pairs].stats.p;
            c->n_pairs++;
        }
    const int rc = cln_stats_holm(p, c->n_pairs, p, err);
    for (int i = 0; i < c->n_pairs && !rc; i++)
        c->pairs[i].p = p[i];
    free(p);
    return rc;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

int cln_comparison_new(const cln_result *runs, int n, cln_comparison *out, cln_error *err)
{
    cln_comparison c = {.runs = runs, .n_runs = n};
    if (n < 1 || n > MAX_RUNS)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%d finished runs: 1 to %d can be reported", n, MAX_RUNS);
    for (int i = 1; i < n; i++)
        if (strcmp(runs[i].data_sha256, runs[0].data_sha256) != 0)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s and %s are runs on different data: report them apart", runs[0].dir,
                            runs[i].dir);
        else if (runs[i].options.val_split != runs[0].options.val_split)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s and %s were tested on different images (--val %d and %d): report them apart",
                            runs[0].dir, runs[i].dir, runs[0].options.val_split, runs[i].options.val_split);
    c.compute_units = usual_units(runs, n);
    int rc = make_groups(&c, err);
    if (!rc)
        rc = list_base(&c, err);
    if (!rc) {
        make_labels(&c);
        rc = make_pairs(&c, err);
    }
    if (rc)
        cln_comparison_clear(&c);
    else
        *out = c;
    return rc;
}

void cln_comparison_clear(cln_comparison *c)
{
    for (int i = 0; i < c->n_groups; i++)
        free((void *)c->groups[i].runs);
    free(c->groups);
    free((void *)c->base);
    free(c->pairs);
    memset(c, 0, sizeof *c);
}

/* ---- epochs -------------------------------------------------------------------------------------- */

int cln_group_epochs(const cln_group *g) { return g->runs[0]->n_metrics; } /* result.c: as many as the settings say */

cln_stats cln_group_epoch(const cln_group *g, int epoch, size_t metric)
{
    double list[MAX_RUNS];
    for (int i = 0; i < g->n; i++)
        memcpy(&list[i], (const char *)&g->runs[i]->metrics[epoch - 1] + metric, sizeof list[i]);
    return cln_stats_of(list, g->n);
}
