/* Which device a user means: cln_device_find. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "device.h"

/* "0 (0:0) cpu NAME; 1 (1:0) gpu NAME", cut to what fits. */
static void list_choices(const cln_device_info *list, size_t count, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        const char *type = list[i].type & CL_DEVICE_TYPE_GPU           ? "gpu"
                           : list[i].type & CL_DEVICE_TYPE_CPU         ? "cpu"
                           : list[i].type & CL_DEVICE_TYPE_ACCELERATOR ? "accelerator"
                                                                       : "other";
        int n = snprintf(out + used, size - used, "%s%zu (%d:%d) %s %s", i ? "; " : "", i,
                         list[i].platform, list[i].number, type, list[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
}

static int refuse(const cln_device_info *list, size_t count, const char *spec, const char *why,
                  cln_error *err)
{
    char choices[768];
    list_choices(list, count, choices, sizeof choices);
    return CLN_FAIL(err, CLN_ERR_DEVICE, "%s \"%.64s\"; choose one of: %s", why, spec, choices);
}

static bool contains(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, n) == 0)
            return true;
    return false;
}

/* A whole decimal number, *end behind it; false where there is none or it is absurd. */
static bool read_number(const char *s, const char **end, int *value)
{
    if (!isdigit((unsigned char)*s))
        return false;
    char *stop;
    long v = strtol(s, &stop, 10);
    if (stop - s > 6)
        return false;
    *end = stop;
    *value = (int)v;
    return true;
}

/* How well device d answers to spec: 0 not at all, 2 better than 1 (the whole name rather than a
 * part of it; a device of only this type rather than one that claims all, as Oclgrind's does). */
static int match(const cln_device_info *d, const char *spec, cl_device_type type)
{
    if (type)
        return d->type == type ? 2 : (d->type & type) ? 1 : 0;
    if (strcasecmp(d->name, spec) == 0)
        return 2;
    return contains(d->name, spec) ? 1 : 0;
}

static cl_device_type type_of_word(const char *word)
{
    static const struct {
        const char *word;
        cl_device_type type;
    } words[] = {{"cpu", CL_DEVICE_TYPE_CPU},
                 {"gpu", CL_DEVICE_TYPE_GPU},
                 {"accelerator", CL_DEVICE_TYPE_ACCELERATOR}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(word, words[i].word) == 0)
            return words[i].type;
    return 0;
}

static int find_by_word(const cln_device_info *list, size_t count, const char *spec, size_t *index,
                        cln_error *err)
{
    const cl_device_type type = type_of_word(spec);
    size_t hits[3] = {0, 0, 0}, first[3] = {0, 0, 0};
    for (size_t i = 0; i < count; i++) {
        int quality = match(&list[i], spec, type);
        if (hits[quality]++ == 0)
            first[quality] = i;
    }
    for (int quality = 2; quality >= 1; quality--) {
        if (hits[quality] == 1) {
            *index = first[quality];
            return CLN_OK;
        }
        if (hits[quality] > 1)
            return refuse(list, count, spec, "several devices match", err);
    }
    return refuse(list, count, spec, "no device matches", err);
}

int cln_device_find(const cln_device_info *list, size_t count, const char *spec, size_t *index,
                    cln_error *err)
{
    int first = 0, second = 0;
    const char *rest = NULL;

    if (!spec || !*spec)
        spec = getenv("CLNORM_DEVICE");
    if (!spec || !*spec)
        spec = "0";

    if (read_number(spec, &rest, &first) && *rest == '\0') {
        if ((size_t)first >= count)
            return refuse(list, count, spec, "there is no device", err);
        *index = (size_t)first;
        return CLN_OK;
    }
    if (rest && *rest == ':' && read_number(rest + 1, &rest, &second) && *rest == '\0') {
        for (size_t i = 0; i < count; i++)
            if (list[i].platform == first && list[i].number == second) {
                *index = i;
                return CLN_OK;
            }
        return refuse(list, count, spec, "there is no device", err);
    }
    return find_by_word(list, count, spec, index, err);
}
