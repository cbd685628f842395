#include "runs.h"

#include "cli.h"
#include "doctor.h"
#include "../net.h"
#include "../result.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

enum { DATA = 256, DEVICE, OUT, JOBS, PLAN, QUIET, ALLOW_FAILING, HELP, SEED, FIRST_AXIS = 1000, FIRST_FIELD = 2000 };

static void list_options(const cln_runs_command *command, struct option options[CLN_RUNS_OPTIONS])
{
    static const struct option common[] = {
        {"data", required_argument, NULL, DATA}, {"device", required_argument, NULL, DEVICE},
        {"out", required_argument, NULL, OUT},   {"jobs", required_argument, NULL, JOBS},
        {"plan", no_argument, NULL, PLAN},       {"quiet", no_argument, NULL, QUIET},
        {"help", no_argument, NULL, HELP},       {"allow-failing-device", no_argument, NULL, ALLOW_FAILING},
        {"seed", required_argument, NULL, SEED}}; /* else it were an abbreviation of --seeds */
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
    int rc = CLN_OK, one;
    list_options(command, options);
    for (int c; !rc && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case DATA: out->data_path = optarg; break;
        case DEVICE: out->device = optarg; break;
        case OUT: out->out = optarg; break;
        case JOBS: rc = cln_option_integers("jobs", optarg, 1, CLN_CREW_MAX, &out->jobs, 1, &one, err); break;
        case PLAN: out->plan_only = true; break;
        case QUIET: out->quiet = true; break;
        case ALLOW_FAILING: out->allow_failing = true; break;
        case HELP: command->print_help(); return CLN_EXIT_OK;
        case SEED: return cln_cli_usage(command->word, "there is no --seed: --seeds N trains with the seeds 1 to N");
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
        if (rc == CLN_ERR_DIVERGED) { /* it will tell when its turn comes, and takes no time */
            *err = (cln_error){0};
            run->seconds = 0;
            rc = CLN_OK;
        }
        for (int k = i + 1; k < study->n_runs && !rc; k++)
            if (!study->runs[k].done && cln_study_alike(&study->runs[k], run))
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
    char name[CLN_PATH_MAX / 2];
    cln_net_name(model, name, sizeof name);
    if (s->out)
        snprintf(dir, CLN_PATH_MAX, "%s", s->out);
    else
        snprintf(dir, CLN_PATH_MAX, "%s/%s", parent, name);
}

static int look(cln_runs *s, cln_error *err)
{
    int rc = cln_study_look(s->study, err);
    s->done = 0;
    for (int i = 0; i < s->study->n_runs; i++)
        s->done += s->study->runs[i].done;
    return rc;
}

/* A CPU device of PoCL can be told how many cores to take. */
static int shared_cores(const cln_device_info *d)
{
    return d->type == CL_DEVICE_TYPE_CPU && strstr(d->platform_name, "Portable Computing Language") ? (int)d->compute_units : 0;
}

static void close_device(cln_runs *s)
{
    if (s->dev && s->dev->cold)
        cln_program_cache_save(s->dev);
    cln_device_close(s->dev);
}

static int scout(void *arg, cln_member *m)
{
    cln_runs *s = arg;
    int rc = cln_device_open(s->device, false, &s->dev, &m->err);
    if (!rc && !s->quiet)
        cln_device_set_notice(s->dev, cln_cli_notice, NULL);
    if (!rc)
        rc = cln_device_probe(s->dev, &m->err);
    if (!rc && !s->quiet)
        rc = measure(s, &m->err);
    if (rc) {
        cln_device_close(s->dev);
        return rc;
    }
    snprintf(s->board->device, sizeof s->board->device, "%s", s->dev->info.name);
    s->board->cores = shared_cores(&s->dev->info);
    for (int i = 0; i < s->study->n_runs; i++)
        s->board->runs[i].seconds = s->study->runs[i].seconds;
    close_device(s);
    return CLN_OK;
}

/* Each run by itself has all cores while it is measured; `jobs` at a time share them. */
static void share_out(cln_runs *s)
{
    enum { MOST = 8 };
    cln_study *study = s->study;
    const int left = study->n_runs - s->done;
    if (s->jobs == 0)
        s->jobs = s->board->cores < 1 ? 1 : s->board->cores < MOST ? s->board->cores : MOST;
    if (s->jobs > left)
        s->jobs = left > 0 ? left : 1;
    for (int i = 0; i < study->n_runs; i++)
        if (isnan(study->runs[i].seconds))
            study->runs[i].seconds = s->board->runs[i].seconds * s->jobs;
}

int cln_runs_set_up(cln_runs *s, cln_error *err)
{
    cln_lock probe = {0};
    int rc = look(s, err);
    if (!rc && !s->plan_only && cln_file_exists(s->study->dir)) /* before cores are taken from the one that holds it */
        rc = cln_lock_take(&probe, s->study->dir, err);
    cln_lock_drop(&probe);
    if (!rc)
        rc = cln_board_new(s->study->n_runs, &s->board, err);
    if (!rc && s->data->sample && !s->quiet)
        fprintf(stderr, "clnorm: runs on the bundled sample (%zu training and %zu test images of CIFAR-10) are for trying "
                        "things out; for all of it run `clnorm fetch` or give --data PATH\n",
                s->data->n_train, s->data->n_test);
    if (!rc)
        rc = cln_crew_start(s->board, 0, 0, scout, s, err);
    if (rc)
        return rc;
    cln_crew_runs(s->board, 0, true);
    if (s->board->members[0].rc) {
        *err = s->board->members[0].err;
        return s->board->members[0].rc;
    }
    share_out(s);
    return CLN_OK;
}

/* ---- a process that trains ----------------------------------------------------------------------- */

static bool goes_on(const cln_runs *s) { return !cln_cli_interrupted() && !atomic_load(&s->board->stop); }

static bool on_progress(void *arg, const cln_progress *p)
{
    const cln_runs *s = arg;
    const double epochs = p->epoch - 1 + (double)p->step / p->steps;
    atomic_store(&s->self->permille, (int)(1000 * epochs / p->epochs));
    if (p->images_per_second > 0)
        atomic_store(&s->self->images_per_second, (int)p->images_per_second);
    return goes_on(s);
}

static bool on_epoch(void *arg, const cln_metrics *m)
{
    (void)m;
    return goes_on(arg);
}

/* A run that was begun goes on from its checkpoint; anything else in its folder is of no use. */
static int open_run(cln_runs *s, const cln_study_run *run, bool *resume, cln_error *err)
{
    char dir[CLN_PATH_MAX], path[CLN_PATH_MAX];
    int rc = cln_study_path(s->study, run, dir, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, dir, CLN_RUN_CHECKPOINT, err);
    *resume = !rc && cln_file_exists(path);
    return rc ? rc : cln_run_open(&s->job.run, dir, *resume ? CLN_RUN_RESUME : CLN_RUN_OVERWRITE, err);
}

static int train_run(cln_runs *s, const cln_study_run *run, bool *interrupted, cln_error *err)
{
    const cln_job_watch watch = {on_progress, on_epoch, s};
    cln_summary summary;
    bool resume;
    s->job = (cln_job){.dev = s->dev, .data = s->data, .options = run->options, .small = true};
    int rc = open_run(s, run, &resume, err);
    if (!rc)
        rc = cln_job_tune(&s->job, resume, err);
    if (!rc)
        rc = cln_job_plan(&s->job, err);
    if (!rc)
        rc = cln_first_use_check(s->dev, &run->options, s->job.trainer->net, s->allow_failing, err);
    if (!rc)
        rc = cln_job_begin(&s->job, resume, err);
    if (!rc)
        rc = cln_job_train(&s->job, &watch, interrupted, err);
    if (!rc && !*interrupted)
        rc = cln_job_finish(&s->job, &summary, err);
    return rc;
}

/* A run that diverges, and would again, must not keep the others from running. */
static int run_one(cln_runs *s, int i, cln_member *m)
{
    const cln_study_run *run = &s->study->runs[i];
    atomic_store(&m->run, i);
    int rc = train_run(s, run, &m->interrupted, &m->err);
    if (rc == CLN_ERR_DIVERGED) {
        fprintf(stderr, "%sclnorm: %s: %s\n", s->bar ? "\r\033[K" : "", run->name, m->err.text);
        m->err = (cln_error){0};
        s->board->runs[i].diverged = true;
        m->interrupted = false; /* it is not done, but nobody stopped it */
        rc = CLN_OK;
    } else if (cln_cli_cut_off(rc)) {
        m->err = (cln_error){0};
        m->interrupted = true;
        rc = CLN_OK;
    }
    cln_job_clear(&s->job);
    atomic_store(&m->permille, 0);
    atomic_store(&m->images_per_second, 0);
    return rc;
}

/* A run that was killed between its summary and the end has a checkpoint of no use. */
static int tidy(cln_runs *s, const cln_study_run *run, cln_error *err)
{
    cln_run folder = {0};
    int rc = cln_study_path(s->study, run, folder.dir, err);
    return rc ? rc : cln_run_drop_checkpoint(&folder, err);
}

static int train(void *arg, cln_member *m)
{
    cln_runs *s = arg;
    s->self = m;
    int rc = cln_device_open(s->device, false, &s->dev, &m->err); /* the scout has told of a cold compile */
    for (int i; !rc && !m->interrupted && (i = atomic_fetch_add(&s->board->next, 1)) < s->study->n_runs;) {
        const cln_study_run *run = &s->study->runs[i];
        if (run->done)
            rc = tidy(s, run, &m->err);
        else if (s->board->runs[i].diverged)
            continue;
        else if (goes_on(s))
            rc = run_one(s, i, m);
        else
            m->interrupted = true;
    }
    if (rc)
        atomic_store(&s->board->stop, true);
    close_device(s);
    return rc;
}

/* ---- the process that looks on ------------------------------------------------------------------- */

double cln_runs_left(const cln_runs *s)
{
    const int open = s->study->n_runs - s->done;
    const double each = s->whole > 0 ? (double)s->jobs / s->whole : 1; /* of what a run takes among so many */
    return each * cln_study_left(s->study) / (open > 0 && open < s->jobs ? open : s->jobs);
}

static void print_run(const cln_runs *s, int number, const cln_result *r)
{
    char took[32], to_go[32];
    if (s->bar)
        fprintf(stderr, "\r\033[K");
    cln_cli_duration(r->seconds, took, sizeof took);
    cln_cli_duration(cln_runs_left(s), to_go, sizeof to_go);
    printf("%3d/%d  %-20s train %6.2f %%  %s %6.2f %%  %5.0f images/s  %s  (%s left)\n", number, s->study->n_runs,
           s->study->runs[number - 1].name, r->train_acc, r->options.val_split ? "held out" : "test", r->test_acc,
           r->images_per_second, took, to_go);
    fflush(stdout);
}

/* What has been done since the last look. */
static int report(cln_runs *s, cln_error *err)
{
    bool *before = calloc((size_t)s->study->n_runs + 1, sizeof *before);
    int rc = before ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    for (int i = 0; i < s->study->n_runs && !rc; i++)
        before[i] = s->study->runs[i].done;
    if (!rc)
        rc = look(s, err);
    for (int i = 0; i < s->study->n_runs && !rc && !s->quiet; i++) {
        const cln_study_run *run = &s->study->runs[i];
        char dir[CLN_PATH_MAX];
        cln_result result = {0};
        if (before[i] || !run->done)
            continue;
        rc = cln_study_path(s->study, run, dir, err);
        if (!rc)
            rc = cln_result_read(dir, &result, err);
        if (!rc)
            print_run(s, i + 1, &result);
        cln_result_clear(&result);
    }
    free(before);
    return rc;
}

static void draw_bar(const cln_runs *s)
{
    enum { WIDTH = 20 };
    static const char hashes[] = "####################", dots[] = "....................";
    const int n = s->study->n_runs;
    double done = s->done;
    char to_go[32];
    int rate = 0, busy = 0;
    for (int k = 0; k < s->jobs; k++) {
        const int r = atomic_load(&s->board->members[k].images_per_second);
        done += atomic_load(&s->board->members[k].permille) / 1000.0;
        rate += r;
        busy += r > 0;
    }
    const int full = (int)(fmin(done, n) * WIDTH / n); /* one that has just ended may count twice, or not at all, for a moment */
    cln_cli_duration(cln_runs_left(s), to_go, sizeof to_go);
    fprintf(stderr, "\r[%.*s%.*s] %d/%d done, %d under way, %d images/s, %s left \033[K", full, hashes, WIDTH - full, dots,
            s->done, n, busy, rate, to_go);
}

/* Whether a member's run would gain from more cores: much of it is still to come, and its norm's time is known from another. */
static bool can_share_anew(const cln_runs *s, const cln_member *m)
{
    const double least = 0.25, seconds = 5; /* to stop it and to begin again costs one; its time is lost to the report */
    const cln_study_run *run = &s->study->runs[atomic_load(&m->run)];
    const double before = (double)run->epochs_done / run->options.epochs, now = atomic_load(&m->permille) / 1000.0;
    const double rest = 1 - (before > now ? before : now);
    bool known = false;
    for (int i = 0; i < s->study->n_runs && !known; i++)
        known = s->study->runs[i].done && cln_study_alike(&s->study->runs[i], run);
    return known && rest >= least && rest * run->seconds >= seconds;
}

/* Whether the others are to have the cores of members that found no run to take. A process keeps the cores that it began
 * with, so they are stopped, and go on in new ones. */
static bool shares_anew(const cln_runs *s, int alive)
{
    const cln_board *b = s->board;
    if (alive == 0 || alive == s->jobs || b->cores < s->jobs || b->cores / alive == b->cores / s->jobs ||
        atomic_load(&b->stop) || atomic_load(&b->next) < s->study->n_runs)
        return false;
    for (int k = 0; k < s->jobs; k++) {
        const cln_member *m = &b->members[k];
        if (m->pid ? !can_share_anew(s, m) : m->rc || m->interrupted)
            return false;
    }
    return true;
}

/* Returns once all members have ended; *anew: since fewer are to go on. */
static int look_on(cln_runs *s, bool *anew, cln_error *err)
{
    enum { MILLISECONDS = 100, TURNS = 10 };
    const struct timespec pause = {.tv_nsec = MILLISECONDS * 1000000L};
    int rc = CLN_OK;
    for (int alive = 1, turn = 0; alive > 0 && !rc; turn++) {
        alive = 0;
        for (int k = 0; k < s->jobs; k++)
            alive += cln_crew_runs(s->board, k, false);
        if (turn % TURNS == 0 || alive < s->jobs) /* to look at every run's folder takes a hundredth of a core, ten times a second */
            rc = report(s, err);
        if (s->bar)
            draw_bar(s);
        if (!rc && shares_anew(s, alive))
            *anew = true;
        if (*anew || cln_cli_interrupted())
            atomic_store(&s->board->stop, true);
        if (alive > 0)
            nanosleep(&pause, NULL);
    }
    if (s->bar)
        fprintf(stderr, "\r\033[K");
    return rc;
}

/* One crew, from its start to its end. */
static int train_together(cln_runs *s, bool *anew, bool *interrupted, cln_error *err)
{
    int rc = CLN_OK;
    atomic_store(&s->board->next, 0);
    atomic_store(&s->board->stop, false);
    for (int k = 0; k < s->jobs && !rc; k++) {
        s->board->members[k] = (cln_member){0};
        rc = cln_crew_start(s->board, k, s->jobs > 1 ? s->board->cores / s->jobs : 0, train, s, err);
    }
    if (!rc)
        rc = look_on(s, anew, err);
    if (rc)
        atomic_store(&s->board->stop, true);
    for (int k = 0; k < s->jobs; k++) {
        cln_member *m = &s->board->members[k];
        cln_crew_runs(s->board, k, true);
        if (m->rc && !rc) {
            rc = m->rc;
            *err = m->err;
        }
        *interrupted = *interrupted || m->interrupted;
    }
    return rc;
}

int cln_runs_train(cln_runs *s, bool *interrupted, cln_error *err)
{
    bool anew = true;
    s->whole = s->jobs;
    int rc = cln_study_begin(s->study, err);
    if (!rc) /* again under the lock: another process may have just ended */
        rc = look(s, err);
    while (!rc && anew) {
        anew = *interrupted = false;
        rc = train_together(s, &anew, interrupted, err);
        s->diverged = 0;
        for (int i = 0; i < s->study->n_runs; i++)
            s->diverged += s->board->runs[i].diverged;
        anew = anew && *interrupted && !cln_cli_interrupted();
        const int open = s->study->n_runs - s->done - s->diverged;
        if (anew && open < s->jobs)
            s->jobs = open;
    }
    return rc;
}

void cln_runs_close(cln_runs *s)
{
    cln_board_free(s->board, s->study ? s->study->n_runs : 0);
    cln_study_free(s->study);
    cln_dataset_free(s->data);
}
