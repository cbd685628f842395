#include "outcome.h"

#include "base64.h"
#include "json.h"
#include "json_reader.h"
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 64 << 20, MAX_IMAGES = 1 << 24, MAX_NAME = 128 };

static size_t image_bytes(const cln_outcome *o) { return (size_t)o->c * (size_t)o->h * (size_t)o->w; }

static int no_memory(cln_error *err)
{
    return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for the outcome of an evaluation");
}

/* ---- making one ---------------------------------------------------------------------------------- */

static int make_room(cln_outcome *o, cln_error *err)
{
    const size_t k = (size_t)o->classes;
    o->class_names = calloc(k + 1, sizeof *o->class_names);
    o->confusion = calloc(k * k + 1, sizeof *o->confusion);
    return o->class_names && o->confusion ? CLN_OK : no_memory(err);
}

static int add_mistake(cln_outcome *o, cln_outcome_mistake m, const uint8_t *pixels, cln_error *err)
{
    m.pixels = malloc(image_bytes(o));
    if (!m.pixels)
        return no_memory(err);
    if (pixels)
        memcpy(m.pixels, pixels, image_bytes(o));
    o->mistakes[o->n_mistakes++] = m;
    return CLN_OK;
}

int cln_outcome_of(const cln_dataset *d, const uint8_t *x, const uint8_t *y, const cln_evaluation *e, cln_outcome *out,
                   cln_error *err)
{
    cln_outcome o = {.n = e->n, .acc = e->acc, .loss = e->loss, .classes = d->classes, .c = d->c, .h = d->h, .w = d->w};
    int rc = make_room(&o, err);
    for (int k = 0; k < o.classes && !rc; k++)
        if (!(o.class_names[k] = strdup(d->class_names[k])))
            rc = no_memory(err);
    for (int i = 0; i < e->n && !rc; i++) {
        const int label = y[i], guess = e->predicted[i];
        o.confusion[label * o.classes + guess]++;
        if (guess != label && o.n_mistakes < CLN_MISTAKES_MAX)
            rc = add_mistake(&o, (cln_outcome_mistake){i, label, guess, e->confidence[i], NULL},
                             x + (size_t)i * image_bytes(&o), err);
    }
    if (rc)
        cln_outcome_clear(&o);
    else
        *out = o;
    return rc;
}

void cln_outcome_clear(cln_outcome *o)
{
    for (int i = 0; i < o->n_mistakes; i++)
        free(o->mistakes[i].pixels);
    for (int k = 0; o->class_names && k < o->classes; k++)
        free(o->class_names[k]);
    free(o->class_names);
    free(o->confusion);
    memset(o, 0, sizeof *o);
}

int cln_outcome_wrong(const cln_outcome *o)
{
    int right = 0;
    for (int k = 0; k < o->classes; k++)
        right += o->confusion[k * o->classes + k];
    return o->n - right;
}

int cln_outcome_draw(const cln_outcome *o, const char *path, const char *title, cln_error *err)
{
    cln_mistake list[CLN_MISTAKES_MAX];
    for (int i = 0; i < o->n_mistakes; i++) {
        const cln_outcome_mistake *m = &o->mistakes[i];
        list[i] = (cln_mistake){m->pixels, o->class_names[m->truth], o->class_names[m->predicted], m->confidence};
    }
    return cln_figure_misclassified(path, title, list, o->n_mistakes, o->c, o->h, o->w, err);
}

/* ---- writing ------------------------------------------------------------------------------------- */

static json_t *confusion_json(const cln_outcome *o)
{
    json_t *rows = json_array();
    for (int i = 0; i < o->classes; i++) {
        json_t *row = json_array();
        for (int j = 0; j < o->classes; j++)
            row = cln_json_append(row, json_integer(o->confusion[i * o->classes + j]));
        rows = cln_json_append(rows, row);
    }
    return rows;
}

static json_t *mistakes_json(const cln_outcome *o)
{
    json_t *list = json_array();
    for (int i = 0; i < o->n_mistakes; i++) {
        const cln_outcome_mistake *m = &o->mistakes[i];
        char *pixels = cln_base64_encode(m->pixels, image_bytes(o));
        json_t *entry = pixels ? json_pack("{s:i, s:i, s:i, s:o, s:s}", "image", m->image, "true", m->truth, "predicted",
                                           m->predicted, "confidence", cln_run_number(m->confidence), "pixels", pixels)
                               : NULL;
        free(pixels);
        list = cln_json_append(list, entry);
    }
    return list;
}

int cln_outcome_write(const cln_outcome *o, const char *path, cln_error *err)
{
    json_t *names = json_array();
    for (int k = 0; k < o->classes; k++)
        names = cln_json_append(names, cln_run_text(o->class_names[k]));
    json_t *value =
        json_pack("{s:i, s:f, s:o, s:{s:i, s:i, s:i}, s:o, s:o, s:o}", "images", o->n, "accuracy", o->acc, "loss", cln_run_number(o->loss),
                  "shape", "c", o->c, "h", o->h, "w", o->w, "classes", names, "confusion", confusion_json(o), "mistakes",
                  mistakes_json(o));
    int rc = value ? cln_json_write(path, value, err) : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", path);
    json_decref(value);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static void read_classes(cln_reader *r, const json_t *root, cln_outcome *o)
{
    const json_t *list = cln_reader_list(r, root, "classes", CLN_DATA_MAX_CLASSES);
    const int classes = (int)json_array_size(list);
    if (!r->rc && classes < 1)
        cln_reader_fail(r, "classes is empty");
    if (r->rc)
        return;
    o->classes = classes;
    r->rc = make_room(o, r->err);
    for (int k = 0; k < classes && !r->rc; k++) {
        const json_t *name = json_array_get(list, (size_t)k);
        if (!json_is_string(name) || json_string_length(name) >= MAX_NAME ||
            strlen(json_string_value(name)) != json_string_length(name))
            cln_reader_fail(r, "the name of class %d is none", k);
        else if (!(o->class_names[k] = strdup(json_string_value(name))))
            r->rc = no_memory(r->err);
    }
}

static void read_confusion(cln_reader *r, const json_t *root, cln_outcome *o)
{
    const json_t *rows = cln_reader_list(r, root, "confusion", CLN_DATA_MAX_CLASSES);
    long total = 0;
    for (int i = 0; i < o->classes && !r->rc; i++) {
        const json_t *row = json_array_get(rows, (size_t)i);
        if ((int)json_array_size(rows) != o->classes || (int)json_array_size(row) != o->classes)
            cln_reader_fail(r, "confusion is not a matrix of %d by %d", o->classes, o->classes);
        for (int j = 0; j < o->classes && !r->rc; j++) {
            const double x = cln_reader_check(r, json_array_get(row, (size_t)j), "an entry of confusion", 0, MAX_IMAGES);
            o->confusion[i * o->classes + j] = r->rc ? 0 : (int)x;
            total += r->rc ? 0 : (int)x;
        }
    }
    if (!r->rc && total != o->n)
        cln_reader_fail(r, "confusion counts %ld images, but there are %d", total, o->n);
}

static void read_mistakes(cln_reader *r, const json_t *root, cln_outcome *o)
{
    const json_t *list = cln_reader_list(r, root, "mistakes", CLN_MISTAKES_MAX);
    const size_t n = json_array_size(list);
    for (size_t i = 0; i < n && !r->rc; i++) {
        const json_t *entry = json_array_get(list, i);
        snprintf(r->place, sizeof r->place, "mistake %zu", i + 1);
        const cln_outcome_mistake m = {cln_reader_int(r, entry, "image", 0, MAX_IMAGES),
                                       cln_reader_int(r, entry, "true", 0, o->classes - 1),
                                       cln_reader_int(r, entry, "predicted", 0, o->classes - 1),
                                       cln_reader_number(r, entry, "confidence", 0, 1, 0), NULL};
        const char *pixels = json_string_value(json_object_get(entry, "pixels"));
        if (!r->rc)
            r->rc = add_mistake(o, m, NULL, r->err);
        if (!r->rc && (!pixels || !cln_base64_decode(pixels, o->mistakes[o->n_mistakes - 1].pixels, image_bytes(o))))
            cln_reader_fail(r, "pixels is not the base64 text of %zu bytes", image_bytes(o));
    }
}

static void read_all(cln_reader *r, const json_t *root, cln_outcome *o)
{
    o->n = cln_reader_int(r, root, "images", 1, MAX_IMAGES);
    o->acc = cln_reader_number(r, root, "accuracy", 0, 100, NAN);
    o->loss = cln_reader_number(r, root, "loss", -1e300, 1e300, NAN);
    const json_t *shape = cln_reader_object(r, root, "shape");
    o->c = cln_reader_int(r, shape, "c", 1, CLN_DATA_MAX_CHANNELS);
    o->h = cln_reader_int(r, shape, "h", 1, CLN_DATA_MAX_SIDE);
    o->w = cln_reader_int(r, shape, "w", 1, CLN_DATA_MAX_SIDE);
    if (!r->rc)
        read_classes(r, root, o);
    if (!r->rc)
        read_confusion(r, root, o);
    if (!r->rc)
        read_mistakes(r, root, o);
}

int cln_outcome_read(const char *path, cln_outcome *out, cln_error *err)
{
    cln_reader r = {.path = path, .place = "file", .err = err};
    cln_outcome o = {0};
    json_t *root = cln_reader_open(&r, MAX_FILE);
    if (!r.rc)
        read_all(&r, root, &o);
    json_decref(root);
    if (r.rc)
        cln_outcome_clear(&o);
    else
        *out = o;
    return r.rc;
}
