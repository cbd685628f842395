/* Statistics of small samples against published tables and SciPy; base64 against RFC 4648. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "statistics.h"

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])

/* ---- Student's t --------------------------------------------------------------------------------- */

/* Three digits: the table of critical values in any textbook (Fisher & Yates, Statistical Tables, table III). */
START_TEST(quantiles_are_those_of_the_tables)
{
    static const struct {
        double freedom, at_90, at_95, at_99;
    } table[] = {{1, 6.314, 12.706, 63.657}, {2, 2.920, 4.303, 9.925},  {3, 2.353, 3.182, 5.841}, {4, 2.132, 2.776, 4.604},
                 {5, 2.015, 2.571, 4.032},   {9, 1.833, 2.262, 3.250},  {10, 1.812, 2.228, 3.169}, {20, 1.725, 2.086, 2.845},
                 {30, 1.697, 2.042, 2.750},  {60, 1.671, 2.000, 2.660}, {120, 1.658, 1.980, 2.617}};
    for (int i = 0; i < COUNT(table); i++) {
        ck_assert_double_eq_tol(cln_stats_t_quantile(0.90, table[i].freedom), table[i].at_90, 5.01e-4);
        ck_assert_double_eq_tol(cln_stats_t_quantile(0.95, table[i].freedom), table[i].at_95, 5.01e-4);
        ck_assert_double_eq_tol(cln_stats_t_quantile(0.99, table[i].freedom), table[i].at_99, 5.01e-4);
    }
    ck_assert_double_eq_tol(cln_stats_t_quantile(0.95, 1e9), 1.959963986, 1e-6); /* the normal distribution */
    ck_assert(isnan(cln_stats_t_quantile(1, 4)));
    ck_assert(isnan(cln_stats_t_quantile(0.95, 0)));
}
END_TEST

START_TEST(tails_are_exact)
{
    /* one degree: 1 - 2 atan(t) / pi; two: 1 - t / sqrt(2 + t^2); four: 1 - s (3 - s^2) / 2 with s = t / sqrt(4 + t^2) */
    static const double t[] = {0, 1e-8, 0.1, 0.5, 1, 2, 3.7, 12, 150};
    for (int i = 0; i < COUNT(t); i++) {
        const double s = t[i] / sqrt(4 + t[i] * t[i]);
        ck_assert_double_eq_tol(cln_stats_t_tails(t[i], 1), 1 - 2 * atan(t[i]) / acos(-1), 1e-13);
        ck_assert_double_eq_tol(cln_stats_t_tails(-t[i], 2), 1 - t[i] / sqrt(2 + t[i] * t[i]), 1e-13);
        ck_assert_double_eq_tol(cln_stats_t_tails(t[i], 4), 1 - s * (3 - s * s) / 2, 1e-13);
        ck_assert_double_eq_tol(cln_stats_t_tails(t[i], 1e10), erfc(t[i] * sqrt(0.5)), 1e-6);
    }
    /* far out, relative: 2 / (pi t) */
    ck_assert_double_eq_tol(cln_stats_t_tails(1e12, 1) * 1e12, 2 / acos(-1), 1e-9);
    ck_assert_double_eq(cln_stats_t_tails(INFINITY, 4), 0);
    ck_assert_double_eq(cln_stats_t_tails(1e200, 4), 0);
    ck_assert(isnan(cln_stats_t_tails(NAN, 4)));
}
END_TEST

START_TEST(quantiles_invert_tails)
{
    for (int freedom = 1; freedom < 200; freedom += 7)
        for (int percent = 1; percent < 100; percent += 7) {
            const double c = 0.01 * percent;
            ck_assert_double_eq_tol(cln_stats_t_tails(cln_stats_t_quantile(c, freedom), freedom), 1 - c, 1e-12);
        }
}
END_TEST

/* ---- samples ------------------------------------------------------------------------------------- */

START_TEST(means_and_intervals)
{
    /* 84.9 to 85.5: mean 85.22, squares of deviations 0.188 in all; half width 2.7764 * sd / sqrt 5 */
    const double values[] = {84.9, 85.2, 85.3, 85.5, 85.2};
    const cln_stats s = cln_stats_of(values, 5);
    ck_assert_double_eq_tol(s.mean, 85.22, 1e-12);
    ck_assert_double_eq_tol(s.sd, sqrt(0.188 / 4), 1e-12);
    ck_assert_double_eq_tol(s.high - s.mean, 2.776445105 * sqrt(0.188 / 4) / sqrt(5), 1e-8);
    ck_assert_double_eq_tol(s.high + s.low, 2 * s.mean, 1e-12);
    const cln_stats one = cln_stats_of(values, 1), none = cln_stats_of(NULL, 0);
    ck_assert_double_eq(one.mean, 84.9);
    ck_assert(isnan(one.sd) && isnan(one.low) && isnan(none.mean));
}
END_TEST

/* Student's own: hours of sleep gained by ten patients with two drugs (Biometrika 6, 1908). t = 4.06, p = 0.0028. */
START_TEST(paired_test_on_students_sleep)
{
    const double a[] = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
    const double b[] = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
    const cln_stats_paired r = cln_stats_pairs(a, b, 10);
    ck_assert_double_eq_tol(r.difference.mean, 1.58, 1e-12);
    ck_assert_double_eq_tol(r.t, 4.0621, 1e-4);
    ck_assert_double_eq_tol(r.p, 0.002833, 1e-6);
    ck_assert_double_eq_tol(r.difference.low, 0.7001, 1e-4);
    ck_assert_double_eq_tol(r.difference.high, 2.4599, 1e-4);
    const cln_stats_paired other = cln_stats_pairs(b, a, 10);
    ck_assert_double_eq(other.t, -r.t);
    ck_assert_double_eq(other.p, r.p);
}
END_TEST

START_TEST(paired_test_of_few_or_equal)
{
    const double a[] = {3, 4, 5}, b[] = {1, 2, 3};
    const double x[] = {80.2, 80.4, 79.8}, y[] = {79.8, 80.0, 79.4}; /* 0.4 apart, but for rounding */
    ck_assert(isnan(cln_stats_pairs(a, b, 3).p) && isnan(cln_stats_pairs(a, b, 3).difference.low));
    ck_assert(isnan(cln_stats_pairs(a, a, 3).p) && isnan(cln_stats_pairs(x, y, 3).t));
    ck_assert(isnan(cln_stats_pairs(x, y, 3).p) && isnan(cln_stats_pairs(x, y, 3).difference.high));
    ck_assert_double_eq_tol(cln_stats_pairs(x, y, 3).difference.mean, 0.4, 1e-9);
    ck_assert(isnan(cln_stats_pairs(a, b, 1).p));
    ck_assert_double_eq(cln_stats_pairs(a, b, 1).difference.mean, 2);
    ck_assert(isnan(cln_stats_pairs(a, b, 0).p));
}
END_TEST

/* ---- Holm ---------------------------------------------------------------------------------------- */

START_TEST(holm_steps_down)
{
    /* by hand: 0.005 * 4, 0.01 * 3, 0.03 * 2, max(0.04 * 1, the one before) */
    const double p[] = {0.01, 0.04, 0.03, 0.005}, want[] = {0.03, 0.06, 0.06, 0.02};
    double q[4], one[] = {0.7, 0.6}, holes[] = {NAN, 0.02, NAN, 0.03};
    ck_assert_int_eq(cln_stats_holm(p, 4, q, NULL), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq_tol(q[i], want[i], 1e-15);
    ck_assert_int_eq(cln_stats_holm(one, 2, one, NULL), 0); /* in place; never above 1 */
    ck_assert_double_eq(one[0], 1);
    ck_assert_double_eq(one[1], 1);
    ck_assert_int_eq(cln_stats_holm(holes, 4, holes, NULL), 0);
    ck_assert(isnan(holes[0]) && isnan(holes[2]));
    ck_assert_double_eq_tol(holes[1], 0.04, 1e-15);
    ck_assert_double_eq_tol(holes[3], 0.04, 1e-15);
    ck_assert_int_eq(cln_stats_holm(NULL, 0, NULL, NULL), 0);
}
END_TEST

/* ---- base64 -------------------------------------------------------------------------------------- */

START_TEST(base64_of_the_rfc)
{
    static const char *const texts[] = {"", "", "f", "Zg==", "fo", "Zm8=", "foo", "Zm9v", "foob", "Zm9vYg==", "fooba",
                                        "Zm9vYmE=", "foobar", "Zm9vYmFy", "\xff\xfe\xfd", "//79"};
    for (int i = 0; i < COUNT(texts); i += 2) {
        const size_t n = strlen(texts[i]);
        unsigned char back[8];
        char *text = cln_base64_encode(texts[i], n);
        ck_assert_ptr_nonnull(text);
        ck_assert_str_eq(text, texts[i + 1]);
        ck_assert(cln_base64_decode(text, back, n));
        ck_assert_int_eq(memcmp(back, texts[i], n), 0);
        ck_assert(!cln_base64_decode(text, back, n + 1));
        free(text);
    }
}
END_TEST

START_TEST(base64_refuses)
{
    static const char *const bad[] = {"Zg", "Zg=", "Zg==Zg==", "Zh==", "Z===", "====", "Z g=", "Zg=\n", "Zg=A", ""};
    unsigned char back[8];
    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!cln_base64_decode(bad[i], back, 1), "%s", bad[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("statistics");
    TCase *c = tcase_create("statistics");
    tcase_add_test(c, quantiles_are_those_of_the_tables);
    tcase_add_test(c, tails_are_exact);
    tcase_add_test(c, quantiles_invert_tails);
    tcase_add_test(c, means_and_intervals);
    tcase_add_test(c, paired_test_on_students_sleep);
    tcase_add_test(c, paired_test_of_few_or_equal);
    tcase_add_test(c, holm_steps_down);
    tcase_add_test(c, base64_of_the_rfc);
    tcase_add_test(c, base64_refuses);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
