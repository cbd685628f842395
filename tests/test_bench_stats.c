/* The bench's statistics: against values by hand and by SciPy, and where they are statements about chance,
 * against many draws from known distributions. */
#include <string.h>

#include "common/synthetic.h"
#include "stats.h"

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])

/* ---- quantiles --------------------------------------------------------------------------- */

START_TEST(quantiles_lie_between_ranks)
{
    /* numpy.quantile([7, 1, 4, 9, 2, 6, 3, 8], [0, .1, .25, .5, .9, 1]) */
    const double sorted[] = {1, 2, 3, 4, 6, 7, 8, 9};
    const double q[] = {0, 0.1, 0.25, 0.5, 0.9, 1}, want[] = {1, 1.7, 2.75, 5, 8.3, 9};
    for (int i = 0; i < COUNT(q); i++)
        ck_assert_double_eq_tol(cln_bench_quantile(sorted, COUNT(sorted), q[i]), want[i], 1e-12);
    ck_assert_double_eq(cln_bench_quantile(sorted, 1, 0.9), 1);
    ck_assert_double_eq(cln_bench_quantile(sorted, 3, 2), 3);
    ck_assert_double_eq(cln_bench_quantile(sorted, 3, -1), 1);
    ck_assert(isnan(cln_bench_quantile(sorted, 0, 0.5)));
}
END_TEST

START_TEST(median_leaves_its_values_alone)
{
    const double values[] = {7, 1, 4, 9, 2};
    double copy[5], scratch[5];
    memcpy(copy, values, sizeof copy);
    ck_assert_double_eq(cln_bench_median(copy, 5, scratch), 4);
    ck_assert_double_eq(cln_bench_median(copy, 4, scratch), 5.5);
    ck_assert_mem_eq(copy, values, sizeof copy);
    ck_assert(isnan(cln_bench_median(copy, 0, scratch)));
}
END_TEST

/* ---- tests ------------------------------------------------------------------------------- */

/* scipy.stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic").pvalue, SciPy 1.17.1 */
START_TEST(rank_test_agrees_with_scipy)
{
    static const struct {
        int n_a, n_b;
        double a[10], b[10], p;
    } cases[] = {
        {5, 6, {1.1, 2.2, 3.3, 4.4, 5.5}, {2, 3, 6, 7, 8, 9}, 0.17090352023079747},
        {7, 8, {1, 2, 2, 3, 3, 3, 4}, {2, 3, 3, 4, 4, 5, 5, 6}, 0.04988443697992588},
        {10,
         10,
         {10, 11, 12, 13, 14, 15, 16, 17, 18, 19},
         {20, 21, 22, 23, 24, 25, 26, 27, 28, 29},
         0.00018267179110955002},
        {4, 3, {1, 1, 1, 1}, {1, 1, 1}, 1},
        {1, 7, {5}, {1, 2, 3, 4, 6, 7, 8}, 1},
        {3, 3, {3, 1, 2}, {2, 3, 1}, 1},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        const double p = cln_bench_rank_test(cases[i].a, cases[i].n_a, cases[i].b, cases[i].n_b);
        ck_assert_double_eq_tol(p, cases[i].p, 1e-12);
        ck_assert_double_eq_tol(
            cln_bench_rank_test(cases[i].b, cases[i].n_b, cases[i].a, cases[i].n_a), p, 1e-15);
    }
    ck_assert_double_eq(cln_bench_rank_test(cases[0].a, 0, cases[0].b, 6), 1);
    /* the third case is complete separation: p cannot be less */
    ck_assert_double_eq_tol(cln_bench_rank_test_least(10, 10), cases[2].p, 1e-12);
}
END_TEST

/* Under the same distribution on both sides p is below alpha in alpha of all cases. */
START_TEST(rank_test_has_its_level)
{
    enum { TRIALS = 2000, N = 15 };
    int below = 0;
    for (unsigned t = 0; t < TRIALS; t++) {
        double a[N], b[N];
        for (unsigned i = 0; i < N; i++) {
            a[i] = synthetic_normal(2 * t, i);
            b[i] = synthetic_normal(2 * t + 1, i);
        }
        below += cln_bench_rank_test(a, N, b, N) < 0.05;
    }
    ck_assert_int_ge(below, TRIALS * 3 / 100);
    ck_assert_int_le(below, TRIALS * 7 / 100);
}
END_TEST

/* ---- ratios ------------------------------------------------------------------------------ */

static cln_bench_interval ratio_of(const cln_bench_row *a, const cln_bench_row *b)
{
    cln_bench_interval out;
    cln_error err = {0};
    const int rc = cln_bench_ratio(&a, 1, &b, 1, 0.95, &out, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return out;
}

START_TEST(ratio_of_rows_of_the_same_rounds)
{
    /* moods of 30 % that both rows share, and nothing else: they cancel, whichever rounds are drawn */
    const synthetic s = {.rounds = 8, .per_round = 3, .time = 0.001, .mood = 0.3, .mood_seed = 5};
    synthetic t = s;
    t.time = 0.002;
    cln_bench_row b = synthetic_row("b", &s), a = synthetic_row("a", &t);
    cln_bench_interval i = ratio_of(&a, &b);
    ck_assert_double_eq_tol(i.ratio, 2, 1e-9);
    ck_assert_double_eq_tol(i.low, 2, 1e-9);
    ck_assert_double_eq_tol(i.high, 2, 1e-9);
    /* the same numbers drawn apart do not cancel */
    const cln_bench_row *rows[2] = {&a, &b};
    cln_bench_blocks blocks[2];
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(cln_bench_blocks_new(&rows[k], 1, &blocks[k], NULL), 0);
    ck_assert_int_eq(cln_bench_ratio_apart(&blocks[0], &blocks[1], 0.95, &i, NULL, NULL), 0);
    ck_assert_double_eq_tol(i.ratio, 2, 1e-9);
    ck_assert_double_lt(i.low, 1.8);
    ck_assert_double_gt(i.high, 2.2);
    for (int k = 0; k < 2; k++)
        cln_bench_blocks_clear(&blocks[k]);
    cln_bench_row_clear(&a);
    cln_bench_row_clear(&b);
}
END_TEST

START_TEST(ratio_of_sums)
{
    const double times[] = {1, 3, 0.5, 1.5};
    cln_bench_row rows[4];
    const cln_bench_row *list[4];
    for (unsigned i = 0; i < 4; i++) {
        rows[i] = synthetic_row("x", &(synthetic){.rounds = 6,
                                                  .per_round = i == 2 ? 5 : 2,
                                                  .time = times[i],
                                                  .mood = 0.2,
                                                  .mood_seed = 9});
        list[i] = &rows[i];
    }
    cln_bench_interval out, again;
    ck_assert_int_eq(cln_bench_ratio(list, 2, list + 2, 2, 0.95, &out, NULL), 0);
    ck_assert_double_eq_tol(out.ratio, 2, 1e-9);
    ck_assert_double_eq_tol(out.low, 2, 1e-9); /* all of them share their moods */
    ck_assert_double_eq_tol(out.high, 2, 1e-9);
    /* the same draws in every call */
    const cln_bench_row *one = list[1];
    rows[0].samples[3] *= 1.7;
    ck_assert_int_eq(cln_bench_ratio(list, 1, &one, 1, 0.95, &out, NULL), 0);
    ck_assert_int_eq(cln_bench_ratio(list, 1, &one, 1, 0.95, &again, NULL), 0);
    ck_assert_mem_eq(&out, &again, sizeof out);
    ck_assert_double_lt(out.low, out.high);
    for (int i = 0; i < 4; i++)
        cln_bench_row_clear(&rows[i]);
}
END_TEST

START_TEST(ratio_of_little)
{
    double one[] = {2}, three[] = {1, 1.1, 0.9, 1.05};
    cln_bench_row a = {.samples = one, .n_samples = 1, .per_round = 1},
                  b = {.samples = three, .n_samples = 4, .per_round = 4}, none = {.name = "empty"};
    cln_bench_interval i = ratio_of(&a, &b); /* a single sample: it might be anything */
    ck_assert_double_eq_tol(i.ratio, 2 / 1.025, 1e-12);
    ck_assert_double_eq(i.low, 0);
    ck_assert(isinf(i.high));
    i = ratio_of(&b, &b); /* a single round: by samples */
    ck_assert_double_eq(i.ratio, 1);
    ck_assert_double_eq(i.low, 1); /* drawn alike */
    const cln_bench_row *list[] = {&a, &none};
    cln_error err = {0};
    ck_assert_int_eq(cln_bench_ratio(&list[0], 1, &list[1], 1, 0.95, &i, &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "empty has no samples"));
    ck_assert_int_eq(cln_bench_ratio(list, 0, list, 1, 0.95, &i, NULL), CLN_ERR_ARGUMENT);
    ck_assert_int_eq(cln_bench_ratio(list, 1, list, 1, 1, &i, NULL), CLN_ERR_ARGUMENT);
}
END_TEST

static const struct {
    int rounds, per_round;
    double mood, noise, spread; /* spread: of moods that the rows do not share */
    double most;                /* percent */
} settings[] = {
    {5, 4, 0.05, 0.03, 0, 99},     {10, 5, 0.02, 0.03, 0.02, 99}, {12, 4, 0, 0.05, 0.1, 99},
    {5, 20, 0.05, 0.01, 0.05, 99}, {20, 10, 0, 0.1, 0.02, 99},    {30, 1, 0.02, 0.05, 0, 99},
    {10, 5, 0.1, 0.03, 0, 100}, /* moods far above the noise: the interval is wider than it need be */
};

/* Percent of trials in which the interval holds the true ratio 1.25. `apart`: the moods of the two rows are
 * drawn independently, and so are the rounds. */
static double coverage(int setting, bool apart)
{
    enum { TRIALS = 400 };
    const int rounds = settings[setting].rounds, per_round = settings[setting].per_round;
    int covered = 0;
    for (unsigned t = 0; t < TRIALS; t++) {
        cln_bench_row rows[2];
        for (unsigned k = 0; k < 2; k++) {
            const synthetic own = {.rounds = rounds,
                                   .per_round = per_round,
                                   .time = 1,
                                   .mood = settings[setting].spread,
                                   .mood_seed = 9000 + 2 * t + k};
            rows[k] = synthetic_row("x", &(synthetic){.rounds = rounds,
                                                      .per_round = per_round,
                                                      .time = k ? 1 : 1.25,
                                                      .mood = settings[setting].mood,
                                                      .mood_seed = 4 * t + (apart ? k : 0),
                                                      .noise = settings[setting].noise,
                                                      .noise_seed = 4 * t + 2 + k});
            cln_bench_row spread = synthetic_row("x", &own);
            for (int i = 0; i < rows[k].n_samples; i++)
                rows[k].samples[i] *= spread.samples[i];
            cln_bench_row_clear(&spread);
        }
        cln_bench_interval i = {0};
        if (!apart) {
            i = ratio_of(&rows[0], &rows[1]);
        } else {
            const cln_bench_row *list[2] = {&rows[0], &rows[1]};
            cln_bench_blocks blocks[2];
            for (int k = 0; k < 2; k++)
                ck_assert_int_eq(cln_bench_blocks_new(&list[k], 1, &blocks[k], NULL), 0);
            ck_assert_int_eq(cln_bench_ratio_apart(&blocks[0], &blocks[1], 0.95, &i, NULL, NULL),
                             0);
            for (int k = 0; k < 2; k++)
                cln_bench_blocks_clear(&blocks[k]);
        }
        covered += i.low <= 1.25 && 1.25 <= i.high;
        cln_bench_row_clear(&rows[0]);
        cln_bench_row_clear(&rows[1]);
    }
    return 100.0 * covered / TRIALS;
}

START_TEST(intervals_cover)
{
    const double together = coverage(_i, false), apart = coverage(_i, true);
    printf("%d rounds of %d: %.1f %% covered, apart %.1f %%\n", settings[_i].rounds,
           settings[_i].per_round, together, apart);
    ck_assert_double_ge(together, 88);
    ck_assert_double_le(together, settings[_i].most);
    ck_assert_double_ge(apart, 88);
    ck_assert_double_le(apart, 99);
}
END_TEST

/* The p of the ratio under the null: not below alpha more often than that, with moods and few rounds too. */
START_TEST(ratio_has_its_level)
{
    enum { TRIALS = 400 };
    int below = 0;
    for (unsigned t = 0; t < TRIALS; t++) {
        cln_bench_row rows[2];
        cln_bench_blocks blocks[2];
        cln_bench_interval i;
        double p;
        for (unsigned k = 0; k < 2; k++) {
            rows[k] = synthetic_row("x", &(synthetic){.rounds = _i,
                                                      .per_round = 6,
                                                      .time = 1,
                                                      .mood = 0.05,
                                                      .mood_seed = 4 * t + k,
                                                      .noise = 0.02,
                                                      .noise_seed = 4 * t + 2 + k});
            const cln_bench_row *row = &rows[k];
            ck_assert_int_eq(cln_bench_blocks_new(&row, 1, &blocks[k], NULL), 0);
        }
        ck_assert_int_eq(cln_bench_ratio_apart(&blocks[0], &blocks[1], 0.95, &i, &p, NULL), 0);
        below += p < 0.05;
        for (int k = 0; k < 2; k++) {
            cln_bench_blocks_clear(&blocks[k]);
            cln_bench_row_clear(&rows[k]);
        }
    }
    printf("%d rounds: %d of %d\n", _i, below, TRIALS);
    ck_assert_int_ge(below, 1);
    ck_assert_int_le(below, TRIALS * 7 / 100);
}
END_TEST

/* ---- rows -------------------------------------------------------------------------------- */

START_TEST(row_names)
{
    cln_bench_row r = {0};
    cln_bench_row_name(&r, "stage", "3.conv+norm+relu", "bn", "forward");
    ck_assert_str_eq(r.name, "stage/3.conv+norm+relu/bn/forward");
    ck_assert_str_eq(r.direction, "forward");
    cln_bench_row_name(&r, "alone", "3.conv", NULL, "backward-data");
    ck_assert_str_eq(r.name, "alone/3.conv/-/backward-data");
    ck_assert_str_eq(r.norm, "-");
    cln_bench_row_name(&r, "step", "s8", "bn", NULL);
    ck_assert_str_eq(r.name, "step/s8/bn");
}
END_TEST

START_TEST(row_summary)
{
    double samples[] = {1.0, 1.1, 0.9, 1.3, 1.05};
    cln_bench_row r = {.name = "x", .samples = samples, .n_samples = 5};
    cln_error err = {0};
    ck_assert_int_eq(cln_bench_row_summarise(&r, &err), 0);
    /* numpy: median, min, quantile, std(ddof=1) / mean */
    ck_assert_double_eq(r.median, 1.05);
    ck_assert_double_eq(r.min, 0.9);
    ck_assert_double_eq_tol(r.p10, 0.94, 1e-12);
    ck_assert_double_eq_tol(r.p90, 1.22, 1e-12);
    ck_assert_double_eq_tol(r.cv, 0.13862053246907785, 1e-12);
    ck_assert(cln_bench_noisy(&r));
    ck_assert_double_eq(samples[1], 1.1); /* in the order taken */
    samples[3] = 0;
    ck_assert_int_eq(cln_bench_row_summarise(&r, &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "sample 4 of x is 0 s"));
    samples[3] = NAN;
    ck_assert_int_eq(cln_bench_row_summarise(&r, &err), CLN_ERR_ARGUMENT);
    r.n_samples = 0; /* skipped */
    ck_assert_int_eq(cln_bench_row_summarise(&r, &err), 0);
    ck_assert(isnan(r.median) && isnan(r.cv));
    ck_assert(!cln_bench_noisy(&r));
}
END_TEST

/* Samples that agree within each visit to a row, but not between them, make it noisy all the same. */
START_TEST(row_of_two_visits)
{
    double later[] = {1.04, 1.05, 1.04, 1.05, 1.04};
    cln_bench_row r = {.name = "x", .samples = calloc(5, sizeof *r.samples), .n_samples = 5, .per_round = 1};
    const cln_bench_row more = {.name = "x", .samples = later, .n_samples = 5, .per_round = 1};
    cln_error err = {0};
    ck_assert_ptr_nonnull(r.samples);
    for (int i = 0; i < 5; i++)
        r.samples[i] = 1.0;
    ck_assert_int_eq(cln_bench_row_summarise(&r, &err), 0);
    ck_assert(!cln_bench_noisy(&r));
    ck_assert_int_eq(cln_bench_row_append(&r, &more, &err), 0);
    ck_assert_int_eq(r.n_samples, 10);
    ck_assert_double_eq(r.samples[9], 1.04);
    ck_assert_double_eq_tol(r.median, 1.02, 1e-12);
    ck_assert_double_eq_tol(r.drift, 0.04, 1e-12);
    ck_assert_double_lt(r.cv, 0.05);
    ck_assert(cln_bench_noisy(&r));
    cln_bench_row_clear(&r);
}
END_TEST

START_TEST(row_ceilings)
{
    const cln_bench_peaks p = {.flops = 1e11,
                               .bandwidth = {{1e5, 1e11, 0}, {1e7, 5e10, 0}, {1e9, 1e10, 0}},
                               .n_bandwidth = 3};
    ck_assert_double_eq(cln_bench_bandwidth(&p, 1), 1e11);
    ck_assert_double_eq(cln_bench_bandwidth(&p, 0), 1e11);
    ck_assert_double_eq(cln_bench_bandwidth(&p, 9e5), 1e11); /* 9 times one, an 11th of the other */
    ck_assert_double_eq(cln_bench_bandwidth(&p, 1.1e6), 5e10);
    ck_assert_double_eq(cln_bench_bandwidth(&p, 1e12), 1e10);
    ck_assert_double_eq(cln_bench_bandwidth(&(cln_bench_peaks){0}, 1e6), 0);
    cln_bench_row r = {.flops = 1e9, .bytes = 1e7};
    cln_bench_row_judge(&r, &p);
    ck_assert_double_eq_tol(r.ceiling, 0.01, 1e-15);
    ck_assert_str_eq(r.bound, "flops");
    r.flops = 1e6;
    cln_bench_row_judge(&r, &p);
    ck_assert_double_eq_tol(r.ceiling, 1e7 / 5e10, 1e-15);
    ck_assert_str_eq(r.bound, "memory");
    r.flops = r.bytes = 0;
    cln_bench_row_judge(&r, &p);
    ck_assert_double_eq(r.ceiling, 0);
    ck_assert_str_eq(r.bound, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench statistics");
    TCase *c = tcase_create("all");
    tcase_add_test(c, quantiles_lie_between_ranks);
    tcase_add_test(c, median_leaves_its_values_alone);
    tcase_add_test(c, rank_test_agrees_with_scipy);
    tcase_add_test(c, rank_test_has_its_level);
    tcase_add_test(c, ratio_of_rows_of_the_same_rounds);
    tcase_add_test(c, ratio_of_sums);
    tcase_add_test(c, ratio_of_little);
    tcase_add_loop_test(c, intervals_cover, 0, COUNT(settings));
    tcase_add_loop_test(c, ratio_has_its_level, 4, 8);
    tcase_add_test(c, row_names);
    tcase_add_test(c, row_summary);
    tcase_add_test(c, row_of_two_visits);
    tcase_add_test(c, row_ceilings);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
