/* clnorm bench compare: what got slower or faster between reports. */
#include "compare.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "file.h"
#include "report.h"

enum { MAX_RUNS = 64, NAME_WIDTH = 42, CHANGED = 1 };

typedef struct runs {
    char *text; /* owned: "A1.json,A2.json", cut up */
    const char *paths[MAX_RUNS];
    cln_bench_report reports[MAX_RUNS];
    int n;
} runs;

typedef struct options {
    cln_bench_threshold threshold;
    const char *json, *csv;
    bool all;
} options;

static void print_help(void)
{
    printf(
        "usage: clnorm bench compare A.json[,MORE] B.json[,MORE] [OPTION ...]\n"
        "\n"
        "Compares reports that other benches wrote with --json, row by row: A is before, B after.\n"
        "Of several runs on a side the samples are pooled.\n"
        "\n"
        "A row is called slower (or faster) where all of these hold:\n"
        "  - the p-value, corrected for the number of rows by Holm's method, is below alpha. It\n"
        "    is the larger of two: that of the Mann-Whitney test over all samples, and that of\n"
        "    the ratio of medians by a bootstrap over rounds;\n"
        "  - the medians differ by the minimum effect or more;\n"
        "  - so do the lower deciles: a busy machine lifts medians but hardly the fastest\n"
        "    samples, a real change moves both.\n"
        "A machine that was slower for the whole of a run looks like a slower program: give\n"
        "several runs on each side, taken by turns.\n"
        "\n"
        "options:\n"
        "  --filter RE      only rows whose name matches this extended regular expression\n"
        "  --min-effect P   percent by which a changed row differs at least (5)\n"
        "  --alpha P        chance to call any row changed where none is, at most (0.05)\n"
        "  --json FILE      write the comparison as JSON (-: to stdout, in place of the table)\n"
        "  --csv FILE       the same as CSV\n"
        "  --all            show every row, not only the changed ones\n"
        "  --help           print this\n"
        "\n"
        "exit status: 0 where nothing got slower, 1 where something did, 2 for a wrong command\n"
        "line, else as clnorm --help lists.\n");
}

/* ---- what is printed --------------------------------------------------------------------- */

static void print_row(const cln_bench_change *c)
{
    char a[16], b[16];
    const char *gap = "";
    if ((int)strlen(c->name) > NAME_WIDTH) { /* on a line of its own: names are not cut */
        printf("%s\n", c->name);
        printf("%*s", NAME_WIDTH, gap);
    } else {
        printf("%-*s", NAME_WIDTH, c->name);
    }
    if (c->verdict >= CLN_BENCH_APART) {
        printf("  %s\n", cln_bench_verdicts[c->verdict]);
        return;
    }
    printf("%9s%9s%7.3f%7.3f ..%6.3f%9.2g  %s\n", cln_bench_time_text(c->a, a),
           cln_bench_time_text(c->b, b), c->interval.ratio, c->interval.low, c->interval.high, c->p,
           cln_bench_verdicts[c->verdict]);
}

static void print_table(const cln_bench_comparison *c, const char *differences, bool all)
{
    const int *count = c->count;
    int shown = 0;
    printf("%s%s", differences, differences[0] ? "\n" : "");
    for (int i = 0; i < c->n; i++)
        if (all || c->changes[i].verdict != CLN_BENCH_SAME) {
            if (shown++ == 0)
                printf("%-*s%9s%9s%7s%16s%9s\n", NAME_WIDTH, "row", "A", "B", "B/A",
                       "95 % interval", "p");
            print_row(&c->changes[i]);
        }
    printf("%s%d slower, %d faster, %d the same", shown ? "\n" : "", count[CLN_BENCH_SLOWER],
           count[CLN_BENCH_FASTER], count[CLN_BENCH_SAME]);
    const char *gap = ";";
    for (int v = CLN_BENCH_APART; v < CLN_BENCH_VERDICTS; v++)
        if (count[v] > 0) {
            printf("%s %d %s%s", gap, count[v], v == CLN_BENCH_APART ? "of " : "",
                   cln_bench_verdicts[v]);
            gap = ",";
        }
    printf("\n");
    if (c->too_few > 0)
        printf("%d of the same have too few samples to be called changed among so many rows\n",
               c->too_few);
}

static json_t *change_json(const cln_bench_change *c)
{
    json_t *row =
        json_pack("{s:s, s:s}", "name", c->name, "verdict", cln_bench_verdicts[c->verdict]);
    if (!row || c->verdict >= CLN_BENCH_APART)
        return row;
    const struct {
        const char *key;
        double value;
    } members[] = {{"median_a", c->a},
                   {"median_b", c->b},
                   {"p10_a", c->a_p10},
                   {"p10_b", c->b_p10},
                   {"samples_a", c->n_a},
                   {"samples_b", c->n_b},
                   {"ratio", c->interval.ratio},
                   {"ratio_low", c->interval.low},
                   {"ratio_high", c->interval.high},
                   {"p", c->p}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (json_object_set_new(row, members[i].key, cln_bench_json_number(members[i].value)) !=
            0) {
            json_decref(row);
            return NULL;
        }
    return row;
}

static json_t *paths_json(const cln_bench_side *side)
{
    json_t *list = json_array();
    for (int i = 0; i < side->n && list; i++)
        if (json_array_append_new(list, cln_bench_json_text(side->paths[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static int write_json(const cln_bench_comparison *c, const cln_bench_side *a,
                      const cln_bench_side *b, const char *differences, const options *o,
                      cln_error *err)
{
    json_t *rows = json_array();
    bool done = rows != NULL;
    for (int i = 0; i < c->n && done; i++)
        done = json_array_append_new(rows, change_json(&c->changes[i])) == 0;
    json_t *lines = json_array();
    for (const char *s = differences; *s && done; s += strcspn(s, "\n") + 1)
        done = json_array_append_new(lines, json_stringn(s, strcspn(s, "\n"))) == 0;
    json_t *root = json_pack(
        "{s:o, s:o, s:f, s:f, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:o, s:o}", "a", paths_json(a),
        "b", paths_json(b), "min_effect", o->threshold.min_effect, "alpha", o->threshold.alpha,
        "count", "slower", c->count[CLN_BENCH_SLOWER], "faster", c->count[CLN_BENCH_FASTER], "same",
        c->count[CLN_BENCH_SAME], "other_batch", c->count[CLN_BENCH_APART], "only_a",
        c->count[CLN_BENCH_ONLY_A], "only_b", c->count[CLN_BENCH_ONLY_B], "too_few_samples",
        c->too_few, "differences", lines, "rows", rows);
    char *text = done && root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (!text)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", o->json);
    const size_t n = strlen(text);
    text[n] = '\n'; /* in place of the NUL */
    const int rc = cln_bench_put(o->json, text, n + 1, err);
    free(text);
    return rc;
}

static int write_csv(const cln_bench_comparison *c, const char *path, cln_error *err)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f)
        fputs("name,verdict,median_a,median_b,p10_a,p10_b,samples_a,samples_b,ratio,ratio_low,"
              "ratio_high,p\r\n",
              f);
    for (int i = 0; i < c->n && f; i++) {
        const cln_bench_change *x = &c->changes[i];
        const bool compared = x->verdict < CLN_BENCH_APART;
        const double numbers[] = {x->a,
                                  x->b,
                                  x->a_p10,
                                  x->b_p10,
                                  compared ? x->n_a : NAN,
                                  compared ? x->n_b : NAN,
                                  x->interval.ratio,
                                  x->interval.low,
                                  x->interval.high,
                                  x->p};
        cln_bench_csv_text(f, true, x->name);
        cln_bench_csv_text(f, false, cln_bench_verdicts[x->verdict]);
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            cln_bench_csv_number(f, numbers[k]);
        fputs("\r\n", f);
    }
    const int rc = f && fclose(f) == 0
                       ? cln_bench_put(path, text, n, err)
                       : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", path);
    free(text);
    return rc;
}

/* ---- the command ------------------------------------------------------------------------- */

/* Commas stand between files, unless there is a file of that whole name. */
static int read_runs(const char *names, runs *r, cln_error *err)
{
    r->text = strdup(names);
    if (!r->text)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    struct stat info; /* a list may be longer than a name can be */
    const char *separator = lstat(names, &info) == 0 ? "" : ",";
    int rc = CLN_OK;
    char *rest = r->text, *path;
    while (!rc && (path = strsep(&rest, separator))) {
        if (r->n == MAX_RUNS)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "more than %d runs on a side", MAX_RUNS);
        r->paths[r->n] = path;
        rc = cln_bench_read_json(path, &r->reports[r->n++], err);
    }
    return rc;
}

static void clear_runs(runs *r)
{
    for (int i = 0; i < r->n; i++)
        cln_bench_report_clear(&r->reports[i]);
    free(r->text);
}

static int compare_runs(const runs *a, const runs *b, const options *o, int *status, cln_error *err)
{
    const cln_bench_side side_a = {a->paths, a->reports, a->n},
                         side_b = {b->paths, b->reports, b->n};
    cln_bench_comparison c = {0};
    char *differences = NULL;
    int rc = cln_bench_compare_sides(&side_a, &side_b, &o->threshold, &c, err);
    if (!rc)
        rc = cln_bench_context_differences(&side_a, &side_b, &differences, err);
    const bool table =
        !(o->json && strcmp(o->json, "-") == 0) && !(o->csv && strcmp(o->csv, "-") == 0);
    if (!rc && table)
        print_table(&c, differences, o->all);
    if (!rc && o->json)
        rc = write_json(&c, &side_a, &side_b, differences, o, err);
    if (!rc && o->csv)
        rc = write_csv(&c, o->csv, err);
    *status = c.count[CLN_BENCH_SLOWER] > 0 ? CHANGED : CLN_EXIT_OK;
    free(differences);
    cln_bench_comparison_clear(&c);
    return rc;
}

static bool number_in(const char *text, double low, double high, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == 0 && *out >= low && *out <= high;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, options *o)
{
    static const struct option known[] = {
        {"filter", required_argument, NULL, 'f'}, {"min-effect", required_argument, NULL, 'm'},
        {"alpha", required_argument, NULL, 'a'},  {"json", required_argument, NULL, 'j'},
        {"csv", required_argument, NULL, 'c'},    {"all", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},         {0}};
    const char *name = "bench compare";
    double x;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'f':
            o->threshold.filter = optarg;
            break;
        case 'm':
            if (!number_in(optarg, 0, 1000, &x))
                return cln_cli_usage(name, "--min-effect: '%s' is no percentage from 0 to 1000",
                                     optarg);
            o->threshold.min_effect = 0.01 * x;
            break;
        case 'a':
            if (!number_in(optarg, 1e-12, 1, &x))
                return cln_cli_usage(name, "--alpha: '%s' is no probability above 0", optarg);
            o->threshold.alpha = x;
            break;
        case 'j':
            o->json = optarg;
            break;
        case 'c':
            o->csv = optarg;
            break;
        case 'l':
            o->all = true;
            break;
        case 'h':
            print_help();
            return CLN_EXIT_OK;
        default:
            return CLN_EXIT_USAGE;
        }
    }
    if (argc - optind != 2)
        return cln_cli_usage(name, "two sides are needed, A.json and B.json, not %d",
                             argc - optind);
    if (o->json && o->csv && strcmp(o->json, "-") == 0 && strcmp(o->csv, "-") == 0)
        return cln_cli_usage(name, "--json and --csv cannot both go to stdout");
    return -1;
}

int cln_bench_compare(int argc, char **argv)
{
    options o = {.threshold = {.min_effect = 0.05, .alpha = 0.05}};
    cln_error err = {0};
    int status = parse(argc, argv, &o);
    if (status >= 0)
        return status;
    runs *sides = calloc(2, sizeof *sides);
    int rc = sides ? CLN_OK : CLN_FAIL(&err, CLN_ERR_MEMORY, "out of host memory");
    for (int i = 0; i < 2 && !rc; i++)
        rc = read_runs(argv[optind + i], &sides[i], &err);
    if (!rc)
        rc = compare_runs(&sides[0], &sides[1], &o, &status, &err);
    for (int i = 0; i < 2 && sides; i++)
        clear_runs(&sides[i]);
    free(sides);
    return rc ? cln_cli_fail(&err) : status;
}
