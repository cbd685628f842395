/* `clnorm bench peak` against native_peak, which measures the same without OpenCL on the same cores. The two run in
 * turn; what each has seen at best only grows towards the machine's true ceilings, however noisy it is, so rounds go on
 * until the two agree. Skipped (status 77) on devices that are not the machine's own processor. */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

enum { SKIPPED = 77, ROUNDS = 12, FIGURES = 5 };
static const double TOLERANCE = 0.10;
static const char native_program[] = CLNORM_BINARY_DIR "/tests/native_peak";
static cln_device_info device;

typedef struct figure {
    const char *native; /* its name in native_peak's output */
    char row[64];       /* the name in the bench's JSON */
    const char *counter;
    double best_native, best;
} figure;

/* Bytes of the working set of a row "peak/256KiB/-/copy"; 0: it has none. */
static double working_set(const char *name)
{
    double kib;
    char rest[16];
    return sscanf(name, "peak/%lfKiB/-/%15s", &kib, rest) == 2 && strcmp(rest, "copy") == 0
               ? 1024 * kib
               : 0;
}

static json_t *run_bench(void)
{
    json_error_t e;
    char command[1200];
    snprintf(command, sizeof command, "'%s' bench peak --device %d --min-time 1 --json -",
             CLNORM_PROGRAM, device.index);
    FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c): the commands are the build's own */
    ck_assert_ptr_nonnull(f);
    json_t *root = json_loadf(f, 0, &e);
    ck_assert_msg(pclose(f) == 0 && root, "%s: %s", command, e.text);
    return root;
}

static void read_bench(figure *figures)
{
    json_t *root = run_bench(), *row;
    size_t i;
    json_array_foreach(json_object_get(root, "benchmarks"), i,
                       row) for (int k = 0; k < FIGURES;
                                 k++) if (strcmp(json_string_value(json_object_get(row, "name")),
                                                 figures[k].row) == 0)
    {
        const double value = json_number_value(json_object_get(row, figures[k].counter));
        ck_assert_msg(value > 0 && isfinite(value), "%s: %g", figures[k].row, value);
        figures[k].best = fmax(figures[k].best, value);
    }
    json_decref(root);
}

static void read_native(figure *figures, double small, double large)
{
    char command[1200], line[128];
    snprintf(command, sizeof command, "'%s' 0.5 %.0f %.0f", native_program, small, large);
    FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c) */
    ck_assert_ptr_nonnull(f);
    int seen = 0;
    while (fgets(line, sizeof line, f))
        for (int k = 0; k < FIGURES; k++) {
            const size_t length = strlen(figures[k].native);
            if (strncmp(line, figures[k].native, length) == 0 && line[length] == ' ') {
                figures[k].best_native = fmax(figures[k].best_native, strtod(line + length, NULL));
                seen++;
            }
        }
    ck_assert_int_eq(pclose(f), 0);
    ck_assert_int_eq(seen, FIGURES);
}

/* The rung that fits all cores' second-level caches but not their first-level ones, and the last up to 128 MiB: a
 * longer pass seldom has the machine for itself. */
static void choose_sets(double *small, double *large)
{
    json_t *root = run_bench(), *row;
    size_t i;
    *small = *large = 0;
    json_array_foreach(json_object_get(root, "benchmarks"), i, row)
    {
        const double bytes = working_set(json_string_value(json_object_get(row, "name")));
        *small = *small <= 0 && bytes >= 131072.0 * device.compute_units ? bytes : *small;
        *large = bytes <= 128 << 20 ? fmax(*large, bytes) : *large;
    }
    json_decref(root);
    ck_assert_msg(*small > 0 && *large > *small, "working sets %g and %g", *small, *large);
}

START_TEST(test_native)
{
    figure f[FIGURES] = {{"fma", "peak/fma/-/float32", "flops_per_second", 0, 0},
                         {"copy small", "", "bytes_per_second", 0, 0},
                         {"read small", "", "bytes_per_second", 0, 0},
                         {"copy large", "", "bytes_per_second", 0, 0},
                         {"read large", "", "bytes_per_second", 0, 0}};
    double set[2];
    bool agree = false;
    choose_sets(&set[0], &set[1]);
    for (int k = 1; k < FIGURES; k++)
        snprintf(f[k].row, sizeof f[k].row, "peak/%.0fKiB/-/%s", set[(k - 1) / 2] / 1024,
                 k % 2 ? "copy" : "read");
    for (int round = 0; round < ROUNDS && !agree; round++) {
        read_native(f, set[0], set[1]);
        read_bench(f);
        agree = true;
        printf("round %2d, bench / native:", round + 1);
        for (int k = 0; k < FIGURES; k++) {
            const double ratio = f[k].best / f[k].best_native;
            agree = agree && fabs(ratio - 1) <= TOLERANCE;
            printf("   %s %.1f / %.1f = %.2f", f[k].native, 1e-9 * f[k].best,
                   1e-9 * f[k].best_native, ratio);
        }
        printf("\n");
        fflush(stdout);
    }
    ck_assert_msg(agree, "no agreement within %.0f %% in %d rounds", 100 * TOLERANCE, ROUNDS);
}
END_TEST

int main(void)
{
    cln_device *dev = NULL;
    cln_error err = {0};
    char command[1200];
    if (cln_device_open(NULL, false, &dev, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    device = dev->info;
    cln_device_close(dev);
    /* Oclgrind calls itself everything at once; a CPU of narrow vectors is an emulated GPU. */
    if (device.type != CL_DEVICE_TYPE_CPU || device.vector_width < 4) {
        printf("skipped: %s is not run by this machine's own vectors\n", device.name);
        return SKIPPED;
    }
    snprintf(command, sizeof command, "'%s' 0 262144 1048576 >/dev/null", native_program);
    if (system(command) != 0) { /* NOLINT(cert-env33-c) */
        printf("skipped: native_peak does not run on this processor\n");
        return SKIPPED;
    }
    Suite *s = suite_create("bench_native");
    TCase *t = tcase_create("peak");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_native);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
