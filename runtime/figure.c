#include "figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart_canvas.h"

/* ---- curves ---------------------------------------------------------------------------------- */

/* Dots show which epochs there are while they are few. */
static cln_series curve(const char *label, const double *x, const double *y, int count,
                        cln_colour colour)
{
    return (cln_series){.label = label,
                        .x = x,
                        .y = y,
                        .count = count,
                        .colour = colour,
                        .width = 2,
                        .marker = count > 30 ? CLN_MARKER_NONE : CLN_MARKER_DOT};
}

int cln_figure_curves(const char *path, const char *title, const cln_metrics *metrics, int count,
                      cln_error *err)
{
    enum { EPOCH, TRAIN_LOSS, TEST_LOSS, TRAIN_ACC, TEST_ACC, COLUMNS };
    double *column[COLUMNS];
    double *block = malloc(((size_t)count * COLUMNS + 1) * sizeof *block);

    if (block == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to draw %s", path);
    for (int k = 0; k < COLUMNS; k++)
        column[k] = block + (size_t)k * (size_t)count;
    for (int i = 0; i < count; i++) {
        column[EPOCH][i] = metrics[i].epoch;
        column[TRAIN_LOSS][i] = metrics[i].train_loss;
        column[TEST_LOSS][i] = metrics[i].test_loss;
        column[TRAIN_ACC][i] = metrics[i].train_acc;
        column[TEST_ACC][i] = metrics[i].test_acc;
    }
    const cln_series series[4] = {
        curve("train", column[EPOCH], column[TRAIN_LOSS], count, CLN_BLUE),
        curve("test", column[EPOCH], column[TEST_LOSS], count, CLN_VERMILLION),
        curve("train", column[EPOCH], column[TRAIN_ACC], count, CLN_BLUE),
        curve("test", column[EPOCH], column[TEST_ACC], count, CLN_VERMILLION),
    };
    const cln_axis epochs = {.label = "epoch", .whole = true, .tight = true};
    const cln_panel panels[2] = {
        {.x = epochs,
         .y = {.label = "loss", .at_most = {0, INFINITY}},
         .series = series,
         .n_series = 2},
        {.x = epochs,
         .y = {.label = "accuracy (%)", .at_most = {0, 100}},
         .series = series + 2,
         .n_series = 2},
    };
    const cln_chart chart = {.title = title,
                             .panels = panels,
                             .n_panels = 2,
                             .width = CLN_FIGURE_WIDTH,
                             .height = CLN_FIGURE_HEIGHT};
    int rc = cln_chart_write(path, &chart, err);
    free(block);
    return rc;
}

/* ---- misclassified images -------------------------------------------------------------------- */

static cairo_surface_t *surface_of(const uint8_t *planes, int channels, int h, int w)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, w, h);
    size_t plane = channels == 3 ? (size_t)h * (size_t)w : 0;

    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS)
        return surface;
    unsigned char *rows = cairo_image_surface_get_data(surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    for (size_t y = 0; y < (size_t)h; y++)
        for (size_t x = 0; x < (size_t)w; x++) {
            const uint8_t *p = planes + y * (size_t)w + x;
            uint32_t rgb = (uint32_t)p[0] << 16 | (uint32_t)p[plane] << 8 | p[2 * plane];
            memcpy(rows + y * stride + 4 * x, &rgb, sizeof rgb);
        }
    cairo_surface_mark_dirty(surface);
    return surface;
}

/* Scales the image into r, keeping its shape. Small images grow by a whole factor with square pixels. */
static void draw_image(cairo_t *cr, cairo_surface_t *image, int h, int w, cln_rect r)
{
    double scale = fmin(r.w / w, r.h / h);
    cairo_filter_t filter = CAIRO_FILTER_GOOD;

    if (scale >= 1) {
        scale = floor(scale);
        filter = CAIRO_FILTER_NEAREST;
    }
    cairo_save(cr);
    cairo_translate(cr, floor(r.x + (r.w - scale * w) / 2), floor(r.y + (r.h - scale * h) / 2));
    cairo_scale(cr, scale, scale);
    cairo_set_source_surface(cr, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cr), filter);
    cairo_paint(cr);
    cairo_restore(cr);
}

static void draw_mistake(cairo_t *cr, const cln_mistake *m, int channels, int h, int w, cln_rect r)
{
    cairo_surface_t *image = surface_of(m->pixels, channels, h, w);
    char line[CLN_CANVAS_TEXT];
    double middle = r.x + r.w / 2;

    draw_image(cr, image, h, w, r);
    cairo_surface_destroy(image);
    cln_canvas_ink(cr, CLN_INK);
    snprintf(line, sizeof line, "true: %.200s", m->truth);
    cln_canvas_text(cr, middle, r.y + r.h + 20, 0.5, 14, r.w + 18, line);
    cln_canvas_ink(cr, CLN_VERMILLION);
    snprintf(line, sizeof line, "predicted: %.200s (%.1f %%)", m->predicted, 100 * m->confidence);
    cln_canvas_text(cr, middle, r.y + r.h + 39, 0.5, 14, r.w + 18, line);
}

int cln_figure_misclassified(const char *path, const char *title, const cln_mistake *mistakes,
                             int n, int channels, int h, int w, cln_error *err)
{
    const double side = 192, gap = 36, top = 62, caption = 62;
    int rows = n > CLN_MISTAKES_ACROSS ? 2 : 1;
    int width = (int)(CLN_MISTAKES_ACROSS * (side + gap) + gap);
    int height = n <= 0 ? 120 : (int)(top + rows * (side + caption));
    cln_canvas canvas;

    if ((channels != 1 && channels != 3) || h < 1 || w < 1 || h > CLN_CANVAS_MAX_SIDE ||
        w > CLN_CANVAS_MAX_SIDE)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "cannot draw images of %d x %d with %d channels", w,
                        h, channels);
    if (n < 0 || n > CLN_MISTAKES_MAX)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "cannot draw %d images, only 0 to %d", n,
                        CLN_MISTAKES_MAX);
    int rc = cln_canvas_open(&canvas, path, width, height, 1, err);
    if (rc != 0)
        return rc;
    cairo_t *cr = canvas.cr;
    cln_canvas_ink(cr, CLN_INK);
    cln_canvas_bold(cr, true);
    cln_canvas_text(cr, width / 2.0, 36, 0.5, 17, width - 40, title);
    cln_canvas_bold(cr, false);
    if (n == 0)
        cln_canvas_text(cr, width / 2.0, 80, 0.5, 15, width - 40, "No image was misclassified.");
    for (int i = 0; i < n; i++) {
        int row = i / CLN_MISTAKES_ACROSS, column = i % CLN_MISTAKES_ACROSS;
        cln_rect r = {gap + column * (side + gap), top + row * (side + caption), side, side};
        draw_mistake(cr, &mistakes[i], channels, h, w, r);
    }
    return cln_canvas_close(&canvas, 0, err);
}
