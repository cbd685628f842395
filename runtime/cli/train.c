/* clnorm train: the main job. Trains a network and leaves a run folder (see runtime/run.h). */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../job.h"
#include "../net.h"
#include "../options.h"
#include "../tuning.h"
#include "ahead.h"
#include "cli.h"
#include "doctor.h"

enum { MAX_SETTINGS = 64, FIRST_FIELD = 1000 };

typedef struct settings {
    cln_train_options options;
    const char *data, *device, *out, *resume;
    bool overwrite, quiet, allow_failing;
    char data_from_config[CLN_DATA_MAX_PATH]; /* what a resumed run was trained on */
} settings;

typedef struct session {
    settings set;
    cln_dataset *data;
    cln_device *dev;
    cln_job job;
    cln_ahead ahead;
    bool bar; /* stderr is a terminal that wants one */
} session;

/* ---- the command line ---------------------------------------------------------------------------- */

static void print_help(void)
{
    printf("usage: clnorm train [OPTION ...]\n"
           "       clnorm train --resume DIR\n"
           "\n"
           "Trains a network and writes config.json, metrics.jsonl, summary.json, outcome.json, model.safetensors,\n"
           "checkpoint.safetensors, curves.png and misclassified.png into a folder. Ctrl-C finishes the\n"
           "step, saves and exits with status 130; a second one exits at once. Without data it trains on a\n"
           "small sample of CIFAR-10 and says so.\n"
           "\n"
           "options (default in parentheses; rates and weight decay go with --optimizer):\n"
           "  --data PATH            folder or archive of CIFAR-10's binary version, or folder of IDX files\n"
           "                         ($CLNORM_DATA, else what clnorm fetch downloaded, else the sample)\n"
           "  --device D             index, platform:number, type or part of a name ($CLNORM_DEVICE, else 0)\n"
           "  --out DIR              where the run goes (runs/MODEL-NORM-sSEED)\n"
           "  --overwrite            replace a run that is there\n"
           "  --resume DIR           go on with the run in DIR; its settings are used again\n"
           "  --quiet                print errors only\n"
           "  --allow-failing-device train even where the check at a device's first use finds that it computes wrongly\n"
           "  --no-fuse              the same as --fuse 0\n");
    cln_train_options standard;
    cln_train_defaults("bn", &standard);
    json_t *values = cln_options_to_json(&standard);
    for (const cln_field *f = cln_fields; f->name; f++) {
        char *text = json_dumps(json_object_get(values, f->name), JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        char name[40];
        snprintf(name, sizeof name, "--%s X", f->name);
        printf("  %-22s %s (%s)\n", name, f->help, text ? text : "?");
        free(text);
    }
    json_decref(values);
    printf("  --help                 print this\n");
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, settings *s, cln_error *err)
{
    enum { DATA = 256, DEVICE, OUT, OVERWRITE, RESUME, QUIET, ALLOW_FAILING, NO_FUSE, HELP, N_OWN = 9 };
    struct option options[MAX_SETTINGS] = {
        {"data", required_argument, NULL, DATA},     {"device", required_argument, NULL, DEVICE},
        {"out", required_argument, NULL, OUT},       {"overwrite", no_argument, NULL, OVERWRITE},
        {"resume", required_argument, NULL, RESUME}, {"quiet", no_argument, NULL, QUIET},
        {"no-fuse", no_argument, NULL, NO_FUSE},     {"help", no_argument, NULL, HELP},
        {"allow-failing-device", no_argument, NULL, ALLOW_FAILING}};
    cln_given list[MAX_SETTINGS];
    int n = 0, c;
    for (int i = 0; i < MAX_SETTINGS - N_OWN - 1 && cln_fields[i].name; i++)
        options[N_OWN + i] = (struct option){cln_fields[i].name, required_argument, NULL, FIRST_FIELD + i};
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case DATA: s->data = optarg; break;
        case DEVICE: s->device = optarg; break;
        case OUT: s->out = optarg; break;
        case OVERWRITE: s->overwrite = true; break;
        case RESUME: s->resume = optarg; break;
        case QUIET: s->quiet = true; break;
        case ALLOW_FAILING: s->allow_failing = true; break;
        case HELP: print_help(); return CLN_EXIT_OK;
        case '?': return CLN_EXIT_USAGE;
        default:
            if (n == MAX_SETTINGS)
                return cln_cli_usage("train", "too many options");
            list[n++] = c == NO_FUSE ? (cln_given){cln_field_find("fuse"), "0"}
                                     : (cln_given){&cln_fields[c - FIRST_FIELD], optarg};
        }
    }
    if (optind < argc)
        return cln_cli_usage("train", "'%s' is not an option", argv[optind]);
    if (s->resume && (n || s->overwrite || s->out))
        return cln_cli_usage("train", "--resume takes the run's own settings: only --data, --device, --quiet "
                                     "and --allow-failing-device go with it");
    return cln_options_resolve(list, n, &s->options, err) ? cln_cli_fail(err) : -1;
}

/* ---- the run folder ------------------------------------------------------------------------------ */

/* Settings of the run to resume from its config.json. */
static int read_config(settings *s, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_path_join(path, sizeof path, s->resume, CLN_RUN_CONFIG, err);
    return rc ? rc : cln_config_read(path, &s->options, s->data_from_config, sizeof s->data_from_config, err);
}

static int open_run(session *s, cln_error *err)
{
    char dir[CLN_PATH_MAX], base[CLN_PATH_MAX / 2];
    const settings *set = &s->set;
    if (set->resume)
        return cln_run_open(&s->job.run, set->resume, CLN_RUN_RESUME, err);
    cln_net_name(set->options.model, base, sizeof base);
    snprintf(dir, sizeof dir, "runs/%s-%s-s%" PRIu32, base, set->options.norm, set->options.seed);
    return cln_run_open(&s->job.run, set->out ? set->out : dir, set->overwrite ? CLN_RUN_OVERWRITE : CLN_RUN_NEW, err);
}

static int begin_or_resume(session *s, cln_error *err)
{
    const cln_run *run = &s->job.run;
    if (s->set.resume && !cln_run_has_checkpoint(run) && !s->set.quiet)
        fprintf(stderr, "clnorm: the run in %s was stopped before its first checkpoint: it starts again\n", run->dir);
    return cln_job_begin(&s->job, s->set.resume != NULL, err);
}

/* ---- progress ------------------------------------------------------------------------------------ */

static bool on_progress(void *arg, const cln_progress *p)
{
    enum { WIDTH = 24 };
    static const char hashes[] = "########################", dots[] = "........................";
    if (((const session *)arg)->bar && p->images_per_second > 0) {
        char left[32];
        const int full = p->step * WIDTH / p->steps;
        cln_cli_duration(p->seconds_left, left, sizeof left);
        fprintf(stderr, "\repoch %d/%d [%.*s%.*s] loss %.4f, %.2f %%, %.0f images/s, %s left \033[K", p->epoch, p->epochs,
                full, hashes, WIDTH - full, dots, p->loss, p->acc, p->images_per_second, left);
    }
    return !cln_cli_interrupted();
}

static bool on_epoch(void *arg, const cln_metrics *m)
{
    const session *s = arg;
    const int epochs = s->set.options.epochs;
    if (s->bar)
        fprintf(stderr, "\r\033[K");
    char flip[32] = "";
    if (!isnan(m->test_acc_flip))
        snprintf(flip, sizeof flip, "with flip %6.2f %%  ", m->test_acc_flip);
    if (!s->set.quiet)
        printf("epoch %*d/%d  lr %.5f  train %.4f %6.2f %%  test %.4f %6.2f %%  %s%.0f images/s  %.1f s\n",
               epochs > 99 ? 3 : 2, m->epoch, epochs, m->lr, m->train_loss, m->train_acc, m->test_loss, m->test_acc, flip,
               m->images_per_second, m->seconds);
    fflush(stdout);
    return !cln_cli_interrupted();
}

/* ---- the job ------------------------------------------------------------------------------------- */

static int train(session *s, bool *interrupted, cln_error *err)
{
    const cln_job_watch watch = {on_progress, on_epoch, s};
    cln_summary summary = {0};
    s->bar = !s->set.quiet && isatty(STDERR_FILENO);
    int rc = cln_job_train(&s->job, &watch, interrupted, err);
    if (s->bar && (rc || *interrupted))
        fprintf(stderr, "\r\033[K");
    if (!rc && !*interrupted)
        rc = cln_job_finish(&s->job, &summary, err);
    if (!rc && !*interrupted && !s->set.quiet)
        printf("%s, %s, %" PRId64 " parameters: train %.2f %%, test %.2f %% after %d epochs (best %.2f %% at %d)\n%s\n",
               summary.model, s->job.trainer->net->norm, summary.params, summary.train_acc, summary.test_acc,
               summary.epochs, summary.best_test_acc, summary.best_epoch, s->job.run.dir);
    return rc;
}

static const char *data_path(const settings *set)
{
    return set->data ? set->data : set->resume ? set->data_from_config : NULL;
}

/* In a process of its own. */
static void compile_ahead(void *arg)
{
    session *s = arg;
    if (!cln_dataset_open(data_path(&s->set), &s->data, NULL) && !cln_device_open(s->set.device, false, &s->dev, NULL) &&
        !cln_trainer_new(s->dev, s->data, &s->set.options, &s->job.trainer, NULL))
        (void)cln_trainer_touch(s->job.trainer, NULL);
}

/* Whether another process can help with the kernels: it needs a core of its own, and as much memory as this one. */
static bool worth_compiling_ahead(const session *s, size_t bytes)
{
    const cln_device_info *d = &s->dev->info;
    return !s->set.resume && d->type == CL_DEVICE_TYPE_CPU && d->compute_units > 1 && cln_program_driver_caches(s->dev) &&
           bytes < d->global_mem / 4;
}

/* Wrong arithmetic would train wrongly without a word. */
static int check_device(session *s, cln_error *err)
{
    const cln_dataset *d = s->data;
    const cln_shape image = {1, d->h, d->w, d->c};
    cln_train_memory memory;
    cln_net *net = NULL;
    int rc = cln_train_check(&s->set.options, d, err);
    if (!rc)
        rc = cln_train_measure(s->dev, &s->set.options, image, d->classes, (int)d->n_train, (int)d->n_test, &memory, err);
    if (!rc)
        rc = cln_train_net(&s->set.options, image, d->classes, &net, err);
    if (!rc && !cln_first_use_passed(s->dev, &s->set.options, net))
        cln_ahead_tell(&s->ahead, worth_compiling_ahead(s, cln_train_memory_sum(&memory)));
    cln_ahead_tell(&s->ahead, false);
    if (!rc)
        rc = cln_first_use_check(s->dev, &s->set.options, net, s->set.allow_failing, err);
    cln_net_free(net);
    return rc;
}

static int set_up(session *s, cln_error *err)
{
    const settings *set = &s->set;
    cln_ahead_start(&s->ahead, compile_ahead, s); /* before the run's lock, too, which it would hold */
    int rc = open_run(s, err);
    if (!rc)
        rc = cln_dataset_open(data_path(set), &s->data, err);
    if (!rc && s->data->sample && !set->quiet)
        fprintf(stderr, "clnorm: training on the bundled sample (%zu training and %zu test images of CIFAR-10), which is "
                        "for trying things out; for all of it run `clnorm fetch` or give --data PATH\n",
                s->data->n_train, s->data->n_test);
    if (!rc)
        rc = cln_device_open(set->device, false, &s->dev, err);
    if (rc)
        return rc;
    if (!set->quiet)
        cln_device_set_notice(s->dev, cln_cli_notice, NULL);
    rc = cln_device_probe(s->dev, err);
    s->job.dev = s->dev;
    s->job.data = s->data;
    s->job.options = set->options;
    if (!rc)
        rc = cln_job_tune(&s->job, set->resume != NULL, err);
    if (!rc)
        rc = check_device(s, err);
    if (!rc)
        rc = cln_job_plan(&s->job, err);
    return rc ? rc : begin_or_resume(s, err);
}

/* Last of all, since a driver may take seconds to hand out what it compiled. */
static void save_kernels(session *s)
{
    if (!s->dev || !s->dev->cold)
        return;
    if (!s->set.quiet && !cln_program_driver_caches(s->dev))
        cln_cli_notice(NULL, "saving the compiled kernels for the next run ...");
    cln_program_cache_save(s->dev);
}

/* A run that failed half-way loses nothing that its checkpoint has: says how to go on. */
static int add_way_on(const session *s, int rc, cln_error *err)
{
    cln_error first = *err;
    if (rc == CLN_ERR_DIVERGED || !cln_run_has_checkpoint(&s->job.run))
        return rc;
    CLN_FAIL(err, rc, "%s; then go on with: clnorm train --resume %s", first.text, s->job.run.dir);
    memcpy(err->where, first.where, sizeof err->where);
    memcpy(err->log, first.log, sizeof err->log);
    return rc;
}

static void clean_up(session *s)
{
    cln_ahead_end(&s->ahead);
    cln_job_clear(&s->job);
    cln_device_close(s->dev);
    cln_dataset_free(s->data);
}

int cln_cmd_train(int argc, char **argv)
{
    session s = {0};
    cln_error err = {0};
    bool interrupted = false;
    int status = parse(argc, argv, &s.set, &err);
    if (status >= 0)
        return status;
    int rc = s.set.resume ? read_config(&s.set, &err) : CLN_OK;
    if (!rc)
        rc = set_up(&s, &err);
    if (!rc) {
        cln_cli_catch_signals();
        if (!s.set.quiet && !s.set.resume && cln_tuning_unknown(s.dev))
            cln_cli_notice(NULL, "nobody has measured which kernels are good on this device: `clnorm tune` does so once");
        if (!s.set.quiet)
            printf("%s, %s, %zu parameters, %d training images, on %s\n", s.job.trainer->net->name, s.job.trainer->net->norm,
                   cln_trainer_param_count(s.job.trainer), s.job.trainer->train->n, s.dev->info.name);
        fflush(stdout);
        rc = train(&s, &interrupted, &err);
        if (rc)
            rc = add_way_on(&s, rc, &err);
    }
    const bool cut_off = cln_cli_cut_off(rc), kept = cut_off && cln_run_has_checkpoint(&s.job.run);
    if (rc && !cut_off)
        status = cln_cli_fail(&err);
    else
        status = interrupted || cut_off ? 130 : CLN_EXIT_OK;
    if (cut_off)
        fprintf(stderr, "clnorm: interrupted while kernels were compiled%s%s\n", kept ? ". Go on with: clnorm train --resume " : "",
                kept ? s.job.run.dir : "");
    if (!rc && interrupted)
        fprintf(stderr, "clnorm: interrupted; saved. Go on with: clnorm train --resume %s\n", s.job.run.dir);
    if (!rc)
        save_kernels(&s);
    clean_up(&s);
    return status;
}
