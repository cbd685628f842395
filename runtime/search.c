#include "search.h"

#include "json.h"
#include "net.h"
#include "result.h"
#include "statistics.h"
#include "train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "clnorm lr-find 1"

void cln_search_defaults(cln_search_axes *out)
{
    static const char *const norms[] = {"bn", "ln", "gn"};
    *out = (cln_search_axes){.n_norms = 3, .seeds = 1, .n_rates = {6, 6, 6}};
    strcpy(out->model, CLN_NET_DEFAULT);
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++)
        strcpy(out->norms[i], norms[i]);
    for (int i = 0; i < 6; i++) {
        out->rates[CLN_OPTIMIZER_SGD][i] = 0.025 * (1 << i);
        out->rates[CLN_OPTIMIZER_ADAMW][i] = 0.001 * (1 << i);
        out->rates[CLN_OPTIMIZER_MUON][i] = 0.01 * (1 << i);
    }
}

/* ---- the plan ------------------------------------------------------------------------------------ */

static int options_of(const cln_search_axes *a, const char *norm, cln_optimizer optimizer, size_t held, cln_train_options *o,
                      cln_error *err)
{
    char val[32];
    cln_given list[96] = {{cln_field_find("norm"), norm}, {cln_field_find("optimizer"), cln_optimizer_words[optimizer]},
                          {cln_field_find("epochs"), "5"}, {cln_field_find("val"), val}};
    int n = 4;
    snprintf(val, sizeof val, "%zu", held);
    if (a->n_given > (int)(sizeof list / sizeof list[0]) - n)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%d settings are too many", a->n_given);
    for (int i = 0; i < a->n_given; i++)
        list[n++] = a->given[i];
    int rc = cln_options_resolve(list, n, o, err);
    if (!rc && o->val_split < 1)
        rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "--val: at least one training image must be held out: rates are not chosen on the test set");
    snprintf(o->model, sizeof o->model, "%s", a->model);
    return rc;
}

static int add_runs(cln_study *s, const cln_search_axes *a, const cln_dataset *data, const char *net,
                    const cln_train_options *o, cln_error *err)
{
    for (int i = 0; i < a->n_rates[o->optimizer]; i++)
        for (int seed = 1; seed <= a->seeds; seed++) {
            cln_study_run *run = &s->runs[s->n_runs++];
            *run = (cln_study_run){.options = *o, .seconds = NAN};
            run->options.lr = a->rates[o->optimizer][i];
            run->options.seed = (uint32_t)seed;
            snprintf(run->name, sizeof run->name, "%.60s-%s-%s-lr%g-s%d", net, o->norm,
                     cln_optimizer_words[o->optimizer], run->options.lr, seed);
            const int rc = cln_train_check(&run->options, data, err);
            if (rc)
                return rc;
        }
    return CLN_OK;
}

/* Of all optimisers. */
static int rates_of(const cln_search_axes *a)
{
    int n = 0;
    for (int k = 0; k < CLN_SEARCH_OPTIMIZERS; k++)
        n += a->n_rates[k];
    return n;
}

/* Runs would share a folder. */
static bool one_name(double a, double b)
{
    char x[32], y[32];
    snprintf(x, sizeof x, "%g", a);
    snprintf(y, sizeof y, "%g", b);
    return strcmp(x, y) == 0;
}

static int check_rates(const cln_search_axes *a, cln_error *err)
{
    if (rates_of(a) == 0)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--sgd, --adamw, --muon: no learning rate to try");
    for (int k = 0; k < CLN_SEARCH_OPTIMIZERS; k++)
        for (int i = 1; i < a->n_rates[k]; i++)
            if (!(a->rates[k][i] > a->rates[k][i - 1]) || one_name(a->rates[k][i], a->rates[k][i - 1]))
                return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: learning rates must ascend, within their first six digits",
                                cln_optimizer_words[k]);
    return CLN_OK;
}

/* All settings of the norms, and the network's text. */
static int describe(cln_study *s, const cln_search_axes *a, const cln_dataset *data, const cln_net *net, json_t *recipes,
                    cln_error *err)
{
    json_t *rates[CLN_SEARCH_OPTIMIZERS];
    for (int k = 0; k < CLN_SEARCH_OPTIMIZERS; k++) {
        rates[k] = json_array();
        for (int i = 0; i < a->n_rates[k]; i++)
            rates[k] = cln_json_append(rates[k], json_real(a->rates[k][i]));
    }
    s->settings = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:i, s:o, s:o}", "format", FORMAT, "version", CLNORM_VERSION,
                            "data_sha256", data->digest, "data", cln_run_text(data->name), "sgd", rates[0], "adamw", rates[1],
                            "muon", rates[2], "seeds", a->seeds, "recipes", recipes, "net", cln_run_text(net->text));
    return s->settings ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the plan of a search");
}

static int plan_runs(cln_study *s, const cln_search_axes *a, const cln_dataset *data, cln_error *err)
{
    json_t *recipes = json_object();
    cln_net *net = NULL;
    int rc = CLN_OK;
    for (int i = 0; i < a->n_norms && !rc; i++)
        for (int k = 0; k < CLN_SEARCH_OPTIMIZERS && !rc; k++) {
            cln_train_options o;
            char name[32];
            rc = options_of(a, a->norms[i], (cln_optimizer)k, data->n_train / 10, &o, err);
            cln_net_free(net);
            net = NULL;
            if (!rc)
                rc = cln_net_load(o.model, o.norm, o.groups, data->classes, (cln_shape){o.batch, data->h, data->w, data->c}, &net,
                                  err);
            if (rc)
                break;
            snprintf(name, sizeof name, "%s %s", o.norm, cln_optimizer_words[k]);
            rc = add_runs(s, a, data, net->name, &o, err);
            if (!rc && json_object_set_new(recipes, name, cln_options_to_json(&o)))
                rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the plan of a search");
        }
    if (!rc && net)
        rc = describe(s, a, data, net, recipes, err);
    else
        json_decref(recipes);
    cln_net_free(net);
    return rc;
}

int cln_search_new(const cln_search_axes *a, const char *dir, const cln_dataset *data, cln_study **out, cln_error *err)
{
    int rc = check_rates(a, err);
    if (rc)
        return rc;
    cln_study *s = calloc(1, sizeof *s);
    if (s)
        s->runs = calloc((size_t)a->n_norms * (size_t)rates_of(a) * (size_t)a->seeds + 1, sizeof *s->runs);
    if (!s || !s->runs)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the plan of a search");
    if (!rc)
        rc = cln_path_join(s->dir, sizeof s->dir, "", dir, err);
    if (!rc)
        rc = plan_runs(s, a, data, err);
    if (rc)
        cln_study_free(s);
    else
        *out = s;
    return rc;
}

/* ---- the outcome --------------------------------------------------------------------------------- */

static bool same_point(const cln_train_options *a, const cln_train_options *b)
{
    return strcmp(a->norm, b->norm) == 0 && a->optimizer == b->optimizer && a->lr == b->lr;
}

static int read_row(const cln_study *s, int first, cln_search_row *row, cln_error *err)
{
    double acc[CLN_STUDY_MAX_SEEDS];
    int rc = CLN_OK;
    for (int i = first; i < first + row->runs && !rc; i++) {
        char dir[CLN_PATH_MAX];
        cln_result result = {0};
        if (!s->runs[i].done)
            continue;
        rc = cln_study_path(s, &s->runs[i], dir, err);
        if (!rc)
            rc = cln_result_read(dir, &result, err);
        if (!rc)
            acc[row->done++] = result.test_acc;
        cln_result_clear(&result);
    }
    const cln_stats stats = cln_stats_of(acc, rc ? 0 : row->done);
    row->acc = stats.mean;
    row->sd = stats.sd;
    return rc;
}

static void mark(cln_search_row *rows, int n)
{
    for (int i = 0; i < n; i++) {
        const cln_train_options *o = rows[i].options;
        bool best = rows[i].done == rows[i].runs && !isnan(rows[i].acc);
        for (int k = 0; k < n && best; k++)
            if (strcmp(rows[k].options->norm, o->norm) == 0 && rows[k].done == rows[k].runs)
                best = !(k < i && rows[k].acc == rows[i].acc) && !(rows[k].acc > rows[i].acc);
        rows[i].best = best;
        rows[i].edge = true;
        if (i > 0 && i + 1 < n)
            rows[i].edge = rows[i - 1].options->optimizer != o->optimizer || strcmp(rows[i - 1].options->norm, o->norm) != 0 ||
                           rows[i + 1].options->optimizer != o->optimizer || strcmp(rows[i + 1].options->norm, o->norm) != 0;
    }
}

int cln_search_rows(const cln_study *s, cln_search_row **out, int *n, cln_error *err)
{
    cln_search_row *rows = calloc((size_t)s->n_runs + 1, sizeof *rows);
    int count = 0, rc = rows ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the table of a search");
    for (int i = 0; i < s->n_runs && !rc;) {
        cln_search_row *row = &rows[count++];
        row->options = &s->runs[i].options;
        while (i + row->runs < s->n_runs && same_point(row->options, &s->runs[i + row->runs].options))
            row->runs++;
        rc = read_row(s, i, row, err);
        i += row->runs;
    }
    if (rc) {
        free(rows);
        return rc;
    }
    mark(rows, count);
    *out = rows;
    *n = count;
    return CLN_OK;
}
