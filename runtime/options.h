/* The settings of a run as a table: one row gives the command line its option and help text, config.json its
 * key, and a resumed run its check. A new setting is a field of cln_train_options and a row here. */
#ifndef CLN_OPTIONS_H
#define CLN_OPTIONS_H

#include "error.h"

#include <jansson.h>

typedef enum { CLN_FIELD_INT, CLN_FIELD_UINT, CLN_FIELD_REAL, CLN_FIELD_FLAG, CLN_FIELD_TEXT, CLN_FIELD_CHOICE } cln_field_kind;

typedef struct cln_field {
    const char *name;           /* of the option and the key: "label-smoothing" */
    cln_field_kind kind;
    size_t offset, size;        /* in cln_train_options */
    const char *const *choices; /* CLN_FIELD_CHOICE: words for the values first, first + 1, ...; ends with NULL */
    int first;
    const char *help;
} cln_field;

extern const cln_field cln_fields[]; /* ends with a NULL name */

const cln_field *cln_field_find(const char *name);

/* Sets one field from text. CLN_ERR_ARGUMENT: "--lr: 'fast' is not a number". */
int cln_field_set(const cln_field *field, cln_train_options *o, const char *text, cln_error *err);

/* All fields as a JSON object (owned by the caller; NULL when out of memory), and back: unknown keys are
 * ignored, a missing or malformed one is CLN_ERR_CHECKPOINT. */
json_t *cln_options_to_json(const cln_train_options *o);
int cln_options_from_json(const json_t *json, cln_train_options *o, cln_error *err);

#endif
