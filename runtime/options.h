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

extern const char *const cln_act_words[], *const cln_optimizer_words[]; /* of cln_act, cln_optimizer; end with NULL */

const cln_field *cln_field_find(const char *name);

/* Sets one field from text. CLN_ERR_ARGUMENT: "--lr: 'fast' is not a number". */
int cln_field_set(const cln_field *field, cln_train_options *o, const char *text, cln_error *err);

/* An option as it was given, and all that were: the defaults of the norm among them (the last one; else bn), then each
 * in turn. */
typedef struct cln_given {
    const cln_field *field;
    const char *text;
} cln_given;
int cln_options_resolve(const cln_given *list, int n, cln_train_options *out, cln_error *err);

/* CLN_ERR_ARGUMENT where a number is in the list twice. */
int cln_option_distinct(const char *option, const int *list, int n, cln_error *err);

/* "1,2,8" into out: at most `max` numbers, each in [low, high]; CLN_ERR_ARGUMENT names the option. */
int cln_option_integers(const char *option, const char *list, int low, int high, int *out, int max, int *count,
                        cln_error *err);

/* "0.1,0.2" likewise. */
int cln_option_reals(const char *option, const char *list, double low, double high, double *out, int max, int *count,
                     cln_error *err);

/* "bn,ln" likewise: norms that there are, each once. */
typedef char cln_norm_name[16];
int cln_option_norms(const char *option, const char *list, cln_norm_name *out, int max, int *count, cln_error *err);

/* All fields as a JSON object (owned by the caller; NULL when out of memory), and back: unknown keys are
 * ignored, a missing or malformed one is CLN_ERR_CHECKPOINT. */
json_t *cln_options_to_json(const cln_train_options *o);
int cln_options_from_json(const json_t *json, cln_train_options *o, cln_error *err);

#endif
