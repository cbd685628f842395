/* clnorm tune: measures which algorithms are the fastest on a device, and keeps that for all later runs. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../net.h"
#include "../options.h"
#include "../program.h"
#include "../train.h"
#include "../tuning.h"
#include "bench.h"
#include "cases.h"
#include "cli.h"
#include "dataset.h"
#include "tune.h"

enum { MAX_MICROS = 8, STEP_ROUNDS = 7 };

/* Whole steps: a choice that makes them slower by SLOWER is taken back; another number of images has to gain a bit. */
static const double SLOWER = 1.02, GAIN = 0.95, STEP_SAMPLE = 0.1;

typedef struct tuner {
    const char *device, *data_path;
    cln_train_options options;
    double seconds; /* at most */
    bool all, quiet;
    double began;
    cln_device *dev;
    cln_dataset *data;
    cln_net *net;
    cln_tuning *table;   /* what is stored */
    cln_tuning *cautious; /* the same shapes with the choices of before */
    char *before;        /* the device's table as it was, as text */
    int n_shapes, changed;
} tuner;

static void print_help(void)
{
    printf("usage: clnorm tune [OPTION ...]\n"
           "\n"
           "Measures, for each shape of a network's convolutions and dense layers, forward, backward-data and\n"
           "backward-params, every algorithm that can compute it on a device, and for norms within the image how\n"
           "many images should go through the network at a time. The fastest ones are kept in the cache folder,\n"
           "for this device, driver and version; `clnorm train` and all others read them, and never measure. A\n"
           "run keeps its own: what is tuned after its start does not change it, also when it is resumed.\n"
           "What cannot win is not measured. Ctrl-C ends it and keeps what was found so far.\n"
           "\n"
           "options (default in parentheses):\n"
           "  --device D     index, platform:number, type or part of a name ($CLNORM_DEVICE, else 0)\n"
           "  --model M      a built-in network (see clnorm model) or a .net file (" CLN_NET_DEFAULT ")\n"
           "  --norm N       the norm of the steps that are timed (ln)\n"
           "  --batch N      images in a step (128)\n"
           "  --data PATH    as for clnorm train: what it has of sizes and classes counts\n"
           "  --seconds S    end after so many, with what was found so far (100)\n"
           "  --all          measure also what cannot win (CLBlast compiles for half a minute on a CPU)\n"
           "  --quiet        print errors only\n"
           "  --help         print this\n");
}

static bool should_stop(void *arg)
{
    const tuner *t = arg;
    return cln_cli_interrupted() || cln_now() - t->began > t->seconds;
}

/* ---- layers -------------------------------------------------------------------------------------- */

static void print_row(const cln_tune_result *r, int direction)
{
    static const char *const names[] = {"forward", "backward-data", "backward-params"};
    static const char *const ends[] = {"-", "left out", "", "WRONG", ""};
    const cln_tune_shape *s = &r->shape;
    char text[64], pad[24] = "";
    if (s->pad != s->k / 2)
        snprintf(pad, sizeof pad, " pad=%d", s->pad);
    snprintf(text, sizeof text, "%d->%d %dx%d/%d %dx%d%s", s->ci, s->co, s->k, s->k, s->stride, s->h, s->w, pad);
    printf("%-22s %-15s", text, names[direction]);
    for (int a = 0; a < CLN_CONV_ALGOS; a++) {
        const cln_trial *t = &r->trials[direction][a];
        char time[16], cell[24];
        snprintf(cell, sizeof cell, "%s%s", t->end == CLN_TRIAL_LOST ? "> " : ends[t->end],
                 t->end >= CLN_TRIAL_LOST && t->end != CLN_TRIAL_WRONG ? cln_bench_time_text(t->seconds, time) : "");
        printf(" %10s", cell);
    }
    printf("  %s%s\n", cln_conv_algo_name(r->best[direction]), r->best[direction] == r->before[direction] ? "" : " (new)");
}

static int keep(tuner *t, const cln_tune_result *r, cln_error *err)
{
    int rc = CLN_OK;
    t->n_shapes++;
    for (int d = CLN_TUNE_DIRECTIONS - 1; d >= 0 && !rc; d--) {
        cln_tune_line line = {.cls = r->cls, .direction = d, .exact = true, .shape = r->shape, .algo = r->before[d]};
        if (!r->wanted[d])
            continue;
        t->changed += r->best[d] != r->before[d];
        rc = cln_tuning_put(t->cautious, &line, err);
        line.algo = r->best[d];
        if (!rc)
            rc = cln_tuning_put(t->table, &line, err);
    }
    for (int d = 0; d < CLN_TUNE_DIRECTIONS && !rc && !t->quiet; d++)
        if (r->wanted[d])
            print_row(r, d);
    fflush(stdout);
    return rc ? rc : cln_tuning_store(t->dev, t->table, err);
}

/* Whether an earlier layer has the line and the input of layer i; one that reads the data is another one. */
static bool seen(const cln_net *net, int i, const char *line)
{
    const cln_layer *layer = &net->layers[i];
    for (int k = 0; k < i; k++) {
        const cln_layer *other = &net->layers[k];
        char text[160];
        if (!other->op->resolve || (other->input[0] < 0) != (layer->input[0] < 0))
            continue;
        cln_bench_layer_line(other, text, sizeof text);
        if (!strcmp(text, line) && !memcmp(&other->in[0], &layer->in[0], sizeof layer->in[0]))
            return true;
    }
    return false;
}

static int tune_layers(tuner *t, cln_error *err)
{
    int rc = CLN_OK;
    if (!t->quiet) {
        printf("%-38s", "");
        for (int a = 0; a < CLN_CONV_ALGOS; a++)
            printf(" %10s", cln_conv_algo_name((cln_conv_algo)a));
        printf("  choice\n");
    }
    for (int i = 0; i < t->net->n_layers && !rc && !should_stop(t); i++) {
        const cln_layer *layer = &t->net->layers[i];
        cln_tune_result result;
        char line[160];
        bool whole = false;
        if (!layer->op->resolve)
            continue;
        cln_bench_layer_line(layer, line, sizeof line);
        if (seen(t->net, i, line))
            continue;
        rc = cln_tune_layer(t->dev, line, layer->in[0], layer->input[0] < 0, t->all, should_stop, t, &result, &whole, err);
        if (!rc && whole)
            rc = keep(t, &result, err);
    }
    return rc;
}

/* ---- whole steps --------------------------------------------------------------------------------- */

/* A trainer with so many images at a time (0: as the table says) by the table that the device has. */
static int new_trainer(const tuner *t, int micro, cln_trainer **out, cln_error *err)
{
    cln_train_options o = t->options;
    o.micro_batch = micro;
    o.lr = 0; /* the weights stay as they are: every step does the same work */
    return cln_trainer_new(t->dev, t->data, &o, out, err);
}

/* Seconds of a step of each trainer, the best of some rounds; infinite where there was no time for it. */
static int time_steps(tuner *t, cln_trainer *const *list, int n, double *seconds, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < n; i++)
        seconds[i] = INFINITY;
    for (int round = -1; round < STEP_ROUNDS && !rc; round++) /* the first one warms up */
        for (int i = 0; i < n && !rc && !should_stop(t); i++) {
            const double began = cln_now();
            int steps = 0;
            do {
                rc = cln_train_enqueue(list[i], 0, 0, err);
                if (!rc)
                    rc = cln_device_finish(t->dev, err);
                steps++;
            } while (!rc && cln_now() - began < STEP_SAMPLE);
            if (round >= 0)
                seconds[i] = fmin(seconds[i], (cln_now() - began) / steps);
        }
    return rc;
}

/* The new choices in their places, against the old ones: alone a layer finds the caches to itself. */
static int check_step(tuner *t, cln_error *err)
{
    cln_trainer *list[2] = {NULL};
    cln_tuning *old = NULL, *now = NULL;
    char *text = cln_tuning_text(t->table);
    double seconds[2] = {INFINITY, INFINITY};
    int rc = text ? cln_tuning_parse(t->before, strlen(t->before), &old, err) : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_tuning_parse(text, strlen(text), &now, err);
    if (!rc) {
        cln_tuning_use(t->dev, old);
        rc = new_trainer(t, 0, &list[0], err);
        cln_tuning_use(t->dev, now);
        old = now = NULL;
    }
    if (!rc)
        rc = new_trainer(t, 0, &list[1], err);
    if (!rc)
        rc = time_steps(t, list, 2, seconds, err);
    if (!rc && seconds[1] > SLOWER * seconds[0] && isfinite(seconds[1])) {
        if (!t->quiet)
            printf("in its place the new choice is slower, %.2f ms a step against %.2f: the old one stays\n", 1e3 * seconds[1],
                   1e3 * seconds[0]);
        cln_tuning_free(t->table);
        t->table = t->cautious;
        t->cautious = NULL;
        rc = cln_tuning_store(t->dev, t->table, err);
        if (!rc)
            cln_tuning_use(t->dev, NULL); /* what was just stored */
        t->changed = 0;
    } else if (!rc && isfinite(seconds[1]) && !t->quiet) {
        printf("a step of %d images: %.2f ms before, %.2f ms now\n", t->options.batch, 1e3 * seconds[0], 1e3 * seconds[1]);
    }
    for (int i = 0; i < 2; i++)
        cln_trainer_free(list[i]);
    cln_tuning_free(old);
    cln_tuning_free(now);
    free(text);
    return rc;
}

static bool needs_whole_batch(const cln_net *net)
{
    bool whole = false;
    for (int i = 0; i < net->n_layers; i++)
        whole = whole || net->layers[i].op->whole_batch;
    return whole;
}

/* Images at a time: 16, 32, ... and the whole batch, against what the tables say. */
static int tune_micro(tuner *t, cln_error *err)
{
    int micros[MAX_MICROS], n = 1, best = 0, rc = CLN_OK;
    cln_trainer *list[MAX_MICROS] = {NULL};
    double seconds[MAX_MICROS];
    rc = new_trainer(t, 0, &list[0], err);
    micros[0] = rc ? 0 : list[0]->micro;
    for (int m = 16; n < MAX_MICROS && !rc; m *= 2) {
        const int micro = m < t->options.batch ? m : t->options.batch;
        if (micro != micros[0]) {
            micros[n] = micro;
            rc = new_trainer(t, micro, &list[n++], err);
        }
        if (micro == t->options.batch)
            break;
    }
    if (!rc)
        rc = time_steps(t, list, n, seconds, err);
    for (int i = 1; i < n && !rc; i++)
        if (seconds[i] < GAIN * seconds[0] && seconds[i] < seconds[best])
            best = i;
    if (!rc && isfinite(seconds[n - 1])) {
        const cln_tune_line line = {.cls = list[0]->plan->nodes[0].tune.cls, .direction = CLN_TUNE_MICRO, .exact = true,
                                    .macs = cln_net_macs(t->net), .images = micros[best] < t->options.batch ? micros[best] : 0};
        for (int i = 0; i < n && !t->quiet; i++)
            printf("%4d images at a time: %8.2f ms a step%s\n", micros[i], 1e3 * seconds[i], i == best ? ", chosen" : "");
        rc = cln_tuning_put(t->table, &line, err);
        if (!rc)
            rc = cln_tuning_store(t->dev, t->table, err);
    }
    for (int i = 0; i < n; i++)
        cln_trainer_free(list[i]);
    return rc;
}

/* ---- the command --------------------------------------------------------------------------------- */

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, tuner *t)
{
    static const struct option options[] = {
        {"device", required_argument, NULL, 'D'}, {"model", required_argument, NULL, 'm'}, {"norm", required_argument, NULL, 'n'},
        {"batch", required_argument, NULL, 'b'},  {"data", required_argument, NULL, 'd'},  {"seconds", required_argument, NULL, 's'},
        {"all", no_argument, NULL, 'a'},          {"quiet", no_argument, NULL, 'q'},       {"help", no_argument, NULL, 'h'}, {0}};
    cln_given list[3] = {{cln_field_find("norm"), "ln"}, {cln_field_find("model"), CLN_NET_DEFAULT}, {cln_field_find("batch"), "128"}};
    cln_error err = {0};
    char *end;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'D': t->device = optarg; break;
        case 'd': t->data_path = optarg; break;
        case 'n': list[0].text = optarg; break;
        case 'm': list[1].text = optarg; break;
        case 'b': list[2].text = optarg; break;
        case 'a': t->all = true; break;
        case 'q': t->quiet = true; break;
        case 's':
            t->seconds = strtod(optarg, &end);
            if (end == optarg || *end || !(t->seconds > 0))
                return cln_cli_usage("tune", "--seconds: '%s' is not a number above 0", optarg);
            break;
        case 'h': print_help(); return CLN_EXIT_OK;
        default: return CLN_EXIT_USAGE;
        }
    }
    if (optind < argc)
        return cln_cli_usage("tune", "'%s' is not an option", argv[optind]);
    return cln_options_resolve(list, 3, &t->options, &err) ? cln_cli_fail(&err) : -1;
}

/* For so many images. */
static int load_net(tuner *t, int images, cln_error *err)
{
    const cln_shape in = {images, t->data->h, t->data->w, t->data->c};
    cln_net_free(t->net);
    t->net = NULL;
    return cln_train_net(&t->options, in, t->data->classes, &t->net, err);
}

/* The device, a few images, the network for as many of them as go through it at a time, and the table as it is. */
static int set_up(tuner *t, cln_error *err)
{
    const cln_tune_request automatic = {CLN_CLASS_AUTO, -1};
    int rc = cln_dataset_open(t->data_path, &t->data, err);
    if (!rc && (t->options.batch < 1 || (size_t)t->options.batch >= t->data->n_train))
        rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "--batch: %d: the data have %zu images", t->options.batch, t->data->n_train);
    if (!rc)
        rc = load_net(t, 1, err);
    if (!rc)
        rc = cln_device_open(t->device, false, &t->dev, err);
    if (rc)
        return rc;
    cln_device_set_notice(t->dev, t->quiet ? NULL : cln_cli_notice, NULL);
    t->options.limit = t->options.batch;
    t->options.val_split = 1;
    rc = cln_device_probe(t->dev, err);
    if (!rc)
        rc = cln_tuning_load(t->dev, err);
    if (!rc)
        rc = load_net(t, cln_tune_micro(t->dev, &automatic, cln_net_macs(t->net), t->options.batch), err);
    if (!rc && !(t->before = cln_tuning_text(t->dev->tuning)))
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_tuning_parse(t->before, strlen(t->before), &t->cautious, err);
    return rc ? rc : cln_tuning_parse(t->before, strlen(t->before), &t->table, err);
}

/* What is measured beside other work is the other work. */
static void warn_of_load(const tuner *t)
{
    double load = 0;
    const cln_device_info *info = &t->dev->info;
    if (!t->quiet && info->type == CL_DEVICE_TYPE_CPU && getloadavg(&load, 1) == 1 && load > 0.5 * info->compute_units)
        fprintf(stderr, "clnorm: warning: the machine is busy (load %.1f, %u cores): measure again when it is not\n", load,
                (unsigned)info->compute_units);
}

static int tune(tuner *t, char path[], size_t size, cln_error *err)
{
    int rc = cln_tuning_path(t->dev, path, size, err);
    warn_of_load(t);
    if (!rc && !t->quiet)
        printf("%s: %s, %d images\n", t->dev->info.name, t->net->name, t->net->input.n);
    if (!rc)
        rc = tune_layers(t, err);
    if (!rc && t->changed && !should_stop(t))
        rc = check_step(t, err);
    if (!rc && !needs_whole_batch(t->net) && !should_stop(t))
        rc = tune_micro(t, err);
    return rc;
}

int cln_cmd_tune(int argc, char **argv)
{
    tuner t = {.seconds = 100};
    char path[CLN_DATA_MAX_PATH];
    cln_error err = {0};
    int status = parse(argc, argv, &t);
    if (status >= 0)
        return status;
    t.began = cln_now();
    cln_cli_catch_signals();
    int rc = set_up(&t, &err);
    if (!rc)
        rc = tune(&t, path, sizeof path, &err);
    if (cln_cli_cut_off(rc))
        rc = CLN_OK; /* the signal stops a compiler, too, and a kernel then does not build: that is no error */
    status = rc ? cln_cli_fail(&err) : cln_cli_interrupted() ? 130 : CLN_EXIT_OK;
    if (!rc && !t.quiet && t.n_shapes)
        printf("%s%d shapes, %d new choices, in %.0f s; kept in %s\n", should_stop(&t) ? "not all of it: " : "", t.n_shapes,
               t.changed, cln_now() - t.began, path);
    if (!rc && !t.n_shapes)
        fprintf(stderr, "clnorm: stopped before anything was measured: no table was written\n");
    if (!rc && t.dev && t.dev->cold)
        cln_program_cache_save(t.dev);
    cln_tuning_free(t.table);
    cln_tuning_free(t.cautious);
    cln_net_free(t.net);
    free(t.before);
    cln_device_close(t.dev);
    cln_dataset_free(t.data);
    return status;
}
