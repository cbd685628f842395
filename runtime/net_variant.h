/* What settings make of a network: its text, as if a person had written it so. */
#ifndef CLN_NET_VARIANT_H
#define CLN_NET_VARIANT_H

#include "error.h"

#include <stdbool.h>

typedef struct cln_net_variant {
    const char *act; /* what $act stands for; NULL: as it is */
    bool act_needed; /* there has to be one, unless act is relu */
    bool ws;         /* each convolution just before $norm gets ws=1 */
} cln_net_variant;

/* *out is malloc'ed. CLN_ERR_ARGUMENT where the text has no place for what is asked for (`name` is the network's). */
int cln_net_rewrite(const char *name, const char *text, const cln_net_variant *variant, char **out, cln_error *err);

#endif
