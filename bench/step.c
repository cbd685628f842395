/* clnorm bench step: the whole training step as `clnorm train` runs it (gathering and augmenting the batch,
 * forward, loss, backward, optimiser), two steps in flight, on the bundled sample. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "dataset.h"
#include "options.h"
#include "train.h"

typedef struct step_bench {
    cln_train_options options;
    const char *device;
    double seconds;
    bool json;
} step_bench;

typedef struct step_result {
    int steps;
    double images_per_second, median_ms, min_ms;
} step_result;

static void print_help(void)
{
    printf("usage: clnorm bench step [OPTION ...]\n"
           "\n"
           "Times whole training steps on the bundled sample.\n"
           "\n"
           "options:\n"
           "  --norm A,B,C    norms to time, one after the other (bn)\n"
           "  --model M       network (s8)\n"
           "  --batch N       images in a step (128)\n"
           "  --device D      as for clnorm train\n"
           "  --min-time S    seconds of steps for each norm, after a warm-up (5)\n"
           "  --no-fuse       run every layer alone\n"
           "  --json          one JSON object a line\n"
           "  --help          print this\n");
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Steps until `seconds` have passed. A step's time is the time between the ends of two in a row. */
static int time_steps(cln_trainer *t, double seconds, step_result *out, cln_error *err)
{
    enum { WARM_UP = 5, MAX_STEPS = 100000 };
    double *times = malloc(MAX_STEPS * sizeof *times);
    cln_pace pace = {0};
    int rc = times ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    for (int i = 0; i < WARM_UP && !rc; i++)
        rc = cln_train_enqueue(t, 0, 0, err);
    if (!rc)
        rc = cln_device_finish(t->dev, err);
    const double began = now();
    double last = began;
    int steps = 0;
    while (!rc && steps < MAX_STEPS && (steps < 10 || last - began < seconds)) {
        rc = cln_train_enqueue(t, 0, 0, err);
        if (!rc)
            rc = cln_pace_step(t->dev, &pace, err);
        const double time = now();
        times[steps++] = time - last;
        last = time;
    }
    if (!rc)
        rc = cln_device_finish(t->dev, err);
    cln_pace_clear(&pace);
    if (!rc) {
        out->steps = steps;
        out->images_per_second = (double)steps * t->options.batch / (now() - began);
        qsort(times + 2, (size_t)steps - 2, sizeof *times, by_value); /* the first two only filled the queue */
        out->median_ms = 1e3 * times[2 + (steps - 2) / 2];
        out->min_ms = 1e3 * times[2];
    }
    free(times);
    return rc;
}

static int bench_norm(const step_bench *b, cln_device *dev, const cln_dataset *data, const char *norm, cln_error *err)
{
    cln_train_options o = b->options;
    cln_trainer *t = NULL;
    step_result r = {0};
    snprintf(o.norm, sizeof o.norm, "%s", norm);
    o.lr = 0; /* the weights stay as they are: every step does the same work */
    int rc = cln_trainer_new(dev, data, &o, &t, err);
    if (!rc)
        rc = time_steps(t, b->seconds, &r, err);
    if (!rc && b->json)
        printf("{\"bench\": \"step\", \"model\": \"%s\", \"norm\": \"%s\", \"batch\": %d, \"steps\": %d, "
               "\"images_per_second\": %.1f, \"median_ms\": %.3f, \"min_ms\": %.3f, \"device\": \"%s\"}\n",
               t->net->name, norm, o.batch, r.steps, r.images_per_second, r.median_ms, r.min_ms, dev->info.name);
    else if (!rc)
        printf("%-8s %-5s batch %4d  %8.1f images/s  median %8.2f ms  min %8.2f ms  (%d steps)\n", t->net->name, norm,
               o.batch, r.images_per_second, r.median_ms, r.min_ms, r.steps);
    fflush(stdout);
    cln_trainer_free(t);
    return rc;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, step_bench *b, char *norms, size_t size, cln_error *err)
{
    static const struct option options[] = {
        {"norm", required_argument, NULL, 'n'},   {"model", required_argument, NULL, 'm'},
        {"batch", required_argument, NULL, 'b'},  {"device", required_argument, NULL, 'd'},
        {"min-time", required_argument, NULL, 't'}, {"no-fuse", no_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},         {"help", no_argument, NULL, 'h'}, {0}};
    int c, rc = CLN_OK;
    while (!rc && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end;
        switch (c) {
        case 'n': snprintf(norms, size, "%s", optarg); break;
        case 'm': rc = cln_field_set(cln_field_find("model"), &b->options, optarg, err); break;
        case 'b': rc = cln_field_set(cln_field_find("batch"), &b->options, optarg, err); break;
        case 'd': b->device = optarg; break;
        case 't':
            b->seconds = strtod(optarg, &end);
            if (end == optarg || *end || !(b->seconds >= 0 && b->seconds <= 3600))
                return cln_cli_usage("bench step", "--min-time: '%s' is not a number of seconds up to 3600", optarg);
            break;
        case 'f': b->options.fuse = false; break;
        case 'j': b->json = true; break;
        case 'h': print_help(); return CLN_EXIT_OK;
        default: return CLN_EXIT_USAGE;
        }
    }
    if (rc)
        return cln_cli_fail(err);
    return optind < argc ? cln_cli_usage("bench step", "'%s' is not an option", argv[optind]) : -1;
}

int cln_bench_step(int argc, char **argv)
{
    step_bench b = {.seconds = 5};
    char norms[256] = "bn";
    cln_error err = {0};
    cln_device *dev = NULL;
    cln_dataset *data = NULL;
    cln_train_defaults("bn", &b.options);
    int status = parse(argc, argv, &b, norms, sizeof norms, &err);
    if (status >= 0)
        return status;
    int rc = cln_device_open(b.device, false, &dev, &err);
    if (!rc)
        cln_device_set_notice(dev, cln_cli_notice, NULL);
    if (!rc)
        rc = cln_dataset_open("sample", &data, &err);
    char *rest = NULL;
    for (char *norm = strtok_r(norms, ",", &rest); norm && !rc; norm = strtok_r(NULL, ",", &rest))
        rc = bench_norm(&b, dev, data, norm, &err);
    cln_dataset_free(data);
    cln_device_close(dev);
    return rc ? cln_cli_fail(&err) : CLN_EXIT_OK;
}
