/* Charts: what is drawn where, files of either kind, odd values and texts, and what is refused. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chart.h"
#include "common/picture.h"
#include "common/scratch.h"

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

enum { RED = 0xff0000, LIME = 0x00ff00, NAVY = 0x0000ff, WIDTH = 600, HEIGHT = 400 };
static const cln_colour red = {1, 0, 0}, lime = {0, 1, 0}, navy = {0, 0, 1};

static cln_error err;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    scratch_new();
}

static cln_chart chart_of(const cln_panel *panels, int n)
{
    return (cln_chart){
        .title = "title", .panels = panels, .n_panels = n, .width = WIDTH, .height = HEIGHT};
}

/* Draws one panel as NAME and gives the middle of what is of that colour. */
static void draw(const cln_panel *panel, const char *name)
{
    const cln_chart chart = chart_of(panel, 1);

    OK(cln_chart_write(at(name), &chart, &err));
}

/* ---- places ------------------------------------------------------------------------------------ */

/* Three points by themselves, one of each colour: the one in the middle lies where the axes put it. */
static void three_points(const double x[3], const double y[3], bool log_x, bool log_y,
                         double share[2])
{
    const cln_colour colours[3] = {red, lime, navy};
    cln_series series[3];
    double px[3], py[3];

    for (int i = 0; i < 3; i++)
        series[i] = (cln_series){.x = x + i,
                                 .y = y + i,
                                 .count = 1,
                                 .colour = colours[i],
                                 .size = 5,
                                 .marker = (cln_marker)(CLN_MARKER_DOT + i)};
    const cln_panel panel = {.x = {.label = "x", .log = log_x},
                             .y = {.label = "y", .log = log_y},
                             .series = series,
                             .n_series = 3};
    draw(&panel, "p.png");
    centre_of("p.png", RED, 0, &px[0], &py[0]);
    centre_of("p.png", LIME, 0, &px[1], &py[1]);
    centre_of("p.png", NAVY, 0, &px[2], &py[2]);
    ck_assert_double_gt(px[2] - px[0], WIDTH / 3.0);
    ck_assert_double_gt(py[0] - py[2], HEIGHT / 3.0);
    share[0] = (px[1] - px[0]) / (px[2] - px[0]);
    share[1] = (py[1] - py[0]) / (py[2] - py[0]);
}

START_TEST(places)
{
    const double x[] = {1, 10, 1000}, y[] = {0.01, 10, 100};
    double share[2];

    three_points(x, y, false, false, share);
    ck_assert_double_eq_tol(share[0], 9 / 999.0, 0.01);
    ck_assert_double_eq_tol(share[1], 9.99 / 99.99, 0.01);
    three_points(x, y, true, true, share);
    ck_assert_double_eq_tol(share[0], 1 / 3.0, 0.01);
    ck_assert_double_eq_tol(share[1], 3 / 4.0, 0.01);
    three_points(x, y, true, false, share);
    ck_assert_double_eq_tol(share[0], 1 / 3.0, 0.01);
    ck_assert_double_eq_tol(share[1], 9.99 / 99.99, 0.01);
}
END_TEST

START_TEST(one_panel)
{
    const double x[] = {0, 0.5, 2}, y[] = {-1, 4, 2};
    const cln_series series[] = {
        {.label = "a", .x = x, .y = y, .count = 3, .colour = lime, .width = 3},
        {.label = "b", .x = y, .y = x, .count = 3, .colour = red, .width = 1}};
    const cln_panel panel = {.x.label = "x", .y.label = "y", .series = series, .n_series = 2};
    cln_chart chart = chart_of(&panel, 1);

    OK(cln_chart_write(at("p.png"), &chart, &err));
    is_png("p.png", WIDTH, HEIGHT);
    ck_assert_int_gt(count_pixels("p.png", LIME, 0, WIDTH), 200);
    chart.width = chart.height = 10; /* smaller than its margins */
    OK(cln_chart_write(at("p.png"), &chart, &err));
    is_png("p.png", 10, 10);
    chart = chart_of(NULL, 0);
    OK(cln_chart_write(at("p.png"), &chart, &err));
    is_png("p.png", WIDTH, HEIGHT);
}
END_TEST

/* A band lies about its line and is seen; a single point has an error bar in its place. */
START_TEST(bands)
{
    const double x[] = {1, 2, 3}, y[] = {5, 6, 7}, low[] = {4, 5, 6}, high[] = {6, 7, 9},
                 no[] = {NAN, 5, NAN};
    cln_series series = {
        .x = x, .y = y, .low = low, .high = high, .count = 3, .colour = red, .width = 2};
    const cln_panel panel = {.series = &series, .n_series = 1, .y = {.at_least = {0, 10}}};
    const int pale = 0xffd1d1; /* 18 % of red on white */

    draw(&panel, "p.png");
    ck_assert_int_gt(count_pixels("p.png", pale, 0, WIDTH), 5000);
    int tall = tallest_run("p.png", RED, 60);
    series.low = no;
    draw(&panel, "q.png");
    ck_assert_int_eq(count_pixels("q.png", pale, 0, WIDTH), 0);
    ck_assert_int_gt(tallest_run("q.png", RED, 60), tall + 30);
}
END_TEST

/* ---- bars -------------------------------------------------------------------------------------- */

static const char *const groups[] = {"one", "two"}, *const bar_names[] = {"a", "b"},
                         *const texts[] = {"1", "2", "3", "4"};

/* Heights are in proportion to values, stacks stand on each other, and what is NAN is not there. */
START_TEST(stacks)
{
    const cln_colour colours[] = {red, lime, navy, lime};
    double values[] = {4, 3, NAN, NAN, 1, NAN, 2, 1.5};
    const cln_bars bars = {.groups = groups,
                           .colours = colours,
                           .values = values,
                           .n_groups = 2,
                           .n_bars = 2,
                           .n_parts = 2};
    const cln_panel panel = {.bars = &bars, .y = {.label = "y", .at_least = {0, 10}}};

    draw(&panel, "p.png");
    const double unit = tallest_run("p.png", RED, 0) / 4.0;
    ck_assert_double_gt(unit, 20);
    ck_assert_double_eq_tol(tallest_run("p.png", LIME, 0), 3 * unit, 2);
    ck_assert_double_eq_tol(tallest_run("p.png", NAVY, 0), 2 * unit, 2);
    int red_before = count_pixels("p.png", RED, 0, WIDTH);
    values[0] = NAN;
    draw(&panel, "p.png");
    ck_assert_double_eq_tol(tallest_run("p.png", RED, 0), unit, 2);
    ck_assert_double_eq_tol(count_pixels("p.png", RED, 0, WIDTH), red_before / 5.0,
                            red_before / 50.0);
}
END_TEST

START_TEST(negative_bars)
{
    const cln_colour colours[] = {red, lime, navy, navy};
    const double values[] = {3, -2, 0, 0};
    const cln_bars bars = {.groups = groups,
                           .colours = colours,
                           .by_group = true,
                           .values = values,
                           .texts = texts,
                           .n_groups = 2,
                           .n_bars = 1,
                           .n_parts = 2};
    const cln_panel panel = {.bars = &bars};
    double x, above, below;

    draw(&panel, "p.png");
    centre_of("p.png", RED, 0, &x, &above);
    centre_of("p.png", LIME, 0, &x, &below);
    ck_assert_double_gt(below, above);
    ck_assert_double_eq_tol(tallest_run("p.png", LIME, 0) * 3, tallest_run("p.png", RED, 0) * 2, 6);
    ck_assert_int_eq(count_pixels("p.png", NAVY, 0, WIDTH), 0);
}
END_TEST

START_TEST(error_bars)
{
    const cln_colour colours[] = {red, lime};
    const double values[] = {4, 5, 6, NAN}, low[] = {3, NAN, 5.5, 1}, high[] = {6, NAN, 6.5, 2};
    cln_bars bars = {.groups = groups,
                     .bars = bar_names,
                     .texts = texts,
                     .colours = colours,
                     .values = values,
                     .n_groups = 2,
                     .n_bars = 2,
                     .n_parts = 1};
    const cln_panel panel = {.bars = &bars, .y = {.at_least = {0, 10}}};
    const int ink = 0x212126;

    draw(&panel, "p.png");
    int none = count_pixels("p.png", ink, 60, WIDTH);
    bars.low = low;
    bars.high = high;
    draw(&panel, "q.png");
    ck_assert_int_gt(count_pixels("q.png", ink, 60, WIDTH), none + 40);
}
END_TEST

/* ---- texts and rules --------------------------------------------------------------------------- */

/* Points beside each other: there is room for some of the texts, and those do not touch a point. */
START_TEST(crowded_texts)
{
    enum { N = 200 };
    double x[N], y[N];
    const char *labels[N];
    cln_series series = {
        .x = x, .y = y, .count = N, .colour = red, .size = 4, .marker = CLN_MARKER_SQUARE};
    const cln_panel panel = {.series = &series, .n_series = 1};

    for (int i = 0; i < N; i++) {
        const int row = i / 20;
        x[i] = i % 20;
        y[i] = row + 0.01 * i;
        labels[i] = "a text that is far too long for so many";
    }
    draw(&panel, "p.png");
    int bare = count_pixels("p.png", RED, 0, WIDTH);
    series.texts = labels;
    draw(&panel, "q.png");
    ck_assert_int_eq(count_pixels("q.png", RED, 0, WIDTH), bare); /* nothing hides a point */
    series.count = 2;
    x[1] = 19;
    y[1] = 9;
    draw(&panel, "two.png");
    labels[0] = labels[1] = NULL;
    draw(&panel, "none.png");
    ck_assert_int_gt(count_pixels("none.png", 0xffffff, 0, WIDTH),
                     count_pixels("two.png", 0xffffff, 0, WIDTH) + 300);
}
END_TEST

/* A rule ends at the frame, however far its ends are, and is straight. */
START_TEST(rules)
{
    const double x[] = {1, 100}, y[] = {1, 100};
    const cln_series series = {
        .x = x, .y = y, .count = 2, .colour = lime, .size = 3, .marker = CLN_MARKER_DOT};
    cln_rule rule = {.x = {1e-9, 1e9}, .y = {1e-9, 1e9}, .colour = navy, .width = 3};
    const cln_panel panel = {.x.log = true,
                             .y.log = true,
                             .rules = &rule,
                             .n_rules = 1,
                             .series = &series,
                             .n_series = 1};
    double cx, cy, px, py;

    draw(&panel, "p.png");
    centre_of("p.png", NAVY, 0, &cx, &cy);
    centre_of("p.png", LIME, 0, &px, &py); /* the middle of two points on it */
    ck_assert_double_eq_tol(cx, px, 3);
    ck_assert_double_eq_tol(cy, py, 3);
    ck_assert_int_eq(count_pixels("p.png", NAVY, 0, 20), 0);
    int whole = count_pixels("p.png", NAVY, 0, WIDTH);
    rule.dashed = true;
    draw(&panel, "p.png");
    ck_assert_int_lt(count_pixels("p.png", NAVY, 0, WIDTH), whole * 3 / 4);
    rule = (cln_rule){
        .x = {1e5, 1e9}, .y = {1, 1}, .text = "out of sight", .colour = navy, .width = 3};
    draw(&panel, "p.png");
    ck_assert_int_eq(count_pixels("p.png", NAVY, 0, WIDTH), 0);
    rule = (cln_rule){.x = {-1, 10}, .y = {1, NAN}, .text = "nowhere", .colour = navy, .width = 3};
    draw(&panel, "p.png");
    ck_assert_int_eq(count_pixels("p.png", NAVY, 0, WIDTH), 0);
}
END_TEST

static const char *const odd_texts[] = {"",
                                        "\xff\xfe",
                                        "caf\xc3\xa9",
                                        "cut \xc3",
                                        "\xed\xa0\x80",
                                        "\xf8\x88",
                                        "\xc0\xaf",
                                        "two\nlines",
                                        "\xf0\x9f\x98\x80",
                                        "\xe0\x80\x80",
                                        "a+b+c+d+e+f+g/h/i j k",
                                        "+++///   "};
enum { ODD_TEXTS = sizeof odd_texts / sizeof odd_texts[0] };

START_TEST(odd_texts_everywhere)
{
    const double one = 1;
    const char *text = odd_texts[_i];
    char longest[4000];

    for (int k = 0; k < 2; k++) {
        const cln_series series = {
            .label = text, .x = &one, .y = &one, .texts = &text, .count = 1, .colour = red};
        const cln_rule rule = {.x = {0, 2}, .y = {0, 2}, .text = text, .colour = navy, .width = 1};
        const cln_bars bars = {.groups = &text,
                               .bars = &text,
                               .parts = &text,
                               .texts = &text,
                               .colours = &lime,
                               .values = &one,
                               .n_groups = 1,
                               .n_bars = 1,
                               .n_parts = 1};
        const cln_panel panel = {.title = text,
                                 .x.label = text,
                                 .y.label = text,
                                 .bars = &bars,
                                 .rules = &rule,
                                 .n_rules = 1,
                                 .series = &series,
                                 .n_series = 1};
        cln_chart chart = chart_of(&panel, 1);
        chart.title = chart.subtitle = chart.footnote = text;
        chart.legend_above = _i % 2 == 0;
        OK(cln_chart_write(at("c.png"), &chart, &err));
        is_png("c.png", WIDTH, HEIGHT);
        OK(cln_chart_write(at("c.svg"), &chart, &err));
        is_svg("c.svg", WIDTH, HEIGHT);
        for (size_t i = 0; i + 1 < sizeof longest; i++)
            longest[i] = "\xc3\xa9"[i % 2];
        longest[sizeof longest - 1] = '\0';
        text = longest;
    }
}
END_TEST

static const double odd[] = {NAN,  INFINITY, -INFINITY, 0,  DBL_MAX, -DBL_MAX,
                             1e99, DBL_MIN,  1e-90,     -1, 1e16,    100};
enum { ODD = sizeof odd / sizeof odd[0] };

START_TEST(odd_values)
{
    for (int k = 0; k < ODD; k++)
        for (int log = 0; log < 2; log++) {
            const double x[] = {1, odd[_i], 3}, y[] = {odd[k], 2, 3},
                         ticks[] = {1, odd[_i], odd[k]};
            const cln_series series = {.label = "s",
                                       .x = x,
                                       .y = y,
                                       .low = y,
                                       .high = x,
                                       .count = 3,
                                       .colour = red,
                                       .width = 1};
            const cln_rule rule = {
                .x = {x[1], 3}, .y = {1, y[0]}, .text = "rule", .colour = navy, .width = 1};
            const cln_bars bars = {.groups = groups,
                                   .bars = bar_names,
                                   .low = x,
                                   .high = y,
                                   .colours = &red,
                                   .values = y,
                                   .n_groups = 2,
                                   .n_bars = 1,
                                   .n_parts = 1};
            const cln_panel panels[] = {{.x = {.log = log == 1, .ticks = ticks, .n_ticks = 3},
                                         .y.log = log == 1,
                                         .rules = &rule,
                                         .n_rules = 1,
                                         .series = &series,
                                         .n_series = 1},
                                        {.bars = &bars, .x.label = "x"}};
            const cln_chart chart = chart_of(panels, 2);
            OK(cln_chart_write(at("c.png"), &chart, &err));
        }
}
END_TEST

/* ---- files ------------------------------------------------------------------------------------- */

START_TEST(same_again)
{
    const double x[] = {0, 1, 2}, y[] = {3, 1, 2};
    const cln_series series = {
        .label = "a", .x = x, .y = y, .count = 3, .colour = lime, .width = 3};
    const cln_panel panel = {.series = &series, .n_series = 1};
    static const char *const names[] = {"a.png", "b.PNG", "a.svg", "b.Svg"};

    for (int i = 0; i < 4; i++)
        draw(&panel, names[i]);
    blob a = get("a.png"), b = get("b.PNG");
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.bytes, b.bytes, a.size);
    free(a.bytes);
    free(b.bytes);
    is_svg("a.svg", WIDTH,
           HEIGHT); /* cairo numbers the surfaces of a process: not the same bytes */
    is_svg("b.Svg", WIDTH, HEIGHT);
}
END_TEST

static void refuse_chart(const char *name, const cln_chart *chart, int code, const char *say)
{
    ck_assert_int_eq(cln_chart_write(at(name), chart, &err), code);
    ck_assert_msg(strstr(err.text, say) != NULL, "%s", err.text);
}

START_TEST(refused)
{
    const cln_bars bars = {0};
    const cln_panel bad = {.bars = &bars, .y.log = true};
    cln_chart chart = chart_of(NULL, 0);
    static const char *const names[] = {"c.jpg", "c", "png", ".png.", "c.svgz"};

    put("c.png", "old", 3);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        refuse_chart(names[i], &chart, CLN_ERR_ARGUMENT, ".png or .svg");
        ck_assert_ptr_nonnull(strstr(err.text, names[i]));
        ck_assert_int_eq(access(at(names[i]), F_OK), -1);
    }
    refuse_chart("none/c.png", &chart, CLN_ERR_IO, "none/c.png");
    refuse_chart("none/c.svg", &chart, CLN_ERR_IO, "none/c.svg");
    chart.width = 0;
    refuse_chart("c.png", &chart, CLN_ERR_ARGUMENT, "0 x 400");
    chart.width = 100000;
    refuse_chart("c.png", &chart, CLN_ERR_ARGUMENT, "1 to 8192");
    chart = chart_of(&bad, 1);
    refuse_chart("c.png", &chart, CLN_ERR_ARGUMENT, "linear");
    chart = chart_of(&bad, 99);
    refuse_chart("c.png", &chart, CLN_ERR_ARGUMENT, "99 panels");
    blob b = get("c.png");
    ck_assert_uint_eq(b.size, 3); /* none of them touched it */
    free(b.bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("chart");
    TCase *t = tcase_create("chart");
    tcase_add_checked_fixture(t, setup, scratch_remove);
    tcase_add_test(t, places);
    tcase_add_test(t, one_panel);
    tcase_add_test(t, bands);
    tcase_add_test(t, stacks);
    tcase_add_test(t, negative_bars);
    tcase_add_test(t, error_bars);
    tcase_add_test(t, crowded_texts);
    tcase_add_test(t, rules);
    tcase_add_loop_test(t, odd_texts_everywhere, 0, ODD_TEXTS);
    tcase_add_loop_test(t, odd_values, 0, ODD);
    tcase_add_test(t, same_again);
    tcase_add_test(t, refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
