#include "study.h"

#include "json.h"
#include "json_reader.h"
#include "net.h"
#include "result.h"
#include "train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE_BATCH = 128, BASE_GROUPS = 4, MAX_FILE = 1 << 20, DIGITS = 15 };
#define FORMAT "clnorm study 1"

void cln_study_defaults(cln_study_axes *out)
{
    static const char *const norms[] = {"bn", "ln", "gn"};
    *out = (cln_study_axes){.n_models = 1, .n_norms = 3, .n_batches = 1, .n_groups = 1, .seeds = 5};
    strcpy(out->models[0], CLN_NET_DEFAULT);
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++)
        strcpy(out->norms[i], norms[i]);
    out->batches[0] = BASE_BATCH;
    out->groups[0] = BASE_GROUPS;
}

/* ---- the plan ------------------------------------------------------------------------------------ */

static int base_of(const int *list, int n, int wanted)
{
    for (int i = 0; i < n; i++)
        if (list[i] == wanted)
            return wanted;
    return list[0];
}

static bool has_groups(const char *norm)
{
    const cln_op *op = cln_op_find(norm);
    for (const cln_attr *a = op ? op->attrs : NULL; a && a->name; a++)
        if (strcmp(a->name, "groups") == 0)
            return true;
    return false;
}

/* Six digits, so that what is read back from JSON is the same number. */
static double scaled_rate(const cln_train_options *o)
{
    char text[32];
    const double scale = (double)o->batch / BASE_BATCH;
    snprintf(text, sizeof text, "%.6g", o->lr * (o->optimizer == CLN_OPTIMIZER_SGD ? scale : sqrt(scale)));
    return o->batch == BASE_BATCH ? o->lr : strtod(text, NULL);
}

typedef struct point {
    const char *model;
    int batch, groups;
    bool groups_only; /* of the sweep of groups: norms without groups have run already */
} point;

static int list_points(const cln_study_axes *a, point *out)
{
    const int batch = base_of(a->batches, a->n_batches, BASE_BATCH), groups = base_of(a->groups, a->n_groups, BASE_GROUPS);
    int n = 0;
    for (int i = 0; i < a->n_models; i++)
        out[n++] = (point){a->models[i], batch, groups, false};
    for (int i = 0; i < a->n_batches; i++)
        if (a->batches[i] != batch)
            out[n++] = (point){a->models[0], a->batches[i], groups, false};
    for (int i = 0; i < a->n_groups; i++)
        if (a->groups[i] != groups)
            out[n++] = (point){a->models[0], batch, a->groups[i], true};
    return n;
}

static int options_of(const cln_study_axes *a, const point *p, const char *norm, cln_train_options *o, cln_error *err)
{
    cln_given list[96] = {{cln_field_find("norm"), norm}};
    int n = 1;
    if (a->n_given > (int)(sizeof list / sizeof list[0]) - n)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%d settings are too many", a->n_given);
    for (int i = 0; i < a->n_given; i++)
        list[n++] = a->given[i];
    int rc = cln_options_resolve(list, n, o, err);
    if (rc)
        return rc;
    snprintf(o->model, sizeof o->model, "%s", p->model);
    o->batch = p->batch;
    o->groups = has_groups(norm) ? p->groups : 0;
    o->lr = scaled_rate(o);
    return CLN_OK;
}

/* All seeds of a point with one norm, `step` apart in the list. */
static int add_runs(cln_study *s, const cln_study_axes *a, int at, int step, const point *p, int number, const char *norm,
                    const cln_dataset *data, cln_error *err)
{
    cln_train_options o;
    cln_net *net = NULL;
    char label[24];
    int rc = options_of(a, p, norm, &o, err);
    if (!rc)
        rc = cln_train_check(&o, data, err);
    if (!rc)
        rc = cln_net_load(o.model, o.norm, o.groups, data->classes, (cln_shape){o.batch, data->h, data->w, data->c}, &net,
                          err);
    if (rc)
        return rc;
    if (o.groups)
        snprintf(label, sizeof label, "%.12s%d", norm, o.groups);
    else
        snprintf(label, sizeof label, "%.12s", norm);
    for (int i = 0; i < a->seeds; i++) {
        cln_study_run *run = &s->runs[at + i * step];
        *run = (cln_study_run){.options = o, .point = number, .seconds = NAN};
        run->options.seed = (uint32_t)i + 1;
        snprintf(run->name, sizeof run->name, "%.60s-%s-b%d-s%d", net->name, label, o.batch, i + 1);
    }
    cln_net_free(net);
    return CLN_OK;
}

static int plan_runs(cln_study *s, const cln_study_axes *a, const cln_dataset *data, cln_error *err)
{
    point points[CLN_STUDY_MODELS + 2 * CLN_STUDY_VALUES];
    const int n = list_points(a, points);
    s->runs = calloc((size_t)n * (size_t)a->n_norms * (size_t)a->seeds + 1, sizeof *s->runs);
    if (!s->runs)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the plan of a study");
    for (int i = 0; i < n; i++) {
        int norms = 0, first = s->n_runs, rc;
        for (int k = 0; k < a->n_norms; k++)
            norms += !points[i].groups_only || has_groups(a->norms[k]);
        for (int k = 0; k < a->n_norms; k++) {
            if (points[i].groups_only && !has_groups(a->norms[k]))
                continue;
            if ((rc = add_runs(s, a, first++, norms, &points[i], i, a->norms[k], data, err)) != 0)
                return rc;
        }
        s->n_runs += norms * a->seeds;
    }
    for (int i = 0; i < s->n_runs; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(s->runs[i].name, s->runs[k].name) == 0)
                return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--models: two runs would be called %s: two models have one name",
                                s->runs[i].name);
    return CLN_OK;
}

/* ---- study.json ---------------------------------------------------------------------------------- */

static json_t *texts(const char *list, size_t size, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        array = cln_json_append(array, cln_run_text(list + (size_t)i * size));
    return array;
}

static json_t *numbers(const int *list, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        array = cln_json_append(array, json_integer(list[i]));
    return array;
}

/* Of each norm, all settings at the base, and of each model the network's text: what was default then may have changed. */
static int add_recipes(json_t *settings, const cln_study *s, const cln_study_axes *a, const cln_dataset *data, cln_error *err)
{
    json_t *recipes = json_object(), *nets = json_object();
    bool whole = true;
    int rc = CLN_OK;
    for (int i = 0; i < a->n_norms; i++)
        whole = json_object_set_new(recipes, a->norms[i], cln_options_to_json(&s->runs[i].options)) == 0 && whole;
    for (int i = 0; i < a->n_models && !rc; i++) {
        cln_net *net = NULL;
        rc = cln_net_load(a->models[i], a->norms[0], s->runs[0].options.groups, data->classes,
                          (cln_shape){1, data->h, data->w, data->c}, &net, err);
        whole = !rc && json_object_set_new(nets, net->name, cln_run_text(net->text)) == 0 && whole;
        cln_net_free(net);
    }
    whole = json_object_set_new(settings, "recipes", recipes) == 0 && whole;
    whole = json_object_set_new(settings, "nets", nets) == 0 && whole;
    return rc || whole ? rc : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the plan of a study");
}

static int describe(cln_study *s, const cln_study_axes *a, const cln_dataset *data, cln_error *err)
{
    s->settings = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i}", "format", FORMAT, "version",
                            CLNORM_VERSION, "data_sha256", data->digest, "data", cln_run_text(data->name), "models",
                            texts(a->models[0], sizeof a->models[0], a->n_models), "norms",
                            texts(a->norms[0], sizeof a->norms[0], a->n_norms), "batches", numbers(a->batches, a->n_batches),
                            "groups", numbers(a->groups, a->n_groups), "seeds", a->seeds);
    return s->settings ? add_recipes(s->settings, s, a, data, err)
                       : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the plan of a study");
}

int cln_study_new(const cln_study_axes *axes, const char *dir, const cln_dataset *data, cln_study **out, cln_error *err)
{
    cln_study *s = calloc(1, sizeof *s);
    if (!s)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the plan of a study");
    int rc = cln_path_join(s->dir, sizeof s->dir, "", dir, err);
    if (!rc)
        rc = cln_option_distinct("batches", axes->batches, axes->n_batches, err);
    if (!rc)
        rc = cln_option_distinct("groups", axes->groups, axes->n_groups, err);
    if (!rc)
        rc = plan_runs(s, axes, data, err);
    if (!rc)
        rc = describe(s, axes, data, err);
    if (rc)
        cln_study_free(s);
    else
        *out = s;
    return rc;
}

void cln_study_free(cln_study *s)
{
    if (!s)
        return;
    cln_lock_drop(&s->lock);
    json_decref(s->settings);
    free(s->runs);
    free(s);
}

/* The first value that differs, its keys in `what`. Numbers are compared as they are printed. */
static bool find_difference(const json_t *here, const json_t *there, char *what, size_t size, char *values, size_t room)
{
    const size_t n = strlen(what);
    const char *key;
    json_t *value;
    if (json_is_object(here) && json_is_object(there)) {
        json_object_foreach((json_t *)here, key, value) {
            snprintf(what + n, size - n, "%s%s", n ? " " : "", key);
            if (strcmp(key, "version") && find_difference(value, json_object_get(there, key), what, size, values, room))
                return true;
        }
        return false;
    }
    char *a = there ? cln_json_dump(there, JSON_ENCODE_ANY | JSON_REAL_PRECISION(DIGITS)) : strdup("nothing: begun by a version of clnorm without it");
    char *b = cln_json_dump(here, JSON_ENCODE_ANY | JSON_REAL_PRECISION(DIGITS));
    const bool differ = !a || !b || strcmp(a, b) != 0;
    if (differ && a && b && strlen(a) + strlen(b) < 200)
        snprintf(values, room, " (%s there, %s here)", a, b);
    free(a);
    free(b);
    return differ;
}

static int compare_settings(const cln_study *s, const char *path, cln_error *err)
{
    char what[256] = "", values[512] = "";
    cln_reader r = {.path = path, .place = "file", .err = err};
    json_t *there = cln_reader_open(&r, MAX_FILE);
    if (!r.rc && find_difference(s->settings, there, what, sizeof what, values, sizeof values))
        r.rc = CLN_FAIL(err, CLN_ERR_EXISTS, "%s holds a study with other settings: %s%s; choose another --out", s->dir, what,
                        values);
    json_decref(there);
    return r.rc;
}

/* ---- what is there ------------------------------------------------------------------------------- */

int cln_study_path(const cln_study *s, const cln_study_run *run, char path[CLN_PATH_MAX], cln_error *err)
{
    return cln_path_join(path, CLN_PATH_MAX, s->dir, run->name, err);
}

/* A finished run counts if it is this one, and not another that somebody put in its place. */
static int look_at_done(cln_study_run *run, const char *dir, cln_error *err)
{
    char what[256] = "", values[512] = "";
    cln_result result = {0};
    int rc = cln_result_read(dir, &result, err);
    if (rc)
        return rc;
    json_t *here = cln_options_to_json(&run->options), *there = cln_options_to_json(&result.options);
    if (!here || !there)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to look at %s", dir);
    else if (find_difference(here, there, what, sizeof what, values, sizeof values))
        rc = CLN_FAIL(err, CLN_ERR_EXISTS, "%s holds a finished run with other settings: %s%s; remove it, or choose another --out",
                      dir, what, values);
    run->done = !rc;
    run->seconds = rc ? run->seconds : result.seconds;
    json_decref(here);
    json_decref(there);
    cln_result_clear(&result);
    return rc;
}

static int look_at_run(const cln_study *s, cln_study_run *run, cln_error *err)
{
    char dir[CLN_PATH_MAX], path[CLN_PATH_MAX];
    cln_metrics *metrics;
    if (run->done)
        return CLN_OK;
    int rc = cln_study_path(s, run, dir, err);
    run->epochs_done = 0;
    if (rc || cln_result_there(dir))
        return rc ? rc : look_at_done(run, dir, err);
    rc = cln_path_join(path, sizeof path, dir, CLN_RUN_CHECKPOINT, err);
    if (rc || !cln_file_exists(path))
        return rc;
    rc = cln_path_join(path, sizeof path, dir, CLN_RUN_METRICS, err);
    if (!rc && cln_file_exists(path) && cln_metrics_read(path, &metrics, &run->epochs_done, NULL) == 0)
        free(metrics); /* a damaged file is the run's to complain of */
    return rc;
}

int cln_study_look(cln_study *s, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_path_join(path, sizeof path, s->dir, CLN_STUDY_FILE, err);
    if (!rc && cln_file_exists(path))
        rc = compare_settings(s, path, err);
    for (int i = 0; i < s->n_runs && !rc; i++)
        rc = look_at_run(s, &s->runs[i], err);
    if (!rc)
        cln_study_expect(s);
    return rc;
}

int cln_study_begin(cln_study *s, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_dir_make(s->dir, err);
    if (!rc)
        rc = cln_lock_take(&s->lock, s->dir, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, s->dir, CLN_STUDY_FILE, err);
    if (!rc && !cln_file_exists(path))
        rc = cln_json_write(path, s->settings, err);
    return rc;
}

/* ---- how long ------------------------------------------------------------------------------------ */

bool cln_study_alike(const cln_study_run *a, const cln_study_run *b)
{
    return a->point == b->point && strcmp(a->options.norm, b->options.norm) == 0;
}

void cln_study_expect(cln_study *s)
{
    for (int i = 0; i < s->n_runs; i++) {
        double sum = 0;
        int n = 0;
        for (int k = 0; k < s->n_runs; k++)
            if (s->runs[k].done && cln_study_alike(&s->runs[i], &s->runs[k])) {
                sum += s->runs[k].seconds;
                n++;
            }
        if (!s->runs[i].done && n > 0)
            s->runs[i].seconds = sum / n;
    }
}

int cln_study_measure(cln_device *dev, const cln_dataset *data, const cln_train_options *options, double *seconds,
                      cln_error *err)
{
    enum { BATCHES = 8 };
    const size_t some = BATCHES * (size_t)options->batch, held = (size_t)options->val_split;
    const size_t tested = held ? held : data->n_test, rest = data->n_train - held;
    const size_t trained = options->limit && (size_t)options->limit < rest ? (size_t)options->limit : rest;
    cln_dataset few = *data; /* borrows all arrays */
    cln_train_options o = *options;
    cln_trainer *t = NULL;
    cln_metrics m = {0};
    few.n_train = trained < some ? trained : some;
    few.n_test = data->n_test < some ? data->n_test : some;
    o.epochs = 2; /* the first one warms up */
    o.limit = o.val_split = 0;
    o.lr = 1e-4;
    int rc = cln_trainer_new(dev, &few, &o, &t, err);
    for (int i = 0; i < o.epochs && !rc; i++)
        rc = cln_trainer_epoch(t, NULL, NULL, &m, NULL, err);
    if (!rc) {
        const double training = (double)few.n_train / m.images_per_second;
        *seconds = options->epochs * ((double)trained / m.images_per_second +
                                      (m.seconds - training) * (double)tested / (double)few.n_test);
    }
    cln_trainer_free(t);
    return rc;
}

double cln_study_left(const cln_study *s)
{
    double left = 0;
    for (int i = 0; i < s->n_runs; i++) {
        const cln_study_run *run = &s->runs[i];
        if (!run->done && !isnan(run->seconds))
            left += run->seconds * (1 - (double)run->epochs_done / run->options.epochs);
    }
    return left;
}
