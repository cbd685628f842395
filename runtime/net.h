/* A network as text: one layer a line, $norm where the norm goes.
 *
 *     # comment to the end of the line
 *     [label:] word [first attribute] [name=value ...]        e.g.   skip: conv 16 k=3
 *     [label:] word [name=value ...] label2                   for layers with two inputs, e.g.  add stride=2 skip
 *
 * A layer reads the line above it (the first reads the data); a layer with two inputs reads also the
 * labelled one. $norm stands for a whole line: the norm's word and attributes ("gn groups=4"), $act for the activation
 * (relu unless a variant says another: net_variant.h), $classes for the number of classes. The last layer's output are the logits: 1 x 1 x classes. */
#ifndef CLN_NET_H
#define CLN_NET_H

#include "net_variant.h"
#include "op.h"

enum { CLN_NET_BYTES = 64 * 1024 }; /* that a text may have */
#define CLN_NET_DEFAULT "s8n"       /* the built-in network where none is asked for */

typedef struct cln_net {
    char name[64];          /* "s8", or the file's name without folder and .net */
    char norm[32];          /* what $norm stood for: "gn groups=4" */
    int classes;
    cln_shape input;        /* n is the batch */
    char *text;             /* the .net as it was read */
    cln_layer *layers;
    int n_layers;
} cln_net;

/* Parses `text` and infers every shape for batches of input.n images. `norm` is "bn", "ln", "gn", "in",
 * "none"; `groups` goes to the norm where it has that attribute (0: its default). Errors: CLN_ERR_MODEL with "s8.net:7: 'cnov': ..."
 * (file, line, word). *out is owned by the caller: cln_net_free. */
int cln_net_parse(const char *name, const char *text, const char *norm, int groups, int classes,
                  cln_shape input, cln_net **out, cln_error *err);

/* The same for a built-in name ("s8") or a path (contains '/' or ends in ".net"). Unknown names list the
 * built-in ones. */
int cln_net_load(const char *model, const char *norm, int groups, int classes, cln_shape input,
                 cln_net **out, cln_error *err);

/* The same of a network that is rewritten before; its text is then the new one. variant NULL: none. */
int cln_net_load_as(const char *model, const cln_net_variant *variant, const char *norm, int groups, int classes, cln_shape input,
                    cln_net **out, cln_error *err);

void cln_net_free(cln_net *net);

/* Multiplications and additions of the convolutions and dense layers for one image, forward. */
double cln_net_macs(const cln_net *net);

/* Trained parameters, all together (states not counted). */
size_t cln_net_param_count(const cln_net *net);

/* Bytes of layer outputs that training keeps for the backward pass, for one layer. Filled by the table
 * of `clnorm model`; flops are those of the forward pass for the batch. */
typedef struct cln_net_row {
    size_t params;
    double flops;
    size_t kept_bytes;
} cln_net_row;
void cln_net_row_of(const cln_net *net, int layer, cln_net_row *out);

/* Length of a model's name without ".net"; 0 where it does not end so. And whether the name is a file's. */
size_t cln_net_stem(const char *name);

/* "models/s8.net" and "s8" are both "s8"; what does not fit is cut off. */
void cln_net_name(const char *model, char *out, size_t size);
bool cln_net_is_path(const char *name);

/* Built-in model names, NULL-terminated list from the embedded *.net files; caller frees the array only. */
const char **cln_net_builtin(void);

#endif
