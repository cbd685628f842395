/* Pictures of the bench, from a report whose figures are INVENTED here (see invent): they are of a plausible size
 * and nothing else. CLNORM_PICTURES=DIR leaves the pictures in that folder, to be looked at. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "common/picture.h"
#include "common/scratch.h"
#include "file.h"

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

typedef int (*plot)(const cln_bench_report *r, const char *path, cln_error *err);

static cln_error err;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    scratch_new();
}

/* ---- an invented report ------------------------------------------------------------------------ */

typedef struct report { /* room for all rows of a test; the plots only read */
    cln_bench_report r;
    cln_bench_row rows[1024];
} report;

static report *invented_context(void)
{
    report *t = calloc(1, sizeof *t);

    ck_assert_ptr_nonnull(t);
    t->r.rows = t->rows;
    cln_bench_context *c = &t->r.context;
    snprintf(c->date, sizeof c->date, "2001-02-03 04:05");
    snprintf(c->device, sizeof c->device, "Invented Device 9000 (2 cores)");
    snprintf(c->platform, sizeof c->platform, "Portable Computing Language");
    snprintf(c->program, sizeof c->program, "clnorm 0.0.0");
    c->peaks.flops = 505e9;
    c->peaks.n_bandwidth = 8;
    for (int i = 0; i < 8; i++) {
        static const double copy[8] = {129e9, 131e9, 118e9, 96e9, 60e9, 44e9, 40e9, 39e9};
        c->peaks.bandwidth[i].bytes = 65536 * pow(4, i);
        c->peaks.bandwidth[i].copy = copy[i];
        c->peaks.bandwidth[i].read = 1.2 * copy[i];
    }
    return t;
}

static cln_bench_row *add(report *t, const char *view, const char *what, const char *norm, const char *direction,
                          int batch, double seconds)
{
    ck_assert_int_lt(t->r.n_rows, (int)(sizeof t->rows / sizeof t->rows[0]));
    cln_bench_row *row = &t->rows[t->r.n_rows++];
    snprintf(row->view, sizeof row->view, "%s", view);
    snprintf(row->what, sizeof row->what, "%s", what);
    snprintf(row->norm, sizeof row->norm, "%s", norm);
    snprintf(row->direction, sizeof row->direction, "%s", direction);
    snprintf(row->name, sizeof row->name, "%s/%s/%s/%s", view, what, norm, direction);
    row->batch = batch;
    row->median = row->min = seconds;
    row->p10 = 0.97 * seconds;
    row->p90 = 1.06 * seconds;
    row->n_samples = 50;
    return row;
}

static void cost(cln_bench_row *row, double flops, double bytes)
{
    row->flops = flops;
    row->bytes = bytes;
    row->ceiling = fmax(flops / 505e9, bytes / 39e9);
}

static const struct {
    const char *what;
    int side, in, out, k;
} skeleton[] = {{"0.conv+norm+relu", 32, 3, 16, 3},         {"3.conv+norm+relu", 32, 16, 32, 3},
                {"6.conv+norm+relu+maxpool", 32, 32, 16, 1}, {"10.conv+norm+relu", 16, 16, 16, 3},
                {"13.conv+norm+relu", 16, 16, 32, 3},        {"16.conv+norm+relu", 16, 32, 32, 3},
                {"19.conv+norm+relu+maxpool", 16, 32, 16, 1}, {"23.conv+norm+relu", 8, 16, 32, 3},
                {"26.conv+norm+relu", 8, 32, 32, 3},         {"29.conv+norm+relu", 8, 32, 32, 3}};
enum { STAGES = sizeof skeleton / sizeof skeleton[0], BATCH = 128 };

static const struct {
    const char *norm;
    double price; /* of a pass over the values, in parts of a copy */
} norms[] = {{"none", 0}, {"bn", 0.9}, {"ln", 1.0}, {"gn", 1.3}, {"in", 1.1}};

static double noise(int i) { return 1 + 0.04 * sin(12.9898 * i + 1); }

static void invent_stage(report *t, int i, int n, double scale)
{
    const double pixels = (double)BATCH * skeleton[i].side * skeleton[i].side;
    const double flops = 2 * pixels * skeleton[i].in * skeleton[i].out * skeleton[i].k * skeleton[i].k;
    const double bytes = 4 * pixels * (skeleton[i].in + skeleton[i].out);
    const double pass = 4 * pixels * skeleton[i].out / 39e9 * norms[n].price;
    cln_bench_row *row = add(t, "stage", skeleton[i].what, norms[n].norm, "forward", BATCH,
                             scale * noise(7 * i + n) * (flops / 420e9 + bytes / 80e9 + pass));
    cost(row, flops, bytes);
    row = add(t, "stage", skeleton[i].what, norms[n].norm, "backward", BATCH,
              scale * noise(5 * i + n) * (2 * flops / 400e9 + 2 * bytes / 80e9 + 2 * pass));
    cost(row, 2 * flops, 2 * bytes);
}

static void invent_alone(report *t, int i)
{
    static const char *const directions[] = {"forward", "backward-data", "backward-params"};
    const double pixels = (double)BATCH * skeleton[i].side * skeleton[i].side;
    const double flops = 2 * pixels * skeleton[i].in * skeleton[i].out * skeleton[i].k * skeleton[i].k;
    const double bytes = 4 * pixels * (skeleton[i].in + skeleton[i].out);
    char what[64];

    snprintf(what, sizeof what, "%d.conv", atoi(skeleton[i].what));
    for (int d = 0; d < 3; d++)
        cost(add(t, "alone", what, "-", directions[d], BATCH, noise(i + d) * (flops / (470e9 - 40e9 * d) + bytes / 90e9)),
             flops, bytes);
    for (int n = 1; n < 4; n++) {
        snprintf(what, sizeof what, "%d.norm", atoi(skeleton[i].what) + 1);
        cost(add(t, "alone", what, norms[n].norm, "forward", BATCH, noise(i + n) * 8 * pixels * skeleton[i].out / 33e9),
             6 * pixels * skeleton[i].out, 8 * pixels * skeleton[i].out);
    }
    snprintf(what, sizeof what, "%d.relu", atoi(skeleton[i].what) + 2);
    cost(add(t, "alone", what, "-", "forward", BATCH, noise(i) * 8 * pixels * skeleton[i].out / 36e9),
         pixels * skeleton[i].out, 8 * pixels * skeleton[i].out);
}

static void invent_batches(report *t, int n_norms)
{
    for (int n = 0; n < n_norms; n++)
        for (int batch = 1, i = 0; batch <= 512; batch *= 2, i++) {
            char text[16];
            snprintf(text, sizeof text, "%d", batch);
            add(t, "step", "s8", norms[n].norm, text, batch, noise(i + n) * (1.5e-3 + batch / (5000 - 400 * norms[n].price)));
            add(t, "infer", "s8", norms[n].norm, text, batch, noise(i + 2 * n) * (3e-4 + batch / (17000 - 900 * norms[n].price)));
        }
}

static report *invent(int n_norms)
{
    report *t = invented_context();

    for (int i = 0; i < STAGES; i++) {
        for (int n = 0; n < n_norms; n++)
            invent_stage(t, i, n, 1);
        invent_alone(t, i);
    }
    invent_batches(t, n_norms);
    return t;
}

/* ---- drawing ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    plot plot;
    int width, height;
} plots[] = {{"stages", cln_bench_plot_stages, 1400, 640},
             {"roofline", cln_bench_plot_roofline, 1400, 800},
             {"batches", cln_bench_plot_batches, 1400, 600},
             {"prices", cln_bench_plot_prices, 1200, 600}};
enum { STAGES_PLOT, ROOFLINE_PLOT, BATCHES_PLOT, PRICES_PLOT, PLOTS };

static void copy_for_people(const char *name)
{
    const char *folder = getenv("CLNORM_PICTURES");
    char path[CLN_PATH_MAX];
    blob b = get(name);

    if (folder != NULL) {
        OK(cln_path_join(path, sizeof path, folder, name, &err));
        OK(cln_file_write_atomic(path, b.bytes, b.size, &err));
    }
    free(b.bytes);
}

/* As NAME-PLOT.png and .svg. */
static void draw(const report *t, int which, const char *name)
{
    char file[64];

    snprintf(file, sizeof file, "%s-%s.png", name, plots[which].name);
    OK(plots[which].plot(&t->r, at(file), &err));
    is_png(file, (uint32_t)plots[which].width, (uint32_t)plots[which].height);
    copy_for_people(file);
    snprintf(file, sizeof file, "%s-%s.svg", name, plots[which].name);
    OK(plots[which].plot(&t->r, at(file), &err));
    is_svg(file, plots[which].width, plots[which].height);
    copy_for_people(file);
}

START_TEST(norms_of_a_network)
{
    static const int counts[] = {2, 4, 5};
    char name[16];

    for (int i = 0; i < 3; i++) {
        report *t = invent(counts[i]);
        snprintf(name, sizeof name, "norms%d", counts[i]);
        draw(t, _i, name);
        free(t);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench_plot");
    TCase *t = tcase_create("bench_plot");
    tcase_add_checked_fixture(t, setup, scratch_remove);
    tcase_add_loop_test(t, norms_of_a_network, 0, PLOTS);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
