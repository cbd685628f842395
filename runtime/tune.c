#include "tune.h"

#include "ops/conv.h"
#include "program.h"

#include <stdlib.h>
#include <string.h>

static const char *const algo_names[CLN_CONV_ALGOS] = {"vector", "simt", "gemm",
                                                       "winograd"}; /* by cln_conv_algo */
static const char *const direction_names[] = {"fwd", "bwd_data", "bwd_params"};

/* Index of `word` in names, -1 for "*", -2 for none. */
static int index_of(const char *word, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return i;
    return strcmp(word, "*") == 0 ? -1 : -2;
}

const char *cln_conv_algo_name(cln_conv_algo algo)
{
    return algo_names[algo];
}

cln_class cln_tune_class(const cln_device_info *info, const cln_tune_request *request)
{
    if (request->cls != CLN_CLASS_AUTO)
        return request->cls;
    return info->vector_width >= 4 ? CLN_CLASS_VECTOR : CLN_CLASS_SIMT;
}

int cln_tune_width(const cln_device_info *info, cln_class cls, int channels)
{
    int v = 1;
    if (cls != CLN_CLASS_VECTOR)
        return 1;
    /* a device of width 1 that was told to use vectors gets float4 */
    const int widest = info->vector_width > 4 ? (int)info->vector_width : 4;
    while (v < 16 && 2 * v <= widest && channels % (2 * v) == 0)
        v *= 2;
    return v;
}

int cln_tune_micro(const cln_device_info *info, const cln_tune_request *request, int batch)
{
    enum { CACHED = 32 };
    return batch > CACHED && cln_tune_class(info, request) == CLN_CLASS_VECTOR ? CACHED : batch;
}

int cln_tune_parse(const char *line, size_t length, cln_tune_line *out)
{
    static const char *const class_names[] = {"", "vector", "simt"}; /* by cln_class */
    char text[160], *word[5] = {NULL}, *rest = NULL, *end = NULL;
    int words = 0;
    if (length >= sizeof text)
        return -1;
    memcpy(text, line, length);
    text[length] = '\0';
    for (char *w = strtok_r(text, " \t\r", &rest); w && words < 5;
         w = strtok_r(NULL, " \t\r", &rest))
        word[words++] = w;
    if (words == 0 || word[0][0] == '#')
        return 0;
    if (words != 4)
        return -1;
    const int cls = index_of(word[0], class_names, 3),
              direction = index_of(word[1], direction_names, 3);
    const int algo = index_of(word[3], algo_names, CLN_CONV_ALGOS);
    const double macs = strtod(word[2], &end);
    if (cls < -1 || direction < -1 || algo < 0 || *end || !(macs >= 0))
        return -1;
    *out = (cln_tune_line){cls < 0 ? CLN_CLASS_AUTO : (cln_class)cls, direction, macs,
                           (cln_conv_algo)algo};
    return 1;
}

cln_conv_algo cln_conv_choose(const cln_device_info *info, const cln_tune_request *request,
                              const cln_conv_shape *s, int direction)
{
    const cln_class cls = cln_tune_class(info, request);
    const double macs = (double)s->k * s->k * s->ci * s->co * s->ho * s->wo;
    const cln_embedded_file *table = cln_embedded_find("tune.table");
    if (request->conv >= 0 &&
        cln_conv_impl_of((cln_conv_algo)request->conv)->supports(info, s, direction))
        return (cln_conv_algo)request->conv;
    for (const char *line = table ? (const char *)table->bytes : ""; *line;) {
        const size_t length = strcspn(line, "\n");
        cln_tune_line t;
        if (cln_tune_parse(line, length, &t) == 1 && (t.cls == CLN_CLASS_AUTO || t.cls == cls) &&
            (t.direction < 0 || t.direction == direction) && macs >= t.macs &&
            cln_conv_impl_of(t.algo)->supports(info, s, direction))
            return t.algo;
        line += length + (line[length] == '\n');
    }
    return CLN_CONV_SIMT;
}
