/* Launches, tensors, kernel times; Philox and the vector macros of the kernel prelude. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/on_device.h"
#include "kernel.h"
#include "philox.h"

static const char kernels_cl[] =
    "kernel void count(global int *y, const int n)\n"
    "{\n"
    "    if (get_global_id(0) < n)\n"
    "        y[get_global_id(0) + n * (get_global_id(1) + get_global_size(1) * get_global_id(2))] "
    "+= 1;\n"
    "}\n"
    "kernel void optional(global int *y, global const int *x, const float f, const uint u)\n"
    "{\n"
    "    y[0] = (x ? x[0] : -1) + (int)(2.0f * f) + (int)(u >> 28);\n"
    "}\n"
    "kernel void random(global uint *r, const uint c0, const uint c1, const uint c2, const uint "
    "c3,\n"
    "                   const uint k0, const uint k1)\n"
    "{\n"
    "    const cln_philox p = cln_philox4x32(c0, c1, c2, c3, k0, k1);\n"
    "    r[0] = p.v[0]; r[1] = p.v[1]; r[2] = p.v[2]; r[3] = p.v[3];\n"
    "    r[4] = as_uint(cln_random_unit(p.v[0]));\n"
    "    r[5] = cln_random_below(p.v[0], 1000u);\n"
    "}\n"
    "kernel void twice(global float *y, global const float *x)\n"
    "{\n"
    "    const vec a = VLOAD(x + 1);\n"
    "    VSTORE(a + a, y + 3);\n"
    "}\n";

static char folder[256];

static void setup(void)
{
    char path[300];
    snprintf(folder, sizeof folder, "%s/test-kernel.XXXXXX", CLNORM_BINARY_DIR);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/k.cl", folder);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(kernels_cl, f);
    ck_assert_int_eq(fclose(f), 0);
    setenv("CLNORM_CL_DIR", folder, 1);
    err = (cln_error){0};
    OK(cln_device_open(NULL, true, &dev, &err));
}

static void teardown(void)
{
    char path[300];
    device_close();
    snprintf(path, sizeof path, "%s/k.cl", folder);
    unlink(path);
    rmdir(folder);
}

static cln_kernel kernel(const char *name, const char *options)
{
    cln_kernel k;
    OK(cln_kernel_new(dev, "k.cl", name, options, &k, &err));
    return k;
}

static cln_tensor tensor(size_t bytes)
{
    cln_tensor t;
    OK(cln_tensor_new(dev, bytes, "test data", &t, &err));
    OK(cln_tensor_fill(dev, t, 0, &err));
    return t;
}

/* ---- launches -------------------------------------------------------------------------- */

START_TEST(number_of_arguments_is_checked)
{
    cln_kernel k = kernel("count", "");
    cln_tensor y = tensor(4);
    ck_assert_uint_eq(k.n_args, 2);
    ck_assert_int_eq(cln_run(&k, cln_range1(1, 1), &err, CLN_MEM(y)), CLN_ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.text, "count takes 2 arguments, 1 were given"));
    ck_assert_int_eq(cln_run(&k, cln_range1(1, 1), &err, CLN_MEM(y), CLN_INT(1), CLN_INT(1)),
                     CLN_ERR_INTERNAL);
    cln_tensor_free(&y);
    cln_kernel_free(&k);
    ck_assert_int_eq(cln_run(&k, cln_range1(1, 1), &err, CLN_INT(1)), CLN_ERR_INTERNAL);
}
END_TEST

/* Every element is visited exactly once, whatever global and local size are asked for. */
static void check_range(size_t x, size_t y, size_t z, cln_range range)
{
    const size_t n = x * y * z;
    cln_kernel k = kernel("count", "");
    cln_tensor t = tensor((n + 8) * sizeof(int));
    int *got = malloc((n + 8) * sizeof *got);
    OK(cln_run(&k, range, &err, CLN_MEM(t), CLN_INT((int)x)));
    OK(cln_tensor_read(dev, t, 0, got, t.bytes, &err));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(got[i] == 1, "element %zu of %zux%zux%zu: %d", i, x, y, z, got[i]);
    for (size_t i = n; i < n + 8; i++)
        ck_assert_int_eq(got[i], 0);
    free(got);
    cln_tensor_free(&t);
    cln_kernel_free(&k);
}

START_TEST(ranges)
{
    check_range(1, 1, 1, cln_range1(1, 1));
    check_range(1000, 1, 1, cln_range1(1000, 64));
    check_range(7, 1, 1, cln_range1(7, 0)); /* no local size is a local size of 1 */
    check_range(13, 5, 3, cln_range3(13, 5, 3, 8));
    check_range(13, 1, 3, cln_range3(13, 1, 3, 1));
    check_range(13, 5, 1, cln_range3(13, 5, 1, 4));
}
END_TEST

START_TEST(local_size_is_fitted)
{
    cln_kernel k = kernel("count", "");
    const size_t limit = k.max_local;
    cln_kernel_free(&k);
    ck_assert_uint_ge(limit, 1);
    check_range(100, 1, 1, cln_range1(100, limit * 8));
    check_range(100, 1, 1, cln_range1(100, limit * 2 + 1));
    check_range(100, 1, 1, cln_range1(100, (size_t)1 << 40));
    check_range(10, 64, 2, (cln_range){{10, 64, 2}, {limit, 64, 1}});
}
END_TEST

START_TEST(empty_range_does_nothing)
{
    cln_kernel k = kernel("count", "");
    cln_tensor y = tensor(4);
    int got = -1;
    OK(cln_run(&k, cln_range1(0, 16), &err, CLN_MEM(y), CLN_INT(1)));
    OK(cln_run(&k, cln_range3(1, 0, 1, 1), &err, CLN_MEM(y), CLN_INT(1)));
    OK(cln_tensor_read(dev, y, 0, &got, sizeof got, &err));
    ck_assert_int_eq(got, 0);
    cln_tensor_free(&y);
    cln_kernel_free(&k);
}
END_TEST

START_TEST(typed_arguments_and_absent_tensor)
{
    cln_kernel k = kernel("optional", "");
    cln_tensor y = tensor(4), x = tensor(4), absent = {0};
    int got = 0, seven = 7;
    OK(cln_tensor_write(dev, x, 0, &seven, sizeof seven, &err));
    OK(cln_run(&k, cln_range1(1, 1), &err, CLN_MEM(y), CLN_MEM(x), CLN_FLOAT(1.5),
               CLN_UINT(0xF0000000u)));
    OK(cln_tensor_read(dev, y, 0, &got, sizeof got, &err));
    ck_assert_int_eq(got, 7 + 3 + 15);
    OK(cln_run(&k, cln_range1(1, 1), &err, CLN_MEM(y), CLN_MEM(absent), CLN_FLOAT(-0.5),
               CLN_UINT(0)));
    OK(cln_tensor_read(dev, y, 0, &got, sizeof got, &err));
    ck_assert_int_eq(got, -1 - 1);
    cln_tensor_free(&x);
    cln_tensor_free(&y);
    cln_kernel_free(&k);
}
END_TEST

START_TEST(times_per_kernel)
{
    cln_profile_row *rows = NULL;
    size_t count = 0;
    cln_kernel a = kernel("count", ""), b = kernel("twice", "");
    cln_tensor y = tensor(4096 * 4), x = tensor(4096 * 4);
    ck_assert_int_eq(cln_profile_collect(dev, &rows, &count, &err), CLN_ERR_INTERNAL);
    OK(cln_profile_start(dev, &err));
    for (int i = 0; i < 300; i++)
        OK(cln_run(&a, cln_range1(4096, 16), &err, CLN_MEM(y), CLN_INT(4096)));
    OK(cln_run(&b, cln_range1(1, 1), &err, CLN_MEM(y), CLN_MEM(x)));
    OK(cln_profile_collect(dev, &rows, &count, &err));
    ck_assert_uint_eq(count, 2);
    const cln_profile_row first = rows[0], second = rows[1];
    free(rows);
    ck_assert_double_ge(first.seconds, second.seconds); /* the longest first, whichever that was on a busy machine */
    const bool usual = strcmp(first.name, "count") == 0;
    const cln_profile_row many = usual ? first : second, one = usual ? second : first;
    ck_assert_str_eq(many.name, "count");
    ck_assert_uint_eq(many.launches, 300);
    ck_assert_double_gt(many.seconds, 0.0);
    ck_assert_str_eq(one.name, "twice");
    ck_assert_uint_eq(one.launches, 1);
    OK(cln_run(&b, cln_range1(1, 1), &err, CLN_MEM(y), CLN_MEM(x))); /* closed with one pending */
    cln_tensor_free(&x);
    cln_tensor_free(&y);
    cln_kernel_free(&a);
    cln_kernel_free(&b);
}
END_TEST

/* ---- tensors --------------------------------------------------------------------------- */

START_TEST(tensor_bounds)
{
    char bytes[64] = {0};
    cln_tensor t = tensor(64), absent = {0};
    OK(cln_tensor_write(dev, t, 60, bytes, 4, &err));
    OK(cln_tensor_write(dev, t, 64, bytes, 0, &err));
    ck_assert_int_eq(cln_tensor_write(dev, t, 61, bytes, 4, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_tensor_write(dev, t, 65, bytes, 0, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_tensor_read(dev, t, SIZE_MAX, bytes, 4, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_tensor_read(dev, t, 4, bytes, SIZE_MAX, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_tensor_read(dev, absent, 0, bytes, 1, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_tensor_copy(dev, t, t, 65, &err), CLN_ERR_INTERNAL);
    ck_assert_int_eq(cln_tensor_new(dev, 0, "nothing", &absent, &err), CLN_ERR_INTERNAL);
    cln_tensor_free(&t);
    cln_tensor_free(&t);
    cln_tensor_free(NULL);
}
END_TEST

START_TEST(tensor_over_the_limit)
{
    char limit[64];
    cln_tensor t = {(cl_mem)&err, 5};
    snprintf(limit, sizeof limit, "allows %.1f MiB", (double)dev->info.max_alloc / 1048576.0);
    ck_assert_int_eq(cln_tensor_new(dev, (size_t)dev->info.max_alloc + 1, "activations", &t, &err),
                     CLN_ERR_DEVICE_MEMORY);
    ck_assert_ptr_null(t.mem);
    ck_assert_ptr_nonnull(strstr(err.text, "activations need a buffer of"));
    ck_assert_ptr_nonnull(strstr(err.text, limit));
    ck_assert_ptr_nonnull(strstr(err.text, "batch"));
}
END_TEST

START_TEST(tensor_fill_copy_view)
{
    const size_t align = dev->info.base_align;
    const size_t n = 4 * align / sizeof(uint32_t);
    uint32_t *got = malloc(n * sizeof *got);
    cln_tensor a = tensor(4 * align), b = tensor(4 * align), view, bad;

    OK(cln_tensor_fill(dev, a, 0x7fc00123u, &err));
    OK(cln_tensor_view(dev, b, align, 2 * align, &view, &err));
    OK(cln_tensor_copy(dev, a, view, 2 * align, &err));
    OK(cln_tensor_read(dev, b, 0, got, b.bytes, &err));
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(got[i], i < n / 4 || i >= n - n / 4 ? 0 : 0x7fc00123u);
    OK(cln_tensor_read(dev, view, 4, got, 4, &err));
    ck_assert_uint_eq(got[0], 0x7fc00123u);

    ck_assert_int_eq(cln_tensor_view(dev, b, 3 * align, 2 * align, &bad, &err), CLN_ERR_INTERNAL);
    ck_assert_ptr_null(bad.mem);
    ck_assert_int_eq(cln_tensor_view(dev, b, align, 0, &bad, &err), CLN_ERR_INTERNAL);
    ck_assert_uint_eq(cln_align_up(1, align), align);
    ck_assert_uint_eq(cln_align_up(align, align), align);
    ck_assert_uint_eq(cln_align_up(5, 0), 5);
    cln_tensor_free(&view);
    cln_tensor_free(&b);
    cln_tensor_free(&a);
    free(got);
}
END_TEST

/* ---- the kernel prelude ---------------------------------------------------------------- */

/* The known answers for philox4x32-10 that its authors publish with Random123 (kat_vectors). */
static const struct {
    uint32_t counter[4], key[2], want[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(philox_known_answers)
{
    cln_kernel k = kernel("random", "");
    cln_tensor r = tensor(6 * sizeof(uint32_t));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const uint32_t *c = known[i].counter, *key = known[i].key;
        uint32_t got[6];
        cln_philox host = cln_philox4x32(c[0], c[1], c[2], c[3], key[0], key[1]);
        float unit = cln_random_unit(host.v[0]);
        ck_assert_int_eq(memcmp(host.v, known[i].want, sizeof host.v), 0);
        ck_assert(unit >= 0.0f && unit < 1.0f);
        ck_assert_uint_lt(cln_random_below(host.v[0], 1000), 1000);

        OK(cln_run(&k, cln_range1(1, 1), &err, CLN_MEM(r), CLN_UINT(c[0]), CLN_UINT(c[1]),
                   CLN_UINT(c[2]), CLN_UINT(c[3]), CLN_UINT(key[0]), CLN_UINT(key[1])));
        OK(cln_tensor_read(dev, r, 0, got, sizeof got, &err));
        ck_assert_int_eq(memcmp(got, known[i].want, sizeof host.v), 0);
        ck_assert_int_eq(memcmp(&got[4], &unit, sizeof unit), 0);
        ck_assert_uint_eq(got[5], cln_random_below(host.v[0], 1000));
    }
    ck_assert_float_lt(cln_random_unit(0xffffffffu), 1.0f);
    ck_assert_float_eq(cln_random_unit(0), 0.0f);
    ck_assert_uint_eq(cln_random_below(0xffffffffu, 7), 6);
    cln_tensor_free(&r);
    cln_kernel_free(&k);
}
END_TEST

/* V elements, from and to places aligned to a float only. */
START_TEST(vectors_of_each_width)
{
    float x[32], y[32];
    cln_tensor tx = tensor(sizeof x), ty = tensor(sizeof y);
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i + 1);
    OK(cln_tensor_write(dev, tx, 0, x, sizeof x, &err));
    for (int v = 1; v <= 16; v *= 2) {
        char options[32];
        snprintf(options, sizeof options, "-D V=%d", v);
        cln_kernel k = kernel("twice", options);
        OK(cln_tensor_fill(dev, ty, 0, &err));
        OK(cln_run(&k, cln_range1(1, 1), &err, CLN_MEM(ty), CLN_MEM(tx)));
        OK(cln_tensor_read(dev, ty, 0, y, sizeof y, &err));
        for (int i = 0; i < 32; i++)
            ck_assert_float_eq(y[i], i >= 3 && i < 3 + v ? 2.0f * x[i - 2] : 0.0f);
        cln_kernel_free(&k);
    }
    cln_kernel k;
    ck_assert_int_eq(cln_kernel_new(dev, "k.cl", "twice", "-D V=3", &k, &err), CLN_ERR_BUILD);
    ck_assert_ptr_nonnull(strstr(err.text, "V must be 1, 2, 4, 8 or 16"));
    cln_tensor_free(&ty);
    cln_tensor_free(&tx);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernel");
    TCase *t = tcase_create("kernel");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, number_of_arguments_is_checked);
    tcase_add_test(t, ranges);
    tcase_add_test(t, local_size_is_fitted);
    tcase_add_test(t, empty_range_does_nothing);
    tcase_add_test(t, typed_arguments_and_absent_tensor);
    tcase_add_test(t, times_per_kernel);
    tcase_add_test(t, tensor_bounds);
    tcase_add_test(t, tensor_over_the_limit);
    tcase_add_test(t, tensor_fill_copy_view);
    tcase_add_test(t, philox_known_answers);
    tcase_add_test(t, vectors_of_each_width);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
