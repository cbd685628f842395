#include "chart_canvas.h"

#include "chart.h"

#include <cairo-svg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "utf8.h"

/* ---- the surface and its file ------------------------------------------------------------------ */

static cairo_status_t append(void *closure, const unsigned char *bytes, unsigned int n)
{
    cln_canvas *c = closure;

    if (c->capacity - c->n < n) {
        size_t capacity = 2 * c->capacity + n;
        unsigned char *grown = realloc(c->bytes, capacity);
        if (grown == NULL)
            return CAIRO_STATUS_NO_MEMORY;
        c->bytes = grown;
        c->capacity = capacity;
    }
    memcpy(c->bytes + c->n, bytes, n);
    c->n += n;
    return CAIRO_STATUS_SUCCESS;
}

static bool ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);

    return n > m && strcasecmp(path + n - m, end) == 0;
}

int cln_chart_check_name(const char *path, cln_error *err)
{
    if (ends_in(path, ".svg") || ends_in(path, ".png"))
        return CLN_OK;
    return CLN_FAIL(err, CLN_ERR_ARGUMENT, "cannot draw %s: its name must end in .png or .svg", path);
}

int cln_canvas_open(cln_canvas *c, const char *path, int width, int height, int scale,
                    cln_error *err)
{
    cairo_surface_t *surface;

    *c = (cln_canvas){.path = path, .svg = ends_in(path, ".svg")};
    if (cln_chart_check_name(path, err))
        return CLN_ERR_ARGUMENT;
    if (scale < 1 || scale > CLN_CANVAS_MAX_SCALE)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "a picture at scale %d: it must be 1 to %d", scale,
                        CLN_CANVAS_MAX_SCALE);
    if (width < 1 || height < 1 || width > CLN_CANVAS_MAX_SIDE || height > CLN_CANVAS_MAX_SIDE)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "a picture of %d x %d pixels: each side must be 1 to %d", width, height,
                        CLN_CANVAS_MAX_SIDE);
    if (c->svg) {
        surface = cairo_svg_surface_create_for_stream(append, c, width, height);
        if (cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS)
            cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
    } else {
        surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, scale * width, scale * height);
    }
    c->cr = cairo_create(surface);
    if (!c->svg)
        cairo_scale(c->cr, scale, scale);
    cairo_surface_destroy(surface); /* cr keeps it */
    cln_canvas_ink(c->cr, (cln_colour){1, 1, 1});
    cairo_paint(c->cr);
    cln_canvas_bold(c->cr, false);
    return 0;
}

int cln_canvas_close(cln_canvas *c, int rc, cln_error *err)
{
    cairo_surface_t *surface = cairo_surface_reference(cairo_get_target(c->cr));
    cairo_status_t status = cairo_status(c->cr);

    cairo_destroy(c->cr);
    if (status == CAIRO_STATUS_SUCCESS && !c->svg && rc == 0)
        status = cairo_surface_write_to_png_stream(surface, append, c);
    cairo_surface_finish(surface); /* an SVG is written here */
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (rc == 0 && status != CAIRO_STATUS_SUCCESS)
        rc = CLN_FAIL(err, status == CAIRO_STATUS_NO_MEMORY ? CLN_ERR_MEMORY : CLN_ERR_INTERNAL,
                      "cannot draw %s: %s", c->path, cairo_status_to_string(status));
    if (rc == 0)
        rc = cln_file_write_atomic(c->path, c->bytes, c->n, err);
    free(c->bytes);
    *c = (cln_canvas){0};
    return rc;
}

/* ---- colours and lines ------------------------------------------------------------------------- */

const cln_colour CLN_BLACK = {0, 0, 0};
const cln_colour CLN_ORANGE = {0xe6 / 255.0, 0x9f / 255.0, 0};
const cln_colour CLN_SKY = {0x56 / 255.0, 0xb4 / 255.0, 0xe9 / 255.0};
const cln_colour CLN_GREEN = {0, 0x9e / 255.0, 0x73 / 255.0};
const cln_colour CLN_YELLOW = {0xf0 / 255.0, 0xe4 / 255.0, 0x42 / 255.0};
const cln_colour CLN_BLUE = {0, 0x72 / 255.0, 0xb2 / 255.0};
const cln_colour CLN_VERMILLION = {0xd5 / 255.0, 0x5e / 255.0, 0};
const cln_colour CLN_PURPLE = {0xcc / 255.0, 0x79 / 255.0, 0xa7 / 255.0};
const cln_colour CLN_INK = {0.13, 0.13, 0.15};
const cln_colour CLN_GREY = {0.42, 0.42, 0.45};

cln_colour cln_colour_tint(cln_colour c, double white)
{
    return (cln_colour){c.r + (1 - c.r) * white, c.g + (1 - c.g) * white, c.b + (1 - c.b) * white};
}

void cln_canvas_ink(cairo_t *cr, cln_colour colour)
{
    cairo_set_source_rgb(cr, colour.r, colour.g, colour.b);
}

void cln_canvas_line(cairo_t *cr, double x0, double y0, double x1, double y1)
{
    cairo_move_to(cr, x0, y0);
    cairo_line_to(cr, x1, y1);
    cairo_stroke(cr);
}

/* ---- text -------------------------------------------------------------------------------------- */

void cln_canvas_bold(cairo_t *cr, bool bold)
{
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
}

/* Copies as much of text as fits, with '?' for what is not UTF-8: cairo refuses such strings, and after that
 * everything else. Line ends and the like become blanks. */
static void make_utf8(char out[CLN_CANVAS_TEXT], const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    int n = 0;

    while (*s != '\0') {
        int step = cln_utf8_length((const char *)s);
        if (n + (step == 0 ? 1 : step) >= CLN_CANVAS_TEXT)
            break;
        if (step == 0) {
            out[n++] = '?';
            s++;
        } else if (*s < ' ') {
            out[n++] = ' ';
            s++;
        } else {
            memcpy(out + n, s, (size_t)step);
            n += step;
            s += step;
        }
    }
    out[n] = '\0';
}

static double advance(cairo_t *cr, const char *text)
{
    cairo_text_extents_t e;

    cairo_text_extents(cr, text, &e);
    return e.x_advance;
}

double cln_canvas_width(cairo_t *cr, double size, const char *string)
{
    char text[CLN_CANVAS_TEXT];

    make_utf8(text, string);
    cairo_set_font_size(cr, size);
    return advance(cr, text);
}

/* Takes characters off the end until text and an ellipsis are at most `width` wide. */
static void shorten(cairo_t *cr, char text[CLN_CANVAS_TEXT], double width)
{
    static const char dots[] = "\xe2\x80\xa6";
    size_t n = strlen(text);

    if (advance(cr, text) <= width)
        return;
    while (n > 0) {
        do
            n--;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80);
        if (n + sizeof dots > CLN_CANVAS_TEXT)
            continue;
        memcpy(text + n, dots, sizeof dots);
        if (advance(cr, text) <= width)
            return;
    }
    text[0] = '\0';
}

void cln_canvas_text(cairo_t *cr, double x, double y, double align, double size, double max_width,
                     const char *string)
{
    char text[CLN_CANVAS_TEXT];

    make_utf8(text, string);
    cairo_set_font_size(cr, size);
    double width = advance(cr, text);
    if (width > max_width)
        cairo_set_font_size(cr, size * fmax(0.75, max_width / width));
    shorten(cr, text, max_width);
    cairo_move_to(cr, x - align * advance(cr, text), y);
    cairo_show_text(cr, text);
}

void cln_canvas_turned(cairo_t *cr, double x, double y, double angle, double align, double size,
                       double max_width, const char *text)
{
    cairo_font_options_t *options = cairo_font_options_create();

    cairo_save(cr);
    /* whole pixels between glyphs look ragged on a slope */
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(cr, options);
    cairo_font_options_destroy(options);
    cairo_translate(cr, x, y);
    cairo_rotate(cr, angle);
    cln_canvas_text(cr, 0, 0, align, size, max_width, text);
    cairo_restore(cr);
}

/* Whether a line may end before text[i]. */
static bool may_break(const char *text, size_t i)
{
    return i > 0 && (text[i] == '+' || text[i] == '/' || text[i - 1] == ' ');
}

int cln_canvas_wrap(cairo_t *cr, double size, double width, const char *string, int max_lines,
                    char lines[][CLN_CANVAS_TEXT])
{
    char text[CLN_CANVAS_TEXT] = "";
    size_t begin = 0, fits = 0;
    int n = 0;

    make_utf8(text, string);
    for (size_t i = 1; begin < strlen(text); i++) {
        const bool end = text[i] == '\0';
        if (!end && !may_break(text, i))
            continue;
        if (n == max_lines)
            return 0;
        memcpy(lines[n], text + begin, i - begin);
        lines[n][i - begin] = '\0';
        if (cln_canvas_width(cr, size, lines[n]) <= width) {
            fits = i;
            if (!end)
                continue;
        }
        if (fits <= begin) /* a piece that is too wide by itself */
            return 0;
        lines[n++][fits - begin] = '\0';
        i = begin = fits;
    }
    return n;
}
