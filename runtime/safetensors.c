#include "safetensors.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors holds little-endian values; this machine's would have to be swapped"
#endif

enum { PREFIX = 8, WIDEST = 8, SHAPE_TEXT = 200 };

static const char META_KEY[] = "__metadata__";

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {[CLN_ST_F32] = {"F32", 4}, [CLN_ST_I64] = {"I64", 8}, [CLN_ST_U8] = {"U8", 1}};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* ---- in memory ------------------------------------------------------------------------------- */

void cln_st_clear(cln_st_file *st)
{
    if (st == NULL)
        return;
    for (int i = 0; i < st->n_tensors; i++) {
        free(st->tensors[i].name);
        free(st->tensors[i].data);
    }
    for (int i = 0; i < st->n_meta; i++) {
        free(st->meta[i].key);
        free(st->meta[i].value);
    }
    free(st->tensors);
    free(st->meta);
    free(st->path);
    *st = (cln_st_file){0};
}

static bool printable(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return true;
}

/* Names are shown to people and are keys of the header: short, printable, not the map's own. */
static const char *name_fault(const char *name)
{
    size_t n = strlen(name);

    if (n == 0)
        return "its name is empty";
    if (n > CLN_ST_MAX_NAME)
        return "its name is longer than 255 bytes";
    if (!printable(name))
        return "its name holds a control character";
    return strcmp(name, META_KEY) == 0 ? "the format keeps it for itself" : NULL;
}

/* Bytes of that many values; false: negative, or more than a file may hold. */
static bool count_bytes(cln_st_dtype dtype, const int64_t *dims, int rank, size_t *bytes)
{
    uint64_t n = dtypes[dtype].size;

    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0 || dims[i] > CLN_ST_MAX_FILE)
            return false;
        n *= (uint64_t)dims[i]; /* both at most 2^30 */
        if (n > CLN_ST_MAX_FILE)
            return false;
    }
    *bytes = (size_t)n;
    return true;
}

/* Adds without looking at the other names; returns the new tensor, NULL: no memory. */
static cln_st_tensor *push(cln_st_file *st, const cln_st_tensor *like, const void *data,
                           cln_error *err)
{
    cln_st_tensor *grown = realloc(st->tensors, ((size_t)st->n_tensors + 1) * sizeof *grown);

    if (grown != NULL)
        st->tensors = grown;
    char *name = strdup(like->name);
    void *copy = calloc(like->bytes + 1, 1); /* + 1: never NULL, even for no values */
    if (grown == NULL || name == NULL || copy == NULL) {
        free(name);
        free(copy);
        CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the tensor '%s' (%zu bytes)", like->name,
                 like->bytes);
        return NULL;
    }
    if (data != NULL)
        memcpy(copy, data, like->bytes);
    cln_st_tensor *t = &grown[st->n_tensors++];
    *t = *like;
    t->name = name;
    t->data = copy;
    return t;
}

int cln_st_add(cln_st_file *st, const char *name, cln_st_dtype dtype, const int64_t *dims, int rank,
               const void *data, cln_error *err)
{
    cln_st_tensor t = {.name = (char *)name, .dtype = dtype, .rank = rank};
    const char *fault = name_fault(name);

    if (fault == NULL && cln_st_find(st, name) != NULL)
        fault = "it is there already";
    if (fault == NULL && (rank < 0 || rank > CLN_ST_MAX_RANK))
        fault = "it has too many dimensions";
    if (fault == NULL && !count_bytes(dtype, dims, rank, &t.bytes))
        fault = "its size is out of range";
    if (fault != NULL)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "cannot add the tensor '%.60s': %s", name, fault);
    if (rank > 0)
        memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
    return push(st, &t, data, err) != NULL ? 0 : CLN_ERR_MEMORY;
}

static int push_meta(cln_st_file *st, const char *key, const char *value, cln_error *err)
{
    cln_st_meta *grown = realloc(st->meta, ((size_t)st->n_meta + 1) * sizeof *grown);
    if (grown != NULL)
        st->meta = grown;
    cln_st_meta m = {strdup(key), strdup(value)};
    if (grown == NULL || m.key == NULL || m.value == NULL) {
        free(m.key);
        free(m.value);
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the metadata '%.60s'", key);
    }
    grown[st->n_meta++] = m;
    return 0;
}

int cln_st_add_meta(cln_st_file *st, const char *key, const char *value, cln_error *err)
{
    if (cln_st_find_meta(st, key) != NULL)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "the metadata '%.60s' is there already", key);
    return push_meta(st, key, value, err);
}

const cln_st_tensor *cln_st_find(const cln_st_file *st, const char *name)
{
    for (int i = 0; i < st->n_tensors; i++)
        if (strcmp(st->tensors[i].name, name) == 0)
            return &st->tensors[i];
    return NULL;
}

const char *cln_st_find_meta(const cln_st_file *st, const char *key)
{
    for (int i = 0; i < st->n_meta; i++)
        if (strcmp(st->meta[i].key, key) == 0)
            return st->meta[i].value;
    return NULL;
}

/* "F32 16x3x3x3", "I64 (one value)" */
static void describe(char out[SHAPE_TEXT], cln_st_dtype dtype, const int64_t *dims, int rank)
{
    int n = snprintf(out, SHAPE_TEXT, "%s%s", dtypes[dtype].name, rank == 0 ? " (one value)" : "");

    for (int i = 0; i < rank; i++)
        n += snprintf(out + n, (size_t)(SHAPE_TEXT - n), "%c%lld", i == 0 ? ' ' : 'x',
                      (long long)dims[i]);
}

int cln_st_expect(const cln_st_file *st, const char *name, cln_st_dtype dtype, const int64_t *dims,
                  int rank, const cln_st_tensor **out, cln_error *err)
{
    const cln_st_tensor *t = cln_st_find(st, name);
    const char *path = st->path == NULL ? "checkpoint" : st->path;
    char wanted[SHAPE_TEXT], found[SHAPE_TEXT];

    describe(wanted, dtype, dims, rank);
    if (t == NULL)
        return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s belongs to another model: it has no '%s' (%s)",
                        path, name, wanted);
    describe(found, t->dtype, t->dims, t->rank);
    if (strcmp(wanted, found) != 0)
        return CLN_FAIL(err, CLN_ERR_CHECKPOINT,
                        "%s belongs to another model: '%s' is %s there, not %s", path, name, found,
                        wanted);
    *out = t;
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* One entry of the header for tensor t whose data begin at `at`; new reference, NULL: no memory. */
static json_t *entry_of(const cln_st_tensor *t, size_t at)
{
    json_t *shape = json_array();
    int rc = shape == NULL ? -1 : 0;

    for (int i = 0; rc == 0 && i < t->rank; i++)
        rc = json_array_append_new(shape, json_integer(t->dims[i]));
    if (rc != 0) {
        json_decref(shape);
        return NULL;
    }
    json_int_t begin = (json_int_t)at, bytes = (json_int_t)t->bytes;
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[t->dtype].name, "shape", shape,
                     "data_offsets", begin, begin + bytes);
}

/* Calls for the tensors in the order of their data: wider types first. */
static const cln_st_tensor *next_in_file(const cln_st_file *st, size_t *width, int *i)
{
    for (; *width > 0; *width /= 2, *i = 0)
        while (*i < st->n_tensors) {
            const cln_st_tensor *t = &st->tensors[(*i)++];
            if (dtypes[t->dtype].size == *width)
                return t;
        }
    return NULL;
}

/* The header as text; freed by the caller. NULL: no memory, or a string that is not UTF-8. */
static char *header_of(const cln_st_file *st)
{
    json_t *root = json_object(), *map = NULL;
    int rc = root == NULL ? -1 : 0;

    if (rc == 0 && st->n_meta > 0) {
        map = json_object();
        rc = json_object_set_new(root, META_KEY, map);
    }
    for (int i = 0; rc == 0 && i < st->n_meta; i++)
        rc = json_object_set_new(map, st->meta[i].key, json_string(st->meta[i].value));

    size_t at = 0, width = WIDEST;
    int i = 0;
    const cln_st_tensor *t;
    while (rc == 0 && (t = next_in_file(st, &width, &i)) != NULL) {
        rc = json_object_set_new(root, t->name, entry_of(t, at));
        at += t->bytes;
    }
    char *text = rc == 0 ? cln_json_dump(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static int write_all(const cln_st_file *st, cln_writer *w, const char *header, size_t n,
                     cln_error *err)
{
    static const char spaces[PREFIX] = "        ";
    size_t padding = (PREFIX - n % PREFIX) % PREFIX; /* the data begin at a multiple of 8 */
    unsigned char prefix[PREFIX];
    const cln_st_tensor *t;

    for (int i = 0; i < PREFIX; i++)
        prefix[i] = (unsigned char)((uint64_t)(n + padding) >> (8 * i));
    int rc = cln_writer_put(w, prefix, sizeof prefix, err);
    if (rc == 0)
        rc = cln_writer_put(w, header, n, err);
    if (rc == 0)
        rc = cln_writer_put(w, spaces, padding, err);

    size_t width = WIDEST;
    int i = 0;
    while (rc == 0 && (t = next_in_file(st, &width, &i)) != NULL)
        rc = cln_writer_put(w, t->data, t->bytes, err);
    return rc;
}

int cln_st_write(const cln_st_file *st, const char *path, cln_error *err)
{
    uint64_t total = 0;
    cln_writer w;

    for (int i = 0; i < st->n_tensors; i++)
        total += st->tensors[i].bytes;
    char *header = header_of(st);
    if (header == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY,
                        "cannot make the header of %s: no memory, or text that is not UTF-8", path);
    size_t n = strlen(header);
    if (n > CLN_ST_MAX_HEADER - PREFIX || total + PREFIX + n + PREFIX > CLN_ST_MAX_FILE) {
        free(header);
        return CLN_FAIL(err, CLN_ERR_INTERNAL,
                        "%s would be larger than clnorm reads (1 MiB of header, 1 GiB in all)",
                        path);
    }
    int rc = cln_writer_open(&w, path, err);
    if (rc == 0)
        rc = write_all(st, &w, header, n, err);
    free(header);
    return cln_writer_close(&w, rc, err);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A tensor as the header tells of it: like.name is borrowed from the JSON. */
typedef struct listed {
    cln_st_tensor like;
    uint64_t begin, end;
} listed;

#define DAMAGED(err, path, ...) damaged((err), (path), __LINE__, __VA_ARGS__)

CLN_PRINTF(4, 5)
static int damaged(cln_error *err, const char *path, int line, const char *format, ...)
{
    char reason[512];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return cln_error_set(err, CLN_ERR_CHECKPOINT, __FILE__, line,
                         "%s is damaged or no safetensors file: %s", path, reason);
}

/* Reads prefix and header of a file of `length` bytes: *root is a new reference, *data_bytes what follows. */
static int read_header(int fd, const char *path, uint64_t length, json_t **root,
                       uint64_t *data_bytes, cln_error *err)
{
    unsigned char prefix[PREFIX];
    json_error_t fault;
    bool no_memory;
    uint64_t n = 0;

    if (length < PREFIX + 2)
        return DAMAGED(err, path, "it has only %ju bytes", (uintmax_t)length);
    if (length > CLN_ST_MAX_FILE)
        return DAMAGED(err, path, "it has %ju bytes, more than 1 GiB", (uintmax_t)length);
    int rc = cln_file_read(fd, path, prefix, sizeof prefix, err);
    if (rc != 0)
        return rc;
    for (int i = PREFIX; i-- > 0;)
        n = n << 8 | prefix[i];
    if (n > CLN_ST_MAX_HEADER)
        return DAMAGED(err, path, "its header would have %ju bytes, more than 1 MiB", (uintmax_t)n);
    if (n > length - PREFIX)
        return DAMAGED(err, path, "it ends within its header");

    char *text = malloc((size_t)n + 1);
    if (text == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the header of %s", path);
    rc = cln_file_read(fd, path, text, (size_t)n, err);
    text[n] = '\0';
    if (rc == 0 && text[0] != '{')
        rc = DAMAGED(err, path, "its header does not begin with '{'");
    if (rc == 0) {
        *root = cln_json_load(text, (size_t)n, JSON_REJECT_DUPLICATES, &fault, &no_memory);
        if (*root == NULL && no_memory)
            rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the header of %s", path);
        else if (*root == NULL)
            rc = DAMAGED(err, path, "its header is no JSON: %s", fault.text);
    }
    free(text);
    *data_bytes = length - PREFIX - n;
    return rc;
}

/* A whole number in [0, limit]. */
static bool number_of(const json_t *value, uint64_t limit, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return *out <= limit;
}

/* Fills *out from one entry; returns what is wrong with it, or NULL. Does not look at other tensors. */
static const char *entry_fault(const char *name, const json_t *entry, uint64_t data_bytes,
                               listed *out)
{
    const json_t *dtype = json_object_get(entry, "dtype");
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    cln_st_tensor *t = &out->like;
    const char *fault = name_fault(name);
    uint64_t dim;
    int k = 0;

    if (fault != NULL)
        return fault;
    if (json_object_size(entry) != 3 || !json_is_string(dtype) || !json_is_array(shape) ||
        !json_is_array(offsets))
        return "its entry is not {dtype, shape, data_offsets}";
    while (k < N_DTYPES && strcmp(dtypes[k].name, json_string_value(dtype)) != 0)
        k++;
    if (k == N_DTYPES)
        return "its type is none of F32, I64, U8";
    if (json_array_size(shape) > CLN_ST_MAX_RANK)
        return "it has too many dimensions";
    *t = (cln_st_tensor){
        .name = (char *)name, .dtype = (cln_st_dtype)k, .rank = (int)json_array_size(shape)};
    for (int i = 0; i < t->rank; i++) {
        if (!number_of(json_array_get(shape, (size_t)i), CLN_ST_MAX_FILE, &dim))
            return "a dimension is out of range";
        t->dims[i] = (int64_t)dim;
    }
    if (!count_bytes(t->dtype, t->dims, t->rank, &t->bytes))
        return "its shape is out of range";
    if (json_array_size(offsets) != 2 ||
        !number_of(json_array_get(offsets, 0), data_bytes, &out->begin) ||
        !number_of(json_array_get(offsets, 1), data_bytes, &out->end) || out->begin > out->end)
        return "its data lie outside of the file";
    return out->end - out->begin != t->bytes ? "its shape does not fit the length of its data"
                                             : NULL;
}

static int by_place(const void *a, const void *b)
{
    const listed *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->like.name,
                  y->like.name); /* empty ones: qsort may reorder what compares equal */
}

/* Lists the tensors in the order of their data and checks that these fill the file. `list` has room. */
static int list_tensors(const char *path, json_t *root, uint64_t data_bytes, listed *list, int *n,
                        cln_error *err)
{
    const char *name;
    json_t *entry;
    uint64_t at = 0;

    *n = 0;
    json_object_foreach(root, name, entry)
    {
        if (strcmp(name, META_KEY) == 0)
            continue;
        const char *fault = entry_fault(name, entry, data_bytes, &list[*n]);
        if (fault != NULL)
            return DAMAGED(err, path, "tensor '%.60s': %s", printable(name) ? name : "?", fault);
        (*n)++;
    }
    qsort(list, (size_t)*n, sizeof *list, by_place);
    for (int i = 0; i < *n; at = list[i++].end)
        if (list[i].begin != at)
            return DAMAGED(err, path, "the data of tensor '%.60s' leave a gap or overlap",
                           list[i].like.name);
    if (at != data_bytes)
        return DAMAGED(err, path, "it has %ju bytes of data, its tensors %ju",
                       (uintmax_t)data_bytes, (uintmax_t)at);
    return 0;
}

static int check_meta(const char *path, json_t *map, cln_error *err)
{
    const char *key;
    json_t *value;

    if (map != NULL && !json_is_object(map))
        return DAMAGED(err, path, "its metadata are no map");
    json_object_foreach(map, key, value)
    {
        if (!json_is_string(value))
            return DAMAGED(err, path, "its metadata hold a value that is no string");
    }
    return 0;
}

static int fill(cln_st_file *st, int fd, const char *path, json_t *map, const listed *list, int n,
                cln_error *err)
{
    const char *key;
    json_t *value;
    int rc;

    st->path = strdup(path);
    if (st->path == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to read %s", path);
    json_object_foreach(map, key, value)
    {
        rc = push_meta(st, key, json_string_value(value), err);
        if (rc != 0)
            return rc;
    }
    for (int i = 0; i < n; i++) {
        cln_st_tensor *t = push(st, &list[i].like, NULL, err);
        if (t == NULL)
            return CLN_ERR_MEMORY;
        rc = cln_file_read(fd, path, t->data, t->bytes, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_open_file(cln_st_file *st, int fd, const char *path, uint64_t length,
                          cln_error *err)
{
    json_t *root = NULL;
    uint64_t data_bytes = 0;
    int n = 0;
    int rc = read_header(fd, path, length, &root, &data_bytes, err);

    if (rc != 0)
        return rc;
    json_t *map = json_object_get(root, META_KEY);
    listed *list = calloc(json_object_size(root) + 1, sizeof *list);
    if (list == NULL) {
        json_decref(root);
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to read %s", path);
    }
    rc = check_meta(path, map, err);
    if (rc == 0)
        rc = list_tensors(path, root, data_bytes, list, &n, err);
    if (rc == 0)
        rc = fill(st, fd, path, map, list, n, err);
    free(list);
    json_decref(root);
    return rc;
}

int cln_st_read(cln_st_file *st, const char *path, cln_error *err)
{
    cln_st_file read = {0};
    uint64_t length = 0;
    int fd = -1;
    int rc = cln_file_open(path, &fd, &length, err);

    if (rc != 0)
        return rc;
    rc = read_open_file(&read, fd, path, length, err);
    close(fd);
    if (rc != 0) {
        cln_st_clear(&read);
        return rc;
    }
    *st = read;
    return 0;
}
