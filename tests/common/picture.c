#include "picture.h"

#include <cairo.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"

static uint32_t big_endian(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

void is_png(const char *name, uint32_t width, uint32_t height)
{
    blob b = get(name);

    ck_assert_uint_gt(b.size, 45);
    ck_assert_mem_eq(b.bytes, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    ck_assert_uint_eq(big_endian(b.bytes + 16), width);
    ck_assert_uint_eq(big_endian(b.bytes + 20), height);
    ck_assert_mem_eq(b.bytes + b.size - 12, "\0\0\0\0IEND", 8);
    free(b.bytes);
}

void is_svg(const char *name, int width, int height)
{
    blob b = get(name);
    char *text = malloc(b.size + 1), expected[64];
    int depth = 0, drawn = 0;

    ck_assert_ptr_nonnull(text);
    memcpy(text, b.bytes, b.size);
    text[b.size] = '\0';
    free(b.bytes);
    ck_assert_int_eq(strncmp(text, "<?xml", 5), 0);
    ck_assert_ptr_nonnull(strstr(text, "<svg "));
    snprintf(expected, sizeof expected, "width=\"%dpx\" height=\"%dpx\"", width, height);
    ck_assert_ptr_nonnull(strstr(text, expected));
    for (const char *tag = strchr(text, '<'); tag != NULL; tag = strchr(tag + 1, '<')) {
        const char *end = strchr(tag, '>');
        ck_assert_ptr_nonnull(end);
        drawn += strncmp(tag, "<path ", 6) == 0;
        if (tag[1] != '?' && tag[1] != '!')
            depth += tag[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
        ck_assert_int_ge(depth, 0);
    }
    ck_assert_int_eq(depth, 0);
    ck_assert_int_gt(drawn, 0);
    free(text);
}

/* Calls `see` for every pixel, column by column. */
static void scan(const char *name, int from, int to,
                 void (*see)(void *arg, int x, int y, uint32_t rgb), void *arg)
{
    cairo_surface_t *s = cairo_image_surface_create_from_png(at(name));

    ck_assert_int_eq(cairo_surface_status(s), CAIRO_STATUS_SUCCESS);
    const unsigned char *rows = cairo_image_surface_get_data(s);
    const int width = cairo_image_surface_get_width(s), height = cairo_image_surface_get_height(s);
    const size_t stride = (size_t)cairo_image_surface_get_stride(s);
    for (int x = from; x < to && x < width; x++)
        for (int y = 0; y < height; y++) {
            uint32_t pixel;
            memcpy(&pixel, rows + (size_t)y * stride + (size_t)4 * (size_t)x, 4);
            see(arg, x, y, pixel & 0xffffff);
        }
    cairo_surface_destroy(s);
}

typedef struct search {
    uint32_t rgb;
    int top, run, found;
    double x, y; /* sums over what was found */
} search;

static void see_count(void *arg, int x, int y, uint32_t rgb)
{
    search *s = arg;

    if (rgb != s->rgb || y <= s->top)
        return;
    s->found++;
    s->x += x;
    s->y += y;
}

static void see_run(void *arg, int x, int y, uint32_t rgb)
{
    search *s = arg;

    (void)x;
    s->run = y > s->top && rgb == s->rgb ? s->run + 1 : 0;
    s->found = s->run > s->found ? s->run : s->found;
}

int count_pixels(const char *name, uint32_t rgb, int from, int to)
{
    search s = {.rgb = rgb, .top = -1};

    scan(name, from, to, see_count, &s);
    return s.found;
}

int tallest_run(const char *name, uint32_t rgb, int top)
{
    search s = {.rgb = rgb, .top = top};

    scan(name, 0, 1 << 20, see_run, &s);
    return s.found;
}

void centre_of(const char *name, uint32_t rgb, int top, double *x, double *y)
{
    search s = {.rgb = rgb, .top = top};

    scan(name, 0, 1 << 20, see_count, &s);
    ck_assert_int_gt(s.found, 0);
    *x = s.x / s.found;
    *y = s.y / s.found;
}
