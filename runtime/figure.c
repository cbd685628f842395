#include "figure.h"

#include <cairo.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

#define FONT "DejaVu Sans"

static const double INK[3] = {0.13, 0.13, 0.15};
static const double GREY[3] = {0.42, 0.42, 0.45};
static const double GRID[3] = {0.90, 0.90, 0.92};
static const double BLUE[3] = {0x00 / 255.0, 0x72 / 255.0,
                               0xb2 /
                                   255.0}; /* Okabe and Ito: told apart by all eyes and in print */
static const double RED[3] = {0xd5 / 255.0, 0x5e / 255.0, 0x00 / 255.0};

enum { MAX_SIDE = 8192, MAX_TICKS = 30, TEXT_MAX = 512 };

typedef struct rect {
    double x, y, w, h;
} rect;

static void ink(cairo_t *cr, const double rgb[3])
{
    cairo_set_source_rgb(cr, rgb[0], rgb[1], rgb[2]);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Bytes of the UTF-8 sequence at s; 0: none (overlong forms and surrogates are none either). */
static int utf8_length(const unsigned char *s)
{
    int n = s[0] < 0x80   ? 1
            : s[0] < 0xc2 ? 0
            : s[0] < 0xe0 ? 2
            : s[0] < 0xf0 ? 3
            : s[0] < 0xf5 ? 4
                          : 0;

    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0)))
        return 0;
    if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90)))
        return 0;
    return n;
}

/* Copies as much of text as fits, with '?' for what is not UTF-8: cairo refuses such strings, and after
 * that everything else. */
static void make_utf8(char out[TEXT_MAX], const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    int n = 0;

    while (*s != '\0') {
        int step = utf8_length(s);
        if (n + (step == 0 ? 1 : step) >= TEXT_MAX)
            break;
        if (step == 0) {
            out[n++] = '?';
            s++;
        } else {
            memcpy(out + n, s, (size_t)step);
            n += step;
            s += step;
        }
    }
    out[n] = '\0';
}

static double text_width(cairo_t *cr, const char *text)
{
    cairo_text_extents_t e;
    cairo_text_extents(cr, text, &e);
    return e.x_advance;
}

/* Takes characters off the end until text and an ellipsis are at most `width` wide. */
static void shorten(cairo_t *cr, char text[TEXT_MAX], double width)
{
    static const char dots[] = "\xe2\x80\xa6";
    size_t n = strlen(text);

    if (text_width(cr, text) <= width)
        return;
    while (n > 0) {
        do
            n--;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80);
        if (n + sizeof dots > TEXT_MAX)
            continue;
        memcpy(text + n, dots, sizeof dots);
        if (text_width(cr, text) <= width)
            return;
    }
    text[0] = '\0';
}

/* Draws text with its baseline at y; `align` 0, 0.5, 1 puts its left end, middle or right end at x. Text
 * wider than max_width is set smaller, down to three quarters, and then shortened. */
static void draw_text(cairo_t *cr, double x, double y, double align, double size, double max_width,
                      const char *string)
{
    char text[TEXT_MAX];

    make_utf8(text, string);
    cairo_set_font_size(cr, size);
    double width = text_width(cr, text);
    if (width > max_width)
        cairo_set_font_size(cr, size * fmax(0.75, max_width / width));
    shorten(cr, text, max_width);
    cairo_move_to(cr, x - align * text_width(cr, text), y);
    cairo_show_text(cr, text);
}

static void font(cairo_t *cr, bool bold)
{
    cairo_select_font_face(cr, FONT, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
}

/* ---- axes ------------------------------------------------------------------------------------ */

typedef struct axis {
    double low, high, step; /* range in values, distance of ticks */
} axis;

/* Values so large that arithmetic with them overflows are left out like those that are not finite. */
static bool drawable(const cln_series *s, int i)
{
    return fabs(s->x[i]) < 1e100 && fabs(s->y[i]) < 1e100;
}

/* The smallest of 1, 2, 5 times a power of ten that is at least x > 0. */
static double nice_step(double x)
{
    static const double steps[] = {1, 2, 5, 10};
    double power = pow(10, floor(log10(x)));

    for (int i = 0; i < 4; i++)
        if (steps[i] * power >= x * (1 - 1e-9))
            return steps[i] * power;
    return 10 * power;
}

/* Axis from values in [low, high] with about `ticks` intervals; ends at ticks unless `tight`. */
static axis make_axis(double low, double high, int ticks, bool whole, bool tight)
{
    axis a = {low, high, 1};

    if (!(high - low > 1e-9 * fmax(fabs(low), fabs(high)))) { /* one value, or none: give it room */
        double room = whole ? 1 : fmax(0.05 * fabs(low), 1e-6);
        a.low = low - room;
        a.high = high + room;
    }
    a.step = nice_step((a.high - a.low) / ticks);
    if (whole)
        a.step = fmax(a.step, 1);
    if (!tight) {
        a.low = floor(a.low / a.step + 1e-9) * a.step;
        a.high = ceil(a.high / a.step - 1e-9) * a.step;
    }
    return a;
}

static bool value_range(const cln_panel *p, bool of_y, double *low, double *high)
{
    bool any = false;

    for (int i = 0; i < p->n_series; i++)
        for (int k = 0; k < p->series[i].count; k++) {
            double v = of_y ? p->series[i].y[k] : p->series[i].x[k];
            if (!drawable(&p->series[i], k))
                continue;
            *low = any ? fmin(*low, v) : v;
            *high = any ? fmax(*high, v) : v;
            any = true;
        }
    return any;
}

static axis x_axis(const cln_panel *p)
{
    double low = 0, high = 1;

    value_range(p, false, &low, &high);
    axis a = make_axis(low, high, 10, p->whole_x, true);
    double room = 0.02 * (a.high - a.low); /* the first and last points stand off the frame */
    a.low -= room;
    a.high += room;
    return a;
}

static axis y_axis(const cln_panel *p)
{
    double low = 0, high = 1;

    value_range(p, true, &low, &high);
    axis a = make_axis(low, high, 8, false, false);
    a.low = fmax(a.low, isnan(p->y_min) ? a.low : fmin(p->y_min, low));
    a.high = fmin(a.high, isnan(p->y_max) ? a.high : fmax(p->y_max, high));
    return a;
}

static double place_x(axis a, rect r, double v)
{
    return r.x + (v - a.low) / (a.high - a.low) * r.w;
}
static double place_y(axis a, rect r, double v)
{
    return r.y + r.h - (v - a.low) / (a.high - a.low) * r.h;
}

/* Calls for the ticks in turn: *i counts from 0. */
static bool next_tick(axis a, int *i, double *v)
{
    *v = (ceil(a.low / a.step - 1e-6) + (*i)++) * a.step;
    if (fabs(*v) < 1e-9 * a.step)
        *v = 0; /* not -0 */
    return *i <= MAX_TICKS && *v <= a.high + 1e-6 * a.step;
}

static void tick_label(char out[32], axis a, double v)
{
    int decimals = (int)fmax(0, -floor(log10(a.step) + 1e-9));

    if (decimals > 5 || a.step >= 1e5)
        snprintf(out, 32, "%.6g", v);
    else
        snprintf(out, 32, "%.*f", decimals, v);
}

static void draw_axes(cairo_t *cr, const cln_panel *p, axis ax, axis ay, rect r)
{
    char label[32];
    double v;

    font(cr, false);
    cairo_set_line_width(cr, 1);
    for (int i = 0; next_tick(ay, &i, &v);) {
        double y = floor(place_y(ay, r, v)) + 0.5;
        ink(cr, GRID);
        cairo_move_to(cr, r.x, y);
        cairo_line_to(cr, r.x + r.w, y);
        cairo_stroke(cr);
        ink(cr, GREY);
        tick_label(label, ay, v);
        draw_text(cr, r.x - 9, y + 4.5, 1, 13, 60, label);
    }
    for (int i = 0; next_tick(ax, &i, &v);) {
        double x = floor(place_x(ax, r, v)) + 0.5;
        ink(cr, GREY);
        cairo_move_to(cr, x, r.y + r.h);
        cairo_line_to(cr, x, r.y + r.h + 5);
        cairo_stroke(cr);
        tick_label(label, ax, v);
        draw_text(cr, x, r.y + r.h + 21, 0.5, 13, 80, label);
    }
    ink(cr, GREY);
    cairo_move_to(cr, floor(r.x) + 0.5, r.y);
    cairo_line_to(cr, floor(r.x) + 0.5, floor(r.y + r.h) + 0.5);
    cairo_line_to(cr, r.x + r.w, floor(r.y + r.h) + 0.5);
    cairo_stroke(cr);

    ink(cr, INK);
    draw_text(cr, r.x + r.w / 2, r.y + r.h + 44, 0.5, 14, r.w, p->x_label);
    cairo_save(cr);
    cairo_translate(cr, r.x - 56, r.y + r.h / 2);
    cairo_rotate(cr, -acos(-1) / 2);
    draw_text(cr, 0, 0, 0.5, 14, r.h, p->y_label);
    cairo_restore(cr);
}

/* ---- series ---------------------------------------------------------------------------------- */

/* Dots show which epochs there are while they are few; a value between gaps would not show otherwise. */
static void draw_series(cairo_t *cr, const cln_series *s, axis ax, axis ay, rect r)
{
    const double radius = s->width + 1;
    bool drawing = false;

    ink(cr, s->rgb);
    cairo_set_line_width(cr, s->width);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    for (int i = 0; i < s->count; i++) {
        bool good = drawable(s, i);
        if (good && drawing)
            cairo_line_to(cr, place_x(ax, r, s->x[i]), place_y(ay, r, s->y[i]));
        else if (good)
            cairo_move_to(cr, place_x(ax, r, s->x[i]), place_y(ay, r, s->y[i]));
        drawing = good;
    }
    cairo_stroke(cr);
    for (int i = 0; i < s->count; i++) {
        bool alone = (i == 0 || !drawable(s, i - 1)) && (i + 1 == s->count || !drawable(s, i + 1));
        if (!drawable(s, i) || (s->count > 30 && !alone))
            continue;
        cairo_arc(cr, place_x(ax, r, s->x[i]), place_y(ay, r, s->y[i]), radius, 0, 2 * acos(-1));
        cairo_fill(cr);
    }
}

/* How many points, and of the lines between them, lie in box or near it. */
static int count_inside(const cln_panel *p, axis ax, axis ay, rect r, rect box)
{
    enum { PARTS = 8 };
    const double near = 20;
    int inside = 0;

    for (int i = 0; i < p->n_series; i++) {
        const cln_series *s = &p->series[i];
        for (int k = 0; k < s->count * PARTS; k++) {
            int a = k / PARTS, b = a + 1 < s->count && drawable(s, a + 1) ? a + 1 : a;
            if (!drawable(s, a))
                continue;
            double t = (double)(k % PARTS) / PARTS;
            double x = place_x(ax, r, s->x[a] + t * (s->x[b] - s->x[a]));
            double y = place_y(ay, r, s->y[a] + t * (s->y[b] - s->y[a]));
            inside += x >= box.x - near && x <= box.x + box.w + near && y >= box.y - near &&
                      y <= box.y + box.h + near;
        }
    }
    return inside;
}

/* A legend in the corner where it hides least; the right ones win where several are free. */
static void draw_legend(cairo_t *cr, const cln_panel *p, axis ax, axis ay, rect r)
{
    const double line = 21, margin = 10, swatch = 26;
    rect box = {0, 0, 0, line * p->n_series + 9};
    int least = -1;

    if (p->n_series == 0)
        return;
    cairo_set_font_size(cr, 13.5);
    for (int i = 0; i < p->n_series; i++)
        box.w = fmax(box.w, fmin(text_width(cr, p->series[i].label), r.w / 2));
    box.w += swatch + 3 * margin;
    for (int corner = 0; corner < 4; corner++) {
        rect at = box;
        at.x = corner < 2 ? r.x + r.w - box.w - 6 : r.x + 12;
        at.y = corner % 2 == 0 ? r.y + 6 : r.y + r.h - box.h - 12;
        int hidden = count_inside(p, ax, ay, r, at);
        if (least < 0 || hidden < least) {
            least = hidden;
            box.x = at.x;
            box.y = at.y;
        }
    }
    cairo_rectangle(cr, floor(box.x) + 0.5, floor(box.y) + 0.5, floor(box.w), box.h);
    cairo_set_source_rgba(cr, 1, 1, 1, 0.85);
    cairo_fill_preserve(cr);
    ink(cr, GRID);
    cairo_set_line_width(cr, 1);
    cairo_stroke(cr);
    for (int i = 0; i < p->n_series; i++) {
        double y = box.y + 15 + i * line;
        ink(cr, p->series[i].rgb);
        cairo_set_line_width(cr, p->series[i].width);
        cairo_move_to(cr, box.x + margin, y);
        cairo_line_to(cr, box.x + margin + swatch, y);
        cairo_stroke(cr);
        ink(cr, INK);
        draw_text(cr, box.x + 2 * margin + swatch, y + 4.5, 0, 13.5, r.w / 2, p->series[i].label);
    }
}

static void draw_panel(cairo_t *cr, const cln_panel *p, rect r)
{
    axis ax = x_axis(p), ay = y_axis(p);

    draw_axes(cr, p, ax, ay, r);
    for (int i = 0; i < p->n_series; i++)
        draw_series(cr, &p->series[i], ax, ay, r);
    draw_legend(cr, p, ax, ay, r);
}

/* ---- PNG files ------------------------------------------------------------------------------- */

typedef struct png {
    unsigned char *bytes;
    size_t n, capacity;
} png;

static cairo_status_t append_png(void *closure, const unsigned char *bytes, unsigned int n)
{
    png *out = closure;

    if (out->capacity - out->n < n) {
        size_t capacity = 2 * out->capacity + n;
        unsigned char *grown = realloc(out->bytes, capacity);
        if (grown == NULL)
            return CAIRO_STATUS_NO_MEMORY;
        out->bytes = grown;
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
    return CAIRO_STATUS_SUCCESS;
}

/* A white picture in *out, with a bold title; the caller draws on and calls finish. */
static int start(int width, int height, const char *title, cairo_t **out, cln_error *err)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "a picture of %d x %d pixels: each side must be 1 to %d", width, height,
                        MAX_SIDE);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cr = cairo_create(surface);
    cairo_surface_destroy(surface); /* cr keeps it */
    *out = cr;
    ink(cr, (const double[]){1, 1, 1});
    cairo_paint(cr);
    ink(cr, INK);
    font(cr, true);
    draw_text(cr, width / 2.0, 36, 0.5, 17, width - 40, title);
    font(cr, false);
    return 0;
}

/* Writes what was drawn on cr and frees it. */
static int finish(cairo_t *cr, const char *path, cln_error *err)
{
    png file = {0};
    int rc = 0;
    cairo_status_t status = cairo_status(cr);

    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_write_to_png_stream(cairo_get_target(cr), append_png, &file);
    if (status != CAIRO_STATUS_SUCCESS)
        rc = CLN_FAIL(err, status == CAIRO_STATUS_NO_MEMORY ? CLN_ERR_MEMORY : CLN_ERR_INTERNAL,
                      "cannot draw %s: %s", path, cairo_status_to_string(status));
    else
        rc = cln_file_write_atomic(path, file.bytes, file.n, err);
    free(file.bytes);
    cairo_destroy(cr);
    return rc;
}

/* ---- curves ---------------------------------------------------------------------------------- */

int cln_figure_panels(const char *path, const char *title, const cln_panel *panels, int n_panels,
                      int width, int height, cln_error *err)
{
    const double left = 78, right = 22, top = 62, bottom = 62; /* of each panel */
    cairo_t *cr = NULL;
    int rc = start(width, height, title, &cr, err);

    if (rc != 0)
        return rc;
    double share = (double)width / fmax(1, n_panels);
    for (int i = 0; i < n_panels; i++) {
        rect r = {floor(i * share + left), top, fmax(1, floor(share - left - right)),
                  fmax(1, height - top - bottom)};
        draw_panel(cr, &panels[i], r);
    }
    return finish(cr, path, err);
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
        {"train", column[EPOCH], column[TRAIN_LOSS], count, {BLUE[0], BLUE[1], BLUE[2]}, 2},
        {"test", column[EPOCH], column[TEST_LOSS], count, {RED[0], RED[1], RED[2]}, 2},
        {"train", column[EPOCH], column[TRAIN_ACC], count, {BLUE[0], BLUE[1], BLUE[2]}, 2},
        {"test", column[EPOCH], column[TEST_ACC], count, {RED[0], RED[1], RED[2]}, 2},
    };
    const cln_panel panels[2] = {
        {"epoch", "loss", series, 2, true, 0, NAN},
        {"epoch", "accuracy (%)", series + 2, 2, true, 0, 100},
    };
    int rc = cln_figure_panels(path, title, panels, 2, CLN_FIGURE_WIDTH, CLN_FIGURE_HEIGHT, err);
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
static void draw_image(cairo_t *cr, cairo_surface_t *image, int h, int w, rect r)
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

static void draw_mistake(cairo_t *cr, const cln_mistake *m, int channels, int h, int w, rect r)
{
    cairo_surface_t *image = surface_of(m->pixels, channels, h, w);
    char line[TEXT_MAX];
    double middle = r.x + r.w / 2;

    draw_image(cr, image, h, w, r);
    cairo_surface_destroy(image);
    ink(cr, INK);
    snprintf(line, sizeof line, "true: %.200s", m->truth);
    draw_text(cr, middle, r.y + r.h + 20, 0.5, 14, r.w + 18, line);
    ink(cr, RED);
    snprintf(line, sizeof line, "predicted: %.200s (%.1f %%)", m->predicted, 100 * m->confidence);
    draw_text(cr, middle, r.y + r.h + 39, 0.5, 14, r.w + 18, line);
}

int cln_figure_misclassified(const char *path, const char *title, const cln_mistake *mistakes,
                             int n, int channels, int h, int w, cln_error *err)
{
    const double side = 192, gap = 36, top = 62, caption = 62;
    int rows = n > CLN_MISTAKES_ACROSS ? 2 : 1;
    int width = (int)(CLN_MISTAKES_ACROSS * (side + gap) + gap);
    int height = n <= 0 ? 120 : (int)(top + rows * (side + caption));
    cairo_t *cr = NULL;

    if ((channels != 1 && channels != 3) || h < 1 || w < 1 || h > MAX_SIDE || w > MAX_SIDE)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "cannot draw images of %d x %d with %d channels", w,
                        h, channels);
    if (n < 0 || n > CLN_MISTAKES_MAX)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "cannot draw %d images, only 0 to %d", n,
                        CLN_MISTAKES_MAX);
    int rc = start(width, height, title, &cr, err);
    if (rc != 0)
        return rc;
    if (n == 0)
        draw_text(cr, width / 2.0, 80, 0.5, 15, width - 40, "No image was misclassified.");
    for (int i = 0; i < n; i++) {
        int row = i / CLN_MISTAKES_ACROSS, column = i % CLN_MISTAKES_ACROSS;
        rect r = {gap + column * (side + gap), top + row * (side + caption), side, side};
        draw_mistake(cr, &mistakes[i], channels, h, w, r);
    }
    return finish(cr, path, err);
}
