#include "json_reader.h"

#include "file.h"
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cln_reader_fail(cln_reader *r, const char *fmt, ...)
{
    char text[512];
    va_list args;
    if (r->rc)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->rc = CLN_FAIL(r->err, CLN_ERR_DATA, "%s: %s: %s", r->path, r->place, text);
}

json_t *cln_reader_open(cln_reader *r, size_t limit)
{
    unsigned char *bytes = NULL;
    size_t n = 0;
    json_error_t at;
    bool no_memory;
    r->rc = cln_file_read_all(r->path, limit, &bytes, &n, r->err);
    if (r->rc)
        return NULL;
    json_t *root = cln_json_load(bytes, n, JSON_REJECT_DUPLICATES, &at, &no_memory);
    free(bytes);
    if (no_memory)
        r->rc = CLN_FAIL(r->err, CLN_ERR_MEMORY, "no memory to read %s", r->path);
    else if (!root)
        cln_reader_fail(r, "line %d: %s", at.line, at.text);
    else if (!json_is_object(root))
        cln_reader_fail(r, "not an object");
    if (!r->rc)
        return root;
    json_decref(root);
    return NULL;
}

double cln_reader_check(cln_reader *r, const json_t *value, const char *what, double low,
                        double high)
{
    const double x = json_number_value(value);
    if (!json_is_number(value))
        cln_reader_fail(r, "%s is %s", what, value ? "not a number" : "missing");
    else if (!(x >= low && x <= high)) /* a NaN fails, too */
        cln_reader_fail(r, "%s is %g, expected %g to %g", what, x, low, high);
    return x;
}

double cln_reader_number(cln_reader *r, const json_t *o, const char *key, double low, double high,
                         double unknown)
{
    const json_t *value = json_object_get(o, key);
    return json_is_null(value) ? unknown : cln_reader_check(r, value, key, low, high);
}

int cln_reader_int(cln_reader *r, const json_t *o, const char *key, int low, int high)
{
    const json_t *value = json_object_get(o, key);
    const json_int_t x = json_integer_value(value);
    if (!json_is_integer(value))
        cln_reader_fail(r, "%s is %s", key, value ? "not an integer" : "missing");
    else if (x < low || x > high)
        cln_reader_fail(r, "%s is %lld, expected %d to %d", key, (long long)x, low, high);
    return r->rc ? low : (int)x;
}

void cln_reader_text(cln_reader *r, const json_t *o, const char *key, char *out, size_t size)
{
    const json_t *value = json_object_get(o, key);
    const char *text = json_string_value(value);
    const size_t n = json_string_length(value);
    if (!text) {
        cln_reader_fail(r, "%s is %s", key, value ? "not a string" : "missing");
        return;
    }
    if (n >= size)
        cln_reader_fail(r, "%s has %zu bytes, at most %zu expected", key, n, size - 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 32 || text[i] == 127)
            cln_reader_fail(r, "%s holds a control character", key);
    if (!r->rc)
        memcpy(out, text, n + 1);
}

const json_t *cln_reader_list(cln_reader *r, const json_t *o, const char *key, size_t limit)
{
    const json_t *list = json_object_get(o, key);
    if (!json_is_array(list))
        cln_reader_fail(r, "%s is %s", key, list ? "not a list" : "missing");
    else if (json_array_size(list) > limit)
        cln_reader_fail(r, "%s has %zu elements, at most %zu expected", key, json_array_size(list), limit);
    return r->rc ? NULL : list;
}

const json_t *cln_reader_object(cln_reader *r, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_object(value))
        cln_reader_fail(r, "%s is %s", key, value ? "not an object" : "missing");
    return value;
}
