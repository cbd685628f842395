#include "runs.h"

#include "cli.h"
#include "doctor.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the command line ---------------------------------------------------------------------------- */

static bool is_listed(const char *name, const char *const *list)
{
    while (*list && strcmp(name, *list) != 0)
        list++;
    return *list != NULL;
}

void cln_runs_print_settings(const char *const *fixed)
{
    enum { COLUMNS = 110 };
    size_t column = 1;
    for (const cln_field *f = cln_fields; f->name; f++) {
        const size_t width = strlen(f->name) + 3;
        if (is_listed(f->name, fixed))
            continue;
        if (column + width > COLUMNS)
            printf("\n ");
        column = column + width > COLUMNS ? 1 + width : column + width;
        printf(" --%s", f->name);
    }
}

enum { DATA = 256, DEVICE, OUT, PLAN, QUIET, ALLOW_FAILING, HELP, FIRST_AXIS = 1000, FIRST_FIELD = 2000 };

static void list_options(const cln_runs_command *command, struct option options[CLN_RUNS_OPTIONS])
{
    static const struct option common[] = {
        {"data", required_argument, NULL, DATA}, {"device", required_argument, NULL, DEVICE},
        {"out", required_argument, NULL, OUT},   {"plan", no_argument, NULL, PLAN},
        {"quiet", no_argument, NULL, QUIET},     {"allow-failing-device", no_argument, NULL, ALLOW_FAILING},
        {"help", no_argument, NULL, HELP}};
    int n = sizeof common / sizeof common[0];
    memcpy(options, common, sizeof common);
    for (int i = 0; command->axes[i] && n < CLN_RUNS_OPTIONS - 1; i++)
        options[n++] = (struct option){command->axes[i], required_argument, NULL, FIRST_AXIS + i};
    for (int i = 0; cln_fields[i].name && n < CLN_RUNS_OPTIONS - 1; i++)
        if (!is_listed(cln_fields[i].name, command->fixed))
            options[n++] = (struct option){cln_fields[i].name, required_argument, NULL, FIRST_FIELD + i};
    options[n] = (struct option){0};
}

int cln_runs_parse(int argc, char **argv, const cln_runs_command *command, void *axes, cln_runs *out, cln_error *err)
{
    struct option options[CLN_RUNS_OPTIONS];
    int rc = CLN_OK;
    list_options(command, options);
    for (int c; !rc && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case DATA: out->data_path = optarg; break;
        case DEVICE: out->device = optarg; break;
        case OUT: out->out = optarg; break;
        case PLAN: out->plan_only = true; break;
        case QUIET: out->quiet = true; break;
        case ALLOW_FAILING: out->allow_failing = true; break;
        case HELP: command->print_help(); return CLN_EXIT_OK;
        case '?': return CLN_EXIT_USAGE;
        default:
            if (c < FIRST_FIELD)
                rc = command->set_axis(axes, c - FIRST_AXIS, optarg, err);
            else if (out->n_given == CLN_RUNS_OPTIONS)
                return cln_cli_usage(command->word, "too many options");
            else
                out->given[out->n_given++] = (cln_given){&cln_fields[c - FIRST_FIELD], optarg};
        }
    }
    if (rc)
        return cln_cli_fail(err);
    return optind < argc ? cln_cli_usage(command->word, "'%s' is not an option", argv[optind]) : -1;
}

/* ---- before the first run ------------------------------------------------------------------------ */

static int check_device(const cln_runs *s, const cln_train_options *o, const cln_net *net, cln_error *err)
{
    int rc = cln_first_use_check(s->dev, o, net, err);
    if (rc != CLN_ERR_DEVICE || !s->allow_failing)
        return rc;
    fprintf(stderr, "clnorm: warning: %s\n", err->text);
    *err = (cln_error){0};
    return CLN_OK;
}

/* A short measurement for every kind of run that has not finished from any seed. */
static int measure(cln_runs *s, cln_error *err)
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

int cln_runs_data(cln_runs *s, cln_error *err)
{
    s->bar = !s->quiet && isatty(STDERR_FILENO);
    return cln_dataset_open(s->data_path, &s->data, err);
}

void cln_runs_folder(const cln_runs *s, const char *parent, const char *model, char dir[CLN_PATH_MAX])
{
    const char *slash = strrchr(model, '/');
    if (s->out)
        snprintf(dir, CLN_PATH_MAX, "%s", s->out);
    else
        snprintf(dir, CLN_PATH_MAX, "%s/%s", parent, slash ? slash + 1 : model);
}

static int look(cln_runs *s, cln_error *err)
{
    int rc = cln_study_look(s->study, err);
    s->done = 0;
    for (int i = 0; i < s->study->n_runs; i++)
        s->done += s->study->runs[i].done;
    return rc;
}

int cln_runs_set_up(cln_runs *s, cln_error *err)
{
    int rc = look(s, err);
    if (!rc)
        rc = cln_device_open(s->device, false, &s->dev, err);
    if (rc)
        return rc;
    if (s->data->sample && !s->quiet)
        fprintf(stderr, "clnorm: runs on the bundled sample (%zu training and %zu test images of CIFAR-10) are for trying "
                        "things out; for all of it run `clnorm fetch` or give --data PATH\n",
                s->data->n_train, s->data->n_test);
    if (!s->quiet)
        cln_device_set_notice(s->dev, cln_cli_notice, NULL);
    rc = cln_device_probe(s->dev, err);
    if (!rc && !s->quiet)
        rc = measure(s, err);
    return rc;
}

/* ---- runs ---------------------------------------------------------------------------------------- */

static double others_left(const cln_runs *s)
{
    const cln_study_run *run = s->run;
    return cln_study_left(s->study) - run->seconds * (1 - (double)run->epochs_done / run->options.epochs);
}

static bool on_progress(void *arg, const cln_progress *p)
{
    enum { WIDTH = 20 };
    static const char hashes[] = "####################", dots[] = "....................";
    const cln_runs *s = arg;
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

static void print_run(const cln_runs *s, const cln_summary *r)
{
    char took[32], left[32];
    if (s->bar)
        fprintf(stderr, "\r\033[K");
    if (s->quiet)
        return;
    cln_cli_duration(r->seconds, took, sizeof took);
    cln_cli_duration(cln_study_left(s->study), left, sizeof left);
    printf("%3d/%d  %-20s train %6.2f %%  %s %6.2f %%  %5.0f images/s  %s  (%s left)\n", s->number, s->study->n_runs,
           s->run->name, r->train_acc, s->run->options.val_split ? "held out" : "test", r->test_acc, r->images_per_second, took, left);
    fflush(stdout);
}

/* A run that was begun goes on; anything else in its folder is of no use. */
static int open_run(cln_runs *s, const cln_study_run *run, bool *resume, cln_error *err)
{
    char dir[CLN_PATH_MAX], path[CLN_PATH_MAX];
    int rc = cln_study_path(s->study, run, dir, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, dir, CLN_RUN_CONFIG, err);
    *resume = !rc && cln_file_exists(path);
    return rc ? rc : cln_run_open(&s->job.run, dir, *resume ? CLN_RUN_RESUME : CLN_RUN_OVERWRITE, err);
}

static int train_run(cln_runs *s, const cln_study_run *run, cln_summary *summary, bool *interrupted, cln_error *err)
{
    const cln_job_watch watch = {on_progress, on_epoch, s};
    bool resume;
    s->job = (cln_job){.dev = s->dev, .data = s->data, .options = run->options, .small = true};
    int rc = open_run(s, run, &resume, err);
    if (!rc)
        rc = cln_job_plan(&s->job, resume, err);
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
static int run_one(cln_runs *s, cln_study_run *run, bool *interrupted, cln_error *err)
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
        *interrupted = false; /* it is not done, but nobody stopped it */
        rc = CLN_OK;
    }
    cln_job_clear(&s->job);
    return rc;
}

/* A run that was killed between its summary and the end has a checkpoint of no use. */
static int tidy(cln_runs *s, const cln_study_run *run, cln_error *err)
{
    cln_run folder = {0};
    int rc = cln_study_path(s->study, run, folder.dir, err);
    return rc ? rc : cln_run_drop_checkpoint(&folder, err);
}

int cln_runs_train(cln_runs *s, bool *interrupted, cln_error *err)
{
    int rc = cln_study_begin(s->study, err);
    if (!rc) /* again under the lock: another process may have just ended */
        rc = look(s, err);
    for (int i = 0; i < s->study->n_runs && !rc && !*interrupted; i++) {
        cln_study_run *run = &s->study->runs[i];
        s->number = i + 1;
        rc = run->done ? tidy(s, run, err) : run_one(s, run, interrupted, err);
        *interrupted = *interrupted || (i + 1 < s->study->n_runs && cln_cli_interrupted());
    }
    return rc;
}

void cln_runs_close(cln_runs *s)
{
    if (s->dev && s->dev->cold)
        cln_program_cache_save(s->dev);
    cln_job_clear(&s->job);
    cln_study_free(s->study);
    cln_device_close(s->dev);
    cln_dataset_free(s->data);
}
