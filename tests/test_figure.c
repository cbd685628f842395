/* Pictures: that they are PNGs of the promised size with the promised ink, for every number of epochs and
 * images, and for values and texts that nobody hopes for. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/picture.h"
#include "common/scratch.h"
#include "figure.h"
#include "file.h"

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

static cln_error err;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    scratch_new();
}

enum { BLUE = 0x0072b2, RED = 0xd55e00, WIDTH = CLN_FIGURE_WIDTH, HEIGHT = CLN_FIGURE_HEIGHT };

/* ---- curves ---------------------------------------------------------------------------------- */

static const int epoch_counts[] = {0, 1, 2, 3, 20, 31, 200, 1000};

static void make_metrics(cln_metrics *m, int n)
{
    for (int i = 0; i < n; i++) {
        double done = (i + 1.0) / n;
        m[i] = (cln_metrics){
            i + 1, 0.1, 2.3 - done, 20 + 55 * done, 2.1 - done, 25 + 45 * sqrt(done), 4000, 12, NAN};
    }
}

START_TEST(curves)
{
    int n = epoch_counts[_i];
    cln_metrics *m = calloc((size_t)n + 1, sizeof *m);

    ck_assert_ptr_nonnull(m);
    make_metrics(m, n);
    OK(cln_figure_curves(at("c.png"), "s8, layer norm: test 80.31 %", m, n, &err));
    is_png("c.png", WIDTH, HEIGHT);
    /* both lines in both panels; the legend alone has some 50 pixels of each colour */
    for (int half = 0; half < 2; half++) {
        int from = half * WIDTH / 2, to = from + WIDTH / 2, least = n == 0 ? 20 : n == 1 ? 60 : 150;
        ck_assert_int_ge(count_pixels("c.png", BLUE, from, to), least);
        ck_assert_int_ge(count_pixels("c.png", RED, from, to), least);
    }

    OK(cln_figure_curves(at("again.png"), "s8, layer norm: test 80.31 %", m, n, &err));
    blob a = get("c.png"), b = get("again.png");
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.bytes, b.bytes, a.size);
    free(a.bytes);
    free(b.bytes);
    free(m);
}
END_TEST

START_TEST(odd_values)
{
    static const double odd[] = {NAN,   INFINITY, -INFINITY, 0,    DBL_MAX, -DBL_MAX,
                                 1e300, DBL_MIN,  -1,        1e16, 100};
    enum { N_ODD = sizeof odd / sizeof odd[0] };
    cln_metrics m[4];

    for (int i = 0; i < N_ODD; i++)
        for (int k = 0; k < N_ODD; k++) {
            make_metrics(m, 4);
            m[1].train_loss = m[1].test_acc = odd[i];
            m[2].train_loss = m[2].test_acc = odd[k];
            OK(cln_figure_curves(at("c.png"), "", m, i % 2 == 0 ? 4 : 3, &err));
            is_png("c.png", WIDTH, HEIGHT);
        }
    for (int i = 0; i < N_ODD; i++) { /* a single value, and only such */
        m[0] = (cln_metrics){1, 0, odd[i], odd[i], odd[i], odd[i], 0, 0, NAN};
        OK(cln_figure_curves(at("c.png"), "", m, 1, &err));
    }
}
END_TEST

/* A value that is not finite interrupts a line and leaves the rest. */
START_TEST(gap)
{
    cln_metrics m[9];

    make_metrics(m, 9);
    OK(cln_figure_curves(at("whole.png"), "t", m, 9, &err));
    for (int i = 3; i < 6; i++)
        m[i].train_acc = NAN;
    OK(cln_figure_curves(at("gap.png"), "t", m, 9, &err));
    int whole = count_pixels("whole.png", BLUE, WIDTH / 2, WIDTH);
    int less = count_pixels("gap.png", BLUE, WIDTH / 2, WIDTH);
    ck_assert_int_lt(less, whole * 3 / 4);
    ck_assert_int_gt(less, whole / 4);
    ck_assert_int_eq(count_pixels("whole.png", BLUE, 0, WIDTH / 2),
                     count_pixels("gap.png", BLUE, 0, WIDTH / 2));
}
END_TEST

START_TEST(odd_titles)
{
    static const char *const titles[] = {
        "",         "\xff\xfe", "caf\xc3\xa9", "cut \xc3",         "\xed\xa0\x80",
        "\xf8\x88", "\xc0\xaf", "two\nlines",  "\xf0\x9f\x98\x80", "\xe0\x80\x80"};
    cln_metrics m[2];
    char longest[4000];

    make_metrics(m, 2);
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        OK(cln_figure_curves(at("c.png"), titles[i], m, 2, &err));
    for (size_t i = 0; i + 1 < sizeof longest; i++)
        longest[i] = "\xc3\xa9"[i % 2];
    longest[sizeof longest - 1] = '\0';
    OK(cln_figure_curves(at("c.png"), longest, m, 2, &err));
    is_png("c.png", WIDTH, HEIGHT);
}
END_TEST

/* ---- misclassified images -------------------------------------------------------------------- */

enum { H = 5, W = 4, PLANE = H * W, IMAGE = 3 * PLANE, COLOURS = 10, SIDE = 600 };

/* Each image in one colour of its own; planes (3, H, W). */
static uint32_t colour_of(int i)
{
    return (uint32_t)(0x10 + 20 * i) << 16 | (uint32_t)(200 - 15 * i) << 8 | 0x31;
}

static void make_mistakes(cln_mistake *m, uint8_t *pixels)
{
    for (int i = 0; i < COLOURS; i++) {
        m[i] = (cln_mistake){pixels, "cat", "dog", 0.873};
        for (int c = 0; c < 3; c++, pixels += PLANE)
            memset(pixels, (int)(colour_of(i) >> (16 - 8 * c) & 255), PLANE);
    }
}

START_TEST(misclassified)
{
    uint8_t pixels[COLOURS * IMAGE];
    cln_mistake m[COLOURS];
    const int scale = 192 / H, area = scale * scale * PLANE, n = _i;

    make_mistakes(m, pixels);
    OK(cln_figure_misclassified(at("m.png"), "title", m, n, 3, H, W, &err));
    is_png("m.png", 1176, n == 0 ? 120 : n <= 5 ? 316 : 570);
    for (int i = 0; i < COLOURS; i++) /* whole, in square pixels, in its column */
        ck_assert_int_eq(count_pixels("m.png", colour_of(i), i % 5 * 228 + 36, i % 5 * 228 + 228),
                         i < n ? area : 0);
    ck_assert((count_pixels("m.png", RED, 0, 1176) > 0) == (n > 0)); /* the prediction's caption */
}
END_TEST

START_TEST(order_of_pixels)
{
    uint8_t grey[PLANE] = {0}, planes[IMAGE] = {0};
    cln_mistake m = {grey, "a", "b", 1};
    const int scale = 192 / H, area = scale * scale;

    grey[1] = 0x5a; /* row 0, column 1 */
    OK(cln_figure_misclassified(at("m.png"), "", &m, 1, 1, H, W, &err));
    int left = 36 + (192 - scale * W) / 2 + scale;
    ck_assert_int_eq(count_pixels("m.png", 0x5a5a5a, 0, 1176), area);
    ck_assert_int_eq(count_pixels("m.png", 0x5a5a5a, left, left + scale), area);
    m.pixels = planes;
    planes[2] = 0x11;             /* red, */
    planes[PLANE + 2] = 0x22;     /* green */
    planes[2 * PLANE + 2] = 0x33; /* and blue of one pixel */
    OK(cln_figure_misclassified(at("m.png"), "", &m, 1, 3, H, W, &err));
    ck_assert_int_eq(count_pixels("m.png", 0x112233, left + scale, left + 2 * scale), area);
}
END_TEST

START_TEST(large_images)
{
    const size_t bytes = (size_t)3 * SIDE * SIDE;
    uint8_t *pixels = malloc(bytes);
    cln_mistake m = {pixels, "a class with a name that is far too long for its place", "b", NAN};

    ck_assert_ptr_nonnull(pixels);
    memset(pixels, 0x42, bytes);
    OK(cln_figure_misclassified(at("m.png"), "", &m, 1, 3, SIDE, SIDE, &err));
    ck_assert_int_ge(count_pixels("m.png", 0x424242, 36, 36 + 192), 36100);
    free(pixels);
}
END_TEST

START_TEST(refused)
{
    uint8_t pixels[COLOURS * IMAGE];
    cln_mistake m[COLOURS];

    make_mistakes(m, pixels);
    OK(cln_figure_misclassified(at("m.png"), "", m, 1, 3, H, W, &err));
    ck_assert_int_eq(cln_figure_misclassified(at("m.png"), "", m, 11, 3, H, W, &err),
                     CLN_ERR_ARGUMENT);
    ck_assert_int_eq(cln_figure_misclassified(at("m.png"), "", m, -1, 3, H, W, &err),
                     CLN_ERR_ARGUMENT);
    ck_assert_int_eq(cln_figure_misclassified(at("m.png"), "", m, 1, 2, H, W, &err),
                     CLN_ERR_ARGUMENT);
    ck_assert_int_eq(cln_figure_misclassified(at("m.png"), "", m, 1, 3, 0, W, &err),
                     CLN_ERR_ARGUMENT);
    is_png("m.png", 1176, 316); /* none of them touched it */
    ck_assert_int_eq(cln_figure_misclassified(at("none/m.png"), "", m, 1, 3, H, W, &err),
                     CLN_ERR_IO);
    ck_assert_int_eq(cln_figure_curves(at("none/c.png"), "", NULL, 0, &err), CLN_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "none/c.png"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("figure");
    TCase *t = tcase_create("figure");
    tcase_add_checked_fixture(t, setup, scratch_remove);
    tcase_add_loop_test(t, curves, 0, (int)(sizeof epoch_counts / sizeof epoch_counts[0]));
    tcase_add_test(t, odd_values);
    tcase_add_test(t, gap);
    tcase_add_test(t, odd_titles);
    tcase_add_loop_test(t, misclassified, 0, COLOURS + 1);
    tcase_add_test(t, order_of_pixels);
    tcase_add_test(t, large_images);
    tcase_add_test(t, refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
