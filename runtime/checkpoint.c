#include "checkpoint.h"

#include "dataset.h"
#include "file.h"
#include "json.h"
#include "options.h"
#include "utf8.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "clnorm checkpoint 1"

/* ---- between the device's layout and PyTorch's --------------------------------------------------- */

/* Where PyTorch keeps value i of a parameter, and the shape it gives it. */
static int torch_dims(const cln_param *p, int64_t dims[4])
{
    for (int i = 0; i < p->rank; i++)
        dims[i] = p->dims[i];
    if (p->rank == 4) { /* [ky][kx][in][out] -> [out][in][ky][kx] */
        const int64_t o[4] = {p->dims[3], p->dims[2], p->dims[0], p->dims[1]};
        memcpy(dims, o, sizeof o);
    } else if (p->rank == 2) {
        dims[0] = p->dims[1];
        dims[1] = p->dims[0];
    }
    return p->rank;
}

static size_t torch_index(const cln_param *p, const cln_layer *layer, size_t i)
{
    if (p->rank == 4) {
        const size_t co = (size_t)p->dims[3], ci = (size_t)p->dims[2], kx = (size_t)p->dims[1], ky = (size_t)p->dims[0];
        const size_t o = i % co, c = i / co % ci, x = i / co / ci % kx, y = i / co / ci / kx;
        return ((o * ci + c) * ky + y) * kx + x;
    }
    if (p->rank == 2) { /* the input was flattened as H, W, C; PyTorch flattens C, H, W */
        const size_t out = (size_t)p->dims[1], c = (size_t)layer->in[0].c, pixels = (size_t)p->dims[0] / c;
        const size_t o = i % out, in = i / out;
        return o * (size_t)p->dims[0] + in % c * pixels + in / c;
    }
    return i;
}

static float *slot_values(const cln_slot *slot, float *weights, float *states)
{
    return (slot->state ? states : weights) + slot->offset;
}

/* ---- export, import ------------------------------------------------------------------------------ */

/* Of the norm that the network was built with, its default resolved; 0: that norm has none. */
static int groups_of(const cln_net *net)
{
    int groups = 0;
    return sscanf(net->norm, "%*s groups=%d", &groups) == 1 ? groups : 0;
}

/* Numbers in checkpoints and models are the C locale's, whatever locale a program has that embeds the library. */
typedef struct numbers {
    locale_t plain, before;
} numbers;

static numbers begin_numbers(void)
{
    numbers n = {.plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0)};
    if (n.plain)
        n.before = uselocale(n.plain);
    return n;
}

static void end_numbers(numbers n)
{
    if (!n.plain)
        return;
    uselocale(n.before);
    freelocale(n.plain);
}

static int add_model_meta(cln_st_file *st, const cln_trainer *t, cln_error *err)
{
    const cln_dataset *d = t->data;
    const cln_net *net = t->net;
    char classes[16], groups[16], input[48], scale[256];
    size_t at = 0;
    snprintf(classes, sizeof classes, "%d", net->classes);
    snprintf(groups, sizeof groups, "%d", groups_of(net));
    snprintf(input, sizeof input, "%dx%dx%d", net->input.h, net->input.w, net->input.c);
    const numbers n = begin_numbers();
    for (int i = 0; i < d->c; i++)
        at += (size_t)snprintf(scale + at, sizeof scale - at, "%s%.9g %.9g", i ? " " : "", (double)d->mean[i],
                               (double)d->std[i]);
    end_numbers(n);
    const char *pairs[][2] = {{"format", "pt"},          {"clnorm.version", CLNORM_VERSION},
                              {"clnorm.model", net->name}, {"clnorm.net", net->text},
                              {"clnorm.norm", t->options.norm}, {"clnorm.groups", groups},
                              {"clnorm.classes", classes}, {"clnorm.input_hwc", input},
                              {"clnorm.mean_std", scale}};
    int rc = CLN_OK;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && !rc; i++)
        rc = cln_st_add_meta(st, pairs[i][0], pairs[i][1], err);
    return rc;
}

int cln_trainer_export(cln_trainer *t, const char *path, cln_error *err)
{
    cln_state s = {0};
    cln_st_file st = {0};
    int rc = cln_state_get(t, &s, err);
    if (!rc)
        rc = add_model_meta(&st, t, err);
    for (int i = 0; i < t->plan->n_slots && !rc; i++) {
        const cln_slot *slot = &t->plan->slots[i];
        int64_t dims[4];
        const int rank = torch_dims(&slot->param, dims);
        rc = cln_st_add(&st, slot->name, CLN_ST_F32, dims, rank, NULL, err);
        float *to = rc ? NULL : st.tensors[st.n_tensors - 1].data;
        const float *from = s.average ? slot_values(slot, s.average, s.average_states) : slot_values(slot, s.weights, s.states);
        for (size_t k = 0; !rc && k < slot->count; k++)
            to[torch_index(&slot->param, &t->net->layers[slot->layer], k)] = from[k];
    }
    if (!rc)
        rc = cln_st_write(&st, path, err);
    cln_st_clear(&st);
    cln_state_clear(&s);
    return rc;
}

static bool has_slot(const cln_plan *plan, const char *name)
{
    for (int i = 0; i < plan->n_slots; i++)
        if (strcmp(plan->slots[i].name, name) == 0)
            return true;
    return false;
}

/* What the network has no place for, the counters of PyTorch's batch norms aside: it is another one. */
static int expect_no_more(const cln_plan *plan, const cln_st_file *st, cln_error *err)
{
    for (int i = 0; i < st->n_tensors; i++) {
        const char *name = st->tensors[i].name, *last = strrchr(name, '.');
        if (!has_slot(plan, name) && !(last && strcmp(last, ".num_batches_tracked") == 0))
            return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s belongs to another model: %s with %s has no '%s'",
                            st->path ? st->path : "model", plan->net->name, plan->net->norm, name);
    }
    return CLN_OK;
}

int cln_weights_import(cln_plan *plan, const cln_st_file *st, cln_error *err)
{
    float *weights = calloc(plan->n_weights + 1, sizeof *weights), *states = calloc(plan->n_states + 1, sizeof *states);
    int rc = weights && states ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while loading weights");
    for (int i = 0; i < plan->n_slots && !rc; i++) {
        const cln_slot *slot = &plan->slots[i];
        const cln_st_tensor *from = NULL;
        int64_t dims[4];
        const int rank = torch_dims(&slot->param, dims);
        rc = cln_st_expect(st, slot->name, CLN_ST_F32, dims, rank, &from, err);
        float *to = slot_values(slot, weights, states);
        for (size_t k = 0; !rc && k < slot->count; k++)
            to[k] = ((const float *)from->data)[torch_index(&slot->param, &plan->net->layers[slot->layer], k)];
    }
    if (!rc)
        rc = expect_no_more(plan, st, err);
    if (!rc && plan->n_weights)
        rc = cln_tensor_write(plan->dev, plan->weights, 0, weights, plan->n_weights * sizeof *weights, err);
    if (!rc && plan->n_states)
        rc = cln_tensor_write(plan->dev, plan->states, 0, states, plan->n_states * sizeof *states, err);
    free(weights);
    free(states);
    return rc;
}

/* Weights of layer norm fit group norm, and those of batch norm fit both: the shapes alone do not tell. A file
 * of another program's has no such keys. */
static int check_model(const cln_trainer *t, const cln_st_file *st, const char *path, cln_error *err)
{
    const char *net = cln_st_find_meta(st, "clnorm.net"), *norm = cln_st_find_meta(st, "clnorm.norm");
    const char *groups = cln_st_find_meta(st, "clnorm.groups");
    if (net && strcmp(net, t->net->text))
        return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s holds the weights of another network than %s", path, t->net->name);
    if ((norm && strcmp(norm, t->options.norm)) || (groups && atoi(groups) != groups_of(t->net)))
        return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s was trained with another norm (%s, groups %s) than this network's %s",
                        path, norm ? norm : "?", groups ? groups : "?", t->net->norm);
    return CLN_OK;
}

int cln_trainer_import(cln_trainer *t, const char *path, cln_error *err)
{
    cln_st_file st = {0};
    int rc = cln_st_read(&st, path, err);
    if (!rc)
        rc = check_model(t, &st, path, err);
    if (!rc)
        rc = cln_weights_import(t->plan, &st, err);
    if (!rc && t->average)
        rc = cln_average_start(t->average, t->plan, err);
    cln_st_clear(&st);
    return rc;
}

static int bad_info(const cln_st_file *st, const char *key, cln_error *err)
{
    return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s: \"%s\" is missing or malformed: not a model that clnorm exported",
                    st->path ? st->path : "model", key);
}

bool cln_model_info_in(const cln_st_file *st)
{
    return cln_st_find_meta(st, "clnorm.net") != NULL;
}

static bool read_scale(const char *at, cln_model_info *out)
{
    const numbers n = begin_numbers();
    bool good = true;
    for (int i = 0; i < out->input.c && good; i++) {
        int used = 0;
        good = sscanf(at, "%f %f%n", &out->mean[i], &out->std[i], &used) == 2 && isfinite(out->mean[i]) &&
               isfinite(out->std[i]) && out->std[i] > 0;
        at += good ? used : 0;
    }
    end_numbers(n);
    return good;
}

int cln_model_info_read(const cln_st_file *st, cln_model_info *out, cln_error *err)
{
    const char *keys[] = {"clnorm.model", "clnorm.net",      "clnorm.norm",    "clnorm.groups", "clnorm.classes",
                          "clnorm.input_hwc", "clnorm.mean_std"};
    const char *v[7];
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 7; i++)
        if (!(v[i] = cln_st_find_meta(st, keys[i])))
            return bad_info(st, keys[i], err);
    snprintf(out->name, sizeof out->name, "%s", v[0]);
    if (cln_has_control(out->name)) /* it is printed */
        return bad_info(st, keys[0], err);
    out->text = (char *)v[1];
    snprintf(out->norm, sizeof out->norm, "%s", v[2]);
    out->groups = atoi(v[3]);
    out->classes = atoi(v[4]);
    out->input.n = 1;
    if (out->groups < 0 || out->classes < 1 || out->classes > 1024)
        return bad_info(st, out->groups < 0 ? keys[3] : keys[4], err);
    if (sscanf(v[5], "%dx%dx%d", &out->input.h, &out->input.w, &out->input.c) != 3 || out->input.h < 1 ||
        out->input.w < 1 || out->input.c < 1 || out->input.h > 512 || out->input.w > 512 || out->input.c > 4)
        return bad_info(st, keys[5], err);
    return read_scale(v[6], out) ? CLN_OK : bad_info(st, keys[6], err);
}

/* ---- checkpoints --------------------------------------------------------------------------------- */

/* Everything that must be the same for a resumed run to be the same run. malloc'ed; NULL: out of memory. */
static char *identity(const cln_trainer *t)
{
    json_t *json = cln_options_to_json(&t->options);
    char *plan = cln_plan_describe(t->plan), *text = NULL;
    if (json && plan && !json_object_set_new(json, "plan", json_string(plan)) &&
        !json_object_set_new(json, "net", json_string(t->net->text)) &&
        !json_object_set_new(json, "data", json_string(t->data->digest)) &&
        (!t->plan->dev->info.simulated[0] ||
         !json_object_set_new(json, "simulated", json_string(t->plan->dev->info.simulated))))
        text = cln_json_dump(json, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(json);
    free(plan);
    return text;
}

/* Calls `visit` for each parameter's and state's arrays: name in the file, values, shape. */
typedef int (*visit_fn)(cln_st_file *st, const char *name, const cln_param *p, float *values, cln_error *err);

static int visit_all(const cln_trainer *t, cln_state *s, cln_st_file *st, visit_fn visit, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < t->plan->n_slots && !rc; i++) {
        const cln_slot *slot = &t->plan->slots[i];
        const struct {
            const char *prefix;
            float *values;
        } list[] = {{"model", slot_values(slot, s->weights, s->states)},
                    {"optim.m", slot->state ? NULL : s->m + slot->offset},
                    {"optim.v", slot->state || !s->v ? NULL : s->v + slot->offset},
                    {"ema", s->average ? slot_values(slot, s->average, s->average_states) : NULL}};
        for (int k = 0; k < 4 && !rc; k++) {
            char name[80];
            snprintf(name, sizeof name, "%s.%s", list[k].prefix, slot->name);
            if (list[k].values)
                rc = visit(st, name, &slot->param, list[k].values, err);
        }
    }
    return rc;
}

static void device_dims(const cln_param *p, int64_t dims[4])
{
    for (int i = 0; i < p->rank; i++)
        dims[i] = p->dims[i];
}

static int put(cln_st_file *st, const char *name, const cln_param *p, float *values, cln_error *err)
{
    int64_t dims[4];
    device_dims(p, dims);
    return cln_st_add(st, name, CLN_ST_F32, dims, p->rank, values, err);
}

static int take(cln_st_file *st, const char *name, const cln_param *p, float *values, cln_error *err)
{
    int64_t dims[4];
    const cln_st_tensor *from;
    device_dims(p, dims);
    int rc = cln_st_expect(st, name, CLN_ST_F32, dims, p->rank, &from, err);
    if (!rc)
        memcpy(values, from->data, from->bytes);
    return rc;
}

int cln_trainer_save(cln_trainer *t, const char *path, cln_error *err)
{
    cln_state s = {0};
    cln_st_file st = {0};
    const int64_t four = 4;
    char epoch[16], step[16], seconds[40];
    char *same = identity(t);
    int rc = same ? cln_state_get(t, &s, err) : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while saving");
    snprintf(epoch, sizeof epoch, "%d", t->epoch);
    snprintf(step, sizeof step, "%d", t->step);
    const numbers n = begin_numbers();
    snprintf(seconds, sizeof seconds, "%a", t->seconds);
    end_numbers(n);
    const char *pairs[][2] = {{"format", FORMAT}, {"identity", same}, {"epoch", epoch}, {"step", step}, {"seconds", seconds}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && !rc; i++)
        rc = cln_st_add_meta(&st, pairs[i][0], pairs[i][1], err);
    if (!rc)
        rc = visit_all(t, &s, &st, put, err);
    if (!rc)
        rc = cln_st_add(&st, "train.totals", CLN_ST_F32, &four, 1, &s.totals, err);
    if (!rc)
        rc = cln_st_write(&st, path, err);
    cln_st_clear(&st);
    cln_state_clear(&s);
    free(same);
    return rc;
}

static int check_identity(const cln_trainer *t, const cln_st_file *st, const char *path, cln_error *err)
{
    const char *format = cln_st_find_meta(st, "format"), *theirs = cln_st_find_meta(st, "identity");
    if (!format || strcmp(format, FORMAT) || !theirs)
        return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s is not a checkpoint of this version of clnorm", path);
    char *ours = identity(t);
    if (!ours)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while loading a checkpoint");
    const bool same = strcmp(ours, theirs) == 0;
    free(ours);
    if (same)
        return CLN_OK;
    return CLN_FAIL(err, CLN_ERR_CHECKPOINT,
                    "%s belongs to another run: its settings, network, data or kernels (the device's) differ from these; go on "
                    "with those that it began with, or remove its folder to begin it again", path);
}

static int read_counters(const cln_trainer *t, const cln_st_file *st, cln_state *s, const char *path, cln_error *err)
{
    const char *epoch = cln_st_find_meta(st, "epoch"), *step = cln_st_find_meta(st, "step");
    const char *seconds = cln_st_find_meta(st, "seconds");
    const int64_t four = 4;
    const cln_st_tensor *totals;
    s->epoch = epoch ? atoi(epoch) : -1;
    s->step = step ? atoi(step) : -1;
    const numbers n = begin_numbers();
    s->seconds = seconds ? strtod(seconds, NULL) : -1;
    end_numbers(n);
    if (s->epoch < 0 || s->epoch > t->options.epochs || s->step < 0 || s->step > t->steps || !(s->seconds >= 0))
        return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s: epoch, step or seconds are out of range", path);
    int rc = cln_st_expect(st, "train.totals", CLN_ST_F32, &four, 1, &totals, err);
    if (!rc)
        memcpy(&s->totals, totals->data, sizeof s->totals);
    return rc;
}

int cln_trainer_load(cln_trainer *t, const char *path, cln_error *err)
{
    cln_st_file st = {0};
    cln_state s = {0};
    int rc = cln_st_read(&st, path, err);
    if (!rc)
        rc = check_identity(t, &st, path, err);
    if (!rc) /* arrays of the right sizes, to be filled from the file */
        rc = cln_state_get(t, &s, err);
    if (!rc)
        rc = visit_all(t, &s, &st, take, err);
    if (!rc)
        rc = read_counters(t, &st, &s, path, err);
    if (!rc)
        rc = cln_state_set(t, &s, err);
    cln_st_clear(&st);
    cln_state_clear(&s);
    return rc;
}

int cln_trainer_weights_sha256(cln_trainer *t, char hex[65], cln_error *err)
{
    cln_state s = {0};
    size_t total = 0, at = 0;
    for (int i = 0; i < t->plan->n_slots; i++)
        total += t->plan->slots[i].count * (t->average ? 2 : 1);
    float *all = malloc(total * sizeof *all + 1);
    int rc = cln_state_get(t, &s, err);
    if (!rc && !all)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while hashing the weights");
    for (int i = 0; i < t->plan->n_slots && !rc; i++) {
        const cln_slot *slot = &t->plan->slots[i];
        memcpy(all + at, slot_values(slot, s.weights, s.states), slot->count * sizeof *all);
        at += slot->count;
    }
    for (int i = 0; i < t->plan->n_slots && !rc && t->average; i++) {
        const cln_slot *slot = &t->plan->slots[i];
        memcpy(all + at, slot_values(slot, s.average, s.average_states), slot->count * sizeof *all);
        at += slot->count;
    }
    if (!rc)
        rc = cln_sha256_hex(all, total * sizeof *all, hex, err);
    free(all);
    cln_state_clear(&s);
    return rc;
}
