/* clnorm bench compare: on reports whose samples are drawn, so that what changed is known. */
#include <jansson.h>
#include <string.h>
#include <sys/wait.h>

#include "common/scratch.h"
#include "common/synthetic.h"
#include "compare.h"

enum { ROWS = 300 };
static const cln_bench_threshold USUAL = {.min_effect = 0.05, .alpha = 0.05};

/* ---- reports ----------------------------------------------------------------------------- */

/* A run of ROWS rows of different lengths. The rows share the moods of their rounds, of 2 %. */
typedef struct drawn_run {
    unsigned seed;
    int rounds, per_round;
    double noise;
    int slow_row;       /* -1: none */
    double slowed;      /* its factor */
    double spikes;      /* share of samples that something else on the machine lengthens */
    bool spiked_rounds; /* whole rounds of them */
    double spike;       /* factor */
} drawn_run;

/* Picks exactly so many of the samples, each with the same chance (or of the rounds, the same ones in each row). */
static void lengthen(cln_bench_row *row, const drawn_run *d, unsigned k)
{
    const int group = d->spiked_rounds ? d->per_round : 1, n = row->n_samples / group;
    int left = (int)(d->spikes * n + 0.5);
    for (int i = 0; i < n; i++) {
        const unsigned draw = (d->spiked_rounds ? 0 : 1000 * k) + (unsigned)i;
        if (synthetic_unit(2000000 + d->seed, draw) * (n - i) >= left)
            continue;
        left--;
        for (int j = 0; j < group; j++)
            row->samples[i * group + j] *= d->spike;
    }
}

static cln_bench_report draw(const drawn_run *d)
{
    cln_bench_report r = {0};
    cln_bench_context_fill(&r.context, NULL, 0, NULL);
    for (unsigned k = 0; k < ROWS; k++) {
        char what[32];
        snprintf(what, sizeof what, "%u.conv", k);
        const synthetic s = {.rounds = d->rounds,
                             .per_round = d->per_round,
                             .time = 1e-4 * (1 + k % 17) * ((int)k == d->slow_row ? d->slowed : 1),
                             .mood = 0.02,
                             .mood_seed = 1000000 + d->seed,
                             .noise = d->noise,
                             .noise_seed = 1000 * d->seed + k};
        cln_bench_row row = synthetic_row(what, &s);
        lengthen(&row, d, k);
        ck_assert_int_eq(cln_bench_row_summarise(&row, NULL), 0);
        ck_assert_int_eq(cln_bench_report_add(&r, &row, NULL), 0);
    }
    return r;
}

static cln_bench_comparison compare(const cln_bench_report *a, int n_a, const cln_bench_report *b,
                                    int n_b, const cln_bench_threshold *t)
{
    static const char *const paths[] = {"one.json", "two.json", "three.json"};
    const cln_bench_side side_a = {paths, a, n_a}, side_b = {paths, b, n_b};
    cln_bench_comparison c;
    cln_error err = {0};
    ck_assert_msg(cln_bench_compare_sides(&side_a, &side_b, t, &c, &err) == 0, "%s", err.text);
    return c;
}

/* How many rows are called slower or faster. */
static int changed(const drawn_run *a, const drawn_run *b)
{
    cln_bench_report x = draw(a), y = draw(b);
    cln_bench_comparison c = compare(&x, 1, &y, 1, &USUAL);
    const int n = c.count[CLN_BENCH_SLOWER] + c.count[CLN_BENCH_FASTER];
    ck_assert_int_eq(c.n, ROWS);
    cln_bench_comparison_clear(&c);
    cln_bench_report_clear(&x);
    cln_bench_report_clear(&y);
    return n;
}

/* ---- chance ------------------------------------------------------------------------------ */

START_TEST(one_slow_row_is_found)
{
    for (unsigned seed = 0; seed < 12; seed++) {
        drawn_run a = {
            .seed = 2 * seed, .rounds = 10, .per_round = 2, .noise = 0.04, .slow_row = -1};
        drawn_run b = a;
        b.seed++;
        b.slow_row = 10 + 23 * (int)seed;
        b.slowed = 1.2;
        cln_bench_report x = draw(&a), y = draw(&b);
        cln_bench_comparison c = compare(&x, 1, &y, 1, &USUAL);
        ck_assert_int_eq(c.count[CLN_BENCH_SLOWER], 1);
        ck_assert_int_eq(c.count[CLN_BENCH_FASTER], 0);
        ck_assert_str_eq(c.changes[0].name, x.rows[b.slow_row].name);
        ck_assert_double_eq_tol(c.changes[0].interval.ratio, 1.2, 0.08);
        ck_assert_double_lt(c.changes[0].interval.low, 1.2);
        ck_assert_double_gt(c.changes[0].interval.high, 1.2);
        cln_bench_comparison_clear(&c);
        c = compare(&y, 1, &x, 1, &USUAL); /* and back */
        ck_assert_int_eq(c.count[CLN_BENCH_SLOWER], 0);
        ck_assert_int_eq(c.count[CLN_BENCH_FASTER], 1);
        ck_assert_str_eq(c.changes[0].name, x.rows[b.slow_row].name);
        cln_bench_comparison_clear(&c);
        cln_bench_report_clear(&x);
        cln_bench_report_clear(&y);
    }
}
END_TEST

START_TEST(nothing_is_found_where_nothing_changed)
{
    static const struct {
        int rounds, per_round;
        double noise;
    } cases[] = {{10, 2, 0.04}, {5, 4, 0.08}, {30, 2, 0.15}, {5, 2, 0.2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (unsigned seed = 0; seed < 10; seed++) {
            const drawn_run a = {.seed = 100 + 2 * seed,
                                 .rounds = cases[i].rounds,
                                 .per_round = cases[i].per_round,
                                 .noise = cases[i].noise,
                                 .slow_row = -1};
            drawn_run b = a;
            b.seed++;
            ck_assert_int_eq(changed(&a, &b), 0);
        }
}
END_TEST

/* A third of the samples, or of the rounds, of the second run take half as long again. */
START_TEST(interference_is_no_change)
{
    for (unsigned seed = 0; seed < 16; seed++) {
        const drawn_run a = {.seed = 300 + 2 * seed,
                             .rounds = seed % 4 < 2 ? 10 : 20,
                             .per_round = 3,
                             .noise = 0.03,
                             .slow_row = -1};
        drawn_run b = a;
        b.seed++;
        b.spikes = 1.0 / 3;
        b.spike = 1.5;
        b.spiked_rounds = seed % 2;
        ck_assert_int_eq(changed(&a, &b), 0);
    }
}
END_TEST

/* A change is found under the same interference. */
START_TEST(a_change_under_interference_is_found)
{
    int found = 0;
    for (unsigned seed = 0; seed < 6; seed++) {
        const drawn_run a = {.seed = 500 + 2 * seed,
                             .rounds = 20,
                             .per_round = 3,
                             .noise = 0.03,
                             .slow_row = -1,
                             .spikes = 0.2,
                             .spike = 1.5};
        drawn_run b = a;
        b.seed++;
        b.slow_row = 7;
        b.slowed = 1.3;
        found += changed(&a, &b);
    }
    ck_assert_int_eq(found, 6);
}
END_TEST

/* Few rounds of many samples each, and moods far above the noise: to the rank test alone nearly every pair of
 * runs differs. */
START_TEST(samples_of_a_round_are_not_independent)
{
    enum { TRIALS = 200 };
    int called = 0, ranked = 0;
    for (unsigned t = 0; t < TRIALS; t++) {
        cln_bench_report sides[2] = {0};
        for (unsigned k = 0; k < 2; k++) {
            const synthetic s = {.rounds = 5,
                                 .per_round = 40,
                                 .time = 1,
                                 .mood = 0.08,
                                 .noise = 0.01,
                                 .mood_seed = 700000 + 2 * t + k,
                                 .noise_seed = 800000 + 2 * t + k};
            cln_bench_row row = synthetic_row("1.conv", &s);
            ck_assert_int_eq(cln_bench_report_add(&sides[k], &row, NULL), 0);
        }
        cln_bench_comparison c = compare(&sides[0], 1, &sides[1], 1, &USUAL);
        ranked += cln_bench_rank_test(sides[0].rows[0].samples, 200, sides[1].rows[0].samples,
                                      200) < USUAL.alpha;
        called += c.changes[0].verdict != CLN_BENCH_SAME;
        cln_bench_comparison_clear(&c);
        cln_bench_report_clear(&sides[0]);
        cln_bench_report_clear(&sides[1]);
    }
    printf("%d of %d by the rank test, %d by all conditions\n", ranked, TRIALS, called);
    ck_assert_int_ge(ranked, TRIALS / 2);
    ck_assert_int_le(called, TRIALS / 12);
}
END_TEST

/* ---- verdicts ---------------------------------------------------------------------------- */

/* Twenty samples in ten rounds: time, and `high` in the last `n_high` of them; a little noise. */
static void add_row(cln_bench_report *r, const char *what, double time, double high, int n_high)
{
    cln_bench_row row = synthetic_row(what, &(synthetic){.rounds = 10,
                                                         .per_round = 2,
                                                         .time = time,
                                                         .noise = 0.002,
                                                         .noise_seed = (unsigned)(1e6 * time)});
    for (int i = 20 - n_high; i < 20; i++)
        row.samples[i] *= high / time;
    ck_assert_int_eq(cln_bench_row_summarise(&row, NULL), 0);
    ck_assert_int_eq(cln_bench_report_add(r, &row, NULL), 0);
}

static cln_bench_verdict verdict_of(const cln_bench_comparison *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->changes[i].name, name) == 0)
            return c->changes[i].verdict;
    ck_abort_msg("no row %s", name);
    return CLN_BENCH_VERDICTS;
}

static void two_reports(cln_bench_report *a, cln_bench_report *b)
{
    *a = *b = (cln_bench_report){0};
    cln_bench_context_fill(&a->context, NULL, 0, NULL);
    b->context = a->context;
    add_row(a, "four-percent", 1, 1, 0);
    add_row(b, "four-percent", 1.04, 1, 0);
    add_row(a, "six-percent", 1.001, 1, 0);
    add_row(b, "six-percent", 1.065, 1, 0);
    add_row(a, "median-alone", 1.002, 1, 0);
    add_row(b, "median-alone", 1.003, 1.3, 13);
    add_row(a, "decile-alone", 1.102, 1, 6);
    add_row(b, "decile-alone", 1.103, 1, 0);
    add_row(a, "worse", 2, 1, 0);
    add_row(b, "worse", 3, 1, 0);
    add_row(a, "better", 2.1, 1, 0);
    add_row(b, "better", 1.9, 1, 0);
    add_row(a, "best", 2.2, 1, 0);
    add_row(b, "best", 1.1, 1, 0);
    add_row(a, "batch", 1, 1, 0);
    add_row(b, "batch", 2, 1, 0);
    b->rows[b->n_rows - 1].batch = 256;
    add_row(a, "gone", 1, 1, 0);
    add_row(b, "new", 1, 1, 0);
    add_row(a, "skipped", 1, 1, 0);
    add_row(b, "skipped", 1, 1, 0);
    b->rows[b->n_rows - 1].n_samples = 0;
    ck_assert_int_eq(cln_bench_row_summarise(&b->rows[b->n_rows - 1], NULL), 0);
}

START_TEST(verdicts)
{
    cln_bench_report a, b;
    two_reports(&a, &b);
    cln_bench_comparison c = compare(&a, 1, &b, 1, &USUAL);
    static const char *const order[] = {"worse",        "six-percent",  "best",         "better",
                                        "four-percent", "median-alone", "decile-alone", "batch",
                                        "gone",         "skipped",      "new"};
    static const int verdicts[] = {CLN_BENCH_SLOWER, CLN_BENCH_SLOWER, CLN_BENCH_FASTER,
                                   CLN_BENCH_FASTER, CLN_BENCH_SAME,   CLN_BENCH_SAME,
                                   CLN_BENCH_SAME,   CLN_BENCH_APART,  CLN_BENCH_ONLY_A,
                                   CLN_BENCH_ONLY_A, CLN_BENCH_ONLY_B};
    ck_assert_int_eq(c.n, 11);
    for (int i = 0; i < 11; i++) {
        char name[64];
        snprintf(name, sizeof name, "alone/%s/-/forward", order[i]);
        ck_assert_str_eq(c.changes[i].name, name);
        ck_assert_msg(c.changes[i].verdict == (cln_bench_verdict)verdicts[i], "%s: %s", name,
                      cln_bench_verdicts[c.changes[i].verdict]);
    }
    /* these are the same by their effect, not by chance */
    for (int i = 4; i < 6; i++)
        ck_assert_double_lt(c.changes[i].p, 0.05);
    ck_assert_int_eq(c.too_few, 0);
    ck_assert_double_eq_tol(c.changes[0].interval.ratio, 1.5, 0.01);
    cln_bench_comparison_clear(&c);
    c = compare(&a, 1, &b, 1, &(cln_bench_threshold){.min_effect = 0.03, .alpha = 0.05});
    ck_assert_int_eq(verdict_of(&c, "alone/four-percent/-/forward"), CLN_BENCH_SLOWER);
    cln_bench_comparison_clear(&c);
    c = compare(&a, 1, &b, 1, &(cln_bench_threshold){.min_effect = 0.05, .alpha = 1e-9});
    ck_assert_int_eq(c.count[CLN_BENCH_SLOWER] + c.count[CLN_BENCH_FASTER], 0);
    ck_assert_int_eq(c.too_few, 7);
    cln_bench_comparison_clear(&c);
    cln_bench_report_clear(&a);
    cln_bench_report_clear(&b);
}
END_TEST

START_TEST(filters)
{
    const char *paths[] = {"x"};
    cln_bench_report a, b;
    two_reports(&a, &b);
    cln_bench_threshold t = USUAL;
    t.filter = "/(best|worse)/";
    cln_bench_comparison c = compare(&a, 1, &b, 1, &t);
    ck_assert_int_eq(c.n, 2);
    const double p = c.changes[0].p;
    cln_bench_comparison_clear(&c);
    c = compare(&a, 1, &b, 1, &USUAL);
    ck_assert_double_gt(c.changes[0].p, 3 * p); /* corrected for seven rows, not for two */
    cln_bench_comparison_clear(&c);
    const cln_bench_side side_a = {paths, &a, 1}, side_b = {paths, &b, 1};
    cln_error err = {0};
    t.filter = "(";
    ck_assert_int_eq(cln_bench_compare_sides(&side_a, &side_b, &t, &c, &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "--filter: '('"));
    t.filter = "nothing";
    ck_assert_int_eq(cln_bench_compare_sides(&side_a, &side_b, &t, &c, &err), CLN_ERR_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "no row stands on both sides"));
    cln_bench_report_clear(&a);
    cln_bench_report_clear(&b);
}
END_TEST

/* Two runs on each side, too short each to show anything: pooled they do. */
START_TEST(runs_are_pooled)
{
    cln_bench_report a[2] = {0}, b[2] = {0};
    for (unsigned i = 0; i < 4; i++) {
        const synthetic s = {.rounds = i % 2 ? 3 : 4,
                             .per_round = i % 2 ? 2 : 1,
                             .time = i < 2 ? 1 : 1.3,
                             .noise = 0.01,
                             .noise_seed = i};
        cln_bench_row row = synthetic_row("1.conv", &s), only = synthetic_row("2.conv", &s);
        cln_bench_report *r = i < 2 ? &a[i] : &b[i - 2];
        ck_assert_int_eq(cln_bench_report_add(r, &row, NULL), 0);
        if (i == 1) /* in the second run of A, and nowhere else */
            ck_assert_int_eq(cln_bench_report_add(r, &only, NULL), 0);
        cln_bench_row_clear(&only);
    }
    const cln_bench_threshold strict = {.min_effect = 0.05, .alpha = 0.001};
    cln_bench_comparison c = compare(a, 1, b, 1, &strict);
    ck_assert_int_eq(c.changes[0].verdict, CLN_BENCH_SAME);
    ck_assert_int_eq(c.too_few, 1);
    cln_bench_comparison_clear(&c);
    c = compare(a, 2, b, 2, &strict);
    ck_assert_int_eq(c.n, 2);
    ck_assert_int_eq(c.changes[0].verdict, CLN_BENCH_SLOWER);
    ck_assert_int_eq(c.changes[0].n_a, 10);
    ck_assert_int_eq(c.changes[0].n_b, 10);
    ck_assert_double_eq_tol(c.changes[0].interval.ratio, 1.3, 0.03);
    ck_assert_int_eq(c.changes[1].verdict, CLN_BENCH_ONLY_A);
    cln_bench_comparison_clear(&c);
    b[1].rows[0].batch = 64; /* one run of another batch spoils the row, here the only one */
    const char *const paths[] = {"one.json", "two.json"};
    const cln_bench_side side_a = {paths, a, 2}, side_b = {paths, b, 2};
    cln_error err = {0};
    ck_assert_int_eq(cln_bench_compare_sides(&side_a, &side_b, &strict, &c, &err), CLN_ERR_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "of other batches"));
    for (int i = 0; i < 2; i++) {
        cln_bench_report_clear(&a[i]);
        cln_bench_report_clear(&b[i]);
    }
}
END_TEST

START_TEST(contexts)
{
    const char *paths_a[] = {"a.json"}, *paths_b[] = {"b.json", "c.json"};
    cln_bench_report a = {0}, b[2];
    char *text;
    cln_bench_context_fill(&a.context, NULL, 0, NULL);
    snprintf(a.context.driver, sizeof a.context.driver, "3.1");
    a.context.load[0] = 0.1;
    a.context.peaks.flops = 5e11;
    b[0] = b[1] = a;
    snprintf(b[0].context.date, sizeof b[0].context.date, "another");
    b[0].context.load[0] = 0.5;
    b[0].context.peaks.flops = 4.8e11;
    const cln_bench_side side_a = {paths_a, &a, 1}, side_b = {paths_b, b, 2};
    ck_assert_int_eq(cln_bench_context_differences(&side_a, &side_b, &text, NULL), 0);
    ck_assert_str_eq(text, "");
    free(text);
    snprintf(b[1].context.driver, sizeof b[1].context.driver, "5.0");
    b[1].context.load[0] = 1.7;
    b[1].context.peaks.flops = 4e11;
    ck_assert_int_eq(cln_bench_context_differences(&side_a, &side_b, &text, NULL), 0);
    ck_assert_str_eq(text, "driver differs: 3.1 (a.json), 5.0 (c.json)\n"
                           "load differs: 0.1 (a.json), 1.7 (c.json)\n"
                           "peak in GFLOP/s differs: 500 (a.json), 400 (c.json)\n");
    free(text);
}
END_TEST

/* ---- the command ------------------------------------------------------------------------- */

/* Runs clnorm bench compare with `arguments` in the scratch folder; its exit status, and what it printed. */
static int command(const char *arguments, blob *out)
{
    char line[2048];
    snprintf(line, sizeof line, "cd '%s' && '%s' bench compare %s >out 2>err", at(""),
             CLNORM_PROGRAM, arguments);
    const int status = system(line); // NOLINT(cert-env33-c): the program under test
    ck_assert(WIFEXITED(status));
    *out = get(WEXITSTATUS(status) < 2 ? "out" : "err");
    out->bytes[out->size] = 0;
    return WEXITSTATUS(status);
}

static void expect(const char *arguments, int status, const char *say)
{
    blob out;
    const int got = command(arguments, &out);
    ck_assert_msg(got == status, "%s: %d: %s", arguments, got, out.bytes);
    ck_assert_msg(strstr(out.bytes, say), "'%s' is not in '%s'", say, out.bytes);
    for (char *s = out.bytes; *s; s += strcspn(s, "\n") + 1)
        ck_assert_msg(status > 1 || strcspn(s, "\n") <= 100 || strstr(s, "differs") ||
                          strstr(arguments, "--csv -"),
                      "a line of more than 100: %s", s);
    free(out.bytes);
}

START_TEST(command_line)
{
    cln_bench_report a, b;
    two_reports(&a, &b);
    ck_assert_int_eq(cln_bench_write_json(&a, NULL, at("a.json"), NULL), 0);
    ck_assert_int_eq(cln_bench_write_json(&a, NULL, at("a,1.json"), NULL), 0);
    snprintf(b.context.driver, sizeof b.context.driver, "new");
    ck_assert_int_eq(cln_bench_write_json(&b, NULL, at("b.json"), NULL), 0);
    cln_bench_report_clear(&a);
    cln_bench_report_clear(&b);
    expect("a.json a.json", 0, "0 slower, 0 faster, 10 the same\n");
    expect("a,1.json a.json", 0, "0 slower, 0 faster, 10 the same\n");
    expect("a.json a.json --all", 0, "alone/median-alone/-/forward");
    expect("a.json,a.json b.json", 1,
           "2 slower, 2 faster, 3 the same; 1 of other batch, 2 only in A, 1 only in B\n");
    expect("a.json b.json", 1, "driver differs: none (a.json), new (b.json)\n\nrow ");
    expect("a.json b.json --filter best", 0, "0 slower, 1 faster, 0 the same\n");
    expect("a.json b.json --min-effect 60", 0, "0 slower, 1 faster, 6 the same");
    expect("a.json b.json --alpha 1e-9", 0, "7 of the same have too few samples");
    expect("a.json b.json --json - --csv out.csv", 1, "\"verdict\": \"slower\"");
    expect("a.json b.json --csv -", 1, "alone/gone/-/forward,only in A,,,,,,,,,,\r\n");
    expect("--help", 0, "usage: clnorm bench compare");
    expect("a.json", 2, "two sides are needed");
    expect("a.json b.json c.json", 2, "two sides are needed");
    expect("a.json b.json --alpha 0", 2, "--alpha: '0'");
    expect("a.json b.json --min-effect x", 2, "--min-effect: 'x'");
    expect("a.json b.json --filter '['", 2, "--filter: '['");
    expect("a.json b.json --json - --csv -", 2, "cannot both");
    expect("a.json b.json --frobnicate", 2, "unrecognized option");
    expect("a.json none.json", 9, "none.json");
    expect("a.json,", 2, "two sides");
    expect("a.json out.csv", 10, "out.csv");
    blob csv = get("out.csv");
    int lines = 0;
    for (size_t i = 0; i < csv.size; i++)
        lines += csv.bytes[i] == '\n';
    ck_assert_int_eq(lines, 12);
    free(csv.bytes);
}
END_TEST

START_TEST(json_of_a_comparison)
{
    cln_bench_report a, b;
    blob out;
    int slower, faster, same, only_a;
    double ratio, low, high, p, median;
    const char *name, *verdict;
    two_reports(&a, &b);
    ck_assert_int_eq(cln_bench_write_json(&a, NULL, at("a.json"), NULL), 0);
    ck_assert_int_eq(cln_bench_write_json(&b, NULL, at("b.json"), NULL), 0);
    ck_assert_int_eq(command("a.json b.json --json c.json", &out), 1);
    free(out.bytes);
    json_t *root = json_load_file(at("c.json"), 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(json_unpack(root, "{s:{s:i, s:i, s:i, s:i}}", "count", "slower", &slower,
                                 "faster", &faster, "same", &same, "only_a", &only_a),
                     0);
    ck_assert_int_eq(1000 * slower + 100 * faster + 10 * same + only_a, 2232);
    const json_t *rows = json_object_get(root, "rows");
    ck_assert_uint_eq(json_array_size(rows), 11);
    ck_assert_int_eq(json_unpack(json_array_get(rows, 0), "{s:s, s:s, s:F, s:F, s:F, s:F, s:F}",
                                 "name", &name, "verdict", &verdict, "ratio", &ratio, "ratio_low",
                                 &low, "ratio_high", &high, "p", &p, "median_b", &median),
                     0);
    ck_assert_str_eq(name, "alone/worse/-/forward");
    ck_assert_str_eq(verdict, "slower");
    ck_assert_double_eq_tol(ratio, 1.5, 0.01);
    ck_assert_double_eq_tol(median, 3, 0.01);
    ck_assert(low <= ratio && ratio <= high && p < 0.05);
    json_decref(root);
    cln_bench_report_clear(&a);
    cln_bench_report_clear(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench compare");
    TCase *c = tcase_create("chance"), *d = tcase_create("verdicts");
    tcase_add_test(c, one_slow_row_is_found);
    tcase_add_test(c, nothing_is_found_where_nothing_changed);
    tcase_add_test(c, interference_is_no_change);
    tcase_add_test(c, a_change_under_interference_is_found);
    tcase_add_test(c, samples_of_a_round_are_not_independent);
    tcase_add_checked_fixture(d, scratch_new, scratch_remove);
    tcase_add_test(d, verdicts);
    tcase_add_test(d, filters);
    tcase_add_test(d, runs_are_pooled);
    tcase_add_test(d, contexts);
    tcase_add_test(d, command_line);
    tcase_add_test(d, json_of_a_comparison);
    suite_add_tcase(s, c);
    suite_add_tcase(s, d);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
