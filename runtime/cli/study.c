/* clnorm study: trains with each norm from several seeds, one run after the other, and goes on where it was stopped. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../job.h"
#include "../study.h"
#include "cli.h"
#include "doctor.h"

enum { MAX_OPTIONS = 80, FIRST_FIELD = 1000 };

typedef struct session {
    cln_study_axes axes;
    cln_given given[MAX_OPTIONS];
    const char *data_path, *device, *out;
    bool plan_only, quiet, allow_failing;
    cln_dataset *data;
    cln_device *dev;
    cln_study *study;
    cln_job job;
    const cln_study_run *run; /* that is under way */
    int number, done, diverged;
    bool bar;
} session;

/* ---- the command line ---------------------------------------------------------------------------- */

static void print_help(void)
{
    printf("usage: clnorm study [OPTION ...]\n"
           "\n"
           "Trains a network with each norm from several seeds, and keeps of every run small JSON files in DIR. Runs of one\n"
           "seed share initial weights, order of images and augmentation. Runs that are finished are not repeated, and one\n"
           "that was interrupted goes on: the same command after Ctrl-C or a crash ends with the same figures. Then\n"
           "clnorm report DIR writes tables, curves and findings.\n"
           "\n"
           "options (default in parentheses):\n"
           "  --norms A,B,C          norms to compare (bn,ln,gn)\n"
           "  --seeds N              seeds 1 to N (5)\n"
           "  --models A,B           built-in networks or .net files (s8)\n"
           "  --batches A,B,C        batch sizes (128); the learning rate goes with them: in proportion for SGD, to their\n"
           "                         root for AdamW\n"
           "  --groups A,B,C         groups of gn (4)\n"
           "  --out DIR              where the study goes (studies/MODEL)\n"
           "  --data PATH            as for clnorm train\n"
           "  --device D             as for clnorm train\n"
           "  --plan                 print the plan and how long it will take, and do nothing\n"
           "  --quiet                print errors only\n"
           "  --allow-failing-device as for clnorm train\n"
           "  --help                 print this\n"
           "\n"
           "Sweeps go out from one base, batch 128 and 4 groups where the lists have them, else the first of each list; the\n"
           "further models run at the base alone. Other settings are those of clnorm train and the same for all runs:\n ");
    for (const cln_field *f = cln_fields; f->name; f++)
        printf(" --%s", f->name);
    printf("\n(but not --model, --norm, --batch and --seed).\n");
}

static bool is_axis(const char *field)
{
    static const char *const names[] = {"model", "norm", "batch", "groups", "seed"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], field) == 0)
            return true;
    return false;
}

static int set_models(cln_study_axes *a, const char *list, cln_error *err)
{
    a->n_models = 0;
    for (const char *at = list;; at++) {
        const size_t n = strcspn(at, ",");
        if (n < 1 || n >= sizeof a->models[0] || a->n_models == CLN_STUDY_MODELS)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--models: '%s' is not a list of at most %d networks", list,
                            CLN_STUDY_MODELS);
        memcpy(a->models[a->n_models], at, n);
        a->models[a->n_models++][n] = '\0';
        at += n;
        if (!*at)
            return CLN_OK;
    }
}

enum { DATA = 256, DEVICE, OUT, NORMS, SEEDS, MODELS, BATCHES, GROUPS, PLAN, QUIET, ALLOW_FAILING, HELP };

static int set_axis(cln_study_axes *a, int option, const char *text, cln_error *err)
{
    int one;
    switch (option) {
    case NORMS: return cln_option_norms("norms", text, a->norms, CLN_STUDY_NORMS, &a->n_norms, err);
    case SEEDS: return cln_option_integers("seeds", text, 1, CLN_STUDY_MAX_SEEDS, &a->seeds, 1, &one, err);
    case MODELS: return set_models(a, text, err);
    case BATCHES: return cln_option_integers("batches", text, 1, 65536, a->batches, CLN_STUDY_VALUES, &a->n_batches, err);
    default: return cln_option_integers("groups", text, 1, 65536, a->groups, CLN_STUDY_VALUES, &a->n_groups, err);
    }
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, session *s, cln_error *err)
{
    struct option options[MAX_OPTIONS] = {
        {"data", required_argument, NULL, DATA},       {"device", required_argument, NULL, DEVICE},
        {"out", required_argument, NULL, OUT},         {"norms", required_argument, NULL, NORMS},
        {"seeds", required_argument, NULL, SEEDS},     {"models", required_argument, NULL, MODELS},
        {"batches", required_argument, NULL, BATCHES}, {"groups", required_argument, NULL, GROUPS},
        {"plan", no_argument, NULL, PLAN},             {"quiet", no_argument, NULL, QUIET},
        {"help", no_argument, NULL, HELP},             {"allow-failing-device", no_argument, NULL, ALLOW_FAILING}};
    int n = HELP - DATA + 1, c, rc = CLN_OK;
    for (int i = 0; cln_fields[i].name && n < MAX_OPTIONS - 1; i++)
        if (!is_axis(cln_fields[i].name))
            options[n++] = (struct option){cln_fields[i].name, required_argument, NULL, FIRST_FIELD + i};
    while (!rc && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case DATA: s->data_path = optarg; break;
        case DEVICE: s->device = optarg; break;
        case OUT: s->out = optarg; break;
        case PLAN: s->plan_only = true; break;
        case QUIET: s->quiet = true; break;
        case ALLOW_FAILING: s->allow_failing = true; break;
        case HELP: print_help(); return CLN_EXIT_OK;
        case '?': return CLN_EXIT_USAGE;
        default:
            if (c < FIRST_FIELD)
                rc = set_axis(&s->axes, c, optarg, err);
            else if (s->axes.n_given == MAX_OPTIONS)
                return cln_cli_usage("study", "too many options");
            else
                s->given[s->axes.n_given++] = (cln_given){&cln_fields[c - FIRST_FIELD], optarg};
        }
    }
    if (rc)
        return cln_cli_fail(err);
    if (optind < argc)
        return cln_cli_usage("study", "'%s' is not an option", argv[optind]);
    s->axes.given = s->given;
    return -1;
}

/* ---- the plan ------------------------------------------------------------------------------------ */

static int check_device(const session *s, const cln_train_options *o, const cln_net *net, cln_error *err)
{
    int rc = cln_first_use_check(s->dev, o, net, err);
    if (rc != CLN_ERR_DEVICE || !s->allow_failing)
        return rc;
    fprintf(stderr, "clnorm: warning: %s\n", err->text);
    *err = (cln_error){0};
    return CLN_OK;
}

/* A short measurement for every kind of run that has not finished from any seed. */
static int measure(session *s, cln_error *err)
{
    cln_study *study = s->study;
    int rc = CLN_OK;
    for (int i = 0; i < study->n_runs && !rc; i++) {
        cln_study_run *run = &study->runs[i];
        if (run->done || !isnan(run->seconds))
            continue;
        if (s->bar)
            fprintf(stderr, "\rmeasuring %s ...\033[K", run->name);
        rc = cln_study_measure(s->dev, s->data, &run->options, &run->seconds, err);
        for (int k = i + 1; k < study->n_runs && !rc; k++)
            if (study->runs[k].point == run->point && !study->runs[k].done &&
                strcmp(study->runs[k].options.norm, run->options.norm) == 0)
                study->runs[k].seconds = run->seconds;
    }
    if (s->bar)
        fprintf(stderr, "\r\033[K");
    return rc;
}

static void print_plan(const session *s)
{
    const cln_study *study = s->study;
    char text[32];
    int unknown;
    printf("%s: %d runs, %d done, on %s\n", study->dir, study->n_runs, s->done, s->dev->info.name);
    for (int i = 0; i < study->n_runs; i++) {
        const cln_study_run *run = &study->runs[i];
        bool first = true; /* of its kind */
        int same = 0;
        for (int k = 0; k < study->n_runs; k++) {
            const cln_study_run *other = &study->runs[k];
            const bool alike = other->point == run->point && strcmp(other->options.norm, run->options.norm) == 0;
            first = first && !(alike && k < i);
            same += alike;
        }
        if (!first)
            continue;
        const cln_train_options *o = &run->options;
        cln_cli_duration(run->seconds, text, sizeof text);
        printf("  %-20.*s %d seed%s, %d epochs, %s, lr %g, about %s each\n",
               (int)(strrchr(run->name, '-') - run->name), run->name, same, same == 1 ? "" : "s", o->epochs,
               o->optimizer == CLN_OPTIMIZER_SGD ? "sgd" : "adamw", o->lr, text);
    }
    cln_cli_duration(cln_study_left(study, &unknown), text, sizeof text);
    printf("about %s to go\n", text);
    fflush(stdout);
}

/* ---- runs ---------------------------------------------------------------------------------------- */

static double others_left(const session *s)
{
    int unknown;
    const cln_study_run *run = s->run;
    return cln_study_left(s->study, &unknown) - run->seconds * (1 - (double)run->epochs_done / run->options.epochs);
}

static bool on_progress(void *arg, const cln_progress *p)
{
    enum { WIDTH = 20 };
    static const char hashes[] = "####################", dots[] = "....................";
    const session *s = arg;
    if (s->bar && p->images_per_second > 0) {
        char left[32];
        const int n = s->study->n_runs;
        const double here = (p->epoch - 1 + (double)p->step / p->steps) / p->epochs;
        const int full = (int)((s->done + here) * WIDTH / n);
        cln_cli_duration(p->seconds_left + others_left(s), left, sizeof left);
        fprintf(stderr, "\r[%.*s%.*s] %d/%d %s, epoch %d/%d, %.2f %%, %.0f images/s, %s left \033[K", full, hashes,
                WIDTH - full, dots, s->number, n, s->run->name, p->epoch, p->epochs, p->acc, p->images_per_second, left);
    }
    return !cln_cli_interrupted();
}

static bool on_epoch(void *arg, const cln_metrics *m)
{
    (void)arg;
    (void)m;
    return !cln_cli_interrupted();
}

static void print_run(const session *s, const cln_summary *r)
{
    char took[32], left[32];
    int unknown;
    if (s->bar)
        fprintf(stderr, "\r\033[K");
    if (s->quiet)
        return;
    cln_cli_duration(r->seconds, took, sizeof took);
    cln_cli_duration(cln_study_left(s->study, &unknown), left, sizeof left);
    printf("%3d/%d  %-20s train %6.2f %%  test %6.2f %%  %5.0f images/s  %s  (%s left)\n", s->number, s->study->n_runs,
           s->run->name, r->train_acc, r->test_acc, r->images_per_second, took, left);
    fflush(stdout);
}

/* A run that was begun goes on; anything else in its folder is of no use. */
static int open_run(session *s, const cln_study_run *run, bool *resume, cln_error *err)
{
    char dir[CLN_PATH_MAX], path[CLN_PATH_MAX];
    int rc = cln_study_path(s->study, run, dir, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, dir, CLN_RUN_CONFIG, err);
    *resume = !rc && cln_file_exists(path);
    return rc ? rc : cln_run_open(&s->job.run, dir, *resume ? CLN_RUN_RESUME : CLN_RUN_OVERWRITE, err);
}

static int train_run(session *s, const cln_study_run *run, cln_summary *summary, bool *interrupted, cln_error *err)
{
    const cln_job_watch watch = {on_progress, on_epoch, s};
    bool resume;
    s->job = (cln_job){.dev = s->dev, .data = s->data, .options = run->options, .small = true};
    int rc = open_run(s, run, &resume, err);
    if (!rc)
        rc = cln_trainer_new(s->dev, s->data, &run->options, &s->job.trainer, err);
    if (!rc)
        rc = check_device(s, &run->options, s->job.trainer->net, err);
    if (!rc)
        rc = cln_job_begin(&s->job, resume, err);
    if (!rc)
        rc = cln_job_train(&s->job, &watch, interrupted, err);
    if (!rc && !*interrupted)
        rc = cln_job_finish(&s->job, summary, err);
    return rc;
}

/* A run that diverges, and would again, must not keep the others from running. */
static int run_one(session *s, cln_study_run *run, bool *interrupted, cln_error *err)
{
    cln_summary summary = {0};
    s->run = run;
    int rc = train_run(s, run, &summary, interrupted, err);
    if (s->bar)
        fprintf(stderr, "\r\033[K");
    if (!rc && !*interrupted) {
        run->done = true;
        run->seconds = summary.seconds;
        s->done++;
        cln_study_expect(s->study);
        print_run(s, &summary);
    }
    if (rc == CLN_ERR_DIVERGED) {
        fprintf(stderr, "clnorm: %s: %s\n", run->name, err->text);
        *err = (cln_error){0};
        s->diverged++;
        rc = CLN_OK;
    }
    cln_job_clear(&s->job);
    return rc;
}

/* A run that was killed between its summary and the end has a checkpoint of no use. */
static int tidy(session *s, const cln_study_run *run, cln_error *err)
{
    cln_run folder = {0};
    int rc = cln_study_path(s->study, run, folder.dir, err);
    return rc ? rc : cln_run_drop_checkpoint(&folder, err);
}

static int run_all(session *s, bool *interrupted, cln_error *err)
{
    int rc = cln_study_begin(s->study, err);
    if (!rc) /* again under the lock: another process may have just ended */
        rc = cln_study_look(s->study, err);
    for (int i = 0; i < s->study->n_runs && !rc && !*interrupted; i++) {
        cln_study_run *run = &s->study->runs[i];
        s->number = i + 1;
        rc = run->done ? tidy(s, run, err) : run_one(s, run, interrupted, err);
        *interrupted = *interrupted || (i + 1 < s->study->n_runs && cln_cli_interrupted());
    }
    if (!rc && !*interrupted && s->diverged)
        rc = CLN_FAIL(err, CLN_ERR_DIVERGED, "%d of the %d runs in %s diverged: a lower --lr in another --out may help",
                      s->diverged, s->study->n_runs, s->study->dir);
    return rc;
}

/* ---- the study ----------------------------------------------------------------------------------- */

static int set_up(session *s, cln_error *err)
{
    char dir[CLN_PATH_MAX];
    const char *model = s->axes.models[0], *slash = strrchr(model, '/');
    int rc = cln_dataset_open(s->data_path, &s->data, err);
    if (rc)
        return rc;
    snprintf(dir, sizeof dir, "studies/%s", slash ? slash + 1 : model);
    rc = cln_study_new(&s->axes, s->out ? s->out : dir, s->data, &s->study, err);
    if (!rc)
        rc = cln_study_look(s->study, err);
    if (!rc)
        rc = cln_device_open(s->device, false, &s->dev, err);
    if (rc)
        return rc;
    if (s->data->sample && !s->quiet)
        fprintf(stderr, "clnorm: a study on the bundled sample (%zu training and %zu test images of CIFAR-10) is for trying "
                        "things out; for all of it run `clnorm fetch` or give --data PATH\n",
                s->data->n_train, s->data->n_test);
    if (!s->quiet)
        cln_device_set_notice(s->dev, cln_cli_notice, NULL);
    for (int i = 0; i < s->study->n_runs; i++)
        s->done += s->study->runs[i].done;
    rc = cln_device_probe(s->dev, err);
    if (!rc && !s->quiet)
        rc = measure(s, err);
    return rc;
}

static void clean_up(session *s)
{
    if (s->dev && s->dev->cold)
        cln_program_cache_save(s->dev);
    cln_job_clear(&s->job);
    cln_study_free(s->study);
    cln_device_close(s->dev);
    cln_dataset_free(s->data);
}

int cln_cmd_study(int argc, char **argv)
{
    session s = {0};
    cln_error err = {0};
    bool interrupted = false;
    cln_study_defaults(&s.axes);
    int status = parse(argc, argv, &s, &err);
    if (status >= 0)
        return status;
    s.bar = !s.quiet && isatty(STDERR_FILENO);
    int rc = set_up(&s, &err);
    if (!rc && !s.quiet)
        print_plan(&s);
    if (!rc && !s.plan_only) {
        cln_cli_catch_signals();
        rc = run_all(&s, &interrupted, &err);
    }
    status = rc ? cln_cli_fail(&err) : interrupted ? 130 : CLN_EXIT_OK;
    if (!rc && interrupted)
        fprintf(stderr, "clnorm: interrupted; saved. The same command goes on\n");
    else if (!rc && !s.plan_only && !s.quiet)
        printf("%d of %d runs are done; now: clnorm report %s\n", s.done, s.study->n_runs, s.study->dir);
    clean_up(&s);
    return status;
}
