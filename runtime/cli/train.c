/* clnorm train: the main job. Trains a network and leaves a run folder (see runtime/run.h). */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../figure.h"
#include "../options.h"
#include "../run.h"
#include "../train.h"
#include "cli.h"
#include "dataset.h"
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
    cln_run run;
    cln_dataset *data;
    cln_device *dev;
    cln_trainer *trainer;
    cln_metrics *metrics;
    int n_metrics;
} session;

/* ---- the command line ---------------------------------------------------------------------------- */

static void print_help(void)
{
    printf("usage: clnorm train [OPTION ...]\n"
           "       clnorm train --resume DIR\n"
           "\n"
           "Trains a network and writes config.json, metrics.jsonl, summary.json, model.safetensors,\n"
           "checkpoint.safetensors, curves.png and misclassified.png into a folder. Ctrl-C finishes the\n"
           "step, saves and exits with status 130; a second one exits at once. Without data it trains on a\n"
           "small sample of CIFAR-10 and says so.\n"
           "\n"
           "options (default in parentheses; some depend on --norm):\n"
           "  --data PATH            folder or archive of CIFAR-10's binary version, or folder of IDX files\n"
           "                         ($CLNORM_DATA, else what clnorm fetch downloaded, else the sample)\n"
           "  --device D             index, platform:number, type or part of a name ($CLNORM_DEVICE, else 0)\n"
           "  --out DIR              where the run goes (runs/MODEL-NORM-sSEED)\n"
           "  --overwrite            replace a run that is there\n"
           "  --resume DIR           go on with the run in DIR; its settings are used again\n"
           "  --quiet                print errors only\n"
           "  --allow-failing-device train even where the check at a device's first use finds that it computes wrongly\n"
           "  --no-fuse              the same as --fuse 0\n");
    cln_train_options bn, ln;
    cln_train_defaults("bn", &bn);
    cln_train_defaults("ln", &ln);
    json_t *first = cln_options_to_json(&bn), *second = cln_options_to_json(&ln);
    for (const cln_field *f = cln_fields; f->name; f++) {
        json_t *a = json_object_get(first, f->name), *b = json_object_get(second, f->name);
        char *text = json_dumps(a, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        char *other = json_dumps(b, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        char name[40];
        const bool differ = text && other && strcmp(text, other) && strcmp(f->name, "norm");
        snprintf(name, sizeof name, "--%s X", f->name);
        printf("  %-22s %s (%s%s%s)\n", name, f->help, text ? text : "?", differ ? " for bn, else " : "",
               differ ? other : "");
        free(text);
        free(other);
    }
    json_decref(first);
    json_decref(second);
    printf("  --help                 print this\n");
}

typedef struct given {
    const cln_field *field;
    const char *text;
} given;

static int apply_settings(settings *s, const given *list, int n, cln_error *err)
{
    const char *norm = "bn";
    int rc = CLN_OK;
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].field->name, "norm") == 0)
            norm = list[i].text;
    cln_train_defaults(norm, &s->options);
    for (int i = 0; i < n && !rc; i++)
        rc = cln_field_set(list[i].field, &s->options, list[i].text, err);
    return rc;
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
    given list[MAX_SETTINGS];
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
            list[n++] = c == NO_FUSE ? (given){cln_field_find("fuse"), "0"}
                                     : (given){&cln_fields[c - FIRST_FIELD], optarg};
        }
    }
    if (optind < argc)
        return cln_cli_usage("train", "'%s' is not an option", argv[optind]);
    if (s->resume && (n || s->overwrite || s->out))
        return cln_cli_usage("train", "--resume takes the run's own settings: only --data, --device, --quiet "
                                     "and --allow-failing-device go with it");
    return apply_settings(s, list, n, err) ? cln_cli_fail(err) : -1;
}

/* ---- the run folder ------------------------------------------------------------------------------ */

/* Settings of the run to resume from its config.json. */
static int read_config(settings *s, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_path_join(path, sizeof path, s->resume, CLN_RUN_CONFIG, err);
    return rc ? rc : cln_config_read(path, &s->options, s->data_from_config, sizeof s->data_from_config, err);
}

/* "models/x.net" -> "x" */
static void base_name(const char *model, char *out, size_t size)
{
    const char *slash = strrchr(model, '/');
    snprintf(out, size, "%s", slash ? slash + 1 : model);
    char *dot = strrchr(out, '.');
    if (dot && strcmp(dot, ".net") == 0)
        *dot = '\0';
}

static int open_run(session *s, cln_error *err)
{
    char dir[CLN_PATH_MAX], base[CLN_PATH_MAX / 2];
    const settings *set = &s->set;
    if (set->resume)
        return cln_run_open(&s->run, set->resume, CLN_RUN_RESUME, err);
    base_name(set->options.model, base, sizeof base);
    snprintf(dir, sizeof dir, "runs/%s-%s-s%" PRIu32, base, set->options.norm, set->options.seed);
    return cln_run_open(&s->run, set->out ? set->out : dir, set->overwrite ? CLN_RUN_OVERWRITE : CLN_RUN_NEW, err);
}

/* Names of files and devices may be any bytes: cln_run_text makes JSON strings of them. */
static json_t *config_json(const session *s)
{
    const cln_device_info *info = &s->dev->info;
    char *plan = cln_plan_describe(s->trainer->plan);
    json_t *options = cln_options_to_json(&s->set.options);
    json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:s, s:{s:i, s:o, s:o, s:o}, s:I, s:o, s:s?}", "version", CLNORM_VERSION,
                             "options", options, "data", cln_run_text(s->data->sample ? "sample" : s->data->source),
                             "data_name", cln_run_text(s->data->name), "data_sha256", s->data->digest, "device", "index",
                             info->index, "name", cln_run_text(info->name), "driver", cln_run_text(info->driver), "platform",
                             cln_run_text(info->platform_name), "params",
                             (json_int_t)cln_trainer_param_count(s->trainer), "net", cln_run_text(s->trainer->net->text),
                             "plan", plan);
    free(plan);
    return json;
}

static int begin_or_resume(session *s, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc;
    if (s->set.resume && !cln_run_has_checkpoint(&s->run) && !s->set.quiet)
        fprintf(stderr, "clnorm: the run in %s was stopped before its first checkpoint: it starts again\n", s->run.dir);
    if (!s->set.resume || !cln_run_has_checkpoint(&s->run)) {
        json_t *config = config_json(s);
        rc = config ? cln_run_begin(&s->run, config, err) : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
        json_decref(config);
        return rc;
    }
    rc = cln_run_path(&s->run, CLN_RUN_CHECKPOINT, path, err);
    if (!rc)
        rc = cln_trainer_load(s->trainer, path, err);
    if (!rc)
        rc = cln_run_cut_metrics(&s->run, cln_trainer_epochs_done(s->trainer), err);
    if (!rc)
        rc = cln_run_path(&s->run, CLN_RUN_METRICS, path, err);
    if (!rc && cln_file_exists(path))
        rc = cln_metrics_read(path, &s->metrics, &s->n_metrics, err);
    if (!rc && s->n_metrics != cln_trainer_epochs_done(s->trainer))
        rc = CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s has %d epochs, the checkpoint %d: the run folder is damaged", path,
                      s->n_metrics, cln_trainer_epochs_done(s->trainer));
    return rc;
}

/* ---- progress ------------------------------------------------------------------------------------ */

static volatile sig_atomic_t interrupts;

static void on_signal(int number)
{
    if (interrupts++)
        _exit(128 + number);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void format_seconds(double seconds, char *out, size_t size)
{
    const long t = (long)(seconds + 0.5);
    if (t >= 3600)
        snprintf(out, size, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
    else
        snprintf(out, size, "%ld:%02ld", t / 60, t % 60);
}

/* arg: whether stderr is a terminal that wants a bar. */
static bool on_progress(void *arg, const cln_progress *p)
{
    enum { WIDTH = 24 };
    static const char hashes[] = "########################", dots[] = "........................";
    if (*(const bool *)arg && p->images_per_second > 0) {
        char left[32];
        const int full = p->step * WIDTH / p->steps;
        format_seconds(p->seconds_left, left, sizeof left);
        fprintf(stderr, "\repoch %d/%d [%.*s%.*s] loss %.4f, %.2f %%, %.0f images/s, %s left \033[K", p->epoch, p->epochs,
                full, hashes, WIDTH - full, dots, p->loss, p->acc, p->images_per_second, left);
    }
    return interrupts == 0;
}

static void print_epoch(const session *s, const cln_metrics *m, bool bar)
{
    if (bar)
        fprintf(stderr, "\r\033[K");
    if (s->set.quiet)
        return;
    printf("epoch %*d/%d  lr %.5f  train %.4f %6.2f %%  test %.4f %6.2f %%  %.0f images/s  %.1f s\n",
           s->set.options.epochs > 99 ? 3 : 2, m->epoch, s->set.options.epochs, m->lr, m->train_loss, m->train_acc,
           m->test_loss, m->test_acc, m->images_per_second, m->seconds);
    fflush(stdout);
}

/* ---- results ------------------------------------------------------------------------------------- */

static int draw_curves(const session *s, cln_error *err)
{
    char path[CLN_PATH_MAX], title[256];
    const cln_metrics *last = &s->metrics[s->n_metrics - 1];
    int rc = cln_run_path(&s->run, CLN_RUN_CURVES, path, err);
    snprintf(title, sizeof title, "%s, %s: test %.2f %% after %d epoch%s", s->trainer->net->name, s->trainer->net->norm,
             last->test_acc, last->epoch, last->epoch == 1 ? "" : "s");
    return rc ? rc : cln_figure_curves(path, title, s->metrics, s->n_metrics, err);
}

/* The first ten of the evaluated images whose predicted class is wrong. */
static int draw_mistakes(const session *s, const cln_evaluation *e, cln_error *err)
{
    enum { SHOWN = 10 };
    const cln_dataset *d = s->data;
    const int held = s->set.options.val_split;
    const size_t image = (size_t)d->c * (size_t)d->h * (size_t)d->w, first = held ? d->n_train - (size_t)held : 0;
    const uint8_t *x = held ? d->train_x : d->test_x, *y = held ? d->train_y : d->test_y;
    cln_mistake list[SHOWN];
    char path[CLN_PATH_MAX], title[256];
    int n = 0, wrong = 0;
    for (int i = 0; i < e->n; i++) {
        const int label = y[first + (size_t)i];
        if (e->predicted[i] == label)
            continue;
        wrong++;
        if (n < SHOWN)
            list[n++] = (cln_mistake){x + (first + (size_t)i) * image, d->class_names[label],
                                      d->class_names[e->predicted[i]], e->confidence[i]};
    }
    snprintf(title, sizeof title, "%s, %s: %d of %d test images misclassified; the first %d", s->trainer->net->name,
             s->trainer->net->norm, wrong, e->n, n);
    int rc = cln_run_path(&s->run, CLN_RUN_MISTAKES, path, err);
    return rc ? rc : cln_figure_misclassified(path, title, list, n, d->c, d->h, d->w, err);
}

static int finish(session *s, cln_error *err)
{
    char path[CLN_PATH_MAX], sha[65];
    cln_evaluation e = {0};
    const cln_train_options *o = &s->set.options;
    int rc = cln_trainer_evaluate(s->trainer, &e, err);
    if (!rc)
        rc = draw_mistakes(s, &e, err);
    cln_evaluation_clear(&e);
    if (!rc)
        rc = draw_curves(s, err);
    if (!rc)
        rc = cln_run_path(&s->run, CLN_RUN_MODEL, path, err);
    if (!rc)
        rc = cln_trainer_export(s->trainer, path, err);
    if (!rc)
        rc = cln_trainer_weights_sha256(s->trainer, sha, err);
    if (rc)
        return rc;
    cln_summary summary = {.model = s->trainer->net->name, .norm = o->norm, .device = s->dev->info.name,
                           .weights_sha256 = sha, .params = (int64_t)cln_trainer_param_count(s->trainer), .seed = o->seed};
    cln_summary_of_metrics(&summary, s->metrics, s->n_metrics);
    rc = cln_run_write_summary(&s->run, &summary, err);
    if (!rc && !s->set.quiet)
        printf("%s, %s, %" PRId64 " parameters: train %.2f %%, test %.2f %% after %d epochs (best %.2f %% at %d)\n%s\n",
               summary.model, s->trainer->net->norm, summary.params, summary.train_acc, summary.test_acc, summary.epochs,
               summary.best_test_acc, summary.best_epoch, s->run.dir);
    return rc;
}

/* ---- the job ------------------------------------------------------------------------------------- */

static int save_checkpoint(session *s, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_run_path(&s->run, CLN_RUN_CHECKPOINT, path, err);
    return rc ? rc : cln_trainer_save(s->trainer, path, err);
}

static int keep_metrics(session *s, const cln_metrics *m, cln_error *err)
{
    cln_metrics *grown = realloc(s->metrics, (size_t)(s->n_metrics + 1) * sizeof *grown);
    if (!grown)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    s->metrics = grown;
    s->metrics[s->n_metrics++] = *m;
    return cln_run_add_metrics(&s->run, m, err);
}

/* Epoch after epoch; *interrupted: Ctrl-C came, and the state up to the last step is saved. */
static int train(session *s, bool *interrupted, cln_error *err)
{
    bool bar = !s->set.quiet && isatty(STDERR_FILENO);
    int rc = CLN_OK;
    *interrupted = false;
    while (!rc && !*interrupted && cln_trainer_epochs_done(s->trainer) < s->set.options.epochs) {
        cln_metrics m;
        rc = cln_trainer_epoch(s->trainer, on_progress, &bar, &m, interrupted, err);
        if (!rc && !*interrupted) {
            print_epoch(s, &m, bar);
            rc = keep_metrics(s, &m, err);
        } else if (bar) {
            fprintf(stderr, "\r\033[K");
        }
        if (!rc)
            rc = save_checkpoint(s, err);
        if (!rc && !*interrupted)
            rc = draw_curves(s, err);
        *interrupted = *interrupted || interrupts;
    }
    if (cln_trainer_epochs_done(s->trainer) == s->set.options.epochs)
        *interrupted = false; /* it came after the last step: the run is finished */
    return rc;
}

/* Wrong arithmetic would train wrongly without a word. */
static int check_device(const session *s, cln_error *err)
{
    int rc = cln_first_use_check(s->dev, &s->set.options, s->trainer->net, err);
    if (rc != CLN_ERR_DEVICE || !s->set.allow_failing)
        return rc;
    fprintf(stderr, "clnorm: warning: %s\n", err->text);
    *err = (cln_error){0};
    return CLN_OK;
}

static int set_up(session *s, cln_error *err)
{
    const settings *set = &s->set;
    const char *path = set->data ? set->data : set->resume ? set->data_from_config : NULL;
    int rc = open_run(s, err);
    if (!rc)
        rc = cln_dataset_open(path, &s->data, err);
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
    if (!rc)
        rc = cln_trainer_new(s->dev, s->data, &set->options, &s->trainer, err);
    if (!rc)
        rc = check_device(s, err);
    return rc ? rc : begin_or_resume(s, err);
}

/* Last of all, since a driver may take seconds to hand out what it compiled. */
static void save_kernels(session *s)
{
    if (!s->dev || !s->dev->cold)
        return;
    if (!s->set.quiet)
        cln_cli_notice(NULL, "saving the compiled kernels for the next run ...");
    cln_program_cache_save(s->dev);
}

/* A run that failed half-way loses nothing that its checkpoint has: says how to go on. */
static int add_way_on(const session *s, int rc, cln_error *err)
{
    cln_error first = *err;
    if (rc == CLN_ERR_DIVERGED || !cln_run_has_checkpoint(&s->run))
        return rc;
    CLN_FAIL(err, rc, "%s; then go on with: clnorm train --resume %s", first.text, s->run.dir);
    memcpy(err->where, first.where, sizeof err->where);
    memcpy(err->log, first.log, sizeof err->log);
    return rc;
}

static void clean_up(session *s)
{
    cln_trainer_free(s->trainer);
    cln_device_close(s->dev);
    cln_dataset_free(s->data);
    cln_run_close(&s->run);
    free(s->metrics);
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
        catch_signals();
        if (!s.set.quiet)
            printf("%s, %s, %zu parameters, %d training images, on %s\n", s.trainer->net->name, s.trainer->net->norm,
                   cln_trainer_param_count(s.trainer), s.trainer->train->n, s.dev->info.name);
        fflush(stdout);
        rc = train(&s, &interrupted, &err);
        if (!rc && !interrupted)
            rc = finish(&s, &err);
        if (rc)
            rc = add_way_on(&s, rc, &err);
    }
    if (rc)
        status = cln_cli_fail(&err);
    else
        status = interrupted ? 130 : CLN_EXIT_OK;
    if (!rc && interrupted)
        fprintf(stderr, "clnorm: interrupted; saved. Go on with: clnorm train --resume %s\n", s.run.dir);
    if (!rc)
        save_kernels(&s);
    clean_up(&s);
    return status;
}
