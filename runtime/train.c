#include "train.h"

#include "clock.h"
#include "dataset.h"
#include "init.h"
#include "options.h"
#include "philox.h"
#include "safetensors.h"
#include "tuning.h"
#include "utf8.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ------------------------------------------------------------------------------------ */

int cln_train_check(const cln_train_options *o, const cln_dataset *data, cln_error *err)
{
    const struct {
        const char *name;
        double value, min, max;
    } list[] = {{"epochs", o->epochs, 1, 100000},         {"batch", o->batch, 1, CLN_MAX_BATCH},
                {"micro-batch", o->micro_batch, 0, CLN_MAX_BATCH},
                {"lr", o->lr, 0, 1000},                   {"warmup", o->warmup, 0, 1},
                {"momentum", o->momentum, 0, 0.99999},    {"beta2", o->beta2, 0, 0.999999},
                {"weight-decay", o->weight_decay, 0, 10}, {"label-smoothing", o->label_smoothing, 0, 0.9},
                {"shift", o->shift, 0, (data->w < data->h ? data->w : data->h) - 1},
                {"groups", o->groups, 0, 65536},          {"val", o->val_split, 0, (double)data->n_train - 1},
                {"limit", o->limit, 0, 1e9},
                {"ema", o->ema, 0, 0.999999},             {"norm-lr", o->norm_lr, 0, 1000},
                {"cutout", o->cutout, 0, 65536},          {"mixup", o->mixup, 0, 1},
                {"optimizer", (double)o->optimizer, 0, CLN_OPTIMIZER_MUON},
                {"schedule", (double)o->schedule, 0, CLN_SCHEDULE_CONSTANT},
                {"act", (double)o->act, 0, CLN_ACT_GELU}, {"init", (double)o->init, 0, CLN_INITIAL_DIRAC},
                {"flip", (double)o->flip, 0, CLN_FLIP_ALTERNATING},
                {"class", o->kernel_class, 0, CLN_CLASS_SIMT}, {"conv", o->conv, -1, CLN_CONV_ALGOS - 1}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (!(list[i].value >= list[i].min && list[i].value <= list[i].max)) /* a NaN fails, too */
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s is %g: it must be from %g to %g", list[i].name, list[i].value,
                            list[i].min, list[i].max);
    if (!cln_utf8(o->model))
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "model: %s is not UTF-8, in which a run's files name it", o->model);
    if (cln_has_control(o->model) || cln_has_control(data->source)) /* cln_reader_text refuses them */
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "the path of the %s holds a control character, which cannot stand in a run's files: "
                        "rename it", cln_has_control(o->model) ? "network" : "data");
    const double rest = (double)data->n_train - o->val_split, trained = o->limit && o->limit < rest ? o->limit : rest;
    const double steps = o->epochs * ceil(trained / o->batch);
    if (steps > INT_MAX)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "epochs is %d: %.0f steps in all are more than the %d that can be counted",
                        o->epochs, steps, INT_MAX);
    return CLN_OK;
}

double cln_train_lr(const cln_train_options *o, int step, int total)
{
    const double at = total > 1 ? (double)step / total : 0.0;
    switch (o->schedule) {
    case CLN_SCHEDULE_ONECYCLE: /* a tenth -> peak -> a thousandth, straight lines (Smith 2018) */
        if (at < o->warmup)
            return o->lr * (0.1 + 0.9 * at / o->warmup);
        return o->lr * (1.0 - 0.999 * (at - o->warmup) / (1.0 - o->warmup + 1e-12));
    case CLN_SCHEDULE_COSINE:
        return o->lr * 0.5 * (1.0 + cos(3.14159265358979 * at));
    case CLN_SCHEDULE_STEP: /* a tenth at half of the run, a hundredth at three quarters */
        return o->lr * (at < 0.5 ? 1.0 : at < 0.75 ? 0.1 : 0.01);
    default:
        return o->lr;
    }
}

/* ---- making and freeing -------------------------------------------------------------------------- */

/* That are trained on. */
static int images_of(const cln_trainer *t)
{
    const int rest = (int)t->data->n_train - t->options.val_split;
    return t->options.limit && t->options.limit < rest ? t->options.limit : rest;
}

static int new_feeds(cln_trainer *t, cln_error *err)
{
    const cln_dataset *d = t->data;
    const size_t image = (size_t)d->c * (size_t)d->h * (size_t)d->w;
    const int held = t->options.val_split, rest = (int)d->n_train - held, n = images_of(t);
    int rc = cln_feed_new(t->dev, d->train_x, d->train_y, n, d->c, d->h, d->w, d->mean, d->std, &t->train, err);
    if (!rc && held)
        rc = cln_feed_new(t->dev, d->train_x + (size_t)rest * image, d->train_y + rest, held, d->c, d->h, d->w, d->mean,
                          d->std, &t->test, err);
    else if (!rc)
        rc = cln_feed_new(t->dev, d->test_x, d->test_y, (int)d->n_test, d->c, d->h, d->w, d->mean, d->std, &t->test, err);
    t->steps = rc ? 0 : cln_div_up(t->train->n, t->options.batch);
    return rc;
}

int cln_train_images(cln_device *dev, const cln_net *net, const cln_train_options *o, int *images, cln_error *err)
{
    const cln_tune_request request = {(cln_class)o->kernel_class, o->conv};
    const cln_layer *whole = NULL;
    int rc = cln_tuning_load(dev, err);
    if (rc)
        return rc;
    for (int i = 0; i < net->n_layers && !whole; i++)
        whole = net->layers[i].op->whole_batch ? &net->layers[i] : NULL;
    if (o->micro_batch && o->micro_batch < o->batch && whole)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "micro-batch is %d: layer %d (%s) takes its statistics over the whole batch of %d; use a norm "
                        "within the image, or a smaller batch", o->micro_batch, whole->index, whole->op->word, o->batch);
    *images = whole             ? o->batch
              : !o->micro_batch ? cln_tune_micro(dev, &request, cln_net_macs(net), o->batch)
              : o->micro_batch < o->batch ? o->micro_batch : o->batch;
    return CLN_OK;
}

int cln_train_net(const cln_train_options *o, cln_shape input, int classes, cln_net **net, cln_error *err)
{
    cln_net_free(*net);
    *net = NULL;
    const cln_op *norm = cln_op_find(o->norm);
    const bool within = norm && norm->params && !norm->whole_batch; /* its statistics are those of an image */
    const cln_net_variant variant = {.act = cln_act_words[o->act == CLN_ACT_AUTO ? CLN_ACT_SILU : o->act],
                                     .act_needed = o->act != CLN_ACT_AUTO,
                                     .ws = o->ws && within};
    return cln_net_load_as(o->model, &variant, o->norm, o->groups, classes, input, net, err);
}

/* For batches of `images`. */
static int load_net(cln_trainer *t, int images, cln_error *err)
{
    const cln_shape input = {images, t->data->h, t->data->w, t->data->c};
    return cln_train_net(&t->options, input, t->data->classes, &t->net, err);
}

/* A checkpoint that could not be written is to be known of before the first epoch. */
static int check_size(const cln_trainer *t, cln_error *err)
{
    const int averages = t->options.ema > 0, moments = t->options.optimizer == CLN_OPTIMIZER_ADAMW ? 2 : 1;
    const double bytes = sizeof(float) * ((double)t->plan->n_weights * (1 + moments + averages) +
                                          (double)t->plan->n_states * (1 + averages));
    return bytes <= CLN_ST_MAX_FILE - CLN_ST_MAX_HEADER
               ? CLN_OK
               : CLN_FAIL(err, CLN_ERR_MODEL, "%s: a checkpoint of %zu weights would have %.0f MiB, more than the %d that it may "
                          "have; use a smaller network", t->net->name, t->plan->n_weights, bytes / (1 << 20),
                          (CLN_ST_MAX_FILE - CLN_ST_MAX_HEADER) >> 20);
}

static int new_plan(cln_trainer *t, cln_error *err)
{
    const cln_train_options *o = &t->options;
    int rc = load_net(t, o->batch, err);
    if (!rc && t->net)
        rc = cln_train_images(t->dev, t->net, o, &t->micro, err);
    if (!rc && t->micro < o->batch)
        rc = load_net(t, t->micro, err);
    const cln_plan_options p = {.tune = {(cln_class)o->kernel_class, o->conv}, .fuse = o->fuse};
    if (!rc)
        rc = cln_plan_new(t->dev, t->net, &p, &t->plan, err);
    if (!rc)
        rc = check_size(t, err);
    if (!rc)
        rc = cln_plan_init(t->plan, o->seed, err);
    if (!rc && o->init == CLN_INITIAL_DIRAC)
        rc = cln_init_dirac(t->plan, err);
    if (!rc && o->whiten)
        rc = cln_init_whiten(t->plan, t->data, (size_t)images_of(t), err);
    if (!rc)
        rc = cln_optim_new(t->plan, o->optimizer, t->micro < o->batch, &t->optim, err);
    if (!rc && o->ema > 0)
        rc = cln_average_new(t->plan, &t->average, err);
    return rc;
}

/* An epoch's last batch may be a single image. That batch norm cannot do with it is to be known before the first. */
static int check_batches(const cln_trainer *t, cln_error *err)
{
    const int left = t->train->n % t->options.batch, least = left ? left : t->options.batch;
    for (int i = 0; i < t->net->n_layers; i++) {
        const cln_layer *l = &t->net->layers[i];
        if (l->op->whole_batch && (double)least * l->in[0].h * l->in[0].w <= 1)
            return CLN_FAIL(err, CLN_ERR_MODEL, "batch norm (layer %d) needs more than one value per channel in training, but the last "
                            "batch of %d images has one image: use another batch or another norm", i, t->train->n);
    }
    return CLN_OK;
}

int cln_trainer_new(cln_device *dev, const cln_dataset *data, const cln_train_options *options, cln_trainer **out,
                    cln_error *err)
{
    *out = NULL;
    int rc = cln_train_check(options, data, err);
    if (rc)
        return rc;
    cln_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    t->dev = dev;
    t->data = data;
    t->options = *options;
    rc = new_plan(t, err);
    if (!rc)
        rc = new_feeds(t, err);
    if (!rc)
        rc = check_batches(t, err);
    if (!rc)
        rc = cln_loss_new(dev, t->micro, data->classes, t->test->n, t->plan->nodes[0].tune.local, &t->loss, err);
    if (!rc)
        rc = cln_state_get(t, &t->start, err);
    if (rc) {
        cln_trainer_free(t);
        return rc;
    }
    *out = t;
    return CLN_OK;
}

void cln_trainer_free(cln_trainer *t)
{
    if (!t)
        return;
    cln_device_finish(t->dev, NULL);
    cln_state_clear(&t->start);
    cln_feed_free(t->train);
    cln_feed_free(t->test);
    cln_loss_free(t->loss);
    cln_optim_free(t->optim);
    cln_average_free(t->average);
    cln_plan_free(t->plan);
    cln_net_free(t->net);
    free(t);
}

int cln_trainer_epochs_done(const cln_trainer *t) { return t->epoch; }
size_t cln_trainer_param_count(const cln_trainer *t) { return cln_net_param_count(t->net); }

/* ---- state --------------------------------------------------------------------------------------- */

void cln_state_clear(cln_state *s)
{
    free(s->weights);
    free(s->m);
    free(s->v);
    free(s->states);
    free(s->average);
    free(s->average_states);
    memset(s, 0, sizeof *s);
}

static int read_floats(cln_trainer *t, cln_tensor from, size_t count, float **out, cln_error *err)
{
    if (!*out && !(*out = calloc(count ? count : 1, sizeof **out)))
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while saving the training state");
    return count ? cln_tensor_read(t->dev, from, 0, *out, count * sizeof **out, err) : CLN_OK;
}

int cln_state_get(cln_trainer *t, cln_state *s, cln_error *err)
{
    int bad = -1;
    s->n_weights = t->plan->n_weights;
    s->n_states = t->plan->n_states;
    s->epoch = t->epoch;
    s->step = t->step;
    s->seconds = t->seconds;
    int rc = read_floats(t, t->plan->weights, s->n_weights, &s->weights, err);
    if (!rc)
        rc = read_floats(t, t->optim->m, s->n_weights, &s->m, err);
    if (!rc && t->optim->v.mem)
        rc = read_floats(t, t->optim->v, s->n_weights, &s->v, err);
    if (!rc)
        rc = read_floats(t, t->plan->states, s->n_states, &s->states, err);
    if (!rc && t->average)
        rc = read_floats(t, t->average->weights, s->n_weights, &s->average, err);
    if (!rc && t->average)
        rc = read_floats(t, t->average->states, s->n_states, &s->average_states, err);
    if (!rc)
        rc = cln_loss_read(t->loss, &s->totals, &bad, err);
    return rc;
}

static int write_floats(cln_trainer *t, cln_tensor to, size_t count, const float *values, cln_error *err)
{
    return count ? cln_tensor_write(t->dev, to, 0, values, count * sizeof *values, err) : CLN_OK;
}

int cln_state_set(cln_trainer *t, const cln_state *s, cln_error *err)
{
    int rc = write_floats(t, t->plan->weights, s->n_weights, s->weights, err);
    if (!rc)
        rc = write_floats(t, t->optim->m, s->n_weights, s->m, err);
    if (!rc && t->optim->v.mem)
        rc = write_floats(t, t->optim->v, s->n_weights, s->v, err);
    if (!rc)
        rc = write_floats(t, t->plan->states, s->n_states, s->states, err);
    if (!rc && t->average)
        rc = write_floats(t, t->average->weights, s->n_weights, s->average, err);
    if (!rc && t->average)
        rc = write_floats(t, t->average->states, s->n_states, s->average_states, err);
    if (!rc)
        rc = cln_loss_reset(t->loss, &s->totals, err);
    if (!rc) {
        t->epoch = s->epoch;
        t->step = s->step;
        t->seconds = s->seconds;
    }
    return rc;
}

/* ---- a step, an epoch ---------------------------------------------------------------------------- */

double cln_train_mix_weight(double alpha, uint32_t seed, uint32_t epoch, uint32_t step)
{
    enum { ATTEMPTS = 1000 };
    for (uint32_t i = 1; i <= ATTEMPTS; i++) {
        const cln_philox r = cln_philox4x32(step, epoch, i, CLN_STREAM_MIX, seed, 0);
        const double a = pow((r.v[0] + 1.0) / 4294967296.0, 1 / alpha), b = pow((r.v[1] + 1.0) / 4294967296.0, 1 / alpha);
        if (a + b > 0 && a + b <= 1)
            return fmax(a, b) / (a + b);
    }
    return 1.0; /* alpha is so small that both underflow */
}

cln_slice cln_train_slice(const cln_trainer *t, int epoch, int step, int part)
{
    const cln_train_options *o = &t->options;
    const int first = step * o->batch, left = t->train->n - first, all = left < o->batch ? left : o->batch;
    const int parts = cln_div_up(o->batch, t->micro), base = part * t->micro, rest = all - base;
    const int n = rest < t->micro ? rest : t->micro;
    const double weight = o->mixup > 0 ? cln_train_mix_weight(o->mixup, o->seed, (uint32_t)epoch, (uint32_t)step) : 1.0;
    const cln_philox r = cln_philox4x32((uint32_t)step, (uint32_t)epoch, 0, CLN_STREAM_MIX, o->seed, 0);
    const int other = (int)cln_random_below(r.v[0], (uint32_t)(t->train->n - all + 1)); /* where the others begin */
    return (cln_slice){.base = first + base, .n = n > 0 ? n : 0, .of = all,
                       .augment = {o->flip, o->shift, o->seed, (uint32_t)epoch, o->cutout},
                       .weight = weight, .other = other + base,
                       .pass = {n, true, o->seed, ((uint32_t)(epoch * t->steps + step) * (uint32_t)parts + (uint32_t)part), 0, part > 0}};
}

int cln_train_gather(cln_trainer *t, const cln_slice *s, cln_error *err)
{
    int rc = cln_feed_batch(t->train, s->base, s->n, &s->augment, t->plan->input, t->loss->labels, err);
    if (!rc && s->weight < 1.0)
        rc = cln_feed_mix(t->train, s->other, s->n, &s->augment, s->weight, t->plan->input, t->loss->others, err);
    return rc;
}

int cln_train_enqueue(cln_trainer *t, int epoch, int step, cln_error *err)
{
    const cln_train_options *o = &t->options;
    const int done = epoch * t->steps + step, total = o->epochs * t->steps;
    const cln_optim_rates rates = {cln_train_lr(o, done, total), o->norm_lr, o->momentum, o->weight_decay, o->beta2,
                                   1e-8, o->nesterov, (uint32_t)done + 1};
    int rc = CLN_OK;
    cln_slice s = cln_train_slice(t, epoch, step, 0);
    for (int part = 0; s.n > 0 && !rc; s = cln_train_slice(t, epoch, step, ++part)) {
        rc = cln_train_gather(t, &s, err);
        t->loss->share = s.weight;
        if (!rc)
            rc = cln_plan_forward(t->plan, &s.pass, err);
        if (!rc)
            rc = cln_loss_run(t->loss, t->plan->logits, t->plan->dlogits, s.n, s.of, o->label_smoothing, 0, step, err);
        t->loss->share = 1.0;
        if (!rc)
            rc = cln_plan_backward(t->plan, &s.pass, err);
        if (!rc)
            rc = cln_optim_add(t->optim, t->plan, part == 0, err);
    }
    if (!rc)
        rc = cln_optim_step(t->optim, t->plan, &rates, err);
    return rc || !t->average ? rc : cln_average_add(t->average, t->plan, o->ema, rates.t, err);
}

int cln_trainer_touch(cln_trainer *t, cln_error *err)
{
    const cln_slice s = cln_train_slice(t, 0, 0, 0);
    int rc = cln_plan_touch(t->plan, &s.pass, err);
    if (!rc)
        rc = cln_train_gather(t, &s, err);
    return rc ? rc : cln_device_finish(t->dev, err);
}

/* What the caller is told while an epoch runs. The totals are read twice a second, not at each step. */
typedef struct report {
    cln_progress_fn fn;
    void *arg;
    cln_progress progress;
    double began, before, shown; /* before: seconds spent on this epoch in an earlier process */
} report;

static int tell(cln_trainer *t, report *r, bool *go_on, int *bad, cln_error *err)
{
    const double time = cln_now();
    *go_on = true;
    if (!r->fn)
        return CLN_OK;
    if (time - r->shown >= 0.5) {
        cln_totals totals;
        int rc = cln_loss_read(t->loss, &totals, bad, err);
        if (rc)
            return rc;
        const double spent = cln_now() - r->began + r->before, rate = totals.images / spent;
        const double images = (double)(t->options.epochs - t->epoch) * t->train->n - totals.images;
        r->shown = time;
        r->progress.loss = totals.images > 0 ? totals.loss / totals.images : 0;
        r->progress.acc = totals.images > 0 ? 100.0 * totals.hits / totals.images : 0;
        r->progress.images_per_second = rate;
        r->progress.seconds_left = rate > 0 ? images / rate : 0;
    }
    r->progress.step = t->step;
    *go_on = r->fn(r->arg, &r->progress);
    return CLN_OK;
}

/* Runs the steps that are left of the epoch; t->step and t->seconds move on. */
static int run_steps(cln_trainer *t, cln_progress_fn fn, void *arg, bool *stopped, int *bad, cln_error *err)
{
    report r = {fn, arg, {.epoch = t->epoch + 1, .epochs = t->options.epochs, .steps = t->steps}, cln_now(), t->seconds, cln_now()};
    cln_pace pace = {0};
    bool go_on = true;
    int rc = CLN_OK;
    *bad = -1;
    while (t->step < t->steps && go_on && *bad < 0 && !rc) {
        rc = cln_train_enqueue(t, t->epoch, t->step, err);
        if (!rc)
            rc = cln_pace_step(t->dev, &pace, err);
        if (!rc) {
            t->step++;
            rc = tell(t, &r, &go_on, bad, err);
        }
    }
    cln_pace_clear(&pace);
    if (!rc)
        rc = cln_device_finish(t->dev, err);
    t->seconds = r.before + cln_now() - r.began;
    *stopped = t->step < t->steps;
    return rc;
}

int cln_trainer_epoch(cln_trainer *t, cln_progress_fn fn, void *arg, cln_metrics *out, bool *stopped, cln_error *err)
{
    cln_totals totals;
    cln_evaluation eval = {0};
    bool early = false;
    int bad = -1;
    if (t->epoch >= t->options.epochs)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "all %d epochs are done", t->options.epochs);
    int rc = cln_feed_shuffle(t->train, t->options.seed, (uint32_t)t->epoch, err);
    if (!rc && t->step == 0)
        rc = cln_loss_reset(t->loss, NULL, err);
    if (!rc)
        rc = cln_state_get(t, &t->start, err);
    if (!rc)
        rc = run_steps(t, fn, arg, &early, &bad, err);
    if (!rc)
        rc = cln_loss_read(t->loss, &totals, &bad, err);
    if (!rc)
        rc = bad >= 0 ? cln_train_diagnose(t, bad, err) : cln_train_verify(t, err);
    if (stopped)
        *stopped = early;
    if (rc || early)
        return rc;
    const double began = cln_now(), lr = cln_train_lr(&t->options, t->epoch * t->steps, t->options.epochs * t->steps);
    rc = cln_trainer_evaluate(t, &eval, err);
    if (!rc) {
        *out = (cln_metrics){t->epoch + 1, lr, totals.loss / totals.images, 100.0 * totals.hits / totals.images,
                             eval.loss, eval.acc, totals.images / t->seconds, t->seconds + cln_now() - began, eval.acc_flip};
        t->epoch++;
        t->step = 0;
        t->seconds = 0;
    }
    cln_evaluation_clear(&eval);
    return rc;
}
