/* The feed: every pixel of a batch against the images on the host, augmentation by what it may do (each image must be
 * one of all flips and shifts, evenly drawn, by seed, epoch and image alone), order, and data in several buffers. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "feed.h"
#include "philox.h"

enum { N = 64, C = 3, H = 7, W = 10, PIXELS = C * H * W, SHIFT = 2 };
static const float mean[4] = {0.5f, 0.4f, 0.3f, 0.2f}, deviation[4] = {0.25f, 0.2f, 0.3f, 0.5f};
static uint8_t images[N * 4 * H * W], labels[N];

static void setup(void)
{
    uint32_t state = 1; /* Numerical Recipes' ranqd1 */
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    for (int i = 0; i < N; i++)
        labels[i] = (uint8_t)(i % 7);
    device_open();
}

static cln_feed *new_feed(int c)
{
    cln_feed *feed;
    OK(cln_feed_new(dev, images, labels, N, c, H, W, mean, deviation, &feed, &err));
    return feed;
}

typedef struct batch {
    float *x;
    int32_t y[N];
} batch;

static batch fetch(cln_feed *feed, int base, int count, const cln_augment *augment)
{
    const size_t bytes = (size_t)count * (size_t)feed->c * H * W * sizeof(float);
    batch b = {malloc(bytes), {0}};
    cln_tensor x, y;
    ck_assert_ptr_nonnull(b.x);
    OK(cln_tensor_new(dev, bytes, "x", &x, &err));
    OK(cln_tensor_new(dev, sizeof b.y, "y", &y, &err));
    OK(cln_tensor_fill(dev, x, 0x7fc0dead, &err));
    OK(cln_feed_batch(feed, base, count, augment, x, y, &err));
    OK(cln_tensor_read(dev, x, 0, b.x, bytes, &err));
    OK(cln_tensor_read(dev, y, 0, b.y, (size_t)count * sizeof *b.y, &err));
    cln_tensor_free(&x);
    cln_tensor_free(&y);
    return b;
}

static int mirror_edge(int p, int size)
{
    while (p < 0 || p >= size)
        p = p < 0 ? -p : 2 * (size - 1) - p;
    return p;
}

/* Whether x is image `image` mirrored (or not) and moved. */
static bool is_image(const float *x, int image, int c, int flip, int dx, int dy)
{
    for (int y = 0; y < H; y++)
        for (int i = 0; i < W; i++)
            for (int k = 0; k < c; k++) {
                const int sy = mirror_edge(y + dy, H),
                          sx = mirror_edge((flip ? W - 1 - i : i) + dx, W);
                const double byte = images[((image * c + k) * H + sy) * W + sx];
                const double want = (byte / 255 - (double)mean[k]) / (double)deviation[k];
                if (!(fabs((double)x[(y * W + i) * c + k] - want) <= 2e-6)) /* a NaN is no image */
                    return false;
            }
    return true;
}

typedef struct view {
    int flip, dx, dy;
} view;

/* What was done to an image, found by trying everything. The images are noise: only one way fits. */
static view view_of(const float *x, int image, int shift)
{
    for (int flip = 0; flip < 2; flip++)
        for (int dy = -shift; dy <= shift; dy++)
            for (int dx = -shift; dx <= shift; dx++)
                if (is_image(x, image, C, flip, dx, dy))
                    return (view){flip, dx, dy};
    ck_abort_msg("image %d is none of its views", image);
}

static int32_t *order_of(cln_feed *feed)
{
    int32_t *order = malloc(N * sizeof *order);
    ck_assert_ptr_nonnull(order);
    OK(cln_tensor_read(dev, feed->order, 0, order, N * sizeof *order, &err));
    return order;
}

/* ---- tests --------------------------------------------------------------------------------------- */

START_TEST(plain_batches)
{
    const cln_augment nothing = {CLN_FLIP_NONE, 0, 3, 5, 0};
    for (int c = 1; c <= 4; c++) {
        cln_feed *feed = new_feed(c);
        batch a = fetch(feed, 5, 20, NULL), b = fetch(feed, 5, 20, &nothing);
        for (int i = 0; i < 20; i++) {
            ck_assert_msg(is_image(a.x + (size_t)i * (size_t)c * H * W, 5 + i, c, 0, 0, 0),
                          "%d channels, image %d", c, i);
            ck_assert_int_eq(a.y[i], labels[5 + i]);
        }
        ck_assert(!memcmp(a.x, b.x, 20 * (size_t)c * H * W * sizeof(float)));
        free(a.x);
        free(b.x);
        cln_feed_free(feed);
    }
}
END_TEST

START_TEST(shuffled_batches)
{
    cln_feed *feed = new_feed(C);
    OK(cln_feed_shuffle(feed, 3, 0, &err));
    int32_t *order = order_of(feed);
    for (int base = 0; base < N; base += 24) {
        const int count = N - base < 24 ? N - base : 24;
        batch b = fetch(feed, base, count, NULL);
        for (int i = 0; i < count; i++) {
            ck_assert(is_image(b.x + i * PIXELS, order[base + i], C, 0, 0, 0));
            ck_assert_int_eq(b.y[i], labels[order[base + i]]);
        }
        free(b.x);
    }
    free(order);
    cln_feed_free(feed);
}
END_TEST

START_TEST(orders)
{
    cln_feed *feed = new_feed(C);
    int32_t *seen[4];
    const uint32_t by[4][2] = {{1, 0}, {1, 1}, {2, 0}, {1, 0}}; /* seed, epoch */
    double place = 0;
    for (int k = 0; k < 4; k++) {
        int times[N] = {0};
        OK(cln_feed_shuffle(feed, by[k][0], by[k][1], &err));
        seen[k] = order_of(feed);
        for (int i = 0; i < N; i++) {
            ck_assert_int_ge(seen[k][i], 0);
            ck_assert_int_lt(seen[k][i], N);
            ck_assert_int_eq(times[seen[k][i]]++, 0);
        }
    }
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < a; b++)
            ck_assert(memcmp(seen[a], seen[b], N * sizeof *seen[a]));
    ck_assert(!memcmp(seen[0], seen[3], N * sizeof *seen[0]));
    for (uint32_t epoch = 0; epoch < 400; epoch++) { /* image 0 is everywhere equally often */
        OK(cln_feed_shuffle(feed, 9, epoch, &err));
        int32_t *order = order_of(feed);
        for (int i = 0; i < N; i++)
            place += order[i] == 0 ? i : 0;
        free(order);
    }
    ck_assert_double_eq_tol(place / 400, (N - 1) / 2.0, 4 * N / sqrt(12.0 * 400));
    for (int k = 0; k < 4; k++)
        free(seen[k]);
    cln_feed_free(feed);
}
END_TEST

/* Each flip and each shift about equally often; the same image always the same way, whatever batch it is in. */
START_TEST(random_views)
{
    enum { EPOCHS = 40, SIDE = 2 * SHIFT + 1 };
    cln_feed *feed = new_feed(C);
    int flips = 0, shifts[SIDE][SIDE] = {{0}}, changed = 0;
    view before[N];
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        const cln_augment a = {CLN_FLIP_RANDOM, SHIFT, 11, epoch, 0};
        batch b = fetch(feed, 0, N, &a), part = fetch(feed, 17, 9, &a);
        ck_assert(!memcmp(b.x + 17 * PIXELS, part.x, 9 * PIXELS * sizeof(float)));
        for (int i = 0; i < N; i++) {
            const view v = view_of(b.x + i * PIXELS, i, SHIFT);
            flips += v.flip;
            shifts[v.dy + SHIFT][v.dx + SHIFT]++;
            changed += epoch && memcmp(&v, &before[i], sizeof v);
            before[i] = v;
        }
        free(b.x);
        free(part.x);
    }
    const double all = EPOCHS * N, each = all / (SIDE * SIDE);
    ck_assert_double_eq_tol(flips, all / 2, 4 * sqrt(all / 4));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            ck_assert_double_eq_tol(shifts[y][x], each, 5 * sqrt(each));
    ck_assert_double_eq_tol(changed, (EPOCHS - 1) * N * (1 - 1.0 / (2 * SIDE * SIDE)),
                            4 * sqrt(all / (2 * SIDE * SIDE)));
    cln_feed_free(feed);
}
END_TEST

/* Every other epoch mirrored, about half of the images at first; another seed mirrors others. */
START_TEST(alternating_flips)
{
    cln_feed *feed = new_feed(C);
    int first[2][N], count = 0, other = 0;
    for (uint32_t seed = 0; seed < 2; seed++)
        for (uint32_t epoch = 0; epoch < 5; epoch++) {
            const cln_augment a = {CLN_FLIP_ALTERNATING, 0, seed, epoch, 0};
            batch b = fetch(feed, 0, N, &a);
            for (int i = 0; i < N; i++) {
                const view v = view_of(b.x + i * PIXELS, i, 0);
                if (epoch == 0)
                    first[seed][i] = v.flip;
                ck_assert_int_eq(v.flip, first[seed][i] ^ (int)(epoch & 1));
            }
            free(b.x);
        }
    for (int i = 0; i < N; i++) {
        count += first[0][i];
        other += first[0][i] != first[1][i];
    }
    ck_assert_double_eq_tol(count, N / 2.0, 4 * sqrt(N / 4.0));
    ck_assert_double_eq_tol(other, N / 2.0, 4 * sqrt(N / 4.0));
    cln_feed_free(feed);
}
END_TEST

/* The square around the pixel that the generator says is 0, and nothing else is touched. */
START_TEST(cutout)
{
    enum { CUT = 5 };
    cln_feed *feed = new_feed(C);
    cln_augment a = {CLN_FLIP_RANDOM, SHIFT, 3, 2, 0};
    OK(cln_feed_shuffle(feed, 7, 1, &err));
    batch whole = fetch(feed, 0, N, &a);
    int32_t order[N], blank = 0;
    OK(cln_tensor_read(dev, feed->order, 0, order, sizeof order, &err));
    a.cutout = CUT;
    batch part = fetch(feed, 9, N - 9, &a);
    for (int n = 9; n < N; n++) {
        const cln_philox r = cln_philox4x32((uint32_t)order[n], a.epoch, 2, CLN_STREAM_AUGMENT, a.seed, 0);
        const int cy = (int)cln_random_below(r.v[0], H), cx = (int)cln_random_below(r.v[1], W);
        for (int i = 0; i < PIXELS; i++) {
            const int y = i / C / W, x = i / C % W;
            const bool cut = y >= cy - CUT / 2 && y <= cy + CUT / 2 && x >= cx - CUT / 2 && x <= cx + CUT / 2;
            const float got = part.x[(n - 9) * PIXELS + i], was = whole.x[n * PIXELS + i];
            ck_assert_msg(cut ? got == 0.0f : got == was, "image %d, row %d, column %d", n, y, x);
            blank += cut;
        }
    }
    ck_assert_int_gt(blank, (N - 9) * C * CUT * CUT / 2);
    ck_assert(!memcmp(whole.y + 9, part.y, (N - 9) * sizeof *part.y));
    free(whole.x);
    free(part.x);
    cln_feed_free(feed);
}
END_TEST

/* By weight, of two batches, with the labels of the second. */
START_TEST(mixup)
{
    enum { COUNT = 17 };
    const cln_augment a = {CLN_FLIP_RANDOM, SHIFT, 3, 2, 4};
    const size_t values = (size_t)COUNT * PIXELS;
    cln_feed *feed = new_feed(C);
    batch first = fetch(feed, 3, COUNT, &a), second = fetch(feed, 30, COUNT, &a);
    float *got = malloc(values * sizeof *got);
    int32_t labels_got[COUNT];
    cln_tensor x, y;
    ck_assert_ptr_nonnull(got);
    OK(cln_tensor_new(dev, values * sizeof *got, "x", &x, &err));
    OK(cln_tensor_new(dev, sizeof labels_got, "y", &y, &err));
    for (int repeat = 0; repeat < 2; repeat++) {
        OK(cln_tensor_write(dev, x, 0, first.x, values * sizeof *got, &err));
        OK(cln_feed_mix(feed, 30, COUNT, &a, 0.625, x, y, &err));
        OK(cln_tensor_read(dev, x, 0, got, values * sizeof *got, &err));
        OK(cln_tensor_read(dev, y, 0, labels_got, sizeof labels_got, &err));
        for (size_t i = 0; i < values; i++)
            ck_assert_double_eq_tol(got[i], 0.625 * (double)first.x[i] + 0.375 * (double)second.x[i], 1e-6);
        ck_assert(!memcmp(labels_got, second.y, sizeof labels_got));
    }
    cln_tensor_free(&x);
    cln_tensor_free(&y);
    free(got);
    free(first.x);
    free(second.x);
    cln_feed_free(feed);
}
END_TEST

START_TEST(several_buffers)
{
    const cl_ulong max_alloc = dev->info.max_alloc;
    const cln_augment a = {CLN_FLIP_RANDOM, SHIFT, 2, 1, 0};
    batch b[2];
    for (int split = 0; split < 2; split++) {
        dev->info.max_alloc = split ? 5 * PIXELS + PIXELS / 2 : max_alloc;
        cln_feed *feed = new_feed(C);
        dev->info.max_alloc = max_alloc;
        ck_assert_int_eq(feed->n_chunks, split ? 13 : 1); /* 12 of 5 images, one of 4 */
        OK(cln_feed_shuffle(feed, 4, 4, &err));
        b[split] = fetch(feed, 1, N - 1, &a);
        cln_feed_free(feed);
    }
    ck_assert(!memcmp(b[0].x, b[1].x, (N - 1) * PIXELS * sizeof(float)));
    ck_assert(!memcmp(b[0].y, b[1].y, (N - 1) * sizeof b[0].y[0]));
    free(b[0].x);
    free(b[1].x);
    cln_feed *none = NULL;
    dev->info.max_alloc = PIXELS - 1;
    ck_assert_int_eq(cln_feed_new(dev, images, labels, N, C, H, W, mean, deviation, &none, &err),
                     CLN_ERR_DEVICE_MEMORY);
    dev->info.max_alloc = max_alloc;
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(wrong_arguments)
{
    cln_feed *none = NULL, *feed = new_feed(C);
    ck_assert_int_eq(cln_feed_new(dev, images, labels, 0, C, H, W, mean, deviation, &none, &err),
                     CLN_ERR_ARGUMENT);
    ck_assert_int_eq(cln_feed_new(dev, images, labels, N, 5, H, W, mean, deviation, &none, &err),
                     CLN_ERR_ARGUMENT);
    ck_assert_ptr_null(none);
    const int bad[][2] = {{-1, 2}, {0, N + 1}, {N - 1, 2}, {3, -1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(
            cln_feed_batch(feed, bad[i][0], bad[i][1], NULL, feed->order, feed->order, &err),
            CLN_ERR_INTERNAL);
    cln_feed_free(feed);
    cln_feed_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("feed");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, setup, device_close);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_test(tcase, plain_batches);
    tcase_add_test(tcase, shuffled_batches);
    tcase_add_test(tcase, orders);
    tcase_add_test(tcase, random_views);
    tcase_add_test(tcase, alternating_flips);
    tcase_add_test(tcase, cutout);
    tcase_add_test(tcase, mixup);
    tcase_add_test(tcase, several_buffers);
    tcase_add_test(tcase, wrong_arguments);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
