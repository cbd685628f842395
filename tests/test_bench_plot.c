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

static cln_bench_row *add(report *t, const char *view, const char *what, const char *norm,
                          const char *direction, int batch, double seconds)
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
} skeleton[] = {{"0.conv+norm+relu", 32, 3, 16, 3},           {"3.conv+norm+relu", 32, 16, 32, 3},
                {"6.conv+norm+relu+maxpool", 32, 32, 16, 1},  {"10.conv+norm+relu", 16, 16, 16, 3},
                {"13.conv+norm+relu", 16, 16, 32, 3},         {"16.conv+norm+relu", 16, 32, 32, 3},
                {"19.conv+norm+relu+maxpool", 16, 32, 16, 1}, {"23.conv+norm+relu", 8, 16, 32, 3},
                {"26.conv+norm+relu", 8, 32, 32, 3},          {"29.conv+norm+relu", 8, 32, 32, 3}};
enum { STAGES = sizeof skeleton / sizeof skeleton[0], BATCH = 128 };

static const struct {
    const char *norm;
    double price; /* of a pass over the values, in parts of a copy */
} norms[] = {{"none", 0}, {"bn", 0.9}, {"ln", 1.0}, {"gn", 1.3}, {"in", 1.1}};

static double noise(int i)
{
    return 1 + 0.04 * sin(12.9898 * i + 1);
}

static void invent_stage(report *t, int i, int n, double scale)
{
    const double pixels = (double)BATCH * skeleton[i].side * skeleton[i].side;
    const double flops =
        2 * pixels * skeleton[i].in * skeleton[i].out * skeleton[i].k * skeleton[i].k;
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
    const double flops =
        2 * pixels * skeleton[i].in * skeleton[i].out * skeleton[i].k * skeleton[i].k;
    const double bytes = 4 * pixels * (skeleton[i].in + skeleton[i].out);
    char what[64];

    snprintf(what, sizeof what, "%d.conv", atoi(skeleton[i].what));
    for (int d = 0; d < 3; d++)
        cost(add(t, "alone", what, "-", directions[d], BATCH,
                 noise(i + d) * (flops / (470e9 - 40e9 * d) + bytes / 90e9)),
             flops, bytes);
    for (int n = 1; n < 4; n++) {
        snprintf(what, sizeof what, "%d.norm", atoi(skeleton[i].what) + 1);
        cost(add(t, "alone", what, norms[n].norm, "forward", BATCH,
                 noise(i + n) * 8 * pixels * skeleton[i].out / 33e9),
             6 * pixels * skeleton[i].out, 8 * pixels * skeleton[i].out);
    }
    snprintf(what, sizeof what, "%d.relu", atoi(skeleton[i].what) + 2);
    cost(add(t, "alone", what, "-", "forward", BATCH,
             noise(i) * 8 * pixels * skeleton[i].out / 36e9),
         pixels * skeleton[i].out, 8 * pixels * skeleton[i].out);
}

static void invent_batches(report *t, int n_norms)
{
    for (int n = 0; n < n_norms; n++)
        for (int batch = 1, i = 0; batch <= 512; batch *= 2, i++) {
            char text[16];
            snprintf(text, sizeof text, "%d", batch);
            add(t, "step", "s8", norms[n].norm, text, batch,
                noise(i + n) * (1.5e-3 + batch / (5000 - 400 * norms[n].price)));
            add(t, "infer", "s8", norms[n].norm, text, batch,
                noise(i + 2 * n) * (3e-4 + batch / (17000 - 900 * norms[n].price)));
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

/* ---- odd reports ------------------------------------------------------------------------------- */

static report *one_row(void)
{
    report *t = invented_context();

    cost(add(t, "stage", "0.conv+norm+relu", "bn", "forward", 64, 2e-3), 4e8, 2e7);
    add(t, "step", "s8", "bn", "64", 64, 0.02);
    return t;
}

START_TEST(single_row)
{
    report *t = one_row();

    for (int i = 0; i < PLOTS; i++) {
        char file[64];
        if (i == PRICES_PLOT) { /* nothing to compare with */
            ck_assert_int_eq(plots[i].plot(&t->r, at("p.png"), &err), CLN_ERR_ARGUMENT);
            ck_assert_ptr_nonnull(strstr(err.text, "none"));
            continue;
        }
        snprintf(file, sizeof file, "single-%s.png", plots[i].name);
        OK(plots[i].plot(&t->r, at(file), &err));
        is_png(file, i == BATCHES_PLOT ? 1200 : (uint32_t)plots[i].width,
               (uint32_t)plots[i].height);
        copy_for_people(file);
    }
    free(t);
}
END_TEST

START_TEST(single_norm)
{
    report *t = invent(1);

    for (int i = 0; i < PRICES_PLOT; i++)
        draw(t, i, "norms1");
    ck_assert_int_eq(cln_bench_plot_prices(&t->r, at("p.png"), &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "no rows of view stage with a norm"));
    free(t);
}
END_TEST

START_TEST(no_rows)
{
    static const char *const says[PLOTS] = {
        "no rows of view stage to plot", "no rows of layers or stages",
        "no rows of view step or infer to plot", "no rows of view stage to plot"};
    report *t = invented_context();

    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < PLOTS; i++) {
            ck_assert_int_eq(plots[i].plot(&t->r, at("p.png"), &err), CLN_ERR_ARGUMENT);
            ck_assert_msg(strstr(err.text, says[i]) != NULL, "%s", err.text);
            ck_assert_int_eq(access(at("p.png"), F_OK), -1);
        }
        /* and then with rows, none of which was measured */
        add(t, "stage", "0.conv+norm", "none", "forward", 128, NAN);
        add(t, "stage", "0.conv+norm", "bn", "forward", 128, 0);
        add(t, "step", "s8", "bn", "128", 128, 0);
        cost(add(t, "alone", "0.conv", "-", "forward", 128, NAN), 1, 1);
        add(t, "alone", "1.conv", "-", "forward", 128, 1); /* no cost */
    }
    free(t);
}
END_TEST

/* Every text as long as its place in a row allows, and without a blank. */
START_TEST(long_names)
{
    report *t = invent(5);
    cln_bench_context *c = &t->r.context;

    for (int i = 0; i < t->r.n_rows; i++) {
        cln_bench_row *row = &t->rows[i];
        char tail[64];
        memset(tail, 'w', sizeof tail - 1);
        tail[sizeof tail - 1] = '\0';
        snprintf(row->what + strlen(row->what), sizeof row->what - strlen(row->what), "%s", tail);
        if (strcmp(row->norm, "gn") == 0)
            snprintf(row->norm, sizeof row->norm, "a_norm_so_long");
    }
    memset(c->device, 'D', sizeof c->device - 1);
    memset(c->platform, 'P', sizeof c->platform - 1);
    for (int i = 0; i < PLOTS; i++)
        draw(t, i, "long");
    free(t);
}
END_TEST

START_TEST(many_stages)
{
    report *t = invented_context();
    char what[64];

    for (int i = 0; i < 48; i++)
        for (int n = 0; n < 4; n++) {
            snprintf(what, sizeof what, "%d.conv+norm+relu+maxpool", 3 * i);
            add(t, "stage", what, norms[n].norm, "forward", 128, noise(i + n) * 1e-3 * (1 + i % 5));
            add(t, "stage", what, norms[n].norm, "backward", 128,
                noise(i + n) * 2e-3 * (1 + i % 5));
        }
    draw(t, STAGES_PLOT, "many");
    free(t);
}
END_TEST

START_TEST(six_decades)
{
    report *t = invented_context();

    for (int i = 0; i < 7; i++) {
        for (int n = 0; n < 3; n++)
            invent_stage(t, i, n, pow(10, i - 5));
        for (int n = 0; n < 3; n++) {
            char text[16];
            snprintf(text, sizeof text, "%d", 1 << i);
            add(t, "step", "s8", norms[n].norm, text, 1 << i,
                noise(i + n) * pow(10, i - 5) * (1 << i));
            add(t, "infer", "s8", norms[n].norm, text, 1 << i,
                noise(i + n) * pow(10, 1 - i) * (1 << i));
        }
    }
    for (int i = 0; i < PLOTS; i++)
        draw(t, i, "decades");
    free(t);
}
END_TEST

/* Samples give the price an interval, which is drawn about the end of the stack; few of them do not. */
START_TEST(intervals_of_prices)
{
    enum { ROUNDS = 10, INK = 0x212126 };
    static const char *const direction[] = {"forward", "backward"};
    double samples[4][ROUNDS];
    report *t = invented_context();

    for (int i = 0; i < 4; i++) {
        cln_bench_row *row =
            add(t, "stage", "a", i < 2 ? "none" : "bn", direction[i % 2], 128, i < 2 ? 5e-3 : 6e-3);
        for (int k = 0; k < ROUNDS; k++)
            samples[i][k] = row->median * (1 + 0.01 * ((i + 1) * k % 7 - 3));
        row->samples = samples[i];
        row->n_samples = 1;
        row->per_round = 1;
    }
    OK(cln_bench_plot_prices(&t->r, at("p.png"), &err));
    const int without = count_pixels("p.png", INK, 100, 1200);
    for (int i = 0; i < 4; i++)
        t->rows[i].n_samples = ROUNDS;
    OK(cln_bench_plot_prices(&t->r, at("q.png"), &err));
    ck_assert_int_gt(count_pixels("q.png", INK, 100, 1200), without + 15);
    copy_for_people("q.png");
    free(t);
}
END_TEST

START_TEST(too_many_norms)
{
    report *t = invented_context();

    add(t, "stage", "a", "none", "forward", 128, 1e-3);
    for (int i = 0; i < CLN_BENCH_MAX_NORMS; i++) {
        char norm[16];
        snprintf(norm, sizeof norm, "n%d", i);
        add(t, "stage", "a", norm, "forward", 128, 1e-3 * (i + 2));
    }
    draw(t, STAGES_PLOT, "nine");
    ck_assert_int_eq(cln_bench_plot_prices(&t->r, at("p.png"), &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "9 norms"));
    t->r.n_rows--;
    draw(t, PRICES_PLOT, "eight");
    free(t);
}
END_TEST

/* A norm may be cheaper than none within the noise, and stages without a norm count for all. */
START_TEST(negative_prices)
{
    report *t = invented_context();

    add(t, "stage", "a", "none", "forward", 128, 4e-3);
    add(t, "stage", "a", "none", "backward", 128, 5e-3);
    add(t, "stage", "a", "bn", "forward", 128, 3.9e-3);
    add(t, "stage", "a", "bn", "backward", 128, 6e-3);
    add(t, "stage", "a", "ln", "forward", 128, 3.8e-3);
    add(t, "stage", "a", "ln", "backward", 128, 4.9e-3);
    add(t, "stage", "b", "-", "forward", 128, 1e-3);
    draw(t, PRICES_PLOT, "negative");
    draw(t, STAGES_PLOT, "negative");
    free(t);
}
END_TEST

/* ---- what the pictures say --------------------------------------------------------------------- */

enum {
    BLUE = 0x0072b2,
    PALE_BLUE = 0x80b9d9,
    GREY = 0x6b6b73,
    VERMILLION = 0xd55e00,
    GREEN = 0x009e73,
    BELOW_LEGEND = 105
};

/* The tallest stage sets the axis; the one whose height is measured is another. */
START_TEST(heights_of_stages)
{
    report *t = invented_context();

    add(t, "stage", "a", "none", "forward", 128, 10e-3);
    cln_bench_row *forward = add(t, "stage", "b", "bn", "forward", 128, 4e-3);
    cln_bench_row *backward = add(t, "stage", "b", "bn", "backward", 128, 3e-3);
    OK(cln_bench_plot_stages(&t->r, at("p.png"), &err));
    const double unit = tallest_run("p.png", GREY, BELOW_LEGEND) / 10.0;
    ck_assert_double_gt(unit, 30); /* pixels a millisecond */
    ck_assert_double_eq_tol(tallest_run("p.png", BLUE, BELOW_LEGEND), 4 * unit, 2);
    ck_assert_double_eq_tol(tallest_run("p.png", PALE_BLUE, BELOW_LEGEND), 3 * unit, 2);
    forward->median = 2e-3;
    backward->median = 6e-3;
    OK(cln_bench_plot_stages(&t->r, at("p.png"), &err));
    ck_assert_double_eq_tol(tallest_run("p.png", BLUE, BELOW_LEGEND), 2 * unit, 2);
    ck_assert_double_eq_tol(tallest_run("p.png", PALE_BLUE, BELOW_LEGEND), 6 * unit, 2);
    free(t);
}
END_TEST

/* none: 4 + 5 ms, and 1 ms that has no norm: bn's 0.5 and 1.5 ms more are 5 % and 15 %. A stage that was not
 * measured with bn adds nothing to its price. */
START_TEST(heights_of_prices)
{
    report *t = invented_context();

    add(t, "stage", "a", "none", "forward", 128, 2e-3);
    add(t, "stage", "a", "none", "backward", 128, 5e-3);
    add(t, "stage", "a", "bn", "forward", 128, 2.5e-3);
    cln_bench_row *backward = add(t, "stage", "a", "bn", "backward", 128, 6.5e-3);
    add(t, "stage", "b", "-", "forward", 128, 1e-3);
    add(t, "stage", "c", "none", "forward", 128, 2e-3);
    OK(cln_bench_plot_prices(&t->r, at("p.png"), &err));
    int forward = tallest_run("p.png", BLUE, BELOW_LEGEND);
    ck_assert_int_gt(forward, 40);
    ck_assert_double_eq_tol(tallest_run("p.png", PALE_BLUE, BELOW_LEGEND), 3 * forward, 6);
    /* 25 % is where the axis ends: with the text's room above 20 % */
    ck_assert_double_eq_tol(forward, 418 / 5.0, 3);
    backward->median = 5.5e-3;
    OK(cln_bench_plot_prices(&t->r, at("p.png"), &err));
    ck_assert_double_eq_tol(tallest_run("p.png", PALE_BLUE, BELOW_LEGEND),
                            tallest_run("p.png", BLUE, BELOW_LEGEND), 2);
    free(t);
}
END_TEST

/* Three norms at one batch: half the speed is half as high above 0. */
START_TEST(heights_of_speeds)
{
    static const uint32_t colours[] = {BLUE, VERMILLION, GREEN};
    report *t = invented_context();
    double x[3], y[3];

    for (int i = 0; i < 3; i++) {
        cln_bench_row *row = add(t, "step", "s8", norms[i + 1].norm, "64", 64,
                                 64e-3 * (1 << i)); /* 1000, 500, 250 */
        row->p10 = row->p90 = NAN;                  /* no band */
    }
    OK(cln_bench_plot_batches(&t->r, at("p.png"), &err));
    is_png("p.png", 1200, 600);
    for (int i = 0; i < 3; i++)
        centre_of("p.png", colours[i], BELOW_LEGEND, &x[i], &y[i]);
    ck_assert_double_gt(y[1] - y[0], 100);
    ck_assert_double_eq_tol(y[1] - y[0], 2 * (y[2] - y[1]), 2);
    ck_assert_double_eq_tol(x[0], x[1], 0.5);
    ck_assert_double_eq_tol(x[0], x[2], 0.5);
    free(t);
}
END_TEST

/* Half the speed is the same step down, from wherever; the axes stay. */
START_TEST(dots_of_roofline)
{
    report *t = invented_context();
    double x[3], y[3];

    cln_bench_row *row = add(t, "alone", "0.conv", "-", "forward", 128, 1e-3);
    cost(row, 4e11 * 1e-3, 1e10 * 1e-3);
    for (int i = 0; i < 3; i++) {
        OK(cln_bench_plot_roofline(&t->r, at("p.png"), &err));
        centre_of("p.png", BLUE, BELOW_LEGEND, &x[i], &y[i]);
        row->median *= 2;
    }
    ck_assert_double_gt(y[1] - y[0], 50);
    ck_assert_double_eq_tol(y[1] - y[0], y[2] - y[1], 1.5);
    ck_assert_double_eq_tol(x[0], x[2], 0.5);
    t->r.context.peaks.flops = 0; /* slopes alone, then nothing */
    OK(cln_bench_plot_roofline(&t->r, at("slopes-roofline.png"), &err));
    copy_for_people("slopes-roofline.png");
    t->r.context.peaks.n_bandwidth = 0;
    ck_assert_int_eq(cln_bench_plot_roofline(&t->r, at("p.png"), &err), CLN_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "no peaks"));
    t->r.context.peaks.flops = 5e11;
    OK(cln_bench_plot_roofline(&t->r, at("p.png"), &err));
    free(t);
}
END_TEST

START_TEST(refused)
{
    report *t = invent(2);

    for (int i = 0; i < PLOTS; i++) {
        ck_assert_int_eq(plots[i].plot(&t->r, at("none/p.png"), &err), CLN_ERR_IO);
        ck_assert_ptr_nonnull(strstr(err.text, "none/p.png"));
        ck_assert_int_eq(plots[i].plot(&t->r, at("p.jpg"), &err), CLN_ERR_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(err.text, ".png"));
        ck_assert_ptr_nonnull(strstr(err.text, ".svg"));
        ck_assert_int_eq(access(at("p.jpg"), F_OK), -1);
    }
    free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench_plot");
    TCase *t = tcase_create("bench_plot");
    tcase_add_checked_fixture(t, setup, scratch_remove);
    tcase_add_loop_test(t, norms_of_a_network, 0, PLOTS);
    tcase_add_test(t, single_row);
    tcase_add_test(t, single_norm);
    tcase_add_test(t, no_rows);
    tcase_add_test(t, long_names);
    tcase_add_test(t, many_stages);
    tcase_add_test(t, six_decades);
    tcase_add_test(t, too_many_norms);
    tcase_add_test(t, intervals_of_prices);
    tcase_add_test(t, negative_prices);
    tcase_add_test(t, heights_of_stages);
    tcase_add_test(t, heights_of_prices);
    tcase_add_test(t, heights_of_speeds);
    tcase_add_test(t, dots_of_roofline);
    tcase_add_test(t, refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
