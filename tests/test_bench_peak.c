/* The device's ceilings: that they are measured and in order, that kernels which leave work out are not believed, and
 * the look-up by working set. What the figures are worth is test_bench_native's business. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "common/scratch.h"

static cln_error err;

#define OK(call) ck_assert_msg((call) == CLN_OK, "%s: %s\n%s", err.where, err.text, err.log)

START_TEST(test_measure)
{
    cln_device *dev = NULL;
    cln_bench_peaks p;
    OK(cln_device_open(NULL, false, &dev, &err));
    OK(cln_bench_peaks_measure(dev, 0.2, &p, &err));
    ck_assert(isfinite(p.flops) && p.flops > 0);
    ck_assert(isfinite(p.launch) && p.launch > 0);
    ck_assert(isfinite(p.round_trip) && p.round_trip > 0);
    ck_assert_int_ge(p.n_bandwidth, 1);
    ck_assert_int_le(p.n_bandwidth, CLN_BENCH_BANDWIDTHS);
    for (int i = 0; i < p.n_bandwidth; i++) {
        ck_assert(i == 0 || p.bandwidth[i].bytes > p.bandwidth[i - 1].bytes);
        ck_assert(isfinite(p.bandwidth[i].copy) && p.bandwidth[i].copy > 0);
        ck_assert(isfinite(p.bandwidth[i].read) && p.bandwidth[i].read > 0);
        ck_assert_double_eq(cln_bench_bandwidth(&p, p.bandwidth[i].bytes), p.bandwidth[i].copy);
    }
    cln_device_close(dev);
}
END_TEST

/* What a kernel of cl/peak.cl might leave out: every place of `from` is replaced. */
static const struct {
    const char *from, *to, *kernel;
} lies[] = {
    {"r < rounds", "r < rounds - 1", "peak_fma"},
    {"counts[get_global_id(0)] += 1", "counts[0] |= 1", "peak_touch"},
    {"p < passes; p++, key++", "p < passes - 1; p++, key++", "peak_copy"}, /* a pass */
    {"+ (uvec)(key)", "+ (uvec)(key & 0xffffu)", "peak_copy"},
    {"a += x[", "a += (uvec)(p & 1) * x[", "peak_read"},       /* SIMT */
    {"a[k] += x[", "a[k] += (uvec)(p & 1) * x[", "peak_read"}, /* vector class */
};

/* `text` with every `from` replaced; malloc'ed. NULL: there is none. */
static char *replaced(const char *text, const char *from, const char *to)
{
    size_t count = 0;
    for (const char *p = text; (p = strstr(p, from)); p += strlen(from))
        count++;
    char *out = malloc(strlen(text) + count * strlen(to) + 1);
    ck_assert_ptr_nonnull(out);
    char *end = out;
    for (const char *p; (p = strstr(text, from)); text = p + strlen(from)) {
        memcpy(end, text, (size_t)(p - text));
        end += p - text;
        memcpy(end, to, strlen(to));
        end += strlen(to);
    }
    memcpy(end, text, strlen(text) + 1);
    if (count == 0)
        free(out);
    return count ? out : NULL;
}

START_TEST(test_lie)
{
    const cln_embedded_file *source = cln_embedded_find("peak.cl");
    cln_device *dev = NULL;
    cln_bench_peaks p;
    ck_assert_ptr_nonnull(source);
    char *text = replaced((const char *)source->bytes, lies[_i].from, lies[_i].to);
    ck_assert_msg(text, "cl/peak.cl has no '%s'", lies[_i].from);
    scratch_new();
    put("peak.cl", text, strlen(text));
    free(text);
    setenv("CLNORM_CL_DIR", at(""), 1);
    OK(cln_device_open(NULL, false, &dev, &err));
    const bool simt = dev->info.vector_width < 4, for_simt = strncmp(lies[_i].from, "a +=", 4) == 0;
    const bool concerns = strcmp(lies[_i].kernel, "peak_read") != 0 || simt == for_simt;
    const int rc = cln_bench_peaks_measure(dev, 0.1, &p, &err);
    if (concerns) {
        ck_assert_int_eq(rc, CLN_ERR_DEVICE);
        ck_assert_msg(strstr(err.text, lies[_i].kernel), "%s", err.text);
    } else {
        ck_assert_msg(rc == CLN_OK, "%s\n%s", err.text, err.log);
    }
    cln_device_close(dev);
    unsetenv("CLNORM_CL_DIR");
    scratch_remove();
}
END_TEST

START_TEST(test_bandwidth)
{
    const cln_bench_peaks none = {0};
    const cln_bench_peaks p = {.bandwidth = {{1000, 30, 1}, {4000, 20, 2}, {16000, 10, 3}},
                               .n_bandwidth = 3};
    static const struct {
        double bytes, copy;
    } cases[] = {{1, 30},    {1000, 30}, {1900, 30}, {2100, 20},
                 {7900, 20}, {8100, 10}, {1e12, 10}, {0, 30}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_double_eq(cln_bench_bandwidth(&p, cases[i].bytes), cases[i].copy);
    ck_assert_double_eq(cln_bench_bandwidth(&none, 1000), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench_peak");
    TCase *t = tcase_create("peak");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_bandwidth);
    tcase_add_test(t, test_measure);
    tcase_add_loop_test(t, test_lie, 0, sizeof lies / sizeof lies[0]);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
