/* clnorm report: tables, pictures and findings of finished runs. */
#include <dirent.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../comparison.h"
#include "../study_report.h"
#include "bench.h"
#include "cli.h"

enum { MAX_COSTS = 16, MAX_ENTRIES = 4096 };

typedef struct session {
    const char *out, *bench;
    cln_result *runs;
    int n, unfinished;
    cln_report_cost costs[MAX_COSTS];
    int n_costs;
    char source[512];
} session;

static void print_help(void)
{
    printf("usage: clnorm report DIR ... [OPTION ...]\n"
           "\n"
           "Reports on the finished runs in each DIR, a study's folder or that of a single run: report.html, which is whole in\n"
           "itself, and report.md with its pictures beside it. Accuracy by norm with intervals and tests over seeds, curves,\n"
           "confusion, misclassified images, sweeps, costs, and what the numbers say.\n"
           "\n"
           "options (default in parentheses):\n"
           "  --out DIR     where the report goes (the first DIR)\n"
           "  --bench FILE  what clnorm bench step --json FILE wrote: adds each norm's step and inference\n"
           "  --help        print this\n");
}

/* ---- runs ---------------------------------------------------------------------------------------- */

static int add_run(session *s, const char *dir, cln_error *err)
{
    cln_result *grown = realloc(s->runs, (size_t)(s->n + 1) * sizeof *grown);
    if (!grown)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for %d runs", s->n + 1);
    s->runs = grown;
    s->runs[s->n] = (cln_result){0};
    int rc = cln_result_read(dir, &s->runs[s->n], err);
    s->n += rc == CLN_OK;
    return rc;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Names in dir that may be runs, in order; to be freed one by one. */
static int list_names(const char *dir, char **names, int *n, cln_error *err)
{
    DIR *stream = opendir(dir);
    const struct dirent *entry;
    int rc = CLN_OK;
    *n = 0;
    if (!stream)
        return CLN_FAIL(err, CLN_ERR_IO, "cannot read %s: it is no folder that can be opened", dir);
    while (!rc && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (*n == MAX_ENTRIES)
            rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s holds more than %d entries: it is no study's folder", dir, MAX_ENTRIES);
        else if (!(names[*n] = strdup(entry->d_name)))
            rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to list %s", dir);
        else
            ++*n;
    }
    closedir(stream);
    qsort(names, (size_t)*n, sizeof *names, by_name);
    return rc;
}

/* A folder below a study's is a run where there is a config.json. */
static int add_below(session *s, const char *dir, const char *name, cln_error *err)
{
    char path[CLN_PATH_MAX], config[CLN_PATH_MAX];
    int rc = cln_path_join(path, sizeof path, dir, name, err);
    if (!rc)
        rc = cln_path_join(config, sizeof config, path, CLN_RUN_CONFIG, err);
    if (rc || !cln_file_exists(config))
        return rc;
    if (cln_result_there(path))
        return add_run(s, path, err);
    s->unfinished++;
    return CLN_OK;
}

static int add_folder(session *s, const char *dir, cln_error *err)
{
    static char *names[MAX_ENTRIES];
    const int before = s->n;
    int n, rc;
    if (cln_result_there(dir))
        return add_run(s, dir, err);
    rc = list_names(dir, names, &n, err);
    for (int i = 0; i < n; i++) {
        if (!rc)
            rc = add_below(s, dir, names[i], err);
        free(names[i]);
    }
    if (!rc && s->n == before)
        rc = CLN_FAIL(err, CLN_ERR_IO, "%s holds no finished run: it is to be the folder of clnorm study or clnorm train", dir);
    return rc;
}

/* By model and norm: folders come by name. */
static int by_place(const void *a, const void *b)
{
    const cln_result *x = a, *y = b;
    const int model = strcmp(x->model, y->model), norm = cln_norm_place(x->options.norm) - cln_norm_place(y->options.norm);
    return model ? model : norm ? norm : strcmp(x->dir, y->dir);
}

/* ---- the bench ----------------------------------------------------------------------------------- */

static cln_report_cost *cost_of(session *s, const char *norm)
{
    for (int i = 0; i < s->n_costs; i++)
        if (strcmp(s->costs[i].norm, norm) == 0)
            return &s->costs[i];
    if (s->n_costs == MAX_COSTS)
        return NULL;
    cln_report_cost *c = &s->costs[s->n_costs++];
    *c = (cln_report_cost){.step = NAN, .infer = NAN, .ratio = NAN, .low = NAN, .high = NAN};
    snprintf(c->norm, sizeof c->norm, "%s", norm);
    return c;
}

static bool is_row(const cln_bench_row *r, const char *view, const cln_comparison *c)
{
    return strcmp(r->view, view) == 0 && r->batch == c->base[0]->batch && strcmp(r->what, c->base[0]->model) == 0 &&
           r->n_samples > 0;
}

/* A training step, and how much longer it is than one without a norm where that was measured beside it. */
static int add_step(cln_report_cost *k, const cln_bench_row *row, const cln_bench_report *report, const cln_comparison *c,
                    cln_error *err)
{
    const cln_bench_row *plain = NULL;
    cln_bench_interval ratio;
    k->step = row->median;
    for (int i = 0; i < report->n_rows && !plain; i++)
        if (strcmp(report->rows[i].norm, "none") == 0 && is_row(&report->rows[i], "step", c))
            plain = &report->rows[i];
    if (!plain || plain == row)
        return CLN_OK;
    int rc = cln_bench_ratio(&row, 1, &plain, 1, 0.95, &ratio, err);
    if (!rc) {
        k->ratio = ratio.ratio;
        k->low = ratio.low;
        k->high = ratio.high;
    }
    return rc;
}

static int read_bench(session *s, const cln_comparison *c, cln_error *err)
{
    cln_bench_report report = {0};
    int rc = cln_bench_read_json(s->bench, &report, err);
    if (rc)
        return rc;
    for (int i = 0; i < report.n_rows && !rc; i++) {
        const cln_bench_row *r = &report.rows[i];
        const bool step = is_row(r, "step", c), infer = is_row(r, "infer", c);
        cln_report_cost *k = step || infer ? cost_of(s, r->norm) : NULL;
        if (k && step)
            rc = add_step(k, r, &report, c, err);
        else if (k)
            k->infer = r->median;
    }
    const char *slash = strrchr(s->bench, '/');
    snprintf(s->source, sizeof s->source, "%.100s: clnorm bench, commit %s, %s, on %s", slash ? slash + 1 : s->bench,
             report.context.commit, report.context.date, report.context.device);
    cln_bench_report_clear(&report);
    return rc || s->n_costs ? rc
                      : CLN_FAIL(err, CLN_ERR_DATA, "%s has no rows of clnorm bench step for %s at batch %d", s->bench,
                                 c->base[0]->model, c->base[0]->batch);
}

/* ---- the report ---------------------------------------------------------------------------------- */

static int report(session *s, cln_error *err)
{
    char date[32];
    const time_t now = time(NULL);
    struct tm utc;
    cln_comparison c = {0};
    if (s->n > 0)
        qsort(s->runs, (size_t)s->n, sizeof *s->runs, by_place);
    int rc = cln_comparison_new(s->runs, s->n, &c, err);
    if (!rc && s->bench)
        rc = read_bench(s, &c, err);
    if (!rc)
        rc = cln_dir_make(s->out, err);
    if (!rc && (!gmtime_r(&now, &utc) || strftime(date, sizeof date, "%Y-%m-%d", &utc) == 0))
        date[0] = '\0';
    if (!rc) {
        const cln_report_options o = {s->out, "report", s->costs, s->n_costs, s->source, date, s->unfinished};
        rc = cln_report_write(&c, &o, err);
    }
    cln_comparison_clear(&c);
    return rc;
}

int cln_cmd_report(int argc, char **argv)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'}, {"bench", required_argument, NULL, 'b'}, {"help", no_argument, NULL, 'h'}, {0}};
    session s = {0};
    cln_error err = {0};
    int c, rc = CLN_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'o': s.out = optarg; break;
        case 'b': s.bench = optarg; break;
        case 'h': print_help(); return CLN_EXIT_OK;
        default: return CLN_EXIT_USAGE;
        }
    }
    if (optind == argc)
        return cln_cli_usage("report", "which study or runs?");
    if (!s.out)
        s.out = argv[optind];
    for (int i = optind; i < argc && !rc; i++)
        rc = add_folder(&s, argv[i], &err);
    if (!rc)
        rc = report(&s, &err);
    if (!rc && s.unfinished)
        fprintf(stderr, "clnorm: %d unfinished run%s left out\n", s.unfinished, s.unfinished == 1 ? " is" : "s are");
    if (!rc)
        printf("%d runs: %s/report.html and %s/report.md\n", s.n, s.out, s.out);
    for (int i = 0; i < s.n; i++)
        cln_result_clear(&s.runs[i]);
    free(s.runs);
    return rc ? cln_cli_fail(&err) : CLN_EXIT_OK;
}
